"""How a head is built and learns, as options; read without importing torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from workbench.models.fit.options import VARIANTS, LearningOptions

RARE = 0.02  # of the training posts: a side that fewer lack has too few examples to learn its absence from
HIDDEN_BY_DEFAULT = 0.1
Pooling = Literal["max", "mean", "noisy-or", "attention"]
POOLING = Field(
    "max",
    description="A clip counts by its highest frame (max); by the mean of its frames' vectors (mean); by the chance "
    "that any of its frames holds the label, 1 - prod(1 - p), so that doubtful ones add up (noisy-or); or by a mean of "
    "frames whose weights are learnt (attention). With the last two, a picture beside a clip counts as one more frame.",
)


class HeadOptions(LearningOptions):
    """The encoder, and how the head on it is built and trained."""

    encoder: str = Field("tiny", description="The encoder's name: `tiny`, an open_clip name with weights, or a folder.")
    head: Literal["mlp", "linear"] = Field("mlp", description="One hidden layer, or none.")
    hidden: int = Field(64, ge=1, le=8192, description="Units of the hidden layer.")
    activation: Literal["gelu", "relu", "tanh", "silu"] = Field("gelu", description="What the hidden layer ends in.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of inputs and hidden units dropped in training.")
    variants: bool = VARIANTS


class FrameOptions(HeadOptions):
    """A head on the frames of a clip."""

    pooling: Pooling = POOLING


class PairOptions(HeadOptions):
    """A head on two sides."""

    pooling: Pooling = POOLING
    modality_dropout: float | None = Field(
        None,
        ge=0,
        le=0.5,
        description="Share of the posts with both sides whose one side is hidden in training, for each side; null: "
        f"{HIDDEN_BY_DEFAULT} for a side that under {RARE:.0%} of the training posts lack, else 0.",
    )


class ConcatOptions(PairOptions):
    """A head on both sides, joined; it needs more units than a fusion to tell pairs apart."""

    hidden: int = Field(128, ge=1, le=8192, description="Units of the hidden layer.")


class CrossOptions(PairOptions):
    """A head on the outer product of projected sides; it fits pairs within a few epochs and is held back more."""

    dropout: float = Field(0.3, ge=0, lt=1, description="Share of inputs and hidden units dropped in training.")
    lr: float = Field(0.003, gt=0, le=1, description="Learning rate of AdamW.")
    weight_decay: float = Field(1.0, ge=0, description="Weight decay of AdamW (per step it is multiplied by lr).")
    rank: int = Field(32, ge=1, le=128, description="Length of a projected side; the product has its square.")
    projection: Literal["softmax", "linear"] = Field("softmax", description="Soft prototypes, or plain projections.")


class AlignOptions(PairOptions):
    """A head on the element-wise product of projected sides."""

    hidden: int = Field(128, ge=1, le=8192, description="Units of the hidden layer.")
    rank: int = Field(128, ge=1, le=4096, description="Length of a projected side, and of the product.")
    projection: Literal["softmax", "linear"] = Field("softmax", description="Soft prototypes, or plain projections.")
