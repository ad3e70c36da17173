"""Any text encoder of the hub, frozen under the head that all encoders get, or fine-tuned as a whole.

Frozen (`finetune: false`), the texts' vectors come from the feature store, and the head is `text-clip`'s. Fine-tuned,
one linear layer sits on the pooled last layer and everything is trained by AdamW with a warm-up. A step's gradient is
that of its whole batch however many pieces the memory asks for: a piece that does not fit is halved, which is said.
A post's first window is trained on, the highest of its windows and variants counts, as with every model of texts.

Sources: Devlin et al. 2019, BERT, https://aclanthology.org/N19-1423 (recipe of fine-tuning: 2e-5 to 5e-5, few epochs);
Mosbach et al. 2021, https://openreview.net/forum?id=nzpLWnVAyah (warm-up and bias correction keep it stable).
What was fine-tuned is kept beside the feature store and found by the next fit of the same question (`checkpoints`): an
ensemble trains no encoder again that the study has by itself.
Open doubts: layers share one learning rate; nothing resumes after a kill within a fit.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field

from workbench.features import Truncated, encoder_files
from workbench.features.encoders.names import TRANSFORMER
from workbench.models import Classifier, Prediction, two_classes
from workbench.models.fit.options import VARIANTS, Strengths, TargetOptions
from workbench.models.fit.targets import target_matrix
from workbench.models.heads.bags import Vectors, highest_rows, undone
from workbench.models.heads.options import HEAD, STRENGTHS, HeadKind
from workbench.schema import Options, declared

FOLDER = "head"  # of a frozen model's head
BY_MODE = {  # what null stands for: under a head, and fine-tuned
    "epochs": (60, 3),
    "lr": (0.005, 5e-5),
    "weight_decay": (0.5, 0.01),
    "batch_size": (256, 32),
    "patience": (6, 1),
}
CONFIG, TOKENIZER = "config.json", "tokenizer.json"


class TransformerOptions(TargetOptions):
    """Which encoder, how its tokens become a vector, and how it or the head on it is trained."""

    encoder: str = Field(
        description="`organisation/repository@commit` on the hub, or a folder; safetensors in transformers' format."
    )
    finetune: bool = Field(False, description="Whether the encoder is trained too, or frozen under a head.")
    pooling: Literal["mean", "cls"] = Field("mean", description="A text is the mean of its tokens, or its first one.")
    max_tokens: int = Field(128, ge=8, le=8192, description="Tokens in a window; a longer text has several.")
    epochs: int | None = Field(None, ge=1, le=10_000, description="Most passes; null: 60 for a head, else 3.")
    lr: float | None = Field(None, gt=0, le=1, description="AdamW's rate; null: 0.005 for a head, else 0.00005.")
    weight_decay: float | None = Field(None, ge=0, description="AdamW's decay; null: 0.5 for a head, else 0.01.")
    batch_size: int | None = Field(None, ge=1, description="Posts per step; null: 256 for a head, else 32.")
    patience: int | None = Field(None, ge=1, description="Epochs without a better validation loss; null: 6, or 1.")
    head: HeadKind | Literal["auto"] = Field("auto", description=f"Frozen only. {HEAD.description}")
    C: Strengths = Field(STRENGTHS.default, description=f"Frozen only. {STRENGTHS.description}")
    hidden: int = Field(64, ge=1, le=8192, description="Frozen only: units of the head's hidden layer.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of the head's inputs (and units) dropped in training.")
    warmup: float = Field(0.1, ge=0, le=1, description="Fine-tuned only: share of the steps in which the rate rises.")
    at_once: int = Field(
        32,
        ge=1,
        description="Fine-tuned only: posts whose gradient is computed at once; falls when "
        "the memory does not suffice.",
    )
    variants: bool = VARIANTS

    def settled(self) -> Self:
        """Return the options with what stands for null in the mode at hand."""
        nulls = {name: values[self.finetune] for name, values in BY_MODE.items() if getattr(self, name) is None}
        return self.model_copy(update=nulls)


class Transformer(Classifier):
    """A text encoder of the hub with a head."""

    options_class = TransformerOptions
    options: TransformerOptions
    modalities = ("text",)
    search: ClassVar[dict[str, tuple]] = {"lr": (2e-5, 5e-5, 1e-4)}

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.inner: Any = None  # frozen: the text-clip model; fine-tuned: the Tuned network

    @classmethod
    def files(cls, options: TransformerOptions) -> list[Path]:
        return encoder_files(_name(options))

    @classmethod
    def members(cls, options: TransformerOptions) -> list[tuple[str, dict[str, Any]]]:
        if options.finetune:
            return []
        shared = (*BY_MODE, "head", "C", "hidden", "dropout", "variants")
        same = {name: getattr(options.settled(), name) for name in shared}
        return [("text-clip", {"encoder": _name(options), **same})]

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        if self.options.finetune:
            self._tune(train, validation, seed)
            return
        self.inner = self._new_members()[0].fit(train, validation, seed=seed)
        self.trained, self.record, self.modalities = self.inner.trained, self.inner.record, self.inner.modalities

    def _tune(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        from workbench.models.text.transformer import tuning

        network = tuning.Tuned.of(
            self.options.encoder, self.options, len(self.taxonomy.names), self._store().device, seed
        )
        parts = [self._examples(network, table) for table in (train, validation)]
        self.trained &= two_classes(parts[0].y, parts[0].known)
        parts = [part._replace(known=part.known & self.trained) for part in parts]
        self.inner, self.record = network, {"epochs": 0}
        if self.trained.any():
            self.record = self._tuned(network, parts, seed)

    def _tuned(self, network: Any, parts: list[Any], seed: int) -> dict[str, Any]:
        """Give the network the weights that were tuned for the same question, or tune it; returns what happened."""
        from workbench.models.fit.checkpoints import Checkpoints
        from workbench.models.fit.loop import take_weights
        from workbench.models.text.transformer import tuning

        store, options = self._store(), self.options.settled()
        if store.folder is None:
            return tuning.tune(network, *parts, options, seed, store.progress)
        checkpoints = Checkpoints(store.folder.parent / "finetune", tuning.key(network, *parts, options, seed))
        with checkpoints.turn():
            done = checkpoints.done()
            if done is not None:
                take_weights(network, done[0], "")
                return done[1]
            record = tuning.tune(network, *parts, options, seed, store.progress)
            checkpoints.finish(network.state_dict(), record)
            return record

    def _examples(self, network: Any, table: pa.Table) -> Any:
        """Return the first windows, y and known of the posts whose text the tokenizer can read."""
        from workbench.models.text.transformer import tuning

        windows = network.tokens.windows(_texts(table))
        counts = np.array(windows.counts)
        rows = np.flatnonzero(counts)
        y, known = target_matrix(table, self.taxonomy)
        first = (np.cumsum(counts) - counts)[rows]
        return tuning.TokenRows([windows.rows[at] for at in first], y[rows], known[rows])

    # ------------------------------------------------------------------------------------------------------- scoring

    def _predict(self, posts: pa.Table) -> Prediction:
        if not self.options.finetune:
            frozen = self.inner.predict(posts)
            # where nothing is learnt or told, the inner model's NaN does not mean unread
            whys = frozen.unread.get("text", ["no text in training"] * len(posts))
            readable = declared(posts)["text"] & np.array([why is None or isinstance(why, Truncated) for why in whys])
            return replace(frozen, readable=readable)
        texts, tokens = _texts(posts), self.inner.tokens
        windows = tokens.windows(texts)
        rows = Vectors.runs(
            np.arange(len(windows.rows)), np.array(windows.counts), np.array(windows.variants, np.uint8)
        )
        rows = rows if self.options.variants else rows.raw()
        some, scores = rows.count > 0, np.zeros((len(posts), len(self.constants)), np.float32)
        numbers = np.zeros(scores.shape, np.uint8)
        if some.any():
            each = self.inner.score([windows.rows[row] for row in rows.values])
            best = highest_rows(each, rows.start[some])
            scores[some], numbers[some] = np.take_along_axis(each, best, axis=0), rows.variant[best]
        notes = [Truncated.of(note, self.options.variants) for note in windows.notes]
        whys = [why or note for why, note in zip(windows.reasons, notes, strict=True)]
        return Prediction(scores, some, {"text": whys}, undone(numbers, texts, tokens.kinds))

    # ------------------------------------------------------------------------------------------------------ the disk

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return ({}, {}) if not self.options.finetune else self.inner.state()

    def _parts(self) -> dict[str, Classifier]:
        return {} if self.options.finetune or self.inner is None else {FOLDER: self.inner}

    def _save_parts(self, folder: Path) -> None:
        super()._save_parts(folder)
        if not self.options.finetune:
            return
        (folder / CONFIG).write_text(json.dumps(self.inner.config, indent=1, sort_keys=True), encoding="utf-8")
        (folder / TOKENIZER).write_text(self.inner.backend, encoding="utf-8")

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        if not self.options.finetune:
            self.inner = self._load(folder / FOLDER)
            return
        from workbench.models.text.transformer import tuning

        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        backend = (folder / TOKENIZER).read_text(encoding="utf-8")
        device = self.store.device if self.store is not None else "cpu"
        self.inner = tuning.Tuned.restored((config, backend), state, arrays, self.options, device)


def _name(options: TransformerOptions) -> str:
    return f"{TRANSFORMER}{options.pooling}:{options.max_tokens}:{options.encoder}"


def _texts(table: pa.Table) -> list[str | None]:
    """Return the texts that have a visible character, None for the others."""
    there = declared(table)["text"]
    return [text if seen else None for text, seen in zip(table["text"].to_pylist(), there, strict=True)]
