"""Scores from anywhere: a file of post_id -> one column per label, compared like any other model.

A vendor's API, a prompted language model or a published system becomes a row of the comparison by its predictions.
`modalities` says what the scores were made from; nothing can check it. Left empty, they count as made from nothing: the
ceiling is then that of the base rates, which such scores exceed at once, and a moderator sends whatever a post brings
to review as unseen. Both are loud, so no claim is made by leaving something out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from workbench.corpora import reading
from workbench.corpora.files.values import MISSING, ValueRule, counted, meanings, plain, present
from workbench.corpora.reading.written import NoNumbers, numbers
from workbench.errors import WorkbenchError, unknown, unknown_label
from workbench.models import Classifier, Prediction
from workbench.schema import MODALITIES, Options, Taxonomy, located

EDGE = 1e-12  # probabilities are kept this far from 0 and 1: log-odds of at most 27.6
LARGEST = 80.0  # log-odds beyond it are cut: exp() of more overflows float32


class ScoresOptions(Options):
    """Which file, and what its columns mean."""

    path: str = Field(description="A .csv, .tsv, .jsonl or .parquet file, from the working directory or repository.")
    id: str = Field("post_id", description="The column that names the post.")
    columns: dict[str, str] = Field(
        default_factory=dict, description="Label to column; labels not named here use the column of their own name."
    )
    scale: Literal["prob", "logit"] = Field("prob", description="Probabilities from 0 to 1, or log-odds.")
    decisions: dict[str, bool] = Field(
        {},
        description="Where the columns hold decisions and no scores: what each word in them means, such as "
        "{hateful: true, non-hateful: false}; posts are then flagged as the file says.",
    )
    cost_per_call: float | None = Field(
        None,
        ge=0,
        description="What one call costs, in the study's currency; `workbench migrate` tells it, and that alone.",
    )
    modalities: tuple[Literal["text", "image", "video"], ...] = Field(
        (), description="What of a post the scores were made from; empty: not said."
    )

    @field_validator("modalities")
    @classmethod
    def _in_order(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(modality for modality in MODALITIES if modality in value)


class ScoresClassifier(Classifier):
    """Looks each post up by its id; a post or a cell that is not in the file is NaN. Fitting does nothing."""

    options_class = ScoresOptions
    options: ScoresOptions
    seeded = False
    learns = False

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.modalities = self.options.modalities
        for label in self.options.columns:
            if label not in self.taxonomy.names:
                raise WorkbenchError(f"options of model {name!r}: {unknown_label(label, self.taxonomy.names)}")
        self.ids: list[str] = []
        self.table = np.empty((0, len(self.taxonomy.names)), dtype=np.float32)

    @property
    def decided(self) -> bool:
        return bool(self.options.decisions)

    @classmethod
    def files(cls, options: ScoresOptions) -> list[Path]:
        return [located(options.path)]

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        """Read the file, whatever the tables hold, so that a published score stays what it is."""
        self.ids, self.table = read(self.options, self.taxonomy.names)
        scored = ~np.isnan(self.table).all(axis=0)
        self.constants = np.where(scored, 0.0, np.nan).astype(np.float32)
        self.trained = scored
        self.record = {"posts": len(self.ids)}

    @classmethod
    def meet(cls, options: ScoresOptions, taxonomy: Taxonomy, sets: Mapping[str, pa.Table]) -> None:
        """Raise WorkbenchError for a file that cannot be read, or has not one id in common with the posts."""
        ids, _ = read(options, taxonomy.names)
        posts = [post for table in sets.values() for post in table["post_id"].to_pylist()]
        if set(ids).isdisjoint(posts):
            raise WorkbenchError(
                f"{located(options.path)}, column {options.id!r}: none of its {len(ids):,} ids (such as {_some(ids)}) "
                f"is the id of one of the {len(posts):,} posts to score (such as {_some(posts)}); name the column that "
                "holds the posts' ids under `id`, or write them there as the corpus has them"
            )

    def _predict(self, posts: pa.Table) -> Prediction:
        row = {name: number for number, name in enumerate(self.ids)}
        index = np.array([row.get(name, -1) for name in posts["post_id"].to_pylist()])
        scores = np.concatenate([self.table, np.full((1, self.table.shape[1]), np.nan, np.float32)])[index]
        return Prediction(scores, ~np.isnan(scores).all(axis=1))

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"ids": self.ids}, {"table": self.table}

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        self.ids, self.table = state["ids"], arrays["table"]


def _some(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids[:3])) or "none"


# ----------------------------------------------------------------------------------------------------------- the file


def read(options: ScoresOptions, labels: tuple[str, ...]) -> tuple[list[str], np.ndarray]:
    """Return post ids, each once, and finite logits (n_ids, n_labels) float32 with NaN where the file has none.

    Raises WorkbenchError for a file that cannot be read, missing columns, no label at all, scores that are no numbers
    or outside [0, 1], and one post with two different scores.
    """
    path = located(options.path)
    table, names, *_ = reading.read(path, (options.id, *labels, *options.columns.values()))
    for column in (options.id, *options.columns.values()):
        if column not in names:
            raise WorkbenchError(f"{path}: {unknown('column', column, names)}")
    columns = {label: options.columns.get(label, label) for label in labels}
    columns = {label: column for label, column in columns.items() if column in names}
    if not columns:
        raise WorkbenchError(
            f"{path} has no column for any of the labels {', '.join(labels)} (it has {', '.join(names)}); "
            "name them in `columns`"
        )
    ids = plain(table[options.id], options.id, str(path))
    if ids.null_count:
        raise WorkbenchError(f"{path}: {ids.null_count} rows have no {options.id!r}; delete or name them")
    scores = np.full((len(table), len(labels)), np.nan)
    for label, column in columns.items():
        scores[:, labels.index(label)] = _column(table[column], path, column, options)
    return _unique(ids.to_pylist(), scores, path)


def _unique(ids: list[str], scores: np.ndarray, path: Path) -> tuple[list[str], np.ndarray]:
    """Return each id once; the same scores may stand twice, different ones may not."""
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        other = first.setdefault(name, row)
        if other != row and not np.array_equal(scores[other], scores[row], equal_nan=True):
            raise WorkbenchError(f"{path} gives post {name!r} two different scores; keep one of its rows")
    return list(first), scores[list(first.values())].astype(np.float32)


def _column(column: pa.ChunkedArray, path: Path, name: str, options: ScoresOptions) -> np.ndarray:
    """Return one column as finite log-odds (n_rows,) float64, NaN where it is empty or a word for missing."""
    where = f"{path}, column {name!r}"
    if not options.decisions:
        return _numbers(column, path, name, options.scale)
    named = {says: tuple(word for word, meant in options.decisions.items() if meant is says) for says in (True, False)}
    values = plain(column, name, str(path))
    counts = counted(values)
    found = meanings(counts, ValueRule(positive=named[True], negative=named[False]), MISSING, where, may_lack=True)
    strange = next((word for word, meaning in found.items() if (meaning.why or "").startswith("not named")), None)
    if strange is not None:
        raise WorkbenchError(f"{where}: {unknown('decision', strange, options.decisions)}")
    edge = np.log1p(-EDGE) - np.log(EDGE)
    logits = {None: np.nan, True: edge, False: -edge}
    return np.array([np.nan if word is None else logits[found[word].says] for word in values.to_pylist()])


def _numbers(column: pa.ChunkedArray, path: Path, name: str, scale: str) -> np.ndarray:
    """Return one column as finite log-odds (n_rows,) float64, NaN where it is empty or a word for missing."""
    where, texts = f"{path}, column {name!r}", present(column, name, str(path))
    if pc.any(pc.is_in(pc.utf8_lower(texts), pa.array(["true", "false"]))).as_py():
        raise WorkbenchError(f"{where}: booleans are decisions, not scores; say what they mean in `decisions`")
    try:
        values = numbers(texts).to_numpy()
    except NoNumbers as error:
        raise WorkbenchError(
            f"{where} holds {error.odd[0]!r:.60}, {error.hint or 'and scores must be numbers; mend or clear that cell'}"
        ) from None
    wrong = (values < 0) | (values > 1)
    if scale == "prob" and wrong.any():
        raise WorkbenchError(
            f"{where} holds {values[wrong][0]:g}, which is no probability; rescale it to 0..1 or say `scale: logit`"
        )
    return log_odds(values, scale)


def log_odds(values: np.ndarray, scale: str) -> np.ndarray:
    """Return scores of a scale, or a threshold in it, as finite log-odds of the same shape."""
    if scale == "logit":
        return np.clip(values, -LARGEST, LARGEST)
    values = np.clip(values, EDGE, 1 - EDGE)
    return np.log(values) - np.log1p(-values)
