"""Byte pairs: trained on the spot, or published ones whose file is on this machine; nothing is ever fetched.

Special tokens spelled out in a text stay plain characters. CLIP's byte pairs get the text as it is after this
workbench's own cleaning, in lower case; open_clip's repair of mis-decoded characters (ftfy) is not run again.

Sources: byte pairs after Sennrich et al. 2016, https://aclanthology.org/P16-1162, over bytes as in GPT-2, by Hugging
Face tokenizers; CLIP's merges from the file that open_clip ships. tiktoken's encodings are in `ranks`.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from workbench import fingerprint
from workbench.errors import WorkbenchError
from workbench.schema import ROOT

SIZE = 4000  # byte pairs that are trained unless more are asked for
LONGEST = 32  # characters of a trained pair: one letter a thousand times makes no long ones
PUBLISHED = ("clip", "tiny")
_CLIP_PAIRS = 48_894  # merges that CLIP uses of the file's 262,145 lines: 49,408 ids less 2 * 256 bytes and 2 specials
_CLIP_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class Scheme:
    """How a text becomes pieces; what is said here is that of a scheme which learns nothing.

    published: the size of a vocabulary made elsewhere, None where there is none.
    """

    published: int | None = None

    def learn(self, texts: Sequence[str]) -> None:
        """Learn from training texts."""

    def cut(self, texts: Sequence[str]) -> Iterable[Sequence[int | str]]:
        """Return the pieces of each text."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return what was learnt as plain JSON."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned; raises WorkbenchError for that of another published file."""


class Trained(Scheme):
    """Byte pairs learnt from the training texts; pieces are their ids."""

    def __init__(self, size: int) -> None:
        self.size, self.backend = size, None

    def learn(self, texts: Sequence[str]) -> None:
        """Train `size` pairs, bytes included (256 of them, so fewer are never had)."""
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        self.backend = Tokenizer(models.BPE())
        self.backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        trainer = trainers.BpeTrainer(
            vocab_size=self.size,
            min_frequency=2,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            max_token_length=LONGEST,
            show_progress=False,
        )
        self.backend.train_from_iterator(texts, trainer)

    def cut(self, texts: Sequence[str]) -> Iterable[Sequence[int]]:
        return ids(self.backend, texts)

    def state(self) -> dict[str, Any]:
        return {"tokenizer": json.loads(self.backend.to_str())}

    def restore(self, state: dict[str, Any]) -> None:
        from tokenizers import Tokenizer

        self.backend = Tokenizer.from_str(json.dumps(state["tokenizer"]))


class Published(Scheme):
    """Byte pairs from a file of this machine, known again by its digest; pieces are their ids."""

    def __init__(self, name: str) -> None:
        path = file(name)
        self.name, self.digest = name, fingerprint.of_file(path)
        self.backend = _clip(path) if name == "clip" else _from_file(path)
        self.backend.encode_special_tokens = True
        self.published = self.backend.get_vocab_size()

    def cut(self, texts: Sequence[str]) -> Iterable[Sequence[int]]:
        return ids(self.backend, texts)

    def state(self) -> dict[str, Any]:
        return {"file": self.digest}

    def restore(self, state: dict[str, Any]) -> None:
        if state["file"] != self.digest:
            raise WorkbenchError(f"the vocabulary of {self.name!r} is another than in training; train again")


def file(name: str) -> Path:
    """Return the file of a published vocabulary; raises WorkbenchError, in one sentence, where it is not here."""
    if name == "tiny":
        path = ROOT / "data" / "weights" / "tiny-clip" / "tokenizer.json"
    else:
        package = importlib.util.find_spec("open_clip")
        folder = Path(package.origin).parent if package and package.origin else Path("open_clip")
        path = folder / "bpe_simple_vocab_16e6.txt.gz"
    if not path.is_file():
        raise WorkbenchError(f"tokens {name!r} need the file {path}, which is not there; install it again")
    return path


def _from_file(path: Path) -> Any:
    from tokenizers import Tokenizer

    backend = Tokenizer.from_file(str(path))
    backend.no_truncation()
    backend.no_padding()
    return backend


def _clip(path: Path) -> Any:
    """Return CLIP's byte pairs; the ids are not CLIP's own, as nothing here is looked up in CLIP's table."""
    from tokenizers import normalizers, pre_tokenizers

    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    pairs = [tuple(line.split()) for line in lines[1 : 1 + _CLIP_PAIRS]]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, pairs)]
    vocabulary = {piece: number for number, piece in enumerate([*pieces, "<start_of_text>", "<end_of_text>"])}
    backend = clip_backend(vocabulary, pairs)
    backend.normalizer = normalizers.Lowercase()
    return backend


def clip_backend(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Any:
    """Return byte pairs as CLIP cuts texts into them, without any cleaning."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix="</w>"))
    split = pre_tokenizers.Split(Regex(_CLIP_SPLIT), behavior="removed", invert=True)
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, letters])
    return backend


def ids(backend: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return each text's ids by one of Hugging Face's tokenizers, without special tokens."""
    return [encoding.ids for encoding in backend.encode_batch_fast(list(texts), add_special_tokens=False)]
