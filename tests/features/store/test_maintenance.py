"""What lies in a store's folder, what of it is read later, and what `gc` does and does not delete."""

import os
import threading
import time

import numpy as np
import pytest
from stub_store import Stub, images, make, same, shards, texts

from workbench.errors import WorkbenchError
from workbench.features.store import disk, maintenance
from workbench.features.store.disk import held

DAY = 86_400


class Named(Stub):
    def __init__(self, name, letter):
        super().__init__(letter * 64)
        self.name = name


@pytest.fixture
def folder(tmp_path):
    """Two encoders, three spaces: a's texts were used now, a's pictures ten days ago, b's texts twenty days ago."""
    make(tmp_path, Named("tiny", "a"))[0].text("tiny", texts("one", "a long two", "bad", None, "one"))
    make(tmp_path, Named("tiny", "a"))[0].image("tiny", images({"bytes": b"x"}))
    make(tmp_path, Named("large", "b"))[0].text("large", texts("one"))
    for name, days in (("a" * 32 + "/image", 10), ("b" * 32 + "/text", 20)):
        for path in (tmp_path / name).iterdir():
            os.utime(path, (time.time() - days * DAY,) * 2)
    return tmp_path


def test_the_spaces_are_listed_with_what_they_hold_the_last_used_first(folder):
    first, second, third = maintenance.ls(folder)
    assert (first.encoders, first.modality, first.fingerprint) == (("tiny",), "text", "a" * 32)
    assert (first.contents, first.rows, first.shards, first.broken) == (3, 4, 1, 0)  # two windows, and a reason
    assert first.bytes == sum(path.stat().st_size for path in first.folder.iterdir() if path.name != "lock")
    assert (second.modality, third.encoders) == ("image", ("large",))
    assert time.time() - third.used == pytest.approx(20 * DAY, abs=60)
    assert time.time() - third.written == pytest.approx(20 * DAY, abs=60)


def test_a_file_that_is_gone_before_it_is_looked_at_hides_nothing_else(folder):
    before = maintenance.ls(folder)
    (before[0].folder / "gone.npy").symlink_to(folder / "nowhere")  # listed, and not there
    assert maintenance.ls(folder) == before
    assert [change.done for change in maintenance.gc(folder)] == []


def test_being_used_is_noted_and_being_listed_is_not(folder):
    maintenance.ls(folder)
    maintenance.show(folder)
    assert maintenance.ls(folder)[-1].encoders == ("large",)
    make(folder, Named("large", "b"))[0].text("large", texts("one"))
    first = maintenance.ls(folder)[0]
    assert first.encoders == ("large",)
    assert time.time() - first.used < 60
    assert time.time() - first.written == pytest.approx(20 * DAY, abs=60)  # used, not written


def test_all_names_that_an_encoder_was_asked_for_by_are_kept(folder):
    make(folder, Named("the same by its path", "a"))[0].text("x", texts("new"))
    assert maintenance.ls(folder)[0].encoders == ("the same by its path", "tiny")


def deleted(changes):
    return [
        (change.space.encoders[0], change.space.modality) for change in changes if change.done.startswith("deleted")
    ]


def test_what_was_not_used_for_long_is_deleted(folder):
    changes = maintenance.gc(folder, older_than_days=15)
    assert deleted(changes) == [("large", "text")]
    assert changes[0].done == "deleted, not used for 20 days"
    assert len(maintenance.ls(folder)) == 2
    features, encoder = make(folder, Named("large", "b"))
    assert features.text("large", texts("one")).readable.all()
    assert len(encoder.seen) == 1
    assert deleted(maintenance.gc(folder, older_than_days=5)) == [("tiny", "image")]


def test_the_longest_unused_go_until_the_rest_fits(folder):
    first, second, third = maintenance.ls(folder)
    assert maintenance.gc(folder, max_gb=(first.bytes + second.bytes + third.bytes) / 1e9) == []
    changes = maintenance.gc(folder, max_gb=(first.bytes + second.bytes) / 1e9)
    assert deleted(changes) == [("large", "text")]
    assert changes[0].freed == third.bytes
    assert deleted(maintenance.gc(folder, max_gb=0)) == [("tiny", "image"), ("tiny", "text")]
    assert maintenance.ls(folder) == []


def test_a_dry_run_says_the_same_and_touches_nothing(folder):
    for i in range(10):
        make(folder, Named("tiny", "a"))[0].text("tiny", texts(f"more {i}"))
    (folder / ("a" * 32) / "text" / "x.npy.broken").write_bytes(b"x" * 9)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in shards(folder, "")}
    planned = maintenance.gc(folder, older_than_days=15, dry_run=True)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in shards(folder, "")} == before
    done = maintenance.gc(folder, older_than_days=15)
    assert [change.done.replace("would be ", "") for change in planned] == [change.done for change in done]
    assert [change.done for change in done] == [
        "deleted, not used for 20 days",
        "11 small shards merged; 1 damaged files deleted",
    ]
    assert planned[0].freed == done[0].freed > 0


