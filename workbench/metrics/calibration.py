"""From scores to probabilities that hold: four ways to move log-odds, the choice among them, and how far off they are.

A calibrator maps a model's logit to calibrated log-odds and always rises strictly, so no ranking changes and no two
posts become equal. In the order of how much they can bend:

- `none`: the logit is taken as it is.
- `temperature`: one number, log-odds = slope * logit (Guo, Pleiss, Sun and Weinberger 2017).
- `platt`: two, log-odds = slope * logit + offset with slope > 0 (Platt 1999, Probabilistic outputs for support vector
  machines; the loss is that of Lin, Lin and Weng 2007).
- `isotonic`: any rising curve (Zadrozny and Elkan 2002), by scikit-learn. Its steps would tie posts, so each step is
  one knot at the mean logit of its posts and log-odds run straight from knot to knot (the centred isotonic regression
  of Oron and Flournoy 2017); beyond the first and last knot they go on with the flattest slope that is allowed.

All are fitted to Platt's targets: the hard 0 and 1 are pulled in as if one more post of each class had been seen, so
that few posts cannot make anything infinitely sure.

A probability holds at one prevalence. `shift` moves log-odds to another (Elkan 2001; Saerens, Latinne and Decaestecker
2002), on the assumption that only the shares of harmful and harmless posts change and not what each kind looks like.
Posts that were drawn by anything else than their label break it; then weight (n,), what each post stands for, makes the
fit one to the posts that they were drawn from (importance weights: Shimodaira 2000).
Weighted posts count as Kish's (sum w)^2 / sum w^2 posts (1965), in the whole and of each class.

Open doubt: the error of `calibration_error` is never negative, so it is above 0 also where all probabilities hold: with
10 bins of 200 posts at 10 % by about 0.016.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from workbench.metrics.classification import probabilities, ratio, select
from workbench.metrics.intervals import group_codes
from workbench.metrics.shares import kish
from workbench.metrics.table import METRICS

ENOUGH = 10  # posts of each class below which two numbers are not fitted
ENOUGH_TO_BEND = 50  # groups of each class below which no curve is fitted
FOLDS = 5
# Per standard deviation of the score, so its scale does not matter (a hinge's margins, distances): a score that says
# nothing gets the flattest line, never one that turns the order round.
SLOPES = (0.01, 100.0)


class Line(NamedTuple):
    """Calibrated log-odds = slope * logit + offset.

    `note` says why it is the identity, None where it was fitted; method is none, temperature or platt; `chosen` is the
    record of `choose_calibrator`.
    """

    slope: float
    offset: float
    note: str | None = None
    method: str = "platt"
    chosen: dict[str, Any] | None = None

    def __call__(self, logit) -> np.ndarray:
        """Return calibrated log-odds in float64, NaN where the logit is."""
        return self.slope * np.asarray(logit, dtype=np.float64) + self.offset

    @property
    def numbers(self) -> list[Any]:
        """What changes a score."""
        return [self.slope, self.offset]

    @property
    def words(self) -> str:
        """What it does, or why it does nothing."""
        if self.method == "temperature":
            return f"temperature: {self.slope:.2f} x log-odds"
        return self.note or ("none" if self.method == "none" else f"{self.slope:.2f} x log-odds {self.offset:+.2f}")


class Knots(NamedTuple):
    """Calibrated log-odds run straight between knots (logit, log-odds), both rising, and with slope `tail` beyond."""

    knots: list[list[float]]
    tail: float
    note: str | None = None
    method: str = "isotonic"
    chosen: dict[str, Any] | None = None

    def __call__(self, logit) -> np.ndarray:
        """Return calibrated log-odds in float64, NaN where the logit is."""
        logit, (x, z) = np.asarray(logit, dtype=np.float64), np.transpose(self.knots)
        return np.interp(logit, x, z) + self.tail * (logit - np.clip(logit, x[0], x[-1]))

    @property
    def numbers(self) -> list[Any]:
        """What changes a score."""
        return [self.knots, self.tail]

    @property
    def words(self) -> str:
        """What it does."""
        return f"isotonic with {len(self.knots)} knots"


Calibrator = Line | Knots
IDENTITY = Line(1.0, 0.0, method="none")


def calibrator(values: Mapping[str, Any]) -> Calibrator:
    """Return the calibrator whose `_asdict()` was saved as JSON.

    >>> calibrator({"slope": 2.0, "offset": 1.0})(3.0)
    np.float64(7.0)
    """
    return (Knots if "knots" in values else Line)(**values)


# ------------------------------------------------------------------------------------------------------------- fitting


def fit_temperature(y, logit, *, known=None, weight=None) -> Line:
    """Return the slope that makes logits (n,) into log-odds that hold for y (n,), by weight (n,); 0 stays 0.

    Rows whose logit is NaN are left out. It is the identity, with a note, where a class has fewer than `ENOUGH` posts
    or all logits are equal.

    >>> line = fit_temperature([0, 1, 1, 1] * 25 + [0, 0, 0, 1] * 25, [2.0] * 100 + [-2.0] * 100)
    >>> round(line.slope, 2)  # 75 of 100 at 2, pulled in a little from log(3) / 2 = 0.55
    0.54
    """
    y, logit, weight, note = _fit_for(y, logit, known, weight)
    if note:
        return IDENTITY._replace(note=note)
    target, bounds = _targets(y, weight), np.log(np.array(SLOPES) / np.std(logit))
    optimum = minimize_scalar(
        lambda log_slope: np.average(_loss(target, np.exp(log_slope) * logit), weights=weight),
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-9},
    )
    return Line(float(np.exp(optimum.x)), 0.0, method="temperature")


def fit_platt(y, logit, *, known=None, weight=None) -> Line:
    """Return the line that makes logits (n,) into log-odds that hold for y (n,), by weight (n,).

    NaN logits are left out. It is the identity, with a note, where a class has fewer than `ENOUGH` posts or all logits
    are equal.

    >>> line = fit_platt([0, 1] * 50, [-1.0, 1.0] * 50)  # every post is told rightly: as steep as 50 + 50 posts allow
    >>> round(float(expit(line(1.0))), 3)  # (50 + 1) / (50 + 2)
    0.981
    """
    y, logit, weight, note = _fit_for(y, logit, known, weight)
    if note:
        return IDENTITY._replace(note=note)
    centre, spread = float(np.median(logit)), float(np.std(logit))
    x, target = (logit - centre) / spread, _targets(y, weight)

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        z = parameters[0] * x + parameters[1]
        off = expit(z) - target
        return np.average(_loss(target, z), weights=weight), np.average([off * x, off], axis=1, weights=weight)

    start = np.array([1.0, np.log(np.divide(*np.add(_totals(y, weight), 1)))])
    bounds = [SLOPES, (None, None)]
    optimum = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-9}
    ).x
    slope = float(optimum[0] / spread)
    return Line(slope, float(optimum[1] - slope * centre))


def fit_isotonic(y, logit, *, known=None, weight=None) -> Calibrator:
    """Return the rising curve that makes logits (n,) into log-odds that hold for y (n,), by weight (n,).

    NaN logits are left out. It is the identity, with a note, where a class has fewer than `ENOUGH` posts or all logits
    are equal.

    >>> curve = fit_isotonic([0] * 48 + [1] * 2 + [0] * 10 + [1] * 40, [-1.0] * 50 + [1.0] * 50)
    >>> expit(curve([-1.0, 1.0])).round(2)  # 2 and 40 of 50, pulled in
    array([0.06, 0.79])
    """
    y, logit, weight, note = _fit_for(y, logit, known, weight)
    if note:
        return IDENTITY._replace(note=note)
    # rounded: sums in another order would else make two knots of one step
    level = np.round(IsotonicRegression().fit_transform(logit, _targets(y, weight), sample_weight=weight), 12)
    levels, step = np.unique(level, return_inverse=True)
    mass = np.ones(len(y)) if weight is None else weight
    centre = np.bincount(step, weights=mass * logit) / np.bincount(step, weights=mass)
    knots = np.stack([centre, np.log(levels) - np.log1p(-levels)], axis=1)
    return Knots(knots.tolist(), float(SLOPES[0] / np.std(logit)))


def _fit_for(y, logit, known, weight) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, str | None]:
    """Return y (n,) bool, logit and weight (n,) of the posts that count, and why nothing can be fitted, if so.

    The weights add up to Kish's number of posts; None stays None.
    """
    logit = np.asarray(logit, dtype=np.float64)
    seen = ~np.isnan(logit) if known is None else ~np.isnan(logit) & np.asarray(known, dtype=bool)
    y, logit, counted = select(y, logit, weight, seen)
    positives, negatives, note = int(kish(counted[y])), int(kish(counted[~y])), None
    weight = None if weight is None or not len(y) else counted * kish(counted) / counted.sum()
    if min(positives, negatives) < ENOUGH:
        worth = "validation has" if weight is None else "by their weights validation is worth"
        few = f"{worth} {positives} harmful and {negatives} other posts"
        note = f"not calibrated: {few}, and {ENOUGH} of each are needed"
    elif np.ptp(logit) == 0 or not np.std(logit) > 0:
        note = "not calibrated: all scores on validation are equal"
    return y, logit, weight, note


def _totals(y: np.ndarray, weight: np.ndarray | None) -> tuple[float, float]:
    """Return the weights of harmful and of other posts, their numbers where there are no weights."""
    return (y.sum(), (~y).sum()) if weight is None else (weight[y].sum(), weight[~y].sum())


def _targets(y: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Platt's targets (n,) for y (n,) bool."""
    positives, negatives = _totals(y, weight)
    return np.where(y, (positives + 1) / (positives + 2), 1 / (negatives + 2))


