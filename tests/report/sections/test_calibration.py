"""The report on probabilities: before and after in numbers that can be recomputed, and how each label was moved."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from workbench.metrics.calibration import worth
from workbench.metrics.table import METRICS
from workbench.report.sections.calibration import calibration


@pytest.fixture
def made(small, tmp_path):
    """Two runs, one of them with two seeds whose probabilities were moved, with its record."""
    moved = {"abuse": {"0": {"method": "platt"}, "1": {"method": "isotonic"}}, "violence": {"0": {"method": "none"}}}
    given = {"metrics": {"calibration": moved}}
    runs = [small.write(tmp_path, "words", small.noise()), small.write(tmp_path, "cross", small.good(2), **given)]
    runs[1].sets["test"].prob[...] = expit(2 * runs[1].sets["test"].logit - 1)
    return runs


def test_every_label_has_a_table_of_all_models(small, made):
    section = calibration(small.compared(made, pairs=[]), made)
    assert list(section.tables) == ["abuse", "violence"]
    table, scores = section.tables["abuse"], made[1].sets["test"]
    assert list(table.index) == ["words", "cross"]
    assert table["calibration"].tolist() == ["–", "platt, isotonic"]
    y, line = scores.y[:, 0], table.loc["cross"]
    for words, function in (("Brier", METRICS["brier"]), ("log loss", METRICS["log_loss"])):
        for side, values in (("before", expit(scores.logit[:, :, 0])), ("after", scores.prob[:, :, 0])):
            assert line[f"{words} {side}"] == f"{np.mean([function(y, one) for one in values]):.4f}"
    assert line["posts"] == f"180 ({y.sum()} harmful)"
    assert line["groups"] == "10 of 18"
    assert line["ECE before"] != line["ECE after"]


def test_the_winner_is_drawn_before_and_after(small, made):
    section = calibration(small.compared(made, pairs=[]), made)
    assert list(section.figures) == [f"cross, {label}: probability against what happened" for label in small.LABELS]
    first, second = (draw("light") for draw in section.figures.values())
    titles = [axis.get_title(loc="left") for axis in first.axes]
    assert titles == ["before: 18 posts a group", "after: 18 posts a group"]
    xs = [figure.axes[0].collections[0].get_segments()[0][0, 0] for figure in (first, second)]
    assert xs[0] != xs[1]  # each draws its own label


def test_a_label_without_harmful_posts_is_left_out(small, tmp_path):
    y = small.Y.copy()
    y[:, 1] = False
    runs = [small.write(tmp_path, "cross", small.good(), y=y)]
    assert list(calibration(small.compared(runs, pairs=[], view="all"), runs).tables) == ["abuse"]
    y[:] = False
    runs = [small.write(tmp_path, "cross", small.good(), y=y)]
    assert calibration(small.compared(runs, pairs=[], view="all"), runs) is None


def test_worth_counts_what_is_known_and_scored():
    known, nan = np.array([True, True, True, False]), np.nan
    found = worth(np.array([1, 0, 1, 1]), known, np.array([0.0, 0.0, nan, 9.0]), np.array([0.9, 0.1, nan, 1]))
    assert (found["n"], found["positives"]) == (2, 1)
    assert found["before"] == {
        "calibration_error": 0.0,
        "brier": 0.25,
        "log_loss": pytest.approx(np.log(2)),
        "bins": [2],
    }
    assert found["after"]["brier"] == pytest.approx(0.01)
    nothing = worth(np.zeros(1), np.zeros(1, bool), np.zeros(1), np.zeros(1))
    assert nothing["after"] == {"calibration_error": None, "brier": None, "log_loss": None, "bins": []}
