"""Thresholds chosen on validation for a named objective, with what they did there; none where none qualifies.

A threshold is a score that occurs, or one fixed beforehand; `score >= threshold` flags. The lowest score that occurs
flags everything, and flagging nothing is a choice too where an objective has a value for it (F1 of both classes, cost,
capacity). The numbers that go with a threshold were measured on the posts it was chosen on, so they flatter it a
little; the test set says what it is worth. An objective with `sure` asks for more: a precision or recall that holds on
new posts with that confidence (`guarantee`). Removal asks for it by default, since nobody looks at what is removed; a
precision that was merely seen on validation was missed on test nine times in ten.

The best F1 over all labels (`f1_micro`) is that of one threshold for the probabilities of all of them (Koyejo et al.
2015, "Consistent multilabel classification", NeurIPS), so rare labels, whose own few posts would choose at random,
share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from workbench.decisions.guarantee import hold, outlook
from workbench.decisions.objective import Chosen, Objective, Shares
from workbench.decisions.policy import LabelRule
from workbench.errors import WorkbenchError, unknown_label
from workbench.metrics.classification import counts_at_thresholds
from workbench.metrics.intervals import group_codes
from workbench.metrics.prevalence import share
from workbench.metrics.shares import few_groups
from workbench.schema import Options

DEFAULT, OUT_OF_DISTRIBUTION = "default", "out_of_distribution"
MIN_FLAGGED = 20  # a precision seen on fewer flagged posts promises nothing
_SLACK = 1e-12  # a limit is met when it is met up to rounding


class LabelObjectives(Options):
    """What the two thresholds of a label are chosen for; null: the action is never taken."""

    review: Objective | None = Field(Objective(f1="best"), description="What `review_at` is chosen for.")
    remove: Objective | None = Field(
        Objective(precision=0.9, sure=0.9),
        description="What `remove_at` is chosen for; nobody looks at what it removes.",
    )


def objectives(given: Mapping[str, Any], labels: Sequence[str], where: str = "policy") -> dict[str, LabelObjectives]:
    """Return the objectives of each label from `{label or "default": {review: ..., remove: ...}}`.

    What a label leaves out it takes from `default`, and what that leaves out has the built-in objective. What a policy
    asks beside thresholds (`out_of_distribution`) is passed over. Raises WorkbenchError for an unknown label or
    objective.
    """
    for name in given:
        if name not in (DEFAULT, OUT_OF_DISTRIBUTION, *labels):
            raise WorkbenchError(f"{where}: {unknown_label(name, (DEFAULT, *labels))}")
    shared, parsed = given.get(DEFAULT), {}
    LabelObjectives.parse(shared, f"{where}.{DEFAULT}")
    for label in labels:
        own = LabelObjectives.parse(given.get(label), f"{where}.{label}")  # says which entry is wrong
        named = {**(shared or {}), **(given.get(label) or {})}
        parsed[label] = LabelObjectives.parse(named, f"{where}.{label}") if named else own
    return parsed


def choose(
    prob: np.ndarray,
    y: np.ndarray,
    known: np.ndarray,
    wanted: Mapping[str, LabelObjectives],
    *,
    weight: np.ndarray | None = None,
    group: np.ndarray | None = None,
    expected: Sequence[float | None] | None = None,
) -> dict[str, LabelRule]:
    """Return the rule of each label of `wanted`, whose order is that of the columns.

    prob (n, n_labels): calibrated probabilities, NaN where a post could not be read; y, known of the same shape;
    weight (n,): how many of the site's posts each stands for; group (n,): near-duplicates share one, which matters
    where an objective is to hold for sure; expected (n_labels,): the share of harmful posts in training, which says
    where the proof of a precision should start. `remove_at` is searched at and above `review_at`.
    """
    posts = []
    for k in range(len(wanted)):
        use = known[:, k] & ~np.isnan(prob[:, k])
        some = (None if values is None else values[use] for values in (weight, group))
        share_in_training = expected[k] if expected is not None else None
        posts.append(_Posts(y[use, k] > 0.5, prob[use, k], *some, expected=share_in_training))
    reviews = _serve(posts, [objective.review for objective in wanted.values()], [0.0] * len(posts))
    floors = [review.at if review and review.at is not None else 0.0 for review in reviews]
    removes = _serve(posts, [objective.remove for objective in wanted.values()], floors)
    return {
        label: LabelRule(
            review_at=review.at if review else None,
            remove_at=remove.at if remove else None,
            review_for=review,
            remove_for=remove,
        )
        for label, review, remove in zip(wanted, reviews, removes, strict=True)
    }


def _serve(posts: Sequence[_Posts], wanted: Sequence[Objective | None], floors: Sequence[float]) -> list[Chosen | None]:
    """Return what serves each label's objective, labels with one over all labels served by the threshold they share."""
    shared = {
        objective: _Posts.of([some for some, own in zip(posts, wanted, strict=True) if own == objective]).find(
            objective
        )
        for objective in {own for own in wanted if own is not None and own.f1_micro}
    }
    return [
        some.hold(own, shared[own], floor) if own in shared else some.find(own, floor)
        for some, own, floor in zip(posts, wanted, floors, strict=True)
    ]


