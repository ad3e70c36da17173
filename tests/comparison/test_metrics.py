"""Metrics in a comparison: a new one is one entry, and losses count the right way round."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, f1_score

from workbench.comparison.resampled import Cell, Seen, permutation
from workbench.metrics import intervals
from workbench.metrics.table import DECISIONS, METRICS, Metric
from workbench.report import cards, page, terminal
from workbench.report.sections import sections


def by(comparison, **wanted):
    """Return the row of the test set with paired posts, of all labels unless another is wanted."""
    wanted = {"test": "test", "view": "paired", "label": "macro"} | wanted
    rows = [row for row in comparison.models if all(getattr(row, name) == value for name, value in wanted.items())]
    (row,) = rows
    return row


def test_a_metric_is_one_entry(monkeypatch, small, runs, tmp_path):
    youden = Metric(
        DECISIONS,
        lambda counts: counts.recall + counts.true_negative_rate - 1,
        "Youden's J (recall + passed - 1)",
        "Youden's J",
        headline=True,
    )
    monkeypatch.setitem(METRICS, "youden", youden)
    asked = small.compared(runs, metric="youden")
    value = by(asked, model="cross", metric="youden").value
    parts = [by(asked, model="cross", metric=name).value for name in ("recall", "true_negative_rate")]
    assert value == pytest.approx(sum(parts) - 1)  # a mean over labels and seeds of sums is the sum of means
    assert asked.differences[0].metric == "youden"
    assert asked.differences[0].p_trained < 0.01
    assert asked.best_unimodal in ("words", "pixels")
    # it is the compared one ...
    text = page.write(tmp_path, asked, runs, None).read_text(encoding="utf-8")
    assert "Youden&#39;s J (recall + passed - 1) (mean over labels) decides" in text
    assert terminal.tables(asked)[3]["Youden's J"].startswith(f"{value:.3f} [")
    assert 'title="test/paired/macro/cross/youden"' in text
    # ... and, as its entry says so, stands beside another that is
    other = small.compared(runs)
    assert terminal.tables(other)[3]["Youden's J"] == f"{value:.3f}"
    text = page.write(tmp_path, other, runs, None).read_text(encoding="utf-8")
    assert re.search(rf'<td title="test/paired/macro/cross/youden">{value:.3f}</td>', text)
    card = (cards.write(tmp_path, other, runs) / "cross.md").read_text(encoding="utf-8")
    assert "type: youden" in card
    assert "Youden's J (recall + passed - 1) (mean over labels)" in " ".join(card.split())


def test_a_metric_that_is_compared_by_stands_on_the_card(small, runs, tmp_path):
    place = cards.write(tmp_path, small.compared(runs, metric="brier"), runs)
    card = (place / "cross.md").read_text(encoding="utf-8")
    assert "type: brier" in card
    assert "| Brier score |" in card


def test_the_brier_score_is_that_of_scikit_learn_and_less_of_it_is_better(small, runs):
    found = small.compared(runs, metric="brier")
    scores = runs[3].sets["test"]
    y, prob = scores.y[scores.paired], scores.prob[:, scores.paired]
    each = [[brier_score_loss(y[:, k], prob[s, :, k]) for k in (0, 1)] for s in (0, 1)]
    row = by(found, model="cross", metric="brier")
    assert row.value == pytest.approx(np.mean(each))
    assert row.lo < row.value < row.hi
    first, second = found.differences[:2]
    assert (first.pair, first.b) == (("cross", "best-unimodal"), found.best_unimodal)
    assert first.delta < 0  # it errs less
    assert first.verdict == "better"
    assert first.p_holm < 0.02
    # the prior errs less than a model of noise, which is no one-modality model and so not the best of these
    assert second.pair == ("cross", "prior")
    values = {name: _validation_brier(run) for name, run in zip(("words", "pixels"), runs[1:3], strict=True)}
    assert found.best_unimodal == min(values, key=values.get)


def test_numbers_of_a_metric_have_its_digits_wherever_they_stand(small, runs):
    page = {section.key: section for section in sections(small.compared(runs, metric="brier"), runs)}
    spread = page["values"].tables[""].loc["cross", "seeds' sd"]
    table = page["differences"].tables[""]
    assert all(re.fullmatch(r"0\.\d{4}", text) for text in [spread, *table["at most"], *table["found from"]])
    assert "less is better: a difference below 0 is in favour of the first model" in page["differences"].prose


def _validation_brier(run) -> float:
    scores = run.sets["validation"]
    losses = (scores.prob[:, scores.paired] - scores.y[scores.paired]) ** 2
    return float(losses.mean())


def test_losses_have_a_ceiling_that_is_the_truths_own_loss_and_a_better_model_is_a_leak(small, tmp_path):
    truth = np.clip(small.EXACT, 1e-9, 1 - 1e-9)
    exact = np.log(truth) - np.log1p(-truth)
    runs = [
        small.write(tmp_path, "optimal", exact[None], modalities=small.BOTH),
        small.write(tmp_path, "leaky", np.where(small.Y, 9.0, -9.0)[None], modalities=small.BOTH),
    ]
    for metric, loss in (
        ("brier", lambda p, y: (p - y) ** 2),
        ("log_loss", lambda p, y: -np.log(np.where(y, p, 1 - p))),
    ):
        found = small.compared(runs, metric=metric, pairs=[("leaky", "optimal")])
        rows = (small.SPLIT == "test") & small.PAIRED
        best = by(found, model="leaky", metric=metric)
        assert best.ceiling == pytest.approx(loss(small.EXACT[rows], small.Y[rows]).mean())
        assert by(found, model="optimal", metric=metric).value == pytest.approx(best.ceiling, rel=1e-6)
        tripped = {row.model: row.tripped for row in found.leak_test if row.label == "macro"}
        assert tripped == {"optimal": False, "leaky": True}
        assert {row.metric for row in found.leak_test} == {metric}
        fused = loss(small.EXACTS["late-fusion"][rows], small.Y[rows]).mean()
        assert found.late_fusion_limit[-1].value == pytest.approx(fused)
        assert fused > best.ceiling  # what is told of both halves together is worth more
        assert found.differences[0].verdict == "better"
        assert by(found, model="leaky", metric="accuracy").ceiling is None


def test_the_terminal_shows_labels_of_a_metric_that_no_label_has_alone_and_says_the_verdicts(small, runs, capsys):
    for metric in ("f1_weighted", "exact_match"):
        found = small.compared(runs, metric=metric)
        lines = terminal.tables(found, by_label=True)
        assert {tuple(line) for line in lines} == {tuple(lines[0])}
        assert {"label", "recall", "coverage"} < lines[0].keys()
        assert METRICS[metric].words not in lines[0]
        terminal.show(found, lines)
    said = capsys.readouterr().out
    assert f"cross against {found.best_unimodal} (best unimodal): +0." in said
    terminal.show(asked := small.compared(runs, metric="log_loss"), terminal.tables(asked))
    ahead = abs(asked.differences[0].delta)
    assert f"cross beats {asked.best_unimodal} (best unimodal) by {ahead:.4f} [" in capsys.readouterr().out


def test_a_rate_that_should_be_low_has_the_right_verdict(small, runs):
    found = small.compared(runs, metric="false_positive_rate", pairs=[("cross", "words"), ("words", "cross")])
    one, other = found.differences[:2]
    assert one.delta < 0 < other.delta
    assert (one.verdict, other.verdict) == ("better", "worse")


def test_f1_over_labels_counts_each_by_its_positives(small, runs):
    found = small.compared(runs, metric="f1_weighted")
    scores = runs[1].sets["test"]
    y, flagged = scores.y[scores.paired], scores.prob[0, scores.paired] >= 0.5
    row = by(found, model="words", metric="f1_weighted")
    assert row.value == pytest.approx(f1_score(y, flagged, average="weighted"))
    assert {row.label for row in found.models if row.metric == "f1_weighted"} == {"macro"}


def test_the_interval_of_a_log_loss_stays_above_0():
    draws = np.r_[0.05, 0.05 + 0.04 * np.random.default_rng(0).normal(size=500)]
    low, high = intervals.value_interval(draws, top=np.inf)
    assert 0 < low < 0.05 < high
    # on the scale of logarithms: as far up as down, in factors
    assert high / 0.05 == pytest.approx(0.05 / low)


def test_a_permutation_of_a_loss_swaps_whole_groups(small, runs):
    cell = Cell.of(runs, "test", "paired", 0)
    one, other = Seen(runs[3], cell), Seen(runs[1], cell)
    observed, p = permutation(one, other, [0], "brier", 10_000)
    scores = [run.sets["test"] for run in (runs[3], runs[1])]
    rows, y = scores[0].paired, scores[0].y[scores[0].paired, 0]
    losses = [((side.prob[:, rows, 0] - y) ** 2).mean() for side in scores]
    assert observed == pytest.approx(losses[0] - losses[1])
    assert p < 0.01
    assert permutation(one, one, [0], "brier", 10_000) == (0, 1)
