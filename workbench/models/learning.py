"""How a head is built and learns, as options; read without importing torch."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from workbench.models.penalties import CLASS_WEIGHT, ClassWeight, Strengths
from workbench.schema import Options

# The losses by name, and the numbers that each reads; `losses.LOSSES` has the functions.
LOSS_NUMBERS: dict[str, tuple[str, ...]] = {
    "bce": ("smoothing",),
    "kl": ("smoothing",),
    "squared": ("smoothing",),
    "focal": ("gamma", "alpha"),
    "asymmetric": ("gamma_positive", "gamma_negative", "shift"),
    "hinge": ("margin",),
    "softmax": (),
}


class LossOptions(Options):
    """Which loss a head is trained by, and its numbers; a name alone is enough."""

    name: Literal["bce", "kl", "squared", "focal", "asymmetric", "hinge", "softmax"] = Field(
        "bce", description="A name of `workbench.models.losses.LOSSES`."
    )
    smoothing: float = Field(0.0, ge=0, lt=1, description="bce, kl, squared: how far labels are drawn to a half.")
    gamma: float = Field(2.0, ge=0, le=10, description="focal: how strongly what is right already is discounted.")
    alpha: float | None = Field(None, gt=0, lt=1, description="focal: weight of positives, 1 - alpha of negatives.")
    gamma_positive: float = Field(0.0, ge=0, le=10, description="asymmetric: the discount of positives.")
    gamma_negative: float = Field(4.0, ge=0, le=10, description="asymmetric: the discount of negatives.")
    shift: float = Field(0.05, ge=0, lt=1, description="asymmetric: negatives with a probability below it are free.")
    margin: float = Field(1.0, gt=0, le=100, description="hinge: what is right by so much costs nothing.")

    @model_validator(mode="before")
    @classmethod
    def _a_name_is_enough(cls, values: Any) -> Any:
        return {"name": values} if isinstance(values, str) else values

    @model_validator(mode="after")
    def _only_its_own_numbers(self) -> Self:
        for name in sorted(self.model_fields_set - {"name", *LOSS_NUMBERS[self.name]}):
            if getattr(self, name) != type(self).model_fields[name].default:
                own = ", ".join(LOSS_NUMBERS[self.name]) or "no numbers"
                raise ValueError(f"loss {self.name!r} does not read {name!r}; it reads {own}")
        return self


class LearningOptions(Options):
    """What a head is trained by."""

    loss: LossOptions = Field(LossOptions(), description="What a wrong answer costs; a name alone is enough.")
    class_weight: ClassWeight = CLASS_WEIGHT
    upsample: float | None = Field(
        None,
        gt=0,
        le=0.5,
        description="Training posts with a positive label rarer than this are repeated until it has this share.",
    )
    epochs: int = Field(60, ge=1, le=10_000, description="Most passes over the training posts.")
    lr: float = Field(0.005, gt=0, le=1, description="Learning rate of AdamW.")
    weight_decay: float = Field(0.5, ge=0, description="Weight decay of AdamW (per step it is multiplied by lr).")
    batch_size: int = Field(256, ge=1, description="Posts per step.")
    patience: int = Field(6, ge=1, description="Epochs without a better validation loss before training stops.")

    @model_validator(mode="after")
    def _a_set_is_one_answer(self) -> Self:
        if self.loss.name == "softmax" and (self.class_weight or self.upsample):
            raise ValueError("loss 'softmax' answers for a whole set; class_weight and upsample are for single labels")
        return self


RARE = 0.02  # of the training posts: a half that fewer lack has too few examples to learn its absence from
HIDDEN_BY_DEFAULT = 0.1
FUSION_HEAD = Field("mlp", description="One hidden layer, or none.")  # a fusion is learnt, so no convex problem
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
    head: Literal["mlp", "linear", "logistic"] = Field(
        "mlp", description="One hidden layer, or none; logistic: none, all labels and penalties solved in one pass."
    )
    C: Strengths = Field(
        (0.001, 0.01, 0.1, 1.0),
        description="logistic: inverse strength of the L2 penalty; of several, validation chooses one per label by AP.",
    )
    hidden: int = Field(64, ge=1, le=8192, description="Units of the hidden layer.")
    activation: Literal["gelu", "relu", "tanh", "silu"] = Field("gelu", description="What the hidden layer ends in.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of inputs and hidden units dropped in training.")
    readings: bool = Field(
        True, description="Whether a post scores the highest of its readings, which undo disguises, or as it stands."
    )

    @model_validator(mode="after")
    def _logistic_is_what_it_is(self) -> Self:
        if self.head == "logistic":
            self._by_cross_entropy("head 'logistic' is trained")
        return self

    def _by_cross_entropy(self, what: str) -> None:
        """Raise ValueError where an option asks for another loss than the cross-entropy of posts as they are."""
        for name in ("loss", "class_weight", "upsample"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{what} by cross-entropy as it is and does not read {name!r}")


class FrameOptions(HeadOptions):
    """A head on the frames of a clip."""

    pooling: Pooling = POOLING


class PairOptions(HeadOptions):
    """A head on two halves."""

    pooling: Pooling = POOLING
    modality_dropout: float | None = Field(
        None,
        ge=0,
        le=0.5,
        description="Share of the posts with both halves whose one half is hidden in training, for each half; null: "
        f"{HIDDEN_BY_DEFAULT} for a half that under {RARE:.0%} of the training posts lack, else 0.",
    )


class ConcatOptions(PairOptions):
    """A head on both halves side by side; it needs more units than a fusion to tell pairs apart."""

    hidden: int = Field(128, ge=1, le=8192, description="Units of the hidden layer.")


class CrossOptions(PairOptions):
    """A head on the outer product of projected halves; it fits pairs within a few epochs and is held back more."""

    dropout: float = Field(0.3, ge=0, lt=1, description="Share of inputs and hidden units dropped in training.")
    lr: float = Field(0.003, gt=0, le=1, description="Learning rate of AdamW.")
    weight_decay: float = Field(1.0, ge=0, description="Weight decay of AdamW (per step it is multiplied by lr).")
    head: Literal["mlp", "linear"] = FUSION_HEAD
    rank: int = Field(32, ge=1, le=128, description="Length of a projected half; the product has its square.")
    projection: Literal["softmax", "linear"] = Field("softmax", description="Soft prototypes, or plain projections.")


class AlignOptions(PairOptions):
    """A head on the element-wise product of projected halves."""

    hidden: int = Field(128, ge=1, le=8192, description="Units of the hidden layer.")
    head: Literal["mlp", "linear"] = FUSION_HEAD
    rank: int = Field(128, ge=1, le=4096, description="Length of a projected half, and of the product.")
    projection: Literal["softmax", "linear"] = Field("softmax", description="Soft prototypes, or plain projections.")
