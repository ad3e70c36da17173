"""Backbones of timm as encoders of pictures: from a name to the network without its classifier, and its preprocessing.

Every way leads to a folder in the hub's layout (config.json and model.safetensors) or to one file of weights, and only
safetensors is read, so loading runs no code. Which names there are is said in `names`.

Source: timm 1.0.31, `models/_factory.py`, `models/_builder.py`, `data/transforms_factory.py` (the evaluation transform:
scale the shorter side to the size over `crop_pct`, keep the centre). Open doubt: `border` crops are read as `longest`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import nn

from workbench.features.encoders import hub
from workbench.features.encoders.forward.transform import Transform
from workbench.features.encoders.names import RANDOM, TIMM_CONFIG, TIMM_WEIGHTS, Source, check

_SAID = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")
_MODES = {"center": "shortest", "squash": "squash", "border": "longest"}


@dataclass(frozen=True)
class Cropped(Transform):
    """timm's fit: as `Transform`, but scaled to the size over `crop_pct` before the centre is kept."""

    crop_pct: float = 1.0

    def fitted(self, fit: str | None) -> Self:
        """Return the transform with another fit: what shows the whole picture is scaled to the size itself."""
        whole = fit in ("squash", "pad")
        return Transform.fitted(replace(self, crop_pct=1.0) if whole else self, fit)

    def _target(self, height: int, width: int) -> tuple[int, int]:
        scaled = tuple(math.floor(side / self.crop_pct) for side in self.size)
        return Transform._target(replace(self, size=scaled), height, width)

    def seen(self, height: int, width: int) -> float:
        """Return the share of a picture's area that reaches the encoder, 0 to 1."""
        return super().seen(height, width) * self.crop_pct**2


class VisualAdapter(nn.Module):
    """A backbone as the towers expect a model: its `visual` part, (n, 3, height, width) to features (n, dim)."""

    word = "Sight"  # stands in the digests of saved bundles and never changes, see `open_clip.weights_digest`

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return pooled features (n, dim)."""
        return self.visual(pixels)


def fit(settings: Mapping[str, Any]) -> Cropped:
    """Return the fit that timm's data configuration describes."""
    return Cropped(
        size=tuple(settings["input_size"][1:]),
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        resize_mode=_MODES.get(settings["crop_mode"], "shortest"),
        interpolation="bilinear" if settings["interpolation"] == "bilinear" else "bicubic",
        crop_pct=float(settings["crop_pct"]),
    )


def load(name: str) -> tuple[nn.Module, None, dict[str, Any]]:
    """Return the backbone on the CPU, nothing in the place of a tokenizer, and its configuration.

    Raises WorkbenchError for an unknown name, missing or unusable weights, and a hub that cannot be reached.
    """
    import timm

    source = check(name)
    with hub.explained(f"encoder {name!r}", source.repository, (TIMM_CONFIG, TIMM_WEIGHTS), source.step):
        local = _fetch(name, source) if source.kind == "timm-hub" else source
        model = _model(local).eval()
        data = timm.data.resolve_data_config({}, model=model)
        config = {"architecture": model.pretrained_cfg.get("architecture"), "data": {key: data[key] for key in _SAID}}
        with torch.inference_mode():
            dim = model(torch.zeros(1, *data["input_size"])).shape[-1]
    config["data"] = json.loads(json.dumps(config["data"]))  # tuples as a saved configuration has them
    return VisualAdapter(model), None, {**config, "embed_dim": dim}


def _fetch(name: str, source: Source) -> Source:
    """Return the folder in the local cache that holds a repository's backbone at one commit."""
    from huggingface_hub import hf_hub_download

    folder, commit = hub.pinned("encoder", name, source.where, source.weights, TIMM_CONFIG)
    hf_hub_download(source.where, TIMM_WEIGHTS, revision=commit)
    return Source("timm-folder", str(folder))


def _model(source: Source) -> nn.Module:
    """Return a backbone with pooled features in the place of its classifier."""
    import timm

    how: dict[str, Any] = {"num_classes": 0, "pretrained": source.weights != RANDOM}
    if source.kind == "timm-architecture" and source.weights != RANDOM:
        how["pretrained_cfg_overlay"] = {"file": source.weights}
    where = f"local-dir:{source.where}" if source.kind == "timm-folder" else source.where
    with torch.random.fork_rng(devices=[]):  # weights are drawn even where a file replaces them
        torch.manual_seed(0)  # random, yet the same in every process
        return timm.create_model(where, **how)
