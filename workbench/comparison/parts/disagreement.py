"""What models are worth where annotators disagree: scores against shares of votes beside those against the majority.

For labels of which a corpus counts votes (mapping `votes`): log loss and average precision against the soft label
beside the plain ones on the same posts, and the share of right answers at the model's threshold on unanimous posts and
on disputed ones. Posts that two annotators or more judged, without a tie, and that the model sees take part; a tie has
no majority to be right about. Intervals are those of a bootstrap over groups, values means over seeds. Log losses are
as in the table of values: probabilities are kept 2.2e-16 away from 0 and 1, intervals are made on the log scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from workbench.comparison.options import CompareOptions
from workbench.comparison.predictions import Run, Scores
from workbench.comparison.resampled import spanned
from workbench.comparison.rows.parts import DisagreementRow
from workbench.comparison.rows.values import CountedInterval
from workbench.metrics import agreement, intervals
from workbench.metrics.classification import log_losses, ratio
from workbench.metrics.ranking import Ranking
from workbench.metrics.shares import few_groups
from workbench.metrics.table import METRICS


def disagreement(runs: Sequence[Run], settings: CompareOptions) -> list[DisagreementRow]:
    """Return a row per compared test set, model and label with votes.

    A score is few where fewer than `settings.few` posts carry it; `alpha` is Krippendorff's on all posts with several
    votes.
    """
    return [row for test in settings.test for run in runs for row in _rows(run, test, settings)]


def _rows(run: Run, test: str, settings: CompareOptions) -> Iterator[DisagreementRow]:
    scores = run.sets[test]
    for k, label in enumerate(run.labels) if scores.votes is not None else ():
        votes = scores.votes[:, k]
        several = np.nan_to_num(votes).sum(axis=1) >= 2
        seen = ~np.isnan(scores.prob[:, :, k]).any(axis=0)
        rows = several & seen & scores.known[:, k] & (votes[:, 0] != votes[:, 1])
        if not rows.any():
            continue
        yield DisagreementRow(
            test=test,
            model=run.alias,
            label=label,
            n=int(rows.sum()),
            disputed_n=int((votes[rows].min(axis=1) > 0).sum()),
            alpha=agreement.krippendorff_alpha(np.nan_to_num(votes[several])),
            **_scores(run.cuts(test)[:, rows, k], scores, k, rows, settings),
        )


def _scores(
    cuts: np.ndarray, scores: Scores, k: int, rows: np.ndarray, settings: CompareOptions
) -> dict[str, CountedInterval]:
    """Return each score of one model and label on the chosen posts (n,); cuts (S, n): the thresholds they meet."""
    votes, y, prob = scores.votes[rows, k], scores.y[rows, k], scores.prob[:, rows, k]
    share, split = agreement.vote_share(votes), votes.min(axis=1) > 0
    codes, groups = intervals.group_codes(scores.group[rows])
    right = ((prob >= cuts) == y).mean(axis=0)
    if np.isnan(cuts).any():
        right = np.full(len(y), np.nan)
    every = np.ones(len(y), bool)
    means = {  # what each post adds, and which posts count
        "log_loss": (log_losses(y, prob).mean(axis=0), every),
        "soft_log_loss": (log_losses(share, prob).mean(axis=0), every),
        "unanimous": (right, ~split),
        "disputed": (right, split),
    }
    logit, two = scores.logit[:, rows, k], np.repeat([True, False], len(y))
    both = {"weight": np.r_[share, 1 - share]}
    lists = {
        "average_precision": [Ranking.build(y, score, codes, groups) for score in logit],
        "soft_average_precision": [
            Ranking.build(two, np.r_[score, score], np.r_[codes, codes], groups, **both) for score in logit
        ],
    }
    carried = {name: of for name, (_, of) in means.items()} | dict.fromkeys(lists, y.astype(bool))
    statistics = {name: _mean(values, of, codes, groups) for name, (values, of) in means.items()}
    statistics |= {name: _area(rankings) for name, rankings in lists.items()}
    measures = {}
    for name, statistic in statistics.items():
        draws = intervals.bootstrap(statistic, groups, settings.resamples, seed=settings.seed)
        top = METRICS["log_loss"].top if name.endswith("log_loss") else 1.0
        few = few_groups(np.bincount(codes[carried[name]], minlength=groups), settings.few)
        measures[name] = CountedInterval(**spanned(draws, alpha=settings.alpha, top=top), few=few)
    return measures


def _area(rankings: Sequence[Ranking]) -> intervals.Statistic:
    """Return weights (groups, draws) -> average precision (draws,), the mean over rankings."""
    return lambda W: np.mean([ranking.average_precision(W) for ranking in rankings], axis=0)


def _mean(values: np.ndarray, of: np.ndarray, codes: np.ndarray, groups: int) -> intervals.Statistic:
    """Return weights (groups, draws) -> the mean (draws,) of values (n,) over the posts `of` (n,)."""
    pieces = np.stack(
        [np.bincount(codes[of], weights=part[of], minlength=groups) for part in (values, np.ones(len(of)))]
    )
    return lambda W: ratio(*(pieces @ W))