def test_a_space_that_is_being_written_to_is_left_alone(folder, monkeypatch):
    monkeypatch.setattr(maintenance, "PATIENCE", 0.1)
    inside, leave = threading.Event(), threading.Event()

    def write():
        with held(folder / ("b" * 32) / "text"):
            inside.set()
            leave.wait(60)

    writer = threading.Thread(target=write)
    writer.start()
    inside.wait(60)
    try:
        changes = maintenance.gc(folder, max_gb=0)
    finally:
        leave.set()
        writer.join(60)
    assert changes[0].done == "left alone: it is being written to"
    assert [space.encoders for space in maintenance.ls(folder)] == [("large",)]


def test_other_files_and_folders_are_none_of_its_business(folder):
    for name in ("notes.txt", "a/text/x.npy", "Z" * 32 + "/text/x", "c" * 32 + "/audio/x"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    maintenance.gc(folder, max_gb=0)
    assert len(shards(folder, "x")) + len(shards(folder, "x.npy")) + len(shards(folder, "notes.txt")) == 4


def test_a_damaged_manifest_is_counted_as_such(folder):
    (manifest,) = (folder / ("b" * 32)).rglob("*.npz")
    manifest.write_bytes(b"torn")
    space = next(space for space in maintenance.ls(folder) if space.fingerprint == "b" * 32)
    assert (space.contents, space.shards, space.broken) == (0, 0, 1)
    assert "0 + 1 damaged" in maintenance.show(folder)


def test_what_the_command_line_shows(folder, tmp_path):
    lines = maintenance.show(folder).splitlines()
    heads = "encoder modality contents rows MB shards last used last written fingerprint"
    assert lines[0].split() == heads.split()
    assert lines[1].split()[:4] == ["tiny", "text", "3", "4"]
    assert "20 days ago" in lines[3]
    assert lines[3].endswith("b" * 12)
    assert lines[4] == f"0.0 MB in {folder}"
    assert maintenance.show(tmp_path / "nowhere") == f"no features in {tmp_path / 'nowhere'}"
    assert maintenance.collect(folder, 15, None, True).splitlines() == [
        "large text: would be deleted, not used for 20 days (0.0 MB)",
        f"0.0 MB would be freed in {folder}",
    ]
    assert maintenance.collect(folder, None, None, False) == f"0.0 MB freed in {folder}"
    assert maintenance.collect(tmp_path / "nowhere", 1, 1, False) == f"0.0 MB freed in {tmp_path / 'nowhere'}"


@pytest.mark.parametrize("wrong", [{"older_than_days": -1}, {"max_gb": -0.1}])
def test_negative_limits_are_refused(folder, wrong):
    with pytest.raises(WorkbenchError, match="cannot be negative"):
        maintenance.gc(folder, **wrong)
    assert len(maintenance.ls(folder)) == 3


@pytest.mark.parametrize(("table", "again"), [(texts("a long text", "a text"), 1), (images({"bytes": b"long"}), 0)])
def test_shards_from_before_rows_had_variants_are_read_where_they_can_be(tmp_path, table, again):
    kind = table.column_names[0]
    features, _ = make(tmp_path)
    getattr(features, kind)("stub", table)
    (path,) = shards(tmp_path, ".npz")
    with np.load(path) as manifest:
        known = {name: manifest[name] for name in manifest.files if name != "variants"}
    np.savez(path, **known)
    features, encoder = make(tmp_path)
    same(getattr(features, kind)("stub", table), getattr(make()[0], kind)("stub", table))
    assert len(encoder.seen) == again  # a text of several rows: whether they were windows or variants nobody knows


def test_shards_of_a_later_format_are_refused_and_left_without_advice_that_deletes_others(tmp_path, monkeypatch):
    with monkeypatch.context() as later:
        later.setattr(disk, "FORMAT", 3)
        make(tmp_path, Named("tiny", "a"))[0].text("tiny", texts("one"))
    before = sorted(path.name for path in (tmp_path / ("a" * 32) / "text").iterdir())
    with pytest.raises(WorkbenchError, match=r"format 3 and this version reads 2; .*move that one folder") as refused:
        make(tmp_path, Named("tiny", "a"))[0].text("tiny", texts("one"))
    assert "gc" not in str(refused.value)  # it deletes what every encoder has
    assert sorted(path.name for path in (tmp_path / ("a" * 32) / "text").iterdir()) == before
