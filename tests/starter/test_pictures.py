"""The starter for pictures: made on a stand-in for its package, and as it ships, without weights."""

from __future__ import annotations

import io
import json

import pytest
import small_nsfw
from PIL import Image

from workbench.decisions import bundle
from workbench.decisions.moderator import Moderator
from workbench.decisions.policy import Policy
from workbench.errors import WorkbenchError
from workbench.schema import Media, Post
from workbench.starter import build, pictures
from workbench.starter.pictures import PictureRecipe


def red(level):
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (level, 0, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A bundle of the stand-in, measured on four pictures, one of them broken."""
    small_nsfw.install(monkeypatch, tmp_path / "package")
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    for name, data in (("a", red(0)), ("b", red(52)), ("c", red(230)), ("d", b"broken")):
        (tmp_path / f"{name}.png").write_bytes(data)
    lines = [json.dumps({"id": name, "image": f"{name}.png"}) for name in "abcd"]
    (tmp_path / "posts.jsonl").write_text("\n".join(lines))
    recipe = PictureRecipe.load().model_dump(mode="json")
    recipe["sets"] = {"some": {**recipe["sets"]["harmeme"], "file": "posts.jsonl"}}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    return pictures.make(tmp_path / "recipe.yaml", tmp_path / "open")


def test_it_is_measured_on_what_is_taken_to_be_harmless(made):
    found = made.card["starter"]["sets"]["some"]
    assert (found["pictures"], found["unread"]) == (4, 1)
    assert [found["reached"][mark][:2] for mark in ("0.2", "0.8")] == [[2, 2 / 3], [1, 1 / 3]]  # of the three read
    low, high = found["reached"]["0.8"][2:]
    assert (round(low, 3), round(high, 3)) == (0.061, 0.792)  # Wilson's interval of one in three
    assert found["ms"] > 0


def test_a_person_looks_from_the_threshold_on_and_nothing_is_removed(made, tmp_path):
    loaded = Moderator.load(tmp_path / "open")
    assert loaded.model_id == made.model_id
    posts = [Post(post_id=str(level), image=Media(bytes=red(level))) for level in (0, 50, 52, 255)]
    decisions = loaded.decide(posts)
    assert [decision.action for decision in decisions] == ["allow", "allow", "review", "review"]
    assert [list(decision.scores) for decision in decisions] == [["nudity"]] * 4
    assert decisions[2].scores["nudity"] == pytest.approx(52 / 255, abs=1e-6)  # the package's own probability
    assert loaded.decide([Post(post_id="t", text="words")])[0].action == "review"


def test_the_card_that_ships_says_what_it_is_and_what_it_is_not():
    recipe, head = PictureRecipe.load(), bundle.read(pictures.FOLDER)
    card = (pictures.FOLDER / bundle.README).read_text(encoding="utf-8")
    assert build.size(pictures.FOLDER) < 30_000  # no weights
    for said in (recipe.purpose, recipe.why, recipe.by, recipe.licence, recipe.limits, "They are not calibrated"):
        assert said in card
    assert "calibrated on validation" not in card
    assert "Recall: no pictures labelled for nudity were at hand" in card
    policy = Policy.load(pictures.FOLDER / bundle.POLICY)
    assert list(policy.labels) == head["labels"] == [recipe.label]
    rule = policy.labels[recipe.label]
    assert (rule.review_at, rule.remove_at) == (recipe.review_at, None)
    found = head["card"]["starter"]["sets"]["harmeme"]
    assert found["pictures"] == 3190
    assert 0 < found["reached"]["0.8"][1] < found["reached"]["0.2"][1] < 0.2


def test_without_the_extra_it_is_neither_made_nor_loaded(tmp_path, monkeypatch):
    small_nsfw.remove(monkeypatch)
    assert "moderation-workbench[nudity]" in bundle.missing(pictures.FOLDER)
    assert bundle.missing(build.FOLDER) == ""
    for call in (lambda: pictures.make(out=tmp_path / "open"), lambda: Moderator.load(pictures.FOLDER)):
        with pytest.raises(WorkbenchError, match=r"moderation-workbench\[nudity\]"):
            call()