def _loss(target: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The log loss (n,) of log-odds z (n,)."""
    return np.logaddexp(0, z) - target * z


# ------------------------------------------------------------------------------------------------------------ choosing


def _fit_nothing(y, logit, *, known=None, weight=None) -> Line:
    return IDENTITY


METHODS = {"none": _fit_nothing, "temperature": fit_temperature, "platt": fit_platt, "isotonic": fit_isotonic}
"""Name -> fit, the simpler first."""


def choose_calibrator(y, logit, group=None, *, known=None, weight=None, method: str = "auto") -> Calibrator:
    """Return the calibrator of `method`, or with `auto` the simplest that holds about as well as the best on new posts.

    y, logit, known, weight, group (n,): without groups each post is its own. `auto` fits each method on four fifths of
    the groups and takes the log loss on the last fifth, five times over; among the methods whose loss exceeds the
    smallest by no more than one standard error of that excess (over groups) the simplest is taken and fitted on all
    posts (Breiman, Friedman, Olshen and Stone 1984, the one-standard-error rule, on paired differences). A curve needs
    `ENOUGH_TO_BEND` groups of each class to be tried. `chosen` keeps the losses in nats and says why.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=2000)
    >>> choose_calibrator(rng.random(2000) < expit(x), x / 3).method  # a score that is three times too timid
    'temperature'
    """
    if method != "auto":
        if method not in METHODS:
            raise ValueError(f"unknown calibration {method!r}; the choices are: auto, {', '.join(METHODS)}")
        return METHODS[method](y, logit, known=known, weight=weight)._replace(
            chosen={"why": f"the study asks for {method}"}
        )
    logit = np.asarray(logit, dtype=np.float64)
    seen = ~np.isnan(logit) if known is None else ~np.isnan(logit) & np.asarray(known, dtype=bool)
    if weight is not None:
        seen &= np.asarray(weight) > 0
        weight = np.asarray(weight, dtype=np.float64)[seen]
    y, logit = np.asarray(y)[seen].astype(bool), logit[seen]
    note = _fit_for(y, logit, None, weight)[3]
    if note:
        return IDENTITY._replace(note=note, chosen={"why": note})
    codes, _ = group_codes(np.arange(len(y)) if group is None else np.asarray(group)[seen])
    classes = [len(np.unique(codes[y])), len(np.unique(codes[~y]))]
    names = [name for name in METHODS if name != "isotonic" or min(classes) >= ENOUGH_TO_BEND]
    losses = _held_out(y, logit, codes, weight, names)
    means = np.average(losses, axis=1, weights=weight)
    best = int(np.argmin(means))
    excess = [_mean_and_error(loss - losses[best], codes, weight) for loss in losses]
    first = next(k for k, (mean, error) in enumerate(excess) if mean <= error)
    record = {
        "why": _why(names, best, first, excess),
        "groups": {"harmful": classes[0], "other": classes[1]},
        "log_loss": dict(zip(names, means.tolist(), strict=True)),
        "excess_error": {name: error for name, (_, error) in zip(names, excess, strict=True)},
    }
    return METHODS[names[first]](y, logit, weight=weight)._replace(chosen=record)


def _held_out(
    y: np.ndarray, logit: np.ndarray, codes: np.ndarray, weight: np.ndarray | None, names: list[str]
) -> np.ndarray:
    """Return each method's log loss (methods, n) for each post, fitted without the fold of the post's group."""
    fold = _folds(y, codes)[codes]
    losses = np.empty((len(names), len(y)))
    for k in range(FOLDS):
        out, mass = fold == k, None if weight is None else weight[fold != k]
        for m, name in enumerate(names):
            losses[m, out] = _loss(y[out], METHODS[name](y[~out], logit[~out], weight=mass)(logit[out]))
    return losses


def _folds(y: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the fold of each group (groups,); those with a harmful post are dealt out first, so each has its share."""
    groups = int(codes.max()) + 1
    harmful = np.bincount(codes, weights=y, minlength=groups) > 0
    shuffled = np.random.default_rng(0).permutation(groups)
    dealt = shuffled[np.argsort(~harmful[shuffled], kind="stable")]
    fold = np.empty(groups, dtype=int)
    fold[dealt] = np.arange(groups) % FOLDS
    return fold


