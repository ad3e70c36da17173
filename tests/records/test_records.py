"""What is recorded comes back as it was, once per identity; what is deleted is nowhere, and its audit line stays."""

from __future__ import annotations

import hashlib
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from oracles import counts, history
from sqlalchemy import select

from workbench.errors import WorkbenchError
from workbench.records import KINDS, URL, Entry, Event, Records, by_value
from workbench.records.tables import metadata
from workbench.schema import Post

NOON = datetime(2026, 1, 2, 12, 0, 0, 345, tzinfo=UTC)
POST = Post(
    post_id="p1",
    text="Hello \u202e 😀\x00",
    image={"bytes": b"\x89PNG picture"},
    video={"bytes": b"clip" * 5000, "path": "a.mp4"},
    author={"id": "ann-with-a-name", "posts": 3, "account_age_days": 0.1},
    engagement={"reports": 2},
    community="cats",
    language="en",
    created_at=NOON,
)


@pytest.fixture
def records(tmp_path, database):
    with Records(tmp_path / "records") as opened:
        yield opened


def entry(number: int = 1, post: Post = POST, **changed) -> Entry:
    values = {
        "identity": f"identity {number}",
        "service": "post",
        "post_id": post.post_id,
        "at": NOON + timedelta(hours=number),
        "features": by_value(post)[0],
        "assessment": {"scores": {"abuse": 0.1 + 0.2, "nudity": None}},
        "decision": {"action": "review", "reasons": [{"kind": "label"}]},
        "model_id": "clip-cross-0123",
        "policy_id": "default@1-aa",
    }
    return Entry(**values | changed)


def words(text: str, post_id: str = "p1") -> Post:
    return Post(post_id=post_id, text=text)


def on_disk(records: Records, data: bytes) -> list[str]:
    """Return the files below the records' folder, and the tables of a server, that hold these bytes."""
    files = [path for path in sorted(records.folder.rglob("*")) if path.is_file()]
    found = [path.name for path in files if data in path.read_bytes()]
    for name, table in metadata.tables.items() if os.environ.get(URL) else ():
        rows = [
            bytes(cell) if isinstance(cell, memoryview) else cell
            for row in records._database.read(select(table))
            for cell in row
        ]
        found += [name] * any(data in (cell if isinstance(cell, bytes) else str(cell).encode()) for cell in rows)
    return found


# ----------------------------------------------------------------------------------------------------------- features


def put(records: Records, data: bytes) -> str:
    """Keep a picture as `record` does before it records, and return its id."""
    records._blobs.put(data)
    return records._blobs.id_of(data)


def test_features_are_by_value_and_contents_by_their_sha256():
    features, contents = by_value(POST)
    text = "Hello \u202e 😀\x00".encode()
    assert contents == {"text": text, "image": POST.image.bytes, "video": POST.video.bytes}
    assert features == {
        "text": {"id": hashlib.sha256(text).hexdigest(), "bytes": len(text)},
        "image": {"id": hashlib.sha256(POST.image.bytes).hexdigest(), "bytes": 12},
        "video": {"id": hashlib.sha256(POST.video.bytes).hexdigest(), "bytes": 20_000},
        "author": {"id": "ann-with-a-name", "posts": 3, "account_age_days": 0.1},
        "engagement": {"reports": 2},
        "community": "cats",
        "language": "en",
        "created_at": "2026-01-02T12:00:00.000345Z",
    }
    assert by_value(Post(post_id="p", image={"path": "a.png"})) == ({"image": {"path": "a.png"}}, {})
    assert by_value(Post(post_id="p", image={"bytes": b""}))[0]["image"]["bytes"] == 0  # there, and empty


# ------------------------------------------------------------------------------------------------------------ entries


def test_an_entry_comes_back_as_it_was_also_in_another_process_of_time(records):
    given = entry()
    assert records.record(given, by_value(POST)[1])
    assert records.by_identity(given.identity) == given
    assert records.latest("post", "p1") == given
    with Records(records.folder, create=False) as other:
        assert list(other.entries()) == [given]
        for modality, data in by_value(POST)[1].items():
            assert other.blob(given.features[modality]["id"]) == data


def test_the_first_of_an_identity_stands(records):
    contents = by_value(POST)[1]
    assert records.record(entry(), contents)
    assert not records.record(entry(decision={"action": "allow"}, at=NOON), contents)
    assert records.by_identity("identity 1").decision["action"] == "review"
    assert counts(records)["entries"] == counts(records)["decisions"] == 1
    assert records.by_identity("identity 2") is None
    assert records.latest("text", "p1") is None


