"""The small network that turns encoder embeddings of a post's halves into one logit per label.

A *half* is what one modality says: `halves` is a tuple with one (n_posts, dim) tensor per modality, `present`
(n_posts, n_halves) says which post has which half. An absent half is replaced by a learned vector and announced by a
flag, so that it is never mistaken for content.

One network serves all models: a hidden layer over [the halves, the flags, their fusion]. Without a fusion it is an MLP
over the concatenation; `cross` adds the outer product of the projected halves, `align` their element-wise product. Both
fusions are those of Hate-CLIPper (Kumar and Nandakumar 2022, https://aclanthology.org/2022.nlp4pi-1.20), written anew,
with two differences that the noise of real embeddings asked for: the halves themselves reach the output too, so harm
that one half tells alone needs no product; and a projection ends in a softmax, so that it says *which* of `rank`
learned prototypes a half resembles. A product of linear projections multiplies their noise, a product of prototypes is
a soft table of cells (`projection: linear` gives the published form).
Open doubt: `cross` grows with the square of `rank`; above 64 a low-rank product would be cheaper.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

Halves = tuple[torch.Tensor, ...]


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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x with a share of its entries set to zero and the others scaled up; x itself outside training."""
        if not self.training or self.share == 0:
            return x
        keep = torch.rand(x.shape, generator=self.generator) >= self.share
        return x * keep.to(x.device) / (1 - self.share)


class Projection(nn.Module):
    """A half as its resemblance to `rank` prototypes: (n_posts, dim) -> (n_posts, rank)."""

    def __init__(self, dim: int, rank: int, kind: Literal["softmax", "linear"], generator: torch.Generator | None):
        super().__init__()
        self.kind, self.linear = kind, Linear(dim, rank, generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the projection; a softmax is scaled by sqrt(rank), so that products keep a useful size."""
        x = self.linear(x)
        return torch.softmax(x, dim=1) * math.sqrt(x.shape[1]) if self.kind == "softmax" else x


class Head(nn.Module):
    """Logits (n_posts, n_labels) from whitened halves, with or without a fusion of two of them.

    Args:
        dims: length of each half's vectors; n_labels: outputs.
        hidden: units of the hidden layer, 0 for none; dropout: share of inputs and hidden units dropped in training.
        fusion: None, "cross" or "align" (these need two halves), with `rank` and `projection`.
        generator: of the first weights and the dropout masks, on the CPU; None for a network about to be loaded.
    """

    def __init__(
        self,
        dims: tuple[int, ...],
        n_labels: int,
        *,
        hidden: int,
        dropout: float,
        fusion: tuple[str, int, str] | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.absent = nn.ParameterList([nn.Parameter(torch.randn(dim, generator=generator) * 0.1) for dim in dims])
        self.fusion, rank, projection = fusion or (None, 0, "")
        self.projections = nn.ModuleList([Projection(dim, rank, projection, generator) for dim in dims if rank])
        fused = {None: 0, "cross": rank * rank, "align": rank}[self.fusion]
        inputs = sum(dims) + len(dims) + fused
        self.drop = Dropout(dropout, generator)
        self.hidden = Linear(inputs, hidden, generator) if hidden else None
        self.output = Linear(hidden or inputs, n_labels, generator)

    def forward(self, halves: Halves, present: torch.Tensor) -> torch.Tensor:
        """Return logits (n_posts, n_labels); rows of `halves` where `present` is False are not looked at."""
        filled = [torch.where(present[:, [h]], x, self.absent[h]) for h, x in enumerate(halves)]
        filled = [self.drop(x) for x in filled]
        x = torch.cat([*filled, present.to(filled[0].dtype), *self._fused(filled)], dim=1)
        if self.hidden is not None:
            x = self.drop(functional.gelu(self.hidden(x)))
        return self.output(x)

    def _fused(self, halves: list[torch.Tensor]) -> list[torch.Tensor]:
        if self.fusion is None:
            return []
        left, right = (project(x) for project, x in zip(self.projections, halves, strict=True))
        if self.fusion == "align":
            return [left * right]
        return [(left[:, :, None] * right[:, None, :]).flatten(1)]  # (n_posts, rank, rank) -> (n_posts, rank * rank)
