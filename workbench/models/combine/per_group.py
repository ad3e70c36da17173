"""A model of its own for each region, language or community that has enough posts, beside a global one.

What demeans people in one place may be folklore in another. The global model learns from all posts; a group with enough
of them gets the same kind of model fitted to its own posts. Per group and label validation chooses how much the group's
own model counts; where validation has too little of the group to choose by, and for a group that is unknown, missing or
too small, the global model alone speaks.

Source: partial pooling as in Gelman and Hill 2006, section 12; here by the log loss on validation.
Open doubt: where both count, a text's score is the mean of two maxima over its variants, not the maximum of the mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from workbench.models import Classifier, Prediction, two_classes
from workbench.models.fit.choose import enough
from workbench.models.fit.options import BaselineOptions, TargetOptions
from workbench.models.fit.targets import target_matrix
from workbench.schema import INPUTS, Options


class PerGroupOptions(TargetOptions):
    """What posts are grouped by, and which groups get a model of their own."""

    base: BaselineOptions = Field(BaselineOptions(), description="The kind of model; a name alone is enough.")
    by: Literal["region", "language", "community"] = Field("region", description="The column that names the group.")
    min_posts: int = Field(200, ge=1, description="Fewest training posts of a group with a model of its own.")
    min_positives: int = Field(20, ge=1, description="Fewest positives of a label that a group's own model decides on.")
    share: tuple[float, ...] = Field(
        (0.0, 0.25, 0.5, 0.75, 1.0),
        min_length=1,
        description="How much of a logit the group's own model gives; of several, validation chooses per label.",
    )

    @field_validator("share", mode="before")
    @classmethod
    def _one_is_enough(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int | float) else value

    @field_validator("share")
    @classmethod
    def _shares_are_shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= share <= 1 for share in value):
            raise ValueError(f"a share lies between 0 and 1, not {list(value)}")
        return value


class PerGroup(Classifier):
    """A global model and, per group, one of its own; shares (n_groups, n_labels) say how much the latter count."""

    options_class = PerGroupOptions
    options: PerGroupOptions
    made_of = "base"

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.base = self._new_members()[0]
        self.modalities = self.base.modalities
        self.by_group: dict[str, Classifier] = {}
        self.shares = np.zeros((0, len(self.taxonomy.names)))

    @property
    def seeded(self) -> bool:
        return self.base.varies

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for name in INPUTS.names if name in (*self.base.columns, self.options.by))

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        self.base = self._new_members()[0].fit(train, validation, seed=seed)
        self.modalities = self.base.modalities
        self.trained &= self.base.trained
        self.by_group, shares = {}, []
        y, known = target_matrix(train, self.taxonomy)
        ours, theirs = (groups(table, self.options.by) for table in (train, validation))
        for name in sorted({name for name in ours if name}):
            rows = ours == name
            trained = self._with_both_classes(y[rows], known[rows])
            if rows.sum() < self.options.min_posts or not trained.any():
                continue
            held = validation.filter(pa.array(theirs == name))
            own = self._new_members()[0].fit(train.filter(pa.array(rows)), held, seed=seed)
            share = np.where(trained & own.trained, self._share(own, held), 0.0)
            if share.any():
                self.by_group[name] = own
                shares.append(share)
        self.shares = np.array(shares).reshape(-1, len(self.taxonomy.names))
        chosen = [dict(zip(self.taxonomy.names, row, strict=True)) for row in self.shares.tolist()]
        self.record = {"global": self.base.record, "shares": dict(zip(self.by_group, chosen, strict=True))}

    def _with_both_classes(self, y: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Which labels (n_labels,) a group knows well enough for a model of its own."""
        positives = np.where(known, y, 0.0).sum(axis=0)
        return two_classes(y, known) & (positives >= self.options.min_positives)

    def _share(self, own: Classifier, held: pa.Table) -> np.ndarray:
        """Return, per label, the share of the group's own model with the least log loss on its validation posts."""
        shares = np.array(sorted(self.options.share))
        chosen = np.full(len(self.taxonomy.names), shares[0])
        if len(shares) == 1 or not len(held):
            return chosen
        y, known = target_matrix(held, self.taxonomy)
        ours, theirs = self.base.logits(held), own.logits(held)
        for k in range(len(chosen)):
            rows = known[:, k] & ~np.isnan(ours[:, k]) & ~np.isnan(theirs[:, k])
            if enough(y[rows, k] > 0.5):
                mixed = (1 - shares[:, None]) * ours[rows, k] + shares[:, None] * theirs[rows, k]
                losses = (np.logaddexp(0, mixed) - y[rows, k] * mixed).mean(axis=1)
                chosen[k] = shares[int(np.argmin(losses))]
        return chosen

    def _predict(self, posts: pa.Table) -> Prediction:
        base = self.base.predict(posts)
        scores, group = base.logits.copy(), groups(posts, self.options.by)
        for (name, own), share in zip(self.by_group.items(), self.shares, strict=True):
            rows = np.flatnonzero(group == name)
            if len(rows):
                theirs = own.logits(posts.take(rows))
                mixed = (1 - share) * scores[rows] + share * theirs
                scores[rows] = np.where((share > 0) & ~np.isnan(mixed), mixed, scores[rows])
        return Prediction(scores, ~np.isnan(base.logits).all(axis=1), base.unread)

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"groups": list(self.by_group)}, {"shares": self.shares}

    def _parts(self) -> dict[str, Classifier]:
        return {"global": self.base, **{f"groups/{number}": own for number, own in enumerate(self.by_group.values())}}

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        self.shares = arrays["shares"]
        self.base = self._load(folder / "global")
        self.by_group = {name: self._load(folder / "groups" / str(n)) for n, name in enumerate(state["groups"])}


def groups(posts: pa.Table, by: str) -> np.ndarray:
    """Return each post's group (n_posts,) as a str in lower case, empty where it is not known; `en-GB` is in `en`."""
    if by not in posts.column_names:
        return np.full(len(posts), "", dtype=object)
    names = [(name or "").strip().lower() for name in posts[by].to_pylist()]
    if by == "language":
        names = [name.replace("_", "-").partition("-")[0] for name in names]
    return np.array(names, dtype=object)
