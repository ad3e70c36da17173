"""Cross-attention over the patches of a picture and the tokens of a text, on a frozen encoder's unpooled features.

What is between a pooled vector of the text and one of the picture is decided before either is known; attention lets a
word look for the part of a picture that it speaks of. A post's sides, variants and frames are those of `clip`: every
frame meets the text by itself and the highest counts.

Open doubt: features are at most 17 vectors per text and picture, so a small thing in a large picture is averaged away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from workbench.features.encoders.names import TIMM, TRANSFORMER
from workbench.models.heads.bags import Vectors
from workbench.models.heads.frozen import ClipClassifier
from workbench.models.heads.options import HeadKind, PairOptions
from workbench.models.heads.reading import Side

if TYPE_CHECKING:
    from typing import Self

    import torch

    from workbench.features.encoders.open_clip import Encoder

SAMPLE = 20_000  # rows from which a whitening is estimated; a larger sample changes it by less than rounding does


class AttentionOptions(PairOptions):
    """The blocks of cross-attention, and the head behind them."""

    width: int = Field(64, ge=8, le=2048, description="Channels of a token or patch inside the blocks.")
    heads: int = Field(4, ge=1, le=64, description="Attention heads; they share the width evenly.")
    blocks: int = Field(1, ge=1, le=4, description="Blocks of attention, both ways each.")
    epochs: int = Field(30, ge=1, le=10_000, description="Most passes over the training posts.")
    lr: float = Field(0.002, gt=0, le=1, description="Learning rate of AdamW.")
    batch_size: int = Field(128, ge=1, description="Posts per step.")
    patience: int = Field(4, ge=1, description="Epochs without a better validation loss before training stops.")

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width}) evenly")
        if self.head == "linear":
            raise ValueError("head: attention has one hidden layer behind it; leave `head` at 'mlp'")
        if self.picture_words:
            raise ValueError("picture_words: attention is between one text and the picture; take `clip-cross`")
        pooled = self.words is not None or str(self.text_encoder).startswith(TRANSFORMER)
        if pooled or str(self.image_encoder).startswith(TIMM):
            name = self.image_encoder if not pooled else self.words.name if self.words else self.text_encoder
            raise ValueError(
                f"{name!r} gives one vector for a whole content, and attention needs tokens and patches: name CLIPs of "
                "open_clip's, or take `clip-cross`"
            )
        return self


class ClipAttention(ClipClassifier):
    """Text and vision attend to each other's patches and tokens, then a hidden layer."""

    options_class = AttentionOptions
    options: AttentionOptions
    modalities = ("text", "image", "video")
    search: ClassVar[dict[str, tuple]] = {
        "lr": (0.001, 0.002, 0.004),
        "dropout": (0.1, 0.2, 0.3),
        "blocks": (1, 2),
        "width": (64, 128),
    }

    def _encoder(self, side: Side = "vision") -> Encoder:
        return super()._encoder(side).unpooled

    def _whitening(self, kind: HeadKind, name: Side, side: Vectors) -> tuple[np.ndarray, np.ndarray]:
        """Return means (2, dim) and matrices (2, dim, dim) of pooled embeddings and of tokens."""
        from workbench.models.heads import training

        step = -(-len(side.values) // SAMPLE) or 1
        embeddings = side.values[::step].reshape(len(side.values[::step]), -1, self._encoder(name).width)
        weight = None if side.weight is None else side.weight[::step]
        tokens = embeddings[:, 1:].reshape(-1, embeddings.shape[2])
        there = (tokens != 0).any(axis=1)
        heavy = None if weight is None else np.repeat(weight, embeddings.shape[1] - 1)[there]
        both = training.whitening(embeddings[:, 0], weight), training.whitening(tokens[there], heavy)
        return np.stack([mean for mean, _ in both]), np.stack([matrix for _, matrix in both])

    def _tensors(self, sides: list[Vectors], rows: list[np.ndarray]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Return each side (n, embeddings * dim) float16 as stored, and present (n, n_sides)."""
        import torch

        filled = []
        for side, row in zip(sides, rows, strict=True):
            values = np.zeros((len(row), side.values.shape[1]), dtype=np.float16)
            values[row >= 0] = side.values[row[row >= 0]]
            filled.append(torch.from_numpy(values).to(self.store.device))
        return tuple(filled), torch.from_numpy(np.stack(rows, axis=1) >= 0).to(self.store.device)

    def _build(self, generator: torch.Generator | None) -> Any:
        import torch

        from workbench.models.heads.cross_attention.network import CrossAttentionNetwork

        options = self.options
        network = CrossAttentionNetwork(
            tuple(mean.shape[1] for mean, _ in self.whitenings),
            len(self.taxonomy.names),
            (options.width, options.heads, options.blocks),
            hidden=options.hidden,
            dropout=options.dropout,
            activation=options.activation,
            generator=generator,
        )
        for tower, (mean, matrix) in zip(network.towers, self.whitenings, strict=True):
            tower.mean.copy_(torch.from_numpy(mean))
            tower.matrix.copy_(torch.from_numpy(matrix))
        return network.to(self.store.device)
