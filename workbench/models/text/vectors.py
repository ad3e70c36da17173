"""Static word vectors by logistic regression: what words mean, without order, context or spelling.

A text is the mean of its words' vectors, by default weighted by idf so that rare words count for more, of length 1;
then one logistic regression per label on the standardised means. Words without a vector are left out; a text without
any is a row of zeros, which scores the label's intercept. Vectors come from the training texts (`word_vectors.learn`)
or from a file; of a file only the words of the training texts and the `words` most frequent of it are kept.

Source: the baseline of Arora, Liang and Ma 2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings"
(https://openreview.net/forum?id=SyK00v5xx), with idf for their weights. Open doubt: a file's words that no training
text has are not used, though they could be; a saved model would be as large as the file.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field
from sklearn.linear_model import LogisticRegression

from workbench.models import Classifier, Prediction, two_classes
from workbench.models.fit.choose import best_strength
from workbench.models.fit.options import VARIANTS, Strengths
from workbench.models.text import word_vectors
from workbench.models.text.variants import learn_words, predict, said, texts
from workbench.models.text.word_vectors import WORD
from workbench.preprocessing.text.cleaning import TextOptions, clean
from workbench.preprocessing.text.spelling import Lexicon
from workbench.schema import ROOT, Options, label_matrix

WORDS, LEXICON = "words.json", "lexicon.json"


class VectorOptions(Options):
    """Where the vectors come from, and how texts and labels are made of them."""

    path: str | None = Field(
        None, description="A file of word vectors (GloVe, word2vec, fastText); null: learnt from the training texts."
    )
    dim: int = Field(100, ge=2, le=1000, description="Length of learnt vectors.")
    window: int = Field(5, ge=1, le=20, description="Learnt: words up to so far apart stand together.")
    min_df: int = Field(2, ge=1, description="A word counts if so many training posts have it.")
    words: int = Field(20_000, ge=3, le=200_000, description="Most words, the most frequent in the training texts.")
    idf: bool = Field(True, description="Weigh words by idf, or all alike.")
    C: Strengths = Field(
        (0.1, 1.0, 10.0),
        description="Inverse strength of the L2 penalty; of several, validation chooses one per label by AP.",
    )
    text: TextOptions = Field(TextOptions(), description="How a text is cleaned before it is cut into words.")
    variants: bool = VARIANTS


class VectorClassifier(Classifier):
    """Logistic regression on the mean of a text's word vectors."""

    options_class = VectorOptions
    options: VectorOptions
    modalities = ("text",)
    seeded = False  # the decomposition starts anywhere and ends in the same directions
    search: ClassVar[dict[str, tuple]] = {"dim": (50, 100, 200), "window": (2, 5, 10), "idf": (True, False)}

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.lexicon: Lexicon | None = None
        self._take([], np.zeros((0, self.options.dim), np.float32))
        self.mean, self.scale = np.zeros(self.options.dim), np.ones(self.options.dim)
        self.weights = np.zeros((self.options.dim, len(self.taxonomy.names)))
        self.bias = np.zeros(len(self.taxonomy.names))

    @classmethod
    def files(cls, options: VectorOptions) -> list[Path]:
        """Return the file of word vectors."""
        return [] if options.path is None else [ROOT / Path(options.path).expanduser()]

    def _take(self, words: list[str], vectors: np.ndarray) -> None:
        """Keep words with their vectors (n_words, dim), which the idf has already scaled."""
        self.words, self.vectors = words, vectors
        self._place = {word: at for at, word in enumerate(words)}

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        rows = said(train, self.options.text)
        y, known = (array[rows] for array in label_matrix(train, self.taxonomy))
        self.trained &= two_classes(y, known)
        self.lexicon = learn_words(texts(train, rows), self.options.text)
        self._learn_vectors(self._texts(train, rows))
        if not self.words:
            self.trained[:] = False
        x = self._means(self._texts(train, rows))
        self.mean, self.scale = (x.mean(axis=0), x.std(axis=0)) if len(x) else (x.sum(axis=0), np.ones(x.shape[1]))
        # A direction in which texts hardly differ is not blown up: its differences are rounding.
        self.scale = np.maximum(self.scale, 0.01 * self.scale.max()) if self.scale.any() else np.ones_like(self.scale)
        rows = said(validation, self.options.text)
        held_out = (self._scaled(self._means(self._texts(validation, rows))), *label_matrix(validation, self.taxonomy))
        held_out = held_out[0], held_out[1][rows], held_out[2][rows]
        self.weights, self.bias = np.zeros((x.shape[1], y.shape[1])), np.zeros(y.shape[1])
        self.record = {"words": len(self.words), "dim": x.shape[1], "C": {}}
        for k in np.flatnonzero(self.trained):
            some = known[:, k]
            chosen = self._fit_label(k, self._scaled(x[some]), y[some, k] > 0.5, held_out)
            self.record["C"][self.taxonomy.names[k]] = chosen

    def _learn_vectors(self, cleaned: list[str]) -> None:
        """Learn or read the vectors, and scale them by idf: log((1 + n) / (1 + df)) + 1."""
        options = self.options
        counts = Counter(word for text in cleaned for word in set(WORD.findall(text.lower())))
        if options.path is None:
            size = {"dim": options.dim, "window": options.window, "min_df": options.min_df, "most": options.words}
            words, vectors = word_vectors.learn(cleaned, **size)
        else:
            wanted = [word for word, count in counts.items() if count >= options.min_df]
            wanted = set(sorted(wanted, key=lambda word: (-counts[word], word))[: options.words])
            words, vectors = word_vectors.read(self.files(options)[0], wanted)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.where(length > 0, length, 1.0)
        if options.idf and words:
            vectors = vectors * (np.log((1 + len(cleaned)) / (1 + np.array([counts[w] for w in words]))) + 1)[:, None]
        self._take(words, vectors.astype(np.float32))

    def _fit_label(self, k: int, x: np.ndarray, y: np.ndarray, held_out: tuple) -> float:
        """Fit weights and bias of label k; return the C that ranks validation best (else the middle one)."""
        z, truth, known = held_out[0], held_out[1][:, k] > 0.5, held_out[2][:, k]
        strength, best = best_strength(
            self.options.C,
            # The penalty of C is on the sum over posts; that of the mean needs no tuning with the number of posts.
            lambda c: LogisticRegression(C=100 * c / len(y), max_iter=2000).fit(x, y),
            truth[known],
            lambda model: model.decision_function(z[known]),
        )
        self.weights[:, k], self.bias[k] = best.coef_[0], best.intercept_[0]
        return strength

    def _predict(self, posts: pa.Table) -> Prediction:
        return predict(posts, self.options, self.lexicon, self._scored, len(self.bias))

    def _scored(self, texts: list[str]) -> np.ndarray:
        """Return logits (n_texts, n_labels) of cleaned texts."""
        return self._scaled(self._means(texts)) @ self.weights + self.bias

    def _texts(self, table: pa.Table, rows: np.ndarray) -> list[str]:
        """Return the raw texts of some posts, cleaned."""
        return [clean(text, self.options.text, self.lexicon) for text in texts(table, rows)]

    def _means(self, cleaned: list[str]) -> np.ndarray:
        """Return the mean word vector of each text (n_texts, dim), of length 1; zeros where no word has one."""
        out = np.zeros((len(cleaned), self.vectors.shape[1]))
        for row, text in enumerate(cleaned):
            places = [at for word in WORD.findall(text.lower()) if (at := self._place.get(word)) is not None]
            if places:
                out[row] = self.vectors[places].sum(axis=0, dtype=np.float64)
        length = np.linalg.norm(out, axis=1, keepdims=True)
        return out / np.where(length > 0, length, 1.0)

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        return (x - self.mean) / self.scale

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        names = ("vectors", "mean", "scale", "weights", "bias")
        return {}, {name: getattr(self, name) for name in names}

    def _save_parts(self, folder: Path) -> None:
        (folder / WORDS).write_text(json.dumps(self.words, indent=0), encoding="utf-8")
        if self.lexicon is not None:
            (folder / LEXICON).write_text(json.dumps(self.lexicon.words, indent=0), encoding="utf-8")

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        self._take(json.loads((folder / WORDS).read_text(encoding="utf-8")), arrays["vectors"])
        if self.options.text.spelling:
            self.lexicon = Lexicon(json.loads((folder / LEXICON).read_text(encoding="utf-8")))
        self.mean, self.scale = arrays["mean"], arrays["scale"]
        self.weights, self.bias = arrays["weights"], arrays["bias"]
