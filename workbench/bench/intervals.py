"""`workbench bench intervals`: bootstrap intervals of average precision against a plain loop over resampled posts.

The plain loop draws groups with replacement, gathers their posts and calls scikit-learn, for a few resamples; ours
takes all resamples at once. Both see the same draws, and a run in which their values differ fails.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from workbench.bench import machine, write
from workbench.errors import WorkbenchError
from workbench.metrics.intervals import bootstrap_weights, group_codes
from workbench.metrics.ranking import Ranking
from workbench.schema import Options


class IntervalBench(Options):
    """How much `bench intervals` measures."""

    posts: int = Field(3000, ge=10, description="Posts of the test set, in groups of one or a few.")
    models: int = Field(10, ge=1, description="Models.")
    labels: int = Field(4, ge=1, description="Labels, harmful at 5 to 20 %.")
    resamples: int = Field(2000, ge=100, description="Resamples of ours.")
    plain: int = Field(10, ge=2, le=100, description="Resamples of the plain loop.")
    seed: int = Field(0, ge=0, description="Seed of the posts.")


def intervals(options: IntervalBench | None = None, out: Path | None = None) -> dict[str, Any]:
    """Measure both ways, print one line, write it to `out` as JSON, and return it; raises where the values differ."""
    options = options or IntervalBench()
    lists, codes, groups = _lists(options)
    W = np.concatenate(list(bootstrap_weights(groups, options.resamples, seed=options.seed)), axis=1)
    started = time.perf_counter()
    ours = np.stack([_ours(y, score, codes, groups, W) for y, score in lists])
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    plain = np.stack([_plain(y, score, codes, W[:, : options.plain]) for y, score in lists])
    each = (time.perf_counter() - started) / options.plain
    if not np.allclose(ours[:, : options.plain], plain, rtol=0, atol=1e-12):
        raise WorkbenchError("the two ways of resampling differ, so their times cannot be compared; report this")
    result = {"seconds": seconds, "resamples": options.resamples, "plain_seconds": each * options.resamples}
    result |= {"ratio": each * options.resamples / seconds, "options": options.model_dump(), "machine": machine()}
    print(
        f"{options.resamples:,} resamples of average precision, {options.models} models, {options.labels} labels, "
        f"{options.posts:,} posts: {seconds:.1f} s; a loop over resampled posts would take "
        f"{result['plain_seconds']:.0f} s ({options.plain} of them measured): {result['ratio']:.0f} times as long"
    )
    return write(result, out)


def _lists(options: IntervalBench) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, int]:
    """Return (y, score) per model and label, and the groups of the posts."""
    rng = np.random.default_rng(options.seed)
    codes, groups = group_codes(rng.integers(0, options.posts, options.posts))
    truths = [rng.random(options.posts) < share for share in np.linspace(0.05, 0.2, options.labels)]
    scores = [[rng.normal(size=options.posts) + 1.5 * y for y in truths] for _ in range(options.models)]
    return [(y, score) for model in scores for y, score in zip(truths, model, strict=True)], codes, groups


def _ours(y: np.ndarray, score: np.ndarray, codes: np.ndarray, groups: int, W: np.ndarray) -> np.ndarray:
    ranking = Ranking.build(y, score, codes, groups)
    chunk = max(1_000_000 // (8 * ranking.rows), 16)  # as `bootstrap` cuts them
    return np.concatenate([ranking.average_precision(W[:, at : at + chunk]) for at in range(0, W.shape[1], chunk)])


def _plain(y: np.ndarray, score: np.ndarray, codes: np.ndarray, W: np.ndarray) -> np.ndarray:
    from sklearn.metrics import average_precision_score

    members = [np.flatnonzero(codes == group) for group in range(len(W))]
    values = []
    for times in W.T.astype(int):
        rows = np.concatenate([np.tile(members[group], times[group]) for group in np.flatnonzero(times)])
        values.append(average_precision_score(y[rows], score[rows]))
    return np.array(values)
