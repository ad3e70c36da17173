"""How a head on encoder embeddings learns: whitening, minibatches, early stopping.

Embeddings are computed once and stay in memory on the device; an epoch is a few dozen matrix products. Everything
random comes from one CPU generator, so that a GPU sees the same batches and masks as a CPU.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import nn

from workbench.models.losses import masked_bce
from workbench.models.networks import Halves
from workbench.schema import WorkbenchError

CHUNK = 16_384  # rows scored at once
FLOOR = 0.1  # of the mean variance: no direction is stretched by more than sqrt(10) against the average one


class Schedule(Protocol):
    """What training reads of a model's options."""

    epochs: int
    lr: float
    weight_decay: float
    batch_size: int
    patience: int


class Examples(NamedTuple):
    """What is learnt from: halves (each n_posts, dim), present (n_posts, n_halves), y and known (n_posts, n_labels)."""

    halves: Halves
    present: torch.Tensor
    y: torch.Tensor
    known: torch.Tensor


def whitening(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (dim,) and matrix (dim, dim), float32, such that (x - mean) @ matrix has about unit variance.

    x: (n, dim). An encoder spends most of its variance on what no label needs (colours, sizes, wording), and a small
    network fits that first; equal variance in all directions takes the advantage away. The symmetric form (ZCA) keeps
    the axes, so it does not depend on the order or signs of eigenvectors. Directions that the sample hardly knows are
    not blown up: FLOOR + dim / n of the mean variance is added to each.
    """
    n, dim = x.shape
    if n == 0:
        return np.zeros(dim, np.float32), np.eye(dim, dtype=np.float32)
    x = x.astype(np.float64)
    mean = x.mean(axis=0)
    variances, axes = np.linalg.eigh((x - mean).T @ (x - mean) / n)
    average = max(variances.mean(), 1e-12)
    scale = 1.0 / np.sqrt(np.maximum(variances, 0.0) + (FLOOR + dim / n) * average)
    return mean.astype(np.float32), ((axes * scale) @ axes.T).astype(np.float32)


def fit_head(
    network: nn.Module,
    train: Examples,
    validation: Examples | None,
    options: Schedule,
    generator: torch.Generator,
    hide: tuple[float, ...] = (),
) -> dict[str, float]:
    """Train a network by AdamW; it ends with the weights of the epoch that lost least on validation.

    Without a known label in validation the loss on train decides (then more epochs only help, and all are run).
    hide: for each half, the share of the posts that have both halves whose half is hidden in a batch.
    Returns what happened: epochs run, best epoch, its loss in nats per label. Raises WorkbenchError where the loss is
    never a number.
    """
    watched = validation if validation is not None and bool(validation.known.any()) else train
    optimizer = _optimizer(network, options)
    best, best_epoch, best_state, epoch = float("inf"), 0, {}, 0
    for epoch in range(1, options.epochs + 1):
        network.train()
        for rows in torch.randperm(len(train.y), generator=generator).split(options.batch_size):
            rows = rows.to(train.y.device)
            present = _hidden(train.present[rows], hide, generator)
            loss = masked_bce(network(tuple(x[rows] for x in train.halves), present), train.y[rows], train.known[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        lost = float(masked_bce(score(network, watched.halves, watched.present), watched.y, watched.known))
        if lost < best:
            best, best_epoch = lost, epoch
            best_state = {name: value.detach().clone() for name, value in network.state_dict().items()}
        elif epoch - best_epoch >= options.patience:
            break
    if not best_state:
        raise WorkbenchError(f"training with lr {options.lr:g} diverged; lower `lr` or raise `weight_decay`")
    network.load_state_dict(best_state)
    return {"epochs": epoch, "best_epoch": best_epoch, "loss": best}


def _optimizer(network: nn.Module, options: Schedule) -> torch.optim.Optimizer:
    """Return AdamW that draws weights to zero, but neither biases nor the vectors of absent halves."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim < 2]
    groups = [{"params": weights, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=options.lr, fused=next(network.parameters()).device.type in ("cpu", "cuda"))


def score(network: nn.Module, halves: Halves, present: torch.Tensor) -> torch.Tensor:
    """Return logits (n_posts, n_labels), chunk by chunk and without gradients."""
    network.eval()
    with torch.inference_mode():
        chunks = range(0, len(present), CHUNK)
        return torch.cat([network(tuple(x[i : i + CHUNK] for x in halves), present[i : i + CHUNK]) for i in chunks])


def _hidden(present: torch.Tensor, hide: tuple[float, ...], generator: torch.Generator) -> torch.Tensor:
    """Return `present` with halves hidden at random in posts that have all of them; at most one half of a post."""
    if not any(hide):
        return present
    draw = torch.rand((len(present), 1), generator=generator).to(present.device)
    edges = torch.tensor([0.0, *hide], device=present.device).cumsum(0)
    hidden = (draw >= edges[:-1]) & (draw < edges[1:]) & present.all(dim=1, keepdim=True)
    return present & ~hidden
