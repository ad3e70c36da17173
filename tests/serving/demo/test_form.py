"""The form as a post: what staff leave empty is unknown, and what cannot be is one sentence."""

from __future__ import annotations

import pytest

from workbench.errors import WorkbenchError
from workbench.serving.demo import examples, page


def form(**numbers) -> dict:
    return dict.fromkeys(page.AROUND) | {name.replace("__", "."): value for name, value in numbers.items()}


def test_author_and_reception_are_part_of_the_post():
    given = form(author__account_age_days=2.5, author__prior_reports=30.0, engagement__reports=4)
    post = page._post("a claim", None, None, {}, given)
    assert post.author.model_dump(exclude_none=True) == {"account_age_days": 2.5, "prior_reports": 30}
    assert post.engagement.model_dump(exclude_none=True) == {"reports": 4}
    assert page._post("a claim", None, None, {}, form(author__prior_reports=" 30 ")).author.prior_reports == 30
    alone = page._post("a claim", None, None, {}, form(author__prior_reports="", engagement__reports=" "))
    assert (alone.author, alone.engagement) == (None, None)
    alone = page._post("a claim", None, None, {}, form())
    assert (alone.author, alone.engagement) == (None, None)


@pytest.mark.parametrize("value", [-1, 0.5, 1e300, float("nan"), float("inf"), "-1", "many", "0.5"])
def test_a_number_that_cannot_be_is_one_sentence(value):
    with pytest.raises(WorkbenchError, match=r"^prior reports of the author must be a whole number from 0 to 1e\+12"):
        page._post("a claim", None, None, {}, form(author__prior_reports=value))


def test_the_examples_name_fields_of_the_form():
    clean, reported = examples.AUTHORS
    assert clean.values == reported.values
    assert set(clean.around) <= set(page.AROUND)
    assert page._filling(reported, ["text", "misinformation"])()[6:] == [
        900,
        120,
        240,
        31,
        None,
        None,
        None,
        "misinformation",
    ]
