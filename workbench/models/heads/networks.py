"""The small network that turns encoder embeddings of a post's sides into one logit per label.

A *side* is what is read, or what is seen, of a post: `sides` is a tuple of (n_rows, dim) tensors, `present` (n_rows,
n_sides) says which row has which side. An absent side is replaced by a learned vector and announced by a flag, so that
it is never mistaken for content. A post is one row, or several (the frames of a clip): then its logit is the maximum
over its rows, label by label (multiple-instance learning in its standard form; Maron and Lozano-Perez 1997), or what
another of POOLS makes of them.

One network serves all models: a hidden layer over [the sides, the flags, their fusion]. Without a fusion it is an MLP
over the concatenation; `cross` adds the outer product of the projected sides, `align` their element-wise product. Both
fusions are those of Hate-CLIPper (Kumar and Nandakumar 2022, https://aclanthology.org/2022.nlp4pi-1.20), written anew,
with two differences that the noise of real embeddings asked for: the sides themselves reach the output too, so harm
that one side tells alone needs no product; and a projection ends in a softmax, so that it says *which* of `rank`
learned prototypes a side resembles. A product of linear projections multiplies their noise, a product of prototypes is
a soft table of cells (`projection: linear` gives the published form).
Open doubt: `cross` grows with the square of `rank`; above 64 a low-rank product would be cheaper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

SideVectors = tuple[torch.Tensor, ...]
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": functional.gelu,
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,  # a hundredth of what is below 0
    "elu": functional.elu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "softmax": partial(torch.softmax, dim=1),  # over the units of the layer
}
COMPETING = 10  # units of a layer whose softmax is drawn


def activated(names: Sequence[str], inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Return what activations make of the input (n,) of one unit, by name; for figures.

    The unit is one of COMPETING, and the others have the input 0, which only a softmax minds.
    """
    layer = torch.zeros(len(inputs), COMPETING, dtype=torch.float64)
    layer[:, 0] = torch.as_tensor(np.asarray(inputs))
    return {name: ACTIVATIONS[name](layer)[:, 0].numpy() for name in names}


def highest(logits: torch.Tensor, owner: torch.Tensor | None) -> torch.Tensor:
    """Return each post's maximum (n_posts, n_labels) over its rows of `logits (n_rows, n_labels)`.

    owner (n_rows,): the post of each row, the numbers 0 to n_posts - 1 in order; None: a row is a post. Rows that tie
    share the gradient, so the result does not depend on their order.
    """
    if owner is None:
        return logits
    lowest = logits.new_full((int(owner[-1]) + 1, logits.shape[1]), -torch.inf)
    return lowest.scatter_reduce(0, owner[:, None].expand_as(logits), logits, "amax")


def noisy_or(logits: torch.Tensor, owner: torch.Tensor | None) -> torch.Tensor:
    """Return the log-odds (n_posts, n_labels) that at least one of each post's rows holds, if rows err independently.

    P = 1 - prod_k (1 - p_k) (Pearl 1988; for bags, Zhang, Platt and Viola 2005), computed in logs: with
    s = sum_k softplus(l_k), P = 1 - exp(-s) and its log-odds are s + log(1 - exp(-s)). Arguments as for `highest`.
    """
    if owner is None:
        return logits
    parts = functional.softplus(logits)
    s = parts.new_zeros((int(owner[-1]) + 1, logits.shape[1])).index_add(0, owner, parts)
    s = s.clamp_min(1e-30)  # log-odds of -69; nearer to the smallest number, expm1 gives 0
    return s + torch.log(-torch.expm1(-s))


def attended(rows: torch.Tensor, owner: torch.Tensor | None) -> torch.Tensor:
    """Return each post's mean (n_posts, n_labels) of its rows, weighted by attention.

    rows (n_rows, n_labels + 1): logits, then the attention's score, of which a softmax over a post's rows makes the
    weights. As the output layer is linear and weights add up to one, this equals Ilse, Tomczak and Welling 2018
    (https://arxiv.org/abs/1802.04712, equation 9), who weight what goes into that layer. Arguments as for `highest`.
    """
    logits, scores = rows[:, :-1], rows[:, -1:]
    if owner is None:
        return logits
    weights = torch.exp(scores - highest(scores, owner).detach()[owner])
    n = int(owner[-1]) + 1
    total = weights.new_zeros((n, 1)).index_add(0, owner, weights)
    return logits.new_zeros((n, logits.shape[1])).index_add(0, owner, weights * logits) / total


POOLS = {"max": highest, "mean": highest, "noisy-or": noisy_or, "attention": attended}
"""How the logits of a post's rows become the post's, by pooling; "mean" is of vectors, before the network."""