def _mean_and_error(values: np.ndarray, codes: np.ndarray, weight: np.ndarray | None) -> tuple[float, float]:
    """Return the mean of values (n,) by weight and its standard error with groups as the independent units."""
    mass, groups = np.ones(len(values)) if weight is None else weight, len(np.unique(codes))
    mean = float(np.average(values, weights=weight))
    off = np.bincount(codes, weights=mass * (values - mean))
    return mean, float(np.sqrt(np.sum(off**2) * groups / max(groups - 1, 1)) / mass.sum())


def _why(names: list[str], best: int, first: int, excess: list[tuple[float, float]]) -> str:
    held = f"{names[best]} has the smallest log loss on held-out fifths of validation"
    if best == 0:
        return f"{held}, so the logit stays as it is"
    if best == first:
        return f"{held}, and nothing simpler comes within one standard error of it"
    mean, error = excess[first]
    return f"{held}, and {names[first]} is simpler and exceeds it by only {mean:.1e} ± {error:.1e}"


# ----------------------------------------------------------------------------------------- prevalence and what is wrong


def shift(prevalence: float, serving: float) -> float:
    """Return what to add to log-odds that hold at one prevalence so that they hold at another.

    >>> round(float(expit(0.0 + shift(0.5, 0.01))), 3)  # a coin flip among halves is a rare event among hundreds
    0.01
    """
    for share in (prevalence, serving):
        if not 0 < share < 1:
            raise ValueError(f"a prevalence must be above 0 and below 1, not {share:g}")
    return float(np.log(serving) - np.log1p(-serving) - np.log(prevalence) + np.log1p(-prevalence))


