"""Texts as rows of token ids: the checkpoint's own cleaning, a fast tokenizer, and windows over long texts.

A text longer than the context becomes several windows, because whatever is cut off is a place to hide abuse in. The
first window is what the checkpoint's own truncation would see, so a model that trains on first windows trains on the
usual CLIP input; scoring takes the maximum over the windows. Windows overlap by an eighth, so that a short phrase lies
whole in one of them. There are at most `WINDOWS`, spread evenly from the first word to the last; a note says when some
were left out. Before anything else a text is cut to its first and last `CHARACTERS / 2` characters (a note says so
too): cleaning and tokenizing a megabyte takes seconds, and the longest post of the large sites has 40,000.

Behind the windows of the raw text come those of its other variants (`preprocessing.text.variants`), which undo
obfuscation: all of them together at most `WINDOWS`, and none twice; a note says where that left some out. Each row says
which variant it is a window of.

Special tokens spelled out in a text stay plain characters. open_clip's tokenizers turn `<end_of_text>` in a post into
the token that ends it, and everything behind would never be read.

Source: the windows are those of `stride` and `return_overflowing_tokens` in Hugging Face tokenizers; cleaning and byte
pairs are those of open_clip 3.3.0, `tokenizer.py`, which `fast_tokens` checks itself against.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import regex

from workbench.features.blocks import VARIANTS
from workbench.preprocessing.text import variants
from workbench.preprocessing.text.cleaning import joined_surrogates
from workbench.preprocessing.text.subwords import clip_backend

CHARACTERS = 40_000
WINDOWS = 16
PROBES = (
    "A photo of a cat.",
    "Don't!! <b>1,234</b> &amp; caf\u00e9 \u65e5\u672c \U0001f600",
    "all work and no play " * 400,
)
Specials = tuple[tuple[int, ...], tuple[int, ...], int]
_MARKS = regex.compile(r"\p{M}{30}(?=\p{M})")


@dataclass(frozen=True)
class Windows:
    """Rows of token ids for n texts: `counts[i]` consecutive entries of `rows` belong to text i.

    `variants` says for each row which variant of its text it is a window of, by number; 0: of the raw text.
    """

    rows: list[list[int]]
    counts: list[int]
    reasons: list[str | None]
    notes: list[str | None]
    variants: list[int]


@dataclass(frozen=True)
class Tokens:
    """A tokenizer with its cleaning and its context; `encode` returns ids without special tokens.

    Attributes:
        context: tokens per row, special ones included.
        prefix, suffix: the special ids around a row; the last of the suffix is where a causal tower is read.
        pad: the id that fills a row up to the context.
        windowed: False where the checkpoint's own tokenizer must cut (an unusual one), so there is one row per text.
    """

    encode: Callable[[list[str]], list[list[int]]]
    clean: Callable[[str], str]
    context: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad: int
    windowed: bool
    recipe: dict[str, Any]

    def windows(self, texts: Sequence[str | None]) -> Windows:
        """Return the rows of each text; none for None, the empty string and white space."""
        shortened = [shorten(text) if isinstance(text, str) else ("", None) for text in texts]
        present = [i for i, (text, _) in enumerate(shortened) if text.strip()]
        undone = [variants.variants(shortened[i][0])[1:] for i in present]
        ways = [[shortened[i][0], *(other.text for other in others)] for i, others in zip(present, undone, strict=True)]
        encoded = iter(self.encode([_calmly(self.clean, mend(text)) for some in ways for text in some]))
        out = Windows([], [0] * len(texts), [None] * len(texts), [note for _, note in shortened], [])
        for i, others in zip(present, undone, strict=True):
            ids, others = next(encoded), [next(encoded) for _ in others]
            if not (ids or any(others)):
                out.reasons[i] = "the encoder's tokenizer leaves nothing of this text"
                continue
            every = self._every(ids)
            rows, known = [every[at] for at in _spread(len(every), WINDOWS)], set(map(tuple, every))
            notes = [out.notes[i]] if out.notes[i] else []
            notes += [f"long text: read {WINDOWS} of its {len(every)} windows"] if len(every) > WINDOWS else []
            out.variants.extend([0] * len(rows))
            unlike, read = 0, 0  # windows that variants change, and those of them that are read
            for number, other in enumerate(others, start=1):
                fresh = [row for row in self._every(other) if tuple(row) not in known]
                most = (WINDOWS - read) // (len(others) - number + 1)
                chosen = [fresh[at] for at in _spread(len(fresh), most)]
                unlike, read = unlike + len(fresh), read + len(chosen)
                rows = rows + chosen
                known.update(map(tuple, fresh))
                out.variants.extend([number] * len(chosen))
            notes += [f"{VARIANTS}{read} of {unlike} are read"] if read < unlike else []
            out.rows.extend(rows)
            out.counts[i] = len(rows)
            out.notes[i] = "; ".join(notes) or None
        return out

    @staticmethod
    def kinds(text: str) -> list[str | None]:
        """Return what was undone in each variant of a text, by its number in `Windows.variants`; None for the raw."""
        return [None, *(other.kind for other in variants.variants(shorten(text)[0])[1:])]

    def _every(self, ids: list[int]) -> list[list[int]]:
        """Return all rows of one text, none without ids."""
        if not (ids and self.windowed):
            return [ids] if ids else []
        room = self.context - len(self.prefix) - len(self.suffix)
        begins = starts(len(ids), room, len(ids))[0]
        return [[*self.prefix, *ids[start : start + room], *self.suffix] for start in begins]


def starts(length: int, room: int, most: int = WINDOWS) -> tuple[list[int], int]:
    """Return where at most `most` windows of `room` tokens begin in a text of `length`, and how many it would take.

    >>> starts(20, 16)
    ([0, 4], 2)
    """
    step = room - room // 8
    total = 1 + max(0, -(-(length - room) // step))
    # the last window ends with the text and is as long as the others, rather than a stump
    return [min(at * step, max(0, length - room)) for at in _spread(total, most)], total


def _spread(total: int, most: int) -> list[int]:
    """Return at most `most` of `total` numbers from 0 on, evenly apart, the first and the last among them."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(int)).tolist()


