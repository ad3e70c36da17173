"""How a head on encoder embeddings learns: whitening, minibatches, early stopping.

Embeddings are computed once and stay in memory on the device; an epoch is a few dozen matrix products. Everything
random comes from one CPU generator, so that a GPU sees the same batches and masks as a CPU.

Loss, class weights and upsampling are options (`Schedule`); what options do not have is left at masked BCE and nothing.
Training stops by the loss that is trained, on validation, with the same class weights: a cross-entropy would judge by
how well a probability holds, which a hinge or a focal loss does not aim at and calibration mends afterwards. Validation
posts are never repeated; where training posts are, cells of validation are weighted so that both classes of a label
have the same shares in both (else more positives than validation has would look like overconfidence, and stop it).
Open doubt: average precision itself is not watched, as with few positives it jumps from epoch to epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from workbench.device import Room
from workbench.models.fit import choose, losses
from workbench.models.fit.loop import Schedule, adamw, gradient, train_epochs
from workbench.models.heads.networks import SideVectors, highest

CHUNK = 16_384  # rows scored at once
FLOOR = 0.1  # of the mean variance: no direction is stretched by more than sqrt(10) against the average one


class Examples(NamedTuple):
    """What is learnt from: posts with y and known (n_posts, n_labels), and their rows, of which the highest counts.

    sides (each n_rows, dim), present (n_rows, n_sides): the rows of all posts, in the order of posts; `count`
    (n_posts,) says how many each has, None that each has one. exclusive: sets of columns of `y` of which at most one
    holds.
    """

    sides: SideVectors
    present: torch.Tensor
    y: torch.Tensor
    known: torch.Tensor
    count: torch.Tensor | None = None
    exclusive: losses.Sets = ()

    @property
    def owner(self) -> torch.Tensor | None:
        """The post (n_rows,) of each row; None where a row is a post."""
        return None if self.count is None else torch.repeat_interleave(self.count)


def whitening(x: np.ndarray, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (dim,) and matrix (dim, dim), float32, such that (x - mean) @ matrix has about unit variance.

    x: (n, dim); weight: (n,), None for ones: the frames of a clip weigh as much as one picture. An encoder spends most
    of its variance on what no label needs (colours, sizes, wording), and a small network fits that first; equal
    variance in all directions takes the advantage away. The symmetric form (ZCA) keeps the axes, so it does not depend
    on the order or signs of eigenvectors. Directions that the sample hardly knows are not blown up: FLOOR + dim / n of
    the mean variance is added to each, n being the sum of the weights.
    """
    n, dim = x.shape if weight is None else (weight.sum(), x.shape[1])
    if n == 0:
        return np.zeros(dim, np.float32), np.eye(dim, dtype=np.float32)
    x = x.astype(np.float64)
    mean = np.average(x, axis=0, weights=weight)
    centred = x - mean
    weighted = centred if weight is None else centred * weight[:, None]
    variances, axes = np.linalg.eigh(weighted.T @ centred / n)
    average = max(variances.mean(), 1e-12)
    scale = 1.0 / np.sqrt(np.maximum(variances, 0.0) + (FLOOR + dim / n) * average)
    return mean.astype(np.float32), ((axes * scale) @ axes.T).astype(np.float32)


