"""The store: content once, found by what it is, the same from every tier, whatever dies in between."""

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import stub_store
from stub_store import Stub, forty, images, make, same, shards, texts

from workbench.errors import WorkbenchError
from workbench.features import store
from workbench.features.items import key
from workbench.features.store.disk import held

TABLE = texts("one", None, "bad", "a long text", "one", " \u3000\n", "two")


# -------------------------------------------------------------------------------------------------------------- keys


def test_the_key_is_over_the_modality_and_the_raw_bytes():
    # written out here so that a changed key, which would lose every store, cannot slip in
    assert key("text", b"abc") == hashlib.sha256(b"text\0abc").digest()
    assert key("text", b"abc") != key("image", b"abc")


@pytest.mark.parametrize(
    ("first", "second", "again"),
    [
        (texts("one"), texts("one"), 0),
        (texts("one"), texts("One"), 1),
        (texts("one"), texts("one "), 1),
        (
            texts("e\u0301"),
            texts("\u00e9"),
            1,
        ),  # the same to the eye, other bytes: what a recipe makes of them may differ
        (images({"bytes": b"x"}), images({"bytes": b"x", "path": "elsewhere"}), 0),
        (images({"bytes": b"x"}), images({"bytes": b"y"}), 1),
    ],
)
def test_what_changes_the_key(first, second, again):
    features, encoder = make()
    for table in (first, second):
        (features.text if "text" in table.column_names else features.image)("stub", table)
    assert len(encoder.seen) == 1 + again


def test_neither_other_columns_nor_order_nor_name_changes_what_is_found(tmp_path):
    features, encoder = make(tmp_path)
    features.text("stub", TABLE)
    table = TABLE.append_column("post_id", pa.array([str(i) for i in range(len(TABLE))])).take([6, 0, 3])
    features.text("another name of it", table)
    assert len(encoder.seen) == 4


def test_another_fingerprint_and_another_modality_find_nothing(tmp_path):
    make(tmp_path)[0].text("stub", texts("one"))
    features, encoder = make(tmp_path, Stub("b" * 64))
    features.text("stub", texts("one"))
    features.image("stub", images({"bytes": b"one"}))
    assert len(encoder.seen) == 2


# ------------------------------------------------------------------------------------------------------------- tiers


def test_the_same_content_is_encoded_once_and_every_tier_gives_the_same(tmp_path):
    expected, _ = make()
    expected = expected.text("stub", TABLE)
    assert expected.counts.tolist() == [1, 0, 1, 2, 1, 0, 1]
    assert expected.reasons == [None, None, "damaged", None, None, None, None]
    features, encoder = make(tmp_path)
    same(features.text("stub", TABLE), expected)
    assert features.hits == {"memory": 0, "disk": 0, "computed": 4, "repeated": 1}
    same(features.text("stub", TABLE), expected)
    assert features.hits == {"memory": 4, "disk": 0, "computed": 4, "repeated": 2}
    fresh, second = make(tmp_path)
    same(fresh.text("stub", TABLE), expected)
    assert fresh.hits == {"memory": 0, "disk": 4, "computed": 0, "repeated": 1}
    assert (len(encoder.seen), second.seen) == (4, [])


def test_a_part_from_each_tier_comes_back_in_the_order_of_the_rows(tmp_path):
    make(tmp_path)[0].text("stub", texts("disk", "a long disk"))
    features, _ = make(tmp_path)
    features.text("stub", texts("memory"))
    table = texts("new", "a long disk", "memory", None, "disk", "a long new")
    same(features.text("stub", table), make()[0].text("stub", table))
    assert features.hits == {"memory": 1, "disk": 2, "computed": 3, "repeated": 0}


def test_chunked_and_empty_columns():
    table = pa.concat_tables([texts("one", None), texts("two"), texts()])
    features, _ = make()
    same(features.text("stub", table), make()[0].text("stub", texts("one", None, "two")))
    assert len(features.text("stub", texts())) == 0
    assert features.text("stub", texts(None, "")).counts.tolist() == [0, 0]
    assert len(features.image("stub", images())) == 0


def test_memory_is_bounded_and_what_was_used_longest_ago_goes_first():
    # 3 entries of 4 float16 (8 bytes) with their overhead fit, 4 do not
    features, encoder = make(memory_mb=3.5 * (8 + store.MemoryTier.OVERHEAD) / 2**20)
    features.text("stub", texts("a", "b", "c"))
    features.text("stub", texts("a"))
    features.text("stub", texts("d"))
    features.text("stub", texts("a", "c", "d"))
    assert encoder.seen == [b"a", b"b", b"c", b"d"]
    features.text("stub", texts("b"))
    assert encoder.seen[-1] == b"b"


