"""The sections of labels: counts and curves are those of the predictions, the best curve is that of the world."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison

labels = importlib.import_module("workbench.report.sections.labels")  # the module; its function has the same name


def by_key(comparison: dict, runs: list[Run]) -> dict:
    return {section.key: section for section in labels.labels(Comparison.model_validate(comparison), runs)}


def row(comparison: dict, model: str, **wanted):
    (found,) = Comparison.model_validate(comparison).rows(model=model, **wanted)
    return found


def test_a_label_section_counts_and_draws_what_it_says(comparison, runs, monkeypatch):
    drawn = {}
    monkeypatch.setattr(labels.plots, "pr_curves", lambda curves, **more: drawn.update(curves=curves, **more))
    monkeypatch.setattr(labels.plots, "confusion_matrices", lambda counts, **more: drawn.update(counts=counts))
    section = by_key(comparison, runs)["label-violence"]
    at = (runs[0].sets["test"].paired, 1)
    scores = runs[3].sets["test"]
    y = scores.y[at]
    assert section.prose.startswith(f"{y.sum()} positives among {len(y)} posts ({100 * y.mean():.1f} %).")
    assert "first seed" in section.prose
    for draw in section.figures.values():
        draw("light")
    # the best, the best unimodal, the family: pixels or words is not among them
    shown = {"cross", comparison["best_unimodal"], "prior"}
    assert set(drawn["curves"]) == set(drawn["counts"]) == shown
    precision, recall = drawn["curves"]["cross"]
    area = -np.sum(np.diff(recall) * precision[:-1])
    assert area == pytest.approx(average_precision_score(y, scores.logit[0][at]))
    assert drawn["counts"]["cross"] == row(comparison, "cross", metric="recall", label="violence").confusion
    assert (drawn["label"], drawn["prevalence"]) == ("violence", pytest.approx(y.mean()))
    # the best possible of text and picture together knows the truth here: it never errs
    assert drawn["ceiling"][0].min() == pytest.approx(y.mean())
    assert (drawn["ceiling"][0][1:] == 1).all()


def test_the_best_curve_is_of_all_that_the_shown_models_see(small, tmp_path, monkeypatch):
    """One sees the text and wins, one the picture: what is drawn beside them is the bound of both together."""
    drawn = {}
    monkeypatch.setattr(labels.plots, "pr_curves", lambda curves, **more: drawn.update(curves=curves, **more))
    runs = [
        small.write(tmp_path, "words", small.good()),
        small.write(tmp_path, "pixels", small.noise(), modalities=("image",)),
    ]
    found = small.settled(runs, pairs=[("words", "pixels")])
    by_key(found, runs)["label-abuse"].figures["precision against recall"]("light")
    assert set(drawn["curves"]) == {"words", "pixels"}
    assert (drawn["ceiling"][0][1:] == 1).all()  # of both halves it never errs, of either alone it does
    nobody = found | {"models": [one | {"value": None} if one["label"] == "macro" else one for one in found["models"]]}
    assert Comparison.model_validate(nobody).winner is None
    assert "precision against recall" in by_key(nobody, runs)["label-abuse"].figures


def test_curves_stay_apart_where_probabilities_tie(small, tmp_path, monkeypatch):
    # float32 probabilities are exactly 1 from a logit of 17 on
    runs = [small.write(tmp_path, "sure", 20 + small.good())]
    drawn = {}
    monkeypatch.setattr(labels.plots, "pr_curves", lambda curves, **more: drawn.update(curves))
    by_key(small.settled(runs, pairs=[]), runs)["label-abuse"].figures["precision against recall"]("light")
    precision, recall = drawn["sure"]
    scores = runs[0].sets["test"]
    expected = average_precision_score(
        scores.y[scores.paired, 0], (20 + small.good())[0, small.SPLIT == "test"][scores.paired, 0]
    )
    assert -np.sum(np.diff(recall) * precision[:-1]) == pytest.approx(expected, abs=1e-6)


def test_posts_a_model_cannot_see_are_ranked_by_its_prevalence(small, tmp_path, monkeypatch):
    logit = small.good()
    logit[:, ~small.PAIRED] = np.nan
    runs = [small.write(tmp_path, "pixels", logit, modalities=("image",))]
    drawn = {}
    monkeypatch.setattr(labels.plots, "pr_curves", lambda curves, **more: drawn.update(curves))
    both = small.settled(runs, view="all", pairs=[])
    by_key(both, runs)["label-abuse"].figures["precision against recall"]("light")
    precision, recall = drawn["pixels"]
    assert -np.sum(np.diff(recall) * precision[:-1]) == pytest.approx(row(both, "pixels", label="abuse").value)


def test_without_a_truth_of_both_halves_no_best_curve_is_drawn(small, tmp_path, monkeypatch):
    runs = [small.write(tmp_path, "cross", small.good(), modalities=small.BOTH, exact=False)]
    drawn = {}
    monkeypatch.setattr(labels.plots, "pr_curves", lambda curves, **more: drawn.update(more))
    by_key(small.settled(runs, pairs=[]), runs)["label-abuse"].figures["precision against recall"]("light")
    assert drawn["ceiling"] is None
