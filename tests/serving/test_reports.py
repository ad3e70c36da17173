"""Reports, brought by a post or told as events, send the newest answer to a person without running a model again."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Thread

import pytest
from oracles import history
from stand_in import StandIn, configured, policy_of

from workbench.schema import Engagement, Post
from workbench.serving.engine import Engine


def post(text: str = "mild", reports: int | None = None) -> Post:
    return Post(post_id="p1", text=text, engagement=None if reports is None else Engagement(reports=reports))


def report(engine, number: int, post_id: str = "p1") -> bool:
    return engine.event(post_id, "report", datetime(2026, 1, 1, 0, number, tzinfo=UTC), {}, f"user {number}")


def kinds(answer) -> list[str]:
    return [reason.kind for reason in answer.decision.reasons]


def test_reports_told_as_events_send_the_newest_answers_to_review(engine, stand_in):
    for service in ("text", "post"):
        assert engine.moderate(service, post()).decision.action == "allow"
    calls = list(stand_in.calls)
    assert [report(engine, number) for number in (1, 2, 2)] == [True, True, False]
    assert engine.lookup("text", "p1").decision.action == "allow"  # two people, one of them twice
    report(engine, 3)
    for service in ("text", "post"):
        told = engine.lookup(service, "p1")
        assert (told.decision.action, kinds(told)) == ("review", ["reports"])
        assert engine.moderate(service, post()).decision == told.decision
    assert stand_in.calls == calls
    assert [row["decision"]["action"] for row in history(engine.records, "text", "p1")] == ["allow", "review"]
    report(engine, 4)  # a fourth changes nothing
    assert "reported at least 3 times" in engine.lookup("text", "p1").decision.reasons[0].detail
    assert len(history(engine.records, "text", "p1")) == 2


@pytest.mark.parametrize("earlier", [None, 2])
def test_reports_that_a_replay_brings_are_judged_without_a_model(engine, stand_in, earlier):
    assert engine.moderate("text", post(reports=earlier)).decision.action == "allow"
    again = engine.moderate("text", post(reports=7))
    assert (again.stored, again.decision.action, stand_in.calls) == (True, "review", [1])
    assert engine.lookup("text", "p1").decision == again.decision


def test_reports_that_a_replay_brought_are_known_under_a_later_policy(make_engine, tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.serving.served.LOOK_AGAIN", 0.0)
    path = tmp_path / "policy.yaml"
    policy_of(reports_at=5).dump(path)
    engine = make_engine({"text": {"policy": path}})
    for reports in (2, 4, 1, None):
        assert engine.moderate("text", post(reports=reports)).decision.action == "allow"
    policy_of(reports_at=4).dump(path)
    assert kinds(engine.moderate("text", post())) == ["reports"]


def test_a_report_told_again_is_judged_if_it_was_not_and_before_any_service_is_loaded(make_engine, records, tmp_path):
    assert make_engine().moderate("text", post()).decision.action == "allow"
    for number in range(3):  # a server that died between the events and their decision
        records.event("p1", "report", datetime(2026, 1, 1, 0, number, tzinfo=UTC), {}, f"user {number}")
    fresh = Engine(configured(tmp_path), records, device="cpu", load=lambda *_, **__: StandIn())
    try:
        assert not report(fresh, 2)
        assert kinds(fresh.lookup("text", "p1")) == ["reports"]
    finally:
        fresh.close(1)


def test_reports_that_come_while_an_answer_is_recorded_count(engine, monkeypatch):
    record = engine.records.record

    def slow(*of):
        for number in range(3):
            report(engine, number)
        return record(*of)

    monkeypatch.setattr(engine.records, "record", slow)
    answer = engine.moderate("text", post())
    assert (answer.stored, kinds(answer)) == (False, ["reports"])


def test_what_two_posts_tell_anew_at_once_is_kept_of_both(engine, monkeypatch):
    engine.moderate("text", post())
    redecide, told = engine.records.redecide, []

    def slow(*of):
        if not told:
            told.append(Thread(target=engine.moderate, args=("text", post(reports=7))))
            told[0].start()
            told[0].join(0.3)  # it would be done by then if it did not wait for this one
        return redecide(*of)

    monkeypatch.setattr(engine.records, "redecide", slow)
    engine.moderate("text", post().model_copy(update={"region": "NZ"}))
    told[0].join(30)
    found = engine.lookup("text", "p1")
    assert (found.decision.action, found.assessment.reports, found.assessment.region) == ("review", 7, "NZ")


def test_reports_of_before_the_first_scoring_count(engine):
    for number in range(3):
        report(engine, number)
    assert kinds(engine.moderate("text", post())) == ["reports"]
    assert engine.moderate("text", Post(post_id="p2", text="mild")).decision.action == "allow"
    assert engine.probe("text", post()).decision.action == "allow"  # a probe is of no post on record


def test_reports_remove_nothing_and_spare_nothing(engine):
    assert engine.moderate("text", post("harm")).decision.action == "remove"
    for number in range(4):
        report(engine, number)
    told = engine.lookup("text", "p1")
    assert (told.decision.action, kinds(told)) == ("remove", ["label", "reports"])


def test_other_events_and_deleted_posts_are_left_alone(engine):
    engine.moderate("text", post())
    for number in range(5):
        engine.event("p1", "reaction", datetime(2026, 1, 1, 0, number, tzinfo=UTC), {"n": number}, "a")
    assert engine.lookup("text", "p1").decision.action == "allow"
    engine.delete("text", "p1")
    for number in range(5):
        report(engine, number)
    assert engine.lookup("text", "p1") is None
