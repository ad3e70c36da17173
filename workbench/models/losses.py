"""What a wrong answer costs while a network is trained; an unknown label never costs anything."""

from __future__ import annotations

import torch
from torch.nn import functional


def masked_bce(logits: torch.Tensor, y: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return binary cross-entropy from logits, in nats, as the mean over the known cells; 0 where nothing is known.

    logits, y, known: (n_posts, n_labels); `y` is 0 or 1 and is not looked at where `known` is False. Being a mean, the
    loss of a batch does not depend on how large the batch is, nor on how many labels happen to be known.
    """
    cells = functional.binary_cross_entropy_with_logits(logits, torch.where(known, y, 0.0), reduction="none")
    return torch.where(known, cells, 0.0).sum() / known.sum().clamp(min=1)
