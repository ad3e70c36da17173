"""How a head is built and learns, as options; read without importing torch."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from workbench.features.encoders.names import TIMM, TRANSFORMER, Fit, of_pictures, of_texts, with_fit
from workbench.models.fit.options import VARIANTS, LearningOptions, MemberOptions, Strengths
from workbench.schema import Options

RARE = 0.02  # of the training posts: a side that fewer lack has too few examples to learn its absence from
HIDDEN_BY_DEFAULT = 0.1
Pooling = Literal["max", "mean", "noisy-or", "attention"]
HeadKind = Literal["logistic", "mlp", "linear"]
Activation = Literal["gelu", "relu", "leaky_relu", "elu", "tanh", "sigmoid", "silu", "softmax"]
KINDS = "`logistic`: logistic regression to convergence; `mlp`: one hidden layer; `linear`: none, trained as that is"
HEAD = Field(
    "auto",
    description=f"{KINDS}; `auto`: logistic or mlp, whichever loses less on validation, logistic where its posts are "
    "too few to tell.",
)
STRENGTHS = Field(
    (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
    description="A logistic head's inverse strength of the L2 penalty, for standardised vectors; of several, "
    "validation chooses one per label, and per side of a post, by the loss.",
)
WORDS = ("text-tfidf", "text-hashing")
FIT = Field(
    None,
    description="How a picture or frame meets the encoder's square: its middle (crop), the whole pressed into it "
    "(squash) or with black edges (pad); null: as the checkpoint was trained. A name may end in it, as `?fit=pad`.",
)
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
    activation: Activation = Field(
        "gelu",
        description="What the hidden layer ends in; `silu` is also called swish. After a softmax its units compete.",
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of inputs and hidden units dropped in training.")
    variants: bool = VARIANTS

    @field_validator("activation", mode="before")
    @classmethod
    def _by_its_other_name(cls, value: Any) -> Any:
        return "silu" if value == "swish" else value

    @field_validator("head", mode="before")
    @classmethod
    def _is_one_of_its_own(cls, value: Any) -> Any:
        if value in ("auto", "logistic") and "C" not in cls.model_fields:
            raise ValueError(f"{value!r} weighs sides as they are, and this model joins them: 'mlp' (or `clip-concat`)")
        return value

    def encoder_of(self, side: Literal["text", "picture_words", "vision"]) -> str | None:
        """Return the full name of the encoder of a side; None where its vectors are words'."""
        return with_fit(self.encoder, getattr(self, "fit", None))

    @property
    def kinds(self) -> tuple[HeadKind, ...]:
        """The heads that are fitted, of which validation chooses one."""
        return (self.head,)

    def hide(self, present: np.ndarray) -> tuple[float, ...]:
        """Return how often each side is hidden in training, from `present (n_posts, n_sides)` of train."""
        return ()


class ChosenOptions(Options):
    """A head that is chosen on validation, or logistic regression by name; it stands before the other options."""

    head: HeadKind | Literal["auto"] = HEAD
    C: Strengths = STRENGTHS

    @model_validator(mode="after")
    def _what_logistic_regression_fits(self) -> Self:
        if self.head == "logistic" and self.loss.name != "bce":
            raise ValueError(
                f"head 'logistic' is fitted by loss 'bce' alone; with {self.loss.name!r} name another head"
            )
        if self.head == "logistic" and getattr(self, "pooling", "max") == "attention":
            raise ValueError("head 'logistic' cannot learn pooling 'attention'; name another head or another pooling")
        return self

    @property
    def kinds(self) -> tuple[HeadKind, ...]:
        """Both that validation chooses from, or the one that is named or that can learn what the other options ask."""
        if self.head != "auto":
            return (self.head,)
        own = self.loss.name != "bce" or getattr(self, "pooling", "max") == "attention"
        return ("mlp",) if own else ("logistic", "mlp")


class TextHeadOptions(ChosenOptions, HeadOptions):
    """A head on a text."""


class PictureOptions(HeadOptions):
    """A head on a picture."""

    fit: Fit | None = FIT


class PictureHeadOptions(ChosenOptions, PictureOptions):
    """A chosen head on a picture."""


class FrameOptions(PictureOptions):
    """A head on the frames of a clip."""

    pooling: Pooling = POOLING


class ClipHeadOptions(ChosenOptions, FrameOptions):
    """A chosen head on the frames of a clip."""


