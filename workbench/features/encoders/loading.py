"""From an encoder's name to an open_clip model with its tokenizer and configuration; every failure in one sentence.

A repository of the hub is brought into Hugging Face's local cache at one commit and loaded from there like any folder,
so that it can be pinned, which open_clip 3.3.0 itself cannot.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.pretrained import get_pretrained_cfg
from open_clip.transformer import Transformer
from torch import nn

from workbench.errors import WorkbenchError
from workbench.features.encoders import hub
from workbench.features.encoders.forward.windows import Tokens, fast_tokens
from workbench.features.encoders.names import CONFIG, HUB, RANDOM, Source, check

WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
TOKENIZER = ("*.json", "*.txt", "*.model")


def load(name: str) -> tuple[nn.Module, Tokens, dict[str, Any]]:
    """Return the model on the CPU, its tokens and its configuration; raises WorkbenchError as `load_encoder` says."""
    source = check(name)
    needs = (CONFIG, "open_clip's weights (.safetensors)", "the tokenizer files")
    with hub.explained(f"encoder {name!r}", source.repository, needs, source.step):
        local = _fetch(name, source) if source.kind == "hub" else source
        config = _config(local)
        model = network(local, config)
        tokenizer = open_clip.get_tokenizer(_tokenizer(source, local, config))
        return model, fast_tokens(tokenizer, int(config["text_cfg"].get("context_length", 77))), config


def _fetch(name: str, source: Source) -> Source:
    """Return the folder in the local cache that holds a repository's model at one commit, downloading what it lacks."""
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError

    folder, commit = hub.pinned("encoder", name, source.where, source.weights, CONFIG)
    snapshot_download(
        source.where, revision=commit, allow_patterns=["*.json", "*.txt", "*.model"], ignore_patterns="*/*"
    )
    for file in WEIGHTS:
        try:
            hf_hub_download(source.where, file, revision=commit)
            break
        except EntryNotFoundError as error:
            missing = error
    else:
        raise missing
    return Source("folder", str(folder))


def _identifier(source: Source) -> str:
    return f"local-dir:{source.where}" if source.kind == "folder" else source.where


def _tokenizer(source: Source, local: Source, config: dict[str, Any]) -> str:
    """Return what open_clip calls the tokenizer: a repository can leave it to another that its configuration names."""
    names = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
    beside = any((Path(local.where) / name).exists() for name in names)
    if source.kind == "hub" and config["text_cfg"].get("hf_tokenizer_name") and not beside:
        return f"{HUB}{source.where}"
    return _identifier(local)


def _config(source: Source) -> dict[str, Any]:
    """Return the model's configuration, with the activation that its weights were trained with."""
    config = open_clip.get_model_config(_identifier(source))
    for key in ("embed_dim", "vision_cfg", "text_cfg"):
        if key not in config:
            raise WorkbenchError(f"{source.where}/{CONFIG} lacks {key!r} in its `model_cfg`; save the model again")
    if _tag(source).get("quick_gelu", False):
        config["quick_gelu"] = True  # open_clip only warns, and every activation would be slightly wrong
    return config


def _tag(source: Source) -> dict[str, Any]:
    """What open_clip knows about the weights; nothing for a file, a folder or random weights."""
    return get_pretrained_cfg(source.where, source.weights) if source.weights else {}


def network(source: Source, config: dict[str, Any]) -> nn.Module:
    """Return the model of a source and its configuration, with its weights."""
    identifier, quick_gelu = _identifier(source), bool(config.get("quick_gelu", False))
    if source.weights != RANDOM:
        return _tokens_first(
            open_clip.create_model(
                identifier, pretrained=source.weights, force_quick_gelu=quick_gelu, require_pretrained=True
            )
        )
    with torch.random.fork_rng(devices=[]), random_on_purpose():
        torch.manual_seed(0)  # random, yet the same in every process
        return _tokens_first(open_clip.create_model(identifier, pretrained_text=False))


def _tokens_first(model: nn.Module) -> nn.Module:
    """Let transformers work on (tokens, n, channels) throughout, as they can by themselves; nothing else changes.

    With (n, tokens, channels) torch's attention transposes its input, and a linear layer without gradients then copies
    its weights once for each item: in bfloat16 that takes five times as long as the layer itself (torch 2.14, a CPU).
    """
    for part in model.modules():
        # a subclass has further layers, whose order this does not know
        if type(part) is Transformer and all(type(block.attn) is nn.MultiheadAttention for block in part.resblocks):
            part.batch_first = False
            for block in part.resblocks:
                block.attn.batch_first = False
    return model


@contextmanager
def random_on_purpose() -> Iterator[None]:
    """Keep open_clip from warning, in the root logger, that a model has random weights, where they are asked for."""
    root = logging.getLogger()

    def other(record: logging.LogRecord) -> bool:
        return "No pretrained weights loaded" not in record.getMessage()

    root.addFilter(other)
    try:
        yield
    finally:
        root.removeFilter(other)
