"""How frequent harm is among posts that nobody labelled, from a bundle's decisions about them (`workbench score`).

The bundle's own labelled test posts say how it flags harmful and harmless posts; with that the share of flags, or the
probabilities, among other posts tell how many of those are harmful (`metrics.prevalence`). Both assume that each kind
of post looks as it did in the test, which the label shift test doubts where it can.

Of the answer follow a bundle whose probabilities hold there (`workbench bundle move`), and for training the weight of a
harmful post against a harmless one (`class_weight`), so that the training posts stand for those posts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from workbench.comparison.options import MAIN
from workbench.comparison.predictions import Run, load_run
from workbench.corpora.files import reading
from workbench.decisions import bundle
from workbench.decisions.moderator import Moderator
from workbench.errors import WorkbenchError
from workbench.features.store import FeatureStore
from workbench.metrics import prevalence as rates
from workbench.metrics.prevalence import Estimate

DOUBT = 0.01
"""Below this p of the label shift test nothing is to be concluded from the estimates."""


class Shift(NamedTuple):
    """What is estimated of one label's share among posts without labels.

    tested: its share among the labelled test posts; by_flags, by_probabilities: two estimates of its share there;
    p: of "only the share has changed"; class_weight: what a harmful training post counts for, against a harmless one,
    where training posts shall stand for those posts. NaN where it cannot be told.
    """

    label: str
    tested: float
    by_flags: Estimate
    by_probabilities: Estimate
    p: float
    class_weight: float

    @property
    def doubtful(self) -> bool:
        """Whether something beside the share has changed."""
        return self.p < DOUBT


_UNTOLD = Estimate(math.nan, math.nan, math.nan)


def shift(run: Run, seed: int, decided: pd.DataFrame, holds_at: Mapping[str, float | None]) -> list[Shift]:
    """Return the estimates of every label for which there are test posts of both kinds and decided posts.

    Test posts count by their weights, so that they stand for the site where they were sampled otherwise.

    decided: a column `p_<label>` each, NaN where a post was not read; holds_at: at which share probabilities hold.
    """
    scores, at = run.sets[MAIN], run.seeds.index(seed)
    shifts = []
    for k, label in enumerate(run.labels):
        prob, cut = scores.prob[at, :, k], run.thresholds[at, k]
        there = decided[f"p_{label}"].dropna().to_numpy(np.float64) if f"p_{label}" in decided else np.zeros(0)
        use = scores.known[:, k] & ~np.isnan(prob)
        y, prob, about = scores.y[use, k], prob[use], {"group": scores.group[use], "weight": scores.weight[use]}
        if not len(there) or not y.any() or y.all():
            continue
        base, trained = holds_at.get(label), float(run.prevalence[k])
        by_flags = _UNTOLD if math.isnan(cut) else rates.estimate_from_flags(y, prob >= cut, there >= cut, **about)
        known = base is not None and 0 < base < 1
        by_probabilities = rates.estimate_from_probabilities(there, base) if known else _UNTOLD
        weight = math.nan
        if 0 < by_flags.value < 1 and 0 < trained < 1:
            harmful, harmless = rates.importance_weights([1, 0], trained, by_flags.value)
            weight = float(harmful / harmless)
        tested = float(np.average(y, weights=about["weight"]))
        p = rates.label_shift_test(y, prob, there, **about)
        shifts.append(Shift(label, tested, by_flags, by_probabilities, p, weight))
    return shifts


def told(folder: Path, decisions: Path) -> str:
    """Return what `estimates` finds, as lines of text."""
    return "\n".join(_lines(estimates(folder, decisions)))


def estimates(folder: Path, decisions: Path) -> list[Shift]:
    """Return the estimates for a run's bundle and a file that `workbench score` made with it, for at least one label.

    Raises WorkbenchError where the folder is no bundle of a run, or the file holds decisions of another model.
    """
    head = bundle.read(folder)
    if not folder.name.isdecimal() or not (folder.parent.parent / "predictions.parquet").is_file():
        raise WorkbenchError(f"{folder} is not in a study's run, where its test posts are; name it as STUDY:MODEL")
    run = load_run(folder.parent.parent)
    decided = _decided(decisions, run.labels)
    if models := sorted(set(decided["model_id"].dropna()) - {head["model_id"]}):
        raise WorkbenchError(
            f"{decisions} holds decisions of {', '.join(models)}, not of {head['model_id']}; score the posts "
            "again with it"
        )
    shifts = shift(run, int(folder.name), decided, head["prevalence"])
    if not shifts:
        raise WorkbenchError(f"{decisions} holds no score of a label that has harmful and harmless test posts")
    return shifts


def shares(text: str) -> dict[str, float]:
    """Return prevalences by label from `label=share,...`; raises WorkbenchError for what is no such list.

    >>> shares("abuse=0.01, hate=0.002")
    {'abuse': 0.01, 'hate': 0.002}
    """
    parsed: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        label, _, share = (side.strip() for side in part.partition("="))
        if label in parsed:
            raise WorkbenchError(f"prevalence names {label!r} twice; give each label one share")
        try:
            parsed[label] = float(share)
        except ValueError:
            raise WorkbenchError(f"prevalence: {part!r} is not of the form LABEL=SHARE, such as abuse=0.01") from None
    return parsed


def move(folder: Path, prevalence: Mapping[str, float], out: Path) -> str:
    """Save the same bundle with probabilities that hold at other shares of positives, and return its new model id.

    Raises WorkbenchError for a label that it does not know, a share that is none, and a folder of something else.
    """
    if not prevalence:
        raise WorkbenchError("prevalence names no label; write it as in --prevalence abuse=0.01")
    if out.resolve().is_relative_to(folder.resolve()):
        raise WorkbenchError(f"{out} is the bundle itself or within it; name another folder for the new one")
    moderator = Moderator.load(folder, store=FeatureStore(None, "cpu")).serve_at_prevalence(prevalence)
    moderator.save(out)
    return f"{moderator.model_id}: {out}"


def _lines(shifts: list[Shift]) -> Iterator[str]:
    yield "shares among the posts without labels, with 95 % intervals that take these posts as independent"
    for row in shifts:
        yield f"{row.label}: {_percent(row.tested)} of the labelled test posts"
        yield f"  by flags          {_interval(row.by_flags)}"
        yield f"  by probabilities  {_interval(row.by_probabilities)}"
        if not math.isnan(row.p):
            so = "more than the share has changed, trust neither" if row.doubtful else "nothing speaks against it"
            yield f"  that only the share has changed: p = {row.p:.3f}, {so}"
    sure = {row.label: f"{row.by_flags.value:.3g}" for row in shifts if not row.doubtful}
    shares = ",".join(f"{label}={share}" for label, share in sure.items() if 0 < float(share) < 1)
    weights = ", ".join(
        f"{row.label}: {row.class_weight:.3g}" for row in shifts if not (row.doubtful or math.isnan(row.class_weight))
    )
    if weights:
        yield f"to train for it, among the options of a model: class_weight: {{{weights}}}"
    if shares:
        yield f"to serve there: workbench bundle move BUNDLE --prevalence {shares} -o FOLDER"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _interval(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "cannot be told"
    return f"{100 * estimate.value:.2f} % [{100 * estimate.lo:.2f}, {100 * estimate.hi:.2f}]"


def _decided(path: Path, labels: Sequence[str]) -> pd.DataFrame:
    """Return a file of decisions as a frame with `model_id` and what it has of `p_<label>`."""
    table, names = reading.read(path, ["model_id", *(f"p_{label}" for label in labels)])
    if "model_id" not in names:
        raise WorkbenchError(f"{path} has no column model_id; make it with `workbench score BUNDLE POSTS -o {path}`")
    return table.to_pandas()
