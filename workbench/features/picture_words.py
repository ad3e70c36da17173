"""The words in pictures as features: recognised once, kept in the store, found by the picture and by what read them.

To the store the recogniser is an encoder. A picture's words are the bytes of their UTF-8, one a row, with a 0 behind
them, so that a picture without words has a row too; float16 holds them exactly. What reads the words then (an encoder
of texts, a model of words) gets them as the texts of a table, and the store keeps its vectors like those of any text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from workbench.errors import WorkbenchError
from workbench.features.blocks import Blocks
from workbench.features.encoders import identity
from workbench.preprocessing.image import ocr

if TYPE_CHECKING:
    from workbench.features.store import FeatureStore

UNREAD = "nothing in the image could be read"


class WordReader:
    """The recogniser of words, as the store sees an encoder of pictures; raises WorkbenchError without the extra `ocr`.

    Attributes:
        name, dim, weights, recipe: as of `open_clip.Encoder`; a vector is one byte.
    """

    name, dim = "ocr", 1
    recipe: ClassVar[dict[str, Any]] = {"image": {"words": "UTF-8, a byte a row, then 0"}}

    def __init__(self) -> None:
        require()
        self.weights = ocr.weights()

    def entries(self, modality: str) -> tuple[Callable[..., Any], ...]:
        """Return the functions that lie between a picture and its words."""
        return (type(self), type(self).encode_image)

    @classmethod
    def alone(cls, modality: str) -> tuple[Callable[..., Any], ...]:
        """Return nothing: it reads pictures only."""
        return ()

    def depends(self, modality: str) -> dict[str, Any]:
        """Return what the words depend on, by content (see `identity.depends`)."""
        return self._depends

    def identity(self, modality: str) -> str:
        """Return 64 hex digits over what the words depend on."""
        return identity.of_vectors(self._depends)

    @cached_property
    def _depends(self) -> dict[str, Any]:
        return identity.depends(self, "image")

    def encode_image(self, pictures: Sequence[bytes | None], report: Callable[[int], None] | None = None) -> Blocks:
        """Return a row for each byte of a picture's words and one behind them; k = 0 for None.

        What cannot be read has NaN and a reason. report: called with the number of pictures done so far.
        """
        found: list[bytes] = []
        reasons: list[str | None] = []
        for done, picture in enumerate(pictures, start=1):
            words = None if picture is None else ocr.words(picture)
            found.append(b"" if words is None else words.encode("utf-8", "replace") + b"\0")
            reasons.append(UNREAD if words is None and picture is not None else None)
            if report is not None:
                report(done)
        rows = np.frombuffer(b"".join(found), dtype=np.uint8).astype(np.float32)
        return Blocks.build(rows[:, None], list(map(len, found)), reasons)


def require(who: str = "") -> None:
    """Raise WorkbenchError where words in pictures cannot be read here; who: as in "the model in FOLDER"."""
    if not ocr.available():
        raise WorkbenchError(f"{who} reads words in pictures, and {ocr.OFF}" if who else ocr.OFF)


def written(store: FeatureStore, reader: WordReader, posts: pa.Table) -> tuple[pa.Table, list[str | None]]:
    """Return posts with the words in their pictures in the place of their texts, and why a picture gave none.

    A post without a picture, or whose picture has no words, has no text.
    """
    blocks = store.image(reader, posts)
    starts, readable = blocks.offsets.tolist(), blocks.readable.tolist()
    codes = np.nan_to_num(blocks.values[:, 0]).astype(np.uint8).tobytes()
    spans = zip(starts[:-1], starts[1:], readable, strict=True)
    texts = [codes[first : last - 1].decode("utf-8") or None if read else None for first, last, read in spans]
    at = posts.schema.get_field_index("text")
    field = posts.schema.field(at)
    return posts.set_column(at, field, pa.array(texts, field.type)), blocks.reasons
