"""The loop of training: epochs with early stopping, a step in the memory there is, and the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from workbench.device import Room
from workbench.errors import WorkbenchError

Rows = np.ndarray | torch.Tensor


class Schedule(Protocol):
    """What training reads of a model's options; beside these, where there are any: loss, upsample."""

    epochs: int
    lr: float
    weight_decay: float
    batch_size: int
    patience: int


@dataclass
class Progress:
    """Where training stands: the loss after each epoch, and the best of them with its number and the weights then."""

    losses: list[float] = field(default_factory=list)
    best: float = float("inf")
    best_epoch: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)


def train_epochs(
    network: nn.Module,
    options: Schedule,
    learn: Callable[[int], None],
    lost: Callable[[], float],
    progress: Progress | None = None,
    saved: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Train epoch by epoch; the network ends with the weights of the epoch after which it lost least.

    learn: called with the number of an epoch, the first being 1, and goes through the training posts once; lost:
    returns what is lost now. It ends early after `patience` epochs without a gain. progress: where to go on from, kept
    up to date; saved: called after each epoch that another one may follow. Returns epochs run, best epoch and its loss.
    Raises WorkbenchError where the loss is never a number.
    """
    progress = progress or Progress()
    for epoch in range(len(progress.losses) + 1, options.epochs + 1):
        network.train()
        learn(epoch)
        now = lost()
        progress.losses.append(now)
        if now < progress.best:
            progress.best, progress.best_epoch, progress.weights = now, epoch, copied(network)
        elif epoch - progress.best_epoch >= options.patience:
            break
        saved()
    if not progress.weights:
        raise WorkbenchError(f"training with lr {options.lr:g} diverged; lower `lr` or raise `weight_decay`")
    network.load_state_dict(progress.weights)
    return {"epochs": len(progress.losses), "best_epoch": progress.best_epoch, "loss": progress.best}


def copied(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of all weights by name, on the CPU: the device's memory is for training."""
    return {name: value.detach().to("cpu", copy=True) for name, value in network.state_dict().items()}


def weights_of(network: nn.Module, prefix: str) -> dict[str, np.ndarray]:
    """Return all weights as arrays by their names, each behind a prefix, as a model saves them."""
    return {f"{prefix}{name}": value.detach().cpu().numpy() for name, value in network.state_dict().items()}


def take_weights(network: nn.Module, arrays: Mapping[str, Any], prefix: str) -> None:
    """Take back what `weights_of` returned, of arrays or tensors that may hold others too."""
    mine = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
    network.load_state_dict({name: torch.as_tensor(value) for name, value in mine.items()})


def gradient(
    room: Room, optimizer: torch.optim.Optimizer, batch: Rows, cells: Rows, loss: Callable[[Rows], torch.Tensor]
) -> None:
    """Leave the gradient of a batch in the parameters, gathered in as many parts as the memory asks for.

    batch (n,): rows of `cells`, of which each row (n_posts,) or (n_posts, n_labels) adds up to how many cells of the
    loss a post has; loss: some rows -> the mean over their cells. Each cell of the batch weighs alike, whatever the
    parts. Where a part does not fit, all is begun anew: a broken one may be in the gradient.
    """

    def gathered(first: Rows) -> None:
        optimizer.zero_grad(set_to_none=True)
        if len(first) == len(batch):
            loss(batch).backward()
            return
        total = max(1, int(cells[batch].sum()))
        for start in range(0, len(batch), len(first)):
            part = batch[start : start + len(first)]
            (loss(part) * (int(cells[part].sum()) / total)).backward()

    room.fit(gathered, batch)


def adamw(network: nn.Module, options: Schedule) -> torch.optim.Optimizer:
    """Return AdamW that draws weights to zero, but neither biases nor the vectors of absent sides."""
    fused = next(network.parameters()).device.type in ("cpu", "cuda")
    return torch.optim.AdamW(decayed(network.parameters(), options.weight_decay), lr=options.lr, fused=fused)


def decayed(parameters: Iterable[nn.Parameter], decay: float, **more: Any) -> list[dict[str, Any]]:
    """Return the optimizer's groups, each with `more`: matrices, which are drawn to zero, and all others."""
    parameters = list(parameters)
    groups = (([p for p in parameters if p.ndim > 1], decay), ([p for p in parameters if p.ndim < 2], 0.0))
    return [{"params": some, "weight_decay": weight, **more} for some, weight in groups if some]
