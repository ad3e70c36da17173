"""What is known around a post when it is scored, as numbers: its author, the reactions so far, the hour.

Only columns of `schema.INPUTS` are read, which hold what was known at the time of scoring; nothing later can enter. A
number that is not there stays NaN until `Scaling` fills it with the training median, and can say so in a column of its
own. What cannot be true (a negative count, an age of 1e308 days) counts as not there.

Source: Huber 1981, Robust Statistics (median and quartile range); van Buuren 2018, Flexible Imputation of Missing Data,
section 1.3 (why a filled value needs a flag).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from workbench.schema import INPUTS, Options

Group = Literal["author", "engagement", "created_at"]
COUNTS = {
    "author": ("account_age_days", "posts", "prior_reports", "prior_removals"),
    "engagement": ("reactions", "reports", "impressions"),
}
RATES = {  # what a count is shared out over; one is added below, so that a new account has a rate
    "author": (("prior_reports", "posts"), ("prior_removals", "posts"), ("posts", "account_age_days")),
    "engagement": (("reports", "impressions"), ("reactions", "impressions")),
}
HOURS = ("hour_sin", "hour_cos")
TITLES = {
    "account_age_days": "the account's age in days",
    "posts": "the author's posts",
    "prior_reports": "the author's prior reports",
    "prior_removals": "the author's prior removals",
    "reactions": "reactions",
    "reports": "reports of the post",
    "impressions": "impressions",
}
SMALL = 0.1  # in log-odds: what a number moves by less is not worth a word
LARGEST = 1e12  # a larger count, or age in days, is what some database writes for an unknown one


class ContextOptions(Options):
    """Which numbers around a post are looked at, and in which form."""

    columns: tuple[Group, ...] = Field(
        ("author",), min_length=1, description="Columns of a post: author, engagement, created_at (the hour of day)."
    )
    rates: bool = Field(True, description="Whether shares such as reports per post stand beside the counts.")
    scaling: Literal["none", "standard", "robust", "log"] = Field(
        "log",
        description="`standard`: mean 0, deviation 1; `robust`: median 0, quartile range 1; `log`: log(1 + x), then as "
        "`standard`; `none`: as it is.",
    )
    nulls: bool = Field(True, description="Whether a column says for each number that it was missing.")


def names(options: ContextOptions) -> tuple[str, ...]:
    columns: list[str] = []
    for group in options.columns:
        columns += [f"{group}.{name}" for name in COUNTS.get(group, HOURS)]
        columns += [f"{group}.{a}/{b}" for a, b in RATES.get(group, ()) if options.rates]
    return tuple(columns)


def numbers(posts: pa.Table, options: ContextOptions) -> np.ndarray:
    """Return (n_posts, n_numbers) float64, columns as `names`, NaN where a number is not known."""
    parts: list[np.ndarray] = []
    for group in options.columns:
        if group == "created_at":
            parts += _hours(posts)
            continue
        counts = {name: _count(posts, group, name) for name in COUNTS[group]}
        parts += counts.values()
        parts += [counts[a] / (1 + counts[b]) for a, b in RATES[group] if options.rates]
    return np.stack(parts, axis=1)


def known(posts: pa.Table, options: ContextOptions) -> np.ndarray:
    """Return which posts (n_posts,) come with any of the numbers."""
    return ~np.isnan(numbers(posts, options)).all(axis=1)


def _count(posts: pa.Table, column: str, name: str) -> np.ndarray:
    if column not in posts.column_names:
        return np.full(len(posts), np.nan)
    values = pc.cast(pc.struct_field(posts[column], name), pa.float64(), safe=False)
    counts = pc.fill_null(values, np.nan).to_numpy()
    return np.where((counts >= 0) & (counts <= LARGEST), counts, np.nan)


def _hours(posts: pa.Table) -> list[np.ndarray]:
    """Return the time of day on a circle, so that midnight has no edge."""
    if "created_at" not in posts.column_names:
        return [np.full(len(posts), np.nan)] * 2
    moments = pc.cast(posts["created_at"], INPUTS.field("created_at").type)
    day = pc.fill_null(pc.cast(pc.cast(moments, pa.int64()), pa.float64(), safe=False), np.nan).to_numpy()
    turn = 2 * np.pi * np.mod(day, 86_400e6) / 86_400e6
    return [np.sin(turn), np.cos(turn)]


class Scaling(NamedTuple):
    """What was learnt of training numbers: arrays (n_numbers,), `log` and `nulls` whether they are used.

    fill: the training median in place of a missing number, before scaling; 0 where no training post has it.
    """

    center: np.ndarray
    scale: np.ndarray
    fill: np.ndarray
    log: bool
    nulls: bool

    @classmethod
    def fit(cls, values: np.ndarray, options: ContextOptions) -> Self:
        """Learn from training numbers (n_posts, n_numbers) with NaN where one is missing."""
        log = options.scaling == "log"
        width = values.shape[1]
        center, scale, fill = np.zeros(width), np.ones(width), np.zeros(width)
        for j, column in enumerate(values.T):
            column = column[~np.isnan(column)]
            if not len(column):
                continue
            fill[j] = np.median(column)
            column = _logged(column) if log else column
            if options.scaling == "robust":
                low, center[j], high = np.percentile(column, (25, 50, 75))
                scale[j] = high - low or column.std() or 1.0  # most counts are 0: then the deviation says more
            elif options.scaling != "none":
                center[j], scale[j] = column.mean(), column.std() or 1.0
        return cls(center, scale, fill, log, options.nulls)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return scaled numbers without gaps, and their flags behind them where `nulls`; (n_posts, n_columns)."""
        missing = np.isnan(values)
        filled = np.where(missing, self.fill, values)
        filled = _logged(filled) if self.log else filled
        scaled = (filled - self.center) / self.scale
        return np.concatenate([scaled, missing], axis=1) if self.nulls else scaled

    def arrays(self) -> dict[str, np.ndarray]:
        return {"center": self.center, "scale": self.scale, "fill": self.fill}


