"""The requirements: a file that says what it needs or why it is refused, and verdicts that follow from intervals."""

from __future__ import annotations

import pytest

from workbench.errors import WorkbenchError
from workbench.requirements import MET, MISSED, NOT_MEASURED, NOT_SHOWN, Requirements, verdict
from workbench.schema import MODALITIES, Taxonomy
from workbench.serving.config import ServingConfig

NEEDS = {"problem": "Spam drives people away", "asked_by": "community staff"}


def test_the_shipped_file_speaks_of_every_label_and_of_what_is_served():
    needs = Requirements.load()
    assert set(needs.objectives) == set(Taxonomy.load().names)
    assert round(needs.volume.per_second) == 579
    served = ServingConfig.load().services
    for kind in MODALITIES:
        # what serving.yaml states as expected, and what is required, are one thing said twice
        assert served[kind].expected_per_second == pytest.approx(
            needs.volume.per_second * needs.volume.shares[kind], 0.01
        )
    assert served["post"].expected_per_second == round(needs.volume.per_second)


def test_the_objective_in_a_sentence_is_of_the_labels_asked_for():
    objectives = {name: {"first": "recall", "because": "x", "recall": 0.9} for name in ("spam", "fraud")}
    needs = Requirements.load(NEEDS | {"objectives": objectives})
    assert needs.objective == "Recall first for spam, fraud."
    assert needs.of(["fraud", "abuse"]).objective == "Recall first for fraud."
    assert needs.of(["abuse"]) is None
    assert Requirements.load(NEEDS).objective == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"problem": ""}, "problem"),
        ({"asked": "me"}, "did you mean 'asked_by'"),
        ({"objectives": {"spam": {"first": "recall", "because": "x"}}}, "recall comes first and has no target"),
        ({"objectives": {"spam": {"first": "f1", "because": "x"}}}, "'precision' or 'recall'"),
        ({"objectives": {"spam": {"first": "recall", "because": "x", "recall": 90}}}, "less than or equal to 1"),
        (
            {"volume": {"posts_per_day": 5, "shares": {"text": 0.8, "image": 0.3}}},
            "text, image add up to 1.1, not to 1",
        ),
        ({"latency": {"ms_per_post": 0}}, "greater than 0"),
    ],
)
def test_what_no_one_could_hold_a_site_to_is_refused(change, said):
    with pytest.raises(WorkbenchError, match=said):
        Requirements.load(NEEDS | change)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((None,), NOT_MEASURED),
        ((0.9,), MET),
        ((0.95, 0.9, 0.97), MET),
        ((0.95, 0.89, 0.97), NOT_SHOWN),
        ((0.85, 0.8, 0.9), NOT_SHOWN),
        ((0.85, 0.8, 0.899), MISSED),
    ],
)
def test_a_verdict_is_of_the_whole_interval(numbers, expected):
    assert verdict(0.9, *numbers) == expected
    mirrored = [None if number is None else -number for number in (numbers[0], *numbers[:0:-1])]
    assert verdict(-0.9, *mirrored, least=False) == expected
