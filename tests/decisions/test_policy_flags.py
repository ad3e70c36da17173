"""From where a policy flags, what it says of itself, and how it is written."""

from __future__ import annotations

import datetime as dt

import pytest

from workbench.decisions.objective import Chosen, Objective
from workbench.decisions.policy import NOTHING, LabelRule, Override, Policy
from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy

TAXONOMY = Taxonomy.load()
LABELS = TAXONOMY.names


def policy(review: float | None = 0.5, remove: float | None = 0.9, **more) -> Policy:
    rules = {label: LabelRule(review_at=review, remove_at=remove) for label in LABELS}
    return Policy(name="house", date=dt.date(2026, 1, 1), labels=rules, **more)


def test_from_where_a_comparison_flags():
    best = Chosen(objective=Objective(f1="best"), at=None, posts=9, harmful=1, nothing=True, why="why")
    for review_at, chosen, flags in (
        (None, None, None),
        (None, best, NOTHING),
        (None, best.model_copy(update={"nothing": False}), None),
        (0.5, best, 0.5),  # set by hand since
        (0.5, None, 0.5),
    ):
        assert LabelRule(review_at=review_at, remove_at=None, review_for=chosen).flags_from == flags


@pytest.mark.parametrize(
    ("review", "remove", "score", "met"),
    [
        (0.5, 0.5, 0.5, ("remove", 0.5)),
        (0.5, 0.5, 0.49, None),
        (0.5, None, 0.5, ("review", 0.5)),
        (0.5, None, 0.49, None),
        (None, 0.5, 0.49, None),
        (0.0, None, 0.0, ("review", 0.0)),
        (None, None, 1.0, None),
    ],
)
def test_what_a_score_leads_to(review, remove, score, met):
    assert LabelRule(review_at=review, remove_at=remove).met(score) == met


RULE = LabelRule(review_at=0.3, remove_at=None)


@pytest.mark.parametrize(
    ("where", "post", "applies"),
    [
        ({"region": "X"}, ("x", None), True),
        ({"region": "X"}, (None, "en"), False),
        ({"region": "X"}, ("xx", None), False),
        ({"language": "e"}, (None, "E"), True),
        ({"language": "en"}, ("X", "en_GB"), True),
        ({"language": "en-GB"}, (None, "en"), False),
        ({"language": "en"}, (None, "eng"), False),
        ({"language": "en"}, (None, None), False),
        ({"region": "X", "language": "en"}, ("X", "en"), True),
        ({"region": "X", "language": "en"}, ("Y", "en"), False),
        ({"region": "X", "language": "en"}, ("X", "de"), False),
    ],
)
def test_where_an_override_applies(where, post, applies):
    there = Override(**where, labels={"abuse": RULE})
    assert there.applies(*post) is applies
    by = policy(overrides=(there,))
    assert by.rule("abuse", *post, TAXONOMY) == ((RULE, there) if applies else (by.labels["abuse"], None))
    assert by.rule("nudity", *post, TAXONOMY) == (by.labels["nudity"], None)
    assert by.rule("spam", *post, TAXONOMY) == (None, None)
    assert str(there) == " and ".join(f"{name} {value}" for name, value in where.items())


@pytest.mark.parametrize("wrong", [{}, {"region": ""}, {"language": ""}, {"region": "X", "labels": {}}])
def test_an_override_says_where_and_what(wrong):
    with pytest.raises(ValueError, match=r"region|language|labels"):
        Override(**{"labels": {"abuse": RULE}} | wrong)


def test_versions_count_from_one():
    assert (policy().version, policy(version=1).version) == (1, 1)
    with pytest.raises(ValueError, match="version"):
        policy(version=0)


def test_a_policy_for_some_labels_keeps_their_rules_and_overrides():
    both, one = (
        Override(region="X", labels={"abuse": RULE, "nudity": RULE}),
        Override(region="Y", labels={"abuse": RULE}),
    )
    by = policy(overrides=(both, one))
    kept = by.only(["nudity", "violence"])
    assert kept.labels == {label: by.labels[label] for label in ("nudity", "violence")}
    assert kept.overrides == (Override(region="X", labels={"nudity": RULE}),)
    assert kept.id != by.id
    kept.check(["nudity", "violence"], "the model")
    with pytest.raises(WorkbenchError, match="unknown label of the model 'abuse'"):
        by.check(["nudity", "violence", "misinformation"], "the model")
    with pytest.raises(WorkbenchError, match="unknown label of the model 'spam'"):
        policy(overrides=(Override(region="X", labels={"spam": RULE}),)).check(LABELS, "the model")


def test_a_policy_file_is_short_lines_in_the_order_of_its_fields(tmp_path):
    first = "für jede Frage gibt es auch eine Antwort, die man nicht gern hört, und diese ist so lang, dass keine"
    asked = Chosen(objective=Objective(recall=0.8), at=None, posts=9, harmful=1, why=f"{first} Zeile nicht reicht")
    rule = LabelRule(review_at=None, remove_at=0.5, review_for=asked)
    Policy(name="house", date=dt.date(2026, 1, 1), labels={"abuse": rule}).dump(tmp_path / "policy.yaml")
    lines = (tmp_path / "policy.yaml").read_text(encoding="utf-8").splitlines()
    assert lines[:8] == [
        "name: house",
        "version: 1",
        "date: '2026-01-01'",
        "unseen: review",
        "links: review",
        "reports_at: 3",
        "reactive: review",
        "out_of_distribution_at: null",
    ]
    assert lines[-4:] == [f"      why: {first}", "        Zeile nicht reicht", "    remove_for: null", "overrides: []"]
    assert len(lines[-4]) == 111  # a line ends with the word that reaches past 110
