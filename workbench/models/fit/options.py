"""Options that several models share: members, strengths of a penalty, class weights, and which n-grams are counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from workbench.errors import WorkbenchError, unknown_label
from workbench.schema import Options

LONGEST = 20  # words or characters of an n-gram
HEAVIEST = 10_000  # times that a harmful post weighs a harmless one


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, int | float) else value


def _positive(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(value <= 0 for value in values):
        raise ValueError(f"C must be above 0, not {list(values)}")
    return values


Strengths = Annotated[tuple[float, ...], BeforeValidator(_several), AfterValidator(_positive), Field(min_length=1)]
"""Inverse strengths of an L2 penalty, one or several, each above 0."""


def _weighs(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= HEAVIEST


def _weight(value: Any) -> Any:
    several = isinstance(value, dict) and all(isinstance(name, str) and _weighs(item) for name, item in value.items())
    if value is None or value == "balanced" or _weighs(value) or several:
        return value
    raise ValueError(f"must be 'balanced', a number above 0 and at most {HEAVIEST:,}, or such a number for each label")


ClassWeight = Annotated[Literal["balanced"] | float | dict[str, float] | None, BeforeValidator(_weight)]
CLASS_WEIGHT = Field(
    None,
    description="Weigh both classes of a label alike (balanced), or a harmful post so many times a harmless one, one "
    "number or one a label; null, and a label that is not named: as they are.",
)

VARIANTS = Field(
    True,
    description="Whether a post scores the highest of its variants (its text with obfuscation undone, a transparent "
    "picture on white and on black), or as it stands; either way a long text is read to its end.",
)


def positive_weights(wanted: ClassWeight, labels: Sequence[str]) -> Literal["balanced"] | tuple[float, ...] | None:
    """Return what a positive of each label weighs against a negative; "balanced" and None as they are.

    Raises WorkbenchError for a label that is not among `labels`.
    """
    if wanted is None or wanted == "balanced":
        return wanted
    if not isinstance(wanted, dict):
        return (float(wanted),) * len(labels)
    for name in wanted:
        if name not in labels:
            raise WorkbenchError(unknown_label(name, labels, "label in class_weight"))
    return tuple(float(wanted.get(name, 1.0)) for name in labels)


def by_class(wanted: ClassWeight, labels: Sequence[str], k: int) -> Literal["balanced"] | dict[bool, float] | None:
    """Return what scikit-learn takes as the `class_weight` of label k; raises as `positive_weights` does."""
    weights = positive_weights(wanted, labels)
    return {False: 1.0, True: weights[k]} if isinstance(weights, tuple) else weights


def check_ngrams(words: Sequence[int] | None, characters: Sequence[int] | None) -> None:
    """Raise ValueError where a run (shortest, longest) of words or of characters is none, or both are None."""
    for name, span in (("ngrams", words), ("char_ngrams", characters)):
        if span and not 1 <= span[0] <= span[1] <= LONGEST:
            raise ValueError(f"{name} must be two numbers from 1 to {LONGEST}, the shorter first, not {list(span)}")
    if not (words or characters):
        raise ValueError("ngrams and char_ngrams cannot both be null")


class TargetOptions(Options):
    """What a model is trained towards."""

    labels: Literal["soft", "hard"] = Field(
        "soft",
        description="Where a corpus has soft labels: learn how many say a label (soft), or what most say (hard); "
        "elsewhere both are the same.",
    )
    resample: Literal["weights"] | None = Field(
        None, description="Learn from posts drawn by their weights, so from the site's mix; null: from all as they are."
    )


class MemberOptions(Options):
    """A model that another one is made of; in a study its name alone is enough."""

    name: str = Field(description="A name of `workbench.models.MODELS`.")
    options: dict[str, Any] = Field(default_factory=dict, description="That model's options.")

    @model_validator(mode="before")
    @classmethod
    def _a_name_is_enough(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class BaselineOptions(MemberOptions):
    """A model that another one is made of, the baseline of texts if none is named."""

    name: str = Field("text-tfidf", description="A name of `workbench.models.MODELS`.")


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
        "bce", description="A name of `workbench.models.fit.losses.LOSSES`."
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


class LearningOptions(TargetOptions):
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
