"""Nearest neighbours across a split by cosine."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.evidence.audit import neighbours


def test_the_nearest_training_post_is_named_and_what_has_no_vector_has_none():
    train = np.array([[1.0, 0], [0, 1], [np.nan, 0]])
    found = neighbours.nearest(train, np.array([[0, 5.0], [1, 1], [0, 0]]))
    assert found.nearest.tolist()[::2] == [1, -1]
    assert found.counted == 2
    assert found.cosine[:2] == pytest.approx([1, 2**-0.5])
    told = found.told([["a", "b", "c"], ["x", "y", "z"]])
    assert told["closest"][0] == (1.0, "x", "b")
    assert told["n"] == 2
