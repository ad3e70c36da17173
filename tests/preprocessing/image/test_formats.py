"""The format and the size of a picture, from its head alone."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from workbench.preprocessing.image.decoding import ImageOptions, size
from workbench.preprocessing.image.formats import sniff


def encoded(kind: str) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)).save(data, kind)
    return data.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF"])
def test_the_content_tells_the_format(kind):
    assert sniff(encoded(kind)) == kind


def test_the_size_of_a_picture_is_read_without_decoding_it():
    data = encoded("PNG")
    assert size(data) == size(data[:500]) == (56, 40)
    assert [size(data, ImageOptions(max_pixels=10)), size(b""), size(b"none")] == [None] * 3
