"""Late fusion: models of single modalities, whose scores a logistic regression adds up per label.

The stacker learns on *out-of-fold* scores: members fitted on the rest of train score each fold, no group crosses folds,
so it sees scores as honest as those of new posts. Members are then fitted again on all of train. Per label the result
is sum_m (w_m * logit_m + v_m * there_m) + bias: additive in the halves given which of them are there. It cannot know
what only the pair says, and is the yardstick for models that should.

Weights of members are not negative (Breiman found that this stacks best, and a member that finds a post more harmful
cannot make it less so); hence the sum of the members' maxima over readings is the maximum of the sum.

Source: Wolpert 1992, Stacked generalization; Breiman 1996, Stacked regressions.
Open doubt: the stacker sees members that knew K - 1 of K folds; the last ones' scores are a little sharper.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator
from scipy.optimize import minimize
from scipy.special import expit

from workbench.models import Classifier, check, create, load, option_names, two_classes
from workbench.schema import MODALITIES, Options, label_matrix


class MemberOptions(Options):
    """One member of an ensemble."""

    name: str = Field(description="A name of `workbench.models.MODELS`.")
    options: dict[str, Any] = Field(default_factory=dict, description="That model's options.")


class LateFusionOptions(Options):
    """Which models are stacked, and how."""

    members: tuple[MemberOptions, ...] = Field(
        (MemberOptions(name="text-clip"), MemberOptions(name="image-clip")),
        min_length=1,
        description="The models whose scores are added up; a name alone is enough.",
    )
    encoder: str = Field("tiny", description="The encoder of members that have one and do not name it.")
    folds: int = Field(3, ge=2, le=20, description="Parts of train for out-of-fold scores; no group crosses them.")
    C: float = Field(1.0, gt=0, description="Inverse strength of the stacker's L2 penalty.")

    @field_validator("members", mode="before")
    @classmethod
    def _names_are_enough(cls, members: Any) -> Any:
        if not isinstance(members, list | tuple):
            return members
        return [{"name": member} if isinstance(member, str) else member for member in members]


class LateFusion(Classifier):
    """Members by name, stacked per label by logistic regression on out-of-fold scores."""

    options_class = LateFusionOptions
    options: LateFusionOptions

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.models = self._new_members()
        found = {modality for model in self.models for modality in model.modalities}
        self.modalities = tuple(modality for modality in MODALITIES if modality in found)
        self.weights = np.zeros((len(self.taxonomy.names), 2 * len(self.models)))
        self.bias = np.zeros(len(self.taxonomy.names))

    @classmethod
    def members(cls, options: LateFusionOptions) -> list[tuple[str, dict[str, Any]]]:
        """Return name and options of each member, with the shared encoder where it has none of its own."""
        return [(member.name, _with_encoder(member, options.encoder)) for member in options.members]

    @classmethod
    def check_options(cls, options: LateFusionOptions) -> None:
        """Raise WorkbenchError for a member that is unknown or has unknown options."""
        for name, values in cls.members(options):
            check(name, values)

    def _new_members(self) -> list[Classifier]:
        return [create(*member, taxonomy=self.taxonomy, store=self.store) for member in self.members(self.options)]

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        y, known = label_matrix(train, self.taxonomy)
        fold = folds(train, self.options.folds, seed)
        held_out = np.full((len(self.models), *y.shape), np.nan, dtype=np.float32)
        for part in np.unique(fold):
            rest, mine = train.filter(pa.array(fold != part)), np.flatnonzero(fold == part)
            if len(rest):
                for scores, member in zip(held_out, self._new_members(), strict=True):
                    scores[mine] = member.fit(rest, validation, seed=seed).logits(train.take(mine))
        self.models = [member.fit(train, validation, seed=seed) for member in self._new_members()]
        self._stack(held_out, y, known)
        self.record = {"folds": len(np.unique(fold)), "members": [member.record for member in self.models]}

    def _stack(self, scores: np.ndarray, y: np.ndarray, known: np.ndarray) -> None:
        """Fit weights and bias per label from scores (n_members, n_posts, n_labels); NaN rows are left out.

        A label that cannot be fitted (too few groups, one class among scored posts) gets the plain mean of the members.
        """
        self.weights = np.zeros((y.shape[1], 2 * len(scores)))
        self.bias = np.zeros(y.shape[1])
        for k in range(y.shape[1]):
            rows = known[:, k] & ~np.isnan(scores[:, :, k]).all(axis=0)
            if two_classes(y[rows][:, [k]], known[rows][:, [k]])[0]:
                x = features(scores[:, rows, k])
                self.weights[k], self.bias[k] = stacker(x, y[rows, k], self.options.C, len(scores))
            else:
                self.weights[k, : len(scores)] = 1.0 / len(scores)

    def _score(self, posts: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        scores = np.stack([member.logits(posts) for member in self.models])  # (n_members, n_posts, n_labels)
        readable = ~np.isnan(scores).all(axis=(0, 2))
        stacked = [features(scores[:, :, k]) @ self.weights[k] + self.bias[k] for k in range(scores.shape[2])]
        return np.stack(stacked, axis=1), readable

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"members": len(self.models)}, {"weights": self.weights, "bias": self.bias}

    def _save_parts(self, folder: Path) -> None:
        for number, member in enumerate(self.models):
            member.save(folder / "members" / str(number))

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        self.weights, self.bias = arrays["weights"], arrays["bias"]
        self.models = [
            load(folder / "members" / str(number), taxonomy=self.taxonomy, store=self.store)
            for number in range(state["members"])
        ]


def features(scores: np.ndarray) -> np.ndarray:
    """Return (n_posts, 2 * n_members) from one label's scores (n_members, n_posts): logits, 0 where NaN, then flags."""
    there = ~np.isnan(scores)
    return np.concatenate([np.where(there, scores, 0.0), there]).T.astype(np.float64)


