"""Who posts where and when, and what became of it until it was scored.

An author's numbers tell their trait, the counts of reports their level, the date its period; everything else here is
independent of all causes.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache

import numpy as np
import pyarrow as pa

from workbench.corpora.synthetic.causes import LANGUAGE_TAGS, REGIONS
from workbench.schema import INPUTS

COMMUNITIES = ("allotment", "kitchen", "workshop", "terrace", "platform", "shelf", "harbour", "plaza")
AUTHORS = 50_000
FEW = 2  # reports at most that are few
_DAY = 86_400
_START, _END = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2025, 2026))


def share_after(drift: date | None) -> float:
    """Return which share of the year lies after the drift date, 0 for none."""
    if drift is None:
        return 0.0
    return float(np.clip((_END - _moment(drift)) / (_END - _START), 0, 1))


def columns(
    latents: dict[str, np.ndarray], first: np.ndarray, drift: date | None, rng: np.random.Generator, drawn: int
) -> dict[str, pa.Array]:
    """Return the columns of INPUTS other than identifier and content, for posts of which `first` open a family.

    drawn: how many posts' numbers are drawn, whatever part of them is asked, so that a part is the beginning of all.
    """
    n = len(first)
    author = rng.integers(0, AUTHORS, drawn)[:n]
    around = {
        "engagement": _engagement(latents["reports"], rng, drawn),
        "community": _named(rng.integers(0, len(COMMUNITIES), drawn)[:n], COMMUNITIES),
        "language": _named(latents["language"], LANGUAGE_TAGS),
        "region": _named(latents["region"], tuple(REGIONS)),
    }
    seconds = _times(latents["period"], first, drift, rng.random(drawn)[:n])
    moments = pa.array(np.floor(seconds * 1_000_000).astype(np.int64), pa.timestamp("us"))
    around["created_at"] = moments.cast(INPUTS.field("created_at").type)
    return {"author": _authors(latents["author"], author, (seconds - _START) / _DAY), **around}


def _named(values: np.ndarray, names: tuple[str, ...]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(values, list(names)).cast(pa.string())


@cache
def _people() -> np.ndarray:
    """Four numbers from 0 to 1 that stay an author's own, (4, AUTHORS)."""
    return np.random.default_rng(11).random((4, AUTHORS))


def _authors(trait: np.ndarray, number: np.ndarray, day: np.ndarray) -> pa.StructArray:
    """Accounts on a day (n,) of the year: prone authors have younger ones, with more reports and removals.

    An account grows older and posts more as the year goes on; no more posts were removed than there were.
    """
    own, prone = _people()[:, number], trait == 1
    age = 10 ** (0.5 + 3.0 * own[0] - 0.4 * prone) + day
    posts = age * own[1] ** 2
    counts = [posts, (3.0 + 9.0 * prone) * own[2] ** 3, np.minimum((1.0 + 4.0 * prone) * own[3] ** 3, posts)]
    ids = [f"u{'p' if p else 'o'}{a:05d}" for p, a in zip(prone.tolist(), number.tolist(), strict=True)]
    kept = [pa.array(ids), pa.array(age.round(1)), *(pa.array(np.floor(values).astype(np.int64)) for values in counts)]
    return pa.StructArray.from_arrays(kept, fields=list(INPUTS.field("author").type))


def _engagement(level: np.ndarray, rng: np.random.Generator, drawn: int) -> pa.StructArray:
    """Counts until a post was scored: reports follow their level (none, 1 to FEW, more), reactions the impressions."""
    n = len(level)
    few, more = rng.integers(1, FEW + 1, drawn)[:n], FEW + rng.geometric(0.25, drawn)[:n]
    reports = np.choose(level, (np.zeros_like(few), few, more))
    impressions = rng.geometric(0.004, drawn)[:n] + 20 * reports  # nobody reports what nobody saw
    share = rng.random(drawn)[:n]
    reactions = np.floor(impressions * 0.06 * share).astype(np.int64)
    kept = [pa.array(values.astype(np.int64)) for values in (reactions, reports, impressions)]
    return pa.StructArray.from_arrays(kept, fields=list(INPUTS.field("engagement").type))


def _times(period: np.ndarray, first: np.ndarray, drift: date | None, share: np.ndarray) -> np.ndarray:
    """Moments in the period in seconds, even over it; a repost comes after the post before it."""
    turn = _END if drift is None else float(np.clip(_moment(drift), _START, _END))
    for n in np.flatnonzero(~first):
        share[n] = share[n - 1] + (1 - share[n - 1]) * share[n] * 0.02  # within days
    start, end = np.array([_START, turn])[period], np.array([turn, _END])[period]
    return start + share * (end - start)


def _moment(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
