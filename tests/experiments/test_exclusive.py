"""Labels that exclude each other: the kinds of EDOS are one set, of which every post has one or none."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from workbench import corpora, models
from workbench.schema import ROOT, expand, label_matrix
from workbench.studies.config import StudyConfig

STUDY = ROOT / "experiments" / "exclusive.yaml"


def test_both_answers_are_compared_on_the_same_words():
    study = StudyConfig.load(STUDY)
    entries = {entry.alias: (entry.name, entry.options) for entry in study.models}
    for one, other in (("set", "each"), ("set-linear", "each-linear")):
        asked, plain = (models.parse(*entries[alias]) for alias in (one, other))
        assert (asked.loss.name, plain.loss.name) == ("softmax", "bce")
        assert asked.model_copy(update={"loss": plain.loss}) == plain
        assert (one, other) in [tuple(pair) for pair in study.compare.pairs]
    assert study.taxonomy.exclusive == (study.taxonomy.names,)


@pytest.mark.skipif("WORKBENCH_DATA" not in os.environ, reason="WORKBENCH_DATA does not name the folder with edos/")
def test_every_post_has_one_kind_or_none(tmp_path):
    study = StudyConfig.load(STUDY)
    y, known = label_matrix(
        corpora.load(expand(study.corpus, "test"), study.taxonomy, cache=tmp_path).table, study.taxonomy
    )
    assert known.all()
    assert y.sum(axis=1).max() == 1
    kinds = pd.read_csv(Path(os.environ["WORKBENCH_DATA"]) / "edos" / "edos_train_dev.csv")["label_category"]
    assert y.sum(axis=0).tolist() == [
        count for kind, count in kinds.value_counts().sort_index().items() if kind != "none"
    ]
