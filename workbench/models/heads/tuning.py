"""The loop of `clip-finetune`: posts through both towers and the head, with gradients, in whatever memory there is.

A step is a batch of posts, worked through in parts whose gradients add up to the batch's (`loop.gradient`).
Chance (the order of posts, masks, hidden sides) depends on seed, epoch and step alone, so that training which goes on
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
from workbench.features.items import Clips, Pictures
from workbench.models.fit import losses
from workbench.models.fit.loop import Progress, copied, gradient, train_epochs
from workbench.models.heads.networks import highest
from workbench.models.heads.training import hidden

if TYPE_CHECKING:
    from workbench.features.encoders.trainable import Tunable
    from workbench.models.fit.checkpoints import Checkpoints

log = logging.getLogger(__name__)
SHARE = 0.25  # of the free memory that decoded pictures may take
TOWER_DECAY = 0.05  # weight decay of the towers


class DecodeCache:
    """The decoded pictures and frames of a table (3, height, width) uint8, each decoded once while they fit."""

    def __init__(self, table: pa.Table, tunable: Tunable) -> None:
        self._contents = {"image": Pictures(table), "video": Clips(table)}
        self._tunable, self._kept = tunable, {}
        self._room = SHARE * devices.free_memory(torch.device("cpu"))

    def __getitem__(self, place: tuple[str, int, int]) -> torch.Tensor:
        """Return one reading or frame: (modality, row, which).

        Raises WorkbenchError for a picture that could be read when training began and no longer can.
        """
        if place in self._kept:
            return self._kept[place]
        modality, row, which = place
        data = self._contents[modality].fetch(row)
        variants = self._tunable.variants(modality, data) if isinstance(data, bytes) else None
        if variants is None or len(variants) <= which:
            raise WorkbenchError(f"the {modality} of training post {row} can no longer be read; train again")
        wanted = variants[which].clone()
        if wanted.nbytes <= self._room:
            self._room -= wanted.nbytes
            self._kept[place] = wanted
        return wanted


@dataclass(frozen=True)
class TuningPosts:
    """What is tuned on: per post its text (ids or None), its images, and arrays over posts.

    present (n, n_sides), y, known (n, n_labels).
    """

    texts: list[Any]
    images: list[list[tuple[str, int, int]]]
    present: np.ndarray
    y: np.ndarray
    known: np.ndarray
    decode_cache: DecodeCache

    def __len__(self) -> int:
        return len(self.texts)


class Tuning(nn.Module):
    """Towers and head in training.

    Args:
        tunable: the towers; head: as its first phase left it; whitenings: of its sides.
        options: `FinetuneOptions`; seed: where chance starts.
    """

    def __init__(self, tunable: Tunable, head: nn.Module, whitenings: list, options: Any, seed: int) -> None:
        super().__init__()
        self.tunable, self.options, self.seed = tunable, options, seed
        self.tower, self.head, self.device = tunable.model, head, next(head.parameters()).device
        self.whitenings = [tuple(torch.from_numpy(a).to(self.device) for a in pair) for pair in whitenings]
        self.room = devices.Room("post", options.at_once, "take a smaller encoder, or fewer `frames`")
        self.progress, self.step = Progress(), 0  # of the epoch at hand, steps that are done
        self.rates, groups = [], []
        depths = tunable.depths()
        for name, parameter in tunable.model.named_parameters():
            rate = options.tower_lr * options.layer_decay ** depths[name]
            groups.append(self._group(parameter, rate, TOWER_DECAY))
        for parameter in head.parameters():
            groups.append(self._group(parameter, options.tune_head_lr, options.weight_decay * 0.1))
        self.optimizer = torch.optim.AdamW(groups)

    def _group(self, parameter: nn.Parameter, rate: float, decay: float) -> dict[str, Any]:
        self.rates.append(rate)
        return {"params": [parameter], "lr": rate, "weight_decay": decay if parameter.ndim > 1 else 0.0}

    # ------------------------------------------------------------------------------------------------------- the loop

    def train(self, mode: bool = True) -> Tuning:
        """Switch the head to training; the towers stay in evaluation mode (see `Tunable`)."""
        self.head.train(mode)
        return self

    def run(
        self,
        train: TuningPosts,
        validation: TuningPosts,
        hide: tuple[float, ...],
        start: float,
        checkpoints: Checkpoints,
    ) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Train; return the best weights and what happened. `start`: the loss of the frozen towers on validation.

        Without a known label in validation all epochs are run and the last counts.
        """
        options, self.saved = self.options, time.monotonic()
        watched = validation if len(validation) and validation.known.any() else None
        steps = -(-len(train) // options.tune_batch)
        self.progress = Progress(best=start, weights=copied(self))
        if (checkpoint := checkpoints.running()) is not None:
            self._resume(*checkpoint)

        def learn(epoch: int) -> None:
            order = torch.randperm(len(train), generator=self._chance(epoch, 0)).split(options.tune_batch)
            for step in range(self.step, steps):
                self._rate((epoch - 1) * steps + step, options.tune_epochs * steps)
                self._step(train, order[step].tolist(), hide, epoch, step + 1)
                self.step = (step + 1) % steps
                if self.step and time.monotonic() - self.saved >= 60 * options.save_minutes:
                    self._save(checkpoints)

        def lost() -> float:
            return -float(len(self.progress.losses) + 1) if watched is None else self.loss(watched)

        plan = options.model_copy(update={"epochs": options.tune_epochs, "patience": options.tune_patience})
        ended = train_epochs(self, plan, learn, lost, self.progress, lambda: self._save(checkpoints))
        record = {"tuned_epochs": ended["epochs"], "best_tuned_epoch": ended["best_epoch"]}
        record["at_once"] = self.room.at_once
        peak = devices.peak_memory_mb(self.device)
        if watched is not None:
            record |= {"loss": ended["loss"], "tuned_losses": self.progress.losses}
        log.info("tuned %s for %d epochs; peak memory %s MiB", self.tunable.whole.name, ended["epochs"], peak)
        return self.progress.weights, record

    def _chance(self, epoch: int, step: int) -> torch.Generator:
        mixed = np.random.SeedSequence([self.seed, epoch, step]).generate_state(2, np.uint32)
        return torch.Generator().manual_seed(int(mixed[0]) << 31 | int(mixed[1]) >> 1)

    def _rate(self, done: int, total: int) -> None:
        """Set the learning rates: they rise over the warmup and fall to zero in a straight line."""
        warm = max(1, int(self.options.warmup * total))
        share = (done + 1) / warm if done < warm else (total - done) / max(1, total - warm)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * share

    def _step(self, posts: TuningPosts, batch: list[int], hide: tuple[float, ...], epoch: int, step: int) -> None:
        """Take one step, in parts that fit into memory."""
        chance, rows = self._chance(epoch, step), np.array(batch)
        present = hidden(torch.from_numpy(posts.present[rows]), hide, chance)

        def loss(places: np.ndarray) -> torch.Tensor:
            if places[0] == 0:  # also where a part did not fit and all is begun anew: masks are those of one piece
                self.head.drop.generator.set_state(chance.get_state())
            return self._loss(posts, rows[places].tolist(), present[places])

        gradient(self.room, self.optimizer, np.arange(len(rows)), posts.known[rows], loss)
        if not all(torch.isfinite(p.grad).all() for p in self.head.parameters() if p.grad is not None):
            raise WorkbenchError(f"tuning with tower_lr {self.options.tower_lr:g} diverged; lower it")
        nn.utils.clip_grad_norm_([p for group in self.optimizer.param_groups for p in group["params"]], 1.0)
        self.optimizer.step()

    def _loss(self, posts: TuningPosts, part: list[int], present: torch.Tensor) -> torch.Tensor:
        y, known = (torch.from_numpy(array[part]).to(self.device) for array in (posts.y, posts.known))
        return losses.masked_bce(self._logits(posts, part, present), y, known)

    def loss(self, posts: TuningPosts) -> float:
        """Return the loss on posts, in nats per known cell, without gradients."""

        def summed(rows: range) -> float:
            part = list(rows)
            return float(self._loss(posts, part, torch.from_numpy(posts.present[part]))) * int(posts.known[part].sum())

        self.head.eval()
        with torch.no_grad():
            return sum(self.room.each(summed, range(len(posts)))) / max(1, int(posts.known.sum()))

    def _logits(self, posts: TuningPosts, part: list[int], present: torch.Tensor) -> torch.Tensor:
        """Return the logits (n, n_labels) of some posts: the maximum over their images."""
        texts = {i: posts.texts[i] for i in part if posts.texts[i] is not None}
        places = [place for i in part for place in posts.images[i]]
        read = self.tunable.embed_texts(list(texts.values())) if texts else None
        seen = self.tunable.embed_pictures([posts.decode_cache[place] for place in places]) if places else None
        numbers, at = {i: n for n, i in enumerate(texts)}, 0
        rows: list[tuple[int, int, int]] = []  # (post, text or -1, vision or -1)
        for n, i in enumerate(part):
            count = len(posts.images[i])
            rows += [(n, numbers.get(i, -1), at + j if count else -1) for j in range(max(1, count))]
            at += count
        owner, *picks = (torch.tensor(column, device=self.device) for column in zip(*rows, strict=True))
        sides = []
        for (mean, matrix), vectors, pick in zip(self.whitenings, (read, seen), picks, strict=True):
            if vectors is None:
                sides.append(mean.new_zeros(len(pick), len(mean)))
            else:
                sides.append((vectors[pick.clamp(min=0)] - mean) @ matrix)
        there = present.to(self.device)[owner] & torch.stack([pick >= 0 for pick in picks], dim=1)
        several = len(rows) > len(part)
        return highest(self.head(tuple(sides), there, owner if several else None), owner if several else None)

    # -------------------------------------------------------------------------------------------------- checkpoints

    def _save(self, checkpoints: Checkpoints) -> None:
        done = self.progress
        tensors = {f"now.{name}": value for name, value in self.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in done.weights.items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in values.items()}
        state = {"losses": done.losses, "best": done.best, "best_epoch": done.best_epoch, "step": self.step}
        checkpoints.save(tensors, state)
        self.saved = time.monotonic()

    def _resume(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Take up training where a checkpoint left it."""
        parts: dict[str, dict[str, torch.Tensor]] = {"now": {}, "best": {}, "optimizer": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        self.load_state_dict(parts["now"])
        known: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in parts["optimizer"].items():
            number, _, which = name.partition(".")
            known.setdefault(int(number), {})[which] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": known})
        self.progress = Progress(state["losses"], state["best"], state["best_epoch"], parts["best"])
        self.step = state["step"]
        log.info("tuning goes on at epoch %d, step %d", len(state["losses"]) + 1, self.step)
