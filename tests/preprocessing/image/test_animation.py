"""Animations: what is looked at follows the time that frames are shown, in every format that moves."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from workbench.preprocessing.image.animation import holds, sample
from workbench.preprocessing.image.decoding import decode


def moving(kind: str, durations: list[int], levels: list[int]) -> bytes:
    frames, data = [Image.new("RGB", (16, 16), (level,) * 3) for level in levels], io.BytesIO()
    frames[0].save(data, kind, save_all=True, append_images=frames[1:], duration=durations)
    return data.getvalue()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("long", [0, 5, 10, 11])
def test_what_is_shown_longest_is_read(kind, long):
    levels = [20 if n == long else 240 - 2 * n for n in range(12)]
    found = decode(moving(kind, [5000 if n == long else 20 for n in range(12)], levels))
    shown = [int(variant[0, 0, 0]) for variant in found.variants]
    assert min(shown) < 40
    assert len(shown) == 4


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_how_long_frames_are_shown_is_read_without_decoding(kind):
    data = moving(kind, [30, 500, 0, 70], [0, 80, 160, 240])
    assert holds(data, kind, 4) == [30, 500, 100, 70]  # browsers show what claims no time for a tenth of a second
    assert holds(data[:60], kind, 4) is not None  # a cut file is for the decoder to tell of
    assert holds(data, "AVIF", 4) is None


def test_frames_are_the_middles_of_equal_slices_of_time():
    assert sample([1.0] * 10, 4) == [1, 3, 6, 8]
    assert 5 in sample([20.0] * 5 + [5000.0] + [20.0] * 6, 4)
    assert sample([5.0, 5.0], 4) == [0, 1]
