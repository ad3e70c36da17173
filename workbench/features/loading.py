"""From an encoder's name to an open_clip model with its tokenizer and configuration; every failure in one sentence."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, NoReturn

import open_clip
import torch
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from torch import nn

from workbench.features.names import CONFIG, FORMS, Source, parse
from workbench.features.tokens import Tokens, fast_tokens
from workbench.schema import WorkbenchError, unknown

RANDOM = "random"


def load(name: str) -> tuple[nn.Module, Tokens, dict[str, Any]]:
    """Return the model on the CPU, its tokens and its configuration; raises WorkbenchError as `load_encoder` says."""
    source = parse(name)
    if source.kind == "architecture":
        _check(name, source)
    try:
        config = _config(source)
        model = _model(source, bool(config.get("quick_gelu", False)))
        tokenizer = open_clip.get_tokenizer(_identifier(source))
        return model, fast_tokens(tokenizer, int(config["text_cfg"].get("context_length", 77))), config
    except WorkbenchError:
        raise
    except Exception as error:  # open_clip, safetensors, the hub and tokenizers raise a dozen kinds
        _explain(name, source, error)


def _identifier(source: Source) -> str:
    return f"local-dir:{source.where}" if source.kind == "folder" else source.where


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


def _model(source: Source, quick_gelu: bool) -> nn.Module:
    identifier = _identifier(source)
    if source.weights != RANDOM:
        return open_clip.create_model(
            identifier, pretrained=source.weights, force_quick_gelu=quick_gelu, require_pretrained=True
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # random, yet the same in every process
        return open_clip.create_model(identifier, pretrained_text=False)


def _check(name: str, source: Source) -> None:
    """Raise WorkbenchError for an architecture or weights that open_clip does not know, and for weights not named."""
    architectures = open_clip.list_models()
    if source.where not in architectures:
        near = difflib.get_close_matches(source.where, ["tiny", *architectures], n=3)
        hint = f"; did you mean {' or '.join(repr(match) for match in near)}? Write" if near else "; write"
        raise WorkbenchError(f"unknown encoder {name!r}{hint} {FORMS}; `open_clip.list_models()` has every name")
    tags = list_pretrained_tags_by_model(source.where)
    if source.weights is None:
        raise WorkbenchError(
            f"encoder {name!r} is an architecture without weights; write '{name}@TAG' with a tag of open_clip's "
            f"({', '.join(tags[:4]) or 'it has none'}{' ...' if tags[4:] else ''}), '{name}@FILE' with a file of "
            f"weights, or '{name}@{RANDOM}' if untrained weights are meant"
        )
    if source.weights == RANDOM or Path(source.weights).is_file():
        return
    if not _tag(source):
        raise WorkbenchError(unknown(f"weights or file for {source.where!r}:", source.weights, [*tags, RANDOM]))


def _explain(name: str, source: Source, error: Exception) -> NoReturn:
    cause = " ".join(str(error).split())[:300] or type(error).__name__
    if source.kind == "folder":
        step = f"check {CONFIG}, the weights (.safetensors) and the tokenizer files in {source.where}"
    elif source.weights and Path(source.weights).is_file():
        step = f"check that {source.weights} holds the weights of {source.where}"
    else:
        step = "check the network, or save the model in a folder and name that"
    if isinstance(error, json.JSONDecodeError):
        cause = f"{CONFIG} is not valid JSON ({cause})"
    raise WorkbenchError(f"encoder {name!r} cannot be loaded ({cause}); {step}") from error
