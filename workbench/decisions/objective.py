"""What a threshold is chosen for, and what came of it: found or not, what it did on validation, what is proven.

Nothing heavy is imported, so that a policy is read, and applied, without a model or scipy.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_serializer, model_validator

from workbench.schema import Options

Share = Annotated[float, Field(ge=0, le=1)]
KINDS = ("precision", "recall", "f1", "f1_macro", "f1_micro", "capacity", "cost", "fixed")


class Capacity(Options):
    """How many posts people can look at."""

    reviews_a_day: float = Field(gt=0, description="Posts that people can look at for this label.")
    posts_a_day: float = Field(gt=0, description="Posts that the site gets.")


class Cost(Options):
    """What the two kinds of error cost, in any one unit."""

    miss: float = Field(gt=0, description="A harmful post that is not flagged.")
    alarm: float = Field(gt=0, description="A harmless post that is flagged.")


class Objective(Options):
    """What a threshold is chosen for: exactly one of the first eight, on posts as sampled or as the site has them."""

    precision: float | None = Field(None, gt=0, le=1, description="At least this share of flagged posts is harmful.")
    recall: float | None = Field(None, gt=0, le=1, description="At least this share of harmful posts is flagged.")
    f1: Literal["best"] | None = Field(None, description="The best F1.")
    f1_macro: Literal["best"] | None = Field(
        None, description="The best mean of both classes' F1, which counts the harmless posts that pass, too."
    )
    f1_micro: Literal["best"] | None = Field(
        None, description="The best F1 over all labels that ask for it, whose threshold is one and the same."
    )
    capacity: Capacity | None = Field(None, description="At most as many flagged posts as people can look at.")
    cost: Cost | None = Field(None, description="The least cost of misses and false alarms.")
    fixed: Share | None = Field(None, description="This very threshold, whatever validation says of it.")
    mix: Literal["sample", "site"] | None = Field(
        None, description="Count posts as sampled, or by their weights as the site has them (default for capacity)."
    )

    sure: float | None = Field(
        None, gt=0, lt=1, description="Hold a precision or recall on new posts, too, with this confidence."
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        given = [name for name in KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"an objective needs exactly one of {', '.join(KINDS)}, not {', '.join(given) or 'none'}")
        if self.sure is not None and (self.kind not in ("precision", "recall") or self.weighted):
            raise ValueError(
                "`sure` goes with a precision or recall of posts as sampled; leave it out, or leave out the other"
            )
        return self

    @model_serializer
    def _only_what_is_said(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def kind(self) -> str:
        """Which of the eight it is."""
        return next(name for name in KINDS if getattr(self, name) is not None)

    @property
    def weighted(self) -> bool:
        """Whether posts count by their weights."""
        return (self.mix or ("site" if self.capacity else "sample")) == "site"

    def __str__(self) -> str:
        if self.capacity:
            phrase = f"at most {self.capacity.reviews_a_day:g} of {self.capacity.posts_a_day:g} posts a day"
        elif self.cost:
            phrase = f"least cost, a miss costing {self.cost.miss:g} and a false alarm {self.cost.alarm:g}"
        elif self.fixed is not None:
            phrase = f"fixed at {self.fixed:g}"
        else:
            best = {"f1": "best F1", "f1_macro": "best F1, mean of both classes", "f1_micro": "best F1 over all labels"}
            phrase = best.get(self.kind) or f"{self.kind} of at least {getattr(self, self.kind):g}"
        phrase += f", sure to {100 * self.sure:g} %" if self.sure else ""
        return f"{phrase}, by the site's mix" if self.mix == "site" else phrase


class Shares(Options):
    """Precision and recall of what a threshold flags, each with its 95 % interval; null where undefined."""

    precision: tuple[float, float, float] | None = Field(description="Value, lower and upper bound.")
    recall: tuple[float, float, float] | None = Field(description="Value, lower and upper bound.")
    few: bool = Field(description="Whether one of them rests on few groups of posts.")

    def __str__(self) -> str:
        parts = [
            f"{name} {_spanned(share)}"
            for name, share in (("precision", self.precision), ("recall", self.recall))
            if share
        ]
        return f"{' and '.join(parts) or 'nothing is flagged'}{' (few)' if self.few else ''}"


class Chosen(Options):
    """How a threshold was found, and what it did on the validation posts that it was chosen on."""

    objective: Objective = Field(description="What it was chosen for.")
    at: Share | None = Field(description="The threshold that was found; null: no threshold qualifies.")
    posts: int = Field(ge=0, description="Validation posts that know the label and could be scored.")
    harmful: int = Field(ge=0, description="How many of them are harmful.")
    flagged: int = Field(0, ge=0, description="How many score at least that much.")
    caught: int = Field(0, ge=0, description="How many of those are harmful.")
    why: str | None = Field(None, description="Why no threshold qualifies, or what one that is sure rests on.")
    nothing: bool = Field(False, description="Whether flagging nothing serves the objective best.")
    proven: Share | None = Field(
        None, description="The highest of some lower precisions that is as surely proven; chooses no threshold."
    )
    seen: Share | None = Field(None, description="The precision, seen on validation, that `needed` counts with.")
    needed: int | None = Field(
        None, ge=1, description="About how many labelled groups of posts like validation's would prove the objective."
    )
    sample: Shares | None = Field(None, description="What it did among the posts as sampled, groups counting once.")
    site: Shares | None = Field(None, description="The same by the posts' weights; null where all weigh the same.")

    @model_serializer
    def _only_what_is_said(self) -> dict[str, Any]:
        # what is not said is left out, so that policies on record from before there was more to say keep their ids
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: value
            for name, value in values.items()
            if name not in _SAID_SINCE or not (value is None or value is False)
        }

    @property
    def precision(self) -> tuple[float, float, float]:
        """The share of flagged posts that are harmful, with its interval; NaN for none."""
        return (self.sample and self.sample.precision) or _share(self.caught, self.flagged)

    @property
    def recall(self) -> tuple[float, float, float]:
        """The share of harmful posts that are flagged, with its interval; NaN for none."""
        return (self.sample and self.sample.recall) or _share(self.caught, self.harmful)

    @property
    def promise(self) -> str:
        """What it did, or why there is none, in words."""
        if self.nothing:
            return f"nothing is flagged ({self.why})"
        if self.at is None:
            return f"no threshold qualifies ({self.why})"
        few = " (few)" if self.sample and self.sample.few else ""
        return (
            f"of {self.posts:,} validation posts ({self.harmful:,} harmful) {self.flagged:,} reach it, "
            f"{self.caught:,} of them harmful: precision {_spanned(self.precision)}, recall {_spanned(self.recall)}"
            f"{few}{f'; {self.why}' if self.why else ''}"
        )

    @property
    def more(self) -> list[str]:
        """What else is to be said of it, in whole sentences: at the site's mix of posts, proven, needed to prove it."""
        return [*self._beside(), *self._instead()]

    def _beside(self) -> list[str]:
        """Return what a threshold is worth elsewhere than on validation."""
        if self.at is None:
            return []
        proof = "This is proven of posts drawn as those of validation were, and of no others."
        return [
            *([proof] if self.objective.sure else []),
            *([f"By the site's own mix of posts: {self.site}."] if self.site else []),
        ]

    def _instead(self) -> list[str]:
        """Return what is proven where the precision that was asked for is not, and what it would take."""
        if self.at is not None or not self.objective.sure or self.objective.precision is None:
            return []
        surely = f"sure to {100 * self.objective.sure:g} %"
        proven = (
            f"A precision of {self.proven:g} is proven, {surely}" if self.proven else "No lower precision is proven"
        )
        if self.seen is None:
            return [f"{proven}."]
        seen = f"the precision seen at best is {self.seen:.2f}"
        if self.needed is None:
            return [f"{proven}; {seen}, so that more posts alone would not prove {self.objective.precision:g}."]
        need = f"about {self.needed:,} labelled groups of posts like those of validation would prove"
        return [f"{proven}; {seen}, and if that holds {need} {self.objective.precision:g}."]


_SAID_SINCE = ("nothing", "proven", "seen", "needed", "sample", "site")


def _share(part: int, whole: int) -> tuple[float, float, float]:
    from workbench.metrics.intervals import wilson  # scipy.stats takes a while, and deciding needs none of it

    return (part / whole if whole else math.nan, *wilson(part, whole))


def _spanned(share: tuple[float, float, float]) -> str:
    return "{:.2f} [{:.2f}, {:.2f}]".format(*share)
