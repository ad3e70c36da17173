"""An encoder whose weights can be trained: the same preprocessing and forward pass, with gradients.

`Encoder.tunable` copies the weights, so that the frozen encoder stays what it is. Batch norms keep the statistics that
they were pretrained with (a post must not depend on its neighbours), and only their scales and shifts are learnt.
`frozen` gives an encoder with the weights as they are then; its fingerprint is its own, so the store never mixes them.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import normalize

from workbench.features.encoders.forward.towers import Towers

_NUMBERED = re.compile(r"(?:resblocks\.|layers?\.?|blocks\.|stages\.)(\d+)")
_ENTRANCE = re.compile(
    r"(?:^|\.)(conv1|conv2|conv3|bn1|bn2|bn3|stem|ln_pre|patch_embed|token_embedding|positional_embedding|"
    r"class_embedding|embeddings?)(?:\.|$)"
)

_TOP = 1 << 30  # the level of what comes after all layers


class Tunable:
    """A trainable copy of an encoder on its device.

    Attributes:
        model: the module whose parameters are trained; dim: length of a vector.
    """

    def __init__(self, encoder: Any) -> None:
        self.whole, self.dim = encoder, encoder.dim
        self.model = copy.deepcopy(encoder.model)
        self.towers = Towers(self.model, encoder.tokens, encoder.fit, encoder.device, encoder.dtype)
        self.model.requires_grad_(True)  # it stays in evaluation mode, see above
        self.read = {"image": encoder.fit.read, "video": encoder.fit.read_clip}

    def texts(self, texts: Sequence[str | None]) -> list[list[int] | None]:
        """Return the first window of each text as token ids; None where there is none."""
        windows, at, out = self.whole.tokens.windows(texts), 0, []
        for count in windows.counts:
            out.append(windows.rows[at] if count else None)
            at += count
        return out

    def variants(self, modality: str, data: bytes) -> torch.Tensor | None:
        """Return the variants of a picture or the frames of a clip (k, 3, height, width) uint8; None if unreadable."""
        return self.read[modality](data).variants

    def embed_texts(self, rows: list[list[int]]) -> torch.Tensor:
        """Return the vectors (n, dim) float32 of rows of token ids, L2-normalised, with gradients."""
        with self._format():
            return normalize(self.towers.embed_texts(rows).float(), dim=1)

    def embed_pictures(self, variants: list[torch.Tensor]) -> torch.Tensor:
        """Return the vectors (n, dim) float32 of variants (3, height, width) uint8, L2-normalised, with gradients."""
        with self._format():
            return normalize(self.towers.embed_pictures(variants).float(), dim=1)

    def _format(self) -> torch.autocast:
        dtype = self.whole.dtype
        return torch.autocast(self.whole.device.type, dtype, enabled=dtype != torch.float32)

    def depths(self) -> dict[str, int]:
        """Return, for each parameter, how many layers of its tower lie above it: 0 for the projections at the top."""
        return depths([name for name, _ in self.model.named_parameters()])

    def frozen(self) -> Any:
        model, whole = copy.deepcopy(self.model), self.whole
        return type(whole)(f"tuned {whole.name}", model, whole.tokens, whole.config, whole.device, whole.dtype)


def depths(names: Sequence[str]) -> dict[str, int]:
    """Return how many layers lie above each of a CLIP's parameters within its tower, by their names.

    >>> depths(["visual.conv1.weight", "visual.layer1.0.w", "visual.layer2.0.w", "visual.proj"])
    {'visual.conv1.weight': 3, 'visual.layer1.0.w': 2, 'visual.layer2.0.w': 1, 'visual.proj': 0}
    """
    places: dict[str, tuple[str, int]] = {}
    for name in names:
        numbered = None if "attnpool" in name else _NUMBERED.search(name)
        entrance = "attnpool" not in name and _ENTRANCE.search(name)
        level = int(numbered[1]) if numbered else -1 if entrance else _TOP
        places[name] = ("visual" if name.startswith("visual.") else "text"), level
    levels = {tower: {at for which, at in places.values() if which == tower} | {_TOP} for tower in ("visual", "text")}
    return {name: sum(other > at for other in levels[tower]) for name, (tower, at) in places.items()}
