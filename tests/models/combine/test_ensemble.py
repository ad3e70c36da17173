"""Late fusion stacks honest scores, adds halves up, and cannot do more."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from workbench import models
from workbench.errors import WorkbenchError
from workbench.models import Classifier, Prediction
from workbench.models.combine.stacking import ALL, ROUNDS, chosen_weights, features, gained, stacker, weighted_mean
from workbench.schema import Options


class Memory(Classifier):
    """Scores posts it was trained on with their own label, others with 0: the worst possible overfitting."""

    modalities = ("text",)
    trained: ClassVar[list] = []

    def _fit(self, train, validation, seed):
        self.known = dict(zip(train["post_id"].to_pylist(), train["labels"].to_pylist(), strict=True))
        type(self).trained.append((set(train["group"].to_pylist()), len(train)))

    def _predict(self, posts):
        rows = [self.known.get(name, {}) for name in posts["post_id"].to_pylist()]
        scores = [[9.0 * (2 * row.get(name, 0.5) - 1) for name in self.taxonomy.names] for row in rows]
        return Prediction(np.array(scores), np.ones(len(posts), bool))


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.setitem(models.MODELS, "memory", "workbench.models.memory_of_a_test:Memory")
    import sys
    import types

    module = types.ModuleType("workbench.models.memory_of_a_test")
    module.Memory = Memory
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(Memory, "trained", [])
    return Memory


def test_the_stacker_sees_only_scores_of_posts_and_groups_that_a_member_does_not_know(memory, table, rows, taxonomy):
    train = table(rows(60, taxonomy, 1), taxonomy)
    model = models.create("late-fusion", {"members": ["memory"], "folds": 3}, taxonomy=taxonomy, store=None)
    model.fit(train, train.slice(0, 0), seed=0)
    # Out of fold a member that only remembers says 0 for every post, so its score earns no weight.
    assert model.weights[:, 0].tolist() == [0.0, 0.0]
    parts, whole = memory.trained[:3], memory.trained[3]
    assert whole[1] == 60
    assert [size for _, size in parts] == [40, 40, 40]
    assert sum(len(groups) for groups, _ in parts) == 2 * 30  # each of the 30 groups is whole in two of three trainings


def test_features_are_logits_and_flags():
    scores = np.array([[1.5, np.nan], [-2.0, 0.5]])  # two members, two posts
    assert features(scores).tolist() == [[1.5, -2.0, 1.0, 1.0], [0.0, 0.5, 0.0, 1.0]]


def test_the_stacker_is_a_penalised_logistic_regression_with_weights_of_members_at_least_zero():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 4))
    y = (x @ [1.0, 0.5, -0.7, 0.0] + draw.logistic(size=400) > 0).astype(float)
    weights, bias = stacker(x, y, strength=0.1, n_members=2)
    theirs = LogisticRegression(C=0.1, tol=1e-8).fit(x, y)  # its weights of the first two are positive by themselves
    np.testing.assert_allclose(weights, theirs.coef_[0], atol=1e-3)
    np.testing.assert_allclose(bias, theirs.intercept_[0], atol=1e-3)
    assert stacker(x, 1 - y, strength=0.1, n_members=2)[0][:2].tolist() == [0, 0]


def made_scores(n: int = 600, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the scores (2, n) of a member that knows something and of one of noise, the truth and three folds."""
    draw = np.random.default_rng(3)
    truth = (draw.random(n) < 0.3).astype(float)
    knows = 2 * truth - 1 + noise * draw.normal(size=n)
    return np.stack([draw.normal(size=n), knows]).astype(np.float32), truth, np.arange(n) % 3


