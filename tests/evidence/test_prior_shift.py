"""How frequent harm is among posts without labels, from a real run's decisions about them."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from made_runs import World, sigmoid
from oracles import write_jsonl
from typer.testing import CliRunner

from workbench import corpora, models
from workbench.cli import app
from workbench.comparison import facts
from workbench.decisions import batch
from workbench.decisions.moderator import Moderator
from workbench.decisions.thresholds import objectives
from workbench.errors import WorkbenchError
from workbench.evidence import prior_shift
from workbench.features.store import FeatureStore
from workbench.schema import Taxonomy, label_matrix
from workbench.studies.steps import training

CORPUS = {"source": "synthetic", "modalities": ["text"], "oversample": {"harm": 0.6}}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run of text-tfidf on a sample with much harm, and its decisions about a site with more abuse than its own."""
    folder, taxonomy = tmp_path_factory.mktemp("shift"), Taxonomy.load()
    store = FeatureStore(folder / "features", "cpu")
    material = training.prepare(CORPUS | {"posts": 4000, "seed": 1}, {"validation": 0.2, "test": 0.4}, {}, taxonomy)
    wanted = objectives({"default": {"remove": {"precision": 0.8}}}, taxonomy.names)
    ready = training.moderate(training.fit("text-tfidf", {}, material, [0], store), material, wanted)
    training.save(folder / "run", ready, training.score(ready, material), material, store)
    facts.write(folder / facts.NAME, material.sets, taxonomy)
    (folder / "run/run.json").write_text(json.dumps({"key": "k", "alias": "text-tfidf", "state": "done"}))
    others = corpora.load({**CORPUS, "posts": 9000, "seed": 2, "oversample": {}}, taxonomy).table
    abusive = label_matrix(others, taxonomy)[0][:, 0] > 0.5
    others = others.filter(abusive | (np.arange(len(others)) % 3 == 0))  # only the share changes
    path = write_jsonl(others, folder / "posts")
    batch.score(folder / "run/bundle/0", path, folder / "decisions.csv", device="cpu", columns={})
    y, known = label_matrix(others, taxonomy)
    return folder, float(y[known[:, 0], 0].mean())


def test_the_command_tells_the_share_and_how_to_serve_and_train_for_it(place):
    folder, truth = place
    said = CliRunner().invoke(app, ["shift", str(folder / "run/bundle/0"), str(folder / "decisions.csv")])
    assert said.exit_code == 0, said.output
    found = prior_shift.estimates(folder / "run/bundle/0", folder / "decisions.csv")
    abuse = next(one for one in found if one.label == "abuse")
    assert truth > 1.5 * abuse.tested
    for estimate in (abuse.by_flags, abuse.by_probabilities):
        assert estimate.lo <= truth <= estimate.hi
    assert abuse.p > 0.001
    (train,) = (line for line in said.output.splitlines() if line.startswith("to train for it"))
    weights = yaml.safe_load(train.partition("model: ")[2])["class_weight"]
    assert weights["abuse"] == pytest.approx(abuse.class_weight, rel=0.01)
    models.check("clip-cross", {"class_weight": weights})
    models.check("text-tfidf", {"class_weight": weights})
    assert f"abuse={abuse.by_flags.value:.3g}" in said.output.splitlines()[-1]


