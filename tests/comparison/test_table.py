"""The table of one test set in one view: every field of its rows, and on what a number stands."""

from __future__ import annotations

import numpy as np
import pytest
from made_varied import SETTINGS, sets, told, varied

from workbench.comparison.resampled import Cell
from workbench.comparison.table import Table

# what `told` says of all rows; another metric, another default of an interval or another draw of groups changes it
# fmt: off
ROWS = {"paired": {"value": 121.61195, "lo": 105.26859, "hi": 139.84451, "id": 200.94402, "label": 253.00072, "view":
    89.285995, "test": 406.04, "metric": 211.64501, "n": 180848.24, "positives": 58589.934, "effective": 30770.539,
    "prevalence": 101.94461, "few": 37.978653, "model": 70.205727, "seed": -285.30722, "seed_sd": -156.78424,
    "coverage": 404.48317, "ceiling": -136.08391, "confusion.tn": 50806.84, "confusion.fp": 35933.097, "confusion.fn":
    9614.8679, "confusion.tp": 19438.54, "runs": 234.40485, "ms_per_post": 1432.3188, "peak_mb": 122369.82,
    "fit_seconds": 2855.5012, "parameters": 4487.5468, "confusion": -83.889192}, "all": {"value": 133.35366, "lo":
    112.30823, "hi": 156.3541, "id": 214.37591, "label": 253.00072, "view": 308.62785, "test": 406.04, "metric":
    211.64501, "n": 290431.72, "positives": 93885.614, "effective": 28655.719, "prevalence": 101.49948, "few":
    38.293005, "model": 70.205727, "seed": -285.30722, "seed_sd": -152.73796, "coverage": 390.73485, "ceiling":
    -127.02045, "confusion.tn": 82094.172, "confusion.fp": 56921.656, "confusion.fn": 15444.408, "confusion.tp":
    30940.715, "runs": 234.40485, "ms_per_post": 1432.3188, "peak_mb": 122369.82, "fit_seconds": 2855.5012,
    "parameters": 4487.5468, "confusion": -83.889192}}
# fmt: on


@pytest.fixture(scope="module", params=["paired", "all"])
def table(request) -> Table:
    return Table.of(varied(), Cell.of(varied(), "test", request.param, SETTINGS.seed), SETTINGS)


def test_every_field_of_every_row_is_as_it_was(table):
    rows = table.rows()
    assert len(rows) == 4 * (3 * 24 + 30)  # six of thirty metrics are over all labels
    assert told(rows) == pytest.approx(ROWS[table.cell.view], rel=2e-7)


def test_a_number_stands_on_the_posts_whose_label_is_known(table):
    facts = sets()["test"]
    at = facts["paired"] if table.cell.view == "paired" else np.ones(740, bool)
    y, known, weight = facts["y"][at], facts["known"][at], facts["weight"][at]
    for k, label in enumerate(("abuse", "violence")):
        place, site = table.place(k), table.place(k, site=True)
        assert (place["label"], place["n"], place["positives"]) == (label, known[:, k].sum(), y[:, k].sum())
        assert place["prevalence"] == pytest.approx(y[:, k].sum() / known[:, k].sum())
        assert site["prevalence"] == pytest.approx((weight * y[:, k]).sum() / (weight * known[:, k]).sum())
    macro = table.place(3)  # spam is no part of it: one model has no score of it
    assert (macro["label"], macro["n"], macro["positives"]) == ("macro", known[:, :2].any(1).sum(), y[:, :2].sum())
    assert macro["prevalence"] == pytest.approx((table.place(0)["prevalence"] + table.place(1)["prevalence"]) / 2)
    assert macro["effective"] == min(table.place(0)["effective"], table.place(1)["effective"])
    assert table.labels_used == ["abuse", "violence"]
