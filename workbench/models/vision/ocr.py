"""A text model that also reads the words in pictures: a meme's harm is often what is written on it.

A member of the table, chosen by name, learns from texts as ever. A post scores by the higher of its own text and the
words recognised in its picture, so reading pictures can only raise a score; the text is never replaced.
Without the extra `ocr` that path is off: the picture is then not among the modalities, counts as unseen when posts are
decided on, and fitting says so once.

Joint heads read the words as one more text of their own (`heads.frozen`, the option `picture_words`).

Open doubt: words on pictures are shorter and worse spelt than the texts that the member learnt from.
"""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from workbench.errors import WorkbenchError
from workbench.features import FeatureStore
from workbench.features.picture_words import WordReader, require, written
from workbench.models import Classifier, Prediction, of_earlier
from workbench.models.fit.options import TargetOptions
from workbench.preprocessing.image import ocr
from workbench.schema import Options, declared

log = logging.getLogger(__name__)


class WordsOptions(TargetOptions):
    """The text model, and whether pictures are read."""

    model: str = Field("text-tfidf", description="The text model, by its name in `workbench.models.MODELS`.")
    options: dict[str, Any] = Field(default_factory=dict, description="Its options.")
    ocr: bool = Field(True, description="Whether words in pictures are read, which needs the extra `ocr`.")


class PictureWords(Classifier):
    """The higher of what a text model says of the text and of the words in the picture."""

    options_class = WordsOptions
    options: WordsOptions
    opens = ("image",)

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.member = self._new_member()
        self.seeded = self.member.varies
        self.modalities = ("text", "image") if self.options.ocr and ocr.available() else ("text",)

    @classmethod
    def members(cls, options: WordsOptions) -> list[tuple[str, dict[str, Any]]]:
        return [(options.model, options.options)]

    @classmethod
    def of_earlier(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return saved options with those of the text model as they are now."""
        if "options" not in options:
            return options
        model = options.get("model", cls.options_class.model_fields["model"].default)
        return {**options, "options": of_earlier(model, options["options"])}

    def _new_member(self) -> Classifier:
        member = self._new_members()[0]
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
        read, reasons = written(self.store or FeatureStore(None), self.reader, posts)
        words = self.member._predict(read)
        scores = np.maximum(*(np.where(part.readable[:, None], part.logits, -np.inf) for part in (own, words)))
        readable = own.readable | words.readable
        there = declared(posts)["image"]
        lost = words.unread.get("text", [None] * len(posts))  # of the words, wholly or in part
        wordless = "there are no words in the picture, and the rest is not looked at"
        reasons = [
            (why or unsure or (wordless if text is None else None)) if here else None
            for why, unsure, here, text in zip(reasons, lost, there.tolist(), read["text"].to_pylist(), strict=True)
        ]
        return Prediction(np.where(readable[:, None], scores, 0.0), readable, {**own.unread, "image": reasons})

    @cached_property
    def reader(self) -> WordReader:
        """What reads the words in pictures; raises WorkbenchError without the extra `ocr`."""
        return WordReader()

    def _parts(self) -> dict[str, Classifier]:
        return {"member": self.member}

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        if "image" in self.modalities:
            require(f"the model in {folder}")
        self.member = self._load(folder / "member")
