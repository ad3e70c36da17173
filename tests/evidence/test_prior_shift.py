"""How frequent harm is among posts without labels, from a real run's decisions about them."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from made_runs import World, sigmoid
from oracles import write_jsonl
from scipy.special import logit
from typer.testing import CliRunner

from workbench import corpora, models
from workbench.cli import app
from workbench.comparison import facts
from workbench.comparison.predictions import load_run
from workbench.decisions import batch
from workbench.decisions.drawn import Drawn
from workbench.decisions.moderator import Moderator
from workbench.decisions.thresholds import objectives
from workbench.errors import WorkbenchError
from workbench.evidence import prior_shift
from workbench.evidence.prior_shift import Labelled
from workbench.features.store import FeatureStore
from workbench.metrics import prevalence as rates
from workbench.metrics.calibration import IDENTITY, Line
from workbench.metrics.prevalence import Estimate
from workbench.schema import Taxonomy, label_matrix
from workbench.studies.steps import training

CORPUS = {"source": "synthetic", "modalities": ["text"], "prevalence": 0.3}  # as the site is: nothing is weighted


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run of text-tfidf on posts with much harm, and its decisions about posts among which there is more abuse."""
    folder, taxonomy = tmp_path_factory.mktemp("shift"), Taxonomy.load()
    store = FeatureStore(folder / "features", "cpu")
    material = training.prepare(CORPUS | {"posts": 4000, "seed": 1}, {"validation": 0.2, "test": 0.4}, {}, taxonomy)
    wanted = objectives({"default": {"remove": {"precision": 0.8}}}, taxonomy.names)
    ready = training.moderate(training.fit("text-tfidf", {}, material, [0], store), material, wanted)
    training.save(folder / "run", ready, training.score(ready, material), material, store)
    facts.write(folder / facts.NAME, material.sets, taxonomy)
    (folder / "run/run.json").write_text(json.dumps({"key": "k", "alias": "text-tfidf", "state": "done"}))
    others = corpora.load({**CORPUS, "posts": 6000, "seed": 2}, taxonomy).table
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
    assert weights["abuse"] == pytest.approx(abuse.class_weight.value, rel=0.1)
    assert abuse.class_weight.lo < weights["abuse"] < abuse.class_weight.hi
    models.check("clip-cross", {"class_weight": weights})
    models.check("text-tfidf", {"class_weight": weights})
    # half of the interval is some hundredths wide, so the value has two digits after the point
    assert 0.01 < (abuse.by_flags.hi - abuse.by_flags.lo) / 2 < 0.1
    serve = said.output.splitlines()[-1]
    assert f"--prevalence abuse={abuse.by_flags.value:.2f}," in serve  # of other labels there is less now
    assert f"95 %: abuse {abuse.by_flags.lo:.3f} to {abuse.by_flags.hi:.3f}," in serve


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
        ("", "either shares"),
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
        ("a.doc", "", "file ending"),
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


def test_where_the_share_is_what_it_was_nothing_is_to_be_moved(place, tmp_path):
    run = load_run(place[0] / "run")
    rows, label = run.sets["test"], run.labels.index("abuse")
    pd.DataFrame({"model_id": None, "p_abuse": rows.prob[0, :, label]}).to_csv(tmp_path / "same.csv", index=False)
    said = prior_shift.told(place[0] / "run/bundle/0", tmp_path / "same.csv")
    assert "abuse: the share may be that at which the probabilities hold, so nothing is to be moved" in said
    assert "bundle move" not in said


def test_a_bundle_that_was_moved_can_be_moved_on(place, tmp_path):
    first = place[0] / "run/bundle/0"
    prior_shift.move(first, {"abuse": 0.01}, tmp_path / "a")
    prior_shift.move(tmp_path / "a", {"violence": 0.02}, tmp_path / "b")
    assert Moderator.load(tmp_path / "b", store=FeatureStore(None, "cpu")).serving == {"abuse": 0.01, "violence": 0.02}
    for wrong in (first, first / "within"):
        with pytest.raises(WorkbenchError, match="itself or within"):
            prior_shift.move(first, {"abuse": 0.01}, wrong)


