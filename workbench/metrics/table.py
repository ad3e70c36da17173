"""All metrics by name, one entry each: what is computed, of what, its range and direction, its words.

Whatever compares, draws or names metrics asks this table, so a metric that is entered here can be compared by, is
resampled and tested, and stands in comparison, report, terminal and model card.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from functools import partial
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from workbench.metrics.classification import (
    Confusion,
    Curve,
    confusion,
    log_losses,
    probabilities,
    ratio,
    squared_errors,
)
from workbench.metrics.multilabel import confusions, f1_weighted, pooled, whole_posts

MetricKind = Enum("MetricKind", ["DECISIONS", "RANKING", "PROBABILITY", "LABELS", "POSTS"])
"""What a metric's function takes.

DECISIONS: the `Confusion` of one label at its threshold, numbers or arrays. RANKING: a `Curve`, returning (draws,).
PROBABILITY: y (n,) bool and probabilities (n,), returning a loss (n,) of which the mean is taken. LABELS: the
`Confusion` of all labels, (labels, ...). POSTS: the `Confusion` of whole posts, as `whole_posts` has them.
"""
DECISIONS, RANKING, PROBABILITY, LABELS, POSTS = MetricKind


class Metric(NamedTuple):
    """One metric; called with (y, score, *, threshold, weight, known) it returns a number, NaN where undefined.

    words: its name in prose; column: a shorter one over a column of numbers. top: the greatest value that it can have,
    the least being 0. share: whether it is a share of counted posts, whose interval is Wilson's. digits: how many stand
    behind the point. headline: whether reports show it beside whatever is compared by. site: whether posts count by how
    many of the site's posts they stand for; such a metric is told only where posts stand for unequally many.
    negatives: how many harmless posts a comparison must have for it to say anything.
    """

    kind: MetricKind
    function: Callable
    words: str
    column: str = ""
    higher_is_better: bool = True
    top: float = 1.0
    share: bool = False
    digits: int = 3
    headline: bool = False
    site: bool = False
    negatives: int = 0

    @property
    def over_labels(self) -> bool:
        """Whether it is of all labels together and has no value for one of them."""
        return self.kind in (LABELS, POSTS)

    @property
    def has_ceiling(self) -> bool:
        """Whether the exact probabilities of a world say how good any model could be."""
        return self.kind in (RANKING, PROBABILITY)

    @property
    def optimum(self) -> str:
        """Whose value its ceiling is, in words."""
        return "exact probabilities" if self.kind is PROBABILITY else "Bayes ranking"

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.higher_is_better else -1

    def of_pieces(self, pieces: np.ndarray) -> np.ndarray:
        """Return the metric (...) of what posts add to it, summed (pieces, ...); a ranking has no such pieces.

        Those of a loss are its sum and the number of posts, of all others the cells of a `Confusion`; the first of the
        other axes is that of labels where the metric is over them.
        """
        return ratio(*pieces) if self.kind is PROBABILITY else self.function(Confusion(*pieces))

    def totals(self, pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the hits and the posts (...) that a share is made of, from the cells of a `Confusion` (4, ...).

        Of a share over all labels the first of the other axes, that of labels, is summed.
        """
        cells = np.asarray(self.function(Confusion(*np.eye(4)[:, None] if self.kind is LABELS else np.eye(4))))
        part, whole = pieces[cells == 1].sum(axis=0), pieces[~np.isnan(cells)].sum(axis=0)
        return (part.sum(axis=0), whole.sum(axis=0)) if self.kind is LABELS else (part, whole)

    def __call__(self, y, score, *, threshold=0.5, weight=None, known=None) -> float:
        """Return the metric of labels y (n,) or (n, labels), scores and masks of the same shape, weight (n,)."""
        masks = {"weight": weight, "known": known}
        if self.kind is RANKING:
            return float(self.function(Curve.of(y, score, **masks))[0])
        if self.kind is PROBABILITY:
            y, prob, weight = probabilities(y, score, **masks)
            return float(ratio(np.sum(weight * self.function(y, prob)), weight.sum()))
        count = {LABELS: confusions, POSTS: whole_posts}.get(self.kind, confusion)
        return float(self.function(count(y, score, threshold=threshold, **masks)))


