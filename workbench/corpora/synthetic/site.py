"""Who posts where and when, and what became of it until it was scored.

An author's age tells their trait, reports and removals their record, the counts of a post its level of reports and its
spread, the date its period; everything else here is independent of all causes. Counts have heavy tails, as on any site:
Pareto's, of index TAIL, so that they have no mean but the one that the caps give them.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache

import numpy as np
import pyarrow as pa

from workbench.corpora.synthetic.causes import LANGUAGE_TAGS, RECORDS, REGIONS, SPREADS
from workbench.schema import INPUTS

COMMUNITIES = ("allotment", "kitchen", "workshop", "terrace", "platform", "shelf", "harbour", "plaza")
AUTHORS = 50_000
FEW = 2  # reports at most that are few
NOTORIOUS = 100  # reports of an author from which they are
FAR, VIRAL = 1_000, 100_000  # impressions from which a post is
TAIL, MOST = 0.9, 10_000_000  # of all heavy tails: index, and cap
_DAY = 86_400
_START, _END = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2025, 2026))


def share_after(drift: date | None) -> float:
    """Return which share of the year lies after the drift date, 0 for none."""
    if drift is None:
        return 0.0
    return float(np.clip((_END - _moment(drift)) / (_END - _START), 0, 1))


def columns(
    latents: dict[str, np.ndarray],
    first: np.ndarray,
    drift: date | None,
    rngs: tuple[np.random.Generator, np.random.Generator],
    drawn: int,
) -> dict[str, pa.Array]:
    """Return the columns of INPUTS other than identifier and content, for posts of which `first` open a family.

    rngs: one for the site, one for what the signals' numbers add. drawn: how many posts' numbers are drawn, whatever
    part of them is asked, so that a part is the beginning of all.
    """
    n, rng = len(first), rngs[0]
    author = rng.integers(0, AUTHORS, drawn)[:n]
    around = {
        "engagement": _engagement(latents["reports"], latents["spread"], rngs, drawn),
        "community": _named(rng.integers(0, len(COMMUNITIES), drawn)[:n], COMMUNITIES),
        "language": _named(latents["language"], LANGUAGE_TAGS),
        "region": _named(latents["region"], tuple(REGIONS)),
    }
    seconds = _times(latents["period"], first, drift, rng.random(drawn)[:n])
    moments = pa.array(np.floor(seconds * 1_000_000).astype(np.int64), pa.timestamp("us"))
    around["created_at"] = moments.cast(INPUTS.field("created_at").type)
    day = (seconds - _START) / _DAY
    return {"author": _authors(latents["author"], latents["record"], author, day), **around}


def _named(values: np.ndarray, names: tuple[str, ...]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(values, list(names)).cast(pa.string())


@cache
def _people() -> np.ndarray:
    """Four numbers from 0 to 1 that stay an author's own, (4, AUTHORS)."""
    return np.random.default_rng(11).random((4, AUTHORS))


def _authors(trait: np.ndarray, record: np.ndarray, number: np.ndarray, day: np.ndarray) -> pa.StructArray:
    """Accounts on a day (n,) of the year: prone authors have younger ones, records their reports and removals.

    An account grows older and posts more as the year goes on; nobody is reported without posts, and no more posts were
    removed than there were. Whose record is unknown has neither reports nor removals.
    """
    own, prone = _people()[:, number], trait == 1
    age = 10 ** (0.5 + 3.0 * own[0] - 0.4 * prone) + day
    pareto = (1 - own[2]) ** (-1 / TAIL)
    of_record = [np.zeros(len(day)), 1 + 9 * own[2], 10 ** (1 + own[2]), NOTORIOUS * pareto, np.zeros(len(day))]
    reports = np.floor(np.choose(record, np.minimum(of_record, MOST)))
    posts = np.floor(np.maximum(age * np.minimum(0.02 * (1 - own[1]) ** (-1 / TAIL), 100), reports / 3))
    removals = np.floor(np.minimum(0.4 * own[3] ** 3 * reports, posts))
    unknown = record == RECORDS.index("unknown")
    who = number * len(RECORDS) + record  # a person has one record
    ids = [f"u{'p' if p else 'o'}{a:06d}" for p, a in zip(prone.tolist(), who.tolist(), strict=True)]
    counts = [
        pa.array(values.astype(np.int64), mask=gone)
        for values, gone in ((posts, np.zeros_like(unknown)), (reports, unknown), (removals, unknown))
    ]
    kept = [pa.array(ids), pa.array(age.round(1)), *counts]
    return pa.StructArray.from_arrays(kept, fields=list(INPUTS.field("author").type))


def _engagement(
    level: np.ndarray, spread: np.ndarray, rngs: tuple[np.random.Generator, np.random.Generator], drawn: int
) -> pa.StructArray:
    """Counts until a post was scored: reports follow their level (none, 1 to FEW, more), impressions the spread.

    Reactions follow the impressions. No more than a quarter of those who saw a post report it.
    """
    n, rng = len(level), rngs[0]
    few, more = rng.integers(1, FEW + 1, drawn)[:n], rng.geometric(0.25, drawn)[:n]
    near = np.clip(rng.geometric(0.004, drawn)[:n], 4 * (FEW + 1), FAR - 1)
    share = rng.random(drawn)[:n]
    wide, loud = rngs[1].random((2, drawn))[:, :n]
    far = np.minimum(FAR * (VIRAL / FAR) ** wide, VIRAL - 1)
    viral = np.minimum(VIRAL * (1 - wide) ** (-1 / TAIL), MOST)
    impressions = np.floor(np.choose(spread, (near, far, viral, near))).astype(np.int64)
    many = np.minimum(FEW + np.floor(more * (1 - loud) ** (-1 / TAIL)), impressions // 4)
    reports = np.choose(level, (np.zeros_like(few), few, many)).astype(np.int64)
    reactions = np.floor(impressions * 0.06 * share).astype(np.int64)
    gone = spread == SPREADS.index("uncounted")
    kept = [pa.array(reactions, mask=gone), pa.array(reports), pa.array(impressions, mask=gone)]
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