def weighted(n: int = 4000) -> tuple[World, np.ndarray]:
    """A world with more posts with a picture in its test set than at its site; a score is right about these."""
    world = World(n, seed=3)
    score = world.good()
    score[0, ~world.has_image] = -3.0
    world.weight = np.where(world.has_image, 0.25, 1.0)
    return world, score


def test_test_posts_count_by_their_weights(tmp_path):
    world, score = weighted()
    run = world.write(tmp_path, "m", score)
    site = world.rng.choice(world.n, 4000, p=world.weight / world.weight.sum())
    decided, head, truth = pd.DataFrame({"p_abuse": sigmoid(score[0, site, 0])}), {"prevalence": {}}, world.y[site, 0]
    (found,) = prior_shift.shift(run, 0, decided, head)
    assert not found.posts.by_label
    for estimate in (found.by_flags, found.by_probabilities):
        assert estimate.lo <= truth.mean() <= estimate.hi
    assert found.holds_at is None
    assert math.isnan(found.class_weight.value)
    plain = replace(run, sets={name: replace(one, weight=np.ones_like(one.weight)) for name, one in run.sets.items()})
    (found,) = prior_shift.shift(plain, 0, decided, head)
    for estimate in (found.by_flags, found.by_probabilities):
        assert not estimate.lo <= truth.mean() <= estimate.hi


def test_where_the_sample_was_drawn_otherwise_no_share_is_recommended(tmp_path):
    world, score = weighted()
    run = world.write(tmp_path, "m", score)
    decided = pd.DataFrame({"p_abuse": sigmoid(score[0, :, 0]), "p_violence": sigmoid(score[0, :, 1])})
    head = {"prevalence": {"abuse": 0.2, "violence": 0.2}, "drawn": {"violence": Drawn(False, 0.2).saved}}
    said = list(prior_shift._lines(prior_shift.shift(run, 0, decided, head)))
    assert any(line.startswith("abuse: its validation posts were not drawn by the label alone") for line in said)
    assert any(line.startswith("violence: calibrated by weight the probabilities stay") for line in said)
    assert any(line.endswith("of the labelled test posts, by their weights") for line in said)
    assert not any("--prevalence" in line or "class_weight" in line for line in said)


def test_where_a_few_heavy_posts_decide_nothing_is_told(tmp_path):
    world, score = weighted()
    heavy = np.flatnonzero(world.y[:, 0])[:8]
    world.weight = np.full(world.n, 0.01)
    world.weight[heavy] = 1.0
    run = world.write(tmp_path, "m", score)
    (found,) = prior_shift.shift(run, 0, pd.DataFrame({"p_abuse": sigmoid(score[0, :, 0])}), {"prevalence": {}})
    assert not found.answered
    assert "a few of the" in found.why
    said = list(prior_shift._lines([found]))
    assert f"  {found.why}" in said
    assert said.count("  by flags          cannot be told") == 1


def test_the_label_alone_may_decide_what_is_sampled(tmp_path):
    world = World(4000, seed=3)
    score = world.good()
    world.weight = np.where(world.y[:, 0], 0.1, 1.0)
    run = world.write(tmp_path, "m", score)
    site = world.rng.choice(world.n, 6000, p=world.weight / world.weight.sum())
    decided, truth = pd.DataFrame({"p_abuse": sigmoid(score[0, site, 0])}), float(world.y[site, 0].mean())
    (found,) = prior_shift.shift(run, 0, decided, {"prevalence": {"abuse": float(world.y[:, 0].mean())}})
    assert found.moved
    assert found.tested == pytest.approx(truth, abs=0.01)
    for estimate in (found.by_flags, found.by_probabilities):
        assert estimate.lo <= truth <= estimate.hi


def test_a_label_without_both_kinds_of_test_posts_is_left_out_and_one_without_a_threshold_has_no_flags(tmp_path):
    world = World(400)
    world.y[:, 1] = False
    run = world.write(tmp_path, "m", world.good())
    decided = pd.DataFrame({"p_abuse": [0.1, 0.9, None], "p_violence": [0.1, 0.2, 0.3]})
    head = {"prevalence": {"abuse": 0.3}}
    (alone,) = prior_shift.shift(run, 0, decided, head)
    assert alone.label == "abuse"
    (never,) = prior_shift.shift(replace(run, thresholds=run.thresholds * np.nan), 0, decided, head)
    assert math.isnan(never.by_flags.value)
    assert 0 < never.by_probabilities.value < 1
    assert not never.answered