def test_of_many_threads_and_records_one_is_the_first(records):
    contents = by_value(POST)[1]
    with Records(records.folder) as other:
        found, gate = [], threading.Barrier(16)

        def run(which: int) -> None:
            gate.wait()
            one = other if which % 2 else records
            found.append((one.record(entry(decision={"by": which}), contents), which))

        threads = [threading.Thread(target=run, args=(which,)) for which in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (first,) = [which for new, which in found if new]
        assert len(found) == 16
        assert other.by_identity("identity 1").decision == {"by": first}


def test_a_blob_that_features_name_must_be_given_or_be_there(records):
    given = entry()
    with pytest.raises(WorkbenchError, match=f"blob {given.features['text']['id']} is not kept"):
        records.record(given)
    assert counts(records)["entries"] == 0
    assert records.record(given, by_value(POST)[1])
    assert records.record(entry(2, post_id="p2"))  # its blobs are there
    assert records.blob("0" * 64) is None
    assert records.blob("../../etc/passwd") is None


def test_a_content_that_lies_elsewhere_is_used_all_the_same(records):
    given = entry(features={"image": {"id": "a" * 64, "bytes": 3}})
    assert records.record(given, elsewhere={"a" * 64})
    assert records.only_of("post", "p1") == ["a" * 64]
    assert records.blob_kinds("a" * 64) == ("image",)


def test_entries_by_time_and_service_in_the_order_of_recording(records):
    for number in range(1200):  # more than two pages
        service = "text" if number % 2 else "post"
        records.record(entry(number, words("same"), service=service, post_id=f"p{number}"), {"text": b"same"})
    assert [one.post_id for one in records.entries()] == [f"p{number}" for number in range(1200)]
    assert [one.post_id for one in records.entries(NOON + timedelta(hours=2), NOON + timedelta(hours=5))] == [
        "p2", "p3", "p4",
    ]  # fmt: skip
    assert len(list(records.entries(service="text"))) == 600
    with pytest.raises(WorkbenchError, match="has no time zone"):
        list(records.entries(datetime(2026, 1, 1)))


def test_a_changed_policy_appends_and_keeps_what_was(records):
    records.record(entry(), by_value(POST)[1])
    assert records.redecide("identity 1", {"action": "remove"}, "strict@2-bb")
    assert not records.redecide("identity 1", {"action": "remove"}, "strict@2-bb")  # that policy has spoken
    assert records.redecide("identity 1", {"action": "review"}, "default@1-aa")  # back again is a decision too
    assert not records.redecide("no such identity", {}, "x")
    found = records.by_identity("identity 1")
    assert (found.decision, found.policy_id) == ({"action": "review"}, "default@1-aa")
    decisions = history(records, "post", "p1")
    assert [one["policy_id"] for one in decisions] == ["default@1-aa", "strict@2-bb", "default@1-aa"]
    assert [one["decision"]["action"] for one in decisions] == ["review", "remove", "review"]
    assert {one["model_id"] for one in decisions} == {"clip-cross-0123"}
    assert decisions[0]["at"] == found.at


# ----------------------------------------------------------------------------------------------------------- deletion


def test_a_deleted_post_leaves_its_audit_line_and_nothing_else(records):
    records.record(entry(), by_value(POST)[1])
    records.redecide("identity 1", {"action": "remove"}, "strict@2-bb")
    secrets = [b"Hello", POST.image.bytes, POST.video.bytes[:50], b"ann-with-a-name", b"identity 1"]
    assert all(on_disk(records, secret) for secret in secrets)
    assert records.delete("post", "p1")
    assert [on_disk(records, secret) for secret in secrets] == [[]] * 5
    left = records.latest("post", "p1")
    assert (left.features, left.decision, left.policy_id) == ({}, {"action": "remove"}, "strict@2-bb")
    assert (left.model_id, left.assessment, left.at) == (entry().model_id, {}, entry().at)
    assert left.deleted_at is not None
    assert len(history(records, "post", "p1")) == 2
    assert records.by_identity("identity 1") is None
    assert records.blob(entry().features["image"]["id"]) is None
    assert not records.delete("post", "p1")
    assert counts(records) | {"entries": 1, "deleted": 1} == counts(records)


def test_a_deleted_post_may_come_again(records):
    records.record(entry(), by_value(POST)[1])
    records.delete("post", "p1")
    assert records.record(entry(), by_value(POST)[1])
    assert records.by_identity("identity 1") == entry()
    assert [one.deleted_at is None for one in records.entries()] == [False, True]


def test_content_that_another_entry_has_stays_until_that_goes_too(records):
    shared = {"text": b"same", "image": b"same picture"}
    for number, name in enumerate(("a", "b")):
        post = Post(post_id=name, text="same", image={"bytes": b"same picture"})
        records.record(entry(number, post), shared)
    features = records.latest("post", "b").features
    assert records.delete("post", "a")
    assert [records.blob(features[kind]["id"]) for kind in shared] == list(shared.values())
    assert records.delete("post", "b")
    assert [records.blob(features[kind]["id"]) for kind in shared] == [None, None]


def test_a_deletion_is_of_one_service_and_of_all_versions_of_the_post(records):
    for number, (service, text) in enumerate([("post", "one"), ("post", "two"), ("text", "three")]):
        records.record(entry(number, words(text), service=service), {"text": text.encode()})
    assert records.delete("post", "p1")
    assert [one.deleted_at is None for one in records.entries()] == [False, False, True]
    assert on_disk(records, b"three")


def test_what_no_entry_uses_is_swept(records):
    records.record(entry(1), by_value(POST)[1])
    used = entry(1).features
    left = put(records, b"left over picture")
    (records.folder / "contents" / left[:2] / ".x.1-1.tmp").write_bytes(b"half a pic")
    (records.folder / "contents" / left[:2] / ".tmp-1").write_bytes(b"half a pic of an earlier version")
    (records.folder / "contents" / left[:2] / "notes").write_bytes(b"somebody's")
    (records.folder / "contents" / "me").write_bytes(b"a file and no folder")
    assert records.sweep() == 1
    assert [path.name for path in (records.folder / "contents" / left[:2]).iterdir()] == ["notes"]
    assert all(records.blob(used[kind]["id"]) == data for kind, data in by_value(POST)[1].items())
    assert records.sweep() == 0


def test_a_blob_that_is_swept_while_it_is_being_recorded_is_put_again(records, monkeypatch):
    given, blobs = entry(), by_value(POST)[1]
    write = records._database.write

    def swept_before(*work):  # between putting the picture and recording it
        monkeypatch.setattr(records._database, "write", write)
        with Records(records.folder) as other:
            assert other.sweep() == 2
        return write(*work)

    monkeypatch.setattr(records._database, "write", swept_before)
    assert records.record(given, blobs)
    assert all(records.blob(given.features[kind]["id"]) == data for kind, data in blobs.items())


def test_a_draft_that_is_swept_while_it_is_written_is_written_again(records, monkeypatch):
    fsync = os.fsync

    def swept_before(number):
        monkeypatch.undo()
        records.sweep()
        fsync(number)

    monkeypatch.setattr(os, "fsync", swept_before)
    assert records.blob(put(records, b"a picture")) == b"a picture"


# ------------------------------------------------------------------------------------------------------------- events


def test_events_are_kept_once_and_come_in_order_of_time(records):
    later, sooner = NOON + timedelta(hours=1), NOON
    assert records.event("p1", "label", later, {"abuse": True, "nudity": None}, "ann")
    assert records.event("p1", "report", sooner, {"reason": "spam"}, "bob")
    assert not records.event("p1", "report", sooner.astimezone(), {"reason": "spam"}, "bob")  # sent again
    assert records.event("p2", "impression", sooner, {"count": 3})
    assert [one.kind for one in records.events("p1")] == ["report", "label"]
    assert [one.post_id for one in records.events(until=later)] == ["p1", "p2"]
    (event,) = [one for one in records.events("p1") if one.kind == "label"]
    assert (event.at, event.value, event.by) == (later, {"abuse": True, "nudity": None}, "ann")
    assert counts(records)["report"] == 1
    assert set(KINDS) <= set(counts(records))


def test_an_event_with_a_key_is_kept_beside_a_repeat_without_one_that_comes_at_once(records):
    about = {"post_id": "p1", "kind": "report", "value": {}, "by": "ann"}
    assert records.event(**about)
    again, keyed = (Event(at=NOON, timed=False, key=key, **about) for key in (None, "k"))
    with records._database._writes.begin() as connection:
        assert records._writing.happen(connection, [again, keyed]) == [False, True]
    assert records.reports("p1") == 2


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("like", {}, "unknown kind of event 'like'; the choices are: report, reaction"),
        ("label", {"abuse": "yes"}, "maps labels to true, false or null"),
        ("removal", {"labels": "abuse"}, "`labels` of a removal is a list of names"),
        ("appeal", {"decision": "won"}, "an appeal's `decision` is upheld or overturned"),
    ],
)
def test_events_that_could_not_be_read_later_are_refused(records, kind, value, said):
    with pytest.raises(WorkbenchError, match=said):
        records.event("p1", kind, NOON, value)
    with pytest.raises(WorkbenchError, match="timezone"):
        records.event("p1", "report", datetime(2026, 1, 1), by="ann")
    assert counts(records)["report"] == 0


