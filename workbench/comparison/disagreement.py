"""What models are worth where annotators disagree: scores against shares of votes beside those against the majority.

For labels of which a corpus counts votes (mapping `votes`): log loss and average precision against the soft label
beside the plain ones on the same posts, and the share of right answers at the model's threshold on unanimous posts and
on disputed ones. Posts that two annotators or more judged, without a tie, and that the model sees take part; a tie has
no majority to be right about. Intervals are those of a bootstrap over groups, values means over seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from workbench.comparison.options import CompareOptions
from workbench.comparison.predictions import Run, Scores
from workbench.comparison.rows import CountedInterval, DisagreementRow
from workbench.metrics import agreement, intervals

SCORES = ("log_loss", "soft_log_loss", "average_precision", "soft_average_precision", "unanimous", "disputed")


def disagreement(runs: Sequence[Run], test: str, settings: CompareOptions) -> list[DisagreementRow]:
    """Return a row per model and label with votes.

    A score is few where fewer than `settings.few` posts carry it; `alpha` is Krippendorff's on all posts with several
    votes.
    """
    return [row for run in runs for row in _rows(run, run.sets[test], settings)]


def _rows(run: Run, scores: Scores, settings: CompareOptions) -> Iterator[DisagreementRow]:
    """Yield the rows of one model."""
    for k, label in enumerate(run.labels) if scores.votes is not None else ():
        votes = scores.votes[:, k]
        several = np.nan_to_num(votes).sum(axis=1) >= 2
        seen = ~np.isnan(scores.prob[:, :, k]).any(axis=0)
        rows = several & seen & scores.known[:, k] & (votes[:, 0] != votes[:, 1])
        if not rows.any():
            continue
        yield DisagreementRow(
            model=run.alias,
            label=label,
            n=int(rows.sum()),
            disputed_n=int((votes[rows].min(axis=1) > 0).sum()),
            alpha=agreement.krippendorff_alpha(np.nan_to_num(votes[several])),
            **_scores(run, scores, k, rows, settings),
        )


def _scores(run: Run, scores: Scores, k: int, rows: np.ndarray, settings: CompareOptions) -> dict[str, CountedInterval]:
    """Return each of SCORES of one model and label on the chosen posts (n,)."""
    votes, y, prob = scores.votes[rows, k], scores.y[rows, k], scores.prob[:, rows, k]
    share, split = agreement.vote_share(votes), votes.min(axis=1) > 0
    codes, groups = intervals.group_codes(scores.group[rows])
    clipped = np.clip(prob, 1e-12, 1 - 1e-12)
    right = ((prob >= run.thresholds[:, k, None]) == y).mean(axis=0)
    if np.isnan(run.thresholds[:, k]).any():
        right = np.full(len(y), np.nan)
    each = {  # a mean over posts: what each adds, and which posts count
        "log_loss": (-np.log(np.where(y, clipped, 1 - clipped)).mean(axis=0), np.ones(len(y), bool)),
        "soft_log_loss": (_cross_entropy(share, clipped).mean(axis=0), np.ones(len(y), bool)),
        "unanimous": (right, ~split),
        "disputed": (right, split),
    }
    statistics = {name: _mean(values, of, codes, groups) for name, (values, of) in each.items()}
    carried = {name: int(of.sum()) for name, (_, of) in each.items()}
    logit, two = scores.logit[:, rows, k], np.repeat([True, False], len(y))
    plain = [intervals.Ranking.build(y, score, codes, groups) for score in logit]
    soft = [
        intervals.Ranking.build(two, np.r_[score, score], np.r_[codes, codes], groups, weight=np.r_[share, 1 - share])
        for score in logit
    ]
    for name, rankings in (("average_precision", plain), ("soft_average_precision", soft)):
        statistics[name] = _areas(rankings)
        carried[name] = int(y.sum())
    measures = {}
    for name in SCORES:
        draws = intervals.bootstrap(statistics[name], groups, settings.resamples, seed=settings.seed)
        if name.endswith("log_loss"):  # which has no upper end
            low, high = intervals.difference_interval(draws, np.zeros_like(draws), alpha=settings.alpha)
        else:
            low, high = intervals.value_interval(draws, alpha=settings.alpha)
        measures[name] = CountedInterval(value=draws[0], lo=low, hi=high, few=carried[name] < settings.few)
    return measures


def _cross_entropy(share: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """Return the cross-entropy (S, n) of probabilities (S, n) against soft labels (n,), in nats."""
    return -(share * np.log(prob) + (1 - share) * np.log(1 - prob))


def _areas(rankings: Sequence[intervals.Ranking]) -> intervals.Statistic:
    """Return weights (groups, draws) -> average precision (draws,), the mean over rankings."""
    return lambda W: np.mean([ranking.average_precision(W) for ranking in rankings], axis=0)


def _mean(values: np.ndarray, of: np.ndarray, codes: np.ndarray, groups: int) -> intervals.Statistic:
    """Return weights (groups, draws) -> the mean (draws,) of values (n,) over the posts `of` (n,)."""
    sums = np.bincount(codes[of], weights=values[of], minlength=groups)
    counts = np.bincount(codes[of], minlength=groups)

    def statistic(W: np.ndarray) -> np.ndarray:
        total = counts @ W
        return np.divide(sums @ W, total, out=np.full(len(total), np.nan), where=total > 0)

    return statistic
