"""Encoders: texts and pictures to vectors of one space, by any open_clip model.

`load_encoder` gives one object that holds the model together with its preprocessing (they are one thing) and a
fingerprint over both. Vectors are the projected embeddings, L2-normalised as CLIP's training and everybody's cosine
similarities have them, then rounded to float16: every door sees the same numbers, stored or fresh.

On a CPU it computes in float32, on CUDA under bfloat16 autocast where the hardware has it. A vector depends on its
neighbours in the batch only by float32 rounding (about 1e-7), which can move a float16 value by its last bit.

Source: open_clip 3.3.0, `model.py` and `factory.py`; the short forward is exact because a causal tower that is read at
its end-of-text token never looks at what follows. Open doubt: towers from timm and transformers outside open_clip are
not loaded yet.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import normalize

from workbench import device as devices
from workbench.features import loading
from workbench.features.blocks import Blocks, Passing
from workbench.features.names import encoder_files
from workbench.features.pictures import Fit, Sheet
from workbench.features.tokens import Tokens, Windows
from workbench.schema import WorkbenchError

VERSION = 1  # part of every fingerprint: raise it when the code here changes what comes out
THREADS = min(8, os.cpu_count() or 1)
TEXT_CHUNK = 8192  # texts, and as many characters as 500 each, that are tokenized and sorted together
IMAGE_CHUNK = 512  # pictures that are decoded ahead; a resized one takes 150 kB at 224 pixels


class Encoder:
    """One model with its preprocessing on one device; make it with `load_encoder`.

    Attributes:
        name: what it was asked for by.
        dim: length of a vector, the same for both modalities.
        fingerprint: 64 hex digits over weights, configuration, text recipe, picture recipe and number format; whatever
            changes a vector changes it, and nothing else does (not the name, not the device, not the batch size).
        dtype: the number format that the towers compute in.
    """

    def __init__(self, name: str, model: nn.Module, tokens: Tokens, config: dict[str, Any], where: torch.device):
        self.name, self.device, self.dtype = name, where, devices.dtype(where)
        self.tokens, self.fit, self.dim = tokens, Fit.of(model.visual.preprocess_cfg), int(config["embed_dim"])
        self.fingerprint = _fingerprint(model, config, self.recipe)
        self.model = model.to(where).eval().requires_grad_(False)
        if where.type == "cpu":
            self.model.visual.to(memory_format=torch.channels_last)
        self._tower = _causal_tower(model, tokens)
        self._mean, self._scale = (
            torch.tensor(values, device=where).view(1, 3, 1, 1) * 255 for values in (self.fit.mean, self.fit.std)
        )

    @property
    def recipe(self) -> dict[str, Any]:
        """What the vectors depend on beside the weights and the model's configuration."""
        return {
            "version": VERSION,
            "text": self.tokens.recipe,
            "image": self.fit.recipe,
            "dtype": str(self.dtype),
            "values": "L2-normalised, float16",
        }

    def encode_text(self, texts: Sequence[str | None]) -> Blocks:
        """Return one row per text, or one per window of a long text; k = 0 for None, "" and white space."""
        return Blocks.join([self._texts(chunk) for chunk in _chunks(texts)], self.dim)

    def encode_image(self, pictures: Sequence[bytes | None]) -> Blocks:
        """Return one row per reading of each picture file; k = 0 for None, NaN and a reason for the unreadable."""
        parts = []
        with ThreadPoolExecutor(THREADS, thread_name_prefix="decode") as pool:
            for start in range(0, len(pictures), IMAGE_CHUNK):
                parts.append(self._images(pictures[start : start + IMAGE_CHUNK], pool))
        return Blocks.join(parts, self.dim)

    def _texts(self, texts: Sequence[str | None]) -> Blocks:
        windows: Windows = self.tokens.windows(texts)
        lengths = np.array([len(row) for row in windows.rows], dtype=np.int64)
        order = np.argsort(-lengths, kind="stable")  # longest first: where memory is short, it shows at once
        vectors = [
            self._run(self._embed_text, [windows.rows[i] for i in batch]) for batch in self._batches(order, lengths)
        ]
        values = np.empty((len(order), self.dim), dtype=np.float16)
        if vectors:
            values[order] = torch.cat(vectors).cpu().numpy()
        return _blocks(values, windows.counts, windows.reasons, windows.notes)

    def _images(self, pictures: Sequence[bytes | None], pool: ThreadPoolExecutor) -> Blocks:
        sheets = pool.map(lambda data: Sheet(None) if data is None else self.fit.read(data), pictures)
        counts, reasons, notes, vectors, waiting = [], [], [], [], []
        limit = 32 if self.device.type == "cpu" else 256
        for sheet in sheets:  # the pool decodes ahead while the model works
            counts.append(0 if sheet.readings is None else len(sheet.readings))
            reasons.append(sheet.reason)
            notes.append(sheet.note)
            waiting.extend([] if sheet.readings is None else sheet.readings)
            while len(waiting) >= limit:
                vectors.append(self._run(self._embed_images, waiting[:limit]))
                waiting = waiting[limit:]
        if waiting:
            vectors.append(self._run(self._embed_images, waiting))
        values = torch.cat(vectors).cpu().numpy() if vectors else np.empty((0, self.dim), np.float16)
        return _blocks(values, counts, reasons, notes)

    def _batches(self, order: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
        """Split rows sorted by length into batches of a bounded number of tokens, padding included."""
        budget = 8192 if self.device.type == "cpu" else 262_144
        start = 0
        while start < len(order):
            step = max(1, budget // int(lengths[order[start]]))
            yield order[start : start + step]
            start += step

    def _run(self, embed: Callable[[list], torch.Tensor], batch: list) -> torch.Tensor:
        """Return the float16 vectors of a batch, on the device; by halves where its memory does not suffice."""
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, self.dtype != torch.float32):
                return normalize(embed(batch).float(), dim=-1).half()
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise WorkbenchError(
                    f"encoder {self.name!r} does not fit in the memory of {self.device}; take a smaller one or the CPU"
                ) from None
        half = len(batch) // 2
        return torch.cat([self._run(embed, batch[:half]), self._run(embed, batch[half:])])

    def _embed_text(self, rows: list[list[int]]) -> torch.Tensor:
        """Return the embeddings (n, d) of rows of token ids; rows are padded to the longest, or to the full context."""
        lengths = np.array([len(row) for row in rows])
        width = int(lengths.max()) if self._tower is not None else self.tokens.context
        ids = np.full((len(rows), width), self.tokens.pad, dtype=np.int64)
        ids[np.arange(width) < lengths[:, None]] = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
        ids = torch.from_numpy(ids).to(self.device, non_blocking=True)
        if self._tower is None:
            return self.model.encode_text(ids)
        return short_forward(self._tower, ids, torch.from_numpy(lengths - 1).to(self.device))

    def _embed_images(self, readings: list[torch.Tensor]) -> torch.Tensor:
        pixels = torch.stack(readings)  # (n, 3, height, width) uint8: a quarter of the bytes to move
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        pixels = pixels.to(self.device, non_blocking=True).to(torch.float32, memory_format=torch.channels_last)
        return self.model.encode_image((pixels - self._mean) / self._scale)


def load_encoder(name: str, device: torch.device | str = "cpu") -> Encoder:
    """Return the encoder of that name on a device, loaded once in this process while its files stay as they are.

    Names: `tiny`; a folder in open_clip's `local-dir:` layout; `ViT-B-32@openai` (a tag of open_clip's, fetched where
    there is a network), `ViT-B-32@weights.safetensors` (a file) or `ViT-B-32@random`; `hf-hub:organisation/repository`.
    A name without weights is refused: a result from random weights must be asked for.

    Raises WorkbenchError for an unknown name, missing or unusable weights, and a hub that cannot be reached.
    """
    where = torch.device(device)
    files = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in encoder_files(name))
    with _LOADING:
        return _load(name, str(where), files)