def shorten(text: str) -> tuple[str, str | None]:
    """Return at most `CHARACTERS` characters of a text, its two ends, and a note where the middle is left out."""
    if len(text) > CHARACTERS:
        text = " ".join(text.split())  # else a frame of blanks would push the words out
    if len(text) <= CHARACTERS:
        return text, None
    half = CHARACTERS // 2
    return f"{text[:half]}\n{text[-half:]}", f"long text: read the first and last {half} of {len(text)} characters"


def mend(text: str) -> str:
    """Return a text that every tokenizer takes, and takes in time proportional to its length.

    Paired surrogates are joined and lone ones become U+FFFD. Towers of combining marks are broken after every 30 by
    U+034F, as Unicode Standard Annex 15 does for streams (UAX15-D4): ordering them takes quadratic time.

    >>> mend("\\ud83d\\ude00 \\ud800") == "\\U0001f600 \\ufffd"
    True
    """
    if text.isascii():
        return text
    return _MARKS.sub(lambda marks: marks[0] + "\u034f", joined_surrogates(text))


def _calmly(clean: Callable[[str], Any], text: str) -> Any:
    """Clean a text; if that fails on a character reference of thousands of digits, leave all references as they are."""
    try:
        return clean(text)
    except ValueError:
        return clean(text.replace("&", "& "))


def fast_tokens(tokenizer: Any, context: int) -> Tokens:
    """Return a fast, windowing equal of an open_clip tokenizer; where there is none, that tokenizer as it is.

    Equal means that the first windows of `PROBES` have the ids that the tokenizer itself gives.
    """
    backend, clean = _fast_backend(tokenizer), _cleaning(tokenizer)
    if backend is not None:
        tokens = windowing(backend, _specials(tokenizer, backend), clean, context)
        if tokens is not None and _agrees(tokens, tokenizer):
            return tokens

    def row(text: str) -> list[int]:
        return tokenizer([text], context_length=context).tolist()[0]

    def encode(texts: list[str]) -> list[list[int]]:
        return [_calmly(row, text) for text in texts]

    recipe = {"tokenizer": f"{type(tokenizer).__name__} {_content(tokenizer)}", "characters": CHARACTERS}
    return Tokens(encode, lambda text: text, context, (), (), 0, False, recipe)


