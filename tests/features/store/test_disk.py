"""The disk tier under fire: kills, rot, full and read-only disks, other processes, merging; never a wrong vector."""

import logging
import os
import subprocess
import time

import numpy as np
import pyarrow as pa
import pytest
from stub_store import MANY, Stub, images, make, same, shards, text_key, texts

from workbench.features import Blocks, store
from workbench.features.store import maintenance
from workbench.features.store.disk import Shards

# -------------------------------------------------------------------------------------------------------------- merging


def one_by_one(folder, n=12):
    """A store of n shards with one text each."""
    features, _ = make(folder)
    for i in range(n):
        features.text("stub", MANY.slice(i, 1))
    return MANY.slice(0, n)


def test_many_small_shards_become_one_with_the_same_content(tmp_path):
    table = pa.concat_tables([one_by_one(tmp_path), texts("bad one", "a long one")])
    make(tmp_path)[0].text("stub", table)
    (change,) = maintenance.gc(tmp_path)
    assert change.done == "13 small shards merged"
    assert len(shards(tmp_path, ".npy")) == len(shards(tmp_path, ".npz")) == 1
    features, encoder = make(tmp_path)
    same(features.text("stub", table), make()[0].text("stub", table))
    assert encoder.seen == []
    assert maintenance.gc(tmp_path) == []


def test_a_reader_with_an_old_index_finds_where_its_rows_went(tmp_path, caplog):
    table = one_by_one(tmp_path)
    (folder,) = tmp_path.glob("*/text")
    reader = Shards(folder, 4)
    reader.refresh()  # has read the manifests, and none of the vectors
    maintenance.gc(tmp_path)
    keys = np.frombuffer(b"".join(text_key(text) for text in table["text"].to_pylist()), np.uint8).reshape(-1, 32)
    found, blocks = reader.look(keys)
    same(blocks, make()[0].text("stub", table))
    assert found.tolist() == list(range(12))
    assert caplog.records == []  # it is nothing to be warned of


def test_a_space_that_is_deleted_under_a_writer_is_computed_again_and_stored(tmp_path):
    table = one_by_one(tmp_path)
    features, encoder = make(tmp_path, memory_mb=0)
    features.text("stub", table.slice(0, 3))
    assert maintenance.gc(tmp_path, max_gb=0)[0].done.startswith("deleted")
    same(features.text("stub", table), make()[0].text("stub", table))
    assert len(encoder.seen) >= 9
    again, nothing = make(tmp_path)
    again.text("stub", table.slice(3))
    assert nothing.seen == []


def test_large_shards_are_left_as_they_are(tmp_path, monkeypatch):
    from workbench.features.store import disk

    one_by_one(tmp_path)
    size = shards(tmp_path, ".npy")[0].stat().st_size
    monkeypatch.setattr(disk, "MERGED", size * 2 - 2)
    assert maintenance.gc(tmp_path) == []
    monkeypatch.setattr(disk, "MERGED", size * 3)
    monkeypatch.setattr(maintenance, "MANY", 2)
    assert maintenance.gc(tmp_path)[0].done == "12 small shards merged"
    assert len(shards(tmp_path, ".npy")) == 4


def test_a_damaged_shard_does_not_get_into_a_merged_one(tmp_path):
    table = one_by_one(tmp_path)
    path = shards(tmp_path, ".npy")[3]
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    maintenance.gc(tmp_path)
    features, encoder = make(tmp_path)
    same(features.text("stub", table), make()[0].text("stub", table))
    assert len(encoder.seen) == 1
    maintenance.gc(tmp_path)
    assert not shards(tmp_path, ".broken")


def test_no_room_for_a_merged_shard_loses_nothing(tmp_path, monkeypatch):
    table = one_by_one(tmp_path)
    before = {path.name: path.read_bytes() for path in shards(tmp_path, ".np?")}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert maintenance.gc(tmp_path)[0].done == "left alone: No space left on device"
    assert {path.name: path.read_bytes() for path in shards(tmp_path, ".np?")} == before
    features, encoder = make(tmp_path)
    features.text("stub", table)
    assert encoder.seen == []


# ----------------------------------------------------------------------------------------------------------------- rot