def test_half_a_surrogate_pair_in_a_name_has_a_sentence(records):
    for call in (lambda: records.latest("post", "\ud800"), lambda: records.by_identity("\ud800")):
        with pytest.raises(WorkbenchError, match="half of a surrogate pair"):
            call()


def test_names_of_any_kind_are_names(records):
    names = ["'; DROP TABLE entries; --", "a", "../..", "%", "é" * 500, ":a", "%(a)s"]
    if os.environ.get(URL):
        with pytest.raises(WorkbenchError, match="cannot hold that: PostgreSQL text fields cannot contain NUL"):
            records.record(entry(9, words("x", "a\x00b")), {"text": b"x"})
    else:
        names.append("a\x00b")
    for number, name in enumerate(names):
        records.record(entry(number, words("x", name)), {"text": b"x"})
        assert records.latest("post", name).post_id == name
        records.event(name, "report", NOON, by="ann")
        assert len(records.events(name)) == 1
    assert not (Path(records.folder).parent / "contents").exists()


def test_a_content_is_known_by_what_uses_it(records):
    records.record(entry(), by_value(POST)[1])
    features = entry().features
    assert records.blob_kinds(features["image"]["id"]) == ("image",)
    assert records.blob_kinds(features["text"]["id"]) == ("text",)
    left = put(records, b"left over")
    assert records.blob_kinds(left) == ()
    assert records.blob_path(left).read_bytes() == b"left over"
