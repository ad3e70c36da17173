"""What a head reads of a post: its sides, the encoders and modalities that fill each, and how vectors meet the head.

A *side* is a place for vectors of its own: the text; the words that stand in the picture (the option `picture_words`),
read by what reads the text; and vision, which is last.

Open doubts: nothing tells by which variant of the words in a picture a post is scored; words in clips are not read.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from workbench.features import Blocks, encoder_files
from workbench.features.encoders import identity
from workbench.features.picture_words import WordReader, require, written
from workbench.models import Classifier
from workbench.models.heads.bags import Vectors, reasons
from workbench.models.heads.options import HeadKind, HeadOptions
from workbench.models.heads.words import WordSide
from workbench.preprocessing.image import ocr
from workbench.schema import Options, declared

if TYPE_CHECKING:
    import torch

Side = Literal["text", "picture_words", "vision"]
WRITTEN: Side = "picture_words"
SIDES: dict[Side, tuple[str, ...]] = {"text": ("text",), WRITTEN: (WRITTEN,), "vision": ("image", "video")}
FOLDERS: dict[Side, str] = {"text": "words", WRITTEN: WRITTEN}  # where sides of words are saved


class Readable(NamedTuple):
    """What is had of one modality of n posts, or of the words in their pictures.

    vectors: the readable ones; unread (n_posts,): why what is there gave none, or what was left out of it.
    """

    vectors: Vectors
    unread: list[str | None]


class SidedClassifier(Classifier):
    """A model of the sides of a post.

    Attributes:
        encoder_digests: what the encoder of each side was when it was trained, and the reader of words in pictures.
        word_sides: what stands for an encoder of texts where these are read by models of words, by side.
    """

    options: HeadOptions
    encoder_digests: dict[Side, str]
    word_sides: dict[Side, WordSide]

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.word_sides = {}

    @classmethod
    def files(cls, options: HeadOptions) -> list[Path]:
        names = dict.fromkeys(options.encoder_of(side) for side in SIDES)
        paths = [path for name in names if name is not None for path in encoder_files(name)]
        if getattr(options, WRITTEN, False):
            require("a model with the option `picture_words`")
            paths += ocr.models()
        return paths

    @classmethod
    def members(cls, options: HeadOptions) -> list[tuple[str, dict[str, Any]]]:
        words = getattr(options, "words", None)
        return [] if words is None else [(words.name, words.options)]

    @cached_property
    def reader(self) -> WordReader | None:
        """What reads the words in pictures; None where they are not read.

        Raises WorkbenchError without the extra `ocr`.
        """
        if not getattr(self.options, WRITTEN, False):
            return None
        require(f"model {self.name!r}")
        return WordReader()

    def _written(self, posts: pa.Table) -> pa.Table:
        """Return posts with the words in their pictures in the place of their texts."""
        return written(self._store(), self.reader, posts)[0]

    def _encoder(self, side: Side = "vision") -> Any:
        return self._store().encoder(self.options.encoder_of(side))

    def _encoder_digest(self, side: Side = "vision") -> str:
        return identity.encoder_digest(self.reader if side == WRITTEN else self._encoder(side))

    def _encoder_digests(self) -> dict[Side, str]:
        """Return the digests of the encoders by side; a side of words has none, but what reads them in pictures."""
        named = (side for side in self._groups() if side == WRITTEN or self.options.encoder_of(side))
        return {side: self._encoder_digest(side) for side in named}

    def _learn_words(self, train: pa.Table, validation: pa.Table, seed: int) -> dict[Side, Blocks]:
        """Learn the sides of words; return the vectors of train's texts to learn from, by side."""
        self.word_sides, learnt = {}, {}
        if self.members(self.options):
            for side in self._texts():
                both = (train, validation) if side == "text" else map(self._written, (train, validation))
                self.word_sides[side], learnt[side] = WordSide.learn(lambda: self._new_members()[0], *both, seed)
        return learnt

    def _read(self, table: pa.Table, words: dict[Side, Blocks] | None = None) -> dict[str, Readable]:
        """Return what is had of a table by modality, and of the words in its pictures: all variants or the raw.

        What is blank counts as absent, whatever an encoder makes of it. words: the vectors of words that are at hand.
        """
        words = words or {}
        read = {name: self._reading(name, table, name, words) for name in self.modalities}
        if self.reader and "image" in read:
            texts, unread = written(self.store, self.reader, table)
            read[WRITTEN] = self._reading(WRITTEN, texts, "text", words)
            whys = zip(read["image"].unread, unread, read[WRITTEN].unread, declared(table)["image"], strict=True)
            unread = [(why or of_words or rest) if there else None for why, of_words, rest, there in whys]
            read["image"] = Readable(read["image"].vectors, unread)
        return read

    def _reading(self, name: str, table: pa.Table, content: str, words: dict[Side, Blocks]) -> Readable:
        """Return what is had of a modality, or of the words in pictures, whose `content` stands in a table."""
        side = next(side for side, names in SIDES.items() if name in names)
        if side in self.word_sides:
            blocks = words[side] if side in words else self.word_sides[side].blocks(table)
        else:
            blocks = getattr(self.store, content)(self._encoder(side), table)
        vectors = Vectors.of(blocks, declared(table)[content])
        vectors = vectors if self.options.variants else vectors.raw()
        return Readable(vectors, reasons(table, content, blocks, vectors, self.options.variants))

    def _sides(self, read: dict[str, Readable], n: int, first: bool = False) -> list[Vectors]:
        """Return the bags of n posts, one per side; first: of a text and of a picture keep the first row only."""
        sides = []
        for group, names in self._groups().items():
            side = Vectors.none(n, (self.word_sides.get(group) or self._encoder(group)).dim)
            for name in (name for name in names if name in read):
                vectors = read[name].vectors
                if name == "video":
                    vectors = vectors.mean() if self.options.pooling == "mean" else vectors
                elif first:
                    vectors = vectors.first()
                side = side.beside(vectors)
            sides.append(side)
        return sides

    def _groups(self) -> dict[Side, tuple[str, ...]]:
        """Return the sides that this kind of model has, with the modalities that fill each."""
        known = (*type(self).modalities, *([WRITTEN] if self.reader else []))
        mine = {side: tuple(name for name in names if name in known) for side, names in SIDES.items()}
        return {side: names for side, names in mine.items() if names}

    def _word_arrays(self) -> dict[str, np.ndarray]:
        """Return what sides of words hold beside their models."""
        arrays = {}
        for side, words in self.word_sides.items():
            arrays |= {f"{FOLDERS[side]}.used": words.used, f"{FOLDERS[side]}.basis": words.basis}
        return arrays

    def _parts(self) -> dict[str, Classifier]:
        return {FOLDERS[side]: words.member for side, words in self.word_sides.items()}

    def _take_words(self, arrays: dict[str, np.ndarray], folder: Path) -> None:
        """Take back the sides of words that lie in a folder."""
        self.word_sides = {}
        for side in self._texts() if self.members(self.options) else ():
            name = FOLDERS[side]
            self.word_sides[side] = WordSide(self._load(folder / name), arrays[f"{name}.used"], arrays[f"{name}.basis"])

    def _texts(self) -> list[Side]:
        """Return the sides that are texts."""
        return [side for side in self._groups() if side != "vision"]

    def _take_encoders(self, saved: dict[Side, str] | str, folder: Path) -> None:
        """Take the digests of the encoders that it learnt on, in earlier versions one; raise where one is another."""
        if getattr(self.options, WRITTEN, False):
            require(f"the model in {folder}")
        self.encoder_digests = now = self._encoder_digests()
        for side, digest in now.items():
            trained = saved if isinstance(saved, str) else saved[side]
            name = self.reader.name if side == WRITTEN else self.options.encoder_of(side)
            identity.same_encoder(f"the model in {folder}", trained, digest, name)