def windowing(backend: Any, specials: Specials | None, clean: Callable[[str], str], context: int) -> Tokens | None:
    """Return tokens in windows from a Rust tokenizer; None where its special ids are unclear or leave no room."""
    if specials is None or context <= len(specials[0]) + len(specials[1]):
        return None
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True  # a post that spells out a special token does not get it

    def encode(texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]

    recipe = {
        "tokenizer": backend.to_str(),
        "cleaning": getattr(clean, "__name__", str(clean)),
        "context": context,
        "specials": specials,
        "windows": WINDOWS,
        "overlap": "1/8",
        "characters": CHARACTERS,
    }
    return Tokens(encode, clean, context, *specials, True, recipe)


def _fast_backend(tokenizer: Any) -> Any | None:
    """Return a private copy of the Rust tokenizer, built from the merges where open_clip's own is in Python."""
    from tokenizers import Tokenizer

    if hasattr(tokenizer, "bpe_ranks"):
        if tokenizer.reduction_fn is not None:
            return None
        merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get)
        return clip_backend(tokenizer.encoder, merges)
    inner = getattr(tokenizer, "tokenizer", None)
    if getattr(tokenizer, "tokenizer_mode", "") or getattr(tokenizer, "strip_sep_token", False):
        return None
    if not getattr(inner, "is_fast", False) or getattr(inner, "padding_side", "right") != "right":
        return None
    return Tokenizer.from_str(inner.backend_tokenizer.to_str())


def _cleaning(tokenizer: Any) -> Callable[[str], str]:
    """Return the tokenizer's cleaning, with a short cut for plain ASCII, of which ftfy changes nothing."""
    from open_clip.tokenizer import get_clean_fn

    full = getattr(tokenizer, "clean_fn", get_clean_fn("canonicalize"))  # SigLIP's tokenizers clean inside their call
    lower = full is get_clean_fn("lower")
    if not lower and full is not get_clean_fn("whitespace"):
        return full

    @functools.wraps(full)
    def clean(text: str) -> str:
        if not text.isascii() or "&" in text or not text.replace("\n", " ").isprintable():
            return full(text)
        text = " ".join(text.split())
        return text.lower() if lower else text

    return clean


def _specials(tokenizer: Any, backend: Any) -> Specials | None:
    if hasattr(tokenizer, "sot_token_id"):
        return (tokenizer.sot_token_id,), (tokenizer.eot_token_id,), 0
    return specials(backend, tokenizer.tokenizer.pad_token_id)


def specials(backend: Any, pad: int | None) -> Specials | None:
    """Return the ids before and after a text, read off an encoded word, and the one for padding."""
    bare, full = backend.encode("a", add_special_tokens=False).ids, backend.encode("a").ids
    begins = [i for i in range(len(full) - len(bare) + 1) if full[i : i + len(bare)] == bare]
    if not bare or not begins or pad is None:
        return None
    return tuple(full[: begins[0]]), tuple(full[begins[0] + len(bare) :]), pad


def _agrees(tokens: Tokens, tokenizer: Any) -> bool:
    expected = tokenizer(list(PROBES), context_length=tokens.context).tolist()
    for probe, ids in zip(PROBES, expected, strict=True):
        row = tokens.windows([probe]).rows[:1]
        if not row or row[0] + [tokens.pad] * (tokens.context - len(row[0])) != ids:
            return False
    return True


def _content(tokenizer: Any) -> str:
    """Everything that tells an unusual tokenizer from another: its vocabulary and its plain settings."""
    inner = getattr(tokenizer, "tokenizer", tokenizer)
    vocabulary = inner.get_vocab() if hasattr(inner, "get_vocab") else getattr(inner, "encoder", {})
    plain = {key: value for key, value in vars(tokenizer).items() if isinstance(value, str | int | float | bool)}
    return json.dumps([sorted(vocabulary.items()), plain], sort_keys=True)
