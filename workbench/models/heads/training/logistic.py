"""A head that is logistic regression, one a label, on standardised sides: what `fit.logistic` solves and chooses.

Each side is a block of features with a penalty of its own. An absent side counts as its mean; that it is absent is a
feature too, where some training posts lack it and some do not. Log-odds that words tell are where a label starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch

from workbench.models.fit import logistic, losses
from workbench.models.heads.networks import Head
from workbench.models.heads.training import Examples, choosing, pooled, repeated, take, weights

ClassWeights = Literal["balanced"] | Sequence[float] | None
Weigh = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]]


class LogisticOptions(Protocol):
    """What is read of a model's options."""

    C: Sequence[float]
    loss: losses.LossOptions
    upsample: float | None


class Basis:
    """The features of posts: each side turned to its principal directions, and flags of which sides a post has.

    Directions are uncorrelated, which saves steps, and leave penalties as they are, for these are alike on a side.

    Attributes:
        turns: per side, the directions (dim, dim) as columns; variances: theirs, then those of flags.
        mean, scale (n_sides,): of flags in train; scale is 0 where all posts have a side, whose flag says nothing.
    """

    def __init__(self, train: Examples) -> None:
        flags = train.present.float()
        spread = flags.std(dim=0, correction=0)
        self.mean, self.scale = flags.mean(dim=0), torch.where(spread > 0, 1 / spread, 0.0)
        self.turns, found = [], []
        for side, x in enumerate(train.sides):
            x = x.where(train.present[:, [side]], 0.0).double()
            variances, turn = torch.linalg.eigh(x.T @ x / len(x))
            self.turns.append(turn.float())
            found.append(variances.clamp(min=0))
        self.variances = torch.cat([*found, (spread > 0).double()]).cpu().numpy()

    def features(self, examples: Examples) -> torch.Tensor:
        """Return the features (n_rows, n_features) of posts: their sides, then the flags."""
        turned = [x.where(examples.present[:, [side]], 0.0) @ self.turns[side] for side, x in enumerate(examples.sides)]
        return torch.cat([*turned, (examples.present.float() - self.mean) * self.scale], dim=1)

    def give(self, found: np.ndarray, network: Head) -> None:
        """Put weights (n_features + 1, n_labels) of these features, the intercepts last, into a network."""
        weights = torch.tensor(found, dtype=torch.float32, device=self.mean.device)
        parts = weights[:-1].split([len(turn) for turn in self.turns] + [len(self.mean)])
        sides = [turn @ part for turn, part in zip(self.turns, parts, strict=False)]
        flags = parts[-1] * self.scale[:, None]
        with torch.no_grad():
            network.output.weight.copy_(torch.cat([*sides, flags]).T)
            network.output.bias.copy_(weights[-1] - self.mean @ flags)
            for absent in network.absent:
                absent.zero_()


class Judged:
    """Posts by which weights (n_features + 1, n_labels) are judged, the last row of these being the intercepts."""

    def __init__(self, network: Head, basis: Basis, examples: Examples, cost: losses.Loss, weigh: Weigh) -> None:
        self._network, self._owner, self._known, self._cost = network, examples.owner, examples.known, cost
        self._x, (self._y, self._weight), self._told = basis.features(examples), weigh(examples.y), 0.0
        if network.trust is not None:
            self._told = examples.sides[0][:, -self._y.shape[1] :].where(examples.present[:, [0]], 0.0)

    @property
    def cells(self) -> int:
        """How many labels of posts are known."""
        return int(self._known.sum())

    def total(self, weights: torch.Tensor) -> torch.Tensor:
        """Return the sum of the losses of all known cells."""
        return self._cost(self._logits(weights), self._y, self._known, weight=self._weight) * max(self.cells, 1)

    def worth(self, weights: np.ndarray) -> np.ndarray:
        """Return the negative sum of losses (n_labels,) of each label's known cells."""
        logits, each = self._logits(torch.tensor(weights, dtype=torch.float32, device=self._x.device)), []
        for k in range(logits.shape[1]):
            one = slice(k, k + 1)
            weight, known = None if self._weight is None else self._weight[:, one], self._known[:, one]
            loss = self._cost(logits[:, one], self._y[:, one], known, weight=weight)
            each.append(-float(loss) * int(known.sum()))
        return np.array(each)

    def curvature(self) -> np.ndarray:
        """Return how fast the slope changes (n_labels,) with the weight of a feature of variance 1, at the prevalence.

        A cell's is p (1 - p), times its weight.
        """
        weight = self._known.float() if self._weight is None else self._known * self._weight
        total = weight.sum(dim=0).clamp(min=1e-6)
        share = ((self._y * weight).sum(dim=0) / total).clamp(0.01, 0.99)
        return (total * share * (1 - share)).double().cpu().numpy()

    def _logits(self, weights: torch.Tensor) -> torch.Tensor:
        scores = (weights[:-1].T.contiguous() @ self._x.T).T  # of few labels several times as fast as x @ weights
        return pooled(self._network, scores + weights[-1] + self._told, self._owner)


def fit_logistic(
    network: Head,
    train: Examples,
    validation: Examples | None,
    options: LogisticOptions,
    generator: torch.Generator,
    class_weight: ClassWeights = None,
) -> dict[str, Any]:
    """Give a network without hidden layer the weights that lose least, with the penalties that validation chooses.

    Arguments as for `fit_head`; generator: of what `upsample` draws. Returns the loss per known cell on validation, or
    on train where validation knows none, and C (n_sides, n_labels).
    """
    order, shares = repeated(train, options.upsample, generator)
    weigh, cost = weights(train, class_weight, shares), losses.of(options.loss)
    learnt = train if options.upsample is None else take(train, order.to(train.y.device))
    watched = validation if validation is not None and bool(validation.known.any()) else train
    basis = Basis(train)
    learning = Judged(network, basis, learnt, cost, lambda y: weigh(y, True))
    judging = Judged(network, basis, watched, cost, lambda y: weigh(y, False))
    dims = [x.shape[1] for x in train.sides]
    block = np.append(np.repeat(np.arange(len(dims)), dims), np.full(len(dims), -1))
    problem = logistic.LogisticProblem(
        learning.total, learning.cells, block, np.outer(basis.variances, learning.curvature()), train.y.device
    )
    chosen = problem.choose(options.C, judging.worth, choosing(validation, train.y.shape[1]))
    basis.give(chosen.weights, network)
    return {"loss": -float(judging.worth(chosen.weights).sum()) / max(judging.cells, 1), "C": chosen.strengths}


def by_name(strengths: np.ndarray, sides: Sequence[str], labels: Sequence[str], trained: np.ndarray) -> dict[str, Any]:
    """Return the C of trained labels (n_labels,) bool by name, from `strengths (n_sides, n_labels)`; of two by side."""
    kept = np.flatnonzero(trained)
    if len(sides) == 1:
        return {labels[k]: strengths[0, k].item() for k in kept}
    return {labels[k]: dict(zip(sides, strengths[:, k].tolist(), strict=True)) for k in kept}
