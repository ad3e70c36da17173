"""Scores where annotators disagree: every field of the rows, and which posts take part."""

from __future__ import annotations

import numpy as np
import pytest
from made_varied import SETTINGS, sets, told, varied

from workbench.comparison.parts.disagreement import disagreement

# what `told` says of the rows; another interval or another draw of groups changes it
# fmt: off
ROWS = {"model": 0.92178355, "label": 1.0801653, "n": 2587.4413, "disputed_n": 2041.687, "alpha": 0.21727083,
    "log_loss.value": 2.2841477, "log_loss.lo": 2.0526051, "log_loss.hi": 2.2462334, "log_loss.few": 0.0,
    "soft_log_loss.value": 2.9409582, "soft_log_loss.lo": 2.7041722, "soft_log_loss.hi": 2.7345833,
    "soft_log_loss.few": 0.0, "average_precision.value": 1.1960994, "average_precision.lo": 1.0122147,
    "average_precision.hi": 1.1881854, "average_precision.few": 0.0, "soft_average_precision.value": 1.2124757,
    "soft_average_precision.lo": 1.1255247, "soft_average_precision.hi": 1.1878977, "soft_average_precision.few": 0.0,
    "unanimous.value": 1.1148378, "unanimous.lo": 1.0197436, "unanimous.hi": 1.3456277, "unanimous.few": 0.0,
    "disputed.value": 1.315024, "disputed.lo": 1.3370526, "disputed.hi": 1.5673599, "disputed.few": 0.0}
# fmt: on


def test_every_field_of_every_row_is_as_it_was():
    rows = disagreement(varied(), SETTINGS)
    assert {row.test for row in rows} == {"test"}
    assert told(row.model_dump(exclude={"test"}) for row in rows) == pytest.approx(ROWS, rel=2e-7)


def test_posts_that_two_judged_without_a_tie_and_the_model_sees_take_part():
    facts = sets()["test"]
    yes, no = np.nan_to_num(facts["votes"][:, 0]).T
    for run, row in zip(varied(), disagreement(varied(), SETTINGS), strict=True):
        seen = ~np.isnan(run.sets["test"].logit[:, :, 0]).any(0)
        rows = seen & facts["known"][:, 0] & (yes + no >= 2) & (yes != no)
        assert (row.model, row.label, row.n) == (run.alias, "abuse", rows.sum())
        assert row.disputed_n == (rows & (yes > 0) & (no > 0)).sum()
