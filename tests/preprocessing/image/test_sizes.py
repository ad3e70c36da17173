"""The size of a picture, from its head alone."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from workbench.preprocessing.image.decoding import ImageOptions, size


def test_the_size_of_a_picture_is_read_without_decoding_it():
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)).save(data, "PNG")
    assert size(data.getvalue()) == (56, 40)
    assert size(data.getvalue()[:500]) == (56, 40)
    assert [size(data.getvalue(), ImageOptions(max_pixels=10)), size(b""), size(b"none")] == [None] * 3
