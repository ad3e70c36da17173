"""What pictures of the synthetic world show: one simple drawing per scene, never drawn twice alike.

The scene decides the outline alone. Colour, place, size, slant, background, clutter, grain and JPEG quality are nuisance:
independent of scene, labels and text. The drawings are harmless; what a label *is* here is symbolic.
"""

from __future__ import annotations

import colorsys
import io

import numpy as np
from PIL import Image, ImageDraw

from workbench.corpora.synthetic.causes import SCENES

SIDE = 64  # pixels
_SCALE = 2  # outlines are drawn this much larger, then averaged down


def _disc(x: float, y: float, r: float, stretch: float = 1.0, n: int = 22) -> list[tuple[float, float]]:
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return list(zip(x + r * stretch * np.cos(angle), y + r * np.sin(angle), strict=True))


def _box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _star(points: int, inner: float) -> list[tuple[float, float]]:
    angle = np.linspace(0, 2 * np.pi, 2 * points, endpoint=False) - np.pi / 2
    radius = np.where(np.arange(2 * points) % 2, inner, 1.0)
    return list(zip(radius * np.cos(angle), radius * np.sin(angle), strict=True))


def _heart(n: int = 26) -> list[tuple[float, float]]:
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
    return list(zip(np.sin(t) ** 3, y, strict=True))


# scene -> outlines on [-1, 1] x [-1, 1], drawn in order; True fills, False cuts out.
OUTLINES: dict[str, list[tuple[bool, list[tuple[float, float]]]]] = {
    "house": [(True, _box(-0.7, -0.1, 0.7, 0.9)), (True, [(-1, -0.1), (0, -0.9), (1, -0.1)]), (False, _box(-0.2, 0.3, 0.2, 0.9))],
    "tree": [(True, _box(-0.14, 0.1, 0.14, 1)), (True, _disc(0, -0.3, 0.65))],
    "boat": [(True, [(-1, 0.3), (1, 0.3), (0.6, 0.9), (-0.6, 0.9)]), (True, [(0.05, -0.95), (0.05, 0.15), (-0.75, 0.15)])],
    "mug": [(True, _disc(0.5, 0.1, 0.45)), (False, _disc(0.5, 0.1, 0.25)), (True, _box(-0.75, -0.6, 0.4, 0.85))],
    "fish": [(True, _disc(-0.2, 0, 0.45, 1.6)), (True, [(0.35, 0), (1, -0.55), (1, 0.55)]), (False, _disc(-0.6, -0.1, 0.1))],
    "cloud": [(True, _disc(-0.5, 0.2, 0.4)), (True, _disc(0.05, -0.15, 0.5)), (True, _disc(0.55, 0.2, 0.4)), (True, _box(-0.5, 0.2, 0.55, 0.6))],
    "star": [(True, _star(5, 0.4))],
    "ring": [(True, _disc(0, 0, 0.9)), (False, _disc(0, 0, 0.55))],
    "arrow": [(True, _box(-0.2, -0.1, 0.2, 0.95)), (True, [(-0.75, 0), (0, -0.95), (0.75, 0)])],
    "cross": [(True, _box(-0.27, -0.9, 0.27, 0.9)), (True, _box(-0.9, -0.27, 0.9, 0.27))],
    "moon": [(True, _disc(0, 0, 0.9)), (False, _disc(0.42, -0.12, 0.75))],
    "heart": [(True, _heart())],
    "bolt": [(True, [(0.15, -1), (-0.6, 0.15), (-0.05, 0.15), (-0.2, 1), (0.6, -0.25), (0.05, -0.25), (0.4, -1)])],
    "key": [(True, _disc(-0.55, 0, 0.42)), (False, _disc(-0.55, 0, 0.19)), (True, _box(-0.2, -0.11, 0.95, 0.11)), (True, _box(0.5, 0.1, 0.65, 0.42)), (True, _box(0.8, 0.1, 0.95, 0.42))],
    "cage": [(True, _box(-0.8, -0.9, 0.8, 0.9)), *((False, _box(x, -0.65, x + 0.22, 0.65)) for x in (-0.58, -0.11, 0.36))],
    "muzzle": [(True, [(-0.9, -0.5), (0.9, -0.5), (0.5, 0.8), (-0.5, 0.8)]), *((False, _disc(x, y, 0.16)) for x in (-0.3, 0.3) for y in (-0.18, 0.35))],
    "peach": [(True, _disc(0, 0.15, 0.75)), (False, _box(-0.06, -0.3, 0.06, 0.9)), (True, [(0.05, -0.5), (0.65, -1), (0.55, -0.55)])],
    "curtain": [(True, _box(-0.95, -0.95, 0.95, -0.7)), *((True, [(x, -0.7), (x + 0.28, -0.7), (x + 0.4, 0.95), (x - 0.06, 0.95)]) for x in (-0.95, -0.4, 0.15, 0.62))],
    "hammer": [(True, _box(-0.13, -0.4, 0.13, 1)), (True, _box(-0.75, -0.85, 0.6, -0.35))],
    "shard": [(True, [(-0.9, 0.9), (-0.55, -0.8), (-0.3, 0.9)]), (True, [(-0.2, 0.9), (0.25, -1), (0.35, 0.9)]), (True, [(0.45, 0.9), (0.85, -0.45), (0.95, 0.9)])],
    "pill": [(True, _disc(0, -0.5, 0.4)), (True, _disc(0, 0.5, 0.4)), (True, _box(-0.4, -0.5, 0.4, 0.5)), (False, _box(-0.4, -0.09, 0.4, 0.09))],
    "stamp": [(True, _box(-0.75, -0.75, 0.75, 0.75)), *((False, _disc(x, y, 0.15)) for x in (-0.5, 0, 0.5) for y in (-0.8, 0.8)), *((False, _disc(x, y, 0.15)) for x in (-0.8, 0.8) for y in (-0.5, 0, 0.5)), (False, _disc(0, 0, 0.3))],
}  # fmt: skip
assert set(OUTLINES) == set(SCENES) - {"absent"}


