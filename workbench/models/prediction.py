"""What a model says of posts: its scores, and what of the posts it could not read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from workbench.preprocessing.context import Moved


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of n posts.

    Attributes:
        logits (n_posts, n_labels): float32 and NaN where nothing is readable, as `predict` returns it; what `_predict`
            writes for unreadable posts and labels that are not trained is replaced.
        readable (n_posts,): whether anything could be read of what the model scores.
        unread: modality -> per post why it could not be read, wholly or in part (`Truncated`), or None where it was.
        variants (n_posts, n_labels), or None: what was undone in the text variant that a score is of, in words that
            complete "scored by its variant with ..."; None for scores of the raw text or of other content.
        alike (n_posts, n_labels), or None: the ids of the training posts with the label that a score comes from, the
            most alike first, for models that judge by single training posts; None where there is none.
        moved: what numbers around the posts do to the scores, of models that read some; None of others.
    """

    logits: np.ndarray
    readable: np.ndarray
    unread: dict[str, list[str | None]] = field(default_factory=dict)
    variants: np.ndarray | None = None
    alike: np.ndarray | None = None
    moved: Moved | None = None
