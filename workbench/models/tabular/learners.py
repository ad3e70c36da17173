"""What learns from a row of numbers per post: boosted trees or a logistic regression, per label, as plain arrays.

Trees come from scikit-learn and are kept as arrays; their sums are computed here, for all posts and trees at once, so
that nothing has to be unpickled. Validation chooses how many trees, or how strong the penalty is.

Source: Friedman 2001, Greedy Function Approximation; scikit-learn's GradientBoostingClassifier, which compares in
float32 and goes left where a number is at most the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field
from scipy.special import logit
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight

from workbench.metrics.classification import log_losses
from workbench.models.fit.choose import best_strength, enough
from workbench.models.fit.options import CLASS_WEIGHT, ClassWeight, TargetOptions, by_class
from workbench.models.fit.targets import as_classes, fit_shares

_STRENGTHS = (0.01, 0.1, 1.0)


class TabularOptions(TargetOptions):
    """How a label is learnt from a row of numbers."""

    learner: Literal["boosting", "linear"] = Field("boosting", description="Boosted trees or logistic regression.")
    trees: int = Field(100, ge=1, le=2000, description="Most trees; validation chooses how many of them count.")
    depth: int = Field(3, ge=1, le=8, description="Questions that one tree asks in a row.")
    rate: float = Field(0.1, gt=0, le=1, description="How much each tree adds.")
    leaf: int = Field(20, ge=1, description="Fewest training posts in a leaf.")
    class_weight: ClassWeight = CLASS_WEIGHT


class Tabular:
    """One learner per label; posts as rows x (n_posts, n_numbers) without gaps.

    weights (n_labels, n_numbers), bias (n_labels,): the linear part, and where trees start from. Trees of all labels
    lie one behind the other: left, right (a node's children, itself where it is a leaf), feature, threshold, value, all
    (n_trees, n_nodes), and owner (n_trees,), their label.
    """

    NAMES = ("weights", "bias", "left", "right", "feature", "threshold", "value", "owner")

    def __init__(self, options: TabularOptions, labels: Sequence[str]) -> None:
        self.options, self.labels, n_labels = options, labels, len(labels)
        self.bias = np.zeros(n_labels)
        self.weights = np.zeros((n_labels, 0))
        self.left = self.right = self.feature = np.zeros((0, 1), dtype=np.int64)
        self.threshold, self.value = np.zeros((0, 1), dtype=np.float32), np.zeros((0, 1))
        self.owner = np.zeros(0, dtype=np.int64)

    def fit(self, x: np.ndarray, y: np.ndarray, known: np.ndarray, trained: np.ndarray, held_out: tuple) -> list[Any]:
        """Learn each trained label; return what was chosen per label (trees or strength), None for the others.

        y, known: (n_posts, n_labels), y in [0, 1]; held_out: x, y, known of validation.
        """
        self.weights = np.zeros((len(self.labels), x.shape[1]))
        grown: list[tuple[int, list]] = []
        chosen: list[Any] = [None] * len(self.labels)
        for k in np.flatnonzero(trained):
            rows, held = known[:, k], held_out[2][:, k]
            sets = x[rows], y[rows, k], held_out[0][held], held_out[1][held, k]
            if self.options.learner == "linear":
                chosen[k] = self._linear(k, *sets)
            else:
                trees, self.bias[k] = self._boost(k, *sets)
                grown.append((k, trees))
                chosen[k] = len(trees)
        self._pack(grown)
        return chosen

    def _linear(self, k: int, x: np.ndarray, y: np.ndarray, z: np.ndarray, held: np.ndarray) -> float:
        weight = by_class(self.options.class_weight, self.labels, k)
        fixed = {"class_weight": weight, "solver": "newton-cholesky", "max_iter": 200}  # in any scaling
        strength, best = best_strength(
            _STRENGTHS,
            lambda c: fit_shares(LogisticRegression(C=c, **fixed), x, y),
            held > 0.5,
            lambda model: model.predict_proba(z)[:, 1],
            lambda _, p: -log_losses(held, p).mean(),
        )
        self.weights[k], self.bias[k] = best.coef_[0], best.intercept_[0]
        return strength

    def _boost(self, k: int, x: np.ndarray, y: np.ndarray, z: np.ndarray, held: np.ndarray) -> tuple[list, float]:
        """Return trees, each as its arrays, and the log-odds they start from."""
        options, posts = self.options, len(y)
        x, truth, weight = as_classes(x, y)
        leaf = min(options.leaf, max(1, posts // 4))
        made = GradientBoostingClassifier(
            n_estimators=options.trees,
            max_depth=options.depth,
            learning_rate=options.rate,
            min_samples_leaf=leaf * len(truth) // posts,  # a share is two rows
            random_state=0,
        )
        wanted = by_class(options.class_weight, self.labels, k)
        if wanted:
            of_class = compute_class_weight(wanted, classes=np.array([False, True]), y=truth, sample_weight=weight)
            weight = of_class[truth.astype(int)] * (1.0 if weight is None else weight)
        made.fit(x, truth, sample_weight=weight)
        count = options.trees
        if enough(held > 0.5):
            staged = [log_losses(held, p[:, 1]).mean() for p in made.staged_predict_proba(z)]
            count = int(np.argmin(staged)) + 1
        trees = [_arrays(stage[0].tree_, options.rate) for stage in made.estimators_[:count]]
        return trees, float(logit(made.init_.class_prior_[1]))

    def _pack(self, grown: list[tuple[int, list]]) -> None:
        """Lay the trees of all labels into arrays of one width."""
        trees = [tree for _, label in grown for tree in label]
        if not trees:
            return
        width = max(len(tree[0]) for tree in trees)
        packed = [np.stack([np.pad(tree[part], (0, width - len(tree[part]))) for tree in trees]) for part in range(5)]
        self.left, self.right, self.feature, self.threshold, self.value = packed
        self.owner = np.repeat([k for k, _ in grown], [len(label) for _, label in grown]).astype(np.int64)

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return (n_posts, n_labels) float64; a post's row is the same whatever stands beside it."""
        out = np.stack([(x * weights).sum(axis=1) for weights in self.weights], axis=1) + self.bias
        if len(self.owner) and len(x):
            at = self._leaves(x.astype(np.float32))
            grown = self.value[np.arange(len(self.owner)), at]  # (n_posts, n_trees)
            for k in np.unique(self.owner):
                out[:, k] += grown[:, self.owner == k].sum(axis=1)
        return out

    def _leaves(self, x: np.ndarray) -> np.ndarray:
        """Return the leaf (n_posts, n_trees) that each post reaches in each tree."""
        trees = np.arange(len(self.owner))
        at = np.zeros((len(x), len(trees)), dtype=np.int64)
        for _ in range(self.options.depth):
            asked = np.take_along_axis(x, self.feature[trees, at], axis=1)
            at = np.where(asked <= self.threshold[trees, at], self.left[trees, at], self.right[trees, at])
        return at

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything that was learnt, by name."""
        return {f"tabular.{name}": getattr(self, name) for name in self.NAMES}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        for name in self.NAMES:
            setattr(self, name, arrays[f"tabular.{name}"])


def _arrays(tree: Any, rate: float) -> tuple[np.ndarray, ...]:
    """Return a tree's left, right, feature, threshold and value (n_nodes,), a leaf being its own child."""
    own, leaf = np.arange(tree.node_count), tree.children_left < 0
    left, right = np.where(leaf, own, tree.children_left), np.where(leaf, own, tree.children_right)
    # The largest float32 that is at most the threshold splits float32 numbers as the float64 threshold does.
    near = tree.threshold.astype(np.float32)
    below = np.where(near > tree.threshold, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)
    return left, right, np.where(leaf, 0, tree.feature), np.where(leaf, 0, below), rate * tree.value[:, 0, 0]
