"""What models are trained towards: the truth of each label, or where a corpus has soft labels the share that say it.

A corpus with soft labels (`soft: true` on shares, votes or annotators) has a column `soft` beside `labels`. Shares are
for training alone: thresholds, calibration and metrics hold scores against what more than half say, and a post of one
half is unknown to them. Cross-entropy towards a share is that of so many yes and so many no (Peterson et al. 2019,
Human uncertainty makes classification more robust, ICCV).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.schema import Taxonomy, label_matrix

SHARES = ("bce", "kl", "squared")
"""The losses that mean something towards a share; others are trained towards what most say."""


def target_matrix(table: pa.Table, taxonomy: Taxonomy, loss: str = "bce") -> tuple[np.ndarray, np.ndarray]:
    """Return y (n_posts, n_labels) float32 in [0, 1], 0 where unknown, and `known`, bool of the same shape.

    loss: what is trained by; where that is none of SHARES, y is 0 or 1 as in `label_matrix`.
    """
    y, known = label_matrix(table, taxonomy)
    if "soft" not in table.column_names or loss not in SHARES:
        return y, known
    for k, name in enumerate(taxonomy.names):
        shares = pc.struct_field(table["soft"], name).combine_chunks()
        given = shares.is_valid().to_numpy(zero_copy_only=False)
        y[given, k] = shares.fill_null(0.0).to_numpy(zero_copy_only=False)[given]
        known[:, k] |= given
    return y, known


def fit_shares(model: Any, x: Any, y: np.ndarray) -> Any:
    """Fit a scikit-learn classifier on x (n_posts, n_features) towards y (n_posts,) in [0, 1], and return it.

    A post with a share counts as yes by its share and as no by the rest; whole ones are fitted as they are.
    """
    if np.isin(y, (0.0, 1.0)).all():
        return model.fit(x, y > 0.5)
    yes, no = np.flatnonzero(y > 0), np.flatnonzero(y < 1)
    truth = np.repeat([True, False], [len(yes), len(no)])
    return model.fit(x[np.concatenate([yes, no])], truth, sample_weight=np.concatenate([y[yes], 1 - y[no]]))