def test_where_all_posts_or_none_are_estimated_to_be_harmful_there_is_no_class_weight(tmp_path):
    world = World(400)
    run = world.write(tmp_path, "m", world.good())
    for share in (0.0, 1.0):
        (found,) = prior_shift.shift(run, 0, pd.DataFrame({"p_abuse": [share] * 9}), {"prevalence": {"abuse": 0.3}})
        assert found.by_flags.value == share
        assert np.isnan(found.class_weight).all()


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        ((0.00194, 0.0, 0.0122), "0.002"),  # half of it is 0.006: thousandths
        ((0.0778, 0.0621, 0.0954), "0.08"),
        ((0.212, 0.2, 0.224), "0.21"),
        ((2.31, 1.0, 4.0), "2"),
        ((2.0, 2.0, 2.0), "2"),  # an interval without a width
        ((3.0, 1.0, math.inf), "3"),
    ],
)
def test_a_recommended_value_has_the_digits_that_its_interval_carries(estimate, said):
    assert prior_shift._rounded(Estimate(*estimate)) == said


def test_what_rounds_to_nothing_is_not_recommended(tmp_path):
    world = World(400)
    run = world.write(tmp_path, "m", world.good())
    (found,) = prior_shift.shift(run, 0, pd.DataFrame({"p_abuse": [0.1, 0.9]}), {"prevalence": {"abuse": 0.9}})
    found = found._replace(by_flags=Estimate(0.004, 0.0, 0.03), class_weight=Estimate(0.04, 0.0, 0.9))
    assert found.moved
    assert list(prior_shift._recommended([found])) == []
    sure = found._replace(by_flags=Estimate(0.004, 0.001, 0.008), class_weight=Estimate(0.44, 0.1, 0.9))
    train, serve = prior_shift._recommended([sure])
    assert train.endswith("class_weight: {abuse: 0.4}  # 95 %: abuse 0.10 to 0.90")
    assert serve.endswith("--prevalence abuse=0.004 -o FOLDER  # 95 %: abuse 0.0010 to 0.0080")


# ------------------------------------------------------------------------------- bundles of samples drawn otherwise


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """A run on a sample with more harm of every kind than at its site, and weights."""
    folder, taxonomy = tmp_path_factory.mktemp("sampled"), Taxonomy.load()
    store = FeatureStore(folder / "features", "cpu")
    corpus = {"source": "synthetic", "modalities": ["text"], "posts": 1500, "seed": 1, "oversample": {"harm": 0.3}}
    material = training.prepare(corpus, {"validation": 0.4, "test": 0.3}, {}, taxonomy)
    wanted = objectives({}, taxonomy.names)
    ready = training.moderate(training.fit("text-tfidf", {}, material, [0], store), material, wanted)
    training.save(folder / "run", ready, training.score(ready, material), material, store)
    facts.write(folder / facts.NAME, material.sets, taxonomy)
    (folder / "run/run.json").write_text(json.dumps({"key": "k", "alias": "text-tfidf", "state": "done"}))
    return folder / "run/bundle/0"


def moderator(folder) -> Moderator:
    return Moderator.load(folder, store=FeatureStore(None, "cpu"))


def test_a_sample_that_was_drawn_otherwise_is_not_moved_by_a_share(sampled, tmp_path):
    given = ["bundle", "move", str(sampled), "--prevalence", "abuse=0.01", "-o", str(tmp_path / "moved")]
    said = CliRunner().invoke(app, given)
    assert said.exit_code != 0
    assert "--site" in said.output
    assert not (tmp_path / "moved").exists()


