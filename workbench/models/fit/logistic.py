"""Logistic regression to convergence, all labels at once, and its penalties as validation chooses them.

What a label's weights w and intercept cost is what scikit-learn's LogisticRegression minimises, the sum over posts of
their loss plus the sum over features of w^2 / (2 C), but that C may differ from feature to feature: features come in
*blocks* (what one encoder says), each with a penalty of its own. One penalty for the vectors of unlike encoders, which
differ in length and in worth, lets the worse one drown the better.

Penalties are chosen label by label, on a walk from the strongest on that ends where no label gains: first one C for all
blocks, then block by block, the others held, so that fits grow with the number of blocks and not with its power, and
the longest, of the weakest penalties, are seldom needed. A fit starts where the one before ended.

Source: L-BFGS (Liu and Nocedal 1989), scipy's. It walks in weights times the root of their own curvature, that of the
penalty and that of the posts, so that a strongly held block beside a free one does not cost hundreds of steps; where
the features of a block are uncorrelated, a dozen are enough. Open doubt: with bags (a clip's highest frame counts) the
problem is neither smooth nor convex, and what is found depends on the start, which is always 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize

STEPS = 300  # of one fit at most; most need a few dozen
CLOSE = 1e-6  # of the loss per cell: a fit ends where no weight has a steeper slope
FREE = 1.0  # C of features of no block: what is there, and what is not

Total = Callable[[torch.Tensor], torch.Tensor]
"""From weights (n_features + 1, n_labels), the last row intercepts, to the sum of the loss over the training cells."""
Worth = Callable[[np.ndarray], np.ndarray]
"""From such weights to what they are worth on validation, for each label (n_labels,); more is better."""


class FittedLines(NamedTuple):
    """Weights (n_features + 1, n_labels), the last row intercepts, and the C (n_blocks, n_labels) of each block."""

    weights: np.ndarray
    strengths: np.ndarray


class LogisticProblem(NamedTuple):
    """What is solved: `total` over `cells` (how many); block (n_features,) of each feature, -1 for none.

    curvature (n_features, n_labels): about how fast the slope of `total` changes with each weight.
    """

    total: Total
    cells: int
    block: np.ndarray
    curvature: np.ndarray
    device: torch.device | str = "cpu"

    def solve(self, strengths: np.ndarray, start: np.ndarray | None = None) -> FittedLines:
        """Return the weights that cost least with C `strengths (n_blocks, n_labels)`, walking from weights `start`."""
        c = np.where(self.block[:, None] >= 0, strengths[self.block], FREE)  # (n_features, n_labels)
        last = np.ones((1, c.shape[1]))
        scale = np.concatenate([1 / np.sqrt(1 / c + self.curvature), last])
        scale[-1] = 1 / np.sqrt(np.maximum(self.curvature.max(axis=0, initial=0.0), 1.0))
        held = np.concatenate([1 / c, 0 * last]) * scale**2 / max(self.cells, 1)

        def cost(flat: np.ndarray) -> tuple[float, np.ndarray]:
            walked = flat.reshape(scale.shape)
            weights = torch.tensor(walked * scale, dtype=torch.float32, device=self.device, requires_grad=True)
            value = self.total(weights) / max(self.cells, 1)
            value.backward()
            slope = weights.grad.cpu().numpy().astype(np.float64) * scale + held * walked
            return float(value.detach()) + 0.5 * float((held * walked**2).sum()), slope.ravel()

        first = np.zeros_like(scale) if start is None else start / scale
        how = {"maxiter": STEPS, "maxcor": 20, "gtol": CLOSE, "ftol": 1e-8}
        found = minimize(cost, first.ravel(), jac=True, method="L-BFGS-B", options=how)
        return FittedLines(found.x.reshape(scale.shape) * scale, strengths)

    def choose(self, grid: Sequence[float], worth: Worth, choosing: np.ndarray) -> FittedLines:
        """Return the fit whose strengths are worth most, of one label whatever those of the others are.

        choosing (n_labels,) bool: labels of which validation has enough to choose by; the others get the middle of the
        grid. Of equal ones the stronger penalty is taken.
        """
        grid, blocks = np.sort(np.asarray(grid, np.float64)), int(self.block.max()) + 1
        place = np.where(choosing, 0, len(grid) // 2)[None].repeat(blocks, axis=0)
        lines = self.solve(grid[place])
        best = _Chosen(place, lines, worth(lines.weights))
        best = self._walk(best, 1, np.ones((blocks, 1), int) * choosing, grid, worth)
        for block in range(blocks if blocks > 1 else 0):
            free = (np.arange(blocks)[:, None] == block) * choosing
            for step in (-1, 1):
                best = self._walk(best, step, free, grid, worth)
        return best.lines

    def _walk(self, best: _Chosen, step: int, free: np.ndarray, grid: np.ndarray, worth: Worth) -> _Chosen:
        """Return the best on a walk along the grid, of blocks and labels that are free; it ends where none gains."""
        place, weights = best.place, best.lines.weights
        while True:
            now = np.clip(place + step * free, 0, len(grid) - 1)
            if (now == place).all():
                return best
            lines = self.solve(grid[now], weights)
            made = _Chosen(now, lines, worth(lines.weights))
            better = made.worth > best.worth
            if not better.any():
                return best
            best, place, weights = best.but(made, better), now, lines.weights


class _Chosen(NamedTuple):
    """FittedLines with the places (n_blocks, n_labels) of their strengths in the grid, and what labels are worth."""

    place: np.ndarray
    lines: FittedLines
    worth: np.ndarray

    def but(self, other: _Chosen, better: np.ndarray) -> _Chosen:
        """Return these, with those of the labels in which others are better."""
        lines = FittedLines(*(np.where(better, new, old) for new, old in zip(other.lines, self.lines, strict=True)))
        return _Chosen(np.where(better, other.place, self.place), lines, np.where(better, other.worth, self.worth))
