"""Ways of scaling a picture: sizes by hand, and how near they come to each other."""

import io

import numpy as np
import pytest
from PIL import Image

from workbench.preprocessing.image.resizing import VARIANTS, by_pillow, by_torch, compare, shape


def smooth(width=160, height=120):
    low = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(low).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(("fit", "expected"), [("shortest", (30, 40)), ("longest", (22, 30)), ("squash", (30, 30))])
def test_the_size_follows_the_fit(fit, expected):
    assert shape(120, 160, 30, fit) == expected  # a quarter, 30/160, and both sides


@pytest.mark.parametrize("how", ["bicubic", "bilinear"])
def test_torch_and_pillow_differ_by_a_grey_level_at_most(how):
    pixels = np.array(smooth())
    one, other = by_torch(pixels, (30, 40), how), by_pillow(pixels, (30, 40), how)
    assert np.abs(one.astype(int) - other).max() <= 1


def test_every_way_has_its_row():
    file = io.BytesIO()
    smooth().save(file, "JPEG")
    rows = compare([file.getvalue()] * 2, side=32)
    assert [row["way"] for row in rows] == list(VARIANTS)
    levels = {row["way"]: row["grey_levels"] for row in rows}
    assert levels["Pillow bicubic"] == 0
    assert levels["torch bicubic"] < 0.5 < levels["Pillow bilinear"] + 0.5
    assert levels["torch bicubic, longest"] is None
    assert all(row["decode_ms"] > 0 and row["scale_ms"] > 0 for row in rows)
