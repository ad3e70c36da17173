"""The sections of labels: counts and curves are those of the predictions, the best curve is that of the world."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison
from workbench.comparison.run_files import Metrics

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
    nobody = found | {"chosen": None}
    nobody["models"] = [one | {"value": None} if one["label"] == "macro" else one for one in found["models"]]
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


def removing(run: Run, **seeds: dict) -> Run:
    """The run, with these records of the removal of abuse."""
    asked = {"objective": {"precision": 0.9, "sure": 0.9}, "posts": 300, "harmful": 20}
    records = {seed[1:]: one | {"chosen": asked | one["chosen"]} for seed, one in seeds.items()}
    return replace(run, metrics=run.metrics.model_copy(update={"removal": Metrics(removal={"abuse": records}).removal}))


def test_what_is_removed_without_a_person_is_told_with_what_it_did_on_test(comparison, runs):
    some = {"precision": [0.93, 0.8, 0.98], "recall": [0.5, 0.4, 0.6], "few": False}
    site = {"precision": [0.7, 0.3, 0.9], "recall": [0.2, 0.1, 0.5], "few": True}
    done = {"at": 0.871, "flagged": 1234, "caught": 1200, "sample": some, "site": site}
    none = {"at": None, "why": "too few", "proven": 0.8, "seen": 0.92, "needed": 5000}
    cross = removing(runs[3], s0={"chosen": {"at": 0.871}, "test": done}, s1={"chosen": none})
    prior = removing(runs[0], s0={"chosen": none | {"proven": None}})
    section = by_key(comparison, [prior, *runs[1:3], cross])["label-abuse"]
    first, second = sorted(section.points["Removed without a person"])
    asked = "Removal asks for precision of at least 0.9, sure to 90 %;"
    assert first.startswith(f"cross: {asked} 1 of 2 trainings has a threshold for it, and the others remove nothing.")
    assert "This is proven of posts drawn as those of validation were, and of no others." in first
    assert "A precision of 0.8 is proven, sure to 90 %; the precision seen at best is 0.92" in first
    assert second.startswith(f"prior: {asked} no threshold serves it, so nothing is removed without a person.")
    assert "No lower precision is proven" in second
    (table,) = [table for name, table in section.tables.items() if name.startswith("removed without a person")]
    assert table.loc["cross, seed 0"].to_dict() == {
        "removes from": "0.871",
        "removed of test": "1,234",
        "precision, as sampled": "0.93 [0.80, 0.98]",
        "recall, as sampled": "0.50 [0.40, 0.60]",
        "precision, at the site's mix": "0.70 [0.30, 0.90] few",
        "recall, at the site's mix": "0.20 [0.10, 0.50] few",
    }
    assert len(table) == 1


def test_what_a_label_that_acts_on_a_signal_would_remove_goes_to_a_person(comparison, runs):
    removed = [{"chosen": {"at": 0.871}, "waits": waits} for waits in (True, False)]
    said = [by_key(comparison, [removing(runs[3], s0=one)])["label-abuse"].points for one in removed]
    goes = "what reaches the threshold goes to a person first"
    assert [goes in " ".join(points["Removed without a person"]) for points in said] == [True, False]


def test_of_runs_that_recorded_no_removal_nothing_is_said(comparison, runs):
    section = by_key(comparison, runs)["label-abuse"]
    assert not section.points
    assert not [name for name in section.tables if name.startswith("removed")]
