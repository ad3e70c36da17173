"""Heads on frozen CLIP embeddings: the text, the picture or the clip alone, or text and vision by one of three fusions.

What they have in common stands in `frozen`, their options in `options`, their network in `networks`.
"""

from __future__ import annotations

from typing import ClassVar

from workbench.models.heads.frozen import ClipClassifier
from workbench.models.heads.options import (
    AlignOptions,
    ClipHeadOptions,
    ConcatOptions,
    CrossOptions,
    PictureHeadOptions,
    TextHeadOptions,
)


class TextClip(ClipClassifier):
    """A head on the embedding of the text."""

    options_class = TextHeadOptions
    modalities = ("text",)


class ImageClip(ClipClassifier):
    """A head on the embedding of the picture."""

    options_class = PictureHeadOptions
    modalities = ("image",)


class VideoClip(ClipClassifier):
    """A head on the embeddings of a clip's frames, pooled as its options say."""

    options_class = ClipHeadOptions
    modalities = ("video",)


class ClipConcat(ClipClassifier):
    """An MLP over both sides, joined."""

    options_class = ConcatOptions
    modalities = ("text", "image", "video")


class ClipCross(ClipClassifier):
    """Both sides and the outer product of their projections (Hate-CLIPper's cross fusion)."""

    options_class = CrossOptions
    modalities = ("text", "image", "video")
    search: ClassVar[dict[str, tuple]] = ClipClassifier.search | {"rank": (16, 32, 64)}
    fusion = "cross"


class ClipAlign(ClipClassifier):
    """Both sides and the element-wise product of their projections (Hate-CLIPper's align fusion)."""

    options_class = AlignOptions
    modalities = ("text", "image", "video")
    search: ClassVar[dict[str, tuple]] = ClipClassifier.search | {"rank": (64, 128, 256)}
    fusion = "align"