def test_a_sum_that_gains_nothing_is_told_from_one_that_does():
    scores, truth, fold = made_scores()
    none = gained(scores, truth, fold, np.arange(600), 1.0)
    assert (none.best, none.alone) == (1, 1)
    assert none.lo < none.nats <= 0
    scores[0] += 2 * truth  # both know something now, each with an error of its own
    some = gained(scores, truth, fold, np.arange(600), 1.0)
    assert (some.best, some.alone) == (0, ALL) or (some.best, some.alone) == (1, ALL)
    assert 0 < some.lo < some.nats < some.hi
    wide = gained(scores, truth, fold, np.arange(600) // 10, 1.0)
    assert wide.nats == some.nats


def test_a_member_counts_as_the_best_by_the_posts_that_it_scored():
    scores, truth, fold = made_scores(noise=0.3)
    scores[1, ::2] = np.nan  # nothing is gained where it speaks, and elsewhere there is noise alone
    assert gained(scores, truth, fold, np.arange(600), 1.0).best == 1
    scores[1, 9:] = np.nan  # too few posts to tell of it
    assert gained(scores, truth, fold, np.arange(600), 1.0).best == 0


@pytest.mark.parametrize("change", ["one member", "one fold", "few harmful"])
def test_where_nothing_can_be_told_the_sum_stays(change):
    scores, truth, fold = made_scores()
    if change == "few harmful":
        truth[np.flatnonzero(truth)[12:]] = 0  # nine at most in some two folds
    scores, fold = scores[: 1 if change == "one member" else 2], fold * (change != "one fold")
    assert gained(scores, truth, fold, np.arange(600), 1.0) is None


def test_where_nothing_is_gained_the_best_member_ranks_alone_and_where_it_is_silent_the_sum_does(
    table, rows, taxonomy, tmp_path
):
    spoken = [[{**row, "text": f"t {row['text']}"} for row in rows(n, taxonomy, n)] for n in (400, 80)]
    train, test = (table(part, taxonomy) for part in spoken)
    options = {"members": ["text-tfidf", "prior"], "folds": 3}
    model = models.create("ensemble", options, taxonomy=taxonomy, store=None).fit(train, test, seed=0)
    best = model.models[0].logits(test)
    told = model.record["gains"]
    assert told, "some label has enough posts to tell"
    for k, label in enumerate(taxonomy.names):
        assert (model.alone[k] == 0) == told.get(label, {"alone": False})["alone"]
        if model.alone[k] == 0:
            np.testing.assert_allclose(
                model.logits(test)[:, k], best[:, k] * model.lone[k, 0] + model.lone[k, 1], rtol=1e-5
            )
            silent = np.stack([np.full(5, np.nan), np.linspace(-1, 1, 5)])
            expected = features(silent) @ model.weights[k] + model.bias[k]
            np.testing.assert_array_equal(model._added(silent, k), expected)
    assert (model.alone == 0).any()
    model.save(tmp_path)
    again = models.load(tmp_path, taxonomy=taxonomy, store=None)
    np.testing.assert_array_equal(again.logits(test), model.logits(test))


def test_scores_are_additive_in_the_halves(table, rows, taxonomy, store):
    quick = {"encoder": "words", "epochs": 20, "batch_size": 32}
    members = [{"name": f"{half}-clip", "options": quick} for half in ("text", "image")]
    model = models.create("late-fusion", {"members": members}, taxonomy=taxonomy, store=store)
    model.fit(table(rows(200, taxonomy, 1), taxonomy), table(rows(40, taxonomy, 2), taxonomy), seed=0)
    halves = [("abuseword", "word1"), ("word2", "word3")]
    posts = [{"text": text, "image": image} for text in ("abuseword", "word2") for image in ("nudityword", "word1")]
    scores = model.logits(table(posts, taxonomy)).reshape(2, 2, 2)  # (texts, images, labels)
    interaction = scores[0, 0] - scores[0, 1] - scores[1, 0] + scores[1, 1]
    np.testing.assert_allclose(interaction, 0, atol=1e-5)
    assert (model.weights[:, :2] > 0).all(), halves


def test_members_share_the_encoder_and_give_their_modalities(taxonomy, store):
    members = ["text-tfidf", {"name": "image-clip", "options": {"epochs": 2}}, {"name": "prior"}]
    model = models.create("late-fusion", {"members": members, "encoder": "words"}, taxonomy=taxonomy, store=store)
    assert model.modalities == ("text", "image")
    assert [member.name for member in model.models] == ["text-tfidf", "image-clip", "prior"]
    assert model.models[1].options.encoder == "words"
    assert models.create("late-fusion", {"members": ["prior"]}, taxonomy=taxonomy, store=None).modalities == ()


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (["text-clap"], "did you mean 'text-clip'"),
        ([{"name": "text-clip", "options": {"hiden": 3}}], "did you mean 'hidden'"),
        ([], "at least 1 item"),
        ("text-clip", "valid tuple"),
    ],
)
def test_wrong_members_are_refused_before_anything_is_built(members, said):
    with pytest.raises(WorkbenchError, match=said):
        models.check("late-fusion", {"members": members})


def test_one_group_leaves_the_plain_mean_of_the_members(table, rows, taxonomy):
    train = table([{**row, "group": "all", "text": f"t {row['text']}"} for row in rows(40, taxonomy, 1)], taxonomy)
    model = models.create("late-fusion", {"members": ["text-tfidf", "prior"]}, taxonomy=taxonomy, store=None)
    model.fit(train, train, seed=0)
    members = np.stack([member.logits(train) for member in model.models])
    np.testing.assert_allclose(model.logits(train), members.mean(axis=0), rtol=1e-5)
    assert isinstance(model.options, Options)
    assert pa.compute.count_distinct(train["group"]).as_py() == 1


