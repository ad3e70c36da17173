"""Ensembles: models by name whose scores are added up per label; late fusion is the one of single modalities.

`stack` fits a logistic regression, `mean` a weighted mean whose weights are given or chosen on validation (members are
picked one by one, again and again, each time the one whose addition ranks validation best).

The stacker learns on *out-of-fold* scores: members fitted on the rest of train score each fold, no group crosses folds,
so it sees scores as honest as those of new posts. Members are then fitted again on all of train. Per label the result
is sum_m (w_m * logit_m + v_m * there_m) + bias: additive in the modalities given which are there. It cannot know what
only the pair says, and is the yardstick for models that should. Where the sum gains nothing on its best member out of
fold (`stacking.gained`), that member alone decides the label.

A member whose modality no training post has is left out of the fitted ensemble.

Weights of members are not negative (Breiman found that this stacks best, and a member that finds a post more harmful
cannot make it less so); hence the sum of the members' maxima over variants is the maximum of the sum where members read
different content, and no less than it where two read the same.

Source: Wolpert 1992, Stacked generalization; Breiman 1996, Stacked regressions; Caruana et al. 2004, Ensemble selection
from libraries of models.
Open doubt: the stacker sees members that knew K - 1 of K folds; the last ones' scores are a little sharper.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from workbench.models import Classifier, Prediction, option_names, two_classes
from workbench.models.combine.stacking import ALL, chosen_weights, features, gained, stacker, weighted_mean
from workbench.models.fit.options import MemberOptions, TargetOptions
from workbench.models.fit.out_of_fold import families, folds, held_out
from workbench.models.fit.targets import target_matrix
from workbench.schema import INPUTS, MODALITIES, Options, label_matrix


class LateFusionOptions(TargetOptions):
    """Which models are stacked, and how."""

    members: tuple[MemberOptions, ...] = Field(
        (MemberOptions(name="text-clip"), MemberOptions(name="image-clip"), MemberOptions(name="video-clip")),
        min_length=1,
        description="The models whose scores are added up; a name alone is enough.",
    )
    encoder: str = Field("tiny", description="The encoder of members that have one and do not name it.")
    folds: int = Field(3, ge=2, le=20, description="Parts of train for out-of-fold scores; no group crosses them.")
    C: float = Field(1.0, gt=0, description="Inverse strength of the stacker's L2 penalty.")


class EnsembleOptions(LateFusionOptions):
    """Which models are added up, and how."""

    members: tuple[MemberOptions, ...] = Field(
        (MemberOptions(name="text-tfidf"), MemberOptions(name="clip-cross")),
        min_length=1,
        description="The models whose scores are added up; a name alone is enough.",
    )
    combine: Literal["stack", "mean"] = Field(
        "stack", description="`stack`: logistic regression on out-of-fold scores; `mean`: a weighted mean of logits."
    )
    weights: tuple[float, ...] | None = Field(
        None, description="Each member's weight in the mean; null: chosen on validation, per label."
    )

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        if self.weights is None:
            return self
        if self.combine != "mean":
            raise ValueError("weights are those of a mean; set `combine: mean`, or leave them out")
        if len(self.weights) != len(self.members) or min(self.weights) < 0 or sum(self.weights) == 0:
            raise ValueError(
                f"weights must be {len(self.members)} numbers of at least 0, one a member and not all 0, "
                f"not {list(self.weights)}"
            )
        return self


class LateFusionClassifier(Classifier):
    """Members by name, stacked per label by logistic regression on out-of-fold scores."""

    options_class = LateFusionOptions
    options: LateFusionOptions
    made_of = "members"
    search: ClassVar[dict[str, tuple]] = {"C": (0.01, 0.1, 1.0, 10.0), "folds": (3, 5)}

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.models = self._new_members()
        self.modalities = self._looked_at()
        self.weights = np.zeros((len(self.taxonomy.names), 2 * len(self.models)))
        self.bias = np.zeros(len(self.taxonomy.names))
        self.alone = np.full(len(self.taxonomy.names), ALL)  # per label the member that speaks alone where it can
        self.lone = np.zeros((len(self.taxonomy.names), 2))  # its weight and bias

    @classmethod
    def members(cls, options: LateFusionOptions) -> list[tuple[str, dict[str, Any]]]:
        return [_with_encoder(*member, options.encoder) for member in super().members(options)]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for name in INPUTS.names if any(name in member.columns for member in self.models))

    def _looked_at(self) -> tuple[str, ...]:
        return tuple(name for name in MODALITIES if any(name in member.modalities for member in self.models))

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        y, known = target_matrix(train, self.taxonomy)
        fold = folds(train, self.options.folds, seed)
        scores = held_out(self._new_members, train, validation, fold, seed)
        kept = self._fit_members(train, validation, seed)
        gains = self._stack(scores[kept], y, known, fold, families(train))
        self.record = {
            "folds": len(np.unique(fold)),
            "gains": gains,
            "members": [member.record for member in self.models],
        }

    def _fit_members(self, train: pa.Table, validation: pa.Table, seed: int) -> list[int]:
        """Fit the members on all of train and return which are kept, by their places."""
        fitted = [member.fit(train, validation, seed=seed) for member in self._new_members()]
        # A member that found nothing to look at (a video model where no post has a clip) is left out.
        kept = [n for n, member in enumerate(fitted) if member.modalities or not type(member).modalities]
        kept = kept or list(range(len(fitted)))
        self.models = [fitted[n] for n in kept]
        self.modalities = self._looked_at()
        return kept

    def _stack(
        self, scores: np.ndarray, y: np.ndarray, known: np.ndarray, fold: np.ndarray, groups: np.ndarray
    ) -> dict[str, Any]:
        """Fit weights and bias per label from scores (n_members, n_posts, n_labels); NaN rows are left out.

        A label that cannot be fitted (too few groups, one class among scored posts) gets the plain mean of the members.
        Returns label -> what the sum gains there (`stacking.Gain.record`), of labels where that can be told.
        """
        self.weights = np.zeros((y.shape[1], 2 * len(scores)))
        gains, names = {}, [member.name for member in self.models]
        for k, label in enumerate(self.taxonomy.names):
            rows = known[:, k] & ~np.isnan(scores[:, :, k]).all(axis=0)
            if not two_classes(y[rows][:, [k]], known[rows][:, [k]])[0]:
                self.weights[k, : len(scores)] = 1.0 / len(scores)
                continue
            of_label, truth = scores[:, rows, k], y[rows, k]
            self.weights[k], self.bias[k] = stacker(features(of_label), truth, self.options.C, len(scores))
            gain = gained(of_label, truth, fold[rows], groups[rows], self.options.C)
            if gain is not None:
                gains[label] = gain.record(names)
                self._leave_alone(k, gain.alone, of_label, truth)
        return gains

    def _leave_alone(self, k: int, alone: int, scores: np.ndarray, y: np.ndarray) -> None:
        """Let one member, or none, speak alone for label k, by its scores (n_members, n_posts) of posts with y."""
        self.alone[k] = alone
        if alone != ALL:
            there = ~np.isnan(scores[alone])
            weights, self.lone[k, 1] = stacker(features(scores[[alone]][:, there]), y[there], self.options.C, 1)
            self.lone[k, 0], self.lone[k, 1] = weights[0], self.lone[k, 1] + weights[1]

    def _predict(self, posts: pa.Table) -> Prediction:
        members = [member.predict(posts) for member in self.models]
        scores = np.stack([member.logits for member in members])  # (n_members, n_posts, n_labels)
        readable = ~np.isnan(scores).all(axis=(0, 2))
        added = np.stack([self._added(scores[:, :, k], k) for k in range(scores.shape[2])], axis=1)
        added[np.isnan(scores).all(axis=0)] = np.nan  # a label that no member scored here has no score
        return Prediction(added, readable, {name: reasons(members, name) for name in self.modalities})

    def _added(self, scores: np.ndarray, k: int) -> np.ndarray:
        """Return label k's score (n_posts,) from the members' (n_members, n_posts)."""
        added = features(scores) @ self.weights[k] + self.bias[k]
        if self.alone[k] == ALL:
            return added
        mine = scores[self.alone[k]]
        return np.where(np.isnan(mine), added, mine * self.lone[k, 0] + self.lone[k, 1])

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays = {"weights": self.weights, "bias": self.bias, "alone": self.alone, "lone": self.lone}
        return {"members": len(self.models)}, arrays

    def _parts(self) -> dict[str, Classifier]:
        return {f"members/{number}": member for number, member in enumerate(self.models)}

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        self.weights, self.bias = arrays["weights"], arrays["bias"]
        if "alone" in arrays:  # bundles of before always add up
            self.alone, self.lone = arrays["alone"], arrays["lone"]
        self.models = [self._load(folder / "members" / str(number)) for number in range(state["members"])]


class Ensemble(LateFusionClassifier):
    """Any members by name, stacked or averaged per label."""

    options_class = EnsembleOptions
    options: EnsembleOptions

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        if self.options.combine == "stack":
            return super()._fit(train, validation, seed)
        kept = self._fit_members(train, validation, seed)
        given = np.ones(len(kept)) if self.options.weights is None else np.array(self.options.weights)[kept]
        if given.sum() == 0:  # the members that have a weight found nothing to look at
            given = np.ones(len(kept))
        self.weights = np.tile(given / given.sum(), (len(self.taxonomy.names), 1))
        if self.options.weights is None and len(validation):
            scores = np.stack([member.logits(validation) for member in self.models])
            y, known = label_matrix(validation, self.taxonomy)
            for k in range(y.shape[1]):
                rows = known[:, k] & ~np.isnan(scores[:, :, k]).all(axis=0)
                self.weights[k] = chosen_weights(scores[:, rows, k], y[rows, k] > 0.5)
        self.record = {"weights": self.weights.tolist(), "members": [member.record for member in self.models]}
        return None

    def _added(self, scores: np.ndarray, k: int) -> np.ndarray:
        if self.options.combine == "stack":
            return super()._added(scores, k)
        return weighted_mean(scores, self.weights[k])


def reasons(members: list[Prediction], modality: str) -> list[str | None]:
    """Return, for each post, the first reason that a member gives for not having read its content of a modality."""
    lists = [member.unread[modality] for member in members if modality in member.unread]
    return [next(filter(None, whys), None) for whys in zip(*lists, strict=True)]


def _with_encoder(name: str, options: dict[str, Any], encoder: str) -> tuple[str, dict[str, Any]]:
    """Return a member, with the shared encoder where its model has an option of that name and names no encoder."""
    if any(option.endswith("encoder") for option in options) or "encoder" not in option_names(name):
        return name, options
    return name, {**options, "encoder": encoder}
