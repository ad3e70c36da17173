"""Logistic regression of all labels at all penalties in one pass over the features.

L labels at P penalties are L * P convex problems over the same rows. Solved one by one, each reads the features anew;
here every step of all of them is one product of matrices, features (n_posts, dim) times (dim, L * P). The objective of
each is scikit-learn's: C * sum over known posts of the log loss + half the squared weights; the bias is free.

Method: Newton with preconditioned conjugate gradients (truncated; Nocedal and Wright 2006, algorithm 7.1), each problem
with its own step lengths and its own end, those that are done being left out of the next products.
Open doubt: the products hold n_posts * L * P numbers at a time; a million posts would want blocks of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from workbench.errors import WorkbenchError
from workbench.metrics.classification import average_precision

if TYPE_CHECKING:
    from workbench.models.heads.networks import Head
    from workbench.models.heads.training import Examples

TOLERANCE = 1e-4  # of the gradient, against that of weights that are zero
NEWTON, CONJUGATE, HALVINGS = 100, 60, 30  # most steps
ENOUGH = 10  # positives and negatives that validation must have to choose a penalty for a label


class Fit(NamedTuple):
    """Weights (n_penalties, n_labels, dim) and biases (n_penalties, n_labels), in the order of the penalties."""

    weights: torch.Tensor
    bias: torch.Tensor


def logistic(
    x: torch.Tensor, y: torch.Tensor, known: torch.Tensor, strengths: tuple[float, ...], *, tolerance: float = TOLERANCE
) -> Fit:
    """Return logistic regressions of every label at every C in `strengths`.

    x: (n_posts, dim); y, known: (n_posts, n_labels), y of 0 and 1, not looked at where `known` is False. A label
    without a known post has weights of 0. Where a label's known posts are of one class the bias runs away, as far as
    the steps allow: leave such labels out.
    """
    n_labels, dim = y.shape[1], x.shape[1]
    x = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
    # column p * n_labels + k is label k at penalty p
    columns = torch.arange(n_labels, device=x.device).repeat(len(strengths))
    c = torch.tensor(strengths, dtype=x.dtype, device=x.device).repeat_interleave(n_labels)
    y = torch.where(known, y, 0.0).to(x.dtype)[:, columns]
    problem = _Problem(x, y, known.to(x.dtype)[:, columns], c)
    weights = x.new_zeros(dim + 1, len(c))
    going, first = torch.arange(len(c), device=x.device), None
    for _ in range(NEWTON):
        w = weights[:, going]
        z = x @ w
        slope = problem.slope(w, z)
        size = slope.norm(dim=0)
        first = size.clamp(min=1e-12) if first is None else first
        left = size / first[going]
        more = left > tolerance
        if not more.any():
            break
        problem, going = problem.some(more), going[more]
        w, z, slope = w[:, more], z[:, more], slope[:, more]
        step = _conjugate(problem, z, slope, left[more])
        weights[:, going] = w + problem.length(w, z, slope, step) * step
    weights = weights.T.reshape(len(strengths), n_labels, dim + 1)
    return Fit(weights[:, :, :dim], weights[:, :, dim])


class _Problem(NamedTuple):
    """Several objectives over the same rows: x (n, d), y and known (n, m) as numbers, c (m,); x's last column is 1."""

    x: torch.Tensor
    y: torch.Tensor
    known: torch.Tensor
    c: torch.Tensor

    def some(self, which: torch.Tensor) -> _Problem:
        return self if which.all() else _Problem(self.x, self.y[:, which], self.known[:, which], self.c[which])

    def penalised(self, w: torch.Tensor) -> torch.Tensor:
        """Return w (d, m) without the bias, which no penalty holds."""
        return torch.cat([w[:-1], torch.zeros_like(w[-1:])])

    def value(self, w: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return the objective (m,) in float64, as sums of many small numbers decide about steps."""
        cells = (functional.softplus(z) - self.y * z) * self.known
        return self.c.double() * cells.sum(dim=0, dtype=torch.float64) + (w[:-1].double() ** 2).sum(dim=0) / 2

    def slope(self, w: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return self.x.T @ ((z.sigmoid() - self.y) * self.known * self.c) + self.penalised(w)

    def length(self, w: torch.Tensor, z: torch.Tensor, slope: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """Return for each problem the longest of 1, 1/2, 1/4, ... (m,) that lowers its objective enough (Armijo)."""
        along, down = self.x @ step, (slope * step).sum(dim=0).double()
        start, t = self.value(w, z), torch.ones_like(self.c)
        for _ in range(HALVINGS):
            # beyond the digits of the sum nothing can be told, and a full Newton step is right there
            slack = 1e-9 * start.abs()
            high = self.value(w + t * step, z + t * along) > start + 1e-4 * t.double() * down + slack
            if not high.any():
                break
            t = torch.where(high, t / 2, t)
        return t


def _conjugate(problem: _Problem, z: torch.Tensor, slope: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
    """Return Newton steps (d, m): curvature * step = -slope, as exactly as its distance `left` (m,) is worth."""
    p = z.sigmoid()
    bend = p * (1 - p) * problem.known * problem.c  # (n, m)
    diagonal = problem.penalised(torch.ones_like(slope)) + (problem.x**2).T @ bend
    diagonal = diagonal.clamp(min=1e-12)
    step, rest = torch.zeros_like(slope), -slope
    scaled = rest / diagonal
    way, energy = scaled.clone(), (rest * scaled).sum(dim=0)
    enough = (left.sqrt().clamp(max=0.3) * slope.norm(dim=0)) ** 2
    for _ in range(CONJUGATE):
        curved = problem.x.T @ (bend * (problem.x @ way)) + problem.penalised(way)
        t = energy / (way * curved).sum(dim=0).clamp(min=1e-30)
        step, rest = step + t * way, rest - t * curved
        if ((rest**2).sum(dim=0) <= enough).all():
            break
        scaled = rest / diagonal
        energy, before = (rest * scaled).sum(dim=0), energy
        way = scaled + energy / before.clamp(min=1e-30) * way
    return step


def objective(
    x: torch.Tensor, y: torch.Tensor, known: torch.Tensor, strengths: tuple[float, ...], fit: Fit
) -> torch.Tensor:
    """Return the objective (n_penalties, n_labels) in float64 at a fit."""
    z = torch.einsum("nd,pkd->pnk", x.double(), fit.weights.double()) + fit.bias.double()[:, None]
    cells = (functional.softplus(z) - torch.where(known, y, 0.0).double() * z) * known
    c = torch.tensor(strengths, dtype=torch.float64, device=x.device)[:, None]
    return c * cells.sum(dim=1) + (fit.weights.double() ** 2).sum(dim=2) / 2


def chosen(
    fit: Fit, strengths: tuple[float, ...], x: torch.Tensor | None, y: np.ndarray, known: np.ndarray
) -> list[int]:
    """Return the penalty of each label that ranks validation best by average precision; the first of equal ones.

    x: (n_posts, dim) or None where validation has nothing; y, known: (n_posts, n_labels). Where a class has fewer than
    ENOUGH known posts it is the middle one.
    """
    middle = sorted(range(len(strengths)), key=lambda p: strengths[p])[len(strengths) // 2]
    found = [middle] * fit.weights.shape[1]
    for k in range(len(found) if x is not None and len(strengths) > 1 else 0):
        truth, rows = y[:, k] > 0.5, known[:, k]
        if min((truth & rows).sum(), (~truth & rows).sum()) >= ENOUGH:
            z = (x @ fit.weights[:, k].T + fit.bias[:, k]).cpu().numpy()
            found[k] = int(np.argmax([average_precision(truth[rows], z[rows, p]) for p in range(len(strengths))]))
    return found


def fit_head(network: Head, train: Examples, validation: Examples | None, strengths: tuple[float, ...]) -> dict:
    """Give a head without hidden layer the weights of logistic regressions; validation chooses C per label.

    Returns the C of each label (n_labels,), None for a label that no training post knows. Raises WorkbenchError where
    a post has several rows: the maximum over them is no convex problem.
    """
    if train.count is not None:
        raise WorkbenchError(
            "head 'logistic' learns from one vector a post, and clips have one a frame; set `pooling: mean`, or "
            "choose head 'linear', which learns from the highest frame"
        )
    x, held_out = _rows(train), None if validation is None or validation.count is not None else _rows(validation)
    fit = logistic(x, train.y, train.known, strengths)
    truth = (None, None) if held_out is None else (validation.y.cpu().numpy(), validation.known.cpu().numpy())
    best = chosen(fit, strengths, held_out, *truth)
    labels = range(len(best))
    with torch.no_grad():
        network.output.weight.copy_(torch.stack([fit.weights[best[k], k] for k in labels]))
        network.output.bias.copy_(torch.stack([fit.bias[best[k], k] for k in labels]))
        for absent in network.absent:
            absent.zero_()
    taught = train.known.any(dim=0).tolist()
    return {"C": [strengths[best[k]] if taught[k] else None for k in labels]}


def _rows(examples: Examples) -> torch.Tensor:
    """Return what a `networks.Head` without fusion sees (n_posts, inputs), zeros for an absent half."""
    halves = [half.where(examples.present[:, [h]], 0.0) for h, half in enumerate(examples.halves)]
    return torch.cat([*halves, examples.present.to(halves[0].dtype)], dim=1)
