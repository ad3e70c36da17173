"""What a post's picture and clip look like, drawn anew from decoded pixels: nothing of the file itself is shown.

Metadata, active content and whatever hides behind the pixels stay behind. The page blurs it until asked.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from workbench.preprocessing.image import decoding
from workbench.preprocessing.video import reader
from workbench.serving.demo.verdict import safe

SIDE = {1: 480, 2: 320}  # the longer side in pixels, by how many pictures stand side by side
MANY = 200
VARIANTS = 6


def sheet(picture: bytes | None, clip: bytes | None) -> str:
    """Return HTML with the picture's variants and the clip's frames; nothing if there is neither."""
    parts = [part for part in (_of_picture(picture), _of_clip(clip)) if part]
    if not parts:
        return ""
    switch = '<label class="reveal"><input type="checkbox"> Show without blur</label>'
    note = "Drawn anew from what was decoded; the files themselves are not shown."
    head = f"<h3>What the model was shown</h3>{switch}"
    return f'<div class="media">{head}{"".join(parts)}<p><small>{note}</small></p></div>'


def _of_picture(data: bytes | None) -> str:
    if data is None:
        return ""
    decoded = decoding.decode(data)
    if decoded.reason:
        return ""
    shown = decoded.variants[:VARIANTS]
    views = [f"Picture, view {n} of {len(decoded.variants)}" for n, _ in enumerate(shown, 1)]
    captions = ["Picture"] if len(shown) == 1 else views
    return _figures(shown, captions, decoded.notes)


def _of_clip(data: bytes | None) -> str:
    if data is None:
        return ""
    clip = reader.decode(data)
    if clip.reason:
        return ""
    captions = [f"Clip at {at:.1f} s" for at in clip.times]
    return _figures(clip.frames, captions, clip.notes)


def _figures(pixels: Sequence[np.ndarray], captions: Sequence[str], notes: Sequence[str]) -> str:
    side = SIDE.get(len(pixels), MANY)
    cells = "".join(
        f'<figure><img alt="" src="data:image/jpeg;base64,{_encoded(frame, side)}">'
        f"<figcaption>{safe(caption)}</figcaption></figure>"
        for frame, caption in zip(pixels, captions, strict=True)
    )
    footnote = f"<p><small>{safe('; '.join(notes))}.</small></p>" if notes else ""
    return f'<div class="sheet n{min(len(pixels), 3)}">{cells}</div>{footnote}'


def _encoded(pixels: np.ndarray, side: int) -> str:
    """Return pixels (h, w, 3) as a small JPEG in base64; the file holds nothing but them."""
    small = Image.fromarray(pixels)
    small.thumbnail((side, side))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()
