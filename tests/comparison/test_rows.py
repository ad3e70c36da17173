"""The rows of a comparison: what is undefined is null, names cannot break an address, files of before are read."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from workbench.comparison.rows import Comparison, Interval, ModelRow
from workbench.comparison.rows.parts import RateTest, SliceRow, SuitePart, SuiteRow
from workbench.errors import WorkbenchError
from workbench.report import page, terminal, trace

GOLDEN = Path(__file__).parent / "golden"
PLACE = {"view": "all", "label": "abuse", "metric": "recall", "n": 9, "positives": 4, "prevalence": 0.4, "few": True}
NOTHING = dict.fromkeys(("value", "lo", "hi", "seed_sd", "coverage", "ceiling"), math.nan)


def test_what_is_undefined_is_null_and_the_rest_is_as_json_knows_it():
    row = ModelRow(test="test", model="m", confusion=None, runs=["k"], **PLACE, **NOTHING | {"value": np.float32(0.5)})
    assert (row.value, row.lo, row.seed_sd) == (0.5, None, None)
    assert json.loads(json.dumps(row.model_dump(mode="json"), allow_nan=False))["hi"] is None
    assert Interval(value=math.inf, lo=np.float64("nan"), hi=1).model_dump() == {"value": None, "lo": None, "hi": 1.0}


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_number_that_cannot_be_undefined_is_finite(wrong):
    about = {"name": "negation", "gold": "harmless", "n": 7, "few": True, "value": 0.5, "lo": 0.4, "hi": 0.6}
    assert SuitePart(**about, right=3.5).right == 3.5
    with pytest.raises(ValidationError, match="finite number"):
        SuitePart(**about, right=wrong)


def test_names_cannot_break_out_of_an_address():
    row = ModelRow(test="a/b", model='"><script>', confusion=None, runs=[], **PLACE, **NOTHING)
    assert row.id == "a%2Fb/all/abuse/%22%3E%3Cscript%3E/recall"


def test_what_stands_on_a_part_of_the_posts_has_an_address_too():
    some = Interval(value=0.5, lo=0.4, hi=0.6)
    rate = RateTest(**dict(some), rest=0.5, delta=0, delta_lo=-1, delta_hi=1, p=1, p_holm=1)
    counts = {"n": 9, "positives": 4, "negatives": 5, "prevalence": 0.4, "few": True, "gap": None}
    rates = {"precision": some, "recall": rate, "false_positive_rate": rate, "average_precision": some, "roc_auc": some}
    one = SliceRow(model="m", label="abuse", column="language", slice="es", **counts, **rates)
    assert one.address == "slice/language/es/abuse/m"
    part = SuitePart(name="negation", gold="harmless", n=7, right=4, few=True, **dict(some))
    parts = {"halves": (), "functionalities": (part,), "targets": (), "contrast": None}
    suite = SuiteRow(test="t", label="abuse", model="m", unseen=0, **parts)
    assert suite.address("functionalities", part) == "suite/t/abuse/functionalities/negation/harmless"


def test_a_file_of_the_format_before_is_read_and_shown_as_it_was(tmp_path):
    """`golden/comparison.json` was written before rows had types, by the study experiments/suite.yaml; cut down."""
    values = json.loads((GOLDEN / "comparison.json").read_text(encoding="utf-8"))
    found = Comparison.load(GOLDEN)
    assert _as_before(found.plain(), values)
    assert {row["id"] for row in values["models"]} == {number.id for number in found.models}
    assert [line["model"] for line in terminal.tables(found)] == ["prior", "text-clip", "clip-cross"]
    assert "test/paired/macro/clip-cross/average_precision" in {number.address for number in trace.located(found)}
    text = page.write(tmp_path, found, [], None).read_text(encoding="utf-8")
    assert "No model has a value of average precision on validation posts, so none is chosen." in text


def _as_before(now, before):
    """Say whether nested values hold what was there before; a row may have gained names since."""
    if isinstance(before, dict):
        return all(_as_before(now[name], value) for name, value in before.items())
    if isinstance(before, list):
        return len(now) == len(before) and all(map(_as_before, now, before))
    return now == before


@pytest.mark.parametrize("wrong", ['{"study": "s"}', '{"models": [', "[]"])
def test_a_file_of_another_format_is_refused_with_the_command_that_makes_it_again(tmp_path, wrong):
    folder = tmp_path / "memes"
    folder.mkdir()
    assert Comparison.load(folder) is None
    (folder / "comparison.json").write_text(wrong)
    with pytest.raises(
        WorkbenchError, match=r"comparison\.json is not .*; `workbench compare .*memes.yaml` makes it again"
    ):
        Comparison.load(folder)


def test_a_row_of_another_format_is_named(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "s")
    path = tmp_path / "s" / "comparison.json"
    values = json.loads(path.read_text())
    values["models"][3]["positives"] = "many"
    path.write_text(json.dumps(values))
    with pytest.raises(WorkbenchError, match=r"models\.3\.positives: .*valid integer"):
        Comparison.load(tmp_path / "s")