def reliability_curve(y, score, *, bins: int = 10, weight=None, known=None):
    """Return `predicted, observed, count`, each (k,), of k <= bins groups of about equally many posts by score.

    predicted and observed are the mean probability and the share of harmful posts of a group, count its posts. Equal
    scores stay in one group.

    >>> reliability_curve([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], bins=2)
    (array([0.25, 0.75]), array([0.5, 1. ]), array([2, 2]))
    """
    y, prob, weight = probabilities(y, score, weight, known)
    if not len(prob):
        return np.zeros(0), np.zeros(0), np.zeros(0, dtype=int)
    edges = np.unique(np.quantile(prob, np.linspace(0, 1, bins + 1)[1:-1], method="higher"))
    group = np.unique(np.searchsorted(edges, prob, side="right"), return_inverse=True)[1]
    total, count = np.bincount(group, weights=weight), np.bincount(group)
    return np.bincount(group, weights=weight * prob) / total, np.bincount(group, weights=weight * y) / total, count


def calibration_error(y, score, *, bins: int = 10, weight=None, known=None) -> float:
    """Return the mean distance of predicted and observed shares over groups of about equally many posts; NaN for none.

    The expected calibration error with groups of equal size (Naeini, Cooper and Hauskrecht 2015 with equal-mass bins).

    >>> calibration_error([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], bins=2)  # off by a quarter in both halves
    0.25
    """
    predicted, observed, count = reliability_curve(y, score, bins=bins, weight=weight, known=known)
    return float(ratio(np.sum(count * np.abs(predicted - observed)), count.sum()))


# ------------------------------------------------------------------------------------- what it did to probabilities

BINS = 10
MEASURES = {"calibration_error": calibration_error, "brier": METRICS["brier"], "log_loss": METRICS["log_loss"]}


def worth(y: np.ndarray, known: np.ndarray, logit: np.ndarray, prob: np.ndarray) -> dict[str, Any]:
    """Return what probabilities are worth before and after, each of MEASURES, with the counts they rest on.

    y, known, logit, prob (n,); posts that are unknown or have no score are left out, and None is what is undefined.
    `bins` are the numbers of posts in the groups of the calibration error (equal-mass, equal scores together).
    """
    use = known & ~np.isnan(prob) & ~np.isnan(logit)
    y, sides = y[use] > 0.5, {"before": expit(logit[use].astype(np.float64)), "after": prob[use]}
    measures: dict[str, Any] = {"n": int(use.sum()), "positives": int(y.sum())}
    for side, values in sides.items():
        measured = {name: function(y, values) for name, function in MEASURES.items()}
        measures[side] = {name: None if math.isnan(value) else value for name, value in measured.items()}
        measures[side]["bins"] = reliability_curve(y, values, bins=BINS)[2].tolist()
    return measures
