"""Several test sets compared at once: what is tested together, what stands on which set, and what nobody can tell."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from workbench.comparison.options import CompareOptions, Family
from workbench.comparison.rows import Comparison
from workbench.errors import WorkbenchError
from workbench.report import sections, terminal, trace, wording
from workbench.report.wording import summary

SETS = ("test", "near", "far")
FAST = {"resamples": 100, "slice_resamples": 100, "view": "all"}


@pytest.fixture(scope="module")
def split(small) -> np.ndarray:
    """Half of the posts validate or are the study's own test set, the others make two further ones."""
    split = small.SPLIT.copy()
    split[1::4], split[2::8] = "near", "far"
    return split


@pytest.fixture(scope="module")
def several(small, split, tmp_path_factory):
    return small.four(tmp_path_factory.mktemp("several"), split=split)


@pytest.fixture(scope="module")
def found(small, several) -> Comparison:
    return small.compared(several, test=SETS, **FAST)


def test_one_name_is_a_list_of_one_and_none_is_named_twice():
    assert CompareOptions().test == ("test",)
    assert CompareOptions(test="far").test == ("far",)
    assert CompareOptions(test=["test", "far"]).test == ("test", "far")
    with pytest.raises(ValidationError, match="'far' is named twice"):
        CompareOptions(test=["far", "test", "far"])
    with pytest.raises(ValidationError):
        CompareOptions(test=[])


def test_holm_counts_every_pair_on_every_set(found):
    tested = [row for row in found.differences if row.primary]
    assert [(row.test, row.pair) for row in tested] == [
        (test, pair) for test in SETS for pair in (("cross", "best-unimodal"), ("cross", "prior"))
    ]
    p = sorted(row.p for row in tested if row.p is not None)
    by_hand = np.minimum(np.maximum.accumulate((6 - np.arange(len(p))) * p), 1)  # of six, also where fewer have a p
    assert sorted(row.p_holm for row in tested if row.p is not None) == pytest.approx(by_hand)


def test_what_stands_on_a_set_does_not_depend_on_the_others(small, several, found):
    for test in SETS:
        alone = small.compared(several, test=test, **FAST)
        assert alone.models == found.models
        assert [row.id for row in alone.bundle] == [row.id for row in found.bundle if row.test == test]
        mine = [row for row in found.differences if row.test == test]
        changed = {"p_holm", "verdict"}
        assert [row.model_dump(exclude=changed) for row in alone.differences] == [
            row.model_dump(exclude=changed) for row in mine
        ]
        assert alone.tests == (test,)
        assert {row.test for row in alone.slices} <= {test}


def test_slices_stand_on_every_set_and_are_corrected_together(found):
    assert {row.test for row in found.slices} == set(SETS)
    assert len({row.address for row in found.slices}) == len(found.slices)
    own, other = (next(row for row in found.slices if row.test == test) for test in ("test", "far"))
    assert own.address == f"slice/{own.column}/{own.slice}/{own.label}/{own.model}".replace(" ", "%20")
    assert other.address.startswith(f"slice/far/{other.column}/")


def test_a_pair_or_set_outside_the_family_has_no_p(small, several):
    family = Family((("cross", "prior"),), ("far", "not there yet"))
    settings = CompareOptions(test=["test", "far"], pairs=[("cross", "prior"), ("cross", "words")], **FAST)
    rows = small.compare("s", "?", several, settings, family).differences
    (only,) = [row for row in rows if row.primary]
    assert (only.test, only.pair) == ("far", ("cross", "prior"))
    assert only.p_holm == pytest.approx(min(2 * only.p, 1))  # of two that were planned


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"test": "nowhere"}, r"compare\.test: unknown test set 'nowhere'; the choices are: far, near, test"),
        ({"test": ["test", "validation"]}, "unknown test set 'validation'"),
    ],
)
def test_a_set_that_was_not_scored_is_refused(small, several, given, words):
    with pytest.raises(WorkbenchError, match=words):
        small.compared(several, **given, **FAST)


def test_a_set_that_tells_nothing_of_the_compared_label_is_refused(small, split, tmp_path):
    known = np.ones((small.N, 2), bool)
    known[split == "far", 0] = False
    runs = small.four(tmp_path, split=split, known=known)
    words = "the label 'abuse' is known for none of the 30 posts of the test set 'far', .* map them under `tests.far`"
    with pytest.raises(WorkbenchError, match=words):
        small.compared(runs, test=SETS, label="abuse", **FAST)
    found = small.compared(runs, test=SETS, label="macro", **FAST)  # the other label is told
    assert found.labels_used["far"]["all"] == ("violence",)
    known[:] = False
    (tmp_path / "nothing").mkdir()
    runs = small.four(tmp_path / "nothing", split=split, known=known)
    with pytest.raises(WorkbenchError, match="none of the labels abuse, violence is known for any of the 90 posts"):
        small.compared(runs, **FAST)