class Linear(nn.Linear):
    """nn.Linear whose first weights come from the generator given, not from global state."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator | None):
        nn.Module.__init__(self)
        self.in_features, self.out_features = inputs, outputs
        bound = 1.0 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.zeros(outputs))


class Dropout(nn.Module):
    """nn.Dropout whose masks come from a CPU generator, so that every device drops the same units."""

    def __init__(self, share: float, generator: torch.Generator | None):
        super().__init__()
        self.share, self.generator = share, generator

    def forward(self, x: torch.Tensor, owner: torch.Tensor | None = None) -> torch.Tensor:
        """Return x with a share of its entries set to zero and the others scaled up; x itself outside training.

        owner (n_rows,): rows of one owner share a mask, so that a maximum over them is not one over luck; the numbers
        0 to n - 1 in order. None: every row has its own.
        """
        if not self.training or self.share == 0:
            return x
        masks = len(x) if owner is None else int(owner[-1]) + 1
        keep = (torch.rand((masks, *x.shape[1:]), generator=self.generator) >= self.share).to(x.device)
        return x * (keep if owner is None else keep[owner]) / (1 - self.share)


class Projection(nn.Module):
    """A side as its resemblance to `rank` prototypes: (n_rows, dim) -> (n_rows, rank)."""

    def __init__(self, dim: int, rank: int, kind: Literal["softmax", "linear"], generator: torch.Generator | None):
        super().__init__()
        self.kind, self.linear = kind, Linear(dim, rank, generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the projection; a softmax is scaled by sqrt(rank), so that products keep a useful size."""
        x = self.linear(x)
        return torch.softmax(x, dim=1) * math.sqrt(x.shape[1]) if self.kind == "softmax" else x


class RowAttention(nn.Module):
    """The gated attention's score of each row, (n_rows, dim) -> (n_rows, 1) (Ilse, Tomczak and Welling 2018)."""

    UNITS = 32

    def __init__(self, dim: int, generator: torch.Generator | None):
        super().__init__()
        self.what, self.gate, self.score = (
            Linear(dim, self.UNITS, generator),
            Linear(dim, self.UNITS, generator),
            Linear(self.UNITS, 1, generator),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores before the softmax."""
        return self.score(torch.tanh(self.what(x)) * torch.sigmoid(self.gate(x)))


class Head(nn.Module):
    """Logits (n_rows, n_labels) from whitened sides, with or without a fusion of texts and vision.

    Args:
        dims: length of each side's vectors; n_labels: outputs.
        hidden: units of the hidden layer, 0 for none; dropout: share of inputs and hidden units dropped in training.
        fusion: None, "cross" or "align", with `rank` and `projection`: of each side with the last one, the vision.
        activation: of the hidden layer, a name of ACTIVATIONS.
        generator: of the first weights and the dropout masks, on the CPU; None for a network about to be loaded.
        pooling: a name of POOLS, by which `pool` makes a post's logits from those of its rows.
        told: whether the last n_labels numbers of the first side are log-odds of the labels; then these are the answer
            before training, and what is learnt is by how much the sides change them.
    """

    def __init__(
        self,
        dims: tuple[int, ...],
        n_labels: int,
        *,
        hidden: int,
        dropout: float,
        fusion: tuple[str, int, str] | None = None,
        activation: str = "gelu",
        generator: torch.Generator | None = None,
        pooling: str = "max",
        told: bool = False,
    ):
        super().__init__()
        self.absent = nn.ParameterList([nn.Parameter(torch.randn(dim, generator=generator) * 0.1) for dim in dims])
        self.fusion, rank, projection = fusion or (None, 0, "")
        self.projections = nn.ModuleList([Projection(dim, rank, projection, generator) for dim in dims if rank])
        fused = {None: 0, "cross": rank * rank, "align": rank}[self.fusion] * (len(dims) - 1)
        inputs = sum(dims) + len(dims) + fused
        self.drop, self.activation = Dropout(dropout, generator), activation
        self.hidden = Linear(inputs, hidden, generator) if hidden else None
        self.output = Linear(hidden or inputs, n_labels, generator)
        self.pool, self.attention = POOLS[pooling], None
        if pooling == "attention":
            self.attention = RowAttention(hidden or inputs, generator)
        self.trust = nn.Parameter(torch.ones(n_labels)) if told else None
        if told:
            nn.init.zeros_(self.output.weight)

    def forward(self, sides: SideVectors, present: torch.Tensor, owner: torch.Tensor | None = None) -> torch.Tensor:
        """Return logits (n_rows, n_labels); entries of `sides` where `present` is False are not looked at.

        With attention there is one more column, the attention's score, for `pool`.

        owner (n_rows,): the post of each row where posts have several, for `Dropout`.
        """
        x = self.inner(sides, present, owner)
        logits = self.output(x)
        if self.trust is not None:
            told = slice(-len(self.trust), None)
            logits = logits + self.trust * torch.where(present[:, [0]], sides[0][:, told], self.absent[0][told])
        return logits if self.attention is None else torch.cat([logits, self.attention(x)], dim=1)

    def inner(self, sides: SideVectors, present: torch.Tensor, owner: torch.Tensor | None = None) -> torch.Tensor:
        """Return what the output layer sees (n_rows, hidden): the hidden layer, or the sides and their fusion."""
        filled = [torch.where(present[:, [h]], x, self.absent[h]) for h, x in enumerate(sides)]
        filled = [self.drop(x, owner) for x in filled]
        x = torch.cat([*filled, present.to(filled[0].dtype), *self._fused(filled)], dim=1)
        return x if self.hidden is None else self.drop(ACTIVATIONS[self.activation](self.hidden(x)), owner)

    def _fused(self, sides: list[torch.Tensor]) -> list[torch.Tensor]:
        if self.fusion is None:
            return []
        *texts, vision = (project(x) for project, x in zip(self.projections, sides, strict=True))
        if self.fusion == "align":
            return [text * vision for text in texts]
        # (n_rows, rank, rank) -> (n_rows, rank * rank)
        return [(text[:, :, None] * vision[:, None, :]).flatten(1) for text in texts]
