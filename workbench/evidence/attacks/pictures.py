"""Ways to change a picture so that people still see the same and a model may not.

Each takes pixels uint8 (h, w, 3) and a strength from 0 to 1 and returns a file; all but `jpeg` are stored without loss.
Open doubt: at full strength some hide a small object from people too (a crop can cut it off); tables show strengths
apart, and the strongest is an upper bound of what an evader could do.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Edit = Callable[[np.ndarray, float, np.random.Generator], bytes]


def jpeg(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> bytes:
    """Compress at a JPEG quality from 95 down to 5."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=round(95 - 90 * strength))
    return file.getvalue()


def crop(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> bytes:
    """Keep a part of the same proportions somewhere in the picture, down to half of the area."""
    share = np.sqrt(1 - 0.5 * strength)
    height, width = (max(1, round(side * share)) for side in pixels.shape[:2])
    top, left = (
        round(rng.random() * (side - kept)) for side, kept in zip(pixels.shape[:2], (height, width), strict=True)
    )
    return _png(pixels[top : top + height, left : left + width])


def rotate(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> bytes:
    """Turn by up to 45 degrees, either way; corners get the mean colour."""
    angle = 45 * strength * (1 if rng.random() < 0.5 else -1)
    fill = tuple(int(value) for value in pixels.mean(axis=(0, 1)))
    return _png(np.asarray(Image.fromarray(pixels).rotate(angle, Image.Resampling.BILINEAR, fillcolor=fill)))


def blur(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> bytes:
    """Blur by a Gaussian with a standard deviation of up to 5 % of the shorter side."""
    radius = 0.05 * strength * min(pixels.shape[:2])
    return _png(np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius))))


def noise(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> bytes:
    """Add Gaussian noise with a standard deviation of up to 60 of 255 levels."""
    return _png(np.clip(pixels + rng.normal(0, 60 * strength, pixels.shape), 0, 255).astype(np.uint8))


def overlay(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> bytes:
    """Lay slanted stripes of one colour over it, up to 70 % opaque."""
    height, width = pixels.shape[:2]
    step, mask = max(4, min(height, width) // 8), Image.new("L", (width, height))
    pen, level = ImageDraw.Draw(mask), round(255 * 0.7 * strength)
    start = int(rng.integers(step))
    for x in range(start - height, width, step):
        pen.line((x, height, x + height, 0), fill=level, width=max(1, step // 4))
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    picture = Image.fromarray(pixels)
    picture.paste(colour, (0, 0), mask)
    return _png(np.asarray(picture))


def alpha(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> bytes:
    """Move what is shown into the transparency: on a white page it looks the same, its colours alone do not.

    Of each pixel as much white is taken out as can be (at full strength), and opacity says how much.
    """
    white = strength * pixels.min(axis=2, keepdims=True) / 255.0
    opacity = np.round(255 * (1 - white))
    colour = np.divide(pixels - 255.0 + opacity, opacity / 255, out=np.zeros(pixels.shape), where=opacity > 0)
    return _png(np.concatenate([np.clip(np.round(colour), 0, 255), opacity], axis=2).astype(np.uint8))


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


EDITS: dict[str, Edit] = {
    "jpeg": jpeg,
    "crop": crop,
    "rotate": rotate,
    "blur": blur,
    "noise": noise,
    "overlay": overlay,
    "alpha": alpha,
}