def test_models_that_left_posts_out_are_compared_apart_on_those_that_all_scored(small, split, tmp_path):
    half, none = small.good(), np.full((1, small.N, 2), np.nan)
    half[:, 3::8] = np.nan  # 30 of the 90 posts of the own test set
    runs = [
        small.write(tmp_path, "words", small.noise(seed=3), split=split),
        small.write(tmp_path, "vendor", half, split=split),
        small.write(tmp_path, "elsewhere", none, split=split),
    ]
    asked = {"metric": "roc_auc", "label": "abuse", "pairs": [("vendor", "words")], **FAST}
    found = small.compared(runs, **asked)
    there = (split == "test") & ~np.isnan(half[0, :, 0])
    rows = {row.model: row for row in found.rows(view="scored")}
    assert list(rows) == ["words", "vendor"]  # who scored nothing has no place there
    assert {row.n for row in rows.values()} == {int(there.sum())} == {60}
    for run in runs[:2]:
        exact = roc_auc_score(small.Y[there, 0], run.sets["test"].logit[0, there[split == "test"], 0])
        assert rows[run.alias].value == pytest.approx(exact)
    whole, apart = (row for row in found.differences if row.pair == ("vendor", "words"))
    assert [(row.view, row.primary, row.p_holm is None) for row in (whole, apart)] == [
        ("all", True, whole.p_holm is None),
        ("scored", False, True),
    ]
    assert apart.delta == pytest.approx(rows["vendor"].value - rows["words"].value)
    none_said, part = wording.coverage(found)
    assert none_said == "elsewhere scored none of these posts."
    assert part.startswith("vendor scored 66.6 % of these posts; the others count with the share of harm in training")
    assert f"On the 60 posts that every model scored ROC AUC is: words {rows['words'].value:.3f} [" in part
    assert "on the posts that every model scored" in {
        name for section in sections.sections(found, runs) for name in section.tables
    }
    assert not small.compared(runs[:1], **asked | {"pairs": []}).rows(view="scored")


def test_the_lead_and_the_page_speak_of_every_set(several, found):
    lead = next(wording.answer(found))
    for test in SETS:
        (row,) = (row for row in found.rows(test=test) if row.model == "cross")
        assert f"{wording.interval(row)} on {wording.test_set(test)}" in lead
    said = " ".join(wording.answer(found))
    assert "cross against prior: " in said
    assert "Every p is corrected for all pairs on all sets together." in said
    points = summary.points(found, several)
    assert len(points["What is shown, set by set"]) == 6
    noticed = points["What people would notice"]
    assert [line.partition(":")[0] for line in noticed[:3]] == [f"Abuse on {wording.test_set(test)}" for test in SETS]
    assert " of near and " in points["How sure is this?"][0]


def test_the_table_of_transfer_has_a_row_for_each_model_and_a_column_for_each_set(small, several, found):
    by_key = {section.key: section for section in sections.sections(found, several)}
    (table,) = by_key["transfer"].tables.values()
    assert list(table.index) == found.names
    assert [column.partition(":")[0] for column in table.columns] == ["the study's own test set", "far", "near"]
    own = found.rows(test="far")[0]
    assert f"{own.n} posts, {wording.percent(own.prevalence)} harmful" in table.columns[1]
    places = {number.address for number in trace.located(found)}
    assert set(table.attrs["addresses"].values()) <= places
    partly = small.compared(several, test=["far"], **FAST)
    (table,) = {section.key: section for section in sections.sections(partly, several)}["transfer"].tables.values()
    assert [column.endswith("not compared") for column in table.columns] == [True, False, True]
    asked = summary.points(partly, several)["What was asked"]
    assert asked[1].startswith("the study's own test set and near are scored too and not compared; `compare: {test: ")


@pytest.mark.parametrize("key", ["values", "differences", "label-abuse", "prevalence", "calibration", "slices", "cost"])
def test_each_section_tells_its_sets_apart(several, found, key):
    section = {section.key: section for section in sections.sections(found, several)}[key]
    words = " ".join([*section.tables, *section.folded, *section.figures, section.prose])
    words += " ".join(str(part) for table in section.tables.values() for part in (*table.columns, *table.index))
    assert all(wording.test_set(test) in words for test in SETS)
    names = list(section.figures)
    assert len(set(names)) == len(names)
    assert section.captions == (len(names) > 1)


def test_the_terminal_has_a_line_per_set_and_model(small, several, found):
    lines = terminal.tables(found)
    assert [(line["test set"], line["model"]) for line in lines] == [(t, m) for t in SETS for m in found.names]
    assert "test set" not in terminal.tables(small.compared(several, **FAST))[0]


def test_a_number_on_any_set_is_computed_again_by_trace(several, found):
    (row,) = [row for row in found.differences if row.test == "far" and row.pair == ("cross", "prior")]
    number = next(number for number in trace.located(found) if number.address == row.id)
    assert trace._recomputed(found, several, "", number).startswith("agrees")
