"""Ways to bring a picture to an encoder's size, for comparing what they cost and how much they change.

What encoders do is their checkpoint's affair (`features.encoders.forward.transform.Transform`); here the choices stand
side by side: who scales (torch's uint8 kernel or Pillow), how (bicubic, bilinear), what becomes of the proportions
(shortest, longest, squash), and whether a JPEG is decoded at a fraction of its size first (`ImageOptions.reduce_side`,
Pillow's draft mode).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from workbench.preprocessing.image import decoding as image
from workbench.preprocessing.image.decoding import ImageOptions

FULL = ImageOptions(reduce_side=None)
Resize = Callable[[np.ndarray, int], np.ndarray]


def by_torch(pixels: np.ndarray, size: tuple[int, int], how: str) -> np.ndarray:
    """Return pixels (h, w, 3) uint8 scaled to (height, width) by torch's antialiased uint8 kernel."""
    import torch
    from torch.nn.functional import interpolate

    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    return interpolate(planes, size=size, mode=how, antialias=True)[0].permute(1, 2, 0).numpy()


def by_pillow(pixels: np.ndarray, size: tuple[int, int], how: str) -> np.ndarray:
    """Return pixels (h, w, 3) uint8 scaled to (height, width) by Pillow."""
    way = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}[how]
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], way))


def shape(height: int, width: int, side: int, fit: str) -> tuple[int, int]:
    """Return the size after scaling so that the shortest or longest side is `side`, or both are (squash).

    >>> shape(600, 800, 224, "shortest"), shape(600, 800, 224, "longest")
    ((224, 299), (168, 224))
    """
    if fit == "squash":
        return side, side
    scale = side / (min if fit == "shortest" else max)(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


VARIANTS: dict[str, dict[str, Any]] = {
    "torch bicubic": {"scale": by_torch, "how": "bicubic", "fit": "shortest"},
    "torch bilinear": {"scale": by_torch, "how": "bilinear", "fit": "shortest"},
    "Pillow bicubic": {"scale": by_pillow, "how": "bicubic", "fit": "shortest"},
    "Pillow bilinear": {"scale": by_pillow, "how": "bilinear", "fit": "shortest"},
    "torch bicubic, longest": {"scale": by_torch, "how": "bicubic", "fit": "longest"},
    "torch bicubic, squash": {"scale": by_torch, "how": "bicubic", "fit": "squash"},
    "torch bicubic after a draft": {"scale": by_torch, "how": "bicubic", "fit": "shortest", "options": image.DEFAULT},
}
"""Names of ways; `options` are those of decoding, in full where there are none."""


def compare(files: Sequence[bytes], side: int = 224) -> list[dict[str, Any]]:
    """Return a row per way: milliseconds of decoding and of scaling (medians), and the difference from Pillow bicubic.

    files: pictures that can be read. The difference is the mean absolute one in grey levels (0 to 255), None where the
    way gives another size.
    """
    rows = []
    for name, variant in VARIANTS.items():
        decoding, scaling, differences = [], [], []
        for data in files:
            began = time.perf_counter()
            pixels = image.decode(data, variant.get("options", FULL)).variants[0]
            decoded = time.perf_counter()
            small = variant["scale"](pixels, shape(*pixels.shape[:2], side, variant["fit"]), variant["how"])
            scaling.append(1000 * (time.perf_counter() - decoded))
            decoding.append(1000 * (decoded - began))
            whole = image.decode(data, FULL).variants[0]
            usual = by_pillow(whole, shape(*whole.shape[:2], side, "shortest"), "bicubic")
            if usual.shape == small.shape:
                differences.append(np.abs(usual.astype(int) - small).mean())
        level = round(statistics.fmean(differences), 2) if len(differences) == len(files) else None
        row = {"way": name, "decode_ms": statistics.median(decoding), "scale_ms": statistics.median(scaling)}
        rows.append({**row, "grey_levels": level})
    return rows
