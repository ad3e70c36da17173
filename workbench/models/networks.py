"""The small networks that turn encoder embeddings of a post's halves into one logit per label.

A *half* is what one modality says: `halves` is a tuple with one (n_posts, dim) tensor per modality, `present`
(n_posts, n_halves) says which post has which half; rows of an absent half are ignored. An absent half is replaced by a
learned vector and announced by a flag, so that it is never mistaken for content.

Sources: `Cross` and `Align` follow the two fusions of Hate-CLIPper (Kumar and Nandakumar 2022,
https://aclanthology.org/2022.nlp4pi-1.20), written anew for embeddings of any encoder; unlike there, the halves themselves
reach the output too, so that harm which one half tells alone needs no product.
Open doubt: `Cross` grows with the square of `rank`; above 64 a low-rank product would be cheaper.
"""

from __future__ import annotations

import math

import torch
from torch import nn

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