def stacker(x: np.ndarray, y: np.ndarray, strength: float, n_members: int) -> tuple[np.ndarray, float]:
    """Return weights (n_features,) and bias of an L2-penalised logistic regression whose first weights are >= 0.

    x: (n_posts, n_features), the first `n_members` columns being members' logits; y: (n_posts,) 0 or 1. The objective
    is scikit-learn's: strength * sum of log losses + half the squared weights; the bias is free.
    """

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = parameters[:-1], parameters[-1]
        logits = x @ weights + bias
        loss = strength * (np.logaddexp(0, logits) - y * logits).sum() + weights @ weights / 2
        slope = strength * (expit(logits) - y)
        return loss, np.append(x.T @ slope + weights, slope.sum())

    bounds = [(0, None)] * n_members + [(None, None)] * (x.shape[1] - n_members + 1)
    found = minimize(objective, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", bounds=bounds)
    return found.x[:-1], float(found.x[-1])


def folds(train: pa.Table, k: int, seed: int) -> np.ndarray:
    """Return the fold (n_posts,) of each post: groups in random order, each to the fold that has the fewest posts.

    A post without a group is a group of its own. There are as many folds as groups where there are fewer than `k`.
    """
    groups = train["group"].to_pylist()
    names = [f"post {i}" if group is None else f"group {group}" for i, group in enumerate(groups)]
    _, index, size = np.unique(names, return_inverse=True, return_counts=True)
    of_group, filled = np.empty(len(size), dtype=np.int64), np.zeros(min(k, len(size)), dtype=np.int64)
    for group in np.random.default_rng(seed).permutation(len(size)):
        of_group[group] = filled.argmin()
        filled[of_group[group]] += size[group]
    return of_group[index]


def _with_encoder(member: MemberOptions, encoder: str) -> dict[str, Any]:
    """Return a member's options, with the shared encoder where its model has an option of that name and no value."""
    if "encoder" in member.options or "encoder" not in option_names(member.name):
        return member.options
    return {**member.options, "encoder": encoder}
