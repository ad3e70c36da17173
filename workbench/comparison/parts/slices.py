"""Where a model does worse: every score on one part of the test posts at a time, against the rest of them.

A slice is one value of one column: posts in Spanish, of one community, under 40 characters, that mention an identity.
All posts of the test set take part, also those a model cannot see, which it does not flag. Within a slice precision and
average precision move with the share of harmful posts, so what is tested is recall and the false positive rate, the two
that a threshold decides and that people of a slice notice.

Intervals are those of a bootstrap over whole groups, all slices under the same draws; where every resample agrees (a
rate of 0 or 1) it knows nothing, and Wilson's interval stands in, in differences by Newcombe's method (1998, Statistics
in Medicine 17:873, method 10). p is Fisher's exact test, two-sided by doubling, on the counts inside and outside: means
over seeds, divided by the design effect of groups (Rao & Scott 1992, Biometrics 48:577) and rounded. Holm's correction
spans everything that is tested of one model, on all compared test sets. Where the positives are worth fewer than `few`
groups there is no p for recall and no interval for areas, where the negatives are no p for the false positive rate; nor
is tested what the rest is too small for.

`fairlearn.metrics.MetricFrame` computes the same values and differences, and the tests hold these to it; its intervals
resample posts, not groups, and it knows no unknown labels, so the numbers here are made by `metrics.intervals`.

Open doubt: rounding of effective counts costs some power where they are small, and errs on either side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
from scipy import stats

from workbench.comparison.facts import OTHER, STANDARD, UNKNOWN, banded
from workbench.comparison.options import CompareOptions
from workbench.comparison.predictions import Run, Scores
from workbench.comparison.resampled import Cell, Seen, each, in_large_blocks, spanned, summed
from workbench.comparison.rows import Interval
from workbench.comparison.rows.parts import RateTest, SliceRow
from workbench.comparison.rows.values import defined
from workbench.errors import WorkbenchError, unknown
from workbench.metrics import intervals, testing
from workbench.metrics.ranking import Ranking
from workbench.metrics.shares import few_groups, kish
from workbench.metrics.table import METRICS

RATES = ("precision", "recall", "false_positive_rate")
AREAS = ("average_precision", "roc_auc")
TESTED = {"recall": 1, "false_positive_rate": 0}  # rate -> the truth of the posts that it is a share of
ALL_STANDARD = "standard"
MOST = 12  # values of one column; the smaller ones are put together


@dataclass(frozen=True)
class Slice:
    """One part of the test posts: the column, its value, and which posts (n,) have it."""

    column: str
    value: str
    rows: np.ndarray


def slices_of(scores: Scores, columns: Sequence[str] | None = None) -> Iterator[Slice]:
    """Yield the slices of a test set by the named columns (default: the standard ones), the largest value first.

    Among the named ones `standard` stands for all standard ones. A column in which all posts are alike has no slices.
    Values beyond the MOST largest are put together as `other`, posts of which nothing is said as `unknown`. Raises
    WorkbenchError for a named column that the scores do not hold.
    """
    there = [*scores.slices, *(["identity"] if scores.identities else [])]
    for name in columns or ():
        if name not in (*there, ALL_STANDARD):
            raise WorkbenchError(
                f"compare.slices: {unknown('column', name, there)}; a column of the corpus is kept by `keep`"
            )
    asked = (ALL_STANDARD,) if columns is None else columns
    wanted = [STANDARD if name == ALL_STANDARD else (name,) for name in asked]
    for name in dict.fromkeys(chain(*wanted)):
        if name == "identity":
            yield from (Slice(name, value, rows) for value, rows in _by_size(scores.identities))
        elif name in scores.slices:
            values = scores.slices[name]
            values = banded(name, values)[0] if values.dtype.kind == "f" else values
            masks = {str(value): values == value for value in np.unique(values)}
            if len(masks) > 1:
                yield from (Slice(name, value or UNKNOWN, rows) for value, rows in _folded(masks))


def _by_size(masks: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    return sorted(masks.items(), key=lambda item: (-item[1].sum(), item[0]))


def _folded(masks: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the MOST largest values, and all others as one; disjoint values."""
    ordered = _by_size(masks)
    yield from ordered[:MOST]
    if ordered[MOST:]:
        yield f"{OTHER} ({len(ordered) - MOST})", np.any([rows for _, rows in ordered[MOST:]], axis=0)


def sliced(runs: Sequence[Run], settings: CompareOptions) -> list[SliceRow]:
    """Return a row per model, compared test set, label and slice of all its posts, the worst first.

    `gap` is by how much, at least, the worse of the tested rates is worse than in the rest: the nearer bound of its
    difference, so that small slices do not come first by chance, and rates that are not tested not at all.
    """
    by_test = [_of_test(runs, Cell.of(runs, test, "all", settings.seed), settings) for test in settings.test]
    rows = chain.from_iterable(_corrected(list(chain(*of_model))) for of_model in zip(*by_test, strict=True))
    return sorted(rows, key=lambda row: math.inf if row.gap is None else -row.gap)