_LOADING = threading.Lock()


@lru_cache(maxsize=4)
def _load(name: str, where: str, _files: tuple) -> Encoder:
    return Encoder(name, *loading.load(name), torch.device(where))


def short_forward(tower: nn.Module, ids: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Return the embeddings (n, d) of a native causal CLIP text tower, read at `last (n,)`.

    `ids (n, width)` may be narrower than the context: with a causal mask, position t depends on positions up to t only,
    so the padding behind the end-of-text token need not be computed.
    """
    width = ids.shape[1]
    x = tower.token_embedding(ids) + tower.positional_embedding[:width]  # (n, width, channels)
    x = tower.transformer(x, attn_mask=tower.attn_mask[:width, :width])
    x = tower.ln_final(x[torch.arange(len(x), device=x.device), last])  # (n, channels); the norm is per position
    if tower.text_projection is None:
        return x
    return tower.text_projection(x) if isinstance(tower.text_projection, nn.Linear) else x @ tower.text_projection


def _causal_tower(model: nn.Module, tokens: Tokens) -> nn.Module | None:
    """Return the text tower if the short forward is exact for it, else None."""
    tower = getattr(model, "text", model)
    pool = getattr(tower, "pool_type", getattr(tower, "text_pool_type", None))
    native = all(
        hasattr(tower, part) for part in ("token_embedding", "positional_embedding", "transformer", "ln_final")
    )
    if not native or getattr(tower, "attn_mask", None) is None or getattr(tower, "cls_emb", None) is not None:
        return None
    if not tokens.windowed or not tokens.suffix or getattr(tower, "use_pad_mask", False):
        return None
    end = tokens.suffix[-1]
    highest = end == max(*tokens.prefix, *tokens.suffix, tokens.pad, tower.vocab_size - 1)
    named = end == getattr(tower, "eos_id", getattr(tower, "text_eos_id", None))
    return tower if (pool == "argmax" and highest) or (pool == "eos" and named) else None


def _fingerprint(model: nn.Module, config: dict[str, Any], recipe: dict[str, Any]) -> str:
    """Return sha256 over the weights by name, shape, type and content, the configuration and the recipe."""
    digest = hashlib.sha256(json.dumps([type(model).__name__, config, recipe], sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _blocks(values: np.ndarray, counts: list[int], reasons: list[str | None], notes: list[str | None]) -> Blocks:
    """Return blocks in which an item with a value that is no number counts as unread: the model failed on it."""
    finite = np.isfinite(values).all(axis=1)
    if finite.all():
        return Blocks.build(values, counts, reasons, notes)
    owners = np.repeat(np.arange(len(counts)), counts)
    broken = np.zeros(len(counts), dtype=bool)
    broken[owners[~finite]] = True
    failed = Passing("the encoder gave no finite values")
    reasons = [failed if bad else reason for bad, reason in zip(broken, reasons, strict=True)]
    return Blocks.build(values[~broken[owners]], np.where(broken, 0, counts), reasons, notes)


def _chunks(texts: Sequence[str | None]) -> Iterator[Sequence[str | None]]:
    """Split texts by number and by characters, so that a corpus of essays needs no more memory than one of remarks."""
    start, characters = 0, 0
    for i, text in enumerate(texts):
        size = len(text) if text else 0
        if i - start == TEXT_CHUNK or (i > start and characters + size > 500 * TEXT_CHUNK):
            yield texts[start:i]
            start, characters = i, 0
        characters += size
    if start < len(texts):
        yield texts[start:]
