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

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field
from sklearn.linear_model import LogisticRegression

from workbench.models.fit.options import VARIANTS, Strengths, TargetOptions
from workbench.models.text import word_vectors
from workbench.models.text.variants import WordModel, read_words, write_words
from workbench.models.text.word_vectors import WORD
from workbench.preprocessing.text.cleaning import TextOptions
from workbench.schema import ROOT, Options

WORDS = "words.json"


class VectorOptions(TargetOptions):
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


class VectorClassifier(WordModel):
    """Logistic regression on the mean of a text's word vectors."""

    options_class = VectorOptions
    options: VectorOptions
    seeded = False  # the decomposition starts anywhere and ends in the same directions
    search: ClassVar[dict[str, tuple]] = {"dim": (50, 100, 200), "window": (2, 5, 10), "idf": (True, False)}

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self._take([], np.zeros((0, self.options.dim), np.float32))
        self.mean, self.scale = np.zeros(self.options.dim), np.ones(self.options.dim)
        self.weights = np.zeros((self.options.dim, len(self.taxonomy.names)))
        self.bias = np.zeros(len(self.taxonomy.names))

    @classmethod
    def files(cls, options: VectorOptions) -> list[Path]:
        return [] if options.path is None else [ROOT / Path(options.path).expanduser()]

    def _take(self, words: list[str], vectors: np.ndarray) -> None:
        """Keep words with their vectors (n_words, dim), which the idf has already scaled."""
        self.words, self.vectors = words, vectors
        self._place = {word: at for at, word in enumerate(words)}

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        texts, y, known = self._learn_from(train)
        self._learn_vectors(texts)
        if not self.words:
            self.trained[:] = False
        x = self._features(texts)
        self.mean, self.scale = (x.mean(axis=0), x.std(axis=0)) if len(x) else (x.sum(axis=0), np.ones(x.shape[1]))
        # A direction in which texts hardly differ is not blown up: its differences are rounding.
        self.scale = np.maximum(self.scale, 0.01 * self.scale.max()) if self.scale.any() else np.ones_like(self.scale)
        chosen = self._fit_linear(x, y, known, validation)
        self.record = {"words": len(self.words), "dim": x.shape[1], "C": chosen}

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

    def _label_features(self, k: int, x: np.ndarray, y: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._scaled(x), self._scaled(held)

    def _regression(self, k: int, strength: float, n: int) -> LogisticRegression:
        # The penalty of C is on the sum over posts; that of the mean needs no tuning with the number of posts.
        return LogisticRegression(C=100 * strength / n, max_iter=2000)

    def _scored(self, texts: list[str]) -> np.ndarray:
        return self._scaled(self._features(texts)) @ self.weights + self.bias

    def _features(self, texts: list[str]) -> np.ndarray:
        out = np.zeros((len(texts), self.vectors.shape[1]))
        for row, text in enumerate(texts):
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
        super()._save_parts(folder)
        write_words(folder / WORDS, self.words)

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        super()._restore(state, arrays, folder)
        self._take(read_words(folder / WORDS), arrays["vectors"])