def test_it_serves_what_is_calibrated_by_its_weights(sampled, tmp_path):
    bent = moderator(sampled)
    line = Line(1.5, -0.5)
    few = Drawn(False, 0.01, IDENTITY._replace(note="too few"))
    bent.drawn = {**bent.drawn, "abuse": Drawn(False, 0.01, line), "nudity": few}
    bent.save(tmp_path / "bent")
    given = ["bundle", "move", str(tmp_path / "bent"), "--site", "-o", str(tmp_path / "moved")]
    said = CliRunner().invoke(app, given)
    assert said.exit_code == 0, said.output
    assert "nudity stays (too few)" in said.output
    moved, logits = moderator(tmp_path / "moved"), np.linspace(-3, 3, 8)[:, None].repeat(4, axis=1)
    assert moved.at_site
    assert moved.model_id != bent.model_id
    np.testing.assert_allclose(logit(moved.calibrated(logits)[:, 0]), line(logit(bent.calibrated(logits)[:, 0])))
    np.testing.assert_array_equal(moved.calibrated(logits)[:, 1], bent.calibrated(logits)[:, 1])
    with pytest.raises(WorkbenchError, match="moved already"):
        prior_shift.move(tmp_path / "moved", {}, tmp_path / "again", site=True)
    for both in ({"abuse": 0.1}, {}):
        with pytest.raises(WorkbenchError, match="either shares"):
            prior_shift.move(sampled, both, tmp_path / "again", site=bool(both))


def test_where_weights_change_nothing_there_is_nothing_to_move(place, tmp_path):
    with pytest.raises(WorkbenchError, match="nothing to move"):
        prior_shift.move(place[0] / "run/bundle/0", {}, tmp_path / "out", site=True)


def test_a_bundle_without_the_record_is_refused_where_its_run_tells_and_doubted_elsewhere(sampled, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(sampled.parent.parent, run)
    shutil.copy(sampled.parent.parent.parent / facts.NAME, tmp_path / facts.NAME)
    old = moderator(run / "bundle/0")
    old.drawn = {}
    old.save(run / "bundle/0")
    old.save(tmp_path / "alone")
    with pytest.raises(WorkbenchError, match="'abuse' cannot be moved"):
        prior_shift.move(run / "bundle/0", {"abuse": 0.01}, tmp_path / "a")
    said = prior_shift.move(tmp_path / "alone", {"abuse": 0.01}, tmp_path / "b")
    assert "abuse: it is not recorded how validation was drawn" in said
    assert moderator(tmp_path / "b").serving == {"abuse": 0.01}
    with pytest.raises(WorkbenchError, match="run the study again"):
        prior_shift.move(tmp_path / "alone", {}, tmp_path / "c", site=True)


# ------------------------------------------------------------------------------------------------- numbers, one by one


def labelled(n: int = 400, weight=None, threshold: float = 0.5) -> Labelled:
    rng = np.random.default_rng(1)
    y = rng.random(n) < 0.3
    prob = np.round(sigmoid(rng.normal(size=n) + 2 * y - 1), 2)
    return Labelled(y, prob, np.ones(n) if weight is None else weight, np.arange(n) // 2, threshold)


def test_posts_that_were_not_read_or_have_no_label_are_left_out(tmp_path):
    world = World(400)
    run = world.write(tmp_path, "m", world.good())
    scores = run.sets["test"]
    prob, known = scores.prob.copy(), scores.known.copy()
    prob[0, :7, 0], known[5:12, 0] = np.nan, False
    posts = Labelled.of(replace(scores, prob=prob, known=known), 0, 0, 0.25)
    assert (posts.prob == scores.prob[0, 12:, 0]).all()
    assert (posts.y == scores.y[12:, 0]).all()
    assert (posts.weight == scores.weight[12:]).all()
    assert (posts.group == scores.group[12:]).all()
    assert posts.threshold == 0.25


def test_estimates_are_those_of_flags_from_the_threshold_on_and_of_probabilities_by_group():
    posts, there = labelled(), labelled(300)._replace().prob ** 2
    assert (posts.prob == 0.5).any()
    assert (there == 0.25).any()
    found = prior_shift.estimated("abuse", posts._replace(threshold=0.5), there, None)
    flags, about = (posts.prob >= 0.5, there >= 0.5), {"group": posts.group, "weight": posts.weight}
    assert found.by_flags == rates.estimate_from_flags(posts.y, *flags, **about)
    assert found.by_probabilities == rates.estimate_from_probabilities(there, posts.prob, group=posts.group)
    assert found.p == rates.label_shift_test(posts.y, posts.prob, there, **about)
    assert (found.why, found.drawn, found.holds_at) == ("", None, None)
    assert not posts.weighted
    assert posts.by_label
    assert found.tested == pytest.approx(posts.y.mean())
    assert prior_shift.flagged(np.array([0.4, 0.5, 0.6]), 0.5).tolist() == [False, True, True]