# ---------------------------------------------------------------------------------------------------------- ensembles


def test_a_stacked_ensemble_of_the_same_members_is_late_fusion(table, rows, taxonomy, store):
    quick = {"encoder": "words", "epochs": 5, "batch_size": 32}
    options = {"members": [{"name": f"{half}-clip", "options": quick} for half in ("text", "image")]}
    train, test = table(rows(120, taxonomy, 1), taxonomy), table(rows(30, taxonomy, 2), taxonomy)
    made = [models.create(name, options, taxonomy=taxonomy, store=store) for name in ("late-fusion", "ensemble")]
    first, second = (model.fit(train, test, seed=0).logits(test) for model in made)
    np.testing.assert_array_equal(first, second)


def test_the_mean_goes_over_the_members_that_have_a_score():
    scores = np.array([[1.0, 1.0, np.nan, np.nan], [3.0, np.nan, 3.0, np.nan]])  # two members, four posts
    assert weighted_mean(scores, np.array([0.25, 0.75])).tolist() == [2.5, 1.0, 3.0, 0.0]
    assert weighted_mean(scores, np.array([1.0, 0.0])).tolist() == [1.0, 1.0, 3.0, 0.0]


class Silent(Memory):
    """Has scores of every label but the first."""

    def _predict(self, posts):
        made = super()._predict(posts)
        made.logits[:, 0] = np.nan
        return made


@pytest.mark.parametrize("combine", ["stack", "mean"])
def test_a_label_that_no_member_scored_has_no_score(memory, monkeypatch, table, rows, taxonomy, combine):
    train = table(rows(60, taxonomy, 1), taxonomy)
    options = {"members": [{"name": "memory"}, {"name": "memory"}], "combine": combine, "folds": 3}
    model = models.create("ensemble", options, taxonomy=taxonomy, store=None).fit(train, train, seed=0)
    for member in model.models:
        member.__class__ = Silent
    logits = model.logits(train)
    assert np.isnan(logits[:, 0]).all()
    assert np.isfinite(logits[:, 1:]).all()


def test_weights_are_chosen_by_what_ranks_best():
    rng = np.random.default_rng(0)
    y = rng.random(300) < 0.3
    good, noise = 2.0 * y + rng.normal(size=300), rng.normal(size=300)
    weights = chosen_weights(np.stack([noise, good]), y)
    assert weights.sum() == pytest.approx(1)
    assert weights[1] > 0.8
    assert (weights * ROUNDS % 1 == 0).all()
    assert chosen_weights(np.stack([noise, good])[:, :20], y[:20]).tolist() == [0.5, 0.5]  # too few to choose by


@pytest.mark.parametrize("weights", [None, [3.0, 1.0]])
def test_a_mean_of_members_by_given_or_chosen_weights(table, rows, taxonomy, weights, tmp_path):
    options = {"members": ["text-tfidf", "author-profile"], "combine": "mean", "weights": weights}
    model = models.create("ensemble", options, taxonomy=taxonomy, store=None)
    train, validation = table(rows(150, taxonomy, 1), taxonomy), table(rows(80, taxonomy, 2), taxonomy)
    logits = model.fit(train, validation, seed=0).logits(validation)
    assert (model.modalities, model.columns) == (("text",), ("text", "author"))
    members = np.stack([member.logits(validation) for member in model.models])
    for k in range(2):
        share = np.array(model.record["weights"][k])
        assert weights is None or share.tolist() == [0.75, 0.25]
        both = ~np.isnan(members[:, :, k]).any(axis=0)
        np.testing.assert_allclose(logits[both, k], share @ members[:, both, k], rtol=1e-5)
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=None)
    np.testing.assert_array_equal(again.logits(validation), logits)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": [1.0, 1.0]}, "combine: mean"),
        ({"combine": "mean", "weights": [1.0]}, "2 numbers"),
        ({"combine": "mean", "weights": [0.0, 0.0]}, "not all 0"),
        ({"combine": "mean", "weights": [-1.0, 2.0]}, "at least 0"),
    ],
)
def test_weights_that_make_no_mean_are_refused(options, said):
    with pytest.raises(WorkbenchError, match=said):
        models.check("ensemble", {"members": ["prior", "text-tfidf"], **options})
