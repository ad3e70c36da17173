"""ConvAbuse with soft labels: shares are those of the published votes, the truth is that of the study without."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench import corpora, models
from workbench.models.fit.targets import target_matrix
from workbench.schema import ROOT, expand
from workbench.studies.config import StudyConfig

PARTS = ("train", "valid")
DEGREES = {"yes": ("-1", "-2", "-3"), "no": ("1", "0")}


@pytest.mark.skipif(
    "WORKBENCH_DATA" not in os.environ, reason="WORKBENCH_DATA does not name the folder with convabuse/"
)
def test_shares_are_those_of_the_votes_and_the_truth_is_as_without_them(tmp_path):
    soft, hard = (StudyConfig.load(ROOT / "experiments" / f"{name}.yaml") for name in ("convabuse-soft", "convabuse"))
    learnt, plain = (corpora.load(expand(s.corpus, "test"), s.taxonomy, cache=tmp_path).table for s in (soft, hard))
    assert learnt["labels"].equals(plain["labels"])
    folder = Path(os.environ["WORKBENCH_DATA"]) / "convabuse"
    rows = pd.concat([pd.read_csv(folder / f"ConvAbuseEMNLP{part}.csv", dtype=str) for part in PARTS])
    votes = {}
    for side, degrees in DEGREES.items():
        columns = [f"Annotator{a}_is_abuse.{degree}" for a in range(1, 9) for degree in degrees]
        cells = rows[columns].fillna("0").map(lambda cell: sum(float(vote) for vote in cell.split(",")))
        votes[side] = cells.sum(axis=1).to_numpy()
    y, known = target_matrix(learnt, soft.taxonomy)
    np.testing.assert_allclose(y[:, 0], votes["yes"] / (votes["yes"] + votes["no"]), rtol=1e-6)
    assert known[:, 0].all()  # ties are learnt from, too
    assert not target_matrix(plain, hard.taxonomy)[1][:, 0].all()


def test_losses_are_compared_on_the_same_shares():
    soft, losses = (StudyConfig.load(ROOT / "experiments" / f"convabuse-{name}.yaml") for name in ("soft", "losses"))
    assert (losses.corpus, losses.split) == (soft.corpus, soft.split)
    parsed = {entry.alias: models.parse(entry.name, entry.options) for entry in losses.models}
    plain = parsed.pop("bce")
    assert {name: options.loss.name for name, options in parsed.items()} == {
        "kl": "kl",
        "squared": "squared",
        "majority": "bce",
    }
    assert all(
        options.model_copy(update={"loss": plain.loss, "labels": "soft"}) == plain for options in parsed.values()
    )