def standardising(x: np.ndarray, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (dim,) and matrix (dim, dim), float32, such that each column of (x - mean) @ matrix has variance 1.

    Arguments as for `whitening`. A column that hardly differs is not blown up: its differences are rounding.
    """
    n, dim = x.shape if weight is None else (weight.sum(), x.shape[1])
    if n == 0:
        return np.zeros(dim, np.float32), np.eye(dim, dtype=np.float32)
    x = x.astype(np.float64)
    mean = np.average(x, axis=0, weights=weight)
    deviation = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))
    return mean.astype(np.float32), np.diag(1 / np.maximum(deviation, max(0.01 * deviation.max(), 1e-6))).astype(
        np.float32
    )


def fit_head(
    network: nn.Module,
    train: Examples,
    validation: Examples | None,
    options: Schedule,
    generator: torch.Generator,
    hide: tuple[float, ...] = (),
    class_weight: Literal["balanced"] | Sequence[float] | None = None,
) -> dict[str, float]:
    """Train a network by AdamW; it ends with the weights of the epoch that lost least on validation.

    Without a known label in validation the loss on train decides (then more epochs only help, and all are run).
    hide: for each side, the share of the posts that have both sides whose side is hidden in a batch.
    class_weight: as `options.positive_weights` returns it.

    Returns what happened: epochs run, best epoch, its loss per known cell (in nats, where the loss is), and the posts
    of a step that the memory held at once. Raises WorkbenchError where the loss is never a number.
    """
    cost = losses.of(getattr(options, "loss", None) or losses.LossOptions(), train.exclusive)
    watched = validation if validation is not None and bool(validation.known.any()) else train
    order, shares = repeated(train, getattr(options, "upsample", None), generator)
    weigh = weights(train, class_weight, shares)
    optimizer, room = adamw(network, options), Room("post", options.batch_size)
    cells = losses.cells(train.known, train.exclusive)

    def loss(posts: torch.Tensor) -> torch.Tensor:
        batch = take(train, posts)
        present = hidden(batch.present, hide, generator, batch.owner)
        logits = pooled(network, network(batch.sides, present, batch.owner), batch.owner)
        y, weight = weigh(batch.y, True)
        return cost(logits, y, batch.known, weight=weight)

    def learn(epoch: int) -> None:
        for posts in order[torch.randperm(len(order), generator=generator)].split(options.batch_size):
            gradient(room, optimizer, posts.to(train.y.device), cells, loss)
            optimizer.step()

    def lost() -> float:
        scores = pooled(network, score(network, watched.sides, watched.present), watched.owner)
        y, weight = weigh(watched.y, False)
        return float(cost(scores, y, watched.known, weight=weight))

    return {**train_epochs(network, options, learn, lost), "at_once": room.at_once}


def choosing(validation: Examples | None, n_labels: int) -> np.ndarray:
    """Return the labels (n_labels,) bool of which validation knows enough posts to choose by."""
    if validation is None:
        return np.zeros(n_labels, dtype=bool)
    y, known = validation.y.cpu().numpy() > 0.5, validation.known.cpu().numpy()
    return np.array([choose.enough(y[known[:, k], k]) for k in range(n_labels)], dtype=bool)


def pooled(network: nn.Module, rows: torch.Tensor, owner: torch.Tensor | None) -> torch.Tensor:
    """Return each post's logits from those of its rows, by the network's own `pool` where it has one."""
    return getattr(network, "pool", highest)(rows, owner)


def take(examples: Examples, posts: torch.Tensor) -> Examples:
    """Return some posts (m,) with their rows."""
    rows, count = posts, None
    if examples.count is not None:
        count = examples.count[posts]
        start = (examples.count.cumsum(0) - examples.count)[posts]
        within = torch.arange(int(count.sum()), device=posts.device)
        rows = within + torch.repeat_interleave(start - (count.cumsum(0) - count), count)
    sides = tuple(x[rows] for x in examples.sides)
    y, known = examples.y[posts], examples.known[posts]
    return Examples(sides, examples.present[rows], y, known, count, examples.exclusive)


def upsampled(y: torch.Tensor, known: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Return post numbers (m,) in which the positives of each rare label are about `share` of the posts that know it.

    All posts stand first, in order, then repeats: of a label with p positives among n known posts, (share * n - p) /
    (1 - share) more of its positives, each as often as the others and the rest drawn at random. Labels are looked at
    one by one: with several rare ones each ends below its share, as repeats for one are mostly negatives of the others.
    A label without a known positive is left alone.
    """
    parts = [torch.arange(len(y))]
    for k in range(y.shape[1]):
        positive = torch.nonzero(((y[:, k] > 0.5) & known[:, k]).cpu())[:, 0]
        more = math.ceil((share * int(known[:, k].sum()) - len(positive)) / (1 - share)) if len(positive) else 0
        if more > 0:
            drawn = positive[torch.randperm(len(positive), generator=generator)]
            parts += [positive.repeat(more // len(positive)), drawn[: more % len(positive)]]
    return torch.cat(parts)


def repeated(
    train: Examples, share: float | None, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the posts of an epoch, and by how much repeats raised each class: (2, n_labels), negatives first.

    The ratios are 1 on average over the known posts of a label; None where nothing is repeated.
    """
    if share is None:
        return torch.arange(len(train.y)), None
    order = upsampled(train.y, train.known, share, generator)
    posts = order.to(train.y.device)
    before, after = (
        losses.class_counts(y, known).clamp(min=1)
        for y, known in ((train.y, train.known), (train.y[posts], train.known[posts]))
    )
    return order, after / before * (before.sum(dim=0) / after.sum(dim=0))


def weights(
    train: Examples, wanted: Literal["balanced"] | Sequence[float] | None, shares: torch.Tensor | None
) -> Callable[[torch.Tensor, bool], tuple[torch.Tensor, torch.Tensor | None]]:
    """Return what weighs cells (y, whether they are train's): class weights, and in validation shares of repeats too.

    wanted: None, "balanced" (`losses.balanced` of the training posts), or what each label's positive weighs against a
    negative. It returns y and the weights, both (n_posts, n_labels): where y is a share, its yes and its no weigh
    unlike, so that together they weigh the sum of both, and the yes' part of that sum is the share to learn.
    """
    by_class = None
    if wanted == "balanced":
        by_class = losses.balanced(train.y, train.known)
    elif wanted is not None:
        by_class = torch.stack([torch.ones_like(train.y[0]), train.y.new_tensor(wanted)])

    def weigh(y: torch.Tensor, training: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        parts = [part for part in (by_class, None if training else shares) if part is not None]
        if not parts:
            return y, None
        down, up = parts[0] if len(parts) == 1 else parts[0] * parts[1]
        weight = y * up + (1 - y) * down
        return y * up / weight, weight

    return weigh


def score(network: nn.Module, sides: SideVectors, present: torch.Tensor) -> torch.Tensor:
    """Return logits (n_rows, n_labels), chunk by chunk and without gradients."""
    room = vars(network).setdefault("room", Room("row", CHUNK))  # with the network, so that what fits is found once

    def scored(rows: range) -> torch.Tensor:
        part = slice(rows.start, rows.stop)
        return network(tuple(x[part] for x in sides), present[part])

    network.eval()
    with torch.inference_mode():
        return torch.cat(list(room.each(scored, range(len(present)))))


def hidden(
    present: torch.Tensor, hide: tuple[float, ...], generator: torch.Generator, owner: torch.Tensor | None = None
) -> torch.Tensor:
    """Return `present (n_rows, n_sides)` with sides hidden at random in posts that have all; at most one of a post.

    owner (n_rows,): the post of each row, as a side is hidden in all rows of a post; None: a row is a post.
    """
    if not any(hide):
        return present
    posts = len(present) if owner is None else int(owner[-1]) + 1
    draw = torch.rand((posts, 1), generator=generator).to(present.device)
    draw = draw if owner is None else draw[owner]
    edges = torch.tensor([0.0, *hide], device=present.device).cumsum(0)
    return present & ~((draw >= edges[:-1]) & (draw < edges[1:]) & present.all(dim=1, keepdim=True))