def _of_test(runs: Sequence[Run], cell: Cell, settings: CompareOptions) -> list[list[SliceRow]]:
    """Return the rows of each model in one cell of all posts, not yet corrected for how many there are."""
    parts = list(slices_of(runs[0].sets[cell.test], settings.slices))
    if not parts:
        return [[] for _ in runs]
    seen = [Seen(run, cell) for run in runs]
    share = sum(part.rows.mean() for part in parts)
    size = settings.slice_resamples * share * sum(model.ranks.size for model in seen)
    return each(partial(_of_model, parts=parts, settings=settings), seen, size)


def _of_model(model: Seen, parts: Sequence[Slice], settings: CompareOptions) -> list[SliceRow]:
    """Return the rows of one model in its cell, as `sliced` has them but for Holm's correction."""
    rows, draws = [], _draws(model, parts, settings.slice_resamples, settings.few)
    for part, drawn in zip(parts, draws, strict=True):
        for k, label in enumerate(model.run.labels):
            counts = model.cell.counted(part.rows, k)
            if counts["n"]:
                values = _values(model, part, k, drawn[:, k], settings)
                losses = [least for name in TESTED if (least := loss(values[name], name)) is not None]
                about = {"model": model.run.alias, "test": model.cell.test, "label": label}
                about |= {"column": part.column, "slice": part.value}
                harmful = model.cell.groups_of(part.rows & model.cell.known[:, k] & model.cell.y[:, k])
                about |= {"prevalence": counts["positives"] / counts["n"], "few": few_groups(harmful, settings.few)}
                rows.append(SliceRow(**about, **counts, **values, gap=max(losses, default=None)))
    return rows


# ------------------------------------------------------------------------------------------------------------ resamples


def _draws(model: Seen, parts: Sequence[Slice], resamples: int, few: int) -> np.ndarray:
    """Return (parts, 2 RATES + AREAS, L, 1 + resamples): rates inside and in the rest, areas inside; means over seeds.

    The sample itself comes first; all parts and models are resampled by the same draws of groups. An area of few
    positives has the sample's own value alone.
    """
    cell, pieces = model.cell, []
    for part in parts:
        groups, codes = np.unique(cell.codes[part.rows], return_inverse=True)
        counts = model.counted(part.rows, codes, len(groups))
        pieces.append((groups, counts, _rankings(model, part.rows, codes, len(groups))))

    def statistic(W: np.ndarray, few: int = few) -> np.ndarray:
        whole, values = summed(model.counts, W), []
        for groups, counts, rankings in pieces:
            inner = np.ascontiguousarray(W[groups])
            inside = summed(counts, inner)
            values.append(np.concatenate([_rates(inside), _rates(whole - inside), _areas(rankings, inner, few)]))
        return np.stack(values)

    draws = in_large_blocks(statistic, cell, resamples)
    draws[..., :1] = statistic(np.ones((cell.groups, 1)), few=0)
    return draws


def _rankings(model: Seen, rows: np.ndarray, codes: np.ndarray, groups: int) -> np.ndarray:
    """Return (L, S) rankings of a slice's posts with how many groups its positives are worth, None without a class."""
    ranks, y, known = model.ranks[:, rows], model.cell.y[rows], model.cell.known[rows]
    rankings = np.full((y.shape[1], len(ranks)), None, dtype=object)
    for k, s in np.ndindex(rankings.shape):
        positives, negatives = y[:, k] & known[:, k], ~y[:, k] & known[:, k]
        if model.ranked[k] and positives.any() and negatives.any():
            ranking = Ranking.build(y[:, k], ranks[s, :, k], codes, groups, known=known[:, k])
            rankings[k, s] = (ranking, kish(np.bincount(codes[positives])))
    return rankings


def _rates(counts: np.ndarray) -> np.ndarray:
    """Return RATES (3, L, draws), means over seeds, from counts (4, L, S, draws)."""
    counts = np.where(np.abs(counts) < 1e-9, 0, counts)  # the rest is a difference: it may end beside 0
    return np.stack([METRICS[name].of_pieces(counts).mean(axis=1) for name in RATES])


def _areas(rankings: np.ndarray, W: np.ndarray, few: int) -> np.ndarray:
    """Return AREAS (2, L, draws), means over seeds, NaN with fewer than `few` positives."""
    areas = np.full((2, *rankings.shape, W.shape[1]), np.nan)
    for k, s in np.ndindex(rankings.shape):
        if rankings[k, s] is not None and rankings[k, s][1] >= few:
            areas[:, k, s] = rankings[k, s][0].values(W, [METRICS[name].function for name in AREAS])
    return areas.mean(axis=2)


# ------------------------------------------------------------------------------------------------------- values, tests


