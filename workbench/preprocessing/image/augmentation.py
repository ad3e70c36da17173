"""Pictures changed at random in ways that keep what they show: more examples of a rare label, or an epoch's fresh look.

Only training sees them, and only after the split. Chance comes from the generator given, never from global state, so a
post's change in an epoch depends on the run's seed, the post's place and the epoch, and on nothing else.

The changes are torchvision's (`transforms.v2.functional`, https://docs.pytorch.org/vision) on uint8 tensors, but for
the compression; its transform classes draw from torch's global state, so the draws are made here. Open doubts: a
mirrored picture is left out, for it turns words and signs around; what keeps a label is the label's affair (a crop can
lose what was harmful).
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from workbench.schema import Options

if TYPE_CHECKING:
    import torch


class AugmentOptions(Options):
    """How far a picture is changed; each change is drawn evenly between none and the most, 0 switches it off."""

    rotation: float = Field(0, ge=0, le=180, description="Most degrees turned either way; corners get the mean colour.")
    hue: float = Field(0, ge=0, le=0.5, description="Most of the colour circle that hues are shifted either way.")
    saturation: float = Field(0, ge=0, le=1, description="Most that saturation is scaled by, 0.3 for 0.7 to 1.3 times.")
    lightness: float = Field(0, ge=0, le=1, description="Most that lightness is scaled by, likewise.")
    contrast: float = Field(0, ge=0, le=1, description="Most that contrast is scaled by, likewise.")
    crop: float = Field(0, ge=0, le=0.9, description="Most of the area that is cut away before scaling back.")
    jpeg: int | None = Field(None, ge=1, le=100, description="Lowest JPEG quality (up to 95) to compress at; or null.")

    @property
    def changes(self) -> tuple[str, ...]:
        """The names of the changes that are switched on."""
        return tuple(name for name in type(self).model_fields if getattr(self, name))


def generator(seed: int, *place: int) -> np.random.Generator:
    """Return the chance of one picture in one epoch: of the run's seed, and whole numbers that say which it is."""
    return np.random.default_rng(np.random.SeedSequence([seed, *place]))


def augment(pixels: torch.Tensor, options: AugmentOptions, chance: np.random.Generator) -> torch.Tensor:
    """Return a changed picture `(3, height, width)` uint8 of the same size; `pixels` itself where all is switched off.

    The order is crop, turn, colours, compression: what a camera sees, then what an editor and a site do to it.
    """
    from torchvision.transforms.v2 import functional

    if options.crop:
        pixels = functional.resized_crop(pixels, *_window(pixels.shape[1:], options.crop, chance), pixels.shape[1:])
    if options.rotation:
        angle = float(chance.uniform(-options.rotation, options.rotation))
        fill = pixels.float().mean(dim=(1, 2)).tolist()
        pixels = functional.rotate(pixels, angle, functional.InterpolationMode.BILINEAR, fill=fill)
    if options.hue:
        pixels = functional.adjust_hue(pixels, float(chance.uniform(-options.hue, options.hue)))
    scaled = {
        "saturation": functional.adjust_saturation,
        "lightness": functional.adjust_brightness,
        "contrast": functional.adjust_contrast,
    }
    for name, change in scaled.items():
        most = getattr(options, name)
        if most:
            pixels = change(pixels, float(chance.uniform(1 - most, 1 + most)))
    if options.jpeg:
        pixels = _compressed(pixels, int(chance.integers(min(options.jpeg, 95), 96)))
    return pixels


def _compressed(pixels: torch.Tensor, quality: int) -> torch.Tensor:
    """Return pixels as a JPEG of that quality shows them; by Pillow, as torchvision gives up its own."""
    import torch
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()).save(file, "JPEG", quality=quality)
    with Image.open(file) as picture:
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _window(size: Sequence[int], most: float, chance: np.random.Generator) -> tuple[int, int, int, int]:
    """Return top, left, height and width of a part of a picture with its proportions."""
    share = math.sqrt(1 - chance.uniform(0, most))  # of each side
    height, width = (max(1, round(side * share)) for side in size)
    top, left = (int(chance.integers(0, side - part + 1)) for side, part in zip(size, (height, width), strict=True))
    return top, left, height, width


def copies(data: bytes, options: AugmentOptions, chances: Sequence[np.random.Generator]) -> list[bytes]:
    """Return changed copies of a picture file as PNG files, one per chance; none of a picture that cannot be read.

    Of a picture with several variants the first is copied, which is the one that training sees.
    """
    import torch
    from PIL import Image

    from workbench.preprocessing.image import decoding

    variants = decoding.decode(data).variants
    if not variants:
        return []
    pixels, files = torch.from_numpy(variants[0].copy()).permute(2, 0, 1), []
    for chance in chances:
        file = io.BytesIO()
        changed = augment(pixels, options, chance).permute(1, 2, 0).contiguous().numpy()
        Image.fromarray(changed).save(file, "PNG", compress_level=1)
        files.append(file.getvalue())
    return files


def rare_rows(y: np.ndarray, known: np.ndarray, below: float) -> np.ndarray:
    """Return the rows (m,) that hold a rare label: one with known positives, but under that share of its known rows.

    y, known: (n_posts, n_labels).

    >>> rare_rows(np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]), np.ones((3, 2), bool), 0.5)
    array([0])
    """
    positive = (y > 0.5) & known
    share = positive.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.flatnonzero(positive[:, share < below].any(axis=1))
