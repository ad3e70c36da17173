"""A corpus written as files is the corpus that the `files` source reads back; and the shipped sample is one."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from made_clips import clip
from oracles import write_jsonl
from PIL import Image

from workbench.corpora import files, splits, synthetic
from workbench.preprocessing.media import clip as decoded
from workbench.preprocessing.media import content, picture
from workbench.schema import ROOT, Taxonomy, corpus_schema, declared, label_matrix, read_yaml

TAXONOMY = Taxonomy.load()
STUDY = read_yaml(ROOT / "experiments" / "sample.yaml")
MAPPING = {key: value for key, value in STUDY["corpus"].items() if key not in ("source", "path")}
SAME = ("post_id", "text", "group", "community", "language", "region", "created_at", "labels")


def read_back(path: Path, **changed) -> pa.Table:
    """Return what the `files` source makes of an exported file with the mapping of the shipped study."""
    options = files.SourceOptions.parse(MAPPING | {"path": str(path)} | changed, "test")
    return files.build(options, TAXONOMY, path.parent)


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), (9, 8, 7)).save(buffer, kind)
    return buffer.getvalue()


def table(rows: list[dict]) -> pa.Table:
    """Return a corpus table from rows that name only what matters."""
    full = [
        {"post_id": f"p{n}", "group": f"g{n}", "labels": dict.fromkeys(TAXONOMY.names)} | row
        for n, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(full, schema=corpus_schema(TAXONOMY))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def test_a_synthetic_corpus_comes_back_as_it_was(tmp_path):
    made = synthetic.build(synthetic.SourceOptions(posts=80, seed=3, oversample={"paired": 0.4, "harm": 0.4}), TAXONOMY)
    back = read_back(write_jsonl(made, tmp_path / "out"), weight="weight")
    for name in SAME:
        assert back[name].to_pylist() == made[name].to_pylist(), name
    assert back["weight"].to_pylist() == made["weight"].to_pylist()
    ids = [pc.struct_field(one["author"], "id").to_pylist() for one in (back, made)]
    assert ids[0] == ids[1]
    pictures = [[content(media) for media in one["image"].to_pylist()] for one in (back, made)]
    assert pictures[0] == pictures[1]
    assert sum(one is not None for one in pictures[0]) > 20  # there was something to compare


def test_what_is_unknown_stays_unknown(tmp_path):
    some = {"abuse": True, "nudity": None, "violence": False, "misinformation": None}
    made = table([{"text": "a", "labels": some}, {"text": "b", "labels": {**some, "abuse": None}}])
    path = write_jsonl(made, tmp_path)
    assert lines(path)[0]["labels"] == some
    assert (lines(path)[0]["created_at"], lines(path)[0]["author"]) == (None, None)
    back = read_back(path)
    assert back["labels"].to_pylist() == made["labels"].to_pylist()
    for name in ("author", "created_at", "community", "language", "image"):
        assert back[name].null_count == 2, name


def test_words_come_back_character_for_character(tmp_path):
    texts = [
        'a "quoted", line\nand \\ another\r\n',
        "\u2028 separators \u2029 \x85",
        "😀 日本 \u202e x",
        "\x00\x1b[31m",
        " pad ",
        "",
    ]
    back = read_back(write_jsonl(table([{"text": text} for text in texts]), tmp_path))
    assert back["text"].to_pylist() == texts


def test_times_keep_their_microseconds(tmp_path):
    times = [datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC), None]
    made = table([{"text": str(n), "created_at": time} for n, time in enumerate(times)])
    assert read_back(write_jsonl(made, tmp_path))["created_at"].to_pylist() == times


def test_a_corpus_own_split_can_be_read_back(tmp_path):
    made = table([{"text": str(n), "split": split} for n, split in enumerate(("train", "test", None))])
    back = read_back(write_jsonl(made, tmp_path), split="split")
    assert back["split"].to_pylist() == ["train", "test", None]


@pytest.mark.parametrize("post_id", ["../../up", "a/b", "/etc/x", "..", "A", "x" * 300, "é", "a\nb", "con.txt", "-rf"])
def test_an_id_never_names_a_file_elsewhere(tmp_path, post_id):
    data = encoded("PNG")
    path = write_jsonl(table([{"post_id": post_id, "image": {"bytes": data, "path": None}}]), tmp_path / "out")
    (written,) = (tmp_path / "out" / "images").iterdir()
    assert written.read_bytes() == data
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out"]
    (line,) = lines(path)
    assert line["post_id"] == post_id
    assert tmp_path / "out" / line["image"] == written


def test_ids_that_differ_by_case_have_different_files_on_every_system(tmp_path):
    rows = [{"post_id": name, "image": {"bytes": encoded("PNG") + name.encode(), "path": None}} for name in ("a", "A")]
    path = write_jsonl(table(rows), tmp_path)
    names = [line["image"].lower() for line in lines(path)]
    assert names[0] != names[1]
    assert names[0] == "images/a.png"  # a plain id stays readable


@pytest.mark.parametrize(
    ("kind", "ending"), [("JPEG", "jpg"), ("PNG", "png"), ("GIF", "gif"), ("WEBP", "webp"), ("BMP", "bmp")]
)
def test_a_pictures_name_tells_its_format(tmp_path, kind, ending):
    path = write_jsonl(table([{"image": {"bytes": encoded(kind), "path": None}}]), tmp_path)
    assert lines(path)[0]["image"] == f"images/p0.{ending}"


def test_bytes_that_are_no_picture_stay_what_they_are(tmp_path):
    rows = [{"image": {"bytes": data, "path": None}} for data in (b"", b"words")]
    back = read_back(write_jsonl(table(rows), tmp_path))
    assert [content(media) for media in back["image"].to_pylist()] == [b"", b"words"]
    assert declared(back)["image"].all()  # there and unreadable, which is not the same as absent


def test_pictures_that_lie_in_files_are_copied_and_missing_ones_stay_missing(tmp_path):
    (tmp_path / "there.png").write_bytes(encoded("PNG"))
    paths = [str(tmp_path / "there.png"), str(tmp_path / "gone.png")]
    made = table([{"image": {"bytes": None, "path": path}} for path in paths])
    path = write_jsonl(made, tmp_path / "out")
    (tmp_path / "there.png").unlink()  # the export stands alone
    found = [picture(media) for media in read_back(path)["image"].to_pylist()]
    assert [len(one.variants) for one in found] == [1, 0]
    assert "No such file" in found[1].reason


@pytest.mark.parametrize(
    ("kind", "codec", "ending"),
    [
        ("mp4", "libx264", "mp4"),
        ("mov", "libx264", "mov"),
        ("webm", "libvpx-vp9", "webm"),
        ("matroska", "libx264", "mkv"),
    ],
)
def test_a_clips_name_tells_its_format_and_it_comes_back(tmp_path, kind, codec, ending):
    data = clip(4, kind=kind, codec=codec)
    path = write_jsonl(table([{"text": "a", "video": {"bytes": data, "path": None}}, {"text": "b"}]), tmp_path)
    assert [line["video"] for line in lines(path)] == [f"videos/p0.{ending}", None]
    assert [line["image"] for line in lines(path)] == [None, None]
    back = read_back(path, video="video")
    assert [content(media, "video") for media in back["video"].to_pylist()] == [data, None]
    assert decoded(back["video"][0].as_py()).frames
    assert not (tmp_path / "images").exists()


def test_clips_that_cannot_be_read_stay_named(tmp_path):
    cells = [{"bytes": b"words", "path": None}, {"bytes": None, "path": str(tmp_path / "gone.mp4")}]
    path = write_jsonl(table([{"video": cell} for cell in cells]), tmp_path / "out")
    assert [line["video"] for line in lines(path)] == ["videos/p0.unreadable", "videos/p1.unreadable"]
    reasons = [decoded(media).reason for media in read_back(path, video="video")["video"].to_pylist()]
    assert "please send it as MP4 or WebM" in reasons[0]
    assert "No such file" in reasons[1]


def test_a_full_disk_is_no_unreadable_picture(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_jsonl(table([{"image": {"bytes": encoded("PNG"), "path": None}}]), tmp_path)


def test_posts_that_are_there_are_never_overwritten(tmp_path):
    path = write_jsonl(table([{"text": "first"}]), tmp_path)
    with pytest.raises(FileExistsError):
        write_jsonl(table([{"text": "second"}]), tmp_path)
    assert lines(path)[0]["text"] == "first"


# ---------------------------------------------------------------------------------------------------- what is shipped


@pytest.fixture(scope="module")
def sample() -> pa.Table:
    """The corpus of `experiments/sample.yaml`, as that file describes it."""
    config = dict(STUDY["corpus"])
    assert config.pop("source") == "files"
    return files.build(files.SourceOptions.parse(config, "sample"), TAXONOMY, ROOT)


def test_the_shipped_sample_has_labels_of_each_kind_in_every_split(sample):
    y, known = label_matrix(sample, TAXONOMY)
    assert known.all()
    assert 24 <= len(sample) <= 100
    part = splits.assign(sample, TAXONOMY, splits.SplitOptions.parse(STUDY["split"], "split"))
    for split in splits.SPLITS:
        # without a positive in validation there is no threshold, without one in test no recall
        assert (y[part == split].sum(axis=0) >= 1).all(), split
        assert (y[part == split].mean(axis=0) <= 0.5).all(), split


def test_the_shipped_sample_has_posts_of_each_kind(sample):
    has = declared(sample)
    assert (has["text"] & has["image"]).sum() >= 10
    assert (has["text"] & ~has["image"]).sum() >= 10
    assert len(pc.unique(sample["language"])) >= 3
    assert sample["post_id"].null_count == sample["group"].null_count == sample["created_at"].null_count == 0


def test_the_shipped_pictures_decode_and_none_is_left_over(sample):
    cells = [media for media in sample["image"].to_pylist() if media]
    shown = [picture(media) for media in cells]
    assert all(one.variants for one in shown)
    # drawn scenes, no flat squares: something is on them
    assert all(np.ptp(one.variants[0].astype(int)) > 50 for one in shown)
    on_disk = {str(path) for path in (ROOT / "data" / "sample" / "images").iterdir()}
    assert {media["path"] for media in cells} == on_disk
    assert sum(Path(path).stat().st_size for path in on_disk) < 500_000


def test_the_shipped_study_maps_every_label_of_the_taxonomy():
    assert set(STUDY["corpus"]["labels"]) == set(TAXONOMY.names)