def draw(scene: int, rng: np.random.Generator, difficulty: float) -> Image.Image:
    """Return a fresh RGB picture of a scene, SIDE pixels square; difficulty 0 to 1 lowers contrast and adds clutter."""
    picture, ink, mask = parts(scene, rng, difficulty)
    picture.paste(ink, (0, 0), mask)
    return picture


def parts(
    scene: int, rng: np.random.Generator, difficulty: float
) -> tuple[Image.Image, tuple[int, int, int], Image.Image]:
    """Return what a picture is put together from: the ground with its clutter, the ink, and where the ink goes."""
    ground, ink, extra = _colours(rng, 0.55 - 0.3 * difficulty)
    picture = Image.fromarray(_background(ground, rng, difficulty))
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.integers(0, 1 + round(8 * difficulty))):
        x, y, dx, dy = rng.uniform(0, SIDE, 4)
        colour = tuple(int(c) for c in (extra if rng.random() < 0.5 else ink))
        if rng.random() < 0.5:
            pen.line((x, y, x + (dx - 32) / 2, y + (dy - 32) / 2), fill=colour, width=1)
        else:
            pen.ellipse((x, y, x + 1 + dx / 20, y + 1 + dy / 20), fill=colour)
    return picture, tuple(int(c) for c in ink), _mask(scene, rng, difficulty)


def encode(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """Return a picture as JPEG bytes of a random quality from 45 to 92."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=int(rng.integers(45, 93)))
    return buffer.getvalue()


def _mask(scene: int, rng: np.random.Generator, difficulty: float) -> Image.Image:
    """The outline's coverage: sheared, turned, sized and placed at random, wholly inside the picture."""
    size = SIDE * rng.uniform(0.36 - 0.12 * difficulty, 0.42)
    turn = rng.uniform(-1, 1) * np.pi * (0.05 + 0.1 * difficulty)
    stretch, shear = rng.uniform(0.85, 1.15), rng.uniform(-0.15, 0.15)
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = size * rotate @ np.array([[stretch, shear], [0.0, 1.0 / stretch]])
    room = max(SIDE / 2 - 0.95 * size, 0.0)
    centre = SIDE / 2 + rng.uniform(-room, room, 2)
    mask = Image.new("L", (SIDE * _SCALE, SIDE * _SCALE))
    pen = ImageDraw.Draw(mask)
    for fills, outline in OUTLINES[SCENES[scene]]:
        points = (np.array(outline) @ matrix.T + centre) * _SCALE
        pen.polygon([tuple(point) for point in points], fill=255 if fills else 0)
    return mask.reduce(_SCALE)


def _background(ground: np.ndarray, rng: np.random.Generator, difficulty: float) -> np.ndarray:
    """A slanted gradient with grain, uint8 (SIDE, SIDE, 3)."""
    slope = rng.uniform(-0.5, 0.5, 2) * 60 * difficulty
    ramp = np.linspace(-0.5, 0.5, SIDE)
    light = ramp[:, None] * slope[0] + ramp[None, :] * slope[1]
    grain = rng.standard_normal((SIDE, SIDE), dtype=np.float32) * (24 * difficulty * rng.random())
    return np.clip(ground + (light + grain)[..., None], 0, 255).astype(np.uint8)


def _colours(rng: np.random.Generator, contrast: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three RGB colours (3,) of which the first two differ in brightness by at least `contrast` of the range."""
    while True:
        hues, strengths, values = rng.random(3), rng.uniform(0.1, 0.9, 3), rng.uniform(0.1, 1.0, 3)
        colours = 255 * np.array([colorsys.hsv_to_rgb(*hsv) for hsv in zip(hues, strengths, values, strict=True)])
        light = colours @ (0.299, 0.587, 0.114)
        if abs(light[0] - light[1]) >= 255 * contrast:
            return colours[0], colours[1], colours[2]
