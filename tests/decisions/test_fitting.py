"""What validation adds to a classifier: a line and thresholds, and nothing to what is decided already."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit

from workbench import models
from workbench.decisions import fitting
from workbench.decisions.moderator import Moderator
from workbench.decisions.policy import LabelRule
from workbench.decisions.thresholds import objectives
from workbench.schema import Taxonomy, corpus_schema


@pytest.fixture
def validation():
    """Forty posts, every second one abuse; other labels are unknown."""
    taxonomy = Taxonomy.load()
    rows = [{"post_id": str(n), "text": f"post {n}", "weight": 1.0, "labels": {"abuse": n % 2 == 0}} for n in range(40)]
    return pa.Table.from_pylist(rows, schema=corpus_schema(taxonomy))


def made(tmp_path, validation, lines, **options):
    """The moderator and rules of a file of scores."""
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(["post_id,abuse", *lines]))
    taxonomy = Taxonomy.load()
    model = models.create("scores", {"path": str(path), **options}, taxonomy=taxonomy, store=None)
    model.fit(validation, validation, seed=0)
    return fitting.fit(model, validation, objectives({}, taxonomy.names), "test")


def test_scores_are_calibrated_and_get_a_threshold_that_does_best(tmp_path, validation):
    moderator, rules = made(tmp_path, validation, [f"{n},{0.3 + 0.2 * (n % 2 == 0)}" for n in range(40)])
    assert rules["abuse"].review_for.caught == 20
    assert moderator.probabilities(validation)[0, 0] > 0.9  # every post is told rightly, so 0.5 means sure


def test_decisions_stay_what_they_are_also_where_all_of_them_are_wrong(tmp_path, validation):
    lines = [f"{n},{'yes' if n % 2 else 'no'}" for n in range(40)]
    moderator, rules = made(tmp_path, validation, lines, decisions={"yes": True, "no": False})
    flagged = moderator.probabilities(validation)[:, 0] >= rules["abuse"].review_at
    assert flagged.tolist() == [n % 2 == 1 for n in range(40)]
    assert rules["abuse"].remove_at is None
    assert rules["abuse"].review_for.caught == 0


def test_decisions_about_other_posts_than_those_of_validation_hold_too(tmp_path, validation):
    moderator, rules = made(tmp_path, validation, ["x,yes", "y,no"], decisions={"yes": True, "no": False})
    assert rules["abuse"].review_at == 0.5
    elsewhere = validation.slice(0, 2).set_column(0, "post_id", pa.array(["x", "y"]))
    np.testing.assert_allclose(moderator.probabilities(elsewhere)[:, 0], [1, 0], atol=1e-9)


def test_the_study_may_say_how_scores_become_probabilities(tmp_path, validation):
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(["post_id,abuse", *(f"{n},{0.3 + 0.2 * (n % 3 == 0)}" for n in range(40))]))
    taxonomy = Taxonomy.load()
    model = models.create("scores", {"path": str(path)}, taxonomy=taxonomy, store=None)
    model.fit(validation, validation, seed=0)
    for method in ("none", "temperature", "platt", "isotonic"):
        moderator = fitting.fit(model, validation, objectives({}, taxonomy.names), "test", method)[0]
        assert moderator.lines["abuse"].method == method
        moderator.save(tmp_path / method)
        again = Moderator.load(tmp_path / method, taxonomy=taxonomy, store=None)
        np.testing.assert_array_equal(again.probabilities(validation), moderator.probabilities(validation))
        assert again.model_id == moderator.model_id
        assert moderator.lines["abuse"].words in (tmp_path / method / "README.md").read_text(encoding="utf-8")


def chosen(tmp_path, posts: list[dict], review: dict):
    """The rule for abuse that is chosen on posts with a `score` of their own, which stays as it is."""
    taxonomy, path = Taxonomy.load(), tmp_path / "scores.csv"
    path.write_text("\n".join(["post_id,abuse", *(f"{n},{post['score']}" for n, post in enumerate(posts))]))
    rows = [
        {"post_id": str(n), "group": post.get("group"), "weight": post.get("weight", 1.0), "text": "x"}
        | {"labels": {"abuse": post["abuse"]}}
        for n, post in enumerate(posts)
    ]
    table = pa.Table.from_pylist(rows, schema=corpus_schema(taxonomy))
    model = models.create("scores", {"path": str(path)}, taxonomy=taxonomy, store=None)
    model.fit(table, table, seed=0)
    wanted = objectives({"default": {"review": review, "remove": None}}, taxonomy.names)
    return fitting.fit(model, table, wanted, "test", "none")[1]["abuse"].review_for


def test_an_objective_at_the_sites_mix_counts_posts_by_their_weights(tmp_path):
    posts = [{"score": 0.9, "abuse": True}] * 30
    posts += [{"score": 0.6, "abuse": False, "weight": 0.1}] * 10  # drawn ten times as often as the site has them
    posts += [{"score": 0.1, "abuse": False}] * 20
    # as sampled 30 of 40 are too few for .8, at the site it is 30 of 31; with the rest 30 of 51
    assert chosen(tmp_path, posts, {"precision": 0.8}).flagged == 30
    assert chosen(tmp_path, posts, {"precision": 0.8, "mix": "site"}).flagged == 40


def test_an_objective_that_is_sure_counts_copies_once(tmp_path):
    clean = [{"score": 0.1 + n / 1000, "abuse": False, "group": f"c{n}"} for n in range(30)]
    bad = [{"score": 0.9, "abuse": True, "group": f"b{n}"} for n in range(30)]
    # .8 ** 30 = .001: thirty without a miss prove a recall of .8; one does not
    assert chosen(tmp_path, clean + bad, {"recall": 0.8, "sure": 0.95}).at is not None
    copies = [post | {"group": "one"} for post in bad]
    assert chosen(tmp_path, clean + copies, {"recall": 0.8, "sure": 0.95}).at is None


def test_how_validation_was_drawn_is_kept(tmp_path, validation):
    lines = [f"{n},{0.3 + 0.2 * (n % 2 == 0)}" for n in range(40)]
    place = validation.column_names.index("weight")
    for weight, by_label in (([1.0, 1.0], True), ([0.1, 1.0], True), ([0.1, 1.0, 2.0, 1.0], False)):
        drawn = validation.set_column(place, "weight", pa.array((weight * 20)[:40]))
        moderator = made(tmp_path, drawn, lines)[0]
        assert moderator.drawn["abuse"].by_label is by_label
        assert list(moderator.drawn) == ["abuse"]  # of other labels nothing is known
    # twenty harmful posts of weight .1 and 2: worth ten each, so nothing can be bent by them
    assert "a few of validation's 20 harmful posts decide" in moderator.drawn["abuse"].line.note


def test_a_post_without_a_group_is_its_own(validation):
    assert fitting.group_names(validation.slice(0, 2)).tolist() == ["0", "1"]
    grouped = validation.set_column(validation.column_names.index("group"), "group", pa.array(["g"] * 40))
    assert set(fitting.group_names(grouped)) == {"g"}


def test_weights_groups_and_what_training_had_reach_the_choice_of_thresholds(tmp_path, validation, monkeypatch):
    given = {}
    choose = fitting.choose
    monkeypatch.setattr(fitting, "choose", lambda *posts, **more: given.update(more) or choose(*posts, **more))
    heavy = validation.set_column(validation.column_names.index("weight"), "weight", pa.array(np.arange(40) + 1.0))
    made(tmp_path, heavy, [f"{n},{0.3 + 0.2 * (n % 2 == 0)}" for n in range(40)])
    assert given["weight"].tolist() == [n + 1.0 for n in range(40)]
    assert given["group"].tolist() == [str(n) for n in range(40)]
    assert given["expected"][0] == pytest.approx(0.5, abs=0.05)  # these posts are those of training, too
    assert given["expected"][1] is None  # nobody knows the other labels


def test_what_a_threshold_is_worth_counts_groups_and_the_site_apart():
    # ten of twenty flagged rightly, five wrongly; the wrong ones stand for four posts each, the others for one
    y = np.r_[np.ones(10), np.zeros(10)]
    prob = np.r_[np.full(10, 0.9), np.full(5, 0.8), np.full(5, 0.1)]
    weight = np.r_[np.ones(10), np.full(5, 4.0), np.ones(5)]
    rule = LabelRule(review_at=0.5, remove_at=0.85)
    known, group = np.ones(20, bool), np.arange(20)
    found = fitting.measure(prob, y, known, rule, weight, group)
    assert (found["review"]["flagged"], found["review"]["caught"]) == (15, 10)
    assert found["review"]["sample"]["precision"][0] == pytest.approx(10 / 15, abs=1e-4)
    assert found["review"]["site"]["precision"][0] == pytest.approx(10 / 30, abs=1e-4)
    assert found["review"]["site"]["recall"][0] == 1
    assert found["remove"]["sample"]["precision"][0] == found["remove"]["site"]["precision"][0] == 1
    assert found["review"]["sample"]["few"]
    even = fitting.measure(prob, y, known, rule, np.full(20, 3.0), group)
    assert even["review"]["site"] is None  # nothing says how the site differs
    pairs = fitting.measure(prob.repeat(2), y.repeat(2), known.repeat(2), rule, np.ones(40), group.repeat(2))
    assert pairs["review"]["sample"]["precision"] == found["review"]["sample"]["precision"]  # copies tell nothing new
    nothing = fitting.measure(prob, y, known, LabelRule(review_at=0.95, remove_at=None), weight, group)
    assert nothing["review"]["sample"]["precision"] is None
    assert "remove" not in nothing


@pytest.mark.parametrize(
    ("y", "use", "constant", "share"),
    [
        ([1, 0, 0, 1], [1, 1, 1, 0], 0.0, 1 / 3),
        ([1, 1, 0, 0], [1, 1, 0, 0], -2.0, expit(-2.0)),  # those that count are all harmful, or all harmless
        ([0, 0, 1, 1], [1, 1, 0, 0], -2.0, expit(-2.0)),
        ([0, 0, 1, 1], [0, 0, 0, 0], -2.0, expit(-2.0)),
        ([1, 1, 1, 1], [1, 1, 1, 1], np.nan, None),
    ],
)
def test_probabilities_hold_at_the_share_of_validation_and_else_of_training(y, use, constant, share):
    assert fitting._prevalence(np.array(y, np.float32), np.array(use, bool), constant) == pytest.approx(share)


def test_what_nobody_knows_or_could_score_counts_for_nothing(tmp_path, validation, monkeypatch):
    # of forty posts ten have no score and ten no label; of the others two in three are abuse and score .5, else .3
    place, kind = validation.column_names.index, validation.schema.field("labels")
    labels = [{"abuse": None if n % 4 == 1 else n % 3 > 0} for n in range(40)]
    posts = validation.set_column(place("labels"), kind, pa.array(labels, kind.type))
    posts = posts.set_column(place("weight"), "weight", pa.array([None, 1.0] * 20))
    given, choose = {}, fitting.choose
    monkeypatch.setattr(fitting, "choose", lambda *some, **more: given.update(more) or choose(*some, **more))
    moderator, rules = made(tmp_path, posts, [f"{n},{0.5 if n % 3 else 0.3}" for n in range(40) if n % 4 != 2])
    counted = [n for n in range(40) if n % 4 not in (1, 2)]
    assert rules["abuse"].review_for.posts == len(counted) == 20
    assert moderator.prevalence["abuse"] == pytest.approx(np.mean([n % 3 > 0 for n in counted]))
    assert given["weight"].tolist() == [1.0] * 40  # a post without a weight stands for itself
    assert moderator.drawn["abuse"].by_label
    assert moderator.policy.labels == {"abuse": rules["abuse"]}
    assert "validation has 12 harmful and 8 other posts" in moderator.lines["abuse"].note


def test_decisions_get_no_threshold_of_removal(tmp_path, validation):
    lines = [f"{n},{'no' if n % 2 else 'yes'}" for n in range(40)]
    _, rules = made(tmp_path, validation, lines, decisions={"yes": True, "no": False})
    assert rules["abuse"].remove_for is None
    assert rules["abuse"].review_for.objective.fixed == 0.5


def test_posts_without_a_probability_or_a_label_are_not_measured():
    prob = np.array([0.9, 0.5, 0.2, np.nan, np.nan, 0.7])
    y, known = np.array([1, 0, 1, 1, 0, 1.0]), np.array([1, 1, 1, 1, 0, 0], bool)
    found = fitting.measure(prob, y, known, LabelRule(review_at=0.5, remove_at=None), np.ones(6), np.arange(6))
    assert (found["n"], found["unscored"], found["positives"]) == (3, 1, 2)
    assert (found["review"]["at"], found["review"]["flagged"], found["review"]["caught"]) == (0.5, 2, 1)
    assert found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.5, 0.2]).mean())
    assert type(found["review"]["sample"]["precision"]) is list
    none = fitting.measure(prob, y, ~known & False, LabelRule(review_at=None, remove_at=None), np.ones(6), np.arange(6))
    assert (none["n"], none["average_precision"], none["log_loss"]) == (0, None, None)