def whitening(kind: HeadKind, side: Vectors, told: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (dim,) and matrix (dim, dim) that bring train's vectors of a side to what a kind of head expects.

    told: how many numbers at their end are log-odds, which stay as they are.
    """
    from workbench.models.heads import training

    scale = training.standardising if kind == "logistic" else training.whitening
    mean, matrix = scale(side.values[:, : side.values.shape[1] - told], side.weight)
    if told:
        mean = np.append(mean, np.zeros(told, np.float32))
        matrix = np.pad(matrix, (0, told))
        matrix[-told:, -told:] = np.eye(told)
    return mean, matrix


def whitened(
    sides: list[Vectors],
    rows: list[np.ndarray],
    whitenings: list[tuple[np.ndarray, np.ndarray]],
    device: torch.device | str,
) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    """Return whitened sides, each (n, dim), and present (n, n_sides), on the device; row -1 is an absent side."""
    import torch

    filled = []
    for side, row, (mean, matrix) in zip(sides, rows, whitenings, strict=True):
        values = np.zeros((len(row), len(mean)), dtype=np.float32)
        values[row >= 0] = side.values[row[row >= 0]]
        mean, matrix = (torch.from_numpy(array).to(device) for array in (mean, matrix))
        filled.append((torch.from_numpy(values).to(device) - mean) @ matrix)
    return tuple(filled), torch.from_numpy(np.stack(rows, axis=1) >= 0).to(device)
