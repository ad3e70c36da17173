"""A text model that also reads the words in pictures: a meme's harm is often what is written on it.

A member of the table, chosen by name, learns from texts as ever. A post scores by the higher of its own text and the
words recognised in its picture, so reading pictures can only raise a score; the text is never replaced.
Without the extra `ocr` that path is off: the picture is then not among the modalities, counts as unseen when posts are
decided on, and fitting says so once.

Open doubts: words on pictures are shorter and worse spelt than the texts that the member learnt from; nothing is
stored, so each prediction reads the pictures again.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from workbench.errors import WorkbenchError
from workbench.models import Classifier, Prediction, create, load, parse
from workbench.preprocessing.image import ocr
from workbench.schema import Options, declared

log = logging.getLogger(__name__)


class WordsOptions(Options):
    """The text model, and whether pictures are read."""

    model: str = Field("text-tfidf", description="The text model, by its name in `workbench.models.MODELS`.")
    options: dict[str, Any] = Field(default_factory=dict, description="Its options.")
    ocr: bool = Field(True, description="Whether words in pictures are read, which needs the extra `ocr`.")


class PictureWords(Classifier):
    """The higher of what a text model says of the text and of the words in the picture."""

    options_class = WordsOptions
    options: WordsOptions

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.member = self._new_member()
        self.seeded = self.member.seeded
        self.modalities = ("text", "image") if self.options.ocr and ocr.available() else ("text",)

    @classmethod
    def members(cls, options: WordsOptions) -> list[tuple[str, dict[str, Any]]]:
        """Return the text model."""
        return [(options.model, options.options)]

    @classmethod
    def check_options(cls, options: WordsOptions) -> None:
        """Raise WorkbenchError for a text model that is unknown or has unknown options."""
        parse(options.model, options.options)

    @property
    def parameters(self) -> int:
        """Those of the text model."""
        self._require_fitted()
        return self.member.parameters

    def _new_member(self) -> Classifier:
        member = create(*self.members(self.options)[0], taxonomy=self.taxonomy, store=self.store)
        if member.modalities != ("text",):
            raise WorkbenchError(f"model {self.name!r} needs a model of texts alone, not {self.options.model!r}")
        return member

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        if self.options.ocr and "image" not in self.modalities:
            log.warning(ocr.OFF)
        self.member = self._new_member().fit(train, validation, seed=seed)
        self.trained &= self.member.trained
        self.record = {**self.member.record, "ocr": "image" in self.modalities}

    def _predict(self, posts: pa.Table) -> Prediction:
        own = self.member._predict(posts)
        if "image" not in self.modalities:
            return own
        texts, reasons = self._words(posts)
        column = posts.schema.get_field_index("text")
        read = posts.set_column(column, posts.schema.field("text"), pa.array(texts, posts.schema.field("text").type))
        words = self.member._predict(read)
        scores = np.maximum(*(np.where(part.readable[:, None], part.logits, -np.inf) for part in (own, words)))
        readable = own.readable | words.readable
        there = declared(posts)["image"]
        reasons = [
            why or ("there are no words in the picture, and the rest is not looked at" if here and not words else None)
            for why, here, words in zip(reasons, there.tolist(), texts, strict=True)
        ]
        return Prediction(np.where(readable[:, None], scores, 0.0), readable, {**own.unread, "image": reasons})

    def _words(self, posts: pa.Table) -> tuple[list[str | None], list[str | None]]:
        """Return the words in each post's picture, None without any, and why a picture could not be read."""
        from workbench.features import TransientError
        from workbench.features.store.items import Pictures

        pictures, texts, reasons = Pictures(posts), [], []
        for row, there in enumerate(declared(posts)["image"].tolist()):
            known = pictures.keys[row] is not None
            item = pictures.fetch(row) if there and known else None
            text = None if item is None or isinstance(item, TransientError) else ocr.words(item)
            failed = there and text is None
            texts.append(text or None)
            why = item if isinstance(item, TransientError) else pictures.unread.get(row)
            reasons.append((why or "nothing in the image could be read") if failed else None)
        return texts, reasons

    def _save_parts(self, folder: Path) -> None:
        self.member.save(folder / "member")

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        if "image" in self.modalities and not ocr.available():
            raise WorkbenchError(f"the model in {folder} reads words in pictures, and {ocr.OFF}")
        self.member = load(folder / "member", taxonomy=self.taxonomy, store=self.store)