@pytest.mark.parametrize("name", ["about.json", "lock"])
def test_the_files_that_are_not_vectors_may_hold_anything(tmp_path, name):
    table = one_by_one(tmp_path, 3)
    (path,) = shards(tmp_path, name)
    for content in (b"", b"\x00\xff" * 50, b"[]", b'{"encoders": 3}', b'{"encoders": [null]}'):
        path.write_bytes(content)
        features, encoder = make(tmp_path)
        same(features.text("stub", table), make()[0].text("stub", table))
        assert encoder.seen == []
        (space,) = maintenance.ls(tmp_path)
        assert space.contents == 3
        features.text("stub", texts(f"new {content}"))
        assert maintenance.gc(tmp_path, older_than_days=1) == []
        (space,) = maintenance.gc(tmp_path, max_gb=0, dry_run=True)
        assert "stub" in space.space.encoders  # the next writer mends it
        maintenance.gc(tmp_path, max_gb=0)
        one_by_one(tmp_path, 3)


def test_vectors_that_belong_to_another_manifest_are_refused(tmp_path):
    table = one_by_one(tmp_path, 2)
    first, second = shards(tmp_path, ".npy")
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    features, encoder = make(tmp_path)
    same(features.text("stub", table), make()[0].text("stub", table))
    assert len(encoder.seen) == 2


# ------------------------------------------------------------------------------------------------ full and read-only


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 KiB, and a function that makes it read-only; skipped where the system does not let us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        made = False
    if not made:
        pytest.skip("a disk cannot be mounted here")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full_leaves_what_was_there_and_loses_no_result(small_disk, caplog, monkeypatch):
    folder, _ = small_disk
    monkeypatch.setattr(store, "BLOCK_ITEMS", 50)
    monkeypatch.setattr("workbench.features.items.TextItems.chunk", 50)
    table = texts(*(f"text {i}" for i in range(3000)))
    features, encoder = make(folder)
    expected = make()[0].text("stub", table)
    same(features.text("stub", table), expected)
    assert sum("No space left" in record.getMessage() for record in caplog.records) == 1
    assert not shards(folder, ".tmp")
    same(features.text("stub", table), expected)
    assert len(encoder.seen) == 3000
    again, encoder = make(folder)
    same(again.text("stub", table), expected)
    assert again.hits["disk"] >= 50  # what went onto the disk before it was full is read from it
    assert again.hits["disk"] + len(encoder.seen) == 3000


def test_a_read_only_folder_is_read_and_what_is_new_is_kept_in_memory(small_disk, caplog, monkeypatch):
    folder, lock_up = small_disk
    make(folder)[0].text("stub", MANY.slice(0, 100))
    lock_up()
    monkeypatch.setattr(store, "SMALL", 10)  # as if the table were large
    features, encoder = make(folder)
    for _ in range(2):
        same(features.text("stub", MANY), make()[0].text("stub", MANY))
        assert len(encoder.seen) == len(MANY) - 100
    assert features.hits["disk"] == 200  # read after writing had failed, too
    assert sum("memory only" in record.getMessage() for record in caplog.records) == 1
    assert "left alone" in maintenance.collect(folder, None, 0, False)


# ----------------------------------------------------------------------------------------------------------- the clock


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    table = one_by_one(tmp_path)
    jumps = iter([0.0, 4e9, -1e9, 1e10] * 1000)
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    for when in (0, 4e9):
        for path in shards(tmp_path, ""):
            os.utime(path, (when, when))
        features, encoder = make(tmp_path)
        same(features.text("stub", table), make()[0].text("stub", table))
        features.text("stub", texts(f"new at {when}"))
        assert len(encoder.seen) == 1
        assert maintenance.show(tmp_path)


# -------------------------------------------------------------------------------------------------- what is not stored


def test_a_note_that_may_pass_keeps_an_item_out_of_both_tiers(tmp_path):
    from workbench.features import TransientError

    class Partial(Stub):
        def _encode(self, items, report):
            blocks = super()._encode(items, report)
            notes = [TransientError("half of it") if b"half" in item else None for item in items]
            return Blocks(blocks.values, blocks.offsets, blocks.reasons, notes)

    table = images({"bytes": b"whole"}, {"bytes": b"half"})
    for folder in (None, tmp_path):
        features, encoder = make(folder, Partial())
        for _ in range(2):
            blocks = features.video("stub", table.rename_columns(["video"]))
            assert blocks.readable.all()
            assert blocks.notes == [None, "half of it"]
        assert encoder.seen == [b"whole", b"half", b"half"]


def test_a_kill_between_the_vectors_and_the_manifest_is_swept_by_the_next_writer(tmp_path, caplog):
    one_by_one(tmp_path, 2)
    (folder,) = tmp_path.glob("*/text")
    (folder / "f.npy").write_bytes(b"vectors without a manifest")
    with caplog.at_level(logging.WARNING):
        make(tmp_path)[0].text("stub", texts("next"))
    assert not (folder / "f.npy").exists()
    assert caplog.records == []