def shares(y: np.ndarray, flags: np.ndarray, group: np.ndarray, weight: np.ndarray | None = None) -> Shares:
    """Return precision and recall of flags (n,) bool with intervals by groups; y (n,) bool, group (n,), weight (n,).

    Weights count posts as the site has them. Few where one of both rests on few groups.
    """
    codes, _ = group_codes(group)
    weight = np.ones(len(y)) if weight is None else np.asarray(weight)
    caught, flagged, harmful = (np.bincount(codes, weights=weight * part) for part in (flags & y, flags, y))
    precision, recall = _interval(caught, flagged), _interval(caught, harmful)
    return Shares(precision=precision, recall=recall, few=few_groups(flagged) or few_groups(harmful))


def _interval(part: np.ndarray, whole: np.ndarray) -> tuple[float, ...] | None:
    """Return a share of group totals (groups,) with its interval, None without any posts."""
    found = share(part, whole)
    return None if np.isnan(found.value) else tuple(round(float(bound), 4) for bound in found)


class _Posts:
    """The validation posts of one label: y (n,) bool, prob (n,), and counts at each of k falling thresholds.

    The first threshold is infinite, as nothing may be flagged; the others are the scores that occur.
    """

    def __init__(
        self,
        y: np.ndarray,
        prob: np.ndarray,
        weight: np.ndarray | None,
        group: np.ndarray | None,
        *,
        expected: float | None = None,
    ) -> None:
        self.y, self.prob, self.n, self.group, self.expected = y, prob, len(y), group, expected
        self.weight = weight if weight is not None and (weight > 0).all() else None
        self.tp, self.fp, thresholds, self.positives, _ = counts_at_thresholds(y, prob)
        self.tp, self.fp, self.thresholds = np.r_[0, self.tp], np.r_[0, self.fp], np.r_[np.inf, thresholds]
        self.site = self.tp, self.fp, self.positives
        if self.weight is not None:
            tp, fp, _, positives, _ = counts_at_thresholds(y, prob, weight=weight)
            self.site = np.r_[0, tp], np.r_[0, fp], positives

    @classmethod
    def of(cls, labels: Sequence[_Posts]) -> _Posts:
        """Return the posts of several labels as those of one: a post counts once for each label that it knows."""
        weights = None if any(posts.weight is None for posts in labels) else [posts.weight for posts in labels]
        y, prob = (np.concatenate([getattr(posts, name) for posts in labels]) for name in ("y", "prob"))
        return cls(y, prob, None if weights is None else np.concatenate(weights), None)

    def hold(self, objective: Objective, shared: Chosen, floor: float) -> Chosen:
        """Return the threshold that was found for several labels, or `floor` where it is higher, as it is for one."""
        about = {"objective": objective, "posts": self.n, "harmful": int(self.positives)}
        if shared.at is None:
            return Chosen(**about, at=None, why=shared.why)
        return Chosen(**about, at=max(shared.at, floor), **self._did(max(shared.at, floor)))

    def find(self, objective: Objective | None, floor: float = 0.0) -> Chosen | None:
        """Return the threshold, at or above `floor`, that serves an objective; None without an objective."""
        if objective is None:
            return None
        tp, fp, positives = self.site if objective.weighted else (self.tp, self.fp, self.positives)
        about = {"objective": objective, "posts": self.n, "harmful": int(self.positives)}
        if objective.fixed is not None:
            return Chosen(**about, at=max(objective.fixed, floor), **self._did(max(objective.fixed, floor)))
        if objective.sure is not None and self.positives > 0:
            return self._surely(objective, floor, about)
        at = None
        if self.positives > 0:
            above = self.thresholds >= floor
            at = _best(objective, above, tp, fp, positives, self.tp + self.fp)
        if at is None:
            return Chosen(**about, at=None, why=self._why(objective, tp, fp, floor))
        if at == 0:
            over = f" from {floor:.3f} on" if floor else ""
            return Chosen(**about, at=None, nothing=True, why=f"no score that occurs{over} does as well")
        return Chosen(**about, at=float(self.thresholds[at]), **self._did(self.thresholds[at]))

    def _did(self, at: float) -> dict[str, Any]:
        """Return what a threshold did, as `Chosen` has it."""
        flags, group = self.prob >= at, np.arange(self.n) if self.group is None else self.group
        did = {"flagged": int(flags.sum()), "caught": int((flags & self.y).sum())}
        did["sample"] = shares(self.y, flags, group)
        if self.weight is not None and (self.weight != self.weight[:1]).any():
            did["site"] = shares(self.y, flags, group, self.weight)
        return did

    def _surely(self, objective: Objective, floor: float, about: dict[str, Any]) -> Chosen:
        """Return the threshold that is proven to serve an objective on new posts, with what the proof rests on."""
        kind, target = objective.kind, getattr(objective, objective.kind)
        given = {"sure": objective.sure, "group": self.group, "floor": floor, "expected": self.expected}
        held = hold(self.y, self.prob, kind=kind, target=target, **given)
        if held.at is not None:
            return Chosen(**about, at=held.at, why=held.why, **self._did(held.at))
        instead = outlook(self.y, self.prob, target=target, **given)._asdict() if kind == "precision" else {}
        return Chosen(**about, at=None, why=held.why, **instead)

    def _why(self, objective: Objective, tp: np.ndarray, fp: np.ndarray, floor: float) -> str:
        """Return why no threshold at or above `floor` serves an objective."""
        if not self.positives:
            return f"none of the {self.n:,} validation posts that know the label is harmful"
        over = f" from {floor:.3f} on" if floor else ""
        if not objective.precision:
            return f"no score on validation{over} gives {objective}"
        enough = (self.tp + self.fp >= MIN_FLAGGED) & (self.thresholds >= floor)
        if not enough.any():
            return f"fewer than {MIN_FLAGGED} validation posts are flagged{over}, too few for a precision"
        return f"the best precision on validation{over} is {(tp[enough] / (tp + fp)[enough]).max():.3f}"


