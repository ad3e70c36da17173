"""How frequent harm is among posts that nobody labelled, from a bundle's decisions about them (`workbench score`).

The bundle's own labelled test posts say how it flags harmful and harmless posts; with that the share of flags, or the
probabilities, among other posts tell how many of those are harmful (`metrics.prevalence`). Both assume that each kind
of post looks as it does where the test posts come from, which the label shift test doubts where it can. Where these
were sampled by more than the label, that place is the site that their weights stand for, and no probability is taken at
its word: both estimates then compare means by weight, of flags and of probabilities. EM needs probabilities that hold,
and too few posts are heavy to prove that (of a label whose probabilities differ between sample and site its intervals
missed in 24 % of trials).

Of the answer follow a bundle whose probabilities hold there (`workbench bundle move`), and for training the weight of a
harmful post against a harmless one (`class_weight`), so that the training posts stand for those posts. Both are said
only where a ratio of shares leads there: not where the sample was drawn by more than the label, nor where the share may
be what it was. They are as precise as their intervals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from workbench.comparison.options import MAIN
from workbench.comparison.predictions import Run, Scores, load_run
from workbench.corpora import reading
from workbench.decisions import bundle
from workbench.decisions.drawn import OTHERWISE, Drawn
from workbench.decisions.moderator import Moderator
from workbench.errors import WorkbenchError
from workbench.features.store import FeatureStore
from workbench.metrics import prevalence as rates
from workbench.metrics.prevalence import Estimate

DOUBT = 0.01
"""Below this p of the label shift test nothing is to be concluded from the estimates."""
VALIDATION = "validation"
_UNTOLD = Estimate(math.nan, math.nan, math.nan)
_FEW = "at the site's mix a few of the {} harmful test posts decide, so label more of the site's posts"


class Labelled(NamedTuple):
    """Test posts (n,) of one label that the bundle read: y, prob, weight, group, and the threshold or NaN."""

    y: np.ndarray
    prob: np.ndarray
    weight: np.ndarray
    group: np.ndarray
    threshold: float

    @classmethod
    def of(cls, scores: Scores, seed: int, label: int, threshold: float) -> Labelled:
        """Return those of one set of a run, by the places of the seed and the label."""
        prob = scores.prob[seed, :, label]
        use = scores.known[:, label] & ~np.isnan(prob)
        return cls(scores.y[use, label], prob[use], scores.weight[use], scores.group[use], threshold)

    @property
    def weighted(self) -> bool:
        """Whether they were sampled otherwise than the site has them."""
        return bool(len(self.weight)) and not rates.drawn_by_label(np.zeros(len(self.weight)), self.weight)

    @property
    def by_label(self) -> bool:
        """Whether the label alone decided what was sampled."""
        return rates.drawn_by_label(self.y, self.weight)


class Shift(NamedTuple):
    """What is estimated of one label's share among posts without labels.

    posts: the labelled test posts; drawn: how validation posts were drawn, None where that is not recorded; by_flags,
    by_probabilities: two estimates of the share there, NaN where it cannot be told, and `why` where that has a reason;
    p: of "only the share has changed"; holds_at: the share at which the bundle's probabilities hold, None where it is
    not known or no ratio of shares leads from there to other posts; class_weight: what a harmful training post counts
    for, against a harmless one, where training posts shall stand for those posts.
    """

    label: str
    posts: Labelled
    drawn: Drawn | None
    by_flags: Estimate = _UNTOLD
    by_probabilities: Estimate = _UNTOLD
    p: float = math.nan
    holds_at: float | None = None
    class_weight: Estimate = _UNTOLD
    why: str = ""

    @property
    def tested(self) -> float:
        """The share among the labelled test posts, by their weights."""
        return float(np.average(self.posts.y, weights=self.posts.weight))

    @property
    def doubtful(self) -> bool:
        """Whether something beside the share has changed."""
        return self.p < DOUBT

    @property
    def answered(self) -> bool:
        """Whether there is an estimate that nothing speaks against."""
        return not (self.doubtful or math.isnan(self.by_flags.value))

    @property
    def moved(self) -> bool:
        """Whether the share is another one than that at which the probabilities hold, and a ratio leads there."""
        estimate, base = self.by_flags, self.holds_at
        return self.answered and base is not None and not estimate.lo <= base <= estimate.hi


def shift(run: Run, seed: int, decided: pd.DataFrame, head: Mapping[str, Any]) -> list[Shift]:
    """Return the estimates of every label for which there are test posts of both kinds and decided posts.

    decided: a column `p_<label>` each, NaN where a post was not read; head: that of the bundle, of which `prevalence`
    and `drawn` tell where its probabilities hold.
    """
    at, shifts = run.seeds.index(seed), []
    for k, label in enumerate(run.labels):
        there = decided[f"p_{label}"].dropna().to_numpy(np.float64) if f"p_{label}" in decided else np.zeros(0)
        posts = Labelled.of(run.sets[MAIN], at, k, float(run.thresholds[at, k]))
        if not len(there) or not posts.y.any() or posts.y.all():
            continue
        saved = head.get("drawn", {}).get(label)
        found = estimated(label, posts, there, None if saved is None else Drawn.parse(saved))
        if posts.by_label:
            found = found._replace(holds_at=head["prevalence"].get(label))
            found = found._replace(class_weight=_class_weight(float(run.prevalence[k]), found.by_flags))
        shifts.append(found)
    return shifts


def estimated(label: str, posts: Labelled, there: np.ndarray, drawn: Drawn | None) -> Shift:
    """Return what test posts of both kinds and the probabilities (m,) of other posts tell of a label's share there."""
    y, about = posts.y, {"group": posts.group, "weight": posts.weight}
    found = Shift(label, posts, drawn)
    if not posts.by_label and rates.rests_on_few(posts.weight[y], posts.group[y]):
        return found._replace(why=_FEW.format(int(y.sum())))
    if not math.isnan(posts.threshold):
        flags = (flagged(posts.prob, posts.threshold), flagged(there, posts.threshold))
        found = found._replace(by_flags=rates.estimate_from_flags(y, *flags, **about))
    if posts.by_label:
        by_probabilities = rates.estimate_from_probabilities(there, posts.prob, group=posts.group)
    else:
        by_probabilities = rates.estimate_from_flags(y, posts.prob, there, **about)
    p = rates.label_shift_test(y, posts.prob, there, **about)
    return found._replace(by_probabilities=by_probabilities, p=p)