class Moved(NamedTuple):
    """What single numbers around posts do to scores, against the training median in their place.

    fields: as in COUNTS; values (n_posts, n_fields), NaN where not known; by (n_posts, n_labels, n_fields): log-odds.
    """

    fields: tuple[str, ...]
    values: np.ndarray
    by: np.ndarray

    def words(self, row: int, label: int) -> tuple[str, ...]:
        """Return what moved the score of a label, the strongest first, as "impressions 12000 (odds times 1.8)"."""
        by, told = self.by[row, label], []
        for n in np.argsort(-np.abs(by), kind="stable"):
            if abs(by[n]) >= SMALL:
                value = self.values[row, n]
                shown = "unknown" if np.isnan(value) else np.format_float_positional(value, precision=1, trim="-")
                told.append(f"{TITLES[self.fields[n]]} {shown} (odds times {np.exp(np.clip(by[n], -20, 20)):.2g})")
        return tuple(told)


def moved(
    values: np.ndarray, options: ContextOptions, typical: np.ndarray, score: Callable[[np.ndarray], np.ndarray]
) -> Moved:
    """Return what each count does to the scores of posts, its rates with it.

    values: what `numbers` returns; typical (n_numbers,): what takes their place; score: from such numbers to log-odds
    (n_posts, n_labels).
    """
    columns, whole = names(options), score(values)
    fields = [(group, name) for group in options.columns for name in COUNTS.get(group, ())]
    by = np.zeros((*whole.shape, len(fields)))
    for n, (group, name) in enumerate(fields):
        own = [c for c, column in enumerate(columns) if column.split("/")[0] == f"{group}.{name}"]
        without = values.copy()
        without[:, own] = typical[own]
        by[..., n] = whole - score(without)
    told = [columns.index(f"{group}.{name}") for group, name in fields]
    return Moved(tuple(name for _, name in fields), values[:, told], by)


def _logged(values: np.ndarray) -> np.ndarray:
    """log(1 + |x|) with the sign of x: counts and rates are never negative, the hour's sine is."""
    return np.sign(values) * np.log1p(np.abs(values))
