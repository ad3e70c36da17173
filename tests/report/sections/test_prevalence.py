"""What reviewers would see: Bayes' rule on the winner's counts, which are weighted where weights differ."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.comparison.compare import CompareOptions
from workbench.errors import WorkbenchError
from workbench.metrics.prevalence import precision_at
from workbench.report.sections.prevalence import prevalence


def rates(run, k, weight):
    """Recall, FPR and prevalence of all test posts under a weighting, by hand."""
    scores = run.sets["test"]
    y, flagged = scores.y[:, k], scores.prob[0, :, k] >= run.thresholds[0, k]
    return (weight @ (flagged & y) / (weight @ y), weight @ (flagged & ~y) / (weight @ ~y), weight @ y / weight.sum())


def test_the_table_is_bayes_rule_on_the_winners_counts(small, tmp_path):
    runs = [small.write(tmp_path, "words", small.noise()), small.write(tmp_path, "cross", small.good())]
    section = prevalence(small.compared(runs, pairs=[], prevalences=[0.002, 0.02]), runs)
    assert "cross" in section.prose
    assert "weights" not in section.prose.split("Intervals")[0]
    table = section.tables["abuse"]
    recall, fpr, own = rates(runs[1], 0, np.ones(180))
    assert list(table.index) == ["0.2 %", "2 %", f"the test's own, {100 * own:.2g} %"]
    row = table.loc["2 %"]
    assert row["of 100 flagged posts are harmful"].startswith(f"{100 * precision_at(0.02, recall, fpr):.1f} [")
    assert row["flagged a day"].startswith(f"{1e6 * (0.02 * recall + 0.98 * fpr):,.0f} [")
    assert row["harmful a day"] == "20,000"
    assert row["of 100 harmful posts are caught"].startswith(f"{100 * recall:.1f} [")
    needs = section.tables["what a precision of 90 % takes"]
    assert list(needs.index) == [(label, share) for label in small.LABELS for share in ("0.2 %", "2 %")]
    assert needs.loc[("abuse", "2 %"), "may be flagged at most"] == f"{100 * recall * 0.02 / 0.98 / 9:.2g} %"


def test_weights_make_it_the_sites(small, tmp_path):
    weight = np.where(small.Y[:, 0], 0.2, 1.5)
    runs = [small.write(tmp_path, "cross", small.good(), weight=weight)]
    section = prevalence(small.compared(runs, pairs=[]), runs)
    assert "posts count by their weights" in section.prose
    test = runs[0].sets["test"].weight
    recall, fpr, site = rates(runs[0], 0, test)
    row = section.tables["abuse"].loc[f"the site's own, {100 * site:.2g} %"]
    assert site < 0.1 < 0.25 < rates(runs[0], 0, np.ones(180))[2]
    assert row["of 100 flagged posts are harmful"].startswith(f"{100 * precision_at(site, recall, fpr):.1f} [")
    # the interval of precision at the site's own mix is not far from that of its share of flagged weight
    flagged = runs[0].sets["test"].prob[0, :, 0] >= 0.5
    direct = test @ (flagged & runs[0].sets["test"].y[:, 0]) / (test @ flagged)
    assert direct == pytest.approx(precision_at(site, recall, fpr))


def test_a_sample_drawn_by_more_than_the_label_and_the_few_that_decide_are_said(small, tmp_path):
    runs = [small.write(tmp_path, "cross", small.good(), weight=np.where(small.Y[:, 0], 0.2, 1.5))]
    prose = prevalence(small.compared(runs, pairs=[]), runs).prose
    # the first label alone decided, the second has posts of both weights on both sides
    assert "More than the label decided" in prose
    assert "a few harmful posts decide" not in prose
    heavy = np.full(len(small.Y), 0.01)
    heavy[np.flatnonzero(small.Y[:, 0])[::4]] = 1.0
    runs = [small.write(tmp_path, "heavy", small.good(), weight=np.where(np.arange(len(heavy)) % 7, heavy, 0.01))]
    prose = prevalence(small.compared(runs, pairs=[]), runs).prose
    assert f"a few harmful posts decide for {small.LABELS[0]}" in prose


def test_a_post_that_is_not_seen_is_not_flagged(small, tmp_path):
    logit = small.good()
    logit[0, small.Y[:, 0], 0] = np.nan
    runs = [small.write(tmp_path, "cross", logit)]
    table = prevalence(small.compared(runs, pairs=[]), runs).tables["abuse"]
    assert table["of 100 harmful posts are caught"].str.startswith("0.0 [0.0, ").all()


def test_no_threshold_and_no_winner_leave_it_out(small, tmp_path):
    runs = [small.write(tmp_path, "cross", small.good(), thresholds=None)]
    assert prevalence(small.compared(runs, pairs=[]), runs) is None
    assert prevalence(small.compared(runs, pairs=[]), []) is None


def test_the_figure_has_a_line_per_label(small, tmp_path):
    runs = [small.write(tmp_path, "cross", small.good())]
    (draw,) = prevalence(small.compared(runs, pairs=[]), runs).figures.values()
    assert [line.get_label() for line in draw("dark").axes[0].get_lines()[:2]] == list(small.LABELS)


def test_prevalences_are_shares():
    with pytest.raises(WorkbenchError, match="prevalences"):
        CompareOptions.parse({"prevalences": [0.01, 1.0]}, "compare")