def _values(model: Seen, part: Slice, k: int, draws: np.ndarray, settings: CompareOptions) -> dict[str, Interval]:
    """Return each metric's interval, of the tested rates also their test, from draws (2 RATES + AREAS, draws)."""
    alpha, known = settings.alpha, model.cell.known[:, k]
    rates, areas = draws[: -len(AREAS)].reshape(2, len(RATES), -1), draws[-len(AREAS) :]
    measures = {name: Interval(**spanned(of, alpha=alpha)) for name, of in zip(AREAS, areas, strict=True)}
    for name, inside, rest in zip(RATES, *rates, strict=True):
        whole = (_denominator(model, rows & known, k, name) for rows in (part.rows, ~part.rows))
        a, b = (_interval(side, n, alpha) for side, n in zip((inside, rest), whole, strict=True))
        value = {"value": inside[0], "lo": a[0], "hi": a[1]}
        if name not in TESTED:
            measures[name] = Interval(**value)
            continue
        delta = inside[0] - rest[0]
        low, high = intervals.difference_interval(inside, rest, alpha=alpha)
        if _constant(inside) or _constant(rest):
            low, high = _newcombe(inside[0], a, rest[0], b)
        if math.isnan(delta):
            low = high = math.nan
        value |= {"rest": rest[0], "delta": delta, "delta_lo": low, "delta_hi": high}
        measures[name] = RateTest(**value, p=_p(model, part, k, name, settings.few), p_holm=None)
    return measures


def _denominator(model: Seen, rows: np.ndarray, k: int, name: str) -> float:
    """How many posts a rate is a share of; of precision, the mean over seeds."""
    if name == "precision":
        return float(model.flagged[:, rows, k].sum(axis=1).mean())
    return float((model.cell.y[rows, k] == bool(TESTED[name])).sum())


def _constant(draws: np.ndarray) -> bool:
    defined = draws[~np.isnan(draws)]
    return len(defined) > 0 and bool(np.ptp(defined) < 1e-12)


def _interval(draws: np.ndarray, n: float, alpha: float) -> tuple[float, float]:
    """Return the interval of a rate, Wilson's of n posts where all resamples agree; NaN where it is undefined."""
    if _constant(draws) and not math.isnan(draws[0]):
        return intervals.wilson(draws[0] * n, n, alpha)
    return intervals.value_interval(draws, alpha=alpha, share=True)


def _newcombe(a: float, bounds_a: tuple[float, float], b: float, bounds_b: tuple[float, float]) -> tuple[float, float]:
    """Return the interval of a - b from an interval of each."""
    delta = a - b
    return (
        delta - math.hypot(a - bounds_a[0], bounds_b[1] - b),
        delta + math.hypot(bounds_a[1] - a, b - bounds_b[0]),
    )


def _p(seen: Seen, part: Slice, k: int, name: str, few: int) -> float:
    """Return the p of a tested rate, NaN where there are too few posts or no threshold."""
    cell = seen.cell
    of = cell.known[:, k] & (cell.y[:, k] == bool(TESTED[name]))
    inside, worth = part.rows[of], [kish(cell.groups_of(of & side)) for side in (part.rows, ~part.rows)]
    if min(worth) < few or seen.undecided[:, k].any():
        return math.nan
    return difference_p(seen.flagged[:, of, k].mean(axis=0), inside, cell.codes[of], len(seen.ranks))


def loss(rate: RateTest, name: str) -> float | None:
    """Return by how much, at least, a rate is worse than in the rest; None without a test."""
    if rate.p is None:
        return None
    return rate.delta_lo if METRICS[name].sign < 0 else -rate.delta_hi


def difference_p(flagged: np.ndarray, inside: np.ndarray, codes: np.ndarray, seeds: int = 1) -> float:
    """Return the two-sided p of "posts inside are flagged as often as the others", n posts in groups.

    flagged (n,): the share of seeds that flag a post; inside (n,) bool; codes (n,): the group of each. Source: Fisher's
    exact test by doubling the smaller tail, on counts divided by the design effect: the variance of the flags summed
    by group over that of as many independent posts under one seed. Groups raise it, the mean over seeds lowers it, by
    no more than their number.

    >>> round(difference_p(np.array([1, 1, 1, 0, 0, 0.0]), np.array([1, 1, 1, 0, 0, 0], bool), np.arange(6)), 3)
    0.1
    """
    share = float(flagged.mean())
    together = float((np.bincount(codes, weights=flagged - share) ** 2).sum())
    single = len(flagged) * share * (1 - share)  # the same, of independent posts under one seed
    effect = max(together / single, 1 / seeds) if single > 0 else 1.0
    n, m = (max(round(float(side.sum()) / effect), 1) for side in (inside, ~inside))
    hits, others = (round(float(flagged[side].sum()) / effect) for side in (inside, ~inside))
    hits, others = min(hits, n), min(others, m)
    law = stats.hypergeom(n + m, hits + others, n)
    return float(min(1.0, 2 * min(law.cdf(hits), law.sf(hits - 1))))


def _corrected(rows: Sequence[SliceRow]) -> list[SliceRow]:
    """Return the rows of one model, their tested rates with the corrected p."""
    adjusted = iter(testing.holm([getattr(row, name).p for row in rows for name in TESTED]))
    return [
        row.model_copy(
            update={
                name: getattr(row, name).model_copy(update={"p_holm": defined(float(next(adjusted)))})
                for name in TESTED
            }
        )
        for row in rows
    ]
