"""Mentions of groups of people: whole words after cleaning, in the languages of a list that staff can edit."""

from __future__ import annotations

import pyarrow as pa
import pytest
import yaml

from workbench.errors import WorkbenchError
from workbench.preprocessing.text.identities import Identities

JIGSAW = {
    *("male", "female", "homosexual_gay_or_lesbian", "christian", "jewish", "muslim", "black", "white"),
    "psychiatric_or_mental_illness",
}
SHIPPED = Identities.load()


def found(*texts: str | None, identities: Identities = SHIPPED) -> list:
    return identities.mentions(pa.chunked_array([pa.array(texts, pa.string())])).to_pylist()


def test_the_nine_identities_of_the_competition_are_there_under_their_names():
    assert set(SHIPPED.identities) >= JIGSAW


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        ("Two WOMEN and a man.", ["male", "female"]),
        ("manual womanly blackboard", []),
        ("an African-American and a middle  aged teacher", ["black", "north_american", "old"]),
        ("caf&eacute; of the t&uuml;rk&iacute;; M&auml;nner", ["male"]),  # entities are undone first
        ("los jóvenes y las mujeres", ["female", "young"]),
        (
            "a mentally ill, deaf, 'gay'",
            ["homosexual_gay_or_lesbian", "physical_disability", "psychiatric_or_mental_illness"],
        ),
        ("gay_pride", []),  # an underscore is part of a word, as in handles
        ("", []),
    ],
)
def test_whole_words_are_matched_after_cleaning(text, mentioned):
    assert found(text) == [mentioned]


def test_a_post_without_a_text_says_nothing():
    assert found(None, "a girl") == [None, ["female"]]


def test_no_term_is_hidden_behind_another_reading():
    named = [(name, term) for name in SHIPPED.identities for term in SHIPPED.terms(name)]
    mentioned = found(*(f"({term})" for _, term in named))
    assert [term for (name, term), names in zip(named, mentioned, strict=True) if name not in names] == []


def test_staff_may_edit_the_list_and_mistakes_are_told(tmp_path):
    path = tmp_path / "identities.yaml"
    path.write_text(yaml.safe_dump({"version": "1", "identities": {"gardeners": {"en": ["gardener", "green thumb"]}}}))
    own = Identities.load(path)
    assert found("A green-thumb and a man", identities=own) == [["gardeners"]]
    path.write_text(yaml.safe_dump({"version": "1", "identities": {"gardeners": {"en": ["Gardener"]}}}))
    with pytest.raises(WorkbenchError, match="'Gardener' must be lower-case"):
        Identities.load(path)
    path.write_text(yaml.safe_dump({"version": "1", "identities": {"gardeners": {}}}))
    with pytest.raises(WorkbenchError, match="'gardeners' has no term"):
        Identities.load(path)
    with pytest.raises(WorkbenchError, match="is missing"):
        Identities.load(tmp_path / "nowhere.yaml")
