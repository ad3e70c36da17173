"""Functional tests: shares by half, functionality, target and contrast set, and the published ones of HateCheck."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_varied import told, varied

from workbench.comparison import cases
from workbench.comparison.parts import suites
from workbench.metrics.intervals import wilson

# Röttger et al. 2021, table 1: accuracy on hateful, on non-hateful and on all cases, in percent.
PUBLISHED = {
    "pred_BERT_davidson2017_weighted": (75.5, 36.0, 63.2),
    "pred_BERT_founta2018_weighted": (65.5, 48.5, 60.2),
    "pred_perspective": (89.5, 48.2, 76.6),
    "pred_siftninja": (9.0, 86.6, 33.2),
}


def read(path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def hatecheck(workbench_data):
    """The released cases and predictions, by case id."""
    folder = workbench_data / "hatecheck"
    said = {row["case_id"]: row for row in read(folder / "published_model_predictions.csv")}
    cases = read(folder / "test_suite_cases.csv")
    assert len(said) == len(cases) == 3728
    return folder, cases, said


def measure(*given, **more) -> dict:
    return suites.measure(*given, **more).model_dump()


@pytest.fixture(scope="module")
def found(hatecheck):
    """What `measure` says of each published system."""
    _, cases, said = hatecheck
    gold = [case["label_gold"] == "hateful" for case in cases]
    names, targets = ([case[name] for case in cases] for name in ("functionality", "target_ident"))
    return {
        system: measure(gold, [said[case["case_id"]][system] == "hateful" for case in cases], names, target=targets)
        for system in PUBLISHED
    }


def test_published_systems_have_their_published_accuracies(found):
    assert {
        system: tuple(round(100 * row["value"], 1) for row in rows["halves"]) for system, rows in found.items()
    } == PUBLISHED


def test_every_functionality_is_as_published(hatecheck, found):
    table = read(hatecheck[0] / "published_accuracy_by_functionality.csv")
    assert len(table) == 29
    for system, rows in found.items():
        ours = {row["name"]: row for row in rows["functionalities"]}
        assert list(ours) == [row["functionality"] for row in table]  # in the suite's order
        for row in table:
            mine = ours[row["functionality"]]
            assert mine["n"] == int(row["n"])
            assert mine["gold"] == {"hateful": "harmful", "non-hateful": "harmless"}[row["label_gold"]]
            assert round(mine["value"], 4) == float(row[system])
            assert mine["lo"] <= mine["value"] <= mine["hi"]


def test_cases_without_a_target_are_no_target(hatecheck, found):
    targets = found["pred_perspective"]["targets"]
    assert len({row["name"] for row in targets}) == 7
    assert sum(row["n"] for row in targets) == sum(bool(case["target_ident"]) for case in hatecheck[1])


def test_shares_counted_by_hand():
    found = measure(
        gold=[1, 1, 0, 0, 0],
        flagged=[1, 0, 0, 1, 0],
        functionality=["threat", "threat", "negation", "negation", "praise"],
        target=["north", "", "north", "south", "south"],
        case=["a", "b", "a", "b", "c"],
        note=["", "", "new", "new", ""],
        few=2,
    )
    by = {(row["name"], row["gold"]): (row["n"], row["right"], row["few"]) for row in found["functionalities"]}
    assert by == {
        ("threat", "harmful"): (2, 1.0, False),
        ("negation", "harmless"): (2, 1.0, False),
        ("praise", "harmless"): (1, 1.0, True),
    }
    assert [(row["gold"], row["value"]) for row in found["halves"]] == [
        ("harmful", 0.5),
        ("harmless", 2 / 3),
        ("all", 3 / 5),
    ]
    assert [(row["name"], row["gold"], row["n"], row["right"]) for row in found["targets"]] == [
        ("north", "harmful", 1, 1.0),
        ("north", "harmless", 1, 1.0),
        ("south", "harmless", 2, 1.0),
    ]
    # a is right as a whole, b has two errors, c is alone and no contrast
    assert (found["contrast"]["n"], found["contrast"]["value"]) == (2, 0.5)
    assert [row["note"] for row in found["functionalities"]] == ["", "new", ""]
    lo, hi = wilson(1, 2)
    assert (found["contrast"]["lo"], found["contrast"]["hi"]) == (lo, hi)


def test_cases_of_one_group_are_one_piece_of_evidence():
    # 30 templates of 4 cases each, of which two thirds are decided rightly, all four alike
    group, right = np.repeat(np.arange(30), 4), np.repeat(np.arange(30) % 3 > 0, 4)
    about = [1] * 120, right, ["threat"] * 120
    alone, grouped = (measure(*about, **more)["halves"][0] for more in ({}, {"group": group}))
    assert (alone["lo"], alone["hi"]) == wilson(80, 120)
    # their share varies as that of 30 independent cases does, up to n / (n - 1)
    assert (grouped["lo"], grouped["hi"]) == pytest.approx(wilson(2 / 3 * 29, 29))
    assert not grouped["few"]
    assert measure(*about, group=group % 19)["halves"][0]["few"]
    assert not measure(*about, group=np.arange(120) % 20)["halves"][0]["few"]
    pairs = measure([1] * 40, np.arange(40) // 2 % 4 > 0, ["threat"] * 40, group=np.arange(40) // 2)["halves"][0]
    assert (pairs["lo"], pairs["hi"]) == pytest.approx(wilson(0.75 * 19, 19))


def test_seeds_count_by_their_mean():
    found = measure([1, 0], [[1, 1], [1, 0]], ["a", "b"], case=["c", "c"])
    assert [row["value"] for row in found["functionalities"]] == [1.0, 0.5]
    assert found["contrast"]["value"] == 0.5  # right in one of two trainings


def test_a_half_without_cases_is_undefined_and_not_zero():
    harmless = measure([1, 1], [1, 1], ["a", "a"])["halves"][1]
    assert harmless["n"] == 0
    assert harmless["value"] is harmless["lo"] is harmless["hi"] is None
    assert measure([1, 1], [1, 1], ["a", "a"], case=["x", "y"])["contrast"] is None


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("abc")), min_size=1, max_size=30), st.randoms())
def test_parts_add_up_and_the_order_of_cases_changes_no_share(cases, random):
    gold, flagged, names = zip(*cases, strict=True)
    found = measure(gold, flagged, names)
    whole = found["halves"][-1]
    for parts in (found["functionalities"], found["halves"][:2]):
        assert sum(row["n"] for row in parts) == whole["n"]
        assert sum(row["right"] for row in parts) == pytest.approx(whole["right"])
    random.shuffle(cases)
    gold, flagged, names = zip(*cases, strict=True)
    again = measure(gold, flagged, names)
    assert {(row["name"], row["gold"]): row for row in again["functionalities"]} == {
        (row["name"], row["gold"]): row for row in found["functionalities"]
    }


def test_what_a_corpus_tells_of_its_cases():
    posts = pa.table({"meta": [{"functionality": "threat", "target_ident": None, "votes": 3}]})
    assert {name: column.to_pylist() for name, column in cases.case_columns(posts).items()} == {
        "functionality": ["threat"],
        "target": [None],
    }
    assert cases.case_columns(pa.table({"meta": [{"target": "north"}]})) == {}
    assert cases.case_columns(pa.table({"text": ["hello"]})) == {}


# what `told` says of all rows; another interval changes it
# fmt: off
ROWS = {"halves.value": 21.525702, "halves.lo": 1.5099038, "halves.hi": 32.532487, "halves.few": 34.708091,
    "halves.name": 21.319813, "halves.gold": 21.323755, "halves.n": 2141.5572, "halves.right": 1365.6352,
    "halves.note": -24.339077, "functionalities.value": 44.122793, "functionalities.lo": 13.817253,
    "functionalities.hi": 61.433217, "functionalities.few": 66.804298, "functionalities.name": 59.333408,
    "functionalities.gold": 39.623989, "functionalities.n": 1121.1716, "functionalities.right": 711.04035,
    "functionalities.note": 35.179288, "targets.value": 30.528086, "targets.lo": 9.7357757, "targets.hi": 41.0665,
    "targets.few": 48.673156, "targets.name": 31.438987, "targets.gold": 26.884864, "targets.n": 736.8331,
    "targets.right": 509.81478, "targets.note": -34.388665, "contrast.value": 4.1657531, "contrast.lo": 1.0798895,
    "contrast.hi": 11.799548, "contrast.few": 12.199602, "contrast.name": 8.9500834, "contrast.gold": 9.1497368,
    "contrast.n": 461.31383, "contrast.right": 152.20493, "contrast.note": -8.3388547, "model": 2.0454468, "label":
    4.9722834, "test": 5.0156545, "unseen": 68.15091}
# fmt: on


def test_every_field_of_every_suite_is_as_it_was():
    rows = suites.tested(varied(), ["test", "cases"], alpha=0.1, few=6)
    assert [row.label for row in rows[::4]] == ["abuse", "violence", "spam"]
    assert told(rows) == pytest.approx(ROWS, rel=2e-7)


def test_a_case_that_is_about_one_label_asks_for_that_one():
    run = varied()[3]
    facts_of = run.sets["cases"]
    about = np.resize(["violence", "abuse", "", "unheard of"], len(facts_of.y))
    cases = replace(facts_of, suite=facts_of.suite | {"label": about})
    (row,) = suites.tested([replace(run, sets={"cases": cases})], ["cases"], alpha=0.05, few=3)
    k = np.array([{"violence": 1, "abuse": 0}.get(name, 2) for name in about])
    at = np.flatnonzero((k < 2) & (facts_of.suite["functionality"] != "") & facts_of.known[np.arange(len(k)), k])
    y, prob = facts_of.y[at, k[at]], facts_of.prob[:, at, k[at]]
    right = ((prob >= run.thresholds[:, k[at]]) == y).mean(0)
    assert (row.label, row.test, row.model) == (suites.OWN, "cases", "cross")
    assert (row.halves[2].n, row.halves[2].right) == (len(at), pytest.approx(right.sum()))
    assert (row.halves[0].n, row.halves[0].right) == (y.sum(), pytest.approx(right[y].sum()))
    assert row.unseen == np.isnan(prob[0]).sum() > 0
    nobody = replace(cases, suite=cases.suite | {"label": np.full(len(k), "unheard of")})
    assert suites.tested([replace(run, sets={"cases": nobody})], ["cases"], alpha=0.05, few=3) == []
