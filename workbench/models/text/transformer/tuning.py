"""A text encoder of the hub with one linear layer on it, trained as a whole.

Whatever is random (dropout, order, first weights) comes from the seed; the generators of the program are put back as
they were. Computation is in bfloat16 where the hardware multiplies it, weights stay in float32.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from workbench import device as devices
from workbench.errors import WorkbenchError
from workbench.features.encoders.forward.towers import out_of_memory
from workbench.features.encoders.text import load_transformer, padded, pooled, settings, tokens_of
from workbench.models.fit.losses import masked_bce
from workbench.models.heads.networks import Dropout, Linear

log = logging.getLogger(__name__)
WINDOW = 50  # batches whose posts are sorted by length together: little is padding, and the order stays chance
TOKENS_AT_ONCE = 8192  # of a batch that is only scored
CLIP = 1.0  # the longest gradient
Progress = Callable[[int, int, str], None]


class Texts(NamedTuple):
    """Rows of token ids, one per post, with y and known (n_posts, n_labels)."""

    rows: list[list[int]]
    y: np.ndarray
    known: np.ndarray


class Plan(NamedTuple):
    """How a network is trained; the fields are those of `TransformerOptions`."""

    epochs: int
    lr: float
    weight_decay: float
    batch_size: int
    patience: int
    warmup: float
    at_once: int


class Tuned(nn.Module):
    """Logits from the pooled last layer of a transformer; `of` starts one, `restored` brings a trained one back."""

    def __init__(self, encoder: nn.Module, backend: str, pad: int, options: Any, n_labels: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.encoder, self.pooling, self.pad, self.backend = encoder, options.pooling, pad, backend
        self.config = settings(encoder)
        self.drop = Dropout(options.dropout, generator)
        self.output = Linear(encoder.config.hidden_size, n_labels, generator)
        self.at_once = options.at_once

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
        weights = {name.removeprefix("tuned."): a for name, a in arrays.items() if name.startswith("tuned.")}
        network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        return network.to(where)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what `restored` needs beside configuration and tokenizer."""
        arrays = {f"tuned.{name}": value.detach().cpu().numpy() for name, value in self.state_dict().items()}
        return {"pad": self.pad, "context": self.tokens.context, "labels": self.output.out_features}, arrays

    def forward(self, rows: list[list[int]]) -> torch.Tensor:
        """Return logits (n_rows, n_labels) float32 of rows of token ids."""
        where = self.output.weight.device
        ids, mask = (part.to(where, non_blocking=True) for part in padded(rows, self.pad))
        form = devices.dtype(where)
        with torch.autocast(where.type, form, form != torch.float32):
            hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.output(self.drop(pooled(hidden.float(), mask, self.pooling)))

    def score(self, rows: list[list[int]]) -> np.ndarray:
        """Return logits (n_rows, n_labels) float32, in batches of like length, halved where memory does not suffice."""
        self.eval()
        order = np.argsort([-len(row) for row in rows], kind="stable")
        out = np.empty((len(rows), self.output.out_features), np.float32)
        start, most = 0, TOKENS_AT_ONCE
        with torch.inference_mode():
            while start < len(order):
                some = order[start : start + max(1, most // len(rows[order[start]]))]
                try:
                    out[some] = self([rows[i] for i in some]).cpu().numpy()
                except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
                    most = self.fewer(error, len(some)) * len(rows[order[start]])
                else:
                    start += len(some)
        return out

    def fewer(self, error: Exception, texts: int) -> int:
        """Return half as many texts after an error that was about memory, saying so; raise any other error again."""
        if not out_of_memory(error):
            raise error
        where = self.output.weight.device
        if texts == 1:
            raise WorkbenchError(
                f"not even one text fits into the memory of {where}; lower `max_tokens` or take a smaller encoder"
            ) from None
        if where.type == "cuda":
            torch.cuda.empty_cache()
        log.warning("%d texts at once do not fit into the memory of %s; from here on %d", texts, where, texts // 2)
        return texts // 2


def tune(
    network: Tuned, train: Texts, validation: Texts, plan: Plan, seed: int, progress: Progress | None = None
) -> dict[str, Any]:
    """Train a network; it ends with the weights of the epoch that lost least on validation.

    Without a known label in validation the loss on train decides. Returns what happened: epochs, best epoch, its loss
    in nats per label, posts at once at the end. Raises WorkbenchError where the loss is never a number.
    """
    watched = validation if validation.known.any() else train
    steps = -(-len(train.rows) // plan.batch_size)
    optimizer, rate = _optimizer(network, plan, steps * plan.epochs)
    best, best_epoch, best_state, epoch = float("inf"), 0, {}, 0
    with _chance(network.output.weight.device, seed):
        for epoch in range(1, plan.epochs + 1):
            network.train()
            for step, batch in enumerate(batches([len(row) for row in train.rows], plan.batch_size, [seed, epoch])):
                _step(network, train, batch, optimizer)
                rate.step()
                if progress is not None:
                    progress((epoch - 1) * steps + step + 1, steps * plan.epochs, "steps of fine-tuning")
            lost = _loss(network, watched)
            if lost < best:
                best, best_epoch = lost, epoch
                best_state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
            elif epoch - best_epoch >= plan.patience:
                break
    if not best_state:
        raise WorkbenchError(f"training with lr {plan.lr:g} diverged; lower `lr`")
    network.load_state_dict(best_state)
    return {"epochs": epoch, "best_epoch": best_epoch, "loss": best, "at_once": network.at_once}


def batches(lengths: list[int], size: int, seed: list[int]) -> list[np.ndarray]:
    """Return batches (size,) of row numbers in random order, each of rows of like length.

    Rows are shuffled, sorted by length within stretches of WINDOW batches, and the batches shuffled once more.
    """
    rng = np.random.default_rng(seed)
    order, found = rng.permutation(len(lengths)), []
    for start in range(0, len(order), WINDOW * size):
        stretch = order[start : start + WINDOW * size]
        stretch = stretch[np.argsort(np.asarray(lengths)[stretch], kind="stable")]
        found += [stretch[at : at + size] for at in range(0, len(stretch), size)]
    return [found[i] for i in rng.permutation(len(found))]


def _step(network: Tuned, train: Texts, batch: np.ndarray, optimizer: torch.optim.Optimizer) -> None:
    """Take one step along the gradient of a whole batch, gathered in pieces of `at_once` posts.

    Where a piece does not fit, the gradient is begun anew with pieces of half the size: a broken one may be in it.
    """
    while True:
        size = min(network.at_once, len(batch))
        optimizer.zero_grad(set_to_none=True)
        try:
            _gather(network, train, batch, size)
            break
        except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
            network.at_once = network.fewer(error, size)
    nn.utils.clip_grad_norm_(network.parameters(), CLIP)
    optimizer.step()


def _gather(network: Tuned, train: Texts, batch: np.ndarray, size: int) -> None:
    """Add up the gradient of a batch; each of its known cells weighs alike, whatever the pieces."""
    where = network.output.weight.device
    total = max(1, int(train.known[batch].sum()))
    for start in range(0, len(batch), size):
        some = batch[start : start + size]
        y, known = (torch.from_numpy(array[some]).to(where) for array in (train.y, train.known))
        loss = masked_bce(network([train.rows[i] for i in some]), y, known)
        (loss * (int(train.known[some].sum()) / total)).backward()


def _loss(network: Tuned, texts: Texts) -> float:
    scores = torch.from_numpy(network.score(texts.rows))
    return float(masked_bce(scores, torch.from_numpy(texts.y), torch.from_numpy(texts.known)))


def _optimizer(network: Tuned, plan: Plan, steps: int) -> tuple[torch.optim.Optimizer, Any]:
    """Return AdamW, which draws matrices to zero but neither biases nor norms, and its rate: up, then down to zero."""
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=plan.lr)
    rising = max(1, round(plan.warmup * steps))

    def rate(step: int) -> float:
        return min((step + 1) / rising, max(0.0, (steps - step) / max(1, steps - rising)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)


@contextlib.contextmanager
def _chance(where: torch.device, seed: int) -> Iterator[None]:
    """Let torch's own generators, which a transformer's dropout uses, start from the seed, and put them back."""
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
