"""Our thresholds for those in use at another system: the same share flagged, the same precision, the same recall.

Both are compared on the posts that both scored and that know the label, counted by their weights. A threshold of ours
is the lowest that flags at most as many posts, the lowest that is at least as precise (with MIN_FLAGGED flagged posts,
as for any precision that a policy asks for), or the highest that catches at least as much. Its interval is that of the
middle 1 - alpha of resamples of whole groups, in each of which the other system's numbers are resampled with it. What
both systems do is measured at the thresholds found, so its intervals say nothing of how these were found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from scipy import special

from workbench.comparison.options import VALIDATION, CompareOptions
from workbench.comparison.predictions import Run, Scores
from workbench.comparison.resampled import spanned
from workbench.comparison.rows.values import CountedInterval
from workbench.decisions.thresholds import MIN_FLAGGED
from workbench.errors import WorkbenchError, unknown
from workbench.metrics import intervals
from workbench.metrics.classification import SLACK, ratio
from workbench.metrics.shares import few_groups, kish

MATCHES = ("share", "precision", "recall")
OWN = "own"  # the match of the threshold that our study chose, whatever the other system does
COVERS = 0.5  # of the validation posts must be scored by both, or thresholds are found on the test posts

# what is measured: which of (tn, fp, fn, tp) are its part and its whole
MEASURES = {
    "flagged": ((0, 1, 0, 1), (1, 1, 1, 1)),
    "precision": ((0, 0, 0, 1), (0, 1, 0, 1)),
    "recall": ((0, 0, 0, 1), (0, 0, 1, 1)),
    "false_positive_rate": ((0, 1, 0, 0), (1, 1, 0, 0)),
}
_PARTS, _WHOLES = (np.array([sides[i] for sides in MEASURES.values()], dtype=float) for i in (0, 1))


class Cut(NamedTuple):
    """A threshold in use at the other system: as `given` in its own scale, None where it answers yes or no.

    kind: what it is compared with, the run's log-odds `logit` or its calibrated `prob`; at: the threshold there. prob:
    whether log-odds stand for probabilities in that system's own scale.
    """

    label: str
    given: float | None
    at: float
    kind: Literal["logit", "prob"] = "logit"
    prob: bool = True

    def __str__(self) -> str:
        return self.label if self.given is None else f"{self.label}={self.given:g}"

    def own(self, scores: np.ndarray) -> np.ndarray:
        """Return scores (n,) of `kind` in the system's own scale."""
        return special.expit(scores) if self.kind == "logit" and self.prob else scores


class Bounds(NamedTuple):
    """A number with its interval, NaN where there is none."""

    value: float
    lo: float
    hi: float


class Disagreed(NamedTuple):
    """A post that one system flags and the other passes: what theirs says, our probability, and what the label is."""

    post_id: str
    theirs: bool
    prob: float
    y: bool


class Matched(NamedTuple):
    """Our threshold for one of theirs: by which match, or why there is none; what it does, minus theirs, and where not.

    disagreed: the posts on which the systems differ, theirs' yes before its no, each side's most confident first.
    """

    match: str
    threshold: Bounds | None
    why: str = ""
    does: Mapping[str, CountedInterval] = MappingProxyType({})
    minus: Mapping[str, Bounds] = MappingProxyType({})
    disagreed: tuple[Disagreed, ...] = ()


class Replaced(NamedTuple):
    """One threshold of theirs: what it does on `posts` of the test set, and our thresholds for it.

    chosen_on: the set that ours were found on, of so many posts; covered: the share of validation posts that both
    scored; weighted: whether posts stand for unequal numbers of the site's.
    """

    cut: Cut
    posts: int
    harmful: int
    does: Mapping[str, CountedInterval]
    matches: tuple[Matched, ...]
    chosen_on: str
    chosen_posts: int
    covered: float
    weighted: bool


