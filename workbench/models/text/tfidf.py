"""Words and character n-grams by logistic regression: the baseline that any text model has to beat.

Counts of word and character n-grams, 1 + log(count) times smoothed idf, times a power of the log-count ratio (how
differently a label's positives and negatives use the n-gram), each post's row of length 1, then one logistic regression
per label on the posts that know it. Character n-grams inside words bridge misspellings and inflection. Which n-grams,
which power and which penalty cross-validation on the training posts chooses, unless they are named (`recipe`). A fitted
model is plain data: a vocabulary, its idf, two matrices.

Sources: see `ngrams`.
Open doubt: liblinear's intercept is penalised like a weight; with unit rows that shrinks it a little for rare labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from workbench.models.fit.options import (
    CLASS_WEIGHT,
    VARIANTS,
    ClassWeight,
    Strengths,
    TargetOptions,
    by_class,
    check_ngrams,
)
from workbench.models.fit.out_of_fold import folds
from workbench.models.text import recipe
from workbench.models.text.ngrams import Ngrams, by_idf, by_ratios, log_count_ratios, log_weighted, unit_rows
from workbench.models.text.variants import WordModel, read_words, said, write_words
from workbench.preprocessing.text.cleaning import TextOptions
from workbench.schema import Options, label_matrix

VOCABULARY = "vocabulary.json"


CHOSEN = Literal["auto"]


class TfidfOptions(TargetOptions):
    """Which n-grams are counted and how strongly their weights are held back."""

    recipe: Literal["auto", "fixed"] = Field(
        "auto",
        description="What is auto of ngrams, char_ngrams, min_df, ratios and C: chosen by cross-validation on the "
        "training posts (auto), or 1 to 2 words, 2 to 5 characters, in 2 posts, ratios as published, C of 0.3, 1 and 3 "
        "(fixed).",
    )
    ngrams: tuple[int, int] | CHOSEN | None = Field(
        "auto", description="Shortest and longest run of words; null: no words."
    )
    char_ngrams: tuple[int, int] | CHOSEN | None = Field(
        "auto", description="Shortest and longest run of characters within a word; null: no characters."
    )
    min_df: int | CHOSEN = Field("auto", description="An n-gram counts if so many training posts have it.")
    C: Strengths | CHOSEN = Field(
        "auto",
        description="Inverse strength of the L2 penalty; of several, validation chooses one per label by AP.",
    )
    class_weight: ClassWeight = CLASS_WEIGHT
    ratios: float | CHOSEN = Field(
        "auto",
        description="The power of log-count ratios, by which n-grams count as the classes use them differently: from 0 "
        "(false, not at all) to 1 (true, as published).",
    )
    lowercase: bool = Field(
        True, description="Whether IDIOT and idiot are one word; false: case tells them apart, if `text` leaves it."
    )
    text: TextOptions = Field(TextOptions(), description="How a text is cleaned before n-grams are counted.")
    variants: bool = VARIANTS

    @model_validator(mode="before")
    @classmethod
    def _fixed_names_all(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("recipe") == "fixed":
            return values | {name: value for name, value in recipe.FIXED.items() if values.get(name, "auto") == "auto"}
        return values

    @model_validator(mode="after")
    def _ranges_make_sense(self) -> Self:
        # What is still to be chosen is never wrong, nor ever null beside a null.
        check_ngrams(*(recipe.FIXED[name] if span == "auto" else span for name, span in self.spans.items()))
        if self.min_df != "auto" and self.min_df < 1:
            raise ValueError(f"min_df must be at least 1, not {self.min_df}")
        if self.ratios != "auto" and not 0 <= self.ratios <= 1:
            raise ValueError(f"ratios must be from 0 to 1, not {self.ratios}")
        return self

    @property
    def spans(self) -> dict[str, Any]:
        """The spans of words and of characters."""
        return {"ngrams": self.ngrams, "char_ngrams": self.char_ngrams}

    @property
    def named(self) -> dict[str, Any]:
        """What is not left to be chosen, by name."""
        return {name: value for name in recipe.GRID if (value := getattr(self, name)) != "auto"}


class TfidfClassifier(WordModel):
    """Logistic regression on tf-idf of word and character n-grams."""

    options_class = TfidfOptions
    options: TfidfOptions
    recipe: recipe.WordRecipe  # of a model that was fitted here; a saved one has it in its record
    seeded = False
    search: ClassVar[dict[str, tuple]] = {
        "ngrams": ((1, 1), (1, 2), (1, 3)),
        "char_ngrams": (None, (2, 5), (3, 5)),
        "min_df": (1, 2, 5),
        "ratios": (True, False),
        "class_weight": (None, "balanced"),
    }

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.kinds: list[Ngrams] = []
        self.idf = np.zeros(0)
        self.ratios = self.weights = np.zeros((0, len(self.taxonomy.names)))  # (n_ngrams, n_labels) both
        self.bias = np.zeros(len(self.taxonomy.names))

    @classmethod
    def of_earlier(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return saved options without the limit on the number of n-grams, which only training read."""
        return {name: value for name, value in options.items() if name != "max_features"}

    @property
    def parameters(self) -> int:
        self._require_fitted()
        return self.weights.size + self.bias.size

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        texts, y, known = self._learn_from(train)
        texts = self._cased(texts)
        self.recipe = self._choose(train, texts, y, known)
        least, self.kinds = self.recipe.vocabulary.min_df, self.recipe.vocabulary.kinds()
        counts = sparse.csr_array(sparse.hstack([kind.learn(texts, least) for kind in self.kinds]))
        x, self.idf = log_weighted(counts)
        if counts.shape[1] == 0:
            self.trained[:] = False
        self.ratios = np.ones((counts.shape[1], y.shape[1]))
        chosen = self._fit_linear(unit_rows(x), y, known, validation)
        learnt = {k: self.taxonomy.names[k] for k in np.flatnonzero(self.trained).tolist()}
        self.record = {"ngrams": counts.shape[1], "C": chosen, "recipe": self.recipe.record(learnt)}

    def _choose(self, train: pa.Table, texts: list[str], y: np.ndarray, known: np.ndarray) -> recipe.WordRecipe:
        """Return the recipe for cleaned training texts, y and known (n_texts, n_labels), by a sample of them."""
        there = train.select(["group", "labels"]).filter(pa.array(said(train, self.options.text)))
        rows = np.sort(np.random.default_rng(0).permutation(len(texts))[: recipe.SAMPLE])
        some = there.take(pa.array(rows))
        truth, judged = label_matrix(some, self.taxonomy)
        fold, known = folds(some, recipe.FOLDS, seed=0), known[rows] & self.trained
        posts = recipe.Posts([texts[row] for row in rows], y[rows], known, truth > 0.5, judged, fold)
        return recipe.choose(posts, self.options.named, self._regression)

    def _strengths(self, k: int) -> tuple[float, ...]:
        return self.recipe.C[k]

    def _label_features(
        self, k: int, x: sparse.csr_array, y: np.ndarray, held: sparse.csr_array
    ) -> tuple[sparse.csr_array, sparse.csr_array]:
        if power := self.recipe.ratios[k]:
            self.ratios[:, k] = log_count_ratios(x, y) ** power
        return by_ratios(x, self.ratios[:, k]), by_ratios(held, self.ratios[:, k])

    def _regression(self, k: int, strength: float, n: int) -> LogisticRegression:
        weight = by_class(self.options.class_weight, self.taxonomy.names, k)
        return LogisticRegression(C=strength, class_weight=weight, solver="liblinear", max_iter=10_000, random_state=0)

    def _scored(self, texts: list[str]) -> np.ndarray:
        x = self._features(texts)
        length = np.sqrt((x * x) @ self.ratios**2)  # of each row once the ratios have scaled it
        return x @ (self.ratios * self.weights) / np.where(length > 0, length, 1.0) + self.bias

    def _features(self, texts: list[str]) -> sparse.csr_array:
        texts = self._cased(texts)
        counts = sparse.csr_array(sparse.hstack([kind.count(texts) for kind in self.kinds]))
        return unit_rows(by_idf(counts, self.idf))

    def _cased(self, texts: list[str]) -> list[str]:
        return [text.lower() for text in texts] if self.options.lowercase else texts

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        spans = {kind.analyzer: kind.span for kind in self.kinds}
        return {"spans": spans}, {"idf": self.idf, "ratios": self.ratios, "weights": self.weights, "bias": self.bias}

    def _save_parts(self, folder: Path) -> None:
        super()._save_parts(folder)
        write_words(folder / VOCABULARY, {kind.analyzer: kind.vocabulary for kind in self.kinds})

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        super()._restore(state, arrays, folder)
        options = {"word": self.options.ngrams, "char_wb": self.options.char_ngrams}
        spans = state.get("spans", options)  # earlier versions had all of them in the options
        vocabularies = read_words(folder / VOCABULARY)
        self.kinds = [Ngrams(kind, spans[kind], words) for kind, words in vocabularies.items()]
