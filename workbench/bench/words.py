"""`workbench bench words`: text-tfidf by default against plain scikit-learn on public sets, and what its choice costs.

Both learn from the same posts, choose in the same folds of them, find their threshold on the same validation posts (the
best F1, mean of both classes), and are scored once on the same test posts; differences are paired, resampled by
group. Plain are TfidfVectorizer as it comes, and one of words and characters as practitioners write it, both with
LogisticRegression whose C the folds choose by average precision. The sets come from $WORKBENCH_DATA or from where they
were published (`data/starter.yaml`). What the choice of n-grams costs is the processor's time of a fit over that of
one with `recipe: fixed`, in the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from workbench.bench import console, machine, write
from workbench.errors import WorkbenchError
from workbench.metrics import intervals
from workbench.metrics.classification import Confusion, Curve, average_precision, counts_at_thresholds
from workbench.metrics.ranking import Ranking
from workbench.schema import ROOT, Options, Taxonomy, expand, label_matrix

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.table import Table

MODEL = "text-tfidf"
LABEL = "abuse"
STUDIES = ("edos", "convabuse")  # whose corpus and split are taken
POOLED = ("davidson", "hatemoji")  # sets of the starter, divided anew: hatemoji by its pairs
SPLIT = {"by": "group", "validation": 0.15, "test": 0.3}
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
METRICS = ("f1_macro", "roc_auc", "average_precision")


class WordBench(Options):
    """How much `bench words` measures; the defaults take about ten minutes on one core."""

    sets: tuple[str, ...] = Field((*STUDIES, *POOLED), description="Names of sets.")
    resamples: int = Field(2000, ge=100, description="Resamples of the test posts' groups.")


Parts = dict[str, "pa.Table"]
Scores = tuple[np.ndarray, np.ndarray]
"""Of validation and of test posts, (n_posts,) each."""


def words(options: WordBench | None = None, out: Path | None = None) -> dict[str, Any]:
    """Measure, print a table, write it to `out` as JSON, and return it; raises WorkbenchError for a set not at hand."""
    options, taxonomy = options or WordBench(), Taxonomy.load()
    rows, costs = [], []
    for name in options.sets:
        parts = divided(name, taxonomy)
        ours, cost = _ours(parts, taxonomy)
        costs.append({"set": name, **cost})
        for other, make in PLAIN.items():
            theirs, strength = _plain(parts, taxonomy, make)
            about = {"set": name, "plain": other, "C": strength}
            rows += [about | row for row in compared(parts, taxonomy, ours, theirs, options.resamples)]
    result = {"machine": machine(), "options": options.model_dump(mode="json"), "rows": rows, "costs": costs}
    screen = console()
    screen.print(_table(rows))
    for cost in costs:
        screen.print(
            f"{cost['set']}: choosing takes {cost['ratio']:.1f} times one fit ({cost['seconds']:.1f} s instead of "
            f"{cost['fixed_seconds']:.1f} s on {cost['posts']:,} posts): {cost['recipe']}"
        )
    return write(result, out)


def divided(name: str, taxonomy: Taxonomy) -> Parts:
    """Return train, validation and test of a set, posts of which the label is known; raises WorkbenchError."""
    import pyarrow as pa

    from workbench.corpora import splits
    from workbench.starter import posts
    from workbench.starter.recipe import Recipe
    from workbench.studies.config import StudyConfig

    if name in STUDIES:
        study = StudyConfig.load(ROOT / "experiments" / f"{name}.yaml")
        parts = splits.divide(expand(study.corpus, f"study {name}"), study.split, {}, taxonomy)[0]
    elif name in POOLED:
        table = posts.read(name, Recipe.load().sets[name], LABEL, taxonomy)
        part = splits.assign(table, taxonomy, splits.SplitOptions.parse(SPLIT, "split"))
        parts = {split: table.filter(pa.array(part == split)) for split in splits.SPLITS}
    else:
        raise WorkbenchError(f"there is no set {name!r}; there are {', '.join((*STUDIES, *POOLED))}")
    return {split: table.filter(pa.array(_truth(table, taxonomy)[1])) for split, table in parts.items()}


def _truth(table: pa.Table, taxonomy: Taxonomy) -> tuple[np.ndarray, np.ndarray]:
    """Return whether posts have the label, and whether that is known, (n_posts,) bool both."""
    y, known = label_matrix(table, taxonomy)
    k = taxonomy.names.index(LABEL)
    return y[:, k] > 0.5, known[:, k]


def _ours(parts: Parts, taxonomy: Taxonomy) -> tuple[Scores, dict[str, Any]]:
    """Return the scores of the model by default, and what fitting cost beside a fit of which nothing is chosen."""
    from workbench import models

    k, seconds, fitted = taxonomy.names.index(LABEL), {}, {}
    for recipe in ("fixed", "auto"):
        fitted[recipe] = models.create(MODEL, {"recipe": recipe}, taxonomy=taxonomy, store=None)
        began = time.process_time()
        fitted[recipe].fit(parts["train"], parts["validation"], seed=0)
        seconds[recipe] = time.process_time() - began
    model = fitted["auto"]
    cost = {"posts": len(parts["train"]), "seconds": seconds["auto"], "fixed_seconds": seconds["fixed"]}
    cost |= {"ratio": seconds["auto"] / seconds["fixed"], "recipe": model.record["recipe"], "C": model.record["C"]}
    return (model.logits(parts["validation"])[:, k], model.logits(parts["test"])[:, k]), cost


# ------------------------------------------------------------------------------------------------- plain scikit-learn


def _as_it_comes() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer()


def _words_and_characters() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    return make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True),
    )


PLAIN: dict[str, Callable[[], Any]] = {"as it comes": _as_it_comes, "words and characters": _words_and_characters}


def _plain(parts: Parts, taxonomy: Taxonomy, make: Callable[[], Any]) -> tuple[Scores, float]:
    """Return the scores of logistic regression on what a vectoriser makes of texts, and its C."""
    from workbench.models.fit.out_of_fold import folds

    texts = {name: np.array([text or "" for text in part["text"].to_pylist()]) for name, part in parts.items()}
    y, fold = _truth(parts["train"], taxonomy)[0], folds(parts["train"], 3, seed=0)
    found = np.zeros((len(STRENGTHS), len(y)))
    for held in np.unique(fold):
        rest = fold != held
        fits = _fits(make(), texts["train"][rest], y[rest], texts["train"][~rest], STRENGTHS)
        for row, (scores,) in zip(found, fits, strict=True):
            row[~rest] = scores
    best = STRENGTHS[int(np.argmax([average_precision(y, scores) for scores in found]))]
    (scores,) = _fits(make(), texts["train"], y, texts["validation"], (best,), texts["test"])
    return scores, best


def _fits(
    vectoriser: Any, texts: np.ndarray, y: np.ndarray, held: np.ndarray, strengths: tuple[float, ...], *more: np.ndarray
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield, strength by strength, the scores of each set of other texts."""
    from sklearn.linear_model import LogisticRegression

    x, others = vectoriser.fit_transform(texts), [vectoriser.transform(some) for some in (held, *more)]
    for strength in strengths:
        model = LogisticRegression(C=strength, max_iter=1000).fit(x, y)
        yield tuple(model.decision_function(other) for other in others)


