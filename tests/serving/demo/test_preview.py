"""What is shown of media: drawn anew from decoded pixels, nothing of the file, and blurred until asked."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from workbench.serving.demo import page, preview


def encoded(pixels, kind="JPEG", **more) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **more)
    return file.getvalue()


def shown(drawn: str) -> list[Image.Image]:
    """Return the pictures that a piece of HTML holds."""
    return [Image.open(io.BytesIO(base64.b64decode(code))) for code in re.findall(r"base64,([^\"]+)\"", drawn)]


@pytest.fixture
def photo() -> bytes:
    about = Image.Exif()
    about[0x010E] = "taken at home"
    about[0x0112] = 6  # turned by 90 degrees
    pixels = np.zeros((400, 1000, 3), np.uint8)
    pixels[:, :500] = (250, 10, 10)
    return encoded(pixels, exif=about, comment=b"<script>alert(1)</script>")


def test_a_picture_is_drawn_anew_small_upright_and_without_metadata(photo):
    drawn = preview.sheet(photo, None)
    (picture,) = shown(drawn)
    assert picture.size == (192, 480)  # 1000 x 400, turned upright, the longer side cut down to 480
    assert not picture.getexif()
    assert "comment" not in picture.info
    top, bottom = picture.getpixel((96, 100)), picture.getpixel((96, 400))
    assert top[0] > 200 > 100 > bottom[0]  # the left half stands on top
    assert b"taken at home" in photo
    assert b"taken at home" not in base64.b64decode(re.search(r"base64,([^\"]+)\"", drawn)[1])


def test_all_views_that_the_model_saw_are_shown(photo):
    pixels = np.zeros((40, 60, 4), np.uint8)
    pixels[:, :30] = (0, 200, 0, 255)
    drawn = preview.sheet(encoded(pixels, "PNG"), None)
    assert len(shown(drawn)) == 2  # raw and on white; on black it looks like raw
    assert "Picture, view 2 of 2" in drawn
    assert "transparent" in drawn


def test_what_cannot_be_read_has_no_preview():
    assert preview.sheet(b"no picture", b"no clip") == ""
    assert preview.sheet(None, None) == ""


def test_media_are_blurred_until_a_switch_that_is_off_is_turned_on(photo):
    drawn = preview.sheet(photo, None)
    assert '<input type="checkbox">' in drawn
    rules = page.CSS.read_text()
    assert re.search(r"\.sheet img \{[^}]*filter: blur\(\d+px\) grayscale\(1\)", rules)
    assert ".media:has(.reveal input:checked) img { filter: none; }" in rules
    assert rules.count("filter: none") == 1
