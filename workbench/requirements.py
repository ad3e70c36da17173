"""What a site needs of moderation, as one validated file: the problem, who asks, how good, how fast, how much.

It is written before any model is trained. Report, demo, `workbench status` and benchmarks hold what they measure
against it (`verdict`) and say what is met, missed, not shown or not measured.

Source: Robertson and Robertson, Mastering the requirements process (a requirement has a reason and a fit criterion).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from workbench.schema import MODALITIES, ROOT, Options, expand, located
from workbench.strict_yaml import read_yaml

MET, MISSED, NOT_SHOWN, NOT_MEASURED = "met", "missed", "not shown", "not measured"
SECONDS_A_DAY = 86_400

Share = Annotated[float, Field(gt=0, le=1)]


class LabelNeed(Options):
    """What one label needs: which error is worse and why, and the least that counts as good enough."""

    first: Literal["precision", "recall"] = Field(
        description="precision: a harmless post that is flagged is worse; recall: a harmful one that is missed is."
    )
    because: str = Field(min_length=1, description="Why, in a clause.")
    precision: Share | None = Field(None, description="The least share of flagged posts that are harmful.")
    recall: Share | None = Field(None, description="The least share of harmful posts that are flagged.")

    @model_validator(mode="after")
    def _first_has_a_target(self) -> Self:
        if getattr(self, self.first) is None:
            raise ValueError(f"{self.first} comes first and has no target; give `{self.first}`, from 0 to 1")
        return self

    @property
    def targets(self) -> dict[str, float]:
        """The targets by metric, the one that comes first in front."""
        other = "recall" if self.first == "precision" else "precision"
        found = {name: getattr(self, name) for name in (self.first, other)}
        return {name: target for name, target in found.items() if target is not None}


class LatencyTargets(Options):
    """How fast a verdict has to be."""

    ms_per_post: float | None = Field(None, gt=0, description="Milliseconds that one process may take for a post.")
    seconds_to_verdict: float | None = Field(None, gt=0, description="Seconds from the post's arrival to the answer.")


class Volume(Options):
    """How many posts come, and of which kinds."""

    posts_per_day: int = Field(ge=1, description="Posts a day, in the mean.")
    shares: dict[Literal["text", "image", "video"], Annotated[float, Field(ge=0, le=1)]] = Field(
        description="Shares of posts that are text alone, and that have a picture or a clip; they add up to 1."
    )

    @field_validator("shares")
    @classmethod
    def _adds_up(cls, shares: dict[str, float]) -> dict[str, float]:
        if abs(sum(shares.values()) - 1) > 1e-6:
            raise ValueError(f"the shares of {', '.join(shares)} add up to {sum(shares.values()):g}, not to 1")
        return {name: shares.get(name, 0.0) for name in MODALITIES}

    @property
    def per_second(self) -> float:
        """Posts a second, in the mean of a day."""
        return self.posts_per_day / SECONDS_A_DAY


class ResourceLimits(Options):
    """What must not be exceeded."""

    memory_gb: float | None = Field(None, gt=0, description="Memory of one machine or GPU, in 10^9 bytes.")
    cost_per_day: float | None = Field(None, gt=0, description="Money a day for scoring all posts.")
    currency: str = Field("USD", min_length=1, max_length=12, description="The money that `cost_per_day` is in.")


class Requirements(Options):
    """What a site needs of moderation."""

    problem: str = Field(min_length=1, description="The business problem, in a sentence.")
    asked_by: str = Field(min_length=1, description="Who asks for it, as in `asked by ...`.")
    languages: tuple[str, ...] = Field((), description="Languages that posts are in, as BCP 47 tags.")
    regions: tuple[str, ...] = Field((), description="Regions that the site serves.")
    objectives: dict[str, LabelNeed] = Field({}, description="Label -> what it needs.")
    latency: LatencyTargets = Field(LatencyTargets(), description="How fast a verdict has to be.")
    volume: Volume | None = Field(None, description="How many posts come; not given: not said.")
    limits: ResourceLimits = Field(ResourceLimits(), description="What must not be exceeded.")

    @classmethod
    def load(cls, given: Path | str | Mapping | None = None, where: str = "requirements") -> Self:
        """Return the requirements of a file (see `schema.located`), or given ones; else `data/requirements.yaml`.

        Raises WorkbenchError, in `where`, in one sentence.
        """
        if isinstance(given, Mapping):
            return cls.parse(dict(given), where)
        path = located(expand(str(given), where)) if given else ROOT / "data" / "requirements.yaml"
        return cls.parse(read_yaml(path), f"requirements {path}")

    def of(self, labels: Iterable[str]) -> Self | None:
        """Return the requirements with the objectives of these labels alone; None without any."""
        mine = {label: self.objectives[label] for label in labels if label in self.objectives}
        return self.model_copy(update={"objectives": mine}) if mine else None

    @property
    def objective(self) -> str:
        """What comes first for which labels, in a sentence."""
        by_first: dict[str, list[str]] = {}
        for label, of_label in self.objectives.items():
            by_first.setdefault(of_label.first, []).append(label)
        parts = [f"{first} first for {', '.join(labels)}" for first, labels in by_first.items()]
        return f"{'; '.join(parts).capitalize()}." if parts else ""


def verdict(
    target: float, value: float | None, lo: float | None = None, hi: float | None = None, *, least: bool = True
) -> str:
    """Return whether a target is met by a value with its interval.

    least: whether the value has to be at least the target; else it may be at most that. Without an interval the value
    decides; an interval that holds the target shows neither.

    >>> verdict(0.9, 0.95, 0.91, 0.98), verdict(0.9, 0.95, 0.85, 0.98), verdict(20, 25.0, least=False), verdict(1, None)
    ('met', 'not shown', 'missed', 'not measured')
    """
    if value is None:
        return NOT_MEASURED
    lo, hi = (value, value) if lo is None or hi is None else (lo, hi)
    if not least:
        target, lo, hi = -target, -hi, -lo
    return MET if lo >= target else MISSED if hi < target else NOT_SHOWN
