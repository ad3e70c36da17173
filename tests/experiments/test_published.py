"""The four published HateCheck systems, through the model `scores`, have their published accuracies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workbench import corpora, models
from workbench.decisions import fitting
from workbench.decisions.thresholds import objectives
from workbench.schema import Taxonomy, expand, inputs, label_matrix
from workbench.studies.config import StudyConfig

STUDY = Path(__file__).parents[2] / "experiments" / "hatecheck.yaml"
# Röttger et al. 2021, table 1: accuracy on hateful, on non-hateful and on all cases, in percent.
PUBLISHED = {
    "bert-davidson": (75.5, 36.0, 63.2),
    "bert-founta": (65.5, 48.5, 60.2),
    "perspective": (89.5, 48.2, 76.6),
    "siftninja": (9.0, 86.6, 33.2),
}


@pytest.mark.skipif(
    "WORKBENCH_DATA" not in os.environ, reason="WORKBENCH_DATA does not name the folder with hatecheck/"
)
def test_published_systems_have_their_published_accuracies(tmp_path):
    study, taxonomy = StudyConfig.load(STUDY), Taxonomy.load()
    suite = corpora.load(expand(study.tests["hatecheck"], "test"), taxonomy, cache=tmp_path).table
    y = label_matrix(suite, taxonomy)[0][:, 0] > 0.5
    elsewhere = suite.slice(0, 0)  # they were calibrated by whoever published them: validation knows none of them
    found = {}
    for entry in study.models:
        if entry.name == "scores":
            model = models.create(entry.name, expand(entry.options, "test"), taxonomy=taxonomy, store=None)
            model.fit(elsewhere, elsewhere, seed=0)
            moderator, rules = fitting.fit(model, elsewhere, objectives({}, taxonomy.names), entry.alias)
            right = (moderator.probabilities(inputs(suite))[:, 0] >= rules["abuse"].review_at) == y
            found[entry.alias] = tuple(round(100 * part.mean(), 1) for part in (right[y], right[~y], right))
    assert found == PUBLISHED
