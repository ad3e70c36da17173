"""Ten ways to cut a text into tokens, under one interface: learn from training texts, then texts to rows of ids.

A scheme cuts a text into pieces; a vocabulary, counted on the training texts, gives the pieces numbers. So that schemes
can be compared, the vocabulary is made alike for all: pieces of too few training posts share one number, `UNKNOWN`,
also those of a published vocabulary of 50,000, of which a corpus uses a part. `PADDING` never comes out of a text.

Time is linear in the length of a text, whatever it says (byte pairs: up to a logarithm). How much of a text is read is
`TextOptions.max_chars`' matter, and that of whoever cuts rows to a length.

Source: byte pairs in `subwords` and `ranks`. Open doubt: `phrases` counts every run of 2 to 4 training words in memory,
which a million posts would fill.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy import sparse

from workbench.errors import WorkbenchError
from workbench.preprocessing.text import ranks, subwords
from workbench.preprocessing.text.cleaning import joined_surrogates
from workbench.schema import Options

PADDING, UNKNOWN = 0, 1
FIRST = 2  # the id of the most frequent piece
CHUNK = 8  # characters of a piece of `chunks`
LONGEST = 4  # words of the longest piece of `phrases`
WORD = re.compile(r"\w+|[^\w\s]")

Piece = int | str
Name = Literal["bytes", "characters", "chunks", "words", "phrases", "overlapping", "bpe", "clip", "tiny", "tiktoken"]


class TokenOptions(Options):
    """How a text is cut and which pieces get a number of their own."""

    scheme: Name = Field(
        "words",
        description="bytes: of UTF-8; characters: all runs of 2 and 3; chunks: 8 characters, one after the other; "
        "words: and single marks; phrases: the longest known run of 2 to 4 words, else a word; overlapping: at each "
        "word all known runs of 2 to 4 that begin there, else the word; bpe: byte pairs trained on the training texts; "
        "clip, tiny: CLIP's published byte pairs, those of the shipped encoder; tiktoken: from its `file`.",
    )
    size: int | None = Field(
        None, ge=16, description="Most pieces with a number, the most frequent; null: all (4,000 pairs for bpe)."
    )
    min_count: int = Field(2, ge=1, description="A piece gets a number if so many training posts have it.")
    encoding: str = Field("cl100k_base", description="Which of tiktoken's encodings; only `tiktoken` looks at it.")
    file: str | None = Field(
        None,
        description="That encoding's file on this machine, such as cl100k_base.tiktoken, for `tiktoken` alone; null: "
        "where the package tiktoken keeps it.",
    )

    @model_validator(mode="after")
    def _file_is_tiktokens(self) -> Self:
        if self.file is not None and self.scheme != "tiktoken":
            raise ValueError(f"file is read by the scheme tiktoken alone; name it, or leave it out of {self.scheme!r}")
        return self


class Plain(subwords.Scheme):
    """A scheme that is a function of the text and learns nothing."""

    def __init__(self, pieces: Callable[[str], Sequence[Piece]]) -> None:
        self.pieces = pieces

    def cut(self, texts: Sequence[str]) -> Iterable[Sequence[Piece]]:
        return map(self.pieces, texts)


class Phrases(subwords.Scheme):
    """Runs of 2 to 4 words that enough training posts have; a text is cut from the left, the longest known run first.

    >>> scheme = Phrases(None, 2)
    >>> scheme.learn(["you are rude", "you are rude today", "you are kind"])
    >>> list(scheme.cut(["you are rude and you are tall"]))
    [['you are rude', 'and', 'you are', 'tall']]
    """

    def __init__(self, size: int | None, min_count: int) -> None:
        self.size, self.min_count, self.known = size, min_count, frozenset()

    def learn(self, texts: Sequence[str]) -> None:
        """Take the runs that `min_count` texts have, the `size` most frequent."""
        counts: Counter[str] = Counter()
        for text in texts:
            tokens = words(text)
            spans = ((i, n) for n in range(2, LONGEST + 1) for i in range(len(tokens) - n + 1))
            counts.update({" ".join(tokens[i : i + n]) for i, n in spans})
        self.known = frozenset(_frequent(counts, self.min_count, self.size))

    def cut(self, texts: Sequence[str]) -> Iterable[Sequence[Piece]]:
        return map(self._pieces, texts)

    def _pieces(self, text: str) -> list[str]:
        tokens, pieces, i = words(text), [], 0
        while i < len(tokens):
            piece, last = tokens[i], min(i + LONGEST, len(tokens))
            i += 1
            # What a known run starts with is at least as frequent and comes earlier in the order, so it is known too.
            while i < last and (longer := f"{piece} {tokens[i]}") in self.known:
                piece, i = longer, i + 1
            pieces.append(piece)
        return pieces

    def state(self) -> dict[str, Any]:
        return {"known": sorted(self.known)}

    def restore(self, state: dict[str, Any]) -> None:
        self.known = frozenset(state["known"])


class Overlapping(Phrases):
    """The same runs, side by side: at each word all known ones that begin there, or the word where none does.

    >>> scheme = Overlapping(None, 2)
    >>> scheme.learn(["you are rude", "you are rude today", "you are kind"])
    >>> list(scheme.cut(["you are rude and"]))
    [['you are', 'you are rude', 'are rude', 'rude', 'and']]
    """

    def _pieces(self, text: str) -> list[str]:
        tokens, pieces = words(text), []
        for i, word in enumerate(tokens):
            runs = (" ".join(tokens[i : i + n]) for n in range(2, min(LONGEST, len(tokens) - i) + 1))
            pieces += [run for run in runs if run in self.known] or [word]
        return pieces


def words(text: str) -> list[str]:
    """Return the words of a text, and its marks one by one.

    >>> words("You're late, Tom!!")
    ['You', "'", 're', 'late', ',', 'Tom', '!', '!']
    """
    return WORD.findall(text)


def characters(text: str) -> list[str]:
    """Return the runs of 2 and 3 characters, in the order in which they start.

    >>> characters("a dog")
    ['a ', 'a d', ' d', ' do', 'do', 'dog', 'og']
    """
    return [text[i : i + n] for i in range(len(text) - 1) for n in (2, 3) if i + n <= len(text)] or [*text]


def chunks(text: str) -> list[str]:
    """Return a text cut after every 8 characters.

    >>> chunks("you are stupid")
    ['you are ', 'stupid']
    """
    return [text[i : i + CHUNK] for i in range(0, len(text), CHUNK)]


def _scheme(options: TokenOptions) -> subwords.Scheme:
    plain = {"bytes": str.encode, "characters": characters, "chunks": chunks, "words": words}
    if options.scheme in plain:
        return Plain(plain[options.scheme])
    if options.scheme in ("phrases", "overlapping"):
        runs = Phrases if options.scheme == "phrases" else Overlapping
        return runs(options.size, options.min_count)
    if options.scheme == "bpe":
        return subwords.Trained(options.size or subwords.SIZE)
    if options.scheme == "tiktoken":
        return ranks.Ranked(options.encoding, options.file)
    return subwords.Published(options.scheme)


def files(options: TokenOptions) -> list[Path]:
    """Return the files that a scheme's pieces depend on; raises WorkbenchError where one is not on this machine."""
    if options.scheme == "tiktoken":
        return [ranks.file(options.encoding, options.file)]
    return [subwords.file(options.scheme)] if options.scheme in subwords.PUBLISHED else []


