"""A small network over rows of token ids, and how it learns: length-sorted batches, padded to their own longest row.

An embedding table, then either the mean of a text's embeddings (a bag: order is not seen) or residual convolutions, of
which each token sees `width ** depth` tokens around it; the mean of the embeddings and the maximum over the places of
what the convolutions made of them give the logits. Padding is zero at every layer, so a text scores the same alone and
in any batch, up to rounding.

Sources: the maximum over places after Kim 2014, https://aclanthology.org/D14-1181; dilation that grows by the width
after van den Oord et al. 2016, arXiv 1609.03499. Open doubt: every table row gets a gradient in every step (dense), so
AdamW's cost grows with the vocabulary; a sparse Adam would be cheaper for large ones.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from workbench.device import Room
from workbench.models.fit.loop import Schedule, adamw, gradient, train_epochs
from workbench.models.fit.losses import masked_bce
from workbench.models.heads.networks import Dropout, Linear
from workbench.preprocessing.text.tokenizers import PADDING

TOKENS = 16_384  # scored at once, padding included
SPREAD = 0.1  # of its length, by which a row's place in the order of lengths is shaken in every epoch


class TokenNetwork(nn.Module):
    """Logits (n_rows, n_labels) of rows of ids (n_rows, length), filled up with `PADDING`.

    shape: the options `network`, `dim`, `width`, `depth` and `dropout`.
    generator: of the first weights and the dropout masks, on the CPU; None for a network about to be loaded.
    """

    def __init__(self, size: int, n_labels: int, shape: Any, generator: torch.Generator | None = None) -> None:
        super().__init__()
        dim, deep = shape.dim, shape.network == "conv"
        self.table = nn.Parameter(torch.empty(size, dim).normal_(0, 0.1, generator=generator))
        layers = [Linear(shape.width * dim, dim, generator) for _ in range(shape.depth if deep else 0)]
        self.width, self.layers = shape.width, nn.ModuleList(layers)
        self.drop = Dropout(shape.dropout, generator)
        self.output = Linear(2 * dim if deep else dim, n_labels, generator)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits; every row has at least one token."""
        mask = (ids != PADDING)[:, :, None]
        x = self.drop(functional.embedding(ids, self.table)) * mask
        pooled = x.sum(dim=1) / mask.sum(dim=1)
        if len(self.layers):
            for number, layer in enumerate(self.layers):
                x = (x + functional.gelu(self._convolved(x, layer, self.width**number))) * mask
            pooled = torch.cat([pooled, x.masked_fill(~mask, -torch.inf).amax(dim=1)], dim=1)
        return self.output(self.drop(pooled))

    def _convolved(self, x: torch.Tensor, layer: Linear, dilation: int) -> torch.Tensor:
        """Return (n_rows, length, dim), each place made of `width` places that are `dilation` apart."""
        kernel = layer.weight.view(layer.out_features, self.width, -1).transpose(1, 2)  # (dim, dim, width)
        padding = dilation * (self.width // 2)
        y = functional.conv1d(x.transpose(1, 2), kernel, layer.bias, padding=padding, dilation=dilation)
        return y.transpose(1, 2)


def batches(order: np.ndarray, length: np.ndarray, size: int, tokens: int = 1 << 62) -> Iterator[np.ndarray]:
    """Yield runs of `order`, each of at most `size` rows and, padded, `tokens` tokens (but at least one row)."""
    start = 0
    while start < len(order):
        stop = min(start + size, len(order))
        longest = np.maximum.accumulate(length[order[start:stop]])
        fits = longest * np.arange(1, stop - start + 1) <= tokens
        stop = start + max(1, int(fits.sum()))
        yield order[start:stop]
        start = stop


def padded(rows: Sequence[np.ndarray]) -> torch.Tensor:
    """Return rows of ids as int64 (n_rows, longest)."""
    return pad_sequence([torch.from_numpy(np.asarray(ids, np.int64)) for ids in rows], True, PADDING)


def score(network: TokenNetwork, rows: Sequence[np.ndarray]) -> np.ndarray:
    """Return logits float32 (n_rows, n_labels), whatever the order of the rows."""
    length = np.array([len(row) for row in rows], dtype=np.int64)
    out = np.empty((len(rows), network.output.out_features), np.float32)
    room = vars(network).setdefault("room", Room("text", TOKENS))  # with the network, so that what fits is found once

    def logits(some: np.ndarray) -> np.ndarray:
        return network(padded([rows[i] for i in some])).numpy()

    network.eval()
    with torch.inference_mode():
        for some in batches(np.argsort(length, kind="stable"), length, len(rows), TOKENS):
            out[some] = np.concatenate(list(room.each(logits, some)))
    return out


class TextExamples:
    """Rows of ids with their y and known (n_rows, n_labels)."""

    def __init__(self, rows: Sequence[np.ndarray], y: np.ndarray, known: np.ndarray) -> None:
        self.rows, self.length = rows, np.array([len(row) for row in rows], dtype=np.int64)
        self.y, self.known = torch.from_numpy(y), torch.from_numpy(known)

    def lost(self, network: TokenNetwork) -> float:
        """Return the masked cross-entropy over all rows."""
        return float(masked_bce(torch.from_numpy(score(network, self.rows)), self.y, self.known))

    def epoch(self, size: int, generator: torch.Generator) -> list[np.ndarray]:
        """Return batches of rows of about one length, in random order."""
        shake = torch.rand(len(self.rows), generator=generator, dtype=torch.float64).numpy()
        order = np.argsort(self.length * (1 + SPREAD * shake) + shake, kind="stable")
        batch_rows = list(batches(order, self.length, size))
        return [batch_rows[i] for i in torch.randperm(len(batch_rows), generator=generator).tolist()]


def fit(
    network: TokenNetwork, train: TextExamples, validation: TextExamples, options: Schedule, generator: torch.Generator
) -> dict[str, Any]:
    """Train by AdamW; the network ends with the weights of the epoch that lost least on validation.

    Without a known label in validation the loss on train decides. Returns what happened: epochs run, the best epoch,
    its loss in nats per label, the texts of a step that the memory held at once, and `memory`, in bytes (see
    `StepMemory`). Raises WorkbenchError where the loss is never a number.
    """
    watched, memory = validation if bool(validation.known.any()) else train, {}
    optimizer, room = adamw(network, options), Room("text", options.batch_size)

    def loss(rows: np.ndarray) -> torch.Tensor:
        return masked_bce(network(padded([train.rows[i] for i in rows])), train.y[rows], train.known[rows])

    def learn(epoch: int) -> None:
        parts = train.epoch(options.batch_size, generator)
        largest = max(range(len(parts)), key=lambda i: len(parts[i]) * train.length[parts[i]].max())
        for number, rows in enumerate(parts):
            held = StepMemory(network) if epoch == 1 and number == largest else None
            with held or contextlib.nullcontext():
                gradient(room, optimizer, rows, train.known, loss)
            optimizer.step()
            if held is not None:
                memory.update(held.bytes(optimizer))

    record = train_epochs(network, options, learn, lambda: watched.lost(network))
    return {**record, "at_once": room.at_once, "memory": memory}


class StepMemory:
    """What a training step keeps in memory: counted tensor by tensor, so it is the same on every machine.

    Entering it watches what the forward pass keeps for the backward one; each storage counts once, parameters not.
    """

    def __init__(self, network: TokenNetwork) -> None:
        self.network, self.storages = network, {}
        self.own = {p.untyped_storage().data_ptr() for p in network.parameters()}
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self._count, lambda tensor: tensor)

    def _count(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.own:
            self.storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    def __enter__(self) -> StepMemory:
        self.hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.hooks.__exit__(*error)

    def bytes(self, optimizer: torch.optim.Optimizer) -> dict[str, int]:
        """Return the bytes of parameters, gradients, the optimizer's state and the activations kept for the gradient.

        The temporary results of single operations and what the libraries themselves take are not in it.
        """
        parameters = list(self.network.parameters())
        state = [value for slot in optimizer.state.values() for value in slot.values() if torch.is_tensor(value)]
        return {
            "parameters": sum(p.nbytes for p in parameters),
            "gradients": sum(p.grad.nbytes for p in parameters if p.grad is not None),
            "optimizer": sum(value.nbytes for value in state),
            "activations": sum(self.storages.values()),
        }
