"""Which n-grams are counted and how their weights are learnt: chosen by cross-validation on the training posts.

All labels share the n-grams, which are chosen by mean average precision over the labels; the power of the log-count
ratios and C are each label's own, chosen by its own. What is scored was learnt on the other folds, which no group of
posts crosses. Texts are counted once, with the widest runs; every candidate is a choice of columns. The grid is walked
one option after the other, from what stands first in it: 18 trials at most for a label, where there are 576.

A label is chosen for where enough training posts have it and enough have not, whichever fold is left out; others get
what is FIXED. Of a large corpus SAMPLE posts choose.
Open doubts: which n-grams there are, and their idf, are known from all folds (no label is); the least count is meant of
the training posts, and chosen on the sample's; a rare label of a large corpus may have too few posts in the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from workbench.metrics.classification import average_precision
from workbench.models import two_classes
from workbench.models.fit.choose import enough
from workbench.models.fit.targets import fit_shares
from workbench.models.text.ngrams import Ngrams, by_ratios, log_count_ratios, log_weighted, unit_rows

GRID: dict[str, tuple[Any, ...]] = {
    "ngrams": ((1, 2), (1, 1), (1, 3)),
    "char_ngrams": ((2, 5), (3, 5), (3, 6), None),
    "min_df": (2, 1, 5, 10),
    "ratios": (0.5, 1.0, 0.0),
    "C": (1.0, 0.3, 3.0, 10.0),
}
"""What is chosen from, beginning with the first of each."""
FIXED: dict[str, Any] = {
    "ngrams": (1, 2),
    "char_ngrams": (2, 5),
    "min_df": 2,
    "ratios": 1.0,
    "C": (0.3, 1.0, 3.0),
}
"""What stands where nothing is chosen; of several C validation chooses."""
FOLDS = 3
SAMPLE = 8000  # posts that choose
GAIN = 0.01  # of what average precision lacks to 1: what another candidate must make up to be taken
ROUGHLY = 0.1  # liblinear's tolerance while candidates are compared

Way = TypeVar("Way")
Regression = Callable[[int, float, int], LogisticRegression]
"""From a label, C and a number of posts to an untrained regression."""


class Vocabulary(NamedTuple):
    """Which n-grams are counted: shortest and longest run of words and of characters (None: none), least posts."""

    ngrams: tuple[int, int] | None
    char_ngrams: tuple[int, int] | None
    min_df: int

    def kinds(self) -> list[Ngrams]:
        """Return the kinds of n-grams, words first."""
        spans = {"word": self.ngrams, "char_wb": self.char_ngrams}
        return [Ngrams(analyzer, span) for analyzer, span in spans.items() if span]


class Weighting(NamedTuple):
    """How a label is learnt from n-grams: the power of log-count ratios, the inverse strength of the penalty."""

    ratios: float
    C: float


class WordRecipe(NamedTuple):
    """How posts are learnt from.

    ratios (n_labels,): each label's power; C (n_labels,): the strengths that validation chooses from, or the one that
    was chosen; worth: label's number -> the average precision it was chosen by.
    """

    vocabulary: Vocabulary
    ratios: tuple[float, ...]
    C: tuple[tuple[float, ...], ...]
    worth: dict[int, float]

    def record(self, names: Mapping[int, str]) -> dict[str, Any]:
        """Return it as plain JSON; names: number -> name of the labels that were learnt."""
        parts = self.vocabulary._asdict().items()
        shared = {name: list(value) if isinstance(value, tuple) else value for name, value in parts}
        worth = {name: round(self.worth[k], 4) for k, name in names.items() if k in self.worth}
        return {**shared, "ratios": {name: self.ratios[k] for k, name in names.items()}, "average_precision": worth}


class Posts(NamedTuple):
    """The posts that choose.

    texts (n_posts,): cleaned; y, known (n_posts, n_labels): what is learnt; truth, judged: the same, of what is scored;
    fold (n_posts,).
    """

    texts: Sequence[str]
    y: np.ndarray
    known: np.ndarray
    truth: np.ndarray
    judged: np.ndarray
    fold: np.ndarray

    def labels(self) -> list[int]:
        """Return the labels that can be chosen for."""
        able = np.array([enough(self.truth[self.judged[:, k], k]) for k in range(self.y.shape[1])])
        for part in np.unique(self.fold):
            rest = self.fold != part
            able &= two_classes(self.y[rest], self.known[rest])
        return np.flatnonzero(able).tolist()


def choose(posts: Posts, named: Mapping[str, Any], regression: Regression) -> WordRecipe:
    """Return the recipe for posts like these; named: options that are not to be chosen, C as several strengths."""
    fixed, grid = FIXED | dict(named), _grid(named)
    labels = posts.labels() if any(len(values) > 1 for values in grid.values()) else []
    vocabulary, best, worth = Vocabulary(*(fixed[name] for name in Vocabulary._fields)), {}, {}
    if labels:
        trials = _Trials(posts, grid, regression)
        vocabulary, best = _walk(trials, grid, labels)
        worth = {k: trials.worth(vocabulary, k, best[k]) for k in labels}
    every = range(posts.y.shape[1])
    ratios = tuple(best[k].ratios if k in best else fixed["ratios"] for k in every)
    strengths = tuple((best[k].C,) if k in best and "C" not in named else fixed["C"] for k in every)
    return WordRecipe(vocabulary, ratios, strengths, worth)


def _grid(named: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return what each option is chosen from: what is named alone, or GRID; never neither words nor characters."""
    grid = {name: (named[name],) if name in named else values for name, values in GRID.items()}
    if "C" in named:  # validation chooses of several, so until then the middle one stands for them
        grid["C"] = (sorted(named["C"])[len(named["C"]) // 2],)
    if grid["ngrams"] == (None,):
        grid["char_ngrams"] = tuple(span for span in grid["char_ngrams"] if span)
    return grid


def _walk(
    trials: _Trials, grid: Mapping[str, tuple[Any, ...]], labels: list[int]
) -> tuple[Vocabulary, dict[int, Weighting]]:
    """Return the best n-grams, and each label's best weighting: weightings, then n-grams, then weightings again."""
    vocabulary = Vocabulary(*(grid[name][0] for name in Vocabulary._fields))
    best = dict.fromkeys(labels, Weighting(grid["ratios"][0], grid["C"][0]))

    def mean(tried: Vocabulary) -> float:
        return float(np.mean([trials.worth(tried, k, best[k]) for k in labels]))

    def weigh() -> None:
        for k in labels:
            for name in Weighting._fields:
                values = grid[name] if name == "ratios" else _beside(best[k].C, grid["C"])
                ways = [best[k]._replace(**{name: value}) for value in values]
                best[k] = _better(best[k], ways, lambda way, k=k: trials.worth(vocabulary, k, way))

    weigh()
    for name in Vocabulary._fields:
        vocabulary = _better(vocabulary, [vocabulary._replace(**{name: value}) for value in grid[name]], mean)
    weigh()
    return vocabulary, best


def _better(now: Way, ways: Sequence[Way], worth: Callable[[Way], float]) -> Way:
    """Return the way that is worth most, or what there is now where that gains too little."""
    best = max(ways, key=worth)
    return best if worth(best) - worth(now) > GAIN * (1 - worth(now)) else now


def _beside(value: float, values: Sequence[float]) -> list[float]:
    """Return a value and its neighbours among values, in the order of numbers."""
    order = sorted(values)
    at = order.index(value)
    return order[max(at - 1, 0) : at + 2]


class _Trials:
    """Average precision of candidates on posts that their models do not know; each is computed once."""

    def __init__(self, posts: Posts, grid: Mapping[str, tuple[Any, ...]], regression: Regression) -> None:
        self.posts, self.regression = posts, regression
        self._worth: dict[tuple[Vocabulary, int, Weighting], float] = {}
        self._latest: tuple[Vocabulary, sparse.csr_array] | None = None
        counted = [
            _Counted.of(analyzer, grid[name], posts.texts)
            for analyzer, name in (("word", "ngrams"), ("char_wb", "char_ngrams"))
        ]
        self.counted = {"ngrams": counted[0], "char_ngrams": counted[1]}

    def worth(self, vocabulary: Vocabulary, k: int, weighting: Weighting) -> float:
        """Return the average precision of a label on the posts that judge it, each scored by the other folds."""
        key = (vocabulary, k, weighting)
        if key not in self._worth:
            self._worth[key] = self._scored(self._features(vocabulary), k, weighting)
        return self._worth[key]

    def _features(self, vocabulary: Vocabulary) -> sparse.csr_array:
        if self._latest is None or self._latest[0] != vocabulary:
            parts = [
                counted.columns(getattr(vocabulary, name), vocabulary.min_df)
                for name, counted in self.counted.items()
                if getattr(vocabulary, name)
            ]
            self._latest = vocabulary, unit_rows(sparse.csr_array(sparse.hstack(parts)))
        return self._latest[1]

    def _scored(self, x: sparse.csr_array, k: int, weighting: Weighting) -> float:
        posts = self.posts
        scores, judged = np.zeros(len(posts.fold)), posts.judged[:, k]
        for part in np.unique(posts.fold) if x.shape[1] else ():
            rows, mine = (posts.fold != part) & posts.known[:, k], (posts.fold == part) & judged
            own, held, y = x[rows], x[mine], posts.y[rows, k]
            if weighting.ratios:
                ratios = log_count_ratios(own, y) ** weighting.ratios
                own, held = by_ratios(own, ratios), by_ratios(held, ratios)
            # The dual is four times as fast and, so roughly solved, ranks as the primal does (LOG.md, 2026-12-01).
            model = self.regression(k, weighting.C, len(y)).set_params(dual=True, tol=ROUGHLY)
            scores[mine] = fit_shares(model, own, y).decision_function(held)
        return average_precision(posts.truth[judged, k], scores[judged])


class _Counted(NamedTuple):
    """The widest counts of one kind, weighed by idf: x (n_posts, n_ngrams), each column's length and posts."""

    x: sparse.csr_array
    length: np.ndarray
    posts: np.ndarray
    spans: int

    @classmethod
    def of(cls, analyzer: str, spans: Sequence[tuple[int, int] | None], texts: Sequence[str]) -> _Counted:
        given = [span for span in spans if span]
        if not given:
            return cls(sparse.csr_array((len(texts), 0)), np.zeros(0, int), np.zeros(0, int), 0)
        widest = Ngrams(analyzer, (min(span[0] for span in given), max(span[1] for span in given)))
        counts = widest.learn(list(texts), 1)
        length = [len(gram) if analyzer == "char_wb" else gram.count(" ") + 1 for gram in widest.vocabulary]
        posts = np.bincount(counts.indices, minlength=counts.shape[1])
        return cls(log_weighted(counts)[0], np.array(length, int), posts, len(given))

    def columns(self, span: tuple[int, int], min_df: int) -> sparse.csr_array:
        """Return the columns of runs in a span that so many posts have."""
        # A short word with its edges is a run of its own: lengths tell spans apart where these begin at 3 or below.
        kept = self.posts >= min_df
        if self.spans > 1:
            kept &= (self.length >= span[0]) & (self.length <= span[1])
        return self.x[:, np.flatnonzero(kept)]
