"""The starter that ships: whole, small, with its card, and what it decides of plain words."""

from __future__ import annotations

import os

import pytest
from starter_sentences import EVERYDAY, INSULTS, OTHERS, THREATS

from workbench.decisions.moderator import Moderator
from workbench.schema import Post, Taxonomy
from workbench.starter import build
from workbench.starter.posts import read
from workbench.starter.recipe import Recipe


@pytest.fixture(scope="module")
def shipped():
    return Moderator.load(build.FOLDER, taxonomy=Taxonomy.load())


@pytest.fixture(scope="module")
def decided(shipped):
    """The function that returns the decisions about sentences."""
    return lambda texts: shipped.decide([Post(post_id=str(n), text=text) for n, text in enumerate(texts)])


def test_it_is_whole_small_and_says_what_it_is(shipped):
    assert build.size(build.FOLDER) < 3 * 2**20
    assert shipped.labels == ("abuse",)
    assert shipped.languages.tags == ("en",)
    recipe, card = Recipe.load(), (build.FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"**{recipe.purpose}**" in card
    assert "It says nothing about nudity, violence and misinformation" in card
    for name, posts in recipe.sets.items():
        assert posts.by in card
        assert posts.licence in card
        assert f"{name}, held out" in card
    for name in recipe.unseen:
        assert f"| {name} " in card
    assert "By kind of case: hatecheck" in card
    assert "By identity: identity-templates" in card
    rule = shipped.policy.labels["abuse"]
    assert rule.review_for.objective == recipe.review  # chosen on validation, not set by hand
    assert rule.review_at == rule.review_for.at
    assert rule.remove_at is None


def test_its_card_says_what_it_measured(shipped):
    found = shipped.card["starter"]
    assert found["unseen"]["comments"]["auroc"][1] > 0.8  # the lower bound
    means = [worth["auroc"][0] for worth in found["sets held out"].values()]
    assert sum(means) / len(means) > 0.68
    assert {row["kind"] for row in found["kinds"]["hatecheck"] if row["harmful"]} >= {"threat_dir_h", "derog_dehum_h"}


def test_threats_and_insults_are_seen_by_a_person(decided):
    assert len(THREATS) + len(INSULTS) == 60
    decisions = decided([*THREATS, *INSULTS])
    assert sum(decision.action == "review" for decision in decisions) >= 36
    assert not any(decision.unread for decision in decisions)
    assert decided(["I will kill you"])[0].action == "review"


def test_everyday_words_pass(decided):
    assert len(EVERYDAY) == 60
    assert sum(decision.action != "allow" for decision in decided(EVERYDAY)) <= 6


def test_no_other_language_is_judged(decided):
    assert len(OTHERS) == 60
    decisions = decided(OTHERS)
    assert [text for text, decision in zip(OTHERS, decisions, strict=True) if decision.action == "allow"] == []
    assert all(decision.unread == ("text",) and not decision.scores for decision in decisions)


@pytest.mark.slow
def test_it_can_be_made_again(shipped, decided):
    if not os.environ.get("WORKBENCH_DATA"):
        pytest.skip("WORKBENCH_DATA names no folder of data sets")
    recipe, taxonomy = Recipe.load(), Taxonomy.load()
    tables = {name: read(name, posts, recipe.label, taxonomy) for name, posts in recipe.sets.items()}
    made = build.train(tables, recipe, taxonomy)
    texts = [*INSULTS, *EVERYDAY, *OTHERS[:5]]
    again = made.decide([Post(post_id=str(n), text=text) for n, text in enumerate(texts)])
    for one, other in zip(again, decided(texts), strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-4)
        assert one.action == other.action
    assert made.policy.labels["abuse"].review_at == pytest.approx(shipped.policy.labels["abuse"].review_at, abs=1e-4)
    assert made.languages.digest == shipped.languages.digest
