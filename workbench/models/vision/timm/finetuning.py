"""How a network that reads pictures learns from pixels: decoding, augmentation, steps, early stopping, scores.

Everything random comes from the seed: the order of posts, the changes of pictures, and what the network itself drops,
for which torch's global state is set aside and put back. On a GPU the forward pass is in the encoder's number format
(autocast).

A network that comes with weights keeps the statistics of its batch norms: those of a few dozen posts would be noise.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from torch.nn import functional

from workbench.device import Room
from workbench.errors import WorkbenchError
from workbench.features import TransientError
from workbench.features.encoders.forward import threads
from workbench.features.encoders.forward.transform import Transform, Transformed
from workbench.features.items import Pictures
from workbench.models.fit.loop import decayed, gradient, train_epochs
from workbench.models.fit.losses import masked_bce
from workbench.models.heads.networks import Linear
from workbench.preprocessing.image.augmentation import AugmentOptions, augment, generator
from workbench.schema import declared

HELD = 2**30  # bytes of decoded pictures that stay in memory
AT_ONCE = 64  # variants scored together
HEAD_LR = 10  # times the learning rate, for the part that starts from nothing


class Pixels:
    """The pictures of a table, fitted to an encoder's input.

    Attributes:
        readable (n_posts,): which posts have a picture that can be read.
        reasons: for each post that declares a picture that cannot, why; None for all others.
    """

    def __init__(self, table: pa.Table, fit: Transform) -> None:
        self._contents, self._fit = Pictures(table), fit
        self._there = declared(table)["image"]
        self._held: dict[int, torch.Tensor] = {}
        self.readable = np.zeros(len(table), dtype=bool)
        self.reasons: list[str | None] = [None] * len(table)
        size = 0
        for row, transformed in enumerate(
            threads.in_order(threads.cores(), self._transformed, range(len(table)), ahead=64)
        ):
            self.readable[row] = transformed.variants is not None
            if transformed.variants is None:
                why = transformed.reason or "nothing in the image could be read"
                self.reasons[row] = why if self._there[row] else None
            elif size + transformed.variants.nbytes <= HELD:
                self._held[row] = transformed.variants
                size += transformed.variants.nbytes

    def __getitem__(self, row: int) -> torch.Tensor:
        """Return the variants (k, 3, height, width) uint8 of a post that can be read."""
        if row in self._held:
            return self._held[row]
        variants = self._transformed(row).variants
        if variants is None:
            raise WorkbenchError("a picture changed or went away while a model was trained on it; start again")
        return variants

    def _transformed(self, row: int) -> Transformed:
        if not self._there[row] or self._contents.keys[row] is None:
            return Transformed(None, self._contents.unread.get(row))
        item = self._contents.fetch(row)
        return Transformed(None, item) if isinstance(item, TransientError) else self._fit.read(item)


class PictureExamples(NamedTuple):
    """What is learnt from: rows (m,) of `pixels`, each as often as an epoch sees it; y, known (n_posts, n_labels)."""

    pixels: Pixels
    rows: np.ndarray
    y: np.ndarray
    known: np.ndarray


class Network(nn.Module):
    """The picture tower of an encoder with one linear layer on it, from uint8 pixels to logits (n, n_labels)."""

    def __init__(self, encoder: Any, n_labels: int, chance: torch.Generator) -> None:
        super().__init__()
        self.visual = copy.deepcopy(encoder.model.visual).float().requires_grad_(True)
        self.output = Linear(encoder.dim, n_labels, chance).to(encoder.device)
        self.format, self.room = encoder.dtype, Room("picture", AT_ONCE)  # of scoring
        self.norms_learn = encoder.name.partition("?")[0].endswith("@random")
        for name, values in (("mean", encoder.fit.mean), ("scale", encoder.fit.std)):
            numbers = torch.tensor(values, device=encoder.device).view(1, 3, 1, 1) * 255
            self.register_buffer(name, numbers, persistent=False)

    @classmethod
    def on(cls, encoder: Any, n_labels: int, seed: int) -> Network:
        """Return the network before training."""
        return cls(encoder, n_labels, torch.Generator().manual_seed(seed)).eval()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return logits; features are normalised first, for their size differs from backbone to backbone."""
        pixels = pixels.to(self.mean.device, torch.float32, memory_format=torch.channels_last)
        with torch.autocast(self.mean.device.type, self.format, self.format != torch.float32):
            features = self.visual((pixels - self.mean) / self.scale)
        return self.output(functional.layer_norm(features.float(), features.shape[-1:]))

    def train(self, mode: bool = True) -> Network:
        """Switch to training; batch norms of a network that came with weights stay as they are."""
        super().train(mode)
        for module in self.visual.modules() if mode and not self.norms_learn else ():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def weights(self) -> dict[str, np.ndarray]:
        """Return what was learnt by name; counters of batches, which no score depends on, are left out."""
        kept = {name: value for name, value in self.state_dict().items() if value.ndim}
        return {name: value.detach().cpu().numpy() for name, value in kept.items()}

    def take_weights(self, arrays: dict[str, np.ndarray]) -> None:
        """Take back what `weights` returned; raises ValueError where it belongs to another network."""
        lacking = {name for name, value in self.state_dict().items() if value.ndim} ^ set(arrays)
        if lacking:
            raise ValueError(f"weights do not fit: {sorted(lacking)[0]}")
        self.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=False)


