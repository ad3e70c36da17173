"""An encoder's unpooled features: the patches of a picture and the tokens of a text, each as a vector of the one space.

`Encoder.unpooled` is an encoder like any other, for the store too: its vector is `EMBEDDINGS` vectors of the joint
space, one after the other. Embedding 0 is the pooled vector; the others are neighbouring patches (a grid of at most 4 x
4) or runs of consecutive tokens, averaged so that every content has at most `TOKENS`. Each is L2-normalised; an
embedding that is not needed is zero, which no vector of an encoder is. So one window or picture is one row, and rows
are read as any others.

A patch reaches the joint space as the pooled vector does, without the pooling: through the final norm and projection
of a ViT, or through the value and output projections of a ResNet's attention pool (MaskCLIP, Zhou et al. 2022,
https://arxiv.org/abs/2112.01071). A token of a causal tower stands for the text up to it.
Open doubt: towers of timm, of transformers and without a causal mask are refused, for nothing says where they pool.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, normalize

from workbench.errors import WorkbenchError
from workbench.features.encoders.forward.towers import Towers, hidden, projected

GRID = 4
TOKENS = GRID * GRID
EMBEDDINGS = 1 + TOKENS


class UnpooledTowers(Towers):
    """Towers that give (n, EMBEDDINGS, d) where their parent gives (n, d)."""

    def embed_texts(self, rows: list[list[int]]) -> torch.Tensor:
        """Return the embeddings (n, EMBEDDINGS, d) of rows of token ids."""
        ids, last = self._ids(rows)
        x = projected(self.causal, hidden(self.causal, ids))  # (n, width, d)
        pooled = x[torch.arange(len(x), device=x.device), last]
        return torch.cat([pooled[:, None], _runs(normalize(x.float(), dim=-1), last + 1).to(x.dtype)], dim=1)

    def embed_pictures(self, variants: list[torch.Tensor]) -> torch.Tensor:
        """Return the embeddings (n, EMBEDDINGS, d) of variants (3, height, width) uint8."""
        pooled, patches = _patches(self.model.visual, self._pixels(variants))
        n, d, *grid = patches.shape
        fewer = adaptive_avg_pool2d(normalize(patches.float(), dim=1), [min(side, GRID) for side in grid])
        embeddings = pooled.new_zeros(n, EMBEDDINGS, d)
        embeddings[:, 0] = pooled
        embeddings[:, 1 : 1 + fewer[0, 0].numel()] = fewer.flatten(2).transpose(1, 2).to(pooled.dtype)
        return embeddings


def _patches(visual: nn.Module, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pooled vectors (n, d) of pictures and their patches (n, d, rows, columns), all in the joint space."""
    if hasattr(visual, "attnpool"):
        for part in (visual.stem, visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            pixels = part(pixels)
        pool = visual.attnpool
        places = pool.positional_embedding[1:].T.reshape(1, -1, *pixels.shape[2:]).to(pixels.dtype)
        values = pool.c_proj(pool.v_proj((pixels + places).permute(0, 2, 3, 1)))  # (n, rows, columns, d)
        return pool(pixels), values.permute(0, 3, 1, 2)
    x = visual.transformer(visual._embeds(pixels))
    pooled, tokens = visual._pool(x)
    if visual.final_ln_after_pool:
        tokens = visual.ln_post(tokens)
    if visual.proj is not None:
        pooled, tokens = pooled @ visual.proj, tokens @ visual.proj
    return pooled, tokens.transpose(1, 2).unflatten(2, tuple(visual.grid_size))


def _runs(x: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Return the means (n, TOKENS, d) of at most TOKENS runs of equal length of the first `length (n,)` of x (n, w, d).

    A run without a token, where a row has fewer tokens than TOKENS, is zero.
    """
    at, length = torch.arange(x.shape[1], device=x.device), length[:, None]
    run = torch.where(at < length, at * torch.clamp(length, max=TOKENS) // length, TOKENS)  # (n, w)
    member = nn.functional.one_hot(run, TOKENS + 1)[..., :TOKENS].to(x.dtype)  # (n, w, TOKENS)
    count = member.sum(dim=1)[..., None].clamp(min=1)
    return member.transpose(1, 2) @ x / count


def check(name: str, towers: Towers) -> None:
    """Raise WorkbenchError for towers whose unpooled features are not known to lie in the joint space."""
    visual = getattr(towers.model, "visual", None)
    resnet = hasattr(visual, "attnpool") and hasattr(visual, "layer4")
    vit = all(hasattr(visual, part) for part in ("_embeds", "_pool", "grid_size", "proj"))
    pooled = getattr(visual, "attn_pool", None) is not None or getattr(visual, "pool_type", "tok") not in ("tok", "avg")
    if getattr(towers, "causal", None) is None or not (resnet or (vit and not pooled)):
        raise WorkbenchError(
            f"encoder {name!r} does not give patches and tokens: that needs open_clip's own causal text tower "
            "and a ViT or ResNet of its own; take such an encoder, or a model that uses pooled vectors"
        )