class Tokenizer:
    """A scheme with its vocabulary.

    Attributes:
        size: how many ids there are, `PADDING` and `UNKNOWN` among them: the rows of an embedding table.
        published: the size of the scheme's published vocabulary, None for schemes that have none.
    """

    def __init__(self, options: TokenOptions) -> None:
        self.options, self.scheme = options, _scheme(options)
        self.pieces: list[Piece] = []
        self._ids: dict[Piece, int] = {}

    @property
    def size(self) -> int:
        return len(self.pieces) + FIRST

    @property
    def published(self) -> int | None:
        return self.scheme.published

    def fit(self, texts: Sequence[str]) -> Self:
        """Learn the scheme and its vocabulary from training texts."""
        texts = [joined_surrogates(text) for text in texts]
        self.scheme.learn(texts)
        counts: Counter[Piece] = Counter()
        for pieces in self.scheme.cut(texts):
            counts.update(set(pieces))
        self._number(_frequent(counts, self.options.min_count, self.options.size))
        return self

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return each text's ids, int32 (n_tokens,); a text without any piece (an empty one) has none."""
        ids = self._ids
        return [
            np.fromiter((ids.get(piece, UNKNOWN) for piece in pieces), np.int32, len(pieces))
            for pieces in self.scheme.cut([joined_surrogates(text) for text in texts])
        ]

    def state(self) -> dict[str, Any]:
        return {"scheme": self.options.scheme, "pieces": self.pieces, **self.scheme.state()}

    def restore(self, state: dict[str, Any]) -> Self:
        """Take back what `state` returned; raises WorkbenchError for another scheme's or another published file's."""
        if state["scheme"] != self.options.scheme:
            raise WorkbenchError(f"the tokens are {state['scheme']!r}, not {self.options.scheme!r}; train again")
        self.scheme.restore(state)
        self._number(state["pieces"])
        return self

    def _number(self, pieces: list[Piece]) -> None:
        self.pieces = pieces
        self._ids = {piece: number for number, piece in enumerate(pieces, start=FIRST)}


def counts(ids: Sequence[np.ndarray], size: int) -> sparse.csr_array:
    """Return how often each text has each id, float64 (n_texts, size).

    >>> counts([np.array([2, 3, 2])], 4).toarray()
    array([[0., 0., 2., 1.]])
    """
    starts = np.cumsum([0, *map(len, ids)]).astype(np.int32)  # scikit-learn takes no 64-bit indices
    columns = np.concatenate([np.empty(0, np.int32), *ids]).astype(np.int32)
    matrix = sparse.csr_array((np.ones(len(columns)), columns, starts), shape=(len(ids), size))
    matrix.sum_duplicates()
    return matrix


def _frequent(counts: Counter, least: int, most: int | None) -> list[Piece]:
    """Return the pieces with a count of `least` or more, the most frequent first, ties in the order of their names."""
    kept = [piece for piece, count in counts.items() if count >= least]
    return sorted(kept, key=lambda piece: (-counts[piece], piece))[:most]
