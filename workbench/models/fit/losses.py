"""What a wrong answer costs while a network is trained; an unknown label never costs anything.

Every loss in LOSSES takes logits, y and known, each (n_posts, n_labels), and returns the mean over the known cells, 0
where nothing is known. Being a mean of cells, the loss of a whole is that of its parts weighted by their `cells`: it
depends neither on how large a batch is nor on how many labels happen to be known. `y` is not looked at where `known` is
False. A share y costs what so many yes and so many no cost, for `kl` and `squared` less what no model can help.
`weight` (n_posts, n_labels) multiplies cells and does not change what the sum is divided by.

Sources: focal, Lin et al. 2017 (Focal loss for dense object detection, eq. 5); asymmetric, Ridnik et al. 2021
(Asymmetric loss for multi-label classification, eq. 4 to 7); hinge, Cortes and Vapnik 1995; exclusive sets where only
a part is known, Cour, Sapp and Taskar 2011 (Learning from partial labels), here by its likelihood; balanced weights,
King and Zeng 2001. Squared error on probabilities (Brier 1950) is a baseline: where it is sure and wrong its slope
vanishes.
Open doubt: the margin of `asymmetric` ignores negatives scored under it, and so do its probabilities: they need the
calibration that every model gets here, and hold nowhere without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps

import numpy as np
import torch
from torch.nn import functional

from workbench.errors import WorkbenchError
from workbench.models.fit.options import LOSS_NUMBERS, LossOptions

Loss = Callable[..., torch.Tensor]
Sets = Sequence[Sequence[int]]  # columns of y of which at most one holds


# --------------------------------------------------------------------------------------------------- one cell at a time


def _over_known(cells: Callable[..., torch.Tensor]) -> Loss:
    """Return the loss (logits, y, known, weight=None, its numbers) of what each cell costs, y being 0 where unknown."""

    @wraps(cells)
    def loss(
        logits: torch.Tensor,
        y: torch.Tensor,
        known: torch.Tensor,
        *,
        weight: torch.Tensor | None = None,
        **numbers: float | None,
    ) -> torch.Tensor:
        costs = cells(logits, y.where(known, 0.0), **numbers)
        costs = costs if weight is None else costs * weight
        return costs.where(known, 0.0).sum() / known.sum().clamp(min=1)

    return loss


def _smoothed(y: torch.Tensor, smoothing: float) -> torch.Tensor:
    return y * (1 - smoothing) + smoothing / 2 if smoothing else y


@_over_known
def masked_bce(logits: torch.Tensor, y: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Return binary cross-entropy in nats; y in [0, 1].

    smoothing: y is drawn so far towards a half: 1 becomes 1 - smoothing / 2 (Szegedy et al. 2016).
    """
    return functional.binary_cross_entropy_with_logits(logits, _smoothed(y, smoothing), reduction="none")