# ---------------------------------------------------------------------------------------------------------- comparison


def compared(parts: Parts, taxonomy: Taxonomy, ours: Scores, theirs: Scores, resamples: int) -> list[dict[str, Any]]:
    """Return a row for each metric: ours, theirs and the difference on test posts with its 95 % interval."""
    held, y = (_truth(parts[split], taxonomy)[0] for split in ("validation", "test"))
    codes, groups = intervals.group_codes(parts["test"]["group"].to_pylist())
    both = [_statistic(y, test, best_threshold(held, validation), codes, groups) for validation, test in (ours, theirs)]
    draws = [intervals.bootstrap(one, groups, resamples, seed=0) for one in both]
    left_out = [intervals.leave_out(one, groups, seed=0) for one in both]
    rows = []
    for m, metric in enumerate(METRICS):
        low, high = intervals.difference_interval(draws[0][m], draws[1][m], left_out[0][m] - left_out[1][m])
        a, b = (float(one[m, 0]) for one in draws)
        rows.append({"metric": metric, "ours": a, "theirs": b, "delta": a - b, "lo": low, "hi": high, "n": len(y)})
    return rows


def best_threshold(y: np.ndarray, scores: np.ndarray) -> float:
    """Return the score from which on flagging posts has the best F1, mean of both classes.

    >>> float(best_threshold(np.array([False, False, True, True]), np.array([0.1, 0.2, 0.3, 0.4])))
    0.3
    """
    tp, fp, thresholds, positives, negatives = counts_at_thresholds(y, scores)
    return thresholds[int(np.argmax(Confusion(negatives - fp, fp, positives - tp, tp).f1_macro))]


def _statistic(y: np.ndarray, scores: np.ndarray, threshold: float, codes: np.ndarray, groups: int) -> Any:
    """Return what maps weights (groups, draws) to the metrics (3, draws)."""
    ranking = Ranking.build(y, scores, codes, groups)
    cells = intervals.group_confusions(y, scores >= threshold, codes, groups)

    def of(weights: np.ndarray) -> np.ndarray:
        ranked = ranking.values(weights, (Curve.roc_auc, Curve.average_precision))
        return np.stack([Confusion(*(cells @ weights)).f1_macro, *ranked])

    return of


def _table(rows: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(title=f"{MODEL} by default minus plain scikit-learn, on test posts, with 95 % intervals")
    for head in ("set", "plain", "metric", MODEL, "plain", "difference"):
        table.add_column(head)
    for row in rows:
        values = [f"{row[side]:.3f}" for side in ("ours", "theirs")]
        difference = f"{row['delta']:+.3f} [{row['lo']:+.3f}, {row['hi']:+.3f}]"
        table.add_row(row["set"], row["plain"], row["metric"], *values, difference)
    return table
