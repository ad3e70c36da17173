"""A cell's content: bytes before path, and every file that cannot be read is a picture or clip with a reason."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from made_clips import clip as made_clip
from made_clips import number
from PIL import Image

from workbench.preprocessing.image.decoding import DEFAULT
from workbench.preprocessing.media import LIMITS, clip, content, picture


def png(colour: tuple[int, int, int], size=(5, 3)) -> bytes:
    """Return a PNG of one colour; `size` is width, height."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


RED, BLUE = (250, 10, 20), (5, 6, 240)


@pytest.mark.parametrize("cell", [None, {"bytes": None, "path": None}, {"bytes": None, "path": ""}])
def test_a_post_without_a_picture_has_none(cell):
    assert picture(cell) is None


def test_bytes_are_read_as_they_are():
    (reading,) = picture({"bytes": png(RED), "path": None}).variants
    assert reading.shape == (3, 5, 3)  # rows, columns, channels
    assert reading.dtype == np.uint8
    assert (reading == RED).all()


def test_a_path_is_read_where_there_are_no_bytes(tmp_path):
    path = tmp_path / "no ending"  # the content tells the format, not the name
    path.write_bytes(png(BLUE))
    assert (picture({"bytes": None, "path": str(path)}).variants[0] == BLUE).all()


def test_bytes_go_before_the_path(tmp_path):
    path = tmp_path / "blue.png"
    path.write_bytes(png(BLUE))
    assert (picture({"bytes": png(RED), "path": str(path)}).variants[0] == RED).all()
    assert (picture({"bytes": png(RED), "path": "/nowhere"}).variants[0] == RED).all()


def test_zero_bytes_are_there_and_cannot_be_read(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    for cell in ({"bytes": b"", "path": None}, {"bytes": None, "path": str(tmp_path / "empty.png")}):
        found = picture(cell)
        assert (found.variants, found.reason) == ((), "The file is empty.")


def test_zero_bytes_are_not_replaced_by_the_file_at_the_path(tmp_path):
    (tmp_path / "red.png").write_bytes(png(RED))
    assert picture({"bytes": b"", "path": str(tmp_path / "red.png")}).reason == "The file is empty."


def test_what_cannot_be_decoded_has_the_decoders_reason(tmp_path):
    (tmp_path / "fake.png").write_bytes(b"just words")
    found = picture({"bytes": None, "path": str(tmp_path / "fake.png")})
    assert found.variants == ()
    assert "a text file" in found.reason


def test_a_missing_file_is_a_picture_with_a_reason_that_names_it(tmp_path):
    found = picture({"bytes": None, "path": str(tmp_path / "gone.jpg")})
    assert found.variants == ()
    assert found.reason == "The file 'gone.jpg' cannot be read: No such file or directory."


@pytest.mark.parametrize("path", ["a\0b.png", "x" * 5000])
def test_an_impossible_path_is_a_picture_with_a_reason(path):
    found = picture({"bytes": None, "path": path})
    assert found.variants == ()
    assert "cannot be read" in found.reason


def test_a_folder_and_a_pipe_are_no_files_and_nothing_waits(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer for ever
    for path in (tmp_path, tmp_path / "pipe"):
        found = picture({"bytes": None, "path": str(path)})
        assert found.variants == ()
        assert found.reason == f"The file {path.name!r} cannot be read: it is not a file."


def test_a_file_over_the_limit_is_not_read_at_all(tmp_path, monkeypatch):
    path = tmp_path / "huge.png"
    with open(path, "wb") as file:
        file.truncate(DEFAULT.max_bytes + 1)  # sparse: it takes no room on the disk
    monkeypatch.setattr(Path, "open", lambda path, mode: pytest.fail("the file was read"))
    found = picture({"bytes": None, "path": str(path)})
    assert found.reason == "The file 'huge.png' cannot be read: it has 33,554,433 bytes; at most 33,554,432 are read."


def test_the_encoded_content_is_returned_untouched(tmp_path):
    (tmp_path / "x").write_bytes(b"not decoded")
    assert content({"bytes": b"as it is", "path": "x"}) == b"as it is"
    assert content({"bytes": None, "path": str(tmp_path / "x")}) == b"not decoded"
    assert content({"bytes": b"", "path": None}) == b""  # there, though empty
    assert content(None) is content({"bytes": None, "path": ""}) is None
    with pytest.raises(FileNotFoundError):
        content({"bytes": None, "path": str(tmp_path / "gone")})
    with pytest.raises(OSError, match="null"):
        content({"bytes": None, "path": "a\0b"})


# --------------------------------------------------------------------------------------------------------------- clips


def test_a_clip_is_read_from_bytes_or_from_its_file(tmp_path):
    data = made_clip(3)
    (tmp_path / "no ending").write_bytes(data)
    for cell in ({"bytes": data, "path": None}, {"bytes": None, "path": str(tmp_path / "no ending")}):
        assert [number(frame) for frame in clip(cell).frames] == [0, 1, 2]
    assert clip(None) is clip({"bytes": None, "path": ""}) is None


def test_a_clip_that_cannot_be_read_has_a_reason(tmp_path):
    gone = clip({"bytes": None, "path": str(tmp_path / "gone.mp4")})
    assert gone.reason == "The file 'gone.mp4' cannot be read: No such file or directory."
    assert (gone.frames, gone.times, gone.transient) == ((), (), False)
    assert clip({"bytes": b"", "path": "x"}).reason == "The file is empty."
    assert clip({"bytes": png(RED), "path": None}).reason == "This is a PNG picture; please send it as a picture."
    assert picture({"bytes": made_clip(1), "path": None}).reason.startswith("This is a video")


def test_each_kind_has_its_own_limit(tmp_path, monkeypatch):
    assert LIMITS["image"] < LIMITS["video"]
    path = tmp_path / "long.mp4"
    with open(path, "wb") as file:
        file.truncate(2**31)  # sparse
    monkeypatch.setattr(Path, "open", lambda path, mode: pytest.fail("the file was read"))
    reason = clip({"bytes": None, "path": str(path)}).reason
    assert reason == "The file 'long.mp4' cannot be read: it has 2,147,483,648 bytes; at most 268,435,456 are read."
    with open(path, "r+b") as file:
        file.truncate(LIMITS["image"] + 1)
    monkeypatch.setattr(Path, "open", lambda path, mode: io.BytesIO(b"read"))
    assert content({"bytes": None, "path": str(path)}, "video") == b"read"
    with pytest.raises(OSError, match="at most 33,554,432 are read"):
        content({"bytes": None, "path": str(path)}, "image")