@_over_known
def kl(logits: torch.Tensor, y: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Return KL(y || sigmoid(logit)) in nats for soft labels y in [0, 1], such as shares of votes.

    It has the gradient of binary cross-entropy, and is 0 where the probability is y; for y of 0 and 1 they are equal.
    """
    y = _smoothed(y, smoothing)
    entropy = -(y.xlogy(y) + (1 - y).xlogy(1 - y))
    return functional.binary_cross_entropy_with_logits(logits, y, reduction="none") - entropy


@_over_known
def squared(logits: torch.Tensor, y: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Return the squared error of the probability, (sigmoid(logit) - y)^2; y in [0, 1]."""
    return (logits.sigmoid() - _smoothed(y, smoothing)) ** 2


@_over_known
def focal(logits: torch.Tensor, y: torch.Tensor, gamma: float = 2.0, alpha: float | None = None) -> torch.Tensor:
    """Return focal loss, -(1 - p_t)^gamma log p_t, where p_t is the probability of what is true.

    gamma: how strongly what is already right is discounted; 0 is cross-entropy. alpha: weight of positives, 1 - alpha
    that of negatives (0.25 in the paper); None weighs both by 1.
    """

    def side(right: torch.Tensor) -> torch.Tensor:  # of the logit of what is true
        return (-right).sigmoid() ** gamma * functional.softplus(-right)

    up, down = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    return y * up * side(logits) + (1 - y) * down * side(-logits)


@_over_known
def asymmetric(
    logits: torch.Tensor,
    y: torch.Tensor,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    shift: float = 0.05,
) -> torch.Tensor:
    """Return asymmetric loss (ASL).

    A positive costs -(1 - p)^gamma_positive log p. A negative costs -q^gamma_negative log(1 - q) with q = max(p -
    shift, 0): easy negatives weigh little, those below the shift nothing.
    """
    p = logits.sigmoid()
    positive = (1 - p) ** gamma_positive * functional.softplus(-logits)
    q = (p - shift).clamp(min=0)
    # log(1 - q) from p loses digits where p is near 1 and there is no shift: there it is -softplus(logit).
    far = -(1 - q).clamp(min=1e-8).log() if shift else functional.softplus(logits)
    return y * positive + (1 - y) * (q**gamma_negative * far if gamma_negative else far)


@_over_known
def hinge(logits: torch.Tensor, y: torch.Tensor, margin: float = 1.0) -> torch.Tensor:
    """Return max(0, margin - s * logit), s = 1 for a positive and -1 for a negative (a linear SVM's).

    What is right by the margin costs nothing. The logit is a score here: calibration makes a probability of it.
    """
    return y * (margin - logits).clamp(min=0) + (1 - y) * (margin + logits).clamp(min=0)


# ------------------------------------------------------------------------------------------- labels that exclude others


def softmax(
    logits: torch.Tensor,
    y: torch.Tensor,
    known: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    exclusive: Sets = (),
) -> torch.Tensor:
    """Return softmax cross-entropy over each exclusive set and "none of them", and BCE for labels in no set.

    exclusive: sets of columns of which at most one holds; "none of them" has the logit 0. A set counts as one cell,
    known where any of its labels is: it costs -log of the probability of all that is still possible. That is the label
    that holds; or, where none is known to hold, none of them and the unknown ones. With shares it is the mean over
    those answers, each by its share; shares of more than 1 in all are divided by their sum. A `weight` raises
    ValueError: it weighs labels, and a set is one answer.
    """
    if weight is not None:
        raise ValueError("labels of an exclusive set cannot be weighed one by one")
    inside = {k for group in exclusive for k in group}
    outside = [k for k in range(logits.shape[1]) if k not in inside]
    truth = y[:, outside].where(known[:, outside], 0.0)
    total = functional.binary_cross_entropy_with_logits(logits[:, outside], truth, reduction="none")
    total = total.where(known[:, outside], 0.0).sum()
    for group in exclusive:
        z, mine = _with_none(logits[:, list(group)]), known[:, list(group)]
        share = y[:, list(group)].where(mine, 0.0)
        share = share / share.sum(dim=1, keepdim=True).clamp(min=1)
        others = z.masked_fill(_with_none(mine), -float("inf")).logsumexp(dim=1)  # none of them and the unknown ones
        whole = z.logsumexp(dim=1)
        cost = (share * (whole[:, None] - z[:, 1:])).sum(dim=1) + (1 - share.sum(dim=1)) * (whole - others)
        total = total + cost.where(mine.any(dim=1), 0.0).sum()
    return total / cells(known, exclusive).sum().clamp(min=1)


def cells(known: torch.Tensor, exclusive: Sets) -> torch.Tensor:
    """Return of how many cells the loss of each post (n_posts,) is a mean; a set counts as one, as in `softmax`."""
    inside = {k for group in exclusive for k in group}
    outside = [k for k in range(known.shape[1]) if k not in inside]
    return known[:, outside].sum(dim=1) + sum(known[:, list(group)].any(dim=1) for group in exclusive)


def log_odds(logits: torch.Tensor, exclusive: Sets) -> torch.Tensor:
    """Return log(p / (1 - p)) (n_rows, n_labels) of the probabilities that `softmax` was trained to give.

    Inside a set that is the logit less the log-sum-exp of "none of them" and the set's other labels.
    """
    odds = logits.clone()
    for group in exclusive:
        for k in group:
            odds[:, k] -= _with_none(logits[:, [j for j in group if j != k]]).logsumexp(dim=1)
    return odds


def _with_none(columns: torch.Tensor) -> torch.Tensor:
    """Return columns (n, m) with a 0 for "none of them" before them (n, m + 1)."""
    return torch.cat([columns.new_zeros(len(columns), 1), columns], dim=1)


# ------------------------------------------------------------------------------------------------------------- by name

LOSSES: dict[str, Loss] = {
    "bce": masked_bce,
    "kl": kl,
    "squared": squared,
    "focal": focal,
    "asymmetric": asymmetric,
    "hinge": hinge,
    "softmax": softmax,
}


def of(options: LossOptions, exclusive: Sets = ()) -> Loss:
    """Return the loss of some options, (logits, y, known, weight=None) -> scalar.

    exclusive: the taxonomy's sets, as columns; raises WorkbenchError where `softmax` has none to work on.
    """
    numbers = {name: getattr(options, name) for name in LOSS_NUMBERS[options.name]}
    if options.name == "softmax":
        if not exclusive:
            raise WorkbenchError(
                "loss 'softmax' is for labels that exclude each other, and the taxonomy has no such set; name one "
                "under `exclusive` in data/taxonomy.yaml, or choose another loss"
            )
        numbers["exclusive"] = exclusive
    return partial(LOSSES[options.name], **numbers)


def balanced(y: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return what a negative and a positive of each label weigh (2, n_labels) so that both classes weigh the same.

    n / (2 * n_class) over the known posts, as scikit-learn's "balanced": 1 on average; labels of one class have 1.
    """
    counts = class_counts(y, known)
    return (counts.sum(dim=0) / (2 * counts.clamp(min=1))).where((counts > 0).all(dim=0), 1.0)


def class_counts(y: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return the known negatives and positives of each label (2, n_labels), shares of a post in both."""
    y = y.where(known, 0.0)
    return torch.stack([known.sum(dim=0) - y.sum(dim=0), y.sum(dim=0)])


def charges(names: Sequence[str | dict], logits: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return what losses charge at each logit (n,): name -> (cost if the post is harmful, cost if it is not).

    names: names of LOSSES, or options; what is not named plainly is told with its numbers. For figures.
    """
    costs = {}
    z = torch.as_tensor(np.asarray(logits), dtype=torch.float64)[:, None]
    for given in names:
        options = LossOptions.parse(given, "loss")
        shown = options.name if isinstance(given, str) else ", ".join(f"{v}" for v in given.values())
        cost, known = of(options, ((0,),)), torch.ones(1, 1, dtype=torch.bool)
        sides = [[float(cost(at[None], torch.full((1, 1), y, dtype=z.dtype), known)) for at in z] for y in (1.0, 0.0)]
        costs[shown] = tuple(np.array(side) for side in sides)
    return costs
