"""Reviews past their due time, as long as nobody has looked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from workbench.records import Entry, Records

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=2)


@pytest.fixture
def records(tmp_path):
    with Records(tmp_path) as made:
        yield made


def record(records: Records, post: str, action: str = "review", service: str = "text", again: str = "") -> str:
    due = (NOON + timedelta(hours=1)).isoformat() if action == "review" else None
    identity = f"{service} {post} {again}"
    about = {"identity": identity, "service": service, "post_id": post, "at": NOON, "features": {}, "assessment": {}}
    decision = {"action": action, "due_at": due}
    assert records.record(Entry(**about, decision=decision, model_id="m", policy_id="p"))
    return identity


def test_what_waits_past_its_due_time_is_counted_by_service(records):
    for post in ("a", "b"):
        record(records, post)
    record(records, "a", service="post")
    record(records, "c", action="allow")
    assert records.overdue(NOON) == {}
    assert records.overdue(LATER) == {"text": 2, "post": 1}


@pytest.mark.parametrize(("kind", "value"), [("label", {"abuse": False}), ("removal", {})])
def test_a_label_or_a_removal_ends_the_waiting_and_another_event_does_not(records, kind, value):
    record(records, "a")
    records.event("a", "report", NOON, {}, "ann")
    records.event("a", kind, NOON - timedelta(minutes=1), value)  # of an answer before
    assert records.overdue(LATER) == {"text": 1}
    records.event("a", kind, LATER, value)
    assert records.overdue(LATER) == {}


def test_only_the_newest_answer_on_a_post_counts(records):
    first = record(records, "a")
    record(records, "a", action="allow", again="edited")
    assert records.overdue(LATER) == {}
    records.redecide(first, {"action": "review", "due_at": NOON.isoformat()}, "q")
    assert records.overdue(LATER) == {}
    second = record(records, "b", action="allow")
    records.redecide(second, {"action": "review", "due_at": "2026-03-01T13:00:00Z"}, "q")
    assert records.overdue(LATER) == {"text": 1}
    records.delete("text", "b")
    assert records.overdue(LATER) == {}
