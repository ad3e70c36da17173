"""A text encoder of the hub with one linear layer on it, trained as a whole.

Whatever is random (dropout, order, first weights) comes from the seed; the generators of the program are put back as
they were. Computation is in bfloat16 where the hardware multiplies it, weights stay in float32.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from workbench import device as devices
from workbench import fingerprint
from workbench.features.encoders.text import load_transformer, padded, pooled, settings, tokens_of
from workbench.fingerprint import closure
from workbench.models.fit.loop import adamw, gradient, take_weights, train_epochs, weights_of
from workbench.models.fit.losses import masked_bce
from workbench.models.heads.networks import Dropout, Linear

WINDOW = 50  # batches whose posts are sorted by length together: little is padding, and the order stays chance
TOKENS_AT_ONCE = 8192  # of a batch that is only scored
CLIP = 1.0  # the longest gradient
ADVICE = "lower `max_tokens` or take a smaller encoder"  # where there is no memory for a single text
Progress = Callable[[int, int, str], None]


class TokenRows(NamedTuple):
    """Rows of token ids, one per post, with y and known (n_posts, n_labels)."""

    rows: list[list[int]]
    y: np.ndarray
    known: np.ndarray


class Tuned(nn.Module):
    """Logits from the pooled last layer of a transformer; `of` starts one, `restored` brings a trained one back."""

    def __init__(self, encoder: nn.Module, backend: str, pad: int, options: Any, n_labels: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.encoder, self.pooling, self.pad, self.backend = encoder, options.pooling, pad, backend
        self.config = settings(encoder)
        self.drop = Dropout(options.dropout, generator)
        self.output = Linear(encoder.config.hidden_size, n_labels, generator)
        self.learnt = devices.Room("text", options.at_once, ADVICE)
        self.scored = devices.Room("text", TOKENS_AT_ONCE, ADVICE)

    @classmethod
    def of(cls, source: str, options: Any, n_labels: int, where: Any, seed: int) -> Tuned:
        """Return a network on a device whose encoder is a repository's or folder's; raises WorkbenchError."""
        encoder, tokens = load_transformer(source, options.max_tokens)
        network = cls(encoder, tokens.recipe["tokenizer"], tokens.pad, options, n_labels, seed)
        network.tokens = tokens
        return network.to(where)

    @classmethod
    def restored(
        cls, files: tuple[dict[str, Any], str], state: dict[str, Any], arrays: dict[str, Any], options: Any, where: Any
    ) -> Tuned:
        """Return the network that `state` and the files beside it describe; nothing else is looked at."""
        from transformers import AutoConfig, AutoModel

        config, backend = files
        with torch.random.fork_rng(devices=[]):
            encoder = AutoModel.from_config(AutoConfig.for_model(**config), trust_remote_code=False)
        network = cls(encoder.float(), backend, state["pad"], options, state["labels"], seed=0)
        network.config = config
        network.tokens = tokens_of(backend, state["pad"], state["context"])
        take_weights(network, arrays, "tuned.")
        return network.to(where)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what `restored` needs beside configuration and tokenizer."""
        state = {"pad": self.pad, "context": self.tokens.context, "labels": self.output.out_features}
        return state, weights_of(self, "tuned.")

    def forward(self, rows: list[list[int]]) -> torch.Tensor:
        """Return logits (n_rows, n_labels) float32 of rows of token ids."""
        where = self.output.weight.device
        ids, mask = (part.to(where, non_blocking=True) for part in padded(rows, self.pad))
        form = devices.dtype(where)
        with torch.autocast(where.type, form, form != torch.float32):
            hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.output(self.drop(pooled(hidden.float(), mask, self.pooling)))

    def score(self, rows: list[list[int]]) -> np.ndarray:
        """Return logits (n_rows, n_labels) float32, in batches of like length."""
        self.eval()
        order = np.argsort([-len(row) for row in rows], kind="stable")
        out = np.empty((len(rows), self.output.out_features), np.float32)

        def logits(some: np.ndarray) -> np.ndarray:
            return self([rows[i] for i in some]).cpu().numpy()

        with torch.inference_mode():
            while len(order):
                count, values = self.scored.fit(logits, order, len(rows[order[0]]))
                out[order[:count]], order = values, order[count:]
        return out


