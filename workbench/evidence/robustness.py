"""Does it survive evasion? What a model still catches when harmful posts are obfuscated, at a fixed false alarm rate.

Thresholds are set on clean negatives, label by label, so that a share `fpr` of them is flagged: evaders are few, and a
site lives with the alarms of its honest users. Positives are then obfuscated, one attack and strength at a time, and
scored again. A model is a function from posts to scores (n_posts, n_labels), logits or probabilities; where it sees
nothing its score is NaN and nothing is flagged.

Sources: Gröndahl et al. 2018, arXiv 1808.09115; Hosseini et al. 2017, arXiv 1702.08138.
Open doubts: the threshold is held fixed while positives are resampled, so intervals leave its own uncertainty out (of
few negatives it is large); attacks are blind, an evader who can ask the model does better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from workbench.errors import WorkbenchError
from workbench.evidence.attacks import ATTACKS, evade, parts, touched
from workbench.metrics import intervals
from workbench.schema import Options

Score = Callable[[pa.Table], np.ndarray]
POOLED = "all labels"
TOGETHER = ("leet+blur", "homoglyph+noise", "leet+speed")


class RobustnessOptions(Options):
    """Which attacks, how strong, and how a model is judged under them."""

    attacks: tuple[str, ...] = Field(
        (*ATTACKS, *TOGETHER), min_length=1, description="Names of attacks; `leet+blur` is both at once."
    )
    strengths: tuple[float, ...] = Field((0.5, 1.0), min_length=1, description="Each from 0 to 1.")
    fpr: float = Field(0.01, gt=0, lt=1, description="Share of clean negatives that may be flagged, per label.")
    seed: int = Field(0, ge=0, description="Seed of attacks and of resampling.")
    resamples: int = Field(1000, ge=100, description="Bootstrap resamples of whole groups, for intervals.")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Intervals cover 1 - alpha.")
    few: int = Field(20, ge=1, description="Fewer attacked positives than this are marked `few`.")

    @field_validator("attacks")
    @classmethod
    def _attacks_exist(cls, attacks: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for attack in attacks:
                parts(attack)
        except WorkbenchError as error:
            raise ValueError(str(error)) from None
        return attacks

    @field_validator("strengths")
    @classmethod
    def _strengths_fit(cls, strengths: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= strength <= 1 for strength in strengths):
            raise ValueError(f"strengths are from 0 to 1, not {list(strengths)}")
        return strengths


def cut(scores: np.ndarray, fpr: float) -> float:
    """Return the lowest threshold from which on at most a share `fpr` of the scores (n,) is flagged; NaN without any.

    >>> cut(np.array([0.1, 0.2, 0.3, 0.9]), 0.25) <= 0.9, cut(np.array([0.1, 0.2, 0.3, 0.9]), 0.25) > 0.3
    (True, True)
    """
    if not len(scores):
        return np.nan
    ordered = np.sort(scores)[::-1]
    spare = int(np.floor(fpr * len(ordered) + 1e-9))
    return float(np.nextafter(ordered[min(spare, len(ordered) - 1)], np.inf)) if spare < len(ordered) else -np.inf


def thresholds(scores: np.ndarray, y: np.ndarray, known: np.ndarray, fpr: float) -> np.ndarray:
    """Return the `cut` (n_labels,) of each label's known negatives; scores, y, known: (n_posts, n_labels)."""
    negative = known & ~y.astype(bool)
    return np.array([cut(scores[negative[:, k], k], fpr) for k in range(scores.shape[1])])


def robustness(
    models: Mapping[str, Score],
    posts: pa.Table,
    y: np.ndarray,
    known: np.ndarray,
    labels: Sequence[str],
    options: RobustnessOptions | None = None,
) -> list[dict[str, Any]]:
    """Return what models catch of obfuscated posts: a row per model, attack, strength and label, and over all labels.

    models: name -> function from posts to scores (n_posts, n_labels); all see the same obfuscated posts. posts: a
    corpus table with `group`; y, known (n_posts, n_labels). Counted are pairs of a post and a label that it has, of
    posts that bring every modality attacked: `n` of them, `before` the share caught in clear, `recall` the share caught
    in obfuscation (with `lo`, `hi`), `lost` the difference of the two on the same posts (`lost_lo`, `lost_hi`), all by
    bootstrap over groups; NaN where n is 0. `threshold`: of the label. Raises WorkbenchError where scores do not fit.
    """
    options = options or RobustnessOptions()
    y, known = y.astype(bool) & known.astype(bool), known.astype(bool)
    clean = {name: _scored(score, posts, len(labels)) for name, score in models.items()}
    at = {name: thresholds(scores, y, known, options.fpr) for name, scores in clean.items()}
    group = np.asarray(pc.coalesce(posts["group"], posts["post_id"]).to_pylist())
    harmful, records = y.any(axis=1), []
    for attack in options.attacks:
        rows = np.flatnonzero(harmful & touched(posts, attack))
        some = posts.take(pa.array(rows))
        for strength in options.strengths:
            obfuscated = evade(some, attack, strength, seed=options.seed)
            for name, score in models.items():
                after = _scored(score, obfuscated, len(labels))
                caught = np.stack(
                    [clean[name][rows] >= at[name], after >= at[name]]
                )  # (before and after, rows, labels)
                about = {"model": name, "attack": attack, "strength": strength}
                records += [about | row for row in _rows(caught, y[rows], group[rows], at[name], labels, options)]
    return records