def _over_labels(name: str) -> Callable[[Confusion], np.ndarray]:
    """Return the property of a Confusion of the counts summed over labels."""
    return lambda counts: getattr(pooled(counts), name)


def _at_recall(recall: float) -> Metric:
    return Metric(RANKING, partial(Curve.precision_at_recall, recall=recall), f"precision at {100 * recall:g} % recall")


ENOUGH_ALARMS = 5  # where fewer harmless posts may be flagged, one or two of them decide a recall


def _at_fpr(fpr: float) -> Metric:
    words = f"recall at {100 * fpr:g} % false positives"
    return Metric(RANKING, partial(Curve.recall_at_fpr, fpr=fpr), words, negatives=math.ceil(ENOUGH_ALARMS / fpr))


def _at_the_site(metric: Metric, *, headline: bool = False) -> Metric:
    """Return a metric at the site's mix of posts: the same function, of posts that count by their weights."""
    words, column = f"{metric.words} at the site's mix of posts", f"{metric.column or metric.words} at the site"
    return metric._replace(words=words, column=column, headline=headline, site=True)


METRICS: dict[str, Metric] = {
    "precision": Metric(DECISIONS, attrgetter("precision"), "precision", share=True, headline=True),
    "recall": Metric(DECISIONS, attrgetter("recall"), "recall", share=True, headline=True),
    "f1": Metric(DECISIONS, attrgetter("f1"), "F1", headline=True),
    "f1_macro": Metric(DECISIONS, attrgetter("f1_macro"), "F1, mean of both classes"),
    "accuracy": Metric(DECISIONS, attrgetter("accuracy"), "accuracy", share=True),
    "false_positive_rate": Metric(
        DECISIONS,
        attrgetter("false_positive_rate"),
        "harmless posts flagged (false positive rate)",
        "false positive rate",
        higher_is_better=False,
        share=True,
        headline=True,
    ),
    "true_negative_rate": Metric(
        DECISIONS, attrgetter("true_negative_rate"), "harmless posts passed (true negative rate)", share=True
    ),
    "precision_micro": Metric(LABELS, _over_labels("precision"), "precision over all labels", share=True),
    "recall_micro": Metric(LABELS, _over_labels("recall"), "recall over all labels", share=True),
    "f1_micro": Metric(LABELS, _over_labels("f1"), "F1 over all labels"),
    "f1_weighted": Metric(LABELS, f1_weighted, "F1, labels weighted by their positives"),
    "exact_match": Metric(POSTS, attrgetter("precision"), "posts with every label right", share=True),
    "hamming_loss": Metric(
        LABELS, _over_labels("error_rate"), "labels decided wrongly", higher_is_better=False, share=True
    ),
    "average_precision": Metric(RANKING, Curve.average_precision, "average precision", headline=True),
    "roc_auc": Metric(RANKING, Curve.roc_auc, "ROC AUC", headline=True),
    "partial_roc_auc": Metric(RANKING, partial(Curve.partial_roc_auc, fpr=0.05), "ROC AUC up to 5 % false positives"),
    "precision_at_recall_0.8": _at_recall(0.8),
    "precision_at_recall_0.9": _at_recall(0.9),
    "precision_at_recall_0.95": _at_recall(0.95),
    "recall_at_fpr_0.01": _at_fpr(0.01),
    "recall_at_fpr_0.001": _at_fpr(0.001),
    "log_loss": Metric(PROBABILITY, log_losses, "log loss", higher_is_better=False, top=np.inf, digits=4),
    "brier": Metric(PROBABILITY, squared_errors, "Brier score", higher_is_better=False, digits=4),
}

METRICS |= {f"{name}_site": _at_the_site(METRICS[name], headline=True) for name in ("precision", "recall")}
METRICS |= {
    f"{name}_site": _at_the_site(METRICS[name])
    for name in ("f1", "false_positive_rate", "average_precision", "log_loss", "brier")
}


def headline() -> tuple[str, ...]:
    """Return the metrics that every report shows, in the table's order."""
    return tuple(name for name, metric in METRICS.items() if metric.headline)