def tune(
    network: Tuned, train: TokenRows, validation: TokenRows, options: Any, seed: int, progress: Progress | None = None
) -> dict[str, Any]:
    """Train a network by settled `TransformerOptions`; it ends with the weights that lost least on validation.

    Without a known label in validation the loss on train decides. Returns what happened: epochs, best epoch, its loss
    in nats per label, posts at once at the end. Raises WorkbenchError where the loss is never a number.
    """
    watched = validation if validation.known.any() else train
    steps = -(-len(train.rows) // options.batch_size)
    optimizer, rate = _optimizer(network, options, steps * options.epochs)
    where = network.output.weight.device

    def loss(batch: np.ndarray) -> torch.Tensor:
        y, known = (torch.from_numpy(array[batch]).to(where) for array in (train.y, train.known))
        return masked_bce(network([train.rows[i] for i in batch]), y, known)

    def learn(epoch: int) -> None:
        for step, batch in enumerate(batches([len(row) for row in train.rows], options.batch_size, [seed, epoch])):
            gradient(network.learnt, optimizer, batch, train.known, loss)
            nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimizer.step()
            rate.step()
            if progress is not None:
                progress((epoch - 1) * steps + step + 1, steps * options.epochs, "steps of fine-tuning")

    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):  # a transformer's own dropout
        torch.manual_seed(seed)
        record = train_epochs(network, options, learn, lambda: _loss(network, watched))
    return {**record, "at_once": network.learnt.at_once}


def key(network: Tuned, train: TokenRows, validation: TokenRows, options: Any, seed: int) -> str:
    """Return 16 hex digits over all that the outcome of `tune` depends on: weights, texts, truth, options and code.

    Where the encoder lies does not count, but what is in it; nor do options that are read when posts are scored alone.
    """
    digest, where = hashlib.sha256(), network.output.weight.device
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    for part in (train, validation):
        digest.update(json.dumps([part.rows, part.y.shape]).encode())
        digest.update(part.y.tobytes() + part.known.tobytes())
    about = {
        **closure.of_code(tune, Tuned, without=(Tuned.restored, Tuned.state)),
        "options": options.model_dump(mode="json", exclude={"encoder", "variants"}),
        "config": network.config,
        "pad": network.pad,
        "seed": seed,
        "device": [str(where), str(devices.dtype(where))],
        "data": digest.hexdigest(),
    }
    return fingerprint.of_json(about)


def batches(lengths: list[int], size: int, seed: list[int]) -> list[np.ndarray]:
    """Return batches (size,) of row numbers in random order, each of rows of like length.

    Rows are shuffled, sorted by length within stretches of WINDOW batches, and the batches shuffled once more.
    """
    rng = np.random.default_rng(seed)
    order, parts = rng.permutation(len(lengths)), []
    for start in range(0, len(order), WINDOW * size):
        stretch = order[start : start + WINDOW * size]
        stretch = stretch[np.argsort(np.asarray(lengths)[stretch], kind="stable")]
        parts += [stretch[at : at + size] for at in range(0, len(stretch), size)]
    return [parts[i] for i in rng.permutation(len(parts))]


def _loss(network: Tuned, texts: TokenRows) -> float:
    scores = torch.from_numpy(network.score(texts.rows))
    return float(masked_bce(scores, torch.from_numpy(texts.y), torch.from_numpy(texts.known)))


def _optimizer(network: Tuned, options: Any, steps: int) -> tuple[torch.optim.Optimizer, Any]:
    """Return AdamW and its rate: up, then down to zero."""
    optimizer = adamw(network, options)
    rising = max(1, round(options.warmup * steps))

    def rate(step: int) -> float:
        return min((step + 1) / rising, max(0.0, (steps - step) / max(1, steps - rising)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
