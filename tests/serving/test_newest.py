"""The newest answer on a post is what everything says of it, also after an edit back; and what is deleted is gone."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from oracles import counts, history
from sqlalchemy import select
from stand_in import StandIn, configured, until

from workbench.corpora import log
from workbench.records import Deleted, Records
from workbench.records.tables import metadata
from workbench.schema import Author, Engagement, Post, Taxonomy
from workbench.serving.engine import Engine, RateLimited

pytestmark = pytest.mark.usefixtures("database")
HARMFUL, HARMLESS = "harm, harm", "good morning, lovely tomatoes this year"


def post(text: str = HARMFUL, post_id: str = "p1", **more) -> Post:
    return Post(post_id=post_id, text=text, **more)


def rows(engine, **options) -> list[dict]:
    options = log.SourceOptions(folder=str(engine.records.folder), service="text", **options)
    return log.build(options, Taxonomy.load()).to_pylist()


def everything(records: Records) -> str:
    """Return all that the tables hold, as text."""
    return "\n".join(
        str(bytes(cell) if isinstance(cell, memoryview) else cell)
        for table in metadata.tables.values()
        for row in records._database.read(select(table))
        for cell in row
    )


def test_an_edit_back_is_the_earlier_decision_again_everywhere(engine, stand_in):
    actions = [engine.moderate("text", post(text)).decision.action for text in (HARMFUL, HARMLESS, HARMFUL)]
    assert actions == ["remove", "allow", "remove"]
    assert stand_in.scored == 2  # known by then
    assert engine.lookup("text", "p1").decision.action == "remove"
    assert [line["decision"]["action"] for line in history(engine.records, "text", "p1")] == [
        "remove",
        "allow",
        "remove",
    ]
    engine.event("p1", "label", None, {"misinformation": True}, "ann")
    (row,) = rows(engine)
    assert (row["text"], row["labels"]["misinformation"], row["meta"]["action"]) == (HARMFUL, True, "remove")
    both = {one["text"]: one["labels"]["misinformation"] for one in rows(engine, versions="all")}
    assert both == {HARMFUL: True, HARMLESS: None}


def test_a_verdict_speaks_of_what_stood_there(engine):
    for text, label in ((HARMFUL, True), (HARMLESS, False), (HARMFUL, None)):
        engine.moderate("text", post(text))
        if label is not None:
            engine.event("p1", "label", None, {"abuse": label}, "ann")
    assert {one["text"]: one["labels"]["abuse"] for one in rows(engine, versions="all")} == {
        HARMFUL: True,
        HARMLESS: False,
    }


def test_repeats_of_the_newest_write_nothing(engine):
    for text in (HARMFUL, HARMLESS, HARMFUL):
        engine.moderate("text", post(text))
    before = counts(engine.records)
    for _ in range(5):
        assert engine.moderate("text", post(HARMFUL)).stored
    assert counts(engine.records) == before


def test_of_two_servers_both_say_what_was_answered_last(make_engine, tmp_path):
    engine = make_engine()
    with Records(engine.records.folder) as shared:
        other = Engine(configured(tmp_path), shared, device="cpu", load=lambda *_, **__: StandIn())
        other.load()
        engine.moderate("text", post(HARMFUL))
        other.moderate("text", post(HARMLESS))
        engine.moderate("text", post(HARMFUL))
        for one in (engine, other):
            assert one.lookup("text", "p1").decision.action == "remove"
        other.close(1)


def test_a_report_on_an_older_version_that_comes_late_does_not_make_it_the_newest(engine):
    engine.moderate("text", post(HARMFUL))
    old = engine.records.latest("text", "p1")
    engine.moderate("text", post(HARMLESS))
    for number in range(4):
        engine.event("p1", "report", None, {}, f"user {number}")
    engine._service("text").again(old, engine.records)
    assert engine.lookup("text", "p1").decision.action == "review"  # of the newest, which was reported
    assert engine.records.latest("text", "p1").identity != old.identity


# ------------------------------------------------------------------------------------------------------------ deletion


def test_a_deletion_takes_what_was_copied_along_too(engine):
    secret = ("COMM-uniq-31", "REG-uniq-32", "eo", "author-uniq-33", "192.168.7.77", "words-uniq-34")
    whole = post(
        f"{HARMFUL} http://192.168.7.77/path",
        community="COMM-uniq-31",
        region="REG-uniq-32",
        language="eo",
        author=Author(id="author-uniq-33"),
        engagement=Engagement(reports=1),
        created_at=datetime(2026, 1, 5, tzinfo=UTC),
    )
    assert engine.moderate("text", whole).decision.action == "remove"
    engine.event("p1", "report", None, {"reason": "words-uniq-34"}, "ann")
    held = everything(engine.records)
    assert all(one in held for one in secret)
    assert engine.delete("text", "p1")
    held = everything(engine.records)
    assert [one for one in secret if f'"{one}"' in held or (len(one) > 2 and one in held)] == []
    assert "2026-01-05" not in held
    (line,) = history(engine.records, "text", "p1")
    assert (line["decision"], line["model_id"]) == ({"action": "remove"}, "stand-in-000000000000")


def test_when_a_deleted_post_was_due_tells_when_it_was_made_and_goes_too(engine):
    made = datetime(2026, 1, 5, 8, 13, 21, tzinfo=UTC)
    answer = engine.moderate("text", post("a picture", image={"bytes": b"no picture"}, created_at=made))
    assert answer.decision.action == "review"
    assert ":13:21" in everything(engine.records)
    engine.delete("text", "p1")
    assert "2026-01-05" not in everything(engine.records)


def test_words_about_a_post_stay_while_another_service_has_it(engine):
    for service in ("text", "post"):
        engine.moderate(service, post())
    engine.event("p1", "report", None, {"reason": "words-uniq-34"}, "ann")
    engine.delete("text", "p1")
    assert "words-uniq-34" in everything(engine.records)
    engine.delete("post", "p1")
    assert "words-uniq-34" not in everything(engine.records)


@pytest.mark.parametrize("by", ["this server", "another server"])
def test_a_post_that_is_deleted_while_it_is_scored_is_not_recorded(engine, stand_in, by):
    stand_in.gate.clear()
    answer = engine.submit("text", post(image={"bytes": b"no picture"}))
    until(lambda: stand_in.calls)
    if by == "this server":
        assert engine.delete("text", "p1")
    else:
        with Records(engine.records.folder) as other:
            assert not other.delete("text", "p1")  # nothing is recorded yet
    stand_in.gate.set()
    with pytest.raises(Deleted, match="was deleted while it was scored; nothing of it is kept"):
        answer.result(30)
    assert engine.lookup("text", "p1") is None
    assert counts(engine.records)["entries"] == 0
    assert not [path for path in (engine.records.folder / "contents").rglob("*") if path.is_file()]
    assert engine.moderate("text", post()).decision.action == "remove"  # sent again, it is a post again
    assert engine.lookup("text", "p1") is not None


def test_a_post_that_is_deleted_before_it_is_looked_up_is_not_recorded(engine, monkeypatch):
    looking, gate = threading.Event(), threading.Event()
    find = Records.find

    def slow(self, identities):
        looking.set()
        assert gate.wait(30)
        return find(self, identities)

    monkeypatch.setattr(Records, "find", slow)
    first = engine.submit("text", post(post_id="other"))
    looking.wait(30)
    answer = engine.submit("text", post())  # waits behind it
    assert engine.delete("text", "p1")
    gate.set()
    first.result(30)
    with pytest.raises(Deleted):
        answer.result(30)
    assert engine.lookup("text", "p1") is None


# -------------------------------------------------------------------------------------------------------------- events


def test_a_retry_counts_once_and_two_people_count_twice(engine):
    engine.moderate("text", post(HARMLESS))
    tell = lambda **more: engine.event("p1", "report", more.pop("at", None), {"reason": "spam"}, **more)  # noqa: E731
    assert tell(by="ann")
    assert not tell(by="ann")  # a lost response, sent again
    assert tell(by="bob")
    assert tell(by=None, key="k-1")
    assert not tell(by=None, key="k-1")
    assert not tell(by="eve", key="k-1")  # the key says that it is the same
    noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert tell(by="ann", at=noon)
    assert not tell(by="ann", at=noon)
    assert tell(by="ann", at=noon + timedelta(seconds=1))
    assert not tell(by="ann")
    assert engine.records.reports("p1") == 5


def test_a_verdict_without_a_time_counts_again_for_another_version_and_after_the_contrary(engine):
    label = lambda value: engine.event("p1", "label", None, {"abuse": value}, "ann")  # noqa: E731
    engine.moderate("text", post(HARMFUL))
    assert [label(False), label(False)] == [True, False]
    engine.moderate("text", post(HARMLESS))
    assert [label(False), label(False)] == [True, False]  # of what stands there now
    assert [label(True), label(True), label(False), label(False)] == [True, False, True, False]
    assert {one["text"]: one["labels"]["abuse"] for one in rows(engine, versions="all")} == {
        HARMFUL: False,
        HARMLESS: False,
    }
    assert [event.value["abuse"] for event in engine.records.events("p1")] == [False, False, True, False]


def test_events_on_posts_that_were_never_scored_are_limited(make_engine):
    engine = make_engine(unknown_per_minute=3)
    engine.moderate("text", post())
    for number in range(3):
        engine.event(f"unknown {number}", "impression", None, {"count": 1}, None)
    with pytest.raises(RateLimited, match="events on posts that were never scored"):
        engine.event("unknown 3", "impression", None, {"count": 1}, None)
    assert engine.event("p1", "impression", None, {"count": 1}, None)


# -------------------------------------------------------------------------------------------------------------- upkeep


def test_what_was_kept_long_enough_goes_by_itself(make_engine, records):
    engine = make_engine()
    engine.moderate("text", post())
    engine.moderate("text", post(HARMLESS, "p2"))
    engine.close(1)
    with records._database._writes.begin() as connection:
        connection.exec_driver_sql("UPDATE decisions SET at = '2026-01-01T00:00:00.000000+00:00' WHERE seq = 1")
    records._blobs.put(b"left by a killed server")
    again = make_engine(keep_days=30)
    until(lambda: again.lookup("text", "p1") is None)
    until(lambda: not list((records.folder / "contents").glob("*/*")))
    assert again.lookup("text", "p2") is not None
    assert HARMLESS in everything(records)
    assert HARMFUL not in everything(records)


def test_authors_are_told_apart_by_more_than_a_capital_or_a_space(make_engine):
    engine = make_engine({"text": {"limits": {"author_burst": 2}}})
    for number, name in enumerate(("Flooder-1", "flooder-1 ")):
        engine.moderate("text", post(f"words {number}", f"p{number}", author=Author(id=name)))
    with pytest.raises(RateLimited):
        engine.moderate("text", post("words 3", "p3", author=Author(id=" FLOODER-1")))
