"""Who posted, and how it was received so far: numbers around a post in place of its content.

Alone it is a baseline, and a warning: it judges people by their past. Its worth is beside the content, above all for
misinformation, where it tells a careless account from a careful one.

Open doubt: prior reports and removals come from earlier moderation, so that its errors return as evidence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from workbench.models import Classifier, Prediction, two_classes
from workbench.models.fit.targets import target_matrix
from workbench.models.tabular.learners import Tabular, TabularOptions
from workbench.preprocessing import context
from workbench.preprocessing.context import ContextOptions, Scaling
from workbench.schema import INPUTS, Options


class AuthorOptions(TabularOptions):
    """Which numbers are looked at, and how a label is learnt from them."""

    context: ContextOptions = Field(ContextOptions(), description="Which numbers around a post, in which form.")


class AuthorProfile(Classifier):
    """Boosted trees (or a logistic regression) on numbers about the author; no content is looked at."""

    options_class = AuthorOptions
    options: AuthorOptions
    modalities = ()
    seeded = False
    search: ClassVar[dict[str, tuple]] = {"depth": (2, 3, 4), "rate": (0.05, 0.1, 0.2), "leaf": (10, 20, 50)}

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.scaling = Scaling.fit(np.zeros((0, len(context.names(self.options.context)))), self.options.context)
        self.learner = Tabular(self.options, self.taxonomy.names)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for name in INPUTS.names if name in self.options.context.columns)

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        values, y, known = self._numbers(train)
        self.trained &= two_classes(y, known)
        self.scaling = Scaling.fit(values, self.options.context)
        held, *labels = self._numbers(validation)
        chosen = self.learner.fit(self.scaling(values), y, known, self.trained, (self.scaling(held), *labels))
        self.record = {"chosen": dict(zip(self.taxonomy.names, chosen, strict=True))}

    def _numbers(self, table: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the numbers of the posts that have any, with their y and known."""
        values, (y, known) = context.numbers(table, self.options.context), target_matrix(table, self.taxonomy)
        rows = ~np.isnan(values).all(axis=1)
        return values[rows], y[rows], known[rows]

    def _predict(self, posts: pa.Table) -> Prediction:
        values = context.numbers(posts, self.options.context)
        score = lambda numbers: self.learner.logits(self.scaling(numbers))  # noqa: E731
        moved = context.moved(values, self.options.context, self.scaling.fill, score)
        return Prediction(score(values), ~np.isnan(values).all(axis=1), moved=moved)

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {}, {**self.scaling.arrays(), **self.learner.arrays()}

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        options = self.options.context
        kept = (arrays[name] for name in ("center", "scale", "fill"))
        self.scaling = Scaling(*kept, options.scaling == "log", options.nulls)
        self.learner.restore(arrays)