def flagged(prob: np.ndarray, threshold: float) -> np.ndarray:
    """Return which posts are flagged (n,)."""
    return prob >= threshold


def _class_weight(trained: float, estimate: Estimate) -> Estimate:
    """Return what a harmful training post counts for against a harmless one, at each end of an estimated share."""
    if not (0 < trained < 1 and 0 < estimate.value < 1):
        return _UNTOLD
    odds = [share / (1 - share) if share < 1 else math.inf for share in estimate]
    return Estimate(*(float(there * (1 - trained) / trained) for there in odds))


def told(folder: Path, decisions: Path) -> str:
    """Return what `estimates` finds, as lines of text."""
    return "\n".join(_lines(estimates(folder, decisions)))


def estimates(folder: Path, decisions: Path) -> list[Shift]:
    """Return the estimates for a run's bundle and a file that `workbench score` made with it, for at least one label.

    Raises WorkbenchError where the folder is no bundle of a run, or the file holds decisions of another model.
    """
    head = bundle.read(folder)
    if not _in_run(folder):
        raise WorkbenchError(f"{folder} is not in a study's run, where its test posts are; name it as STUDY:MODEL")
    run = load_run(folder.parent.parent)
    decided = _decided(decisions, run.labels)
    if models := sorted(set(decided["model_id"].dropna()) - {head["model_id"]}):
        raise WorkbenchError(
            f"{decisions} holds decisions of {', '.join(models)}, not of {head['model_id']}; score the posts "
            "again with it"
        )
    shifts = shift(run, int(folder.name), decided, head)
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


def move(folder: Path, prevalence: Mapping[str, float], out: Path, *, site: bool = False) -> str:
    """Save the same bundle with other probabilities, and return its new model id and what is to be known of it.

    They hold at other shares of positives, or for `site` where posts are as validation's weights say. Raises
    WorkbenchError for a label that it does not know, a share that is none, a folder of something else, and where
    probabilities would not hold.
    """
    if site == bool(prevalence):
        raise WorkbenchError("name either shares, as in --prevalence abuse=0.01, or --site, and not both")
    if out.resolve().is_relative_to(folder.resolve()):
        raise WorkbenchError(f"{out} is the bundle itself or within it; name another folder for the new one")
    moderator = Moderator.load(folder, store=FeatureStore(None, "cpu"))
    notes = []
    if site:
        moderator = moderator.serve_at_site()
        notes = [f"{label} stays ({drawn.line.note})" for label, drawn in moderator.drawn.items() if drawn.line.note]
    else:
        unrecorded = [label for label in prevalence if label in moderator.labels and label not in moderator.drawn]
        _check_unrecorded(folder, unrecorded)
        moderator = moderator.serve_at_prevalence(prevalence)
        if unrecorded:
            told = "it is not recorded how validation was drawn, so this holds only if it was by the label alone"
            notes = [f"{', '.join(unrecorded)}: {told}"]
    moderator.save(out)
    return "\n".join([f"{moderator.model_id}: {out}", *notes])


