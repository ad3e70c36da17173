"""Words drawn on a picture are read, offline; skipped where the extra is not installed."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from workbench.preprocessing.image import ocr

pytestmark = pytest.mark.skipif(not ocr.available(), reason=ocr.OFF)


def drawn(text):
    picture = Image.new("RGB", (400, 120), "white")
    ImageDraw.Draw(picture).text((20, 30), text, font=ImageFont.load_default(32), fill="black")
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.mark.filterwarnings("ignore")  # of the libraries that read
def test_drawn_words_are_read_and_a_plain_picture_has_none():
    assert ocr.words(drawn("send me pictures now")).replace(" ", "").lower() == "sendmepicturesnow"
    file = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(file, "PNG")
    assert ocr.words(file.getvalue()) == ""
    assert ocr.words(b"no picture") is None
