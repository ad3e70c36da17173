"""Attacks on pictures, pixel by pixel."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from workbench.evidence.attacks import pictures

# of a size: the sum of all values, and how many pixels a stripe falls on, of stripes at full strength
STRIPES = {(48, 64): (943616, 512), (90, 70): (1990835, 2345), (10, 12): (37290, 30), (100, 100): (3178192, 4144)}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noisy(height: int = 48, width: int = 64) -> np.ndarray:
    return rng(9).integers(0, 256, (height, width, 3)).astype(np.uint8)


def file(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **({"compress_level": 1} if kind == "PNG" else options))
    return data.getvalue()


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(("strength", "quality"), [(0.0, 95), (0.5, 50), (1.0, 5)])
def test_the_quality_of_a_jpeg_falls_from_95_to_5(strength, quality):
    assert pictures.jpeg(noisy(), strength, rng()) == file(Image.fromarray(noisy()), "JPEG", quality=quality)


@pytest.mark.parametrize("seed", range(4))
def test_a_crop_has_the_pixels_of_its_place(seed):
    chance = rng(seed)
    height, width = round(48 * 0.75**0.5), round(64 * 0.75**0.5)
    top, left = round(chance.random() * (48 - height)), round(chance.random() * (64 - width))
    kept = pixels_of(pictures.crop(noisy(), 0.5, rng(seed)))
    assert (kept == noisy()[top : top + height, left : left + width]).all()
    assert pixels_of(pictures.crop(noisy(1, 3), 1.0, rng(seed))).shape == (1, 2, 3)


@pytest.mark.parametrize("seed", range(6))
def test_a_picture_is_turned_either_way_on_its_mean_colour(seed):
    pixels = noisy() // np.array([1, 2, 4], np.uint8)
    fill = tuple(int(pixels[..., channel].astype(float).mean()) for channel in range(3))
    angle = 45 * 0.6 if rng(seed).random() < 0.5 else -45 * 0.6
    turned = Image.fromarray(pixels).rotate(angle, Image.Resampling.BILINEAR, fillcolor=fill)
    assert pictures.rotate(pixels, 0.6, rng(seed)) == file(turned)
    assert tuple(pixels_of(pictures.rotate(pixels, 1.0, rng(seed)))[0, 0]) == fill


def test_a_blur_goes_by_the_shorter_side_and_noise_is_clipped():
    for pixels in (noisy(), noisy(64, 48)):
        blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.05 * 0.8 * 48))
        assert pictures.blur(pixels, 0.8, rng()) == file(blurred)
    shaken = np.clip(noisy() + rng(3).normal(0, 30, (48, 64, 3)), 0, 255).astype(np.uint8)
    assert (pixels_of(pictures.noise(noisy(), 0.5, rng(3))) == shaken).all()
    assert {0, 255} <= set(np.unique(shaken).tolist())


@pytest.mark.parametrize(("height", "width", "step"), [(48, 64, 6), (90, 70, 8), (10, 12, 4), (100, 100, 12)])
def test_stripes_run_upwards_at_even_steps_in_one_colour(height, width, step):
    ground = np.full((height, width, 3), 100, np.uint8)
    for seed in (0, 1):
        chance = rng(seed)
        start = int(chance.integers(step))
        colour = chance.integers(0, 256, 3)
        drawn = pixels_of(pictures.overlay(ground, 1.0, rng(seed)))
        level = round(255 * 0.7) / 255
        striped = (drawn != ground).any(axis=2)
        assert np.abs(drawn[striped] - (level * colour + (1 - level) * 100)).max() <= 1
        for y in (height // 3, height // 2):
            middles = [x for x in range(width) if (x - start + y) % step == 0]
            assert striped[y, middles].all()
    half = pixels_of(pictures.overlay(ground, 0.5, rng(0))).astype(float)
    whole = pixels_of(pictures.overlay(ground, 1.0, rng(0))).astype(float)
    assert np.abs((half - 100) * 2 - (whole - 100)).max() <= 2.5
    assert (whole.sum(), (whole != 100).any(axis=2).sum()) == STRIPES[height, width]


def test_what_white_is_taken_out_is_told_by_the_opacity():
    row = np.array([[[200, 150, 100], [255, 128, 0], [255, 255, 255], [255, 254, 254], [0, 0, 0]]], np.uint8)
    assert pixels_of(pictures.alpha(row, 1.0, rng())).tolist() == [
        [[165, 82, 0, 155], [255, 128, 0, 255], [0, 0, 0, 0], [255, 0, 0, 1], [0, 0, 0, 255]]
    ]
    # half of the white of the first pixel is 50, so 205 are left: 255 * (200 - 50) / 205
    assert pixels_of(pictures.alpha(row, 0.5, rng())).tolist()[0][:3] == [
        [187, 124, 62, 205],
        [255, 128, 0, 255],
        [255, 255, 255, 128],
    ]