def test_a_moved_bundle_serves_there_and_its_decisions_are_another_models(place, tmp_path):
    folder, truth = place
    given = ["--prevalence", f"abuse={truth}", "-o", str(tmp_path / "moved")]
    said = CliRunner().invoke(app, ["bundle", "move", str(folder / "run/bundle/0"), *given])
    assert said.exit_code == 0, said.output
    batch.score(tmp_path / "moved", folder / "posts/posts.jsonl", tmp_path / "moved.csv", device="cpu", columns={})
    before, after = (pd.read_csv(path) for path in (folder / "decisions.csv", tmp_path / "moved.csv"))
    assert abs(after["p_abuse"].mean() - truth) < abs(before["p_abuse"].mean() - truth)
    with pytest.raises(WorkbenchError, match="score the posts again with it"):
        prior_shift.told(folder / "run/bundle/0", tmp_path / "moved.csv")
    with pytest.raises(WorkbenchError, match="not in a study's run"):
        prior_shift.told(tmp_path / "moved", tmp_path / "moved.csv")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("abuse", "not of the form"),
        ("abuse=0.1,abuse=0.2", "twice"),
        ("abuse=much", "not of the form"),
        ("", "names no label"),
        ("abuse=2", "below 1"),
    ],
)
def test_a_share_that_is_none_is_one_sentence(place, tmp_path, given, said):
    with pytest.raises(WorkbenchError, match=said):
        prior_shift.move(place[0] / "run/bundle/0", prior_shift.shares(given), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "post_id,p_abuse\np1,0.5\n", "no column model_id"),
        ("a.txt", "", "file ending"),
        ("a.parquet", "no", "cannot be read"),
        ("missing.csv", None, "cannot read"),
        ("a.csv", "post_id,model_id,p_nothing\n", "holds no score"),
    ],
)
def test_a_file_that_holds_no_decisions_is_one_sentence(place, tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(WorkbenchError, match=said):
        prior_shift.told(place[0] / "run/bundle/0", tmp_path / name)


def test_every_format_of_decisions_gives_the_same_estimates(place):
    folder = place[0]
    for kind in ("jsonl", "parquet"):
        posts, out = folder / "posts/posts.jsonl", folder / f"decisions.{kind}"
        batch.score(folder / "run/bundle/0", posts, out, device="cpu", columns={})
    found = [prior_shift.told(folder / "run/bundle/0", path) for path in sorted(folder.glob("decisions.*"))]
    assert len(found) == 3
    assert found[0] == found[1] == found[2]


def test_where_more_than_the_share_has_changed_nothing_follows(place, tmp_path):
    folder, _ = place
    decided = pd.read_csv(folder / "decisions.csv")
    decided["p_abuse"] = np.where(decided["p_abuse"] < decided["p_abuse"].median(), 0.4, decided["p_abuse"])
    decided.to_csv(tmp_path / "changed.csv", index=False)
    estimates = prior_shift.estimates(folder / "run/bundle/0", tmp_path / "changed.csv")
    (found,) = (one for one in estimates if one.label == "abuse")
    said = prior_shift.told(folder / "run/bundle/0", tmp_path / "changed.csv")
    assert found.doubtful
    assert "trust neither" in said
    assert "abuse=" not in said


def test_a_bundle_that_was_moved_can_be_moved_on(place, tmp_path):
    first = place[0] / "run/bundle/0"
    prior_shift.move(first, {"abuse": 0.01}, tmp_path / "a")
    prior_shift.move(tmp_path / "a", {"violence": 0.02}, tmp_path / "b")
    assert Moderator.load(tmp_path / "b", store=FeatureStore(None, "cpu")).serving == {"abuse": 0.01, "violence": 0.02}
    for wrong in (first, first / "within"):
        with pytest.raises(WorkbenchError, match="itself or within"):
            prior_shift.move(first, {"abuse": 0.01}, wrong)


def test_test_posts_count_by_their_weights(tmp_path):
    world = World(4000, seed=3)
    score = world.good()
    # flags are right about posts with a picture only, of which the test set has more than the site
    score[0, ~world.has_image] = -3.0
    world.weight = np.where(world.has_image, 0.25, 1.0)
    run = world.write(tmp_path, "m", score)
    site = world.rng.choice(world.n, 4000, p=world.weight / world.weight.sum())
    decided = pd.DataFrame({"p_abuse": sigmoid(score[0, site, 0])})
    (found,) = prior_shift.shift(run, 0, decided, {})
    assert found.by_flags.lo <= world.y[site, 0].mean() <= found.by_flags.hi
    plain = replace(run, sets={name: replace(one, weight=np.ones_like(one.weight)) for name, one in run.sets.items()})
    (found,) = prior_shift.shift(plain, 0, decided, {})
    assert not found.by_flags.lo <= world.y[site, 0].mean() <= found.by_flags.hi


def test_a_label_without_both_kinds_of_test_posts_is_left_out_and_one_without_a_threshold_has_no_flags(tmp_path):
    world = World(400)
    world.y[:, 1] = False
    run = world.write(tmp_path, "m", world.good())
    decided = pd.DataFrame({"p_abuse": [0.1, 0.9, None], "p_violence": [0.1, 0.2, 0.3]})
    assert [one.label for one in prior_shift.shift(run, 0, decided, {"abuse": 0.3})] == ["abuse"]
    (alone,) = prior_shift.shift(run, 0, decided, {})
    assert math.isnan(alone.by_probabilities.value)
    (never,) = prior_shift.shift(replace(run, thresholds=run.thresholds * np.nan), 0, decided, {"abuse": 0.3})
    assert math.isnan(never.by_flags.value)
    assert 0 < never.by_probabilities.value < 1
