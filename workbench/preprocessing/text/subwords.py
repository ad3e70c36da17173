"""Byte pairs: trained on the spot, or published ones whose file is on this machine; nothing is ever fetched.

Special tokens spelled out in a text stay plain characters. CLIP's byte pairs get the text as it is after this
workbench's own cleaning, in lower case; open_clip's repair of mis-decoded characters (ftfy) is not run again.

Sources: byte pairs after Sennrich et al. 2016, https://aclanthology.org/P16-1162, over bytes as in GPT-2, by Hugging
Face tokenizers; CLIP's merges from the file that open_clip ships; tiktoken's encodings by tiktoken (addresses and
digests of its files as in tiktoken 0.14, `tiktoken_ext/openai_public.py`).
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from workbench import fingerprint
from workbench.errors import WorkbenchError, unknown
from workbench.schema import ROOT

SIZE = 4000  # byte pairs that are trained unless more are asked for
LONGEST = 32  # characters of a trained pair: one letter a thousand times makes no long ones
PUBLISHED = ("clip", "tiny", "tiktoken")
TIKTOKEN = {  # encoding: where tiktoken has it from, and its sha256
    "cl100k_base": (
        "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
    "o200k_base": (
        "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
}
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
        return _ids(self.backend, texts)

    def state(self) -> dict[str, Any]:
        return {"tokenizer": json.loads(self.backend.to_str())}

    def restore(self, state: dict[str, Any]) -> None:
        from tokenizers import Tokenizer

        self.backend = Tokenizer.from_str(json.dumps(state["tokenizer"]))


class Published(Scheme):
    """Byte pairs from a file of this machine, known again by its digest; pieces are their ids."""

    def __init__(self, name: str, encoding: str) -> None:
        path = file(name, encoding)
        self.name, self.digest = name if name != "tiktoken" else encoding, fingerprint.of_file(path)
        if name == "tiktoken":
            self.published, self.cut = _tiktoken(encoding, path, self.digest)
            return
        backend = _clip(path) if name == "clip" else _from_file(path)
        backend.encode_special_tokens = True
        self.published, self.cut = backend.get_vocab_size(), lambda texts: _ids(backend, texts)

    def state(self) -> dict[str, Any]:
        return {"file": self.digest}

    def restore(self, state: dict[str, Any]) -> None:
        if state["file"] != self.digest:
            raise WorkbenchError(f"the vocabulary of {self.name!r} is another than in training; train again")


def file(name: str, encoding: str) -> Path:
    """Return the file of a published vocabulary; raises WorkbenchError, in one sentence, where it is not here."""
    if name == "tiktoken":
        return _tiktoken_file(encoding)
    if name == "tiny":
        path = ROOT / "data" / "weights" / "tiny-clip" / "tokenizer.json"
    else:
        package = importlib.util.find_spec("open_clip")
        folder = Path(package.origin).parent if package and package.origin else Path("open_clip")
        path = folder / "bpe_simple_vocab_16e6.txt.gz"
    if not path.is_file():
        raise WorkbenchError(f"tokens {name!r} need the file {path}, which is not there; install it again")
    return path


def _tiktoken_file(encoding: str) -> Path:
    """Return where tiktoken keeps an encoding's file; the package itself would fetch a missing one."""
    if encoding not in TIKTOKEN:
        raise WorkbenchError(unknown("encoding of tiktoken", encoding, TIKTOKEN))
    if importlib.util.find_spec("tiktoken") is None:
        raise WorkbenchError("tokens 'tiktoken' need a package; pip install 'moderation-workbench[tiktoken]'")
    usual = os.path.join(tempfile.gettempdir(), "data-gym-cache")
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR", usual))
    path = Path(folder) / hashlib.sha1(TIKTOKEN[encoding][0].encode()).hexdigest()
    if not path.is_file():
        raise WorkbenchError(
            f"tokens 'tiktoken' need the file of {encoding!r}, which is not in {folder}; nothing is fetched, so put "
            f"it there as {path.name}, or name its folder in TIKTOKEN_CACHE_DIR"
        )
    return path


def _tiktoken(encoding: str, path: Path, digest: str) -> tuple[int, Any]:
    if digest != TIKTOKEN[encoding][1]:  # tiktoken would delete the file and fetch another
        raise WorkbenchError(f"{path} is not tiktoken's {encoding!r} (sha256 differs); copy the file again")
    import tiktoken

    backend = tiktoken.get_encoding(encoding)
    return backend.n_vocab, lambda texts: map(backend.encode_ordinary, texts)


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


def _ids(backend: Any, texts: Sequence[str]) -> list[list[int]]:
    return [encoding.ids for encoding in backend.encode_batch_fast(list(texts), add_special_tokens=False)]