def fit(
    network: Network, train: PictureExamples, validation: PictureExamples, options: Any, seed: int
) -> dict[str, float]:
    """Fine-tune by AdamW; the network ends with the weights of the epoch that lost least on validation.

    Without a known label in validation the loss on train decides. Returns epochs run, the best one, its loss in nats
    per label, and how many posts of a step fitted into the memory. Raises WorkbenchError where the loss is never a
    number.
    """
    watched = validation if validation.known[validation.rows].any() else train
    device = network.mean.device
    visual = decayed(network.visual.parameters(), options.weight_decay, lr=options.lr)
    output = decayed(network.output.parameters(), options.weight_decay, lr=HEAD_LR * options.lr)
    optimizer, room = torch.optim.AdamW([*visual, *output]), Room("picture", options.batch_size + 1)
    order = torch.Generator().manual_seed(seed)

    def learn(epoch: int) -> None:
        def loss(batch: torch.Tensor) -> torch.Tensor:
            return _step_loss(network, train, batch.tolist(), options.augment, (seed, epoch))

        known = torch.from_numpy(train.known[train.rows])
        for batch in _batches(torch.randperm(len(train.rows), generator=order), options.batch_size):
            gradient(room, optimizer, batch, known, loss)
            optimizer.step()

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        record = train_epochs(network, options, learn, lambda: _loss(network, watched))
    return {**record, "at_once": min(room.at_once, options.batch_size)}


def _step_loss(
    network: Network, train: PictureExamples, batch: list[int], how: AugmentOptions | None, chance: tuple[int, int]
) -> torch.Tensor:
    """Return the loss on some entries of `train.rows`, changed by augmentation; chance: the seed and the epoch."""
    rows, where = train.rows[batch], network.mean.device
    pixels = [train.pixels[row][0] for row in rows.tolist()]
    if how is not None:
        pixels = [augment(picture, how, generator(*chance, n)) for picture, n in zip(pixels, batch, strict=True)]
    y, known = (torch.from_numpy(array[rows]).to(where) for array in (train.y, train.known))
    return masked_bce(network(torch.stack(pixels)), y, known)


def _batches(order: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    """Split an order into batches; a last one of a single post joins the one before, for norms need two."""
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    yield from parts


def _loss(network: Network, watched: PictureExamples) -> float:
    """Return the loss in nats per known label, of the first variants, without augmentation."""
    rows = np.unique(watched.rows)
    logits = torch.from_numpy(_forward(network, (watched.pixels[row][:1] for row in rows.tolist())))
    return float(masked_bce(logits, torch.from_numpy(watched.y[rows]), torch.from_numpy(watched.known[rows])))


def _forward(network: Network, variants: Iterator[torch.Tensor]) -> np.ndarray:
    """Return logits (n_readings, n_labels) of blocks of variants, some at a time."""

    def run(some: list[torch.Tensor]) -> torch.Tensor:
        return network(torch.stack(some)).cpu()

    network.eval()
    outputs, waiting = [], []
    with torch.inference_mode():
        for block in variants:
            waiting += list(block)
            while len(waiting) >= AT_ONCE:
                outputs += network.room.each(run, waiting[:AT_ONCE])
                waiting = waiting[AT_ONCE:]
        outputs += network.room.each(run, waiting)
    return torch.cat(outputs).numpy()


def scores(network: Network | None, pixels: Pixels, n_labels: int) -> tuple[np.ndarray, np.ndarray, list[str | None]]:
    """Return scores (n_posts, n_labels), the maximum over variants, readable (n_posts,), and the reasons of the others.

    Without a network, where no label could be learnt, scores are zeros.
    """
    maxima = np.zeros((len(pixels.readable), n_labels), dtype=np.float32)
    rows = np.flatnonzero(pixels.readable)
    if network is not None and len(rows):
        counts = []

        def variants() -> Iterator[torch.Tensor]:
            for row in rows.tolist():
                block = pixels[row]
                counts.append(len(block))
                yield block

        logits = _forward(network, variants())
        maxima[rows] = np.maximum.reduceat(logits, np.cumsum(counts) - counts, axis=0)
    return maxima, pixels.readable, pixels.reasons
