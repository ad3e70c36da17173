"""The two towers of a model on one device: batches of token ids and of pixels to vectors, in whatever memory there is.

A batch starts as large as the free memory allows, up to where a larger one is no faster; `device.Room` halves what
still does not fit.

Open doubt: the first sizes are estimates from the width of a token and the pixels of a picture, on the safe side for
the ViTs and ResNets of open_clip 3.3.0; for another kind of tower the halving does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import normalize

from workbench.device import Room, free_memory
from workbench.features.encoders.forward import threads
from workbench.features.encoders.forward.transform import Transform
from workbench.features.encoders.forward.windows import Tokens

SHARE = 0.5  # of the free memory that one batch may take
PER_TOKEN = 32  # float32 copies of a token's channels that a layer holds at once, about
PER_PIXEL = 64  # and of a picture's three channels
BATCHES_A_CORE = 4  # of texts on a CPU: fewer hold more padding and end at different times, more are slow


class Towers:
    """A model on one device, in one number format.

    Attributes:
        texts_room: tokens of a batch of texts, padding included.
        pictures_room: variants of a batch of pictures.
    """

    def __init__(
        self, model: nn.Module, tokens: Tokens | None, fit: Transform, where: torch.device, dtype: torch.dtype
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
        width = getattr(getattr(model, "ln_final", None), "normalized_shape", (1024,))[0]
        self.texts_room = text_room(where, width)
        most = 16 if where.type == "cpu" else 256
        variants = int(min(most, max(1, room_for(where) // (PER_PIXEL * 3 * fit.size[0] * fit.size[1]))))
        self.pictures_room = Room("picture", variants)

    def texts(self, rows: list[list[int]]) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Yield indices (n,) into `rows` of token ids with the float16 vectors (n, d) of those; raises FullError."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        order = np.argsort(-lengths, kind="stable")  # longest first: where memory is short, it shows at once

        def work(batch: np.ndarray) -> tuple[np.ndarray, torch.Tensor]:
            texts = [rows[i] for i in batch]
            return batch, self._run(self.embed_texts, texts, self.texts_room, self._width(len(texts[0])))

        yield from self._each(work, self._batches(order, lengths))

    def pictures(self, variants: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield the float16 vectors (n, d) of batches of variants (3, height, width) uint8; raises FullError."""
        variants = iter(variants)

        def work(batch: list[torch.Tensor]) -> torch.Tensor:
            return self._run(self.embed_pictures, batch, self.pictures_room)

        yield from self._each(work, iter(lambda: list(islice(variants, self.pictures_room.at_once)), []))

    def _each(self, work: Callable[[Any], Any], batches: Iterable) -> Iterator:
        if self.device.type != "cpu":
            return map(work, batches)
        return threads.in_order(threads.cores(), work, batches, ahead=torch.get_num_threads() + 1)

    def _batches(self, order: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
        """Split rows, in `order` from the longest on, into batches that `texts_room` holds, padding included."""
        at_once, start = self.texts_room.at_once, 0
        if self.device.type == "cpu":  # little work is shared by all cores, too, and short batches hold less padding
            at_once = min(at_once, max(512, -(-int(lengths.sum()) // (BATCHES_A_CORE * torch.get_num_threads()))))
        while start < len(order):
            step = max(1, at_once // self._width(int(lengths[order[start]])))
            yield order[start : start + step]
            start += step

    def _width(self, longest: int) -> int:
        """The tokens that a row takes in a batch whose longest row has so many."""
        return self._context if self.causal is None else longest

    def _run(self, embed: Callable[[list], torch.Tensor], batch: list, room: Room, size: int = 1) -> torch.Tensor:
        """Return the vectors (n, d) float16 of a batch, L2-normalised; `size`: what an item takes of the room."""

        def vectors(some: list) -> torch.Tensor:
            with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, self.dtype != torch.float32):
                return normalize(embed(some).float(), dim=-1).half().flatten(1)

        return torch.cat(list(room.each(vectors, batch, size)))

    def embed_texts(self, rows: list[list[int]]) -> torch.Tensor:
        """Return the embeddings (n, d) of rows of token ids; rows are padded to the longest, or to the full context."""
        ids, last = self._ids(rows)
        return self.model.encode_text(ids) if self.causal is None else short_forward(self.causal, ids, last)

    def _ids(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return rows of token ids as padded ids (n, width), and the place (n,) of each row's last token."""
        longest = max(map(len, rows))
        ids, mask = (part.to(self.device, non_blocking=True) for part in padded(rows, self._pad, self._width(longest)))
        return ids, mask.sum(dim=1) - 1

    def embed_pictures(self, variants: list[torch.Tensor]) -> torch.Tensor:
        """Return the embeddings (n, d) of variants (3, height, width) uint8."""
        return self.model.encode_image(self._pixels(variants))

    def _pixels(self, variants: list[torch.Tensor]) -> torch.Tensor:
        """Return variants as the model's input (n, 3, height, width)."""
        pixels = torch.stack(variants)  # uint8: a quarter of the bytes to move
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        pixels = pixels.to(self.device, non_blocking=True).to(torch.float32, memory_format=torch.channels_last)
        return (pixels - self._mean) / self._scale


def padded(rows: Sequence[list[int]], pad: int, width: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and mask (n, width) int64 of rows of token ids; the width is by default that of the longest row."""
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(width or lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad, dtype=np.int64)
    ids[mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def room_for(where: torch.device) -> int:
    """Return how many float32 values a batch may take on a device."""
    room = SHARE * free_memory(where) // 4
    return room // torch.get_num_threads() if where.type == "cpu" else room  # so many batches are worked on at once


def text_room(where: torch.device, width: int) -> Room:
    """Return how many tokens of so many channels are worked on at once."""
    most = 4096 if where.type == "cpu" else 262_144
    return Room("text", int(min(most, max(1, room_for(where) // (PER_TOKEN * width)))))


def short_forward(tower: nn.Module, ids: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Return the embeddings (n, d) of a native causal CLIP text tower, read at `last (n,)`.

    `ids (n, width)` may be narrower than the context: with a causal mask, position t depends on positions up to t only,
    so the padding behind the end-of-text token need not be computed.
    """
    x = hidden(tower, ids)
    return projected(tower, x[torch.arange(len(x), device=x.device), last])  # the norm is per position


def hidden(tower: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Return what the layers of such a tower make of `ids (n, width)`: (n, width, channels)."""
    width = ids.shape[1]
    x = tower.token_embedding(ids) + tower.positional_embedding[:width]
    return tower.transformer(x, attn_mask=tower.attn_mask[:width, :width])


def projected(tower: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return positions (..., channels) in the joint space (..., d)."""
    x = tower.ln_final(x)
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
