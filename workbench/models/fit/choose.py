"""What validation chooses: the strength of a penalty, label by label, where it has enough posts to tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workbench.metrics.classification import average_precision

ENOUGH = 10  # positives, and negatives, that validation must have to choose anything for a label


def enough(truth: np.ndarray) -> bool:
    """Say whether some posts (n_posts,) bool are enough to choose by.

    >>> enough(np.arange(20) < 10), enough(np.arange(20) < 9)
    (True, False)
    """
    return bool(min(truth.sum(), (~truth).sum()) >= ENOUGH)


def best_strength(
    strengths: Sequence[float],
    fit: Callable[[float], Any],
    truth: np.ndarray,
    scored: Callable[[Any], np.ndarray],
    worth: Callable[[np.ndarray, np.ndarray], float] = average_precision,
) -> tuple[float, Any]:
    """Return the strength whose fit is worth most on validation, with that fit; the first of equal ones.

    truth (n_posts,) bool: validation posts that know the label; scored: a fit -> their scores (n_posts,). Where these
    posts are not `enough`, only the middle strength is fitted.
    """
    if not enough(truth):
        strengths = (sorted(strengths)[len(strengths) // 2],)
    fits = [fit(strength) for strength in strengths]
    values = [worth(truth, scored(made)) for made in fits] if len(fits) > 1 else [0.0]
    best = int(np.argmax(values))
    return strengths[best], fits[best]
