"""Encoders: texts, pictures and clips to vectors of one space, by any open_clip model.

`encoders.load_encoder` gives one object that holds the model together with its preprocessing (they are one thing) and a
fingerprint over both. Vectors are the projected embeddings, L2-normalised as CLIP's training and everybody's cosine
similarities have them, then rounded to float16: every entry point sees the same numbers, stored or fresh.

The number format is `device.dtype`'s: float32 on a CPU, bfloat16 autocast on CUDA where the hardware has it. A vector
depends on its neighbours in the batch only by float32 rounding (about 1e-7), which can move a float16 value by its last
bit. Where a GPU has no room for even one item, the CPU computes it, and the note on the item keeps it out of the store.

Source: open_clip 3.3.0, `model.py` and `factory.py`; the short forward is exact because a causal tower that is read at
its end-of-text token never looks at what follows. Open doubt: towers from transformers outside open_clip
are not loaded.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from workbench import device as devices
from workbench.errors import WorkbenchError
from workbench.features.blocks import Blocks, TransientError
from workbench.features.encoders import identity, loading, patches, timm
from workbench.features.encoders.forward import threads
from workbench.features.encoders.forward.towers import Towers
from workbench.features.encoders.forward.transform import Transform, Transformed
from workbench.features.encoders.forward.windows import Tokens, Windows
from workbench.features.encoders.names import clip_options, reading_options
from workbench.preprocessing.image.decoding import ImageOptions
from workbench.preprocessing.video.reader import VideoOptions

if TYPE_CHECKING:
    from workbench.features.encoders.trainable import Tunable

log = logging.getLogger(__name__)
TEXT_CHUNK = 8192  # texts, and as many characters as 500 each, that are tokenized and sorted together
AHEAD = {"image": 64, "video": 24}  # items decoded ahead of the model; a resized picture takes 150 kB at 224 pixels
Report = Callable[[int], None]


class Encoder:
    """One model with its preprocessing on one device; make it with `encoders.load_encoder`.

    Attributes:
        name: what it was asked for by.
        dim: length of a vector, the same for all modalities.
        weights: 64 hex digits over the weights and the configuration alone.
        dtype: the number format that the towers compute in.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        tokens: Tokens | None,
        config: dict[str, Any],
        where: torch.device,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.name, self.device, self.dtype = name, where, dtype or devices.dtype(where)
        self.tokens, self.dim = tokens, int(config["embed_dim"])
        self.fit = replace(self._fit(model, config), clips=clip_options(name)).fitted(reading_options(name).fit)
        self.weights = weights_digest(model, config)
        self.model, self.config = model, config
        self._depends: dict[str, dict[str, Any]] = {}
        self.towers = Towers(self.model, self.tokens, self.fit, self.device, self.dtype)

    @staticmethod
    def _fit(model: nn.Module, config: dict[str, Any]) -> Transform:
        return Transform.of(model.visual.preprocess_cfg)

    @property
    def recipe(self) -> dict[str, Any]:
        """What the vectors depend on beside the weights and the model's configuration."""
        return {
            "text": self.tokens.recipe,
            "image": self.fit.recipe,
            "video": self.fit.clip_recipe,
            "dtype": str(self.dtype),
            "values": "L2-normalised, float16",
        }

    def entries(self, modality: str) -> tuple[Callable[..., Any], ...]:
        """Return the functions that lie between a content of a modality and its vectors."""
        made_by = (loading.load,) if modality == "text" else (loading.network,)  # tokens are for texts alone
        return (type(self), getattr(type(self), f"encode_{modality}"), *made_by)

    @classmethod
    def alone(cls, modality: str) -> tuple[Callable[..., Any], ...]:
        """Return the functions and options that contents of no other modality go through."""
        reads = {"image": [Transform.read, ImageOptions], "video": [Transform.read_clip, VideoOptions]}
        return (getattr(cls, f"encode_{modality}"), *reads.get(modality, []))

    def depends(self, modality: str) -> dict[str, Any]:
        """Return what vectors of a modality depend on, by content (see `identity.depends`)."""
        if modality not in self._depends:
            self._depends[modality] = identity.depends(self, modality)
        return self._depends[modality]

    def identity(self, modality: str) -> str:
        """Return 64 hex digits over what vectors of a modality depend on.

        Whatever changes a vector changes them: weights, options, number format, code, libraries. Nothing else does:
        not the name, not the device, not the batch size.
        """
        return identity.of_vectors(self.depends(modality))

    def encode_text(self, texts: Sequence[str | None], report: Report | None = None) -> Blocks:
        """Return a row for each window of a text and then of its other variants; k = 0 for None, "" and white space.

        `report`, here and below, is called with the number of items done so far.
        """

        def encode(encoder: Encoder) -> Blocks:
            parts, done = [], 0
            for chunk in _chunks(texts):
                parts.append(encoder._texts(chunk, done, report))
                done += len(chunk)
            return Blocks.join(parts, self.dim)

        return self._with_room(encode)

    def text_kinds(self, text: str) -> list[str | None]:
        """Return what was undone in each variant of a text, by its number in `Blocks.variants`; None for the raw."""
        return self.tokens.kinds(text)

    def encode_image(self, pictures: Sequence[bytes | None], report: Report | None = None) -> Blocks:
        """Return one row per variant of each picture file; k = 0 for None, NaN and a reason for the unreadable."""
        return self._with_room(lambda encoder: encoder._encode_pixels("image", encoder.fit.read, pictures, report))

    def encode_video(self, clips: Sequence[bytes | None], report: Report | None = None) -> Blocks:
        """Return one row per frame of each clip, in time order; k = 0 for None, NaN and a reason for the unreadable."""
        return self._with_room(lambda encoder: encoder._encode_pixels("video", encoder.fit.read_clip, clips, report))

    @cached_property
    def unpooled(self) -> UnpooledEncoder:
        """The encoder whose vectors hold the patches of a picture and the tokens of a text (see `patches`).

        Raises WorkbenchError where the towers do not give them.
        """
        return UnpooledEncoder(self)

    def tunable(self) -> Tunable:
        from workbench.features.encoders.trainable import Tunable

        return Tunable(self)

    def _texts(self, texts: Sequence[str | None], before: int, report: Report | None) -> Blocks:
        windows: Windows = self.tokens.windows(texts)
        values, done = np.empty((len(windows.rows), self.dim), dtype=np.float16), 0
        order, vectors = [], []
        for rows, batch in self.towers.texts(windows.rows):
            order.append(rows)
            vectors.append(batch)
            done += len(rows)
            if report is not None:  # windows stand for texts here: they are finished in the order of their length
                report(before + len(texts) * done // len(windows.rows))
        if vectors:
            values[np.concatenate(order)] = torch.cat(vectors).cpu().numpy()
        return _blocks(values, windows.counts, windows.reasons, windows.notes, windows.variants)

    def _encode_pixels(
        self, modality: str, read: Callable[[bytes], Transformed], items: Sequence[bytes | None], report: Report | None
    ) -> Blocks:
        """Return the blocks of pictures or clips; threads decode ahead while the model works."""
        counts, reasons, notes, numbers, vectors = [], [], [], [], []

        def variants() -> Iterator[torch.Tensor]:
            def transformed(data: bytes | None) -> Transformed:
                return Transformed(None) if data is None else read(data)

            for found in threads.in_order(threads.cores(), transformed, items, AHEAD[modality]):
                counts.append(0 if found.variants is None else len(found.variants))
                reasons.append(found.reason)
                notes.append(found.note)
                numbers.extend(found.numbers)
                yield from [] if found.variants is None else found.variants

        done = 0
        for batch in self.towers.pictures(variants()):
            vectors.append(batch)
            done += len(batch)
            if report is not None:
                report(int(np.searchsorted(np.cumsum(counts), done, side="right")))
        if report is not None and items:
            report(len(items))
        values = torch.cat(vectors).cpu().numpy() if vectors else np.empty((0, self.dim), np.float16)
        return _blocks(values, counts, reasons, notes, numbers)

    def _with_room(self, encode: Callable[[Encoder], Blocks]) -> Blocks:
        """Encode here, or on the CPU where the device has no room for one item; then nothing of it is stored."""
        try:
            return encode(self)
        except devices.FullError:
            if self.device.type == "cpu":
                raise WorkbenchError(
                    f"encoder {self.name!r} does not fit in the memory of {self.device}; take a smaller one"
                ) from None
        warning = f"computed on the CPU, for one item of {self.name!r} does not fit in the memory of {self.device}"
        log.warning(warning)
        blocks = encode(self._spare)
        notes = [TransientError(f"{note}; {warning}" if note else warning) for note in blocks.notes]
        return replace(blocks, notes=notes)

    @cached_property
    def _spare(self) -> Encoder:
        model = copy.deepcopy(self.model)
        return type(self)(self.name, model.to("cpu"), self.tokens, self.config, torch.device("cpu"), torch.float32)


class Backbone(Encoder):
    """A network of timm's that reads pictures, and clips frame by frame, but no text; its vectors are pooled features.

    Attributes as for `Encoder`; they hold the configuration of timm's preprocessing (`timm.data`) in place of CLIP's.
    """

    @staticmethod
    def _fit(model: nn.Module, config: dict[str, Any]) -> Transform:
        return timm.fit(config["data"])

    @property
    def recipe(self) -> dict[str, Any]:
        vision = {"image": self.fit.recipe, "video": self.fit.clip_recipe}
        return {**vision, "dtype": str(self.dtype), "values": "L2-normalised, float16"}

    def entries(self, modality: str) -> tuple[Callable[..., Any], ...]:
        """Return the functions that lie between a content of a modality and its vectors."""
        return (type(self), getattr(type(self), f"encode_{modality}"), timm.load)

    def encode_text(self, texts: Sequence[str | None], report: Report | None = None) -> Blocks:
        """Raise WorkbenchError: it has no tower for texts."""
        raise WorkbenchError(f"encoder {self.name!r} reads pictures and clips only; name a CLIP for texts")


class UnpooledEncoder(Encoder):
    """The encoder whose vector has all embeddings of a content; it shares the weights of the one that it was made from.

    Attributes:
        width: the length of one embedding; `dim` is that of all embeddings.
    """

    def __init__(self, whole: Encoder) -> None:
        patches.check(whole.name, whole.towers)
        own = ("unpooled", "_spare", "_depends")
        self.__dict__.update({key: value for key, value in whole.__dict__.items() if key not in own})
        self.whole, self.width, self.dim = whole, whole.dim, whole.dim * patches.EMBEDDINGS
        self._depends = {}
        self.towers = patches.UnpooledTowers(whole.model, whole.tokens, whole.fit, whole.device, whole.dtype)

    @property
    def recipe(self) -> dict[str, Any]:
        return {**self.whole.recipe, "pieces": f"pooled vector and {patches.TOKENS} pieces, 1"}

    @cached_property
    def _spare(self) -> Encoder:
        return UnpooledEncoder(self.whole._spare)


def weights_digest(model: nn.Module, config: dict[str, Any]) -> str:
    """Return sha256 over the configuration and the weights by name, shape, type and content.

    The kind of a model is told by the word that a class of ours has for it in the digests of saved bundles, and by the
    name of its class where that is a library's.
    """
    kind = getattr(model, "word", type(model).__name__)
    digest = hashlib.sha256(json.dumps([kind, config], sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _blocks(
    values: np.ndarray, counts: list[int], reasons: list[str | None], notes: list[str | None], variants: list[int]
) -> Blocks:
    """Return blocks in which an item with a value that is no number counts as unread: the model failed on it."""
    finite = np.isfinite(values).all(axis=1)
    if finite.all():
        return Blocks.build(values, counts, reasons, notes, variants)
    owners = np.repeat(np.arange(len(counts)), counts)
    broken = np.zeros(len(counts), dtype=bool)
    broken[owners[~finite]] = True
    failed = TransientError("the encoder gave no finite values")
    reasons = [failed if bad else reason for bad, reason in zip(broken, reasons, strict=True)]
    kept = ~broken[owners]
    return Blocks.build(values[kept], np.where(broken, 0, counts), reasons, notes, np.array(variants)[kept])


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
