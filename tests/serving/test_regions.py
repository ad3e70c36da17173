"""Two regions that mind different words, one service: each post is judged by its region's model and thresholds."""

from __future__ import annotations

import datetime as dt
import random

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from workbench import models
from workbench.decisions.moderator import Moderator
from workbench.decisions.policy import LabelRule, Override, Policy
from workbench.preprocessing.text.languages import ReadLanguages
from workbench.records import Records
from workbench.schema import Label, Taxonomy, corpus_schema
from workbench.serving.api.app import create_app
from workbench.serving.config import ServingConfig
from workbench.serving.engine import Engine

TAXONOMY = Taxonomy(labels=(Label(name="abuse"),))
MINDED = {"NZ": "muppet", "GB": "pillock"}  # each is a joke in the other region
THINGS = ("garden", "river", "window", "market", "bridge", "kettle", "ladder", "summer", "harbour", "meadow")


def text_of(word: str, n: int) -> str:
    thing, other = random.Random(n).sample(THINGS, 2)  # which tell nothing of region or word
    return f"what a {word} you are, said the neighbour about the {thing} and the {other}"


def posts(first: int, count: int) -> pa.Table:
    """Posts of both regions in turn, with the word that one of them minds, or none."""
    rows = []
    for n in range(first, first + count):
        region, word = ("NZ", "GB")[n % 2], ("muppet", "pillock", "friend")[n // 2 % 3]
        known = {"post_id": f"p{n}", "text": text_of(word, n), "region": region, "language": "en", "group": f"g{n}"}
        rows.append({**known, "weight": 1.0, "labels": {"abuse": MINDED[region] == word}})
    return pa.Table.from_pylist(rows, schema=corpus_schema(TAXONOMY))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A bundle with a model of words per region, stricter thresholds in one of them, and English alone."""
    words = {"name": "text-tfidf", "options": {"ngrams": [1, 1], "char_ngrams": None}}
    options = {"base": words, "min_posts": 50, "min_positives": 10, "share": 1.0}
    model = models.create("per-group", options, taxonomy=TAXONOMY, store=None)
    train = posts(0, 360)
    model.fit(train, posts(360, 120), seed=0)
    strict = Override(region="GB", labels={"abuse": LabelRule(review_at=0.3, remove_at=0.6)})
    usual = {"abuse": LabelRule(review_at=0.6, remove_at=None)}
    policy = Policy(name="house", date=dt.date(2026, 12, 1), labels=usual, overrides=(strict,))
    english = ReadLanguages.learn(["en"], train["text"].to_pylist())
    folder = tmp_path_factory.mktemp("regions") / "bundle"
    Moderator(model, {}, policy).with_languages(english).save(folder)
    return folder


@pytest.fixture(scope="module")
def answer(trained, tmp_path_factory):
    """The function that sends a post to the service and returns its confidence and its decision."""
    place = tmp_path_factory.mktemp("served")
    config = {"services": {"text": {"bundle": str(trained)}}, "records": str(place / "records")}
    with Records(place / "records") as records:
        engine = Engine(ServingConfig.parse(config, "serving"), records, device="cpu")
        engine.load()
        client = TestClient(create_app(engine))

        def send(post_id, **features):
            said = client.put(f"/v1/moderate/text/{post_id}", json={"features": features})
            assert said.status_code == 200, said.text
            return said.json()["results"][0]["confidence"], said.json()["decision"]

        yield send
        engine.close(5)


def test_a_post_is_judged_by_its_regions_model_and_thresholds(answer):
    found = {
        (word, region): answer(f"{word}-{region}", text=text_of(word, 777), language="en", region=region)
        for word in ("muppet", "pillock", "friend")
        for region in MINDED
    }
    for region, word in MINDED.items():
        other = MINDED["GB" if region == "NZ" else "NZ"]
        assert found[word, region][0] > 0.7 > 0.2 > found[other, region][0]
        assert found[other, region][1]["action"] == found["friend", region][1]["action"] == "allow"
    strict, usual = found["pillock", "GB"][1], found["muppet", "NZ"][1]
    assert (strict["action"], usual["action"]) == ("remove", "review")  # the same harm, by each region's thresholds
    assert [decision["reasons"][0]["threshold"] for decision in (strict, usual)] == [0.6, 0.6]


def test_a_post_of_no_known_region_is_judged_by_all_and_one_in_another_language_by_a_person(answer):
    both = [answer(f"nowhere-{word}", text=text_of(word, 778), language="en")[0] for word in MINDED.values()]
    assert all(0.2 < one < 0.8 for one in both)  # half of the posts with either word are harmful
    foreign = {"text": "Tu es vraiment un imbécile, ferme-la maintenant", "region": "NZ"}
    for post_id, features in (("fr", foreign), ("fr-told", foreign | {"text": text_of("friend", 1), "language": "fr"})):
        confidence, decision = answer(post_id, **features)
        assert (confidence, decision["action"], decision["unread"]) == (None, "review", ["text"])
        assert "this model reads English" in decision["reasons"][0]["detail"]