@dataclass(frozen=True)
class CommonPosts:
    """Posts (n,) of one set that both systems scored.

    y, theirs: bool, what they are and what their system flags; scores of theirs in its own scale; prob of ours.
    """

    y: np.ndarray
    theirs: np.ndarray
    scores: np.ndarray
    prob: np.ndarray
    weight: np.ndarray
    codes: np.ndarray
    groups: int
    post_id: np.ndarray

    @classmethod
    def of(cls, theirs: Scores, ours: Scores, k: int, cut: Cut) -> CommonPosts:
        """Return those of the label at place k, by the first training of each."""
        scores, prob = getattr(theirs, cut.kind)[0, :, k], ours.prob[0, :, k]
        use = theirs.known[:, k] & ~np.isnan(scores) & ~np.isnan(prob)
        codes, groups = intervals.group_codes(theirs.group[use])
        scores, weight, ids = scores[use], theirs.weight[use], theirs.post_id[use]
        return cls(theirs.y[use, k], scores >= cut.at, cut.own(scores), prob[use], weight, codes, groups, ids)

    @cached_property
    def _curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Our order (n,) from the highest score on, and where in it each score that occurs ends."""
        order = np.argsort(-self.prob, kind="stable")
        ranked = self.prob[order]
        return order, np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])

    def matching(self, W: np.ndarray) -> np.ndarray:
        """Return our thresholds (MATCHES, draws) under weights of groups (groups, draws), NaN where there is none."""
        order, last = self._curve
        drawn = W[self.codes]
        weight = drawn * self.weight[:, None]
        harm = weight * self.y[:, None]
        flagged, caught = (np.cumsum(of[order], axis=0)[last] for of in (weight, harm))
        counted = np.cumsum(drawn[order], axis=0)[last]
        theirs, their_catch = self.theirs @ weight, self.theirs @ harm
        precision, some = ratio(their_catch, theirs), their_catch > 0
        there = np.diff(counted, axis=0, prepend=0) > 0  # a score of groups that are not drawn does not occur
        fits = (
            there & (flagged <= theirs * (1 + SLACK)),
            there & (caught >= precision * flagged * (1 - SLACK)) & (counted >= MIN_FLAGGED) & some,
            (caught >= their_catch * (1 - SLACK)) & some,
        )
        at = [*(len(last) - 1 - np.argmax(fit[::-1], axis=0) for fit in fits[:2]), np.argmax(fits[2], axis=0)]
        values = self.prob[order][last]
        return np.stack([np.where(fit.any(axis=0), values[i], np.nan) for fit, i in zip(fits, at, strict=True)])

    def most_precise(self) -> float:
        """Return the best precision of ours among thresholds that flag MIN_FLAGGED posts, NaN where none does."""
        order, last = self._curve
        weight = self.weight[order]
        precision = ratio(np.cumsum(weight * self.y[order]), np.cumsum(weight))[last][last + 1 >= MIN_FLAGGED]
        return float(np.nanmax(precision)) if len(precision) else np.nan

    def why(self, match: str) -> str:
        """Return why there is no threshold of ours."""
        if match == "share":
            return "the posts that tie at our highest score are more than it flags"
        if not self.y.any():
            return "none of the posts is harmful"
        if not (self.y & self.theirs).any():
            return "it catches no harmful post"
        best = self.most_precise()
        if np.isnan(best):
            return f"there are fewer than the {MIN_FLAGGED} flagged posts that a precision needs"
        precision = float(self.weight[self.y & self.theirs].sum() / self.weight[self.theirs].sum())
        return f"no threshold of ours reaches its precision of {precision:.3f}; the best is {best:.3f}"

    def check(self, cut: Cut, vendor: str, where: str) -> None:
        """Raise WorkbenchError where a threshold of theirs flags none of the posts or all."""
        if self.theirs.any() and not self.theirs.all():
            return
        how = "every one" if self.theirs.all() else "none"
        spans, other = "", "name another test set with --test"
        if cut.given is not None:
            spans = f" (its scores go from {self.scores.min():.3g} to {self.scores.max():.3g})"
            other = "name another threshold, or another test set with --test"
        raise WorkbenchError(
            f"{vendor} at {cut} flags {how} of the {len(self.y):,} posts of {where} that both scored{spans}, so "
            f"nothing can be matched to it; {other}"
        )


def replaced(theirs: Run, ours: Run, test: str, cut: Cut, settings: CompareOptions) -> Replaced:
    """Return our thresholds for one of theirs, and what both do on a test set; both runs are of one seed.

    Thresholds are found on validation where both scored at least COVERS of it, else on the test posts themselves.
    Raises WorkbenchError for a label that theirs does not score, without common posts, and where theirs flags none of
    them or all.
    """
    k = ours.labels.index(cut.label)
    _check_scored(theirs, test, cut, k)
    measured = CommonPosts.of(theirs.sets[test], ours.sets[test], k, cut)
    where = f"{test!r}"
    if not len(measured.y):
        raise WorkbenchError(
            f"{theirs.alias} and {ours.alias} have no post of {where} in common that both scored and whose "
            f"{cut.label} is known; `workbench run` with scores of the same posts, or name another set with --test"
        )
    measured.check(cut, theirs.alias, where)
    chosen_on, found, covered = test, measured, 0.0
    if VALIDATION in theirs.sets:
        validation = CommonPosts.of(theirs.sets[VALIDATION], ours.sets[VALIDATION], k, cut)
        covered = float(ratio(len(validation.y), int(theirs.sets[VALIDATION].known[:, k].sum())))
        if covered >= COVERS:
            validation.check(cut, theirs.alias, VALIDATION)
            chosen_on, found = VALIDATION, validation
    side = _Side(measured, measured.theirs, settings)
    own = Bounds(float(ours.thresholds[0, k]), np.nan, np.nan)
    matches = [
        _matched(found, match, draws, side) for match, draws in zip(MATCHES, _drawn(found, settings), strict=True)
    ]
    matches += [] if np.isnan(own.value) else [_measured(OWN, own, side)]
    return Replaced(
        cut=cut,
        posts=len(measured.y),
        harmful=int(measured.y.sum()),
        does=side.does,
        matches=tuple(matches),
        chosen_on=chosen_on,
        chosen_posts=len(found.y),
        covered=covered,
        weighted=bool((measured.weight != measured.weight[:1]).any()),
    )


def _check_scored(theirs: Run, test: str, cut: Cut, k: int) -> None:
    """Raise WorkbenchError unless their system scored some post of a test set for a label."""
    scored = ~np.isnan(theirs.sets[test].logit).all(axis=(0, 1))
    if not scored[k]:
        labels = [label for label, some in zip(theirs.labels, scored, strict=True) if some]
        has = unknown("label that it scored", cut.label, labels) if labels else "it scored no post of it"
        raise WorkbenchError(f"{theirs.alias} has no scores of {cut.label!r} on {test!r}: {has}")


def _drawn(posts: CommonPosts, settings: CompareOptions) -> np.ndarray:
    """Return our thresholds (MATCHES, 1 + resamples), the sample's own first."""
    about = {"seed": settings.seed, "rows": len(posts.y)}
    return intervals.bootstrap(posts.matching, posts.groups, settings.resamples, **about)


