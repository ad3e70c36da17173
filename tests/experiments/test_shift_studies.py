"""The studies of shift: their samples differ by what they say, and drawing by weights makes one mix of the other."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from workbench.corpora.synthetic import SourceOptions
from workbench.models.fit.targets import resampled
from workbench.schema import ROOT, inputs
from workbench.studies.config import StudyConfig
from workbench.studies.steps import division

DRIFT = SourceOptions.model_fields["drift"].default


def sets(name: str, posts: int = 1200) -> dict[str, pa.Table]:
    """The sets of a study, with fewer posts."""
    study = StudyConfig.load(ROOT / "experiments" / f"{name}.yaml")
    corpus, *tests = (one | {"posts": posts} for one in (study.corpus, *study.tests.values()))
    return division.divide(corpus, study.split, dict(zip(study.tests, tests, strict=True)), study.taxonomy)[0]


def pairs(table: pa.Table) -> float:
    """The share of posts with a text and a picture or clip."""
    posts = inputs(table)
    media = pc.or_(pc.is_valid(posts["image"]), pc.is_valid(posts["video"]))
    return pc.mean(pc.and_(pc.is_valid(posts["text"]), media)).as_py()


def test_posts_drawn_by_their_weights_have_the_sites_mix_of_media():
    found = sets("shift-media")
    assert pairs(found["train"]) == pytest.approx(0.5, abs=0.05)
    assert pairs(found["test"]) == pytest.approx(0.5, abs=0.05)
    for table in (found["site"], resampled(found["train"], 0)):
        assert pairs(table) == pytest.approx(0.11, abs=0.03)


def test_what_is_tested_comes_after_the_drift_and_what_is_trained_on_before():
    found = sets("shift-time")
    turn = dt.datetime.combine(DRIFT, dt.time(), dt.UTC)
    after = {
        name: pc.mean(pc.greater_equal(table["created_at"], pa.scalar(turn))).as_py() for name, table in found.items()
    }
    assert after["train"] == 0
    assert after["test"] > 0.9
