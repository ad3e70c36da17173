"""What mentions of groups of people do to scores: every field of the rows, and the counts by hand."""

from __future__ import annotations

import pytest
from made_varied import SETTINGS, sets, told, varied

from workbench.comparison.parts.bias import biased

# what `told` says of the rows; another interval or another draw of groups changes it
# fmt: off
IDENTITIES, SUMMARIES = ({"model": 3.9386748, "label": 10.608476, "n": 5873.3685, "positives": 1890.0964, "negatives":
    3966.0821, "few": 18.851535, "test": 22.846127, "identity": 5.0448323, "subgroup_auc.value": 14.595512,
    "subgroup_auc.lo": -11.157941, "subgroup_auc.hi": -10.904142, "bpsn_auc.value": 13.363908, "bpsn_auc.lo":
    -12.154842, "bpsn_auc.hi": -11.803352, "bnsp_auc.value": 14.674785, "bnsp_auc.lo": -10.938596, "bnsp_auc.hi":
    -10.893657}, {"model": 0.92178355, "label": 2.6033477, "test": 4.7913432, "identities": 4.6353518, "overall":
    2.8390705, "subgroup_auc": 2.3175137, "bpsn_auc": 1.8388369, "bnsp_auc": 2.6005825, "summary.value": 2.0988605,
    "summary.lo": 1.8980345, "summary.hi": 1.9477811})
# fmt: on


@pytest.fixture(scope="module")
def found():
    return biased(varied(), ["test", "cases"], SETTINGS.model_copy(update={"few": 45}))


def test_every_field_of_every_row_is_as_it_was(found):
    assert told(found.identities) == pytest.approx(IDENTITIES, rel=2e-7)
    assert told(found.summaries) == pytest.approx(SUMMARIES, rel=2e-7)


def test_rows_are_of_labels_with_a_score_and_of_identities_with_both_classes(found):
    facts = sets()["test"]
    assert {row.identity for row in found.identities} == {"gay", "muslim"}
    assert {row.label for row in found.identities if row.model == "words"} == {"abuse", "violence"}
    for row in found.identities:
        k = ("abuse", "violence", "spam").index(row.label)
        mentioned = facts["identities"][row.identity] & facts["known"][:, k]
        assert (row.n, row.positives) == (mentioned.sum(), (mentioned & facts["y"][:, k]).sum())
        assert row.negatives == row.n - row.positives
        assert (row.bpsn_auc.lo is None) == row.few
    values = [(row.few, row.bpsn_auc.value) for row in found.identities]
    assert values == sorted(values)


def test_an_identity_of_few_groups_has_no_interval_and_no_part_in_the_summary():
    runs = varied()[1:3]
    few = biased(runs, ["test"], SETTINGS.model_copy(update={"few": 45}))
    assert {row.few for row in few.identities} == {False, True}
    for summary in few.summaries:
        rows = [r for r in few.identities if (r.model, r.label) == (summary.model, summary.label)]
        assert summary.identities == sum(not row.few for row in rows)
    assert biased(runs, ["test"], SETTINGS.model_copy(update={"few": 740})).summaries == ()
