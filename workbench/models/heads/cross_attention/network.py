"""The network of `clip-attention`: the tokens of a text ask the patches of a picture, and the patches ask the tokens.

A side comes as embeddings (`features.encoders.patches`): its pooled vector, then its tokens. Each block is
cross-attention both ways (ViLBERT's co-attention; Lu et al. 2019, https://arxiv.org/abs/1908.02265), pre-norm, with a
small MLP behind it. An absent side is one learned token. What is read out are both pooled embeddings as they came, both
after the blocks, and the product of the latter, so that harm that one side tells alone needs no attention.

Everything random comes from one CPU generator, as in `networks`.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from workbench.models.heads.networks import ACTIVATIONS, Dropout, Linear, SideVectors


class CrossAttention(nn.Module):
    """Multi-head attention of one sequence to another: queries (n, q, width), keys (n, k, width) -> (n, q, width)."""

    def __init__(self, width: int, heads: int, generator: torch.Generator | None):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (Linear(width, width, generator) for _ in range(4))

    def forward(self, x: torch.Tensor, other: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Return what x reads in `other`, of which it sees the places where `there (n, k)` is True."""
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (n, heads, places, width / heads)
            for part in (self.query(x), self.key(other), self.value(other))
        )
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=there[:, None, None, :])
        return self.out(attended.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention of one side to the other and an MLP, each added to what comes in."""

    def __init__(self, width: int, heads: int, dropout: float, generator: torch.Generator | None):
        super().__init__()
        self.before, self.other, self.between = (nn.LayerNorm(width) for _ in range(3))
        self.attention = CrossAttention(width, heads, generator)
        self.up, self.down = Linear(width, 2 * width, generator), Linear(2 * width, width, generator)
        self.drop = Dropout(dropout, generator)

    def forward(
        self, x: torch.Tensor, other: torch.Tensor, there: torch.Tensor, owner: torch.Tensor | None
    ) -> torch.Tensor:
        """Return x (n, q, width) after it has read in `other (n, k, width)`."""
        x = x + self.drop(self.attention(self.before(x), self.other(other), there), owner)
        return x + self.drop(self.down(functional.gelu(self.up(self.between(x)))), owner)


class Tower(nn.Module):
    """One side (n, embeddings * dim), whitened by what training posts showed, as a sequence (n, embeddings, width).

    The pooled embedding has a whitening of its own. `mean (2, dim)` and `matrix (2, dim, dim)` are those of both kinds.
    """

    def __init__(self, dim: int, width: int, generator: torch.Generator | None):
        super().__init__()
        self.register_buffer("mean", torch.zeros(2, dim))
        self.register_buffer("matrix", torch.zeros(2, dim, dim))
        self.pooled, self.piece = Linear(dim, width, generator), Linear(dim, width, generator)
        self.absent = nn.Parameter(torch.randn(dim, generator=generator) * 0.1)
        self.nothing = nn.Parameter(torch.randn(width, generator=generator) * 0.1)

    def forward(self, side: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the whitened pooled embedding (n, dim), the sequence (n, s, width), and which are there (n, s)."""
        embeddings = side.to(self.mean.dtype).unflatten(1, (-1, self.mean.shape[1]))
        there = (embeddings != 0).any(dim=2) & present[:, None]
        embeddings = embeddings[
            :, : int(there.any(dim=0).cumsum(0).argmax()) + 1
        ]  # embeddings that nobody fills cost nothing
        there = there[:, : embeddings.shape[1]]
        pooled = (embeddings[:, 0] - self.mean[0]) @ self.matrix[0]
        tokens = (embeddings[:, 1:] - self.mean[1]) @ self.matrix[1]
        pooled = torch.where(present[:, None], pooled, self.absent)
        first = torch.where(present[:, None], self.pooled(pooled), self.nothing)[:, None]
        seen = torch.cat([torch.ones_like(there[:, :1]), there[:, 1:]], dim=1)
        return pooled, torch.cat([first, self.piece(tokens)], dim=1), seen


class CrossAttentionNetwork(nn.Module):
    """Logits (n_rows, n_labels) from the embeddings of two sides.

    Args:
        dims: length of an embedding of each side; n_labels: outputs; width, heads, blocks: of the attention.
        hidden: units of the hidden layer, activation: what it ends in, a name of ACTIVATIONS; dropout: share of what is
            dropped in training.
        generator: of the first weights and the dropout masks, on the CPU; None for a network about to be loaded.
    """

    def __init__(
        self,
        dims: tuple[int, int],
        n_labels: int,
        shape: tuple[int, int, int],
        *,
        hidden: int,
        dropout: float,
        activation: str = "gelu",
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        width, heads, blocks = shape
        self.towers = nn.ModuleList([Tower(dim, width, generator) for dim in dims])
        self.blocks = nn.ModuleList(
            [nn.ModuleList([Block(width, heads, dropout, generator) for _ in range(2)]) for _ in range(blocks)]
        )
        self.after = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.scale = math.sqrt(width)
        self.drop, self.activation = Dropout(dropout, generator), activation
        self.hidden = Linear(sum(dims) + 2 + 3 * width, hidden, generator)
        self.output = Linear(hidden, n_labels, generator)

    def forward(self, sides: SideVectors, present: torch.Tensor, owner: torch.Tensor | None = None) -> torch.Tensor:
        """Return logits; `sides` are embeddings (n_rows, embeddings * dim), of which absent ones are not looked at."""
        read = [tower(x, present[:, h]) for h, (tower, x) in enumerate(zip(self.towers, sides, strict=True))]
        (left, left_x, left_there), (right, right_x, right_there) = read
        for first, second in self.blocks:
            left_x, right_x = first(left_x, right_x, right_there, owner), second(right_x, left_x, left_there, owner)
        ends = [after(x[:, 0]) for after, x in zip(self.after, (left_x, right_x), strict=True)]
        product = torch.softmax(ends[0], dim=1) * torch.softmax(ends[1], dim=1) * self.scale**2
        whole = [self.drop(left, owner), self.drop(right, owner), present.to(left.dtype), *ends, product]
        x = self.drop(ACTIVATIONS[self.activation](self.hidden(torch.cat(whole, dim=1))), owner)
        return self.output(x)