def _check_unrecorded(folder: Path, labels: Sequence[str]) -> None:
    """Raise WorkbenchError where the run that a bundle lies in tells that validation was drawn by more than a label."""
    if not labels or not _in_run(folder):
        return
    run = load_run(folder.parent.parent)
    for label in set(labels) & set(run.labels):
        if not Labelled.of(run.sets[VALIDATION], 0, run.labels.index(label), math.nan).by_label:
            raise WorkbenchError(f"the probabilities of {label!r} cannot be moved: {OTHERWISE}")


def _in_run(folder: Path) -> bool:
    return folder.name.isdecimal() and (folder.parent.parent / "predictions.parquet").is_file()


def _lines(shifts: list[Shift]) -> Iterator[str]:
    yield "shares among the posts without labels, with 95 % intervals that take these posts as independent"
    for row in shifts:
        weighted = ", by their weights" if row.posts.weighted else ""
        yield f"{row.label}: {_percent(row.tested)} of the labelled test posts{weighted}"
        yield f"  by flags          {_interval(row.by_flags)}"
        yield f"  by probabilities  {_interval(row.by_probabilities)}"
        if row.why:
            yield f"  {row.why}"
        if not math.isnan(row.p):
            so = "more than the share has changed, trust neither" if row.doubtful else "nothing speaks against it"
            yield f"  that only the share has changed: p = {row.p:.3f}, {so}"
    if stay := [row.label for row in shifts if row.answered and row.holds_at is not None and not row.moved]:
        yield f"{', '.join(stay)}: the share may be that at which the probabilities hold, so nothing is to be moved"
    otherwise = [row for row in shifts if not row.posts.by_label]
    if hold := [row.label for row in otherwise if row.drawn and not (row.drawn.moves or row.drawn.line.note)]:
        yield f"{', '.join(hold)}: calibrated by weight the probabilities stay, so they hold at the site as they are"
    if refused := [row.label for row in otherwise if row.label not in hold]:
        yield f"{', '.join(refused)}: {OTHERWISE}"
    yield from _recommended(shifts)


def _recommended(shifts: list[Shift]) -> Iterator[str]:
    """Yield how to train and to serve for shares that have moved, each value as precise as its interval beside it."""
    trained = {row.label: row.class_weight for row in shifts if row.moved and not math.isnan(row.class_weight.value)}
    served = {row.label: row.by_flags for row in shifts if row.moved}
    weights, shares = ({label: _rounded(of) for label, of in some.items()} for some in (trained, served))
    if weights := {label: weight for label, weight in weights.items() if float(weight) > 0}:
        listed = ", ".join(f"{label}: {weight}" for label, weight in weights.items())
        ends = ", ".join(f"{label} {_ends(trained[label])}" for label in weights)
        yield f"to train for it, among the options of a model: class_weight: {{{listed}}}  # 95 %: {ends}"
    if shares := {label: share for label, share in shares.items() if 0 < float(share) < 1}:
        listed = ",".join(f"{label}={share}" for label, share in shares.items())
        ends = ", ".join(f"{label} {_ends(served[label])}" for label in shares)
        yield f"to serve there: workbench bundle move BUNDLE --prevalence {listed} -o FOLDER  # 95 %: {ends}"


def _digits(estimate: Estimate) -> int:
    """Return how many digits after the point an interval carries: to the first one of its half width."""
    half = (estimate.hi - estimate.lo) / 2
    return max(-math.floor(math.log10(half)), 0) if 0 < half < math.inf else 0


def _rounded(estimate: Estimate) -> str:
    """Return the value to the digits that its interval carries.

    >>> _rounded(Estimate(0.00194, 0.0, 0.0122)), _rounded(Estimate(0.0778, 0.0621, 0.0954))
    ('0.002', '0.08')
    """
    return f"{estimate.value:.{_digits(estimate)}f}"


def _ends(estimate: Estimate) -> str:
    """Return the interval's ends with a digit more than its value has."""
    digits = _digits(estimate) + 1
    return f"{estimate.lo:.{digits}f} to {estimate.hi:.{digits}f}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _interval(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "cannot be told"
    return f"{100 * estimate.value:.2f} % [{100 * estimate.lo:.2f}, {100 * estimate.hi:.2f}]"


def _decided(path: Path, labels: Sequence[str]) -> pd.DataFrame:
    """Return a file of decisions as a frame with `model_id` and what it has of `p_<label>`."""
    table, names, *_ = reading.read(path, ["model_id", *(f"p_{label}" for label in labels)])
    if "model_id" not in names:
        raise WorkbenchError(f"{path} has no column model_id; make it with `workbench score BUNDLE POSTS -o {path}`")
    return table.to_pandas()
