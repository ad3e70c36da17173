"""What validation adds to a fitted classifier, and what the bundle then measures on any set.

Calibration and thresholds are fitted on the same validation posts; a calibrator changes no rank and a threshold is one
number, so the optimism is small, and the test set shows what is left of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from workbench.decisions.drawn import Drawn
from workbench.decisions.moderator import Moderator
from workbench.decisions.objective import Objective
from workbench.decisions.policy import LabelRule, Policy
from workbench.decisions.thresholds import LabelObjectives, choose, shares
from workbench.metrics.calibration import calibration_error, choose_calibrator, worth
from workbench.metrics.table import METRICS
from workbench.models import Classifier
from workbench.schema import Taxonomy, inputs, label_matrix


def fit(
    classifier: Classifier,
    validation: pa.Table,
    wanted: Mapping[str, LabelObjectives],
    name: str,
    calibration: str = "auto",
) -> tuple[Moderator, dict[str, LabelRule]]:
    """Return a moderator of a fitted classifier with a policy called `name`, and the rules of all labels.

    What is decided already (a published system's yes and no) is neither calibrated nor given a threshold of choice.
    calibration: `auto` or a name of `metrics.calibration.METHODS`.
    The policy has the rules of the labels that the classifier was trained for; those of the others only serve
    comparison.
    """
    labels = classifier.taxonomy.names
    y, known = label_matrix(validation, classifier.taxonomy)
    logits = classifier.logits(inputs(validation))
    groups = group_names(validation)
    trained = dict(zip(labels, classifier.trained.tolist(), strict=True))
    if classifier.decided:
        wanted = dict.fromkeys(labels, _AS_DECIDED)
    lines = {
        label: choose_calibrator(y[:, k], logits[:, k], groups, known=known[:, k], method=calibration)
        for k, label in enumerate(labels)
        if trained[label] and not classifier.decided
    }
    prevalence = {
        label: _prevalence(y[:, k], known[:, k] & ~np.isnan(logits[:, k]), classifier.constants[k])
        for k, label in enumerate(labels)
    }
    today = dt.datetime.now(dt.UTC).date()
    draft = Policy(name=name, date=today, labels={label: _NEVER for label in labels if trained[label]})
    moderator = Moderator(classifier, lines, draft, prevalence=prevalence)
    weight = pc.fill_null(validation["weight"], 1.0).to_numpy()
    for label in lines:
        k = labels.index(label)
        use, log_odds = known[:, k], lines[label](logits[:, k])
        moderator.drawn[label] = Drawn.of(y[use, k] > 0.5, log_odds[use], weight[use], groups[use])
    rules = choose(
        moderator.calibrated(logits), y, known, wanted, weight=weight, group=groups, expected=_trained(classifier)
    )
    decided = {label: rules[label] for label in moderator.labels}
    return moderator.with_policy(draft.model_copy(update={"labels": decided})), rules


def group_names(table: pa.Table) -> np.ndarray:
    """Return the group (n,) of each post; a post without one is its own."""
    return pc.coalesce(pc.cast(table["group"], pa.string()), pc.cast(table["post_id"], pa.string())).to_numpy()


_NEVER = LabelRule(review_at=None, remove_at=None)
_AS_DECIDED = LabelObjectives(review=Objective(fixed=0.5), remove=None)


def _prevalence(y: np.ndarray, use: np.ndarray, constant: float) -> float | None:
    """Return the share of positives at which calibrated probabilities hold: validation's, else that of training."""
    share = float((y[use] > 0.5).mean()) if use.any() else 0.0
    if 0 < share < 1:
        return share
    return None if np.isnan(constant) else float(expit(float(constant)))


def _trained(classifier: Classifier) -> list[float | None]:
    """Return the share of harmful posts that training had of each label, None where unknown."""
    return [None if np.isnan(constant) else float(expit(float(constant))) for constant in classifier.constants]


def measure(
    prob: np.ndarray, y: np.ndarray, known: np.ndarray, rule: LabelRule, weight: np.ndarray, group: np.ndarray
) -> dict[str, Any]:
    """Return what one label's probabilities (n,) and thresholds are worth on posts with y, known, weight, group (n,).

    Posts without a probability are left out; undefined values are None. Per action `sample` and `site` are what
    `thresholds.shares` says of it: among these posts, and by their weights (None where all weigh the same).
    """
    use = known & ~np.isnan(prob)
    y, prob, weight, group = y[use] > 0.5, prob[use], weight[use], group[use]
    measures: dict[str, Any] = {"n": int(use.sum()), "unscored": int((known & ~use).sum()), "positives": int(y.sum())}
    measures["average_precision"] = METRICS["average_precision"](y, prob)
    measures["calibration_error"], measures["log_loss"] = calibration_error(y, prob), METRICS["log_loss"](y, prob)
    for action, at in (("review", rule.review_at), ("remove", rule.remove_at)):
        if at is not None:
            flagged = prob >= at
            mixed = bool((weight != weight[:1]).any())
            measures[action] = {
                "at": at,
                "flagged": int(flagged.sum()),
                "caught": int((flagged & y).sum()),
                "sample": shares(y, flagged, group).model_dump(),
                "site": shares(y, flagged, group, weight).model_dump() if mixed else None,
            }
    return _plain(measures)


def _plain(value: Any) -> Any:
    """Return nested values with None in the place of NaN."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and value != value else value


def calibration_record(
    moderators: Mapping[int, Moderator], predictions: pa.Table, sets: Mapping[str, pa.Table], taxonomy: Taxonomy
) -> dict[str, dict[str, Any]]:
    """Return per label and seed what `metrics.json` keeps: the calibrator, why it was chosen, what it is worth.

    moderators: seed -> what scored the predictions of that seed; sets: the posts of each split that was scored, in
    the order of the predictions. `prevalence` is the share of harmful posts at which the probabilities hold, `worth` is
    set -> `worth` of it.
    """
    record: dict[str, dict[str, Any]] = {}
    truth = {name: label_matrix(sets[name], taxonomy) for name in pc.unique(predictions["split"]).to_pylist()}
    for seed, moderator in moderators.items():
        mine = predictions.filter(pc.equal(predictions["seed"], seed))
        parts = {name: mine.filter(pc.equal(mine["split"], name)) for name in truth}
        for label, line in moderator.lines.items():
            about, k = {**line._asdict(), "prevalence": moderator.prevalence[label]}, taxonomy.names.index(label)
            about["worth"] = {
                name: worth(y[:, k] > 0.5, known[:, k], *_scores(parts[name], label))
                for name, (y, known) in truth.items()
            }
            record.setdefault(label, {})[str(seed)] = about
    return record


def _scores(rows: pa.Table, label: str) -> tuple[np.ndarray, ...]:
    return tuple(rows[f"{kind}_{label}"].to_numpy() for kind in ("logit", "prob"))