def _best(
    objective: Objective, above: np.ndarray, tp: np.ndarray, fp: np.ndarray, positives: float, flagged: np.ndarray
) -> int | None:
    """Return the position among falling thresholds (k,) that serves an objective best; None where none does.

    The first flags nothing, the last everything. Precision and capacity take the lowest threshold that meets the limit,
    recall the highest; of equal values of F1 (one class's, the mean of both, that of all labels) or cost the highest
    threshold is taken, which flags the fewest posts. flagged (k,): posts as sampled.
    """
    if objective.precision is not None:
        fits = above & (tp >= objective.precision * (tp + fp) * (1 - _SLACK)) & (flagged >= MIN_FLAGGED)
        return int(np.flatnonzero(fits)[-1]) if fits.any() else None
    if objective.capacity is not None:
        most = objective.capacity.reviews_a_day / objective.capacity.posts_a_day
        fits = above & (tp + fp <= most * (tp[-1] + fp[-1]) * (1 + _SLACK))
        return int(np.flatnonzero(fits)[-1])  # flagging nothing always fits
    if objective.recall is not None:
        fits = above & (tp >= objective.recall * positives * (1 - _SLACK))
        # the highest that meets the limit; where it lies below the floor, the floor misses it
        first = np.flatnonzero(fits)
        return int(first[0]) if len(first) else None
    if objective.cost is not None:
        value = -(objective.cost.miss * (positives - tp) + objective.cost.alarm * fp)
    else:
        value = 2 * tp / (tp + fp + positives)
        if objective.f1_macro:
            passed = tp[-1] + fp[-1] - tp - fp  # of which positives - tp are harmful
            right = fp[-1] - fp
            value = (value + 2 * right / np.maximum(passed + fp[-1], 1e-300)) / 2
        else:
            above = above & (flagged > 0)  # to flag nothing has no precision, so no F1
    return int(np.argmax(np.where(above, value, -np.inf))) if above.any() else None