def _matched(posts: CommonPosts, match: str, draws: np.ndarray, side: _Side) -> Matched:
    if np.isnan(draws[0]):
        return Matched(match, None, posts.why(match))
    _, defined = intervals.defined_draws(draws)
    ends = (side.settings.alpha / 2, 1 - side.settings.alpha / 2)
    low, high = np.quantile(defined, ends) if len(defined) else (np.nan, np.nan)
    return _measured(match, Bounds(float(draws[0]), float(low), float(high)), side)


def _measured(match: str, threshold: Bounds, theirs: _Side) -> Matched:
    """Return what a threshold of ours does beside theirs on the same posts."""
    posts = theirs.posts
    ours = _Side(posts, posts.prob >= threshold.value, theirs.settings)
    differ = np.flatnonzero(posts.theirs != ours.flagged)
    # the surer we are that theirs is wrong the earlier: their yes by our lowest, their no by our highest score
    order = sorted(differ, key=lambda i: (not posts.theirs[i], posts.prob[i] * (1 if posts.theirs[i] else -1)))
    disagreed = tuple(
        Disagreed(str(posts.post_id[i]), bool(posts.theirs[i]), float(posts.prob[i]), bool(posts.y[i])) for i in order
    )
    return Matched(match, threshold, "", ours.does, ours.minus(theirs), disagreed)


class _Side:
    """What flags (n,) of one system do on posts, with the draws that the other system shares."""

    def __init__(self, posts: CommonPosts, flagged: np.ndarray, settings: CompareOptions) -> None:
        self.posts, self.flagged, self.settings = posts, flagged, settings
        counts = intervals.group_confusions(posts.y, flagged, posts.codes, posts.groups, weight=posts.weight)
        self.part, self.whole = _PARTS @ counts, _WHOLES @ counts  # (MEASURES, groups)
        self.draws = intervals.bootstrap(self._ratios, posts.groups, settings.resamples, seed=settings.seed)
        self.does = {name: self._interval(i) for i, name in enumerate(MEASURES)}

    def _ratios(self, W: np.ndarray) -> np.ndarray:
        return ratio(self.part @ W, self.whole @ W)

    def _interval(self, i: int) -> CountedInterval:
        totals = self.part[i], self.whole[i]
        about = {"alpha": self.settings.alpha, "share": True, "totals": totals, "units": kish(totals[1])}
        few = few_groups(totals[1], self.settings.few)
        return CountedInterval(**spanned(self.draws[i], **about), few=few)

    def minus(self, other: _Side) -> dict[str, Bounds]:
        """Return by measure this side minus another, with the interval of the paired difference."""
        blocks = (
            intervals.leave_out(side._ratios, self.posts.groups, seed=self.settings.seed) for side in (self, other)
        )
        found, left_out = {}, np.subtract(*blocks)
        for i, name in enumerate(MEASURES):
            about = {"alpha": self.settings.alpha, "own": tuple(_ends(side.does[name]) for side in (self, other))}
            row = intervals.recipe_difference(self.draws[i], other.draws[i], left_out[i], **about)
            found[name] = Bounds(row.delta, row.lo, row.hi)
        return found


def _ends(row: CountedInterval) -> tuple[float, float]:
    return tuple(np.nan if end is None else end for end in (row.lo, row.hi))