def test_a_memory_too_small_for_one_call_still_returns_all_of_it():
    features, _ = make(memory_mb=0)
    same(features.text("stub", TABLE), make()[0].text("stub", TABLE))


def test_what_cannot_be_decoded_is_stored_with_its_reason_and_what_may_pass_is_not(tmp_path):
    table = images({"bytes": b"bad"}, {"bytes": b"transient"}, None, {"bytes": b"fine"})
    first = make(tmp_path)[0].image("stub", table)
    assert first.reasons == ["damaged", "no memory", None, None]
    assert np.isnan(first.values[:2]).all()
    features, encoder = make(tmp_path)
    same(features.image("stub", table), first)
    assert encoder.seen == [b"transient"]
    features.image("stub", table)
    assert encoder.seen == [b"transient", b"transient"]


def test_progress_counts_the_contents_to_compute(monkeypatch):
    monkeypatch.setattr("workbench.features.items.TextItems.chunk", 2)
    calls = []
    make(progress=lambda *call: calls.append(call))[0].text("stub", TABLE)
    assert calls == [(done, 4, "text by stub") for done in (1, 2, 3, 4)]


def test_a_missing_column_is_one_sentence():
    with pytest.raises(WorkbenchError, match=r"no column 'text'; its columns are: image"):
        make()[0].text("stub", images())


def test_importing_the_store_imports_no_torch():
    code = "import sys, workbench.features; sys.exit('torch' in sys.modules or 'open_clip' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ------------------------------------------------------------------------------------------------------------- files


def test_pictures_are_read_from_their_paths_and_a_missing_one_is_tried_again(tmp_path):
    (tmp_path / "a").write_bytes(b"picture")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    paths = [str(tmp_path / name) for name in ("a", "missing", "pipe", "nul\0byte")]
    table = images(*({"path": path} for path in paths), {"bytes": b"picture"})
    features, encoder = make(tmp_path / "store")
    blocks = features.image("stub", table)
    assert blocks.reasons[1] == f"cannot read {paths[1]}: No such file or directory"
    assert blocks.reasons[2] == f"cannot read {paths[2]}: it is not a file"
    assert blocks.reasons[3].startswith("cannot read")
    assert np.isnan(blocks.values[1:4]).all()
    assert encoder.seen == [b"picture"]  # one content, by path and by bytes
    (tmp_path / "missing").write_bytes(b"now there")
    assert features.image("stub", table).readable.tolist() == [True, True, False, False, True]


def test_a_file_that_changes_between_hashing_and_reading_is_not_stored_under_the_old_key(tmp_path, monkeypatch):
    from workbench.features import items

    files = iter([b"before", b"after"])
    monkeypatch.setattr(items, "read_file", lambda path: next(files))
    features, encoder = make(tmp_path)
    assert features.image("stub", images({"path": "p"})).reasons == ["the file changed while it was being read"]
    assert encoder.seen == []
    features.image("stub", images({"bytes": b"before"}))
    assert features.hits["disk"] == 0


# ------------------------------------------------------------------------------------------------------------ faults