class PairOptions(FrameOptions):
    """A head on two sides: both by one two-tower encoder, or each by one of its own; words in pictures as a third."""

    encoder: str = Field("tiny", description="The encoder of both sides, or of the one that names none of its own.")
    text_encoder: str | MemberOptions | None = Field(
        None,
        description="The text's own encoder: `organisation/repository@commit` or a folder in transformers' format, "
        "`transformer:cls:256:` and either (pooling and window; else mean and 128 tokens), or any CLIP that `encoder` "
        "takes. Or words: `text-tfidf` or `text-hashing`, or `{name: ..., options: ...}`. Null: that of `encoder`.",
    )
    image_encoder: str | None = Field(
        None,
        description="The picture's and frames' own encoder: `timm:resnet18@a1_in1k`, `timm:NAME@FILE.safetensors`, a "
        "folder of timm's, or any CLIP that `encoder` takes. Null: that of `encoder`.",
    )
    picture_words: bool = Field(
        False,
        description="Whether the words that stand in the picture are read as one more text, by what reads the text; "
        "needs the extra `ocr`. Clips' words are not read.",
    )
    modality_dropout: float | None = Field(
        None,
        ge=0,
        le=0.5,
        description="Share of the posts with all sides whose one side is hidden in training, for each side; null: "
        f"{HIDDEN_BY_DEFAULT} for a side that under {RARE:.0%} of the training posts lack, else 0.",
    )

    @field_validator("text_encoder", mode="before")
    @classmethod
    def _words_by_name(cls, value: Any) -> Any:
        return {"name": value} if value in WORDS else value

    @model_validator(mode="after")
    def _each_side_can_be_read(self) -> Self:
        text, image = self.text_encoder, self.image_encoder
        if isinstance(text, MemberOptions) and text.name not in WORDS:
            raise ValueError(f"text_encoder: words come from {' or '.join(WORDS)}, not from {text.name!r}")
        if isinstance(text, str) and text.startswith(TIMM):
            raise ValueError(f"text_encoder: {text!r} reads pictures only; name an encoder of texts, or {WORDS[0]!r}")
        if image is not None and image.startswith(TRANSFORMER):
            raise ValueError(f"image_encoder: {image!r} reads texts only; name a backbone of timm's or a CLIP")
        if (text is None) != (image is None) and "encoder" not in self.model_fields_set:
            given, other = ("text_encoder", "image_encoder") if image is None else ("image_encoder", "text_encoder")
            raise ValueError(f"{given} is given without {other}; name that too, or `encoder` for the other side")
        if self.picture_words and (self.modality_dropout or 0) > 1 / 3:
            raise ValueError(
                f"modality_dropout: of three sides each is hidden in a third, not in {self.modality_dropout}"
            )
        return self

    @property
    def words(self) -> MemberOptions | None:
        """The model whose words stand for the text, if any."""
        return self.text_encoder if isinstance(self.text_encoder, MemberOptions) else None

    def encoder_of(self, side: Literal["text", "picture_words", "vision"]) -> str | None:
        """Return the full name of the encoder of a side; None where its vectors are words'."""
        if self.text_encoder is None and self.image_encoder is None:
            return super().encoder_of(side)
        if side == "vision":
            return with_fit(of_pictures(self.encoder if self.image_encoder is None else self.image_encoder), self.fit)
        return None if self.words else of_texts(self.encoder if self.text_encoder is None else self.text_encoder)

    def hide(self, present: np.ndarray) -> tuple[float, ...]:
        """Return how often each side is hidden: as `modality_dropout` says, or where few posts lack it."""
        if self.modality_dropout is not None:
            return (self.modality_dropout,) * present.shape[1]
        return tuple(HIDDEN_BY_DEFAULT if lacking < RARE else 0.0 for lacking in 1 - present.mean(axis=0))


class ConcatOptions(ChosenOptions, PairOptions):
    """A head on both sides, joined; it needs more units than a fusion to tell pairs apart."""

    hidden: int = Field(128, ge=1, le=8192, description="Units of the hidden layer.")


class CrossOptions(PairOptions):
    """A head on the outer product of projected sides; it fits pairs within a few epochs and is held back more."""

    dropout: float = Field(0.3, ge=0, lt=1, description="Share of inputs and hidden units dropped in training.")
    lr: float = Field(0.003, gt=0, le=1, description="Learning rate of AdamW.")
    weight_decay: float = Field(1.0, ge=0, description="Weight decay of AdamW (per step it is multiplied by lr).")
    rank: int = Field(32, ge=1, le=128, description="Length of a projected side; the product has its square.")
    projection: Literal["softmax", "linear"] = Field("softmax", description="Soft prototypes, or plain projections.")


class AlignOptions(ChosenOptions, PairOptions):
    """A head on the element-wise product of projected sides."""

    hidden: int = Field(128, ge=1, le=8192, description="Units of the hidden layer.")
    rank: int = Field(128, ge=1, le=4096, description="Length of a projected side, and of the product.")
    projection: Literal["softmax", "linear"] = Field("softmax", description="Soft prototypes, or plain projections.")
