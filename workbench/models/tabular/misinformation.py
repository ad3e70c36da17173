"""Whether a post misleads: what a text model says of it, what it links to, who posted it, and how it spreads.

A text alone rarely tells a false claim from a true one; what it links to, the author's past and the reactions so far
add evidence of their own. The text's score is that of any model in the table (one that sees pictures makes this one see
them), learnt *out of fold*, so that it is as honest here as for new posts; links are looked at, never fetched.

Open doubt: domains change hands and lists grow old; the lists that a model was trained with are saved with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from workbench.models import Classifier, Prediction, two_classes
from workbench.models.fit.options import BaselineOptions
from workbench.models.fit.out_of_fold import folds, held_out
from workbench.models.fit.targets import target_matrix
from workbench.models.tabular.learners import Tabular, TabularOptions
from workbench.preprocessing import context
from workbench.preprocessing.context import ContextOptions, Scaling
from workbench.preprocessing.links import extraction
from workbench.schema import INPUTS, Options


class MisinformationOptions(TabularOptions):
    """What is looked at beside the text, and how a label is learnt from all of it."""

    learner: Literal["boosting", "linear"] = Field(
        "linear", description="Logistic regression, since evidence adds up; or boosted trees."
    )
    text: BaselineOptions = Field(BaselineOptions(), description="Which model scores the text.")
    context: ContextOptions | None = Field(
        ContextOptions(), description="Which numbers around a post; null: none, text and links only."
    )
    links: str | None = Field("data/links.yaml", description="The file with lists of hosts; null: links do not count.")
    folds: int = Field(3, ge=2, le=20, description="Parts of train for out-of-fold scores; no group crosses them.")


class Misinformation(Classifier):
    """A text model's scores, link features and author features, one learner per label."""

    options_class = MisinformationOptions
    options: MisinformationOptions
    modalities = ("text",)
    made_of = "text"
    search: ClassVar[dict[str, tuple]] = {"learner": ("linear", "boosting"), "depth": (2, 3), "rate": (0.05, 0.1)}

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.text = self._new_members()[0]
        self.modalities = self.text.modalities
        self.lists = extraction.LinkLists()
        self.scaling = Scaling.fit(np.zeros((0, self._width)), self._form)
        self.learner = Tabular(self.options, self.taxonomy.names)

    @classmethod
    def files(cls, options: MisinformationOptions) -> list[Path]:
        return [] if options.links is None else [extraction.place(options.links)]

    @property
    def columns(self) -> tuple[str, ...]:
        around = self.options.context.columns if self.options.context else ()
        return tuple(name for name in INPUTS.names if name in (*self.text.columns, *around))

    @property
    def _form(self) -> ContextOptions:
        return self.options.context or ContextOptions(nulls=False)

    @property
    def _width(self) -> int:
        return len(context.names(self.options.context)) if self.options.context else 0

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        if self.options.links is not None:
            self.lists = extraction.LinkLists.load(extraction.place(self.options.links))
        fold = folds(train, self.options.folds, seed)
        scores = held_out(self._new_members, train, validation, fold, seed)[0]
        self.text = self._new_members()[0].fit(train, validation, seed=seed)
        self.modalities = self.text.modalities
        around = self._around(train)
        rows = self._readable(scores, around)
        self.scaling = Scaling.fit(around[rows], self._form)
        y, known = (values[rows] for values in target_matrix(train, self.taxonomy))
        self.trained &= two_classes(y, known)
        x = self._rows(scores, self._links(train), around)[rows]
        chosen = self.learner.fit(x, y, known, self.trained, self._held_out(validation))
        self.record = {"chosen": dict(zip(self.taxonomy.names, chosen, strict=True)), "text": self.text.record}

    def _held_out(self, validation: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scores, around = self.text.logits(validation), self._around(validation)
        rows = self._readable(scores, around)
        y, known = target_matrix(validation, self.taxonomy)
        return self._rows(scores, self._links(validation), around)[rows], y[rows], known[rows]

    def _around(self, posts: pa.Table) -> np.ndarray:
        """Return the numbers around each post (n_posts, width), NaN where one is missing."""
        return context.numbers(posts, self.options.context) if self.options.context else np.zeros((len(posts), 0))

    @staticmethod
    def _readable(scores: np.ndarray, around: np.ndarray) -> np.ndarray:
        return ~np.isnan(scores).all(axis=1) | (~np.isnan(around)).any(axis=1)

    def _links(self, posts: pa.Table) -> np.ndarray:
        """Return what the links of each post are like (n_posts, width)."""
        if self.options.links is None:
            return np.zeros((len(posts), 0))
        return extraction.features(posts["text"].to_pylist(), self.lists)

    def _rows(self, scores: np.ndarray, links: np.ndarray, around: np.ndarray) -> np.ndarray:
        """Return what the learner sees (n_posts, n_numbers): text scores, whether there are any, links, context."""
        there = ~np.isnan(scores).all(axis=1, keepdims=True)
        parts = [np.where(np.isnan(scores), 0.0, scores), there, links, self.scaling(around)]
        return np.concatenate(parts, axis=1, dtype=np.float64)

    def _predict(self, posts: pa.Table) -> Prediction:
        text, around = self.text.predict(posts), self._around(posts)
        links = self._links(posts)
        score = lambda numbers: self.learner.logits(self._rows(text.logits, links, numbers))  # noqa: E731
        form = self.options.context
        moved = form and context.moved(around, form, self.scaling.fill, score)
        return Prediction(score(around), self._readable(text.logits, around), text.unread, moved=moved)

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"lists": self.lists.model_dump(mode="json")}, {**self.scaling.arrays(), **self.learner.arrays()}

    def _parts(self) -> dict[str, Classifier]:
        return {"text": self.text}

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        self.lists = extraction.LinkLists.parse(state["lists"], f"lists of the model in {folder}")
        self.text = self._load(folder / "text")
        kept = (arrays[name] for name in ("center", "scale", "fill"))
        self.scaling = Scaling(*kept, self._form.scaling == "log", self._form.nulls)
        self.learner.restore(arrays)