def test_a_folder_that_cannot_be_written_leaves_the_memory_tier(tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    features, encoder = make(tmp_path / "file")
    same(features.text("stub", TABLE), make()[0].text("stub", TABLE))
    features.text("stub", TABLE)
    features.text("stub", texts("new"))
    assert sum("memory only" in record.message for record in caplog.records) == 1
    assert len(encoder.seen) == 5


def test_a_full_disk_leaves_no_file_and_loses_no_result(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    features, _ = make(tmp_path)
    same(features.text("stub", TABLE), make()[0].text("stub", TABLE))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lock"]


@pytest.mark.parametrize("suffix", [".npy", ".manifest.npz"])
@pytest.mark.parametrize("damage", ["cut", "empty", "flip", "gone"])
def test_a_damaged_shard_is_computed_again(tmp_path, suffix, damage):
    expected = make(tmp_path)[0].text("stub", TABLE)
    make(tmp_path)[0].text("stub", texts("in another shard"))
    path = max(shards(tmp_path, suffix), key=lambda path: path.stat().st_size)
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        flipped = data[: len(data) - 5] + bytes([data[-5] ^ 1]) + data[len(data) - 4 :]
        middle = data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
        path.write_bytes({"cut": data[:-9], "empty": b"", "flip": flipped if suffix == ".npy" else middle}[damage])
    features, _ = make(tmp_path)
    same(features.text("stub", TABLE), expected)
    assert features.hits["computed"] == 4
    # set aside, so that no later process tries it again; a manifest that is gone has left vectors, which are swept
    assert bool(shards(tmp_path, ".broken")) == ((suffix, damage) != (".manifest.npz", "gone"))
    again, _ = make(tmp_path)
    same(again.text("stub", TABLE), expected)
    assert again.hits == {"memory": 0, "disk": 4, "computed": 0, "repeated": 1}
    assert again.text("stub", texts("in another shard")).readable.all()
    assert again.hits["disk"] == 5


def test_no_flipped_bit_ever_changes_a_result(tmp_path):
    expected = make(tmp_path / "whole")[0].text("stub", TABLE)
    rng, stored = np.random.default_rng(0), 0
    for path in shards(tmp_path / "whole", ".np?"):
        for at in rng.integers(path.stat().st_size, size=60):
            folder = shutil.copytree(tmp_path / "whole", tmp_path / f"{path.name}-{at}", dirs_exist_ok=True)
            copy = folder / path.relative_to(tmp_path / "whole")
            data = bytearray(copy.read_bytes())
            data[at] ^= 1 << int(rng.integers(8))
            copy.write_bytes(data)
            features, _ = make(folder)
            same(features.text("stub", TABLE), expected)
            stored += features.hits["disk"] > 0
    assert stored < 40  # of 120: a zip has a few fields that nothing depends on


def test_what_a_killed_writer_left_is_swept(tmp_path):
    make(tmp_path)[0].text("stub", texts("one"))
    folder = shards(tmp_path, ".npy")[0].parent
    for name in ("x.npy.tmp", "y.manifest.npz.tmp", "z.npy"):  # z: vectors whose manifest was never written
        (folder / name).write_bytes(b"torn")
    with held(folder):  # these could be what another is writing right now
        assert make(tmp_path)[0].text("stub", texts("one")).readable.all()
        assert (folder / "z.npy").exists()
    features, encoder = make(tmp_path)
    features.text("stub", texts("one"))  # reading alone opens the folder
    assert encoder.seen == []
    assert sorted(path.suffix for path in folder.iterdir()) == ["", ".json", ".npy", ".npz"]


def test_a_shard_that_cannot_be_opened_is_left_where_it_is(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    make(tmp_path)[0].text("stub", texts("one"))
    path = shards(tmp_path, ".npy")[0]
    path.chmod(0)
    assert make(tmp_path)[0].text("stub", texts("one")).readable.all()
    path.chmod(stat.S_IRUSR)
    assert path.exists()


# --------------------------------------------------------------------------------------------------------- processes

SCRIPT = """
import os, signal, sys, time
sys.path.insert(0, {here!r})
import stub_store
from workbench import artifacts
from workbench.features import store
from workbench.features.store import disk

store.BLOCK_ITEMS = 10
from workbench.features.items import TextItems
TextItems.chunk = 5
class Slow(stub_store.Stub):
    def encode_text(self, texts, report=None):
        time.sleep({sleep})
        return super().encode_text(texts)
if {kill} >= 0:
    write, count = disk.write_bytes, 0
    def deadly(path, content):
        global count
        if count == {kill}:
            with artifacts.writing(path) as draft:
                draft.write_bytes(content[:50])
                os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        write(path, content)
    disk.write_bytes = deadly
features, encoder = stub_store.make(sys.argv[1], Slow())
features.text("stub", stub_store.forty())
print(len(encoder.seen))
"""


def start(folder, sleep=0.0, kill=-1):
    """A process that asks the store for the forty texts; it prints how many it computed."""
    code = SCRIPT.format(here=str(Path(stub_store.__file__).parent), sleep=sleep, kill=kill)
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)


def test_two_processes_share_the_work_and_never_do_it_twice(tmp_path):
    both = [start(tmp_path, sleep=0.05) for _ in range(2)]
    computed = [int(process.communicate(timeout=500)[0]) for process in both]
    assert sum(computed) == 40
    features, _ = make(tmp_path)
    same(features.text("stub", forty()), make()[0].text("stub", forty()))
    assert features.hits["computed"] == 0


@pytest.mark.parametrize("kill", [0, 1, 2, 3])  # the vectors of shard 1, its manifest, the vectors of shard 2 ...
def test_a_kill_in_the_middle_of_a_write_loses_that_block_only(tmp_path, kill):
    process = start(tmp_path, kill=kill)
    process.communicate(timeout=500)
    assert process.returncode == -signal.SIGKILL
    began = time.monotonic()
    features, _ = make(tmp_path)
    same(features.text("stub", forty()), make()[0].text("stub", forty()))
    assert features.hits["disk"] == 10 * (kill // 2)  # whole shards of ten survive
    assert time.monotonic() - began < 60  # the dead process's lock does not hold anybody up
    assert not shards(tmp_path, ".tmp")
