"""Clip columns in files: the same rules as for pictures, and the two told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.corpora import counts
from workbench.corpora.files import SourceOptions, build, digest
from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy, declared

TAXONOMY = Taxonomy.load()


def table(folder: Path, name: str = "posts.csv", **options) -> pa.Table:
    return build(SourceOptions.parse({"path": name, **options}, "corpus"), TAXONOMY, folder)


def sentence(folder: Path, **options) -> str:
    with pytest.raises(WorkbenchError) as caught:
        table(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Six posts: two with the same clip under two names, one other, one missing, one with a picture, one bare."""
    for name, data in {"clips/a.mp4": b"one", "clips/b.mp4": b"one", "clips/c.webm": b"two", "p.png": b"one"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    rows = ["t,v,p", "hi,a.mp4,", "hi,b.mp4,", "hi,c.webm,", "hi,gone.mp4,", "hi,,p.png", "hi,,"]
    (tmp_path / "posts.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_clips_by_path_are_told_by_content(folder):
    built = table(folder, text="t", video="v", videos="clips", image="p")
    paths = [clip and clip["path"] for clip in built["video"].to_pylist()]
    names = ("a.mp4", "b.mp4", "c.webm", "gone.mp4")
    assert paths == [*(str(folder / "clips" / name) for name in names), None, None]
    assert declared(built)["video"].tolist() == [True] * 4 + [False] * 2
    assert declared(built)["image"].tolist() == [False] * 4 + [True, False]
    groups = built["group"].to_pylist()
    assert groups[0] == groups[1]  # one clip under two names
    assert len(set(groups)) == 5  # a clip is no picture, even of the same bytes


def test_a_clip_beside_a_picture_and_posts_of_a_clip_alone(folder):
    built = table(folder, video="v", videos="clips")
    assert built["text"].null_count == built["image"].null_count == 6
    assert built["group"][4] != built["group"][5]  # posts without content are not each other's reposts
    plain = table(folder, text="t", image="p")
    both = table(folder, text="t", image="p", video="v", videos="clips")
    assert plain["group"][4] == both["group"][4]  # a mapped clip column changes no group of posts without a clip
    assert both["group"][0] != plain["group"][0]


def test_clips_as_bytes_and_with_names(folder):
    rows = {"t": ["a", "b", "a"], "v": [b"one", None, b"one"]}
    pq.write_table(pa.table(rows), folder / "a.parquet")
    built = table(folder, "a.parquet", text="t", video="v")
    assert [clip and clip["bytes"] for clip in built["video"].to_pylist()] == [b"one", None, b"one"]
    assert built["group"][0] == built["group"][2]
    pq.write_table(pa.table({"v": pa.array([{"bytes": b"one", "path": "../name.mp4"}])}), folder / "b.parquet")
    assert table(folder, "b.parquet", video="v")["video"].to_pylist() == [{"bytes": b"one", "path": "../name.mp4"}]


@pytest.mark.parametrize("name", ["../secret.mp4", "/etc/passwd", "a/../../secret.mp4"])
def test_clip_paths_stay_in_their_folder(folder, name):
    (folder / "posts.csv").write_text(f"t,v\nhi,{name}\n")
    assert (
        f"the clip path '{name}' leaves the folder {folder / 'clips'}; set `videos` to the clips' folder"
        in sentence(folder, text="t", video="v", videos="clips")
    )


def test_clips_that_are_not_there(folder):
    said = sentence(folder, text="t", video="v")
    names = f"{folder}/a.mp4, b.mp4, c.webm (the folder holds p.png, posts.csv)"
    assert f"none of the 4 clips is there, such as {names}; set `videos` to their folder" in said
    assert "both name column 'v'; a column is one or the other" in sentence(folder, video="v", image="v")
    (folder / "n.jsonl").write_text('{"v": 3}\n')
    with pytest.raises(WorkbenchError, match="the clip column holds int64"):
        table(folder, "n.jsonl", video="v")


def test_the_digest_follows_the_bytes_of_clips(folder):
    options = SourceOptions(path="posts.csv", text="t", video="v", videos="clips")
    first = digest(options, TAXONOMY, folder)
    assert digest(SourceOptions(path="posts.csv", text="t"), TAXONOMY, folder) != first
    (folder / "clips" / "c.webm").write_bytes(b"twp")
    assert digest(options, TAXONOMY, folder) != first
    (folder / "clips" / "c.webm").write_bytes(b"two")
    (folder / "clips").rename(folder / "elsewhere")
    moved = SourceOptions(path="posts.csv", text="t", video="v", videos="elsewhere")
    assert digest(moved, TAXONOMY, folder) == first


def test_hateful_memes_layout_with_clips_beside(tmp_path):
    rows = [{"id": 1, "img": "p.png", "text": "a", "label": 1}, {"id": 2, "img": "p.png", "text": "b", "clip": "c.mp4"}]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("p.png", "c.mp4"):
        (tmp_path / name).write_bytes(b"x")
    options = SourceOptions(path=str(tmp_path), video="clip", labels={"abuse": "label"})
    built = build(options, TAXONOMY, Path("/"))
    assert [clip and clip["path"] for clip in built["video"].to_pylist()] == [None, str(tmp_path / "c.mp4")]
    assert built["post_id"].to_pylist() == ["1", "2"]


def test_some_that_are_not_there_are_warned_of(folder):
    gone = "1 of 4 clips are not there, such as {}; their posts are read without them"
    built = table(folder, text="t", video="v", videos="clips")
    assert counts.warned(built) == [gone.format(folder / "clips" / "gone.mp4")]
    (folder / "clips" / "gone.mp4").write_bytes(b"here")
    assert counts.warned(table(folder, text="t", video="v", videos="clips")) == []
