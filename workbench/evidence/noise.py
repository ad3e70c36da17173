"""Label noise: how far annotators agree, and which labels look wrong, for a person to look at again.

Suspects are found by confident learning on one label: out-of-fold probabilities of a linear model of words (no post is
judged by a model that saw it or its repost family), a threshold per class, the mean probability of that class among the
posts labelled so, and a suspect wherever the other class is above its own threshold and the given one is below its.
What is above both goes to the likelier class. Ranked by margin, by how much the other class is likelier.

Source: Northcutt, Jiang and Chuang 2021, Confident learning, JAIR 70:1373 (arXiv 1911.00068), ranking by normalised
margin. Open doubts: what a linear model of words cannot learn (irony, pictures) looks like noise to it, and noise that
follows the words looks right; the list is where to look first, never a reason to relabel unseen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from workbench.errors import WorkbenchError, unknown
from workbench.metrics import agreement
from workbench.preprocessing.text.cleaning import TextOptions, clean
from workbench.schema import Taxonomy, declared, label_matrix

FOLDS = 5
_CLEANING = TextOptions(lower=True)


class Suspects(NamedTuple):
    """What confident learning says of n posts of one label.

    margin (n,): probability of the other class minus that of the given one, in [-1, 1]; suspect (n,) bool; joint
    (2, 2): how many posts given as row (no, yes) are confidently of column (no, yes); thresholds (2,): of no and yes.
    """

    margin: np.ndarray
    suspect: np.ndarray
    joint: np.ndarray
    thresholds: np.ndarray

    @property
    def order(self) -> np.ndarray:
        """The rows of the suspects, the largest margin first."""
        rows = np.flatnonzero(self.suspect)
        return rows[np.argsort(-self.margin[rows], kind="stable")]


def confident(y, prob) -> Suspects:
    """Return the suspects among labels y (n,) from out-of-fold probabilities prob (n,) of yes.

    Raises WorkbenchError where a class is absent, for then nothing could be its error.

    >>> confident([1, 1, 1, 0, 0, 0], [0.9, 0.8, 0.1, 0.2, 0.1, 0.9]).order.tolist()
    [2, 5]
    """
    y, prob = np.asarray(y, dtype=bool), np.asarray(prob, dtype=np.float64)
    if y.all() or not y.any():
        raise WorkbenchError("label errors can only be suspected where posts of both classes are labelled; add some")
    both = np.stack([1 - prob, prob], axis=1)
    thresholds = np.array([both[~y, 0].mean(), both[y, 1].mean()])
    above = both >= thresholds
    likelier = np.where(above, both, -1).argmax(axis=1)
    counted = above.any(axis=1)
    joint = np.zeros((2, 2), dtype=int)
    np.add.at(joint, (y[counted].astype(int), likelier[counted]), 1)
    margin = np.where(y, 1 - 2 * prob, 2 * prob - 1)
    return Suspects(margin, counted & (likelier != y), joint, thresholds)


def out_of_fold(texts: list[str], y, group, *, folds: int = FOLDS, seed: int = 0) -> np.ndarray:
    """Return each text's probability (n,) of yes by a model of the other folds: TF-IDF of words and pairs, logistic.

    y, group (n,): a group is never split. Raises WorkbenchError with fewer groups of a class than folds.
    """
    y, group = np.asarray(y, dtype=bool), np.asarray(group)
    fewest = min(len(np.unique(group[y])), len(np.unique(group[~y])))
    if fewest < folds:
        raise WorkbenchError(
            f"{folds} folds need at least so many groups of each class, and one has {fewest}; add posts"
        )
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b"),
        LogisticRegression(C=3.0, max_iter=300),
    )
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return cross_val_predict(model, texts, y, groups=group, cv=parts, method="predict_proba")[:, 1]


def suspected(table: pa.Table, taxonomy: Taxonomy, label: str, *, folds: int = FOLDS, seed: int = 0) -> pd.DataFrame:
    """Return the suspected label errors of a corpus, one row each, the surest first.

    Columns: post_id, given (bool), probability (of the label, out of fold), margin, text. The frame's `attrs` hold
    `posts` (how many were judged), `joint` and `thresholds` (see `Suspects`). Posts without a text, or whose label is
    unknown, are not judged. Raises WorkbenchError for an unknown label and for too few posts.
    """
    if label not in taxonomy.names:
        raise WorkbenchError(unknown("label", label, taxonomy.names))
    k = taxonomy.names.index(label)
    y, known = label_matrix(table, taxonomy)
    rows = np.flatnonzero(known[:, k] & declared(table)["text"])
    chosen = table.select(["post_id", "text", "group"]).take(pa.array(rows))
    texts = [clean(text, _CLEANING) for text in chosen["text"].to_pylist()]
    given = y[rows, k].astype(bool)
    group = pc.coalesce(chosen["group"], chosen["post_id"]).to_numpy(zero_copy_only=False).astype(str)
    prob = out_of_fold(texts, given, group, folds=folds, seed=seed)
    result = confident(given, prob)
    order = result.order
    frame = pd.DataFrame(
        {
            "post_id": chosen["post_id"].take(pa.array(order)).to_pylist(),
            "given": given[order],
            "probability": prob[order],
            "margin": result.margin[order],
            "text": chosen["text"].take(pa.array(order)).to_pylist(),
        }
    )
    frame.attrs |= {"posts": len(rows), "joint": result.joint.tolist(), "thresholds": result.thresholds.tolist()}
    return frame


def votes_of(table: pa.Table, label: str) -> np.ndarray | None:
    """Return the votes for and against a label (n, 2), None where the corpus counted none (mapping `votes`)."""
    names = [f"votes_{label}_{side}" for side in ("yes", "no")]
    kind = table.schema.field("meta").type if "meta" in table.column_names else pa.struct([])
    if any(kind.get_field_index(name) < 0 for name in names):
        return None
    columns = [pc.struct_field(table["meta"], name) for name in names]
    return np.stack([pc.fill_null(column, 0).to_numpy() for column in columns], axis=1)


def agreement_of(votes: np.ndarray) -> dict[str, Any]:
    """Return how far annotators agree on votes (n, 2) for and against, NaN where undefined.

    {posts, several (posts with two votes or more), annotators (their mean number), raw, kappa (Fleiss', None where
    numbers of annotators differ), alpha (Krippendorff's), unanimous, disputed, tied: numbers of posts}.
    """
    total = votes.sum(axis=1)
    several = votes[total >= 2]
    alike = len(several) > 0 and np.ptp(several.sum(axis=1)) == 0
    return {
        "posts": int((total > 0).sum()),
        "several": len(several),
        "annotators": float(total[total > 0].mean()) if total.any() else np.nan,
        "raw": agreement.raw_agreement(votes),
        "kappa": agreement.fleiss_kappa(votes) if alike else None,
        "alpha": agreement.krippendorff_alpha(votes),
        "unanimous": int((several.min(axis=1) == 0).sum()),
        "disputed": int((several.min(axis=1) > 0).sum()),
        "tied": int((several[:, 0] == several[:, 1]).sum()),
    }


def suspect_lines(frame: pd.DataFrame, label: str, most: int = 20) -> Iterator[str]:
    """Yield the surest suspects of `suspected` as lines for a terminal."""
    yield (
        f"{len(frame):,} of {frame.attrs['posts']:,} labels of {label} look wrong to a model that has not seen the "
        "post, surest first:"
    )
    for row in frame.head(most).itertuples():
        words = " ".join(row.text.split())
        shown = words if len(words) <= 90 else f"{words[:87]}..."
        yield f"  {row.post_id}  labelled {'yes' if row.given else 'no'}, p {row.probability:.2f}  {shown}"


def agreement_line(facts: dict[str, Any]) -> str:
    """Return what `agreement_of` found as a sentence."""
    kappa = "" if facts["kappa"] is None else f", Fleiss' kappa {facts['kappa']:.3f}"
    return (
        f"{facts['several']:,} of {facts['posts']:,} posts have several votes ({facts['annotators']:.2f} a post): raw "
        f"agreement {facts['raw']:.3f}{kappa}, Krippendorff's alpha {facts['alpha']:.3f}; {facts['unanimous']:,} are "
        f"unanimous, {facts['disputed']:,} disputed, {facts['tied']:,} of them tied and so unknown"
    )
