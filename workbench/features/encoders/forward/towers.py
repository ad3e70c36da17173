"""The two towers of a model on one device: batches of token ids and of pixels to vectors, in whatever memory there is.

A batch starts as large as the free memory allows, up to where a larger one is no faster. What still does not fit is
halved, and the size that fitted is remembered for the batches that follow.

Open doubt: the first sizes are estimates from the width of a token and the pixels of a picture, on the safe side for
the ViTs and ResNets of open_clip 3.3.0; for another kind of tower the halving does the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn
from torch.nn.functional import normalize

from workbench.features.encoders.forward import threads
from workbench.features.encoders.forward.transform import Fit
from workbench.features.encoders.forward.windows import Tokens

log = logging.getLogger(__name__)
SHARE = 0.5  # of the free memory that one batch may take
PER_TOKEN = 32  # float32 copies of a token's channels that a layer holds at once, about
PER_PIXEL = 64  # and of a picture's three channels
BATCHES_A_CORE = 4  # of texts on a CPU: fewer hold more padding and end at different times, more are slow


class FullError(Exception):
    """Not even one item fits into the device's memory."""


class Towers:
    """A model on one device, in one number format.

    Attributes:
        tokens_at_once: tokens of a batch of texts, padding included; falls when the memory does not suffice.
        readings_at_once: readings of a batch of pictures; falls likewise.
    """

    def __init__(
        self, model: nn.Module, tokens: Tokens | None, fit: Fit, where: torch.device, dtype: torch.dtype
    ) -> None:
        self.device, self.dtype = where, dtype
        self._pad, self._context = (0, 1) if tokens is None else (tokens.pad, tokens.context)
        self.model = model.to(where).eval().requires_grad_(False)
        if where.type == "cpu":
            self.model.visual.to(memory_format=torch.channels_last)
        self.causal = None if tokens is None else causal_tower(model, tokens)
        self._mean, self._scale = (
            torch.tensor(values, device=where).view(1, 3, 1, 1) * 255 for values in (fit.mean, fit.std)
        )
        most_tokens, most_readings = (4096, 16) if where.type == "cpu" else (262_144, 256)
        room = SHARE * free_memory(where) / 4  # in float32 values
        if where.type == "cpu":
            room /= torch.get_num_threads()  # so many batches are worked on at once
        width = getattr(getattr(model, "ln_final", None), "normalized_shape", (1024,))[0]
        self.tokens_at_once = int(min(most_tokens, max(1, room // (PER_TOKEN * width))))
        self.readings_at_once = int(min(most_readings, max(1, room // (PER_PIXEL * 3 * fit.size[0] * fit.size[1]))))

    def texts(self, rows: list[list[int]]) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Yield indices (n,) into `rows` of token ids with the float16 vectors (n, d) of those; raises FullError."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        order = np.argsort(-lengths, kind="stable")  # longest first: where memory is short, it shows at once

        def work(batch: np.ndarray) -> tuple[np.ndarray, torch.Tensor]:
            return batch, self._run(self.embed_texts, [rows[i] for i in batch], self._fewer_tokens)

        yield from self._each(work, self._batches(order, lengths))

    def pictures(self, readings: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield the float16 vectors (n, d) of batches of readings (3, height, width) uint8; raises FullError."""
        readings = iter(readings)

        def work(batch: list[torch.Tensor]) -> torch.Tensor:
            return self._run(self.embed_pictures, batch, self._fewer_readings)

        yield from self._each(work, iter(lambda: list(islice(readings, self.readings_at_once)), []))

    def _each(self, work: Callable[[Any], Any], batches: Iterable) -> Iterator:
        if self.device.type != "cpu":
            return map(work, batches)
        return threads.in_order(threads.cores(), work, batches, ahead=torch.get_num_threads() + 1)

    def _batches(self, order: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
        """Split rows, in `order` from the longest on, into batches of at most `tokens_at_once`, padding included."""
        at_once, start = self.tokens_at_once, 0
        if self.device.type == "cpu":  # little work is shared by all cores, too, and short batches hold less padding
            at_once = min(at_once, max(512, -(-int(lengths.sum()) // (BATCHES_A_CORE * torch.get_num_threads()))))
        while start < len(order):
            step = max(1, at_once // self._width(int(lengths[order[start]])))
            yield order[start : start + step]
            start += step

    def _width(self, longest: int) -> int:
        """The tokens that a row takes in a batch whose longest row has so many."""
        return self._context if self.causal is None else longest

    def _fewer_tokens(self, rows: list[list[int]]) -> None:
        self.tokens_at_once = min(self.tokens_at_once, len(rows) * self._width(max(len(row) for row in rows)))

    def _fewer_readings(self, readings: list[torch.Tensor]) -> None:
        self.readings_at_once = min(self.readings_at_once, len(readings))

    def _run(self, embed: Callable[[list], torch.Tensor], batch: list, fewer: Callable[[list], None]) -> torch.Tensor:
        """Return the vectors of a batch, L2-normalised; by halves where the memory does not suffice."""
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, self.dtype != torch.float32):
                return normalize(embed(batch).float(), dim=-1).half().flatten(1)
        except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
            if not out_of_memory(error):
                raise
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # here, where the failed batch is no longer held by the exception
        if len(batch) == 1:
            raise FullError
        first, second = batch[: len(batch) // 2], batch[len(batch) // 2 :]
        fewer(first)  # remembered for the batches that follow
        log.info("a batch of %d did not fit into the memory of %s; it is halved", len(batch), self.device)
        return torch.cat([self._run(embed, first, fewer), self._run(embed, second, fewer)])

    def embed_texts(self, rows: list[list[int]]) -> torch.Tensor:
        """Return the embeddings (n, d) of rows of token ids; rows are padded to the longest, or to the full context."""
        ids, last = self._ids(rows)
        return self.model.encode_text(ids) if self.causal is None else short_forward(self.causal, ids, last)

    def _ids(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return rows of token ids as padded ids (n, width), and the place (n,) of each row's last token."""
        lengths = np.array([len(row) for row in rows])
        width = self._width(int(lengths.max()))
        ids = np.full((len(rows), width), self._pad, dtype=np.int64)
        ids[np.arange(width) < lengths[:, None]] = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
        ids = torch.from_numpy(ids).to(self.device, non_blocking=True)
        return ids, torch.from_numpy(lengths - 1).to(self.device)

    def embed_pictures(self, readings: list[torch.Tensor]) -> torch.Tensor:
        """Return the embeddings (n, d) of readings (3, height, width) uint8."""
        return self.model.encode_image(self._pixels(readings))

    def _pixels(self, readings: list[torch.Tensor]) -> torch.Tensor:
        """Return readings as the model's input (n, 3, height, width)."""
        pixels = torch.stack(readings)  # uint8: a quarter of the bytes to move
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        pixels = pixels.to(self.device, non_blocking=True).to(torch.float32, memory_format=torch.channels_last)
        return (pixels - self._mean) / self._scale


def free_memory(where: torch.device) -> int:
    """Return the bytes that are free on a device."""
    if where.type == "cuda":
        return torch.cuda.mem_get_info(where)[0]
    return psutil.virtual_memory().available


def out_of_memory(error: Exception) -> bool:
    """Say whether an error is about memory: CUDA has a class for that, the CPU and MPS only a message."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error).lower()
    return any(words in said for words in ("allocate memory", "not enough memory", "out of memory"))


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


def causal_tower(model: nn.Module, tokens: Tokens) -> nn.Module | None:
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
