"""What a study holds and accepts, and how findings are told."""

from __future__ import annotations

import pytest

from workbench.errors import WorkbenchError
from workbench.evidence.audit import relations
from workbench.evidence.audit.relations import LeakFound, LeakOptions, hold, quoted, table

LEAK = {"overlap": 2, "of": 9, "posts": 5}
FINDINGS = {
    "near_image": {
        **LEAK,
        "examples": [{"content": "a.jpg ~ b.jpg", "posts": [["train", "p1"], ["validation", "p2"]]}],
    },
    "time": {**LEAK, "examples": [{"content": "c", "posts": []}]},
}


def test_findings_are_told_in_columns_as_wide_as_their_words():
    assert table(FINDINGS).splitlines() == [
        "  same                    where                    what",
        "  near-duplicate picture  train p1, validation p2  a.jpg ~ b.jpg",
        "  impossible time                                  c",
    ]


def test_what_is_not_accepted_stops_a_study_and_only_that_is_told():
    options = LeakOptions(fail_on=("near_image", "time"), allow={"time": "its clock stood"})  # three words are enough
    with pytest.raises(LeakFound, match="split: 2 near-duplicate pictures in 5 posts") as told:
        hold(FINDINGS, options)
    assert "impossible" not in str(told.value)
    hold({**FINDINGS, "near_image": {**LEAK, "overlap": 0}}, options)
    with pytest.raises(WorkbenchError, match="at least three words"):
        LeakOptions.parse({"allow": {"time": "two words"}}, "leaks")
    assert not LeakOptions().later_tests
    assert relations.EXAMPLES == 5


def test_sixty_letters_are_quoted_whole_and_of_more_the_first_fifty_seven():
    assert quoted("x" * 60) == repr("x" * 60)
    assert quoted("x" * 61) == repr("x" * 57 + "...")
