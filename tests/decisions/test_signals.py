"""Signals: what reports lead to, and labels that act on a signal."""

from __future__ import annotations

import datetime as dt

from workbench.decisions.policy import Assessment, LabelRule, Policy
from workbench.schema import Taxonomy

TAXONOMY = Taxonomy.load()
LABELS = TAXONOMY.names
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def policy(review: float | None = 0.5, remove: float | None = 0.9, **more) -> Policy:
    rules = {label: LabelRule(review_at=review, remove_at=remove) for label in LABELS}
    return Policy(name="house", date=dt.date(2026, 1, 1), labels=rules, **more)


def assessed(score: float = 0.1, **more) -> Assessment:
    given = {"scores": dict.fromkeys(LABELS, 0.1) | {"abuse": score}, "created_at": NOON} | more
    return Assessment(post_id="p", **given)


def judge(by: Policy, found: Assessment):
    return by.judge(found, TAXONOMY, "model-1")


def test_reports_send_a_post_to_a_person_from_a_stated_number_on_and_remove_nothing():
    for reports, action in ((None, "allow"), (2, "allow"), (3, "review"), (5000, "review")):
        found = judge(policy(), assessed(reports=reports))
        assert found.action == action
        assert [reason.kind for reason in found.reasons] == (["reports"] if action == "review" else [])
    assert found.reasons[0].detail == "The post was reported at least 3 times; from there on, a person looks."
    assert found.due_at == NOON + dt.timedelta(hours=1)
    assert judge(policy(), assessed(0.95, reports=3)).action == "remove"
    assert judge(policy(reports_at=None), assessed(reports=5000)).action == "allow"
    assert judge(policy(reports_at=6), assessed(reports=5)).action == "allow"


def test_a_label_that_acts_on_a_signal_is_never_removed_at_once_unless_the_policy_says_so():
    sure = {"scores": dict.fromkeys(LABELS, 0.1) | {"misinformation": 0.99}}
    found = judge(policy(), assessed(**sure))
    assert (found.action, found.due_at) == ("review", NOON + dt.timedelta(hours=24))
    assert found.reasons[0].threshold == 0.5
    only_removal = judge(policy(review=None), assessed(**sure))
    assert (only_removal.action, only_removal.reasons[0].threshold) == ("review", 0.9)
    assert judge(policy(reactive="remove"), assessed(**sure)).action == "remove"
    both = {"scores": dict.fromkeys(LABELS, 0.1) | {"misinformation": 0.99, "violence": 0.99}}
    assert judge(policy(), assessed(**both)).action == "remove"  # for violence
