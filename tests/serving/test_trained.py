"""All five services on trained models: the configuration that ships, with small bundles in the studies' place."""

from __future__ import annotations

import base64

import numpy as np
import pyarrow.compute as pc
import pytest
import yaml
from fastapi.testclient import TestClient

from workbench.records import Records
from workbench.schema import MODALITIES, ROOT, declared
from workbench.serving.api.app import create_app
from workbench.serving.config import SERVICES, ServingConfig
from workbench.serving.engine import Engine


@pytest.fixture(scope="module")
def engine(bundle, tmp_path_factory):
    place = tmp_path_factory.mktemp("served")
    shipped = yaml.safe_load((ROOT / "serving.yaml").read_text(encoding="utf-8"))
    for service in shipped["services"].values():
        service.pop("prefer", None)  # which needs an extra
        service["bundle"] = str(bundle(service.pop("model", "text-clip")))
    config = ServingConfig.parse({**shipped, "records": str(place / "records")}, "serving")
    with Records(place / "records") as records:
        engine = Engine(config, records, device="cpu")
        engine.load()
        yield engine
        engine.close(5)


@pytest.fixture(scope="module")
def client(engine):
    return TestClient(create_app(engine), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def posts(material):
    """One test post of each service's kind, as the API takes its features."""
    table = material.sets["test"]
    there = np.stack([declared(table)[name] for name in MODALITIES], axis=1)
    kinds = {"text": (1, 0, 0), "image": (0, 1, 0), "video": (0, 0, 1), "misinformation": (1, 0, 0), "post": (1, 0, 1)}
    found = {}
    for service, kind in kinds.items():
        row = table.slice(int(np.flatnonzero((there == kind).all(axis=1))[0]), 1).to_pylist()[0]
        media = {name: base64.b64encode(row[name]["bytes"]).decode() for name in ("image", "video") if row[name]}
        found[service] = {"text": row["text"], "language": row["language"], **media}
    found["misinformation"]["engagement"] = {"reports": 3}  # without a signal it would wait
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_scores_a_post(client, posts, service):
    answer = client.put(f"/v1/moderate/{service}/p1", json={"features": posts[service]})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    own = {"misinformation": ["misinformation"], "text": ["abuse"]}
    labels = own.get(service, ["abuse", "nudity", "violence", "misinformation"])
    assert [one["label"] for one in said["results"]] == labels
    assert all(0 <= one["confidence"] <= 1 for one in said["results"])
    assert (said["decision"]["unread"], said["decision"]["unseen"]) == ([], [])
    assert client.get(f"/v1/moderate/{service}/p1").json()["decision"] == said["decision"]


@pytest.mark.parametrize(
    ("service", "modality"), [("image", "image"), ("video", "video"), ("post", "image"), ("post", "video")]
)
@pytest.mark.parametrize("damage", ["nothing", "junk", "cut"])
def test_media_that_cannot_be_read_are_reviewed(client, posts, service, modality, damage):
    whole = base64.b64decode(posts[modality][modality])
    data = {"nothing": b"", "junk": b"no such file at all", "cut": whole[:30]}[damage]
    features = {modality: base64.b64encode(data).decode()}
    answer = client.put(f"/v1/moderate/{service}/{modality}-{damage}", json={"features": features})
    assert answer.status_code == 200, answer.text
    decision = answer.json()["decision"]
    assert (decision["action"], decision["unread"]) == ("review", [modality])
    assert [one["confidence"] for one in answer.json()["results"]] == [None] * 4
    assert any(reason["kind"] == "unread" and reason["detail"] for reason in decision["reasons"])


def test_content_outside_the_model_is_unseen_and_reviewed(client, posts):
    features = posts["text"] | {"image": posts["image"]["image"]}
    decision = client.put("/v1/moderate/text/unseen", json={"features": features}).json()["decision"]
    assert (decision["action"], decision["unseen"]) == ("review", ["image"])


def test_the_same_content_under_many_ids_is_encoded_once(client, engine):
    def hits():
        return dict(engine.store.hits)

    before = hits()
    for number in range(8):
        client.put(f"/v1/moderate/text/again-{number}", json={"features": {"text": "A sentence nobody has sent yet."}})
    after = hits()
    readings = after["computed"] - before["computed"]
    assert readings == 1
    assert after["memory"] + after["repeated"] - before["memory"] - before["repeated"] == 7


def test_services_of_one_bundle_share_its_model(bundle, tmp_path):
    folder = str(bundle("text-clip"))
    services = {"post": {"bundle": folder}, "misinformation": {"bundle": folder, "labels": ["misinformation"]}}
    config = ServingConfig.parse({"services": services, "records": str(tmp_path / "records")}, "serving")
    with Records(tmp_path / "records") as records:
        engine = Engine(config, records, device="cpu")
        info = engine.services()
        assert info["post"].model_id == info["misinformation"].model_id
        assert len(engine._moderators) == 1
        assert info["post"].policy_id != info["misinformation"].policy_id  # the rules of other labels
        engine.close(5)


def claims(material):
    """The texts of test posts without any label."""
    rows = material.sets["test"].select(["text", "labels"]).to_pylist()
    return [row["text"] for row in rows if row["text"] and not any(row["labels"].values())]


def test_a_reported_author_changes_the_score_of_misinformation_and_the_reason_says_so(client, engine, material):
    clean = {"account_age_days": 800, "posts": 300, "prior_reports": 0, "prior_removals": 0}
    authors = {"clean": clean, "reported": clean | {"prior_reports": 400, "prior_removals": 20}, "unknown": None}
    for text in claims(material)[:5]:
        score, said = {}, {}
        for name, author in authors.items():
            url = f"/v1/moderate/misinformation/{name}-{text[:9]}"
            features = {"text": text, "author": author, "engagement": {"impressions": 20_000}}  # which is a signal
            score[name] = client.put(url, json={"features": features}).json()["results"][0]["confidence"]
            entry = engine.records.latest("misinformation", f"{name}-{text[:9]}")
            said[name] = entry.assessment["moved"].get("misinformation", [])
        assert score["reported"] > 2 * score["clean"]
        assert score["unknown"] > score["clean"]  # that nothing is known of an author is no good sign
        assert any(word.startswith("the author's prior reports 400 (odds times") for word in said["reported"])
        assert any(word.startswith("the author's prior reports unknown (odds times") for word in said["unknown"])


def test_misinformation_is_looked_for_once_a_post_is_reported(client, material):
    features = {"text": claims(material)[0], "author": {"id": "a", "prior_reports": 400}}
    url = "/v1/moderate/misinformation/quiet"
    said = client.put(url, json={"features": features}).json()
    assert (said["decision"]["action"], said["results"]) == ("wait", [{"label": "misinformation", "confidence": None}])
    for person in ("a", "b", "c"):
        assert client.get(url).json()["decision"] == said["decision"]
        client.post("/v1/posts/quiet/events", json={"kind": "report", "by": person})
    told = client.get(url).json()
    assert (told["decision"]["action"], 0 < told["results"][0]["confidence"] < 1) == ("review", True)
    again = client.put(url, json={"features": features}).json()
    assert (again["stored"], again["results"], again["decision"]) == (True, told["results"], told["decision"])


@pytest.mark.parametrize("service", ["misinformation", "post"])
def test_harmless_posts_that_annoy_go_to_a_person_and_are_not_removed(client, material, service):
    reported = {"reports": 5000, "impressions": 60_000, "reactions": 10}
    for number, text in enumerate(claims(material)[:8]):
        features = {"text": text, "author": {"prior_reports": 0}, "engagement": reported}
        decision = client.put(f"/v1/moderate/{service}/loud-{number}", json={"features": features}).json()["decision"]
        assert decision["action"] == "review"
        assert "reports" in [reason["kind"] for reason in decision["reasons"]]


def test_the_log_has_what_was_scored(client, engine, posts, material):
    features = posts["post"] | {"author": {"id": "a", "prior_reports": 4}}
    client.put("/v1/moderate/post/logged", json={"features": features})
    entry = engine.records.latest("post", "logged")
    assert entry.features["author"] == {"id": "a", "prior_reports": 4}
    kept = engine.content(entry.features["video"]["id"])
    assert base64.b64encode(kept).decode() == posts["post"]["video"]
    assert engine.content(entry.features["text"]["id"]).decode() == posts["post"]["text"]


def test_confidences_are_those_of_the_bundle(client, engine, material):
    """A study, a bundle and the API agree: here over twenty texts, tests/test_parity.py over all doors."""
    table = material.sets["test"]
    texts = table.filter(pc.is_valid(table["text"])).slice(0, 20)
    moderator = next(one for one in engine._moderators.values() if one.classifier.name == "text-clip")
    for row, assessed in zip(texts.to_pylist(), moderator.assess(texts), strict=True):
        answer = client.put(f"/v1/moderate/text/{row['post_id']}", json={"features": {"text": row["text"]}}).json()
        said = {one["label"]: one["confidence"] for one in answer["results"]}
        assert said == {"abuse": pytest.approx(assessed.scores["abuse"], abs=1e-4)}
