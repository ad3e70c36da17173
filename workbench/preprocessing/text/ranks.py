"""tiktoken's encodings, read from their files without that package; nothing is ever fetched.

A file has a line for each piece: its bytes in base64, and its rank. Of the pairs of neighbours that together are a
piece, the one of lowest rank is joined first; what comes before, where a text is cut at all, is the encoding's pattern.
A file that is named is taken as it is. One in tiktoken's cache is held to the digest that tiktoken gives.

Sources: patterns, addresses and digests as in tiktoken 0.14, `tiktoken_ext/openai_public.py`; joined by Hugging Face
tokenizers, where every way to cut a piece in two known ones is a merge of that piece's rank.
Open doubt: where two different pairs that make the same piece overlap, tiktoken joins the left one and this the one
whose parts rank lower; random texts over random files have not shown a difference.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from workbench import fingerprint
from workbench.errors import WorkbenchError, unknown
from workbench.preprocessing.text.subwords import Scheme, ids
from workbench.schema import ROOT

_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s+\z|\s*[\r\n]|\s+(?!\S)|\s"
)
_BEFORE, _SMALL = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_O200K = (
    rf"{_BEFORE}*{_SMALL}+{_SHORT}|{_BEFORE}+{_SMALL}*{_SHORT}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Encoding(NamedTuple):
    """Where a text is cut before pairs are joined, and the sha256 of the file that tiktoken has."""

    pattern: str
    sha256: str


ENCODINGS = {
    "cl100k_base": Encoding(_CL100K, "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"),
    "o200k_base": Encoding(_O200K, "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"),
    "p50k_base": Encoding(_GPT2, "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069"),
    "r50k_base": Encoding(_GPT2, "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"),
}
_ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"  # its sha1 is the name in the cache


class Ranked(Scheme):
    """The pieces of one of tiktoken's encodings; what is saved holds the ranks, so that the file is needed once."""

    def __init__(self, encoding: str, named: str | None) -> None:
        if encoding not in ENCODINGS:
            raise WorkbenchError(unknown("encoding of tiktoken", encoding, ENCODINGS))
        self.encoding, self.named = encoding, named
        self.ranks: dict[bytes, int] = {}
        self.backend: Any = None

    def learn(self, texts: Sequence[str]) -> None:
        """Read the file; raises WorkbenchError, in one sentence, where it is not there or not one of tiktoken's."""
        path = file(self.encoding, self.named)
        if self.named is None and fingerprint.of_file(path) != ENCODINGS[self.encoding].sha256:
            raise WorkbenchError(f"{path} is not tiktoken's {self.encoding!r} (sha256 differs); copy the file again")
        self._take(read(path))

    def cut(self, texts: Sequence[str]) -> Iterable[Sequence[int]]:
        return ids(self.backend, texts)

    def state(self) -> dict[str, Any]:
        return {"ranks": {base64.b64encode(piece).decode(): rank for piece, rank in self.ranks.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back the ranks; earlier versions kept the digest of the file, which then has to be there."""
        if "ranks" in state:
            self._take({base64.b64decode(piece): rank for piece, rank in state["ranks"].items()})
            return
        if fingerprint.of_file(file(self.encoding, self.named)) != state["file"]:
            raise WorkbenchError(f"the vocabulary of {self.encoding!r} is another than in training; train again")
        self.learn(())

    def _take(self, ranks: dict[bytes, int]) -> None:
        self.ranks, self.published = ranks, len(ranks)
        self.backend = backend(ranks, ENCODINGS[self.encoding].pattern)


def file(encoding: str, named: str | None) -> Path:
    """Return the file of an encoding: the named one, else that of tiktoken's cache; raises WorkbenchError without."""
    if named is not None:
        path = ROOT / Path(named).expanduser()
        if not path.is_file():
            raise WorkbenchError(f"tokens 'tiktoken' need the file {path}, which is not there; check `file`")
        return path
    usual = os.path.join(tempfile.gettempdir(), "data-gym-cache")
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR", usual))
    path = Path(folder) / hashlib.sha1(_ADDRESS.format(encoding).encode()).hexdigest()
    if not path.is_file():
        raise WorkbenchError(
            f"tokens 'tiktoken' need the file {encoding}.tiktoken, and nothing is fetched; name yours in `file`, or in "
            f"TIKTOKEN_CACHE_DIR the folder where tiktoken keeps it as {path.name}"
        )
    return path


def read(path: Path) -> dict[bytes, int]:
    """Return the rank of each piece of a file; raises WorkbenchError with the line that is none."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            piece, rank = line.split()
            ranks[base64.b64decode(piece, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise WorkbenchError(
                f"{path}, line {number} is no piece in base64 with its rank; name a file as tiktoken has it"
            ) from None
    bare = 256 - sum(bytes([byte]) in ranks for byte in range(256))
    if bare:
        raise WorkbenchError(f"{path} has no rank for {bare} of the 256 bytes; name a whole file of tiktoken's")
    if len(set(ranks.values())) < len(ranks):
        raise WorkbenchError(f"{path} gives one rank to two pieces; name a whole file of tiktoken's")
    return ranks


def backend(ranks: dict[bytes, int], pattern: str) -> Any:
    """Return Hugging Face byte pairs that cut texts as tiktoken does with these ranks and this pattern."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    letter = _letters()
    written = {piece: "".join(letter[byte] for byte in piece) for piece in ranks}
    merges = [
        (rank, ranks[piece[:at]], written[piece[:at]], written[piece[at:]])
        for piece, rank in ranks.items()
        for at in range(1, len(piece))
        if piece[:at] in ranks and piece[at:] in ranks
    ]
    vocabulary = {written[piece]: rank for piece, rank in ranks.items()}
    pairs = [(left, right) for _, _, left, right in sorted(merges)]
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=True))
    split = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([split, letters])
    return made


def _letters() -> list[str]:
    """Return the letter that byte-level pairs write for each byte: itself where it shows, else one from 256 on."""
    shown = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = iter(range(256, 512))
    return [chr(byte if byte in shown else next(hidden)) for byte in range(256)]
