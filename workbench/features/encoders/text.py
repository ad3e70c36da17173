"""Encoders of texts alone: any transformer of the hub that reads tokens both ways (BERT, RoBERTa, MiniLM, DeBERTa).

A vector is the mean of the last layer's tokens, or its first token, L2-normalised and rounded to float16 like those of
CLIP encoders, so that the store and every head take them alike. Long texts become windows as in `tokens`; batches are
made of texts of like length, padded to their longest, and halved where the memory does not suffice, as in `towers`.

Source: mean pooling over the attention mask as in Reimers and Gurevych 2019, Sentence-BERT,
https://aclanthology.org/D19-1410. Loading is transformers' own: safetensors only, no code of a repository ever runs.
Open doubt: encoder-decoders (T5) and decoders are refused, though their hidden states could be pooled too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench import device as devices
from workbench.errors import WorkbenchError
from workbench.features.blocks import Blocks
from workbench.features.encoders import hub
from workbench.features.encoders.forward.towers import Towers, padded, text_room
from workbench.features.encoders.forward.windows import Tokens, specials, windowing
from workbench.features.encoders.names import text_encoder
from workbench.features.encoders.open_clip import Encoder, Report, weights_digest

UNUSED = ("pooler.", "lm_head.", "cls.")  # parts of checkpoints that pooling never looks at


def pooled(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Return one vector per row (n, d) from the last layer's tokens `hidden (n, width, d)` where `mask` is 1."""
    if pooling == "cls":
        return hidden[:, 0]
    weights = mask[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


class TextTowers(Towers):
    """A transformer on one device; batching and halving are those of `Towers`."""

    def __init__(self, model: nn.Module, tokens: Tokens, pooling: str, where: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype, self.pooling, self._pad = where, dtype, pooling, tokens.pad
        self.model = model.to(where).eval().requires_grad_(False)
        self.texts_room = text_room(where, model.config.hidden_size)

    def _width(self, longest: int) -> int:
        return longest

    def embed_texts(self, rows: list[list[int]]) -> torch.Tensor:
        """Return the pooled last layer (n, d) of rows of token ids."""
        ids, mask = (part.to(self.device, non_blocking=True) for part in padded(rows, self._pad))
        return pooled(self.model(input_ids=ids, attention_mask=mask).last_hidden_state, mask, self.pooling)


class TextEncoder(Encoder):
    """A transformer with its tokenizer and pooling; make it with `encoders.load_encoder`. Pictures are refused."""

    def __init__(
        self,
        name: str,
        model: nn.Module,
        tokens: Tokens,
        pooling: str,
        where: torch.device,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.name, self.device, self.dtype = name, where, dtype or devices.dtype(where)
        self.tokens, self.pooling, self.dim = tokens, pooling, int(model.config.hidden_size)
        self.model, self.config = model, settings(model)
        self.weights = weights_digest(model, self.config)
        self._depends = {}
        self.towers = TextTowers(model, tokens, pooling, where, self.dtype)

    @property
    def recipe(self) -> dict[str, Any]:
        return {
            "text": self.tokens.recipe,
            "pooling": self.pooling,
            "dtype": str(self.dtype),
            "values": "L2-normalised, float16",
        }

    def entries(self, modality: str) -> tuple[Callable[..., Any], ...]:
        return (type(self), type(self).encode_text, load_transformer)

    def encode_image(self, pictures: Sequence[bytes | None], report: Report | None = None) -> Blocks:
        """Raise WorkbenchError: there is no tower for it."""
        raise WorkbenchError(f"encoder {self.name!r} reads text only; name an open_clip encoder for pictures and clips")

    encode_video = encode_image

    @cached_property
    def _spare(self) -> TextEncoder:
        import copy

        model = copy.deepcopy(self.model).to("cpu")
        return TextEncoder(self.name, model, self.tokens, self.pooling, torch.device("cpu"), torch.float32)


def load(name: str) -> tuple[nn.Module, Tokens, str]:
    """Return the transformer of a name as `names.text_encoder` reads it, its tokens and its pooling.

    Raises WorkbenchError, in one sentence, for a model that cannot be had or is of no use here.
    """
    pooling, most, source = text_encoder(name)
    return (*load_transformer(source, most), pooling)


def load_transformer(source: str, most: int) -> tuple[nn.Module, Tokens]:
    """Return a transformer on the CPU in float32, and its tokens in windows of at most `most`.

    Raises WorkbenchError for a model that cannot be had, has no safetensors, lacks weights, needs its own code, or
    is no encoder.
    """
    folder = hub.obtain(source, "encoder")
    with hub.explained(f"encoder {source!r}", hub.locate(source, "encoder")):
        model = _model(source, folder)
        return model, _tokens(source, folder, model, most)


def settings(model: nn.Module) -> dict[str, Any]:
    """Return a model's configuration as plain JSON, without where it came from and which versions wrote it."""
    config = json.loads(model.config.to_json_string(use_diff=False))
    dropped = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "auto_map")
    return {key: value for key, value in config.items() if key not in dropped}


def _model(source: str, folder: Path) -> nn.Module:
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]), hub.quietly():
        torch.manual_seed(0)  # parts that a checkpoint lacks (a pooler) are random, yet the same everywhere
        model, report = AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(UNUSED))
    if missing:
        raise WorkbenchError(
            f"encoder {source!r} lacks {len(missing)} of its weights ({missing[0]}); save the model again"
        )
    if model.config.is_encoder_decoder or getattr(model.config, "is_decoder", False):
        raise WorkbenchError(f"encoder {source!r} is no encoder but generates text; name one like BERT or RoBERTa")
    return model


def _tokens(source: str, folder: Path, model: nn.Module, most: int) -> Tokens:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not getattr(tokenizer, "is_fast", False) or tokenizer.pad_token_id is None:
        raise WorkbenchError(f"encoder {source!r} has no fast tokenizer with padding; save its tokenizer.json")
    tokens = tokens_of(tokenizer.backend_tokenizer.to_str(), tokenizer.pad_token_id, min(most, _limit(model)))
    if tokens is None:
        raise WorkbenchError(f"encoder {source!r} has no room for words in {most} tokens; ask for more")
    return tokens


def tokens_of(backend: str, pad: int, context: int) -> Tokens | None:
    """Return tokens in windows from a tokenizer.json; None where special tokens leave no room for others.

    The tokenizer cleans by itself; only its own normalisation is applied.
    """
    from tokenizers import Tokenizer

    def as_it_is(text: str) -> str:  # its name stands in the recipes of saved bundles and never changes
        return text

    rust = Tokenizer.from_str(backend)
    rust.no_truncation()
    rust.no_padding()  # some files pad every text to 128 tokens
    return windowing(rust, specials(rust, pad), as_it_is, context)


def _limit(model: nn.Module) -> int:
    """Return the most tokens that the model has positions for; RoBERTa counts them from behind the padding's id."""
    most = getattr(model.config, "max_position_embeddings", None) or 512
    if most < 0:  # XLNet: without limit
        return 512
    offset = "roberta" in model.config.model_type or model.config.model_type in ("camembert", "mpnet", "xlm")
    return most - (model.config.pad_token_id + 1 if offset and model.config.pad_token_id is not None else 0)
