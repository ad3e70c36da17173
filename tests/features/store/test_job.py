"""The job that computes ahead: every content once, found by its id, resumed where it was killed, and let go of."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from stub_store import Stub, images, make, same, texts
from typer.testing import CliRunner

from workbench.cli import app
from workbench.errors import WorkbenchError
from workbench.features import store as tiers
from workbench.features.items import key
from workbench.features.store import NotStored, job
from workbench.records import Entry, Records, by_value
from workbench.records.references import Reference
from workbench.schema import Media, Post

PICTURES = [b"one", b"bad one", None, b"a long one", b"one", b"two"]


def content_id(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def by_id(*contents: bytes) -> pa.Table:
    """A column of pictures of which only the ids are known."""
    return images(*({"path": str(Reference(content_id(data), len(data)))} for data in contents))


def posts() -> pa.Table:
    column = images(*(data and {"bytes": data} for data in PICTURES))
    return texts("one", "two", "two", None, "", "three").append_column("image", column["image"])


def test_every_content_is_encoded_once_and_found_by_its_id(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "CHUNK", 2)
    features, encoder = make(tmp_path)
    told = job.build(features, [posts()], ["stub"])
    assert [str(one) for one in told] == [
        "text by stub: 3 computed, 1 stored before",
        "image by stub: 4 computed, 1 stored before, 1 cannot be read, kept with the reason",
    ]
    assert sorted(encoder.seen) == sorted([b"one", b"two", b"three", b"one", b"bad one", b"a long one", b"two"])
    (noted,) = features.contents.find(content_id(b"a long one"))
    assert noted == (content_id(b"a long one"), "image", key("image", b"a long one"), 10, None)
    assert features.contents.find(content_id(b"three"), "text")[0].text == b"three"
    assert [one.modality for one in features.contents.find(content_id(b"two"))] == ["text", "image"]
    fresh, other = make(tmp_path, writes=False)
    expected = make()[0].image("stub", images({"bytes": b"a long one"}, {"bytes": b"bad one"}))
    same(fresh.image("stub", by_id(b"a long one", b"bad one")), expected)
    assert (other.seen, fresh.hits["disk"]) == ([], 2)


def test_what_has_no_vectors_is_an_error_and_never_a_guess(tmp_path):
    job.build(make(tmp_path)[0], [posts()], ["stub"])
    for encoder, data in ((Stub(), b"unknown"), (Stub("b" * 64), b"one")):
        features, _ = make(tmp_path, encoder)
        with pytest.raises(NotStored, match="no vector of this image by encoder 'stub' is stored"):
            features.image("stub", by_id(data))
        assert encoder.seen == []
    with pytest.raises(NotStored):
        make()[0].image("stub", by_id(b"one"))


class Killed(Stub):
    """A process that dies while the eleventh picture is encoded."""

    def _encode(self, items, report):
        if len(self.seen) + len(items) > 10:
            os._exit(9)
        return super()._encode(items, report)


def _killed_job(folder):
    job.CHUNK = tiers.BLOCK_ITEMS = 4
    job.build(make(folder, Killed())[0], [_many()], ["stub"])


def _many():
    return images(*({"bytes": b"picture %d" % number} for number in range(20)))


def test_after_a_kill_only_what_is_missing_is_encoded(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_killed_job, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    features, encoder = make(tmp_path)
    (told,) = job.build(features, [_many()], ["stub"])
    assert (told.computed, told.stored) == (12, 8)
    assert encoder.seen == [b"picture %d" % number for number in range(8, 20)]
    same(features.image("stub", by_id(b"picture 3")), make()[0].image("stub", images({"bytes": b"picture 3"})))


def test_what_may_be_had_later_is_told_and_done_by_the_next_start(tmp_path):
    table = images({"bytes": b"transient"}, {"path": str(tmp_path / "later.png")}, {"bytes": b"one"})
    folder = tmp_path / "features"
    (told,) = job.build(make(folder)[0], [table], ["stub"])
    assert (told.computed, told.stored, told.unreadable, told.later.total()) == (1, 0, 0, 2)
    assert "2 could not be had now" in str(told)
    (tmp_path / "later.png").write_bytes(b"there now")
    (told,) = job.build(make(folder)[0], [table], ["stub"])
    assert (told.computed, told.stored, told.later.total()) == (1, 1, 1)


def test_nothing_to_do_is_said(tmp_path):
    with pytest.raises(WorkbenchError, match="nothing that stub could read"):
        job.build(make(tmp_path)[0], [texts(None)], ["stub"])
    with pytest.raises(WorkbenchError, match="--encoder tiny"):
        job.build(make(tmp_path)[0], [texts("x")], [])


def recorded(records: Records, post_id: str, **content) -> dict:
    features, blobs = by_value(Post(post_id=post_id, **content))
    about = {"service": "post", "at": datetime.now(UTC), "assessment": {}, "decision": {}}
    records.record(
        Entry(identity=post_id, post_id=post_id, features=features, model_id="m", policy_id="p", **about), blobs
    )
    return {name: features[name]["id"] for name in blobs}


def test_what_a_service_recorded_and_what_was_deleted_meanwhile(tmp_path):
    with Records(tmp_path / "records") as records:
        ids = recorded(records, "kept", text="words", image=Media(bytes=b"picture"))
        gone = recorded(records, "gone", text="other words", image=Media(bytes=b"long gone"))
        tables = list(job.tables_of(records))
        assert sum(len(table) for table in tables) == 4
        records.delete("post", "gone")  # before the job comes to it
        features, _ = make(tmp_path / "features")
        job.build(features, tables, ["stub"], texts=False, there=lambda name: bool(records.blob_kinds(name)))
    assert features.contents.find(ids["text"])[0].text is None  # the records have it
    assert not features.contents.find(gone["text"])
    assert b"other words" not in b"".join(
        path.read_bytes() for path in tmp_path.rglob("features/**/*") if path.is_file()
    )
    fresh, encoder = make(tmp_path / "features")
    fresh.text("stub", texts("words", "other words"))
    assert encoder.seen == [b"other words"]  # no vector of it was left


def test_forgetting_takes_vectors_from_memory_and_disk_and_leaves_the_rest(tmp_path):
    features, encoder = make(tmp_path)
    job.build(features, [posts()], ["stub"])
    one = content_id(b"one")
    features.forget([(one, "image", key("image", b"one"))])
    assert not features.contents.find(one)
    encoder.seen.clear()
    features.image("stub", images({"bytes": b"one"}, {"bytes": b"two"}, {"bytes": b"bad one"}))
    assert encoder.seen == [b"one"]


def test_the_command_names_its_folder_and_takes_a_file_of_posts(tmp_path):
    file = tmp_path / "posts.jsonl"
    file.write_text('{"body": "words of a post"}\n{"body": "others"}\n', encoding="utf-8")
    command = ["features", "build", str(file), "--columns", "text=body", "--encoder", "tiny"]
    command += ["--store", str(tmp_path / "features"), "--device", "cpu"]
    for computed, stored in ((2, 0), (0, 2)):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        assert f"text by tiny: {computed} computed, {stored} stored before" in done.output
    done = CliRunner().invoke(app, [*command[:-4], "nonesuch"])
    assert done.exit_code == 2
