"""The sections on slices, bias and disagreement: what stands first, what is told in words, what is left out."""

from __future__ import annotations

import importlib

from workbench.comparison.rows import Comparison

sections = importlib.import_module("workbench.report.sections")  # the module; its function has the same name


def by_key(comparison: dict, runs: list) -> dict:
    return {section.key: section for section in sections.sections(Comparison.model_validate(comparison), runs)}


def rate(value: float, rest: float, p: float | None, sign: int) -> dict:
    delta = value - rest
    near, far = delta - sign * 0.02, delta + sign * 0.02
    bounds = {"lo": value - 0.02, "hi": value + 0.02, "delta_lo": min(near, far), "delta_hi": max(near, far)}
    return {"value": value, "rest": rest, "delta": delta, "p": p, "p_holm": p, **bounds}


def sliced(name: str, recall: dict, alarms: dict, **changed) -> dict:
    some = {"value": 0.5, "lo": 0.4, "hi": 0.6}
    row = {"model": "cross", "label": "abuse", "column": "language", "slice": name, "n": 1000, "positives": 100}
    row |= {"negatives": 900, "prevalence": 0.1, "few": False, "precision": some, "average_precision": some}
    return row | {"roc_auc": some, "recall": recall, "false_positive_rate": alarms, "gap": 0.0} | changed


def test_the_worst_slice_stands_first_and_is_told_in_words(comparison, runs):
    rows = [
        sliced("es", rate(0.3, 0.8, 0.0001, -1), rate(0.02, 0.02, 0.9, 1)),
        sliced("de", rate(0.79, 0.8, 0.7, -1), rate(0.30, 0.02, 0.0002, 1)),
        sliced("eo", rate(0.0, 0.8, None, -1), rate(0.02, 0.02, None, 1), few=True),
        sliced("xx", rate(0.0, 0.8, 0.0001, -1), rate(0.02, 0.02, 0.9, 1), model="words"),
    ]
    section = by_key({**comparison, "slices": rows}, runs)["slices"]
    assert "4 comparisons" in section.prose
    assert "2 are shown to be worse; most of all language: es: recall 0.300 against 0.800 (abuse)" in section.prose
    assert "In 1 cases a slice has few positives" in section.prose
    (table,) = section.tables.values()
    assert table.index.tolist()[:2] == ["language: es", "language: de"]
    assert table.iloc[0]["difference"] == "-0.500 [-0.520, -0.480]"
    assert table.iloc[1]["rate"] == "false positive rate"
    (full,) = section.folded.values()
    assert {name[2] for name in full.index} == {"cross", "words"}
    fair = [sliced("es", rate(0.78, 0.8, 0.7, -1), rate(0.02, 0.02, 0.9, 1))]
    assert "None is shown to be worse" in by_key({**comparison, "slices": fair}, runs)["slices"].prose
    small = [sliced("eo", rate(0.0, 0.8, None, -1), rate(0.02, 0.02, None, 1), few=True)]
    prose = by_key({**comparison, "slices": small}, runs)["slices"].prose
    assert "No slice holds enough of both kinds of posts, so nothing can be said." in prose
    assert "None is shown" not in prose


def test_bias_and_disagreement_are_shown_where_there_are_any(comparison, runs):
    assert not {"bias", "disagreement"} & by_key(comparison, runs).keys()
    auc = {"value": 0.6, "lo": 0.5, "hi": 0.7}
    one = {"test": "test", "model": "cross", "label": "abuse", "identity": "other_religion", "n": 90, "positives": 40}
    one |= {"negatives": 50, "few": False, "subgroup_auc": auc, "bpsn_auc": auc, "bnsp_auc": auc}
    summary = {"test": "test", "model": "cross", "label": "abuse", "identities": 1, "overall": 0.9, "summary": auc}
    summary |= dict.fromkeys(("subgroup_auc", "bpsn_auc", "bnsp_auc"), 0.6)
    noise = {"model": "cross", "label": "abuse", "n": 200, "disputed_n": 30, "alpha": 0.61}
    scores = ("log_loss", "soft_log_loss", "average_precision", "soft_average_precision", "unanimous", "disputed")
    noise |= {name: {**auc, "few": False} for name in scores}
    told = {"bias": {"identities": [one], "summaries": [summary]}, "disagreement": [noise]}
    page = by_key({**comparison, **told}, runs)
    assert "the lowest BPSN AUC is 0.600 [0.500, 0.700], for other religion (abuse, test set)" in page["bias"].prose
    assert page["bias"].folded["test: all shown models"].loc[("cross", "abuse", "other religion"), "positives"] == "40"
    assert "abuse: 30 of 200 posts are disputed, Krippendorff's alpha 0.610" in page["disagreement"].prose
