"""The loop of training: epochs with early stopping, and the optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import nn

from workbench.errors import WorkbenchError


class Schedule(Protocol):
    """What training reads of a model's options; beside these, where there are any: loss, upsample."""

    epochs: int
    lr: float
    weight_decay: float
    batch_size: int
    patience: int


def keep_best(
    network: nn.Module, options: Schedule, learn: Callable[[int], None], lost: Callable[[], float]
) -> dict[str, float]:
    """Train epoch by epoch; the network ends with the weights of the epoch after which it lost least.

    learn: called with the number of an epoch, the first being 1, and goes through the training posts once; lost:
    returns what is lost now. It ends early after `patience` epochs without a gain. Returns epochs run, best epoch and
    its loss. Raises WorkbenchError where the loss is never a number.
    """
    best, best_epoch, best_state, epoch = float("inf"), 0, {}, 0
    for epoch in range(1, options.epochs + 1):
        network.train()
        learn(epoch)
        now = lost()
        if now < best:
            best, best_epoch = now, epoch
            best_state = {name: value.detach().clone() for name, value in network.state_dict().items()}
        elif epoch - best_epoch >= options.patience:
            break
    if not best_state:
        raise WorkbenchError(f"training with lr {options.lr:g} diverged; lower `lr` or raise `weight_decay`")
    network.load_state_dict(best_state)
    return {"epochs": epoch, "best_epoch": best_epoch, "loss": best}


def adamw(network: nn.Module, options: Schedule) -> torch.optim.Optimizer:
    """Return AdamW that draws weights to zero, but neither biases nor the vectors of absent halves."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim < 2]
    groups = [{"params": weights, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=options.lr, fused=next(network.parameters()).device.type in ("cpu", "cuda"))