def _scored(score: Score, posts: pa.Table, n_labels: int) -> np.ndarray:
    """Scores as float64 (n_posts, n_labels), minus infinity where the model sees nothing."""
    scores = np.asarray(score(posts), dtype=np.float64) if len(posts) else np.empty((0, n_labels))
    if scores.shape != (len(posts), n_labels):
        raise WorkbenchError(
            f"the model gave scores of shape {scores.shape} for {len(posts)} posts and {n_labels} labels; "
            "a score is a row per post and a column per label"
        )
    return np.where(np.isnan(scores), -np.inf, scores)


def _rows(
    caught: np.ndarray,
    y: np.ndarray,
    group: np.ndarray,
    at: np.ndarray,
    labels: Sequence[str],
    options: RobustnessOptions,
) -> list[dict[str, Any]]:
    """The rows of one attack and strength: caught (2, rows, labels), y (rows, labels), group (rows,)."""
    rows = []
    for k, label in [*enumerate(labels), (None, POOLED)]:
        columns = slice(None) if k is None else slice(k, k + 1)
        counts = np.stack([*(caught[:, :, columns] & y[:, columns]).sum(axis=2), y[:, columns].sum(axis=1)])
        n = int(counts[2].sum())
        row = {"label": label, "n": n, "few": n < options.few, "threshold": np.nan if k is None else at[k]}
        rows.append(row | _kept(counts, group, options))
    return rows


def _kept(counts: np.ndarray, group: np.ndarray, options: RobustnessOptions) -> dict[str, float]:
    """Shares caught before and after, and what was lost, with intervals; counts (before, after, of; rows)."""
    names = ("before", "recall", "lo", "hi", "lost", "lost_lo", "lost_hi")
    if not counts[2].sum():
        return dict.fromkeys(names, np.nan)
    codes, groups = intervals.group_codes(group)
    sums = np.stack([np.bincount(codes, weights=row, minlength=groups) for row in counts])

    def shares(W: np.ndarray) -> np.ndarray:
        before, after, of = sums @ W
        return np.stack([before, after, before - after]) / np.where(of > 0, of, np.nan)

    before, after, lost = intervals.bootstrap(shares, groups, options.resamples, seed=options.seed)
    bounds = [
        intervals.value_interval(after, alpha=options.alpha, units=groups),
        intervals.difference_interval(before, after, alpha=options.alpha),
    ]
    values = (before[0], after[0], *bounds[0], lost[0], *bounds[1])
    return dict(zip(names, map(float, values), strict=True))


def cost_of_variants(
    without: np.ndarray,
    with_: np.ndarray,
    y: np.ndarray,
    known: np.ndarray,
    labels: Sequence[str],
    *,
    fpr: float = 0.01,
    alpha: float = 0.05,
) -> list[dict[str, Any]]:
    """Return what scoring the highest of several variants costs on clean posts: a row per label.

    without, with_ (n_posts, n_labels): scores of the same model on the posts as they stand, and of their variants.
    `alarms`: the share of the `negatives` that variants flag at the threshold set without them (`lo`, `hi`: Wilson),
    where `fpr_without` were flagged; `recall_without` and `recall_with`: at the same fpr, each at a threshold of its
    own.
    """
    y, known = y.astype(bool) & known.astype(bool), known.astype(bool)
    without, with_ = (np.where(np.isnan(scores), -np.inf, scores) for scores in (without, with_))
    before, own = (thresholds(scores, y, known, fpr) for scores in (without, with_))
    rows = []
    for k, label in enumerate(labels):
        negative, positive = known[:, k] & ~y[:, k], y[:, k]
        alarms = int((with_[negative, k] >= before[k]).sum())
        lo, hi = intervals.wilson(alarms, negative.sum(), alpha)
        row = {"label": label, "negatives": int(negative.sum()), "fpr_without": _share(without[negative, k], before[k])}
        row |= {"alarms": _share(with_[negative, k], before[k]), "lo": lo, "hi": hi, "positives": int(positive.sum())}
        row |= {"recall_without": _share(without[positive, k], before[k])}
        rows.append(row | {"recall_with": _share(with_[positive, k], own[k])})
    return rows


def _share(scores: np.ndarray, threshold: float) -> float:
    return float((scores >= threshold).mean()) if len(scores) else np.nan
