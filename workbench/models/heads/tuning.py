"""The loop of `clip-finetune`: posts through both towers and the head, with gradients, in whatever memory there is.

A step is a batch of posts, worked through in parts whose gradients add up to the batch's: the loss is a mean over the
batch's known cells, so parts of any size give the same step but for rounding. What does not fit into memory is halved.
Chance (the order of posts, masks, hidden halves) depends on seed, epoch and step alone, so that training which goes on
from a checkpoint draws what it would have drawn.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from workbench import device as devices
from workbench.errors import WorkbenchError
from workbench.features.encoders.forward.towers import free_memory, out_of_memory
from workbench.features.store.items import Clips, Pictures
from workbench.models.fit import losses
from workbench.models.heads.networks import highest

if TYPE_CHECKING:
    from workbench.features.encoders.trainable import Tunable
    from workbench.models.fit.checkpoints import Checkpoints

log = logging.getLogger(__name__)
SHARE = 0.25  # of the free memory that decoded pictures may take


class Album:
    """The decoded pictures and frames of a table (3, height, width) uint8, each decoded once while they fit."""

    def __init__(self, table: pa.Table, tunable: Tunable) -> None:
        self._contents = {"image": Pictures(table), "video": Clips(table)}
        self._tunable, self._kept = tunable, {}
        self._room = SHARE * free_memory(torch.device("cpu"))

    def __getitem__(self, place: tuple[str, int, int]) -> torch.Tensor:
        """Return one reading or frame: (modality, row, which).

        Raises WorkbenchError for a picture that could be read when training began and no longer can.
        """
        if place in self._kept:
            return self._kept[place]
        modality, row, which = place
        data = self._contents[modality].fetch(row)
        readings = self._tunable.readings(modality, data) if isinstance(data, bytes) else None
        if readings is None or len(readings) <= which:
            raise WorkbenchError(f"the {modality} of training post {row} can no longer be read; train again")
        wanted = readings[which].clone()
        if wanted.nbytes <= self._room:
            self._room -= wanted.nbytes
            self._kept[place] = wanted
        return wanted


@dataclass(frozen=True)
class Posts:
    """What is tuned on: per post its text (ids or None), its sights, and arrays over posts.

    present (n, n_halves), y, known (n, n_labels).
    """

    texts: list[Any]
    sights: list[list[tuple[str, int, int]]]
    present: np.ndarray
    y: np.ndarray
    known: np.ndarray
    album: Album

    def __len__(self) -> int:
        return len(self.texts)


class Tuning:
    """Towers and head in training.

    Args:
        tunable: the towers; network: the head, as its first phase left it; whitenings: of its halves.
        options: `FinetuneOptions`; seed: where chance starts.
    """

    def __init__(self, tunable: Tunable, network: nn.Module, whitenings: list, options: Any, seed: int) -> None:
        self.tunable, self.network, self.options, self.seed = tunable, network, options, seed
        self.device = next(network.parameters()).device
        self.whitenings = [tuple(torch.from_numpy(a).to(self.device) for a in pair) for pair in whitenings]
        self.at_once = options.at_once
        self.rates, groups = [], []
        depths = tunable.depths()
        for name, parameter in tunable.model.named_parameters():
            rate = options.tower_lr * options.layer_decay ** depths[name]
            groups.append(self._group(parameter, rate, options.tower_decay))
        for parameter in network.parameters():
            groups.append(self._group(parameter, options.tune_head_lr, options.weight_decay * 0.1))
        self.optimizer = torch.optim.AdamW(groups)

    def _group(self, parameter: nn.Parameter, rate: float, decay: float) -> dict[str, Any]:
        self.rates.append(rate)
        return {"params": [parameter], "lr": rate, "weight_decay": decay if parameter.ndim > 1 else 0.0}

    # ------------------------------------------------------------------------------------------------------- the loop

    def run(
        self, train: Posts, validation: Posts, hide: tuple[float, ...], start: float, checkpoints: Checkpoints
    ) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Train; return the best weights and what happened. `start`: the loss of the frozen towers on validation.

        Without a known label in validation all epochs are run and the last counts.
        """
        options = self.options
        watched = validation if len(validation) and validation.known.any() else None
        steps = -(-len(train) // options.tune_batch)
        state = {"epoch": 1, "step": 0, "best": start, "best_epoch": 0, "losses": [], "resumed": 0}
        best = self._weights()
        found = checkpoints.running()
        if found is not None:
            state, best = self._resume(*found)
        saved = time.monotonic()
        while state["epoch"] <= options.tune_epochs:
            epoch = state["epoch"]
            order = torch.randperm(len(train), generator=self._chance(epoch, 0)).split(options.tune_batch)
            for step in range(state["step"], steps):
                self._rate((epoch - 1) * steps + step, options.tune_epochs * steps)
                self._step(train, order[step].tolist(), hide, epoch, step + 1)
                if time.monotonic() - saved >= 60 * options.save_minutes and step + 1 < steps:
                    self._save(checkpoints, {**state, "step": step + 1}, best)
                    saved = time.monotonic()
            lost = self.loss(watched) if watched is not None else -float(epoch)
            state["losses"].append(lost)
            if lost < state["best"] or watched is None:
                state["best"], state["best_epoch"], best = lost, epoch, self._weights()
            if epoch - state["best_epoch"] >= options.tune_patience:
                break
            state["epoch"], state["step"] = epoch + 1, 0
            self._save(checkpoints, state, best)
            saved = time.monotonic()
        record = {"tuned_epochs": len(state["losses"]), "best_tuned_epoch": state["best_epoch"]}
        peak = devices.peak_memory_mb(self.device)
        if watched is not None:
            record |= {"loss": state["best"], "tuned_losses": state["losses"]}
        log.info("tuned %s for %d epochs; peak memory %s MiB", self.tunable.whole.name, len(state["losses"]), peak)
        return best, record

    def _chance(self, epoch: int, step: int) -> torch.Generator:
        mixed = np.random.SeedSequence([self.seed, epoch, step]).generate_state(2, np.uint32)
        return torch.Generator().manual_seed(int(mixed[0]) << 31 | int(mixed[1]) >> 1)

    def _rate(self, done: int, total: int) -> None:
        """Set the learning rates: they rise over the warmup and fall to zero in a straight line."""
        warm = max(1, int(self.options.warmup * total))
        share = (done + 1) / warm if done < warm else (total - done) / max(1, total - warm)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * share

    def _step(self, posts: Posts, batch: list[int], hide: tuple[float, ...], epoch: int, step: int) -> None:
        """Take one step, in parts that fit into memory."""
        while True:
            chance = self._chance(epoch, step)
            present = _hidden(posts.present[batch], hide, chance)
            self.network.drop.generator.set_state(chance.get_state())
            self.network.train()
            self.optimizer.zero_grad(set_to_none=True)
            cells = max(1, int(posts.known[batch].sum()))
            try:
                for at in range(0, len(batch), self.at_once):
                    part = batch[at : at + self.at_once]
                    share = int(posts.known[part].sum()) / cells  # a mean over the part becomes its share of the batch
                    loss = self._loss(posts, part, present[at : at + self.at_once]) * share
                    loss.backward()
                break
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or self.at_once == 1:
                    raise
            self.at_once = max(1, min(self.at_once, len(batch)) // 2)
            log.warning("a part of a batch did not fit into the memory of %s; now %d posts", self.device, self.at_once)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        if not all(torch.isfinite(p.grad).all() for p in self.network.parameters() if p.grad is not None):
            raise WorkbenchError(f"tuning with tower_lr {self.options.tower_lr:g} diverged; lower it")
        nn.utils.clip_grad_norm_([p for group in self.optimizer.param_groups for p in group["params"]], 1.0)
        self.optimizer.step()

    def _loss(self, posts: Posts, part: list[int], present: np.ndarray) -> torch.Tensor:
        y, known = (torch.from_numpy(array[part]).to(self.device) for array in (posts.y, posts.known))
        return losses.masked_bce(self._logits(posts, part, present), y, known)

    def loss(self, posts: Posts) -> float:
        """Return the loss on posts, in nats per known cell, without gradients."""
        self.network.eval()
        total, cells = 0.0, int(posts.known.sum())
        with torch.no_grad():
            for at in range(0, len(posts), self.at_once):
                part = list(range(at, min(at + self.at_once, len(posts))))
                known = int(posts.known[part].sum())
                total += float(self._loss(posts, part, posts.present[part])) * known
        return total / max(1, cells)

    def _logits(self, posts: Posts, part: list[int], present: np.ndarray) -> torch.Tensor:
        """Return the logits (n, n_labels) of some posts: the maximum over their sights."""
        texts = {i: posts.texts[i] for i in part if posts.texts[i] is not None}
        places = [place for i in part for place in posts.sights[i]]
        read = self.tunable.embed_texts(list(texts.values())) if texts else None
        seen = self.tunable.embed_pictures([posts.album[place] for place in places]) if places else None
        numbers, at = {i: n for n, i in enumerate(texts)}, 0
        rows: list[tuple[int, int, int]] = []  # (post, text or -1, sight or -1)
        for n, i in enumerate(part):
            count = len(posts.sights[i])
            rows += [(n, numbers.get(i, -1), at + j if count else -1) for j in range(max(1, count))]
            at += count
        owner, *picks = (torch.tensor(column, device=self.device) for column in zip(*rows, strict=True))
        halves = []
        for (mean, matrix), vectors, pick in zip(self.whitenings, (read, seen), picks, strict=True):
            if vectors is None:
                halves.append(mean.new_zeros(len(pick), len(mean)))
            else:
                halves.append((vectors[pick.clamp(min=0)] - mean) @ matrix)
        there = torch.from_numpy(present).to(self.device)[owner] & torch.stack([pick >= 0 for pick in picks], dim=1)
        several = len(rows) > len(part)
        return highest(self.network(tuple(halves), there, owner if several else None), owner if several else None)

    # -------------------------------------------------------------------------------------------------- checkpoints

    def _weights(self) -> dict[str, torch.Tensor]:
        """Return copies of all weights, `tower.*` and `head.*`."""
        parts = {"tower": self.tunable.model, "head": self.network}
        return {f"{part}.{n}": v.detach().clone() for part, m in parts.items() for n, v in m.state_dict().items()}

    def _save(self, checkpoints: Checkpoints, state: dict[str, Any], best: dict[str, torch.Tensor]) -> None:
        tensors = {f"now.{name}": value for name, value in self._weights().items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in values.items()}
        checkpoints.save(tensors, state)

    def _resume(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> tuple[dict[str, Any], dict]:
        """Take up training where a checkpoint left it; return its state and the best weights so far."""
        parts: dict[str, dict[str, torch.Tensor]] = {"now": {}, "best": {}, "optimizer": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        for part, module in (("tower", self.tunable.model), ("head", self.network)):
            own = {n.removeprefix(f"{part}."): v for n, v in parts["now"].items() if n.startswith(f"{part}.")}
            module.load_state_dict(own)
        known: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in parts["optimizer"].items():
            number, _, which = name.partition(".")
            known.setdefault(int(number), {})[which] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": known})
        log.info("tuning goes on at epoch %d, step %d", state["epoch"], state["step"])
        return {**state, "resumed": state["resumed"] + 1}, {n: v.to(self.device) for n, v in parts["best"].items()}


def _hidden(present: np.ndarray, hide: tuple[float, ...], chance: torch.Generator) -> np.ndarray:
    """Return `present (n, n_halves)` with halves hidden at random in posts that have all; at most one of a post."""
    if not any(hide):
        return present
    draw = torch.rand((len(present), 1), generator=chance).numpy()
    edges = np.cumsum([0.0, *hide])
    return present & ~((draw >= edges[:-1]) & (draw < edges[1:]) & present.all(axis=1, keepdims=True))
