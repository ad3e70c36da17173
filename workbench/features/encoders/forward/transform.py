"""Pictures and clips as the encoder's input: every variant or frame, fitted to the size of the checkpoint.

The fit is the checkpoint's own (`preprocess_cfg`): `shortest` (scale the shorter side, keep the centre), `longest`
(scale the longer side, pad) or `squash`. Most say `shortest`, which loses the edges of a picture, where memes have
their words; `fitted` takes another one where an encoder's name asks for it (`?fit=squash`). Which it is belongs to the
fingerprint, and a note says where the encoder saw less than half of a picture.

Source: open_clip 3.3.0, `transform.py`; the resize is torch's antialiased uint8 kernel, which differs from Pillow's by
at most one grey level (two where it enlarges) and is several times faster. A strip, scaled by its short side, stays
small because decoding refuses pictures that are much longer than wide (`ImageOptions.max_ratio`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from torch.nn.functional import interpolate, pad

from workbench.errors import WorkbenchError
from workbench.features.blocks import TransientError
from workbench.preprocessing.image import decoding as image
from workbench.preprocessing.image.decoding import ImageOptions
from workbench.preprocessing.video import reader
from workbench.preprocessing.video.reader import VideoOptions

RESIZE = {"crop": "shortest", "squash": "squash", "pad": "longest"}  # what open_clip calls the fits


@dataclass(frozen=True)
class Transformed:
    """The variants of a picture or the frames of a clip `(k, 3, height, width)` uint8, or none and the reason.

    numbers (k,): which variant each is; all frames of a clip, or of an animation, are of one.
    """

    variants: torch.Tensor | None
    reason: str | None = None
    note: str | None = None
    numbers: Sequence[int] = ()


@dataclass(frozen=True)
class Transform:
    """How a picture of any size becomes the encoder's input; sizes are (height, width) in pixels, values 0 to 255."""

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize_mode: str = "shortest"
    interpolation: str = "bicubic"
    fill_color: int = 0
    options: ImageOptions = image.DEFAULT
    clips: VideoOptions = reader.DEFAULT

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Transform:
        """Return the fit that open_clip's `preprocess_cfg` describes."""
        size, mean, std = settings["size"], settings["mean"], settings["std"]
        return cls(
            size=(size, size) if isinstance(size, int) else tuple(size),
            mean=tuple(mean) if isinstance(mean, list | tuple) else (mean,) * 3,
            std=tuple(std) if isinstance(std, list | tuple) else (std,) * 3,
            resize_mode=settings.get("resize_mode") or "shortest",
            interpolation="bilinear" if settings.get("interpolation") == "bilinear" else "bicubic",
            fill_color=settings.get("fill_color") or 0,
        )

    def fitted(self, fit: str | None) -> Self:
        """Return the transform with a fit of RESIZE in the place of its own; None leaves it."""
        return self if fit is None else replace(self, resize_mode=RESIZE[fit])

    @property
    def recipe(self) -> dict[str, Any]:
        """Everything the values of a picture depend on."""
        fit = {key: value for key, value in asdict(self).items() if key != "clips"}
        return fit | {"options": self.options.model_dump(mode="json"), "resize": "torch uint8 antialias"}

    @property
    def clip_recipe(self) -> dict[str, Any]:
        """What the values of a clip depend on beyond the fit."""
        return {"options": self.clips.recipe}

    def read(self, data: bytes) -> Transformed:
        """Decode one picture file and fit each of its variants; what cannot be read has its reason."""
        return self._read("picture", partial(image.decode, data, self.options))

    def read_clip(self, data: bytes) -> Transformed:
        """Decode one clip and fit each of its frames; what cannot be read has its reason."""
        return self._read("clip", partial(reader.decode, data, self.clips))

    def _read(self, what: str, decode: Callable[[], Any]) -> Transformed:
        """Decode and fit; a note that may pass keeps the item out of the store."""
        try:
            decoded = decode()
        except MemoryError:
            return Transformed(None, TransientError(f"not enough memory to decode the {what}"))
        except WorkbenchError:  # no decoder is installed: that is not the clip's fault
            raise
        except Exception as error:  # one file must not end a run over a million
            return Transformed(None, TransientError(f"decoding the {what} failed: {type(error).__name__}"))
        transient = getattr(decoded, "transient", False)
        if decoded.reason:
            return Transformed(None, TransientError(decoded.reason) if transient else decoded.reason)
        variants = decoded.variants if what == "picture" else decoded.frames
        numbers = decoded.numbers if what == "picture" else [0] * len(variants)
        remarks, seen = list(decoded.notes), self.seen(*variants[0].shape[:2])
        if seen < 0.5:
            remarks.append(f"the encoder saw the middle {seen:.0%} of the {what}")
        note = "; ".join(remarks) or None
        if transient:
            note = TransientError(note or f"part of the {what} may be missing")
        return Transformed(torch.stack([self(variant) for variant in variants]), None, note, numbers)

    def seen(self, height: int, width: int) -> float:
        """Return the share of a picture's area that reaches the encoder, 0 to 1."""
        if self.resize_mode != "shortest":
            return 1.0
        ratio = (width / height) / (self.size[1] / self.size[0])
        return min(ratio, 1 / ratio)

    def __call__(self, variant: np.ndarray) -> torch.Tensor:
        """Return one variant `(h, w, 3)` uint8 as `(3, height, width)` uint8."""
        # torch warns about arrays that it could write to but must not
        pixels = torch.from_numpy(np.require(variant, np.uint8, ["C", "W"])).permute(2, 0, 1)[None]
        target = self._target(*variant.shape[:2])
        if target != tuple(pixels.shape[2:]):
            # open_clip forgets the interpolation for `shortest` with a size that is not square
            always_bicubic = self.resize_mode == "shortest" and self.size[0] != self.size[1]
            mode = "bicubic" if always_bicubic else self.interpolation
            pixels = interpolate(pixels, size=target, mode=mode, antialias=True)
        return _centre(pixels[0], self.size, self.fill_color)

    def _target(self, height: int, width: int) -> tuple[int, int]:
        """The size after scaling and before cropping or padding, with open_clip's own rounding."""
        if self.resize_mode == "squash":
            return self.size
        ratios = height / self.size[0], width / self.size[1]
        if self.resize_mode == "longest":
            return max(1, round(height / max(ratios))), max(1, round(width / max(ratios)))
        if self.size[0] != self.size[1]:
            return round(height / min(ratios)), round(width / min(ratios))
        side, long, short = self.size[0], max(height, width), min(height, width)
        other = int(side * long / short)
        return (side, other) if height <= width else (other, side)


def _centre(pixels: torch.Tensor, size: tuple[int, int], fill: int) -> torch.Tensor:
    """Crop `(3, h, w)` around its centre, or pad it, to `size`."""
    short = [max(0, want - have) for want, have in zip(size, pixels.shape[1:], strict=True)]
    if any(short):
        top, left = short[0] // 2, short[1] // 2
        pixels = pad(pixels, (left, short[1] - left, top, short[0] - top), value=fill)
    top, left = (round((have - want) / 2.0) for want, have in zip(size, pixels.shape[1:], strict=True))
    return pixels[:, top : top + size[0], left : left + size[1]]
