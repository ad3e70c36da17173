"""All metrics by name: what a study can compare by, and what one test of properties goes over."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from workbench.metrics import classification as one
from workbench.metrics import multilabel as many


class Metric(NamedTuple):
    """A function (y, score, *, weight, known), whether it takes `threshold`, and which way is better."""

    function: Callable[..., float]
    needs_threshold: bool = False
    higher_is_better: bool = True


METRICS: dict[str, Metric] = {
    "precision": Metric(one.precision, True),
    "recall": Metric(one.recall, True),
    "f1": Metric(one.f1, True),
    "f1_macro": Metric(one.f1_macro, True),
    "accuracy": Metric(one.accuracy, True),
    "false_positive_rate": Metric(one.false_positive_rate, True, False),
    "true_negative_rate": Metric(one.true_negative_rate, True),
    "precision_micro": Metric(many.precision_micro, True),
    "recall_micro": Metric(many.recall_micro, True),
    "f1_micro": Metric(many.f1_micro, True),
    "f1_weighted": Metric(many.f1_weighted, True),
    "exact_match": Metric(many.exact_match, True),
    "hamming_loss": Metric(many.hamming_loss, True, False),
    "average_precision": Metric(one.average_precision),
    "roc_auc": Metric(one.roc_auc),
    "partial_roc_auc": Metric(partial(one.partial_roc_auc, fpr=0.05)),
    "precision_at_recall_0.8": Metric(partial(one.precision_at_recall, recall=0.8)),
    "precision_at_recall_0.9": Metric(partial(one.precision_at_recall, recall=0.9)),
    "precision_at_recall_0.95": Metric(partial(one.precision_at_recall, recall=0.95)),
    "recall_at_fpr_0.01": Metric(partial(one.recall_at_fpr, fpr=0.01)),
    "recall_at_fpr_0.001": Metric(partial(one.recall_at_fpr, fpr=0.001)),
    "log_loss": Metric(one.log_loss, False, False),
    "brier": Metric(one.brier, False, False),
}
