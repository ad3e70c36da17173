"""The limits of contents: said from one place, and what the readers do."""

from __future__ import annotations

import io

import pytest
from made_clips import clip, numbered
from PIL import Image

from workbench.preprocessing.image import decoding
from workbench.preprocessing.limits import ContentLimits, file_bytes, stated
from workbench.preprocessing.text import cleaning
from workbench.preprocessing.video import reader
from workbench.schema import ROOT


def picture(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF", "TIFF", "JPEG2000", "ICO"])
def test_the_formats_that_are_stated_are_those_that_are_read(kind):
    read = decoding.decode(picture(kind)).reason is None
    assert read == (kind in stated()["image"].formats)


def test_a_picture_at_each_limit_is_read_and_beyond_it_is_not():
    data = picture("PNG")
    at = {"max_bytes": len(data), "max_pixels": 1200, "max_ratio": 4 / 3}
    told = ContentLimits.of_image(decoding.ImageOptions(**at))
    assert (told.bytes, told.pixels, told.ratio) == tuple(at.values())
    assert decoding.decode(data, decoding.ImageOptions(**at)).reason is None
    for name, value in {"max_bytes": len(data) - 1, "max_pixels": 1199, "max_ratio": 1.3}.items():
        assert decoding.decode(data, decoding.ImageOptions(**at | {name: value})).reason


def test_a_clip_is_read_within_what_is_stated():
    data = clip(numbered(30), rate=10)
    asked = {"max_bytes": len(data), "frames": 2, "max_seconds": 1, "timeout_seconds": 50}
    asked["demuxers"] = ("matroska", "mov")
    options = reader.VideoOptions(**asked)
    told = ContentLimits.of_video(options)
    assert (told.bytes, told.frames, told.seconds, told.decoding_seconds) == (len(data), 2, 1, 50)
    assert told.formats == ("WebM", "Matroska", "MP4", "QuickTime")
    made = reader.decode(data, options)
    assert len(made.frames) == told.frames
    assert max(made.times) <= told.seconds
    assert reader.decode(data, reader.VideoOptions(**asked | {"max_bytes": len(data) - 1})).reason
    assert reader.decode(data, reader.VideoOptions(**asked | {"max_pixels": 16})).reason


def test_a_text_is_read_as_far_as_is_stated():
    most = stated()["text"].characters
    assert cleaning.left_out("x" * most) is None
    assert cleaning.left_out("x" * (most + 1))
    assert len(cleaning.clean("x" * (most + 1))) == most


def test_of_several_readers_of_clips_the_strictest_counts():
    both = [reader.VideoOptions(frames=4, max_seconds=60), reader.VideoOptions(frames=16, max_seconds=30)]
    told = stated(both)["video"]
    assert (told.frames, told.seconds) == (4, 30)
    assert told.formats == ("MP4", "QuickTime", "WebM", "Matroska")
    assert told.within(1000).bytes == 1000
    assert stated()["text"].within(1000).bytes is None


def test_a_file_of_the_size_that_fits_takes_the_whole_body():
    assert file_bytes(4 * 1000) == 3000


def test_the_page_on_the_api_says_the_same():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name, limits in zip(("text", "picture", "clip"), stated().values(), strict=True):
        assert f"| {name} | {limits} |" in page
    assert f"more than {reader.DEFAULT.timeout_seconds:g} s to decode" in page
