"""Options of heads on a whole model: heads of earlier versions, sets of exclusive labels, losses by name."""

import numpy as np
import pytest
from pydantic import create_model

from workbench import models
from workbench.errors import WorkbenchError
from workbench.models.heads.options import STRENGTHS
from workbench.schema import Label, Taxonomy

QUICK = {"encoder": "words", "epochs": 6, "batch_size": 32, "lr": 0.02, "dropout": 0.0, "weight_decay": 0.0}


@pytest.fixture
def fit(taxonomy, store, table, rows):
    """Fit a model with options on a small world; returns it and the posts it has not seen."""

    def make(name, options, labels=taxonomy, clips=False):
        options = {**(QUICK if "clip" in name else {}), **options}
        tables = [table(rows(n, labels, seed, clips=clips), labels) for n, seed in ((200, 1), (100, 2), (40, 3))]
        model = models.create(name, options, taxonomy=labels, store=store)
        return model.fit(*tables[:2], seed=0), tables[2]

    return make


@pytest.mark.parametrize("name", ["text-clip", "clip-align", "clip-cross"])
def test_a_logistic_head_of_an_earlier_version_is_loaded_as_the_linear_one_that_it_is(
    fit, taxonomy, store, tmp_path, monkeypatch, name
):
    model, test = fit(name, {"head": "linear"})
    state, arrays = model._state()
    state.pop("head")  # those versions had the head that was named
    monkeypatch.setattr(model, "_state", lambda: (state, arrays))
    earlier = create_model("Earlier", __base__=type(model.options), head=(str, ...), C=(tuple, ...))
    model.options = earlier.model_construct(**dict(model.options) | {"head": "logistic", "C": (0.1, 1.0)})
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=store)
    assert again.kind == "linear"
    assert np.array_equal(again.logits(test), model.logits(test), equal_nan=True)


def test_every_kind_of_head_is_named_alone_and_saved(fit, taxonomy, store, tmp_path):
    for kind in ("logistic", "mlp", "linear", "auto"):
        model, test = fit("text-clip", {"head": kind})
        assert model.record["head"] == model.kind
        assert model.seeded == (kind != "logistic")
        assert kind in ("auto", model.kind)
        model.save(tmp_path / kind)
        again = models.load(tmp_path / kind, taxonomy=taxonomy, store=store)
        assert again.kind == model.kind
        assert np.array_equal(again.logits(test), model.logits(test), equal_nan=True)


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("text-clip", {"head": "logistc"}, "'logistic', 'mlp'"),
        ("text-clip", {"head": "logistic", "loss": "focal"}, "loss 'bce' alone"),
        ("video-clip", {"head": "logistic", "pooling": "attention"}, "cannot learn pooling 'attention'"),
        ("clip-cross", {"head": "logistic"}, "'mlp' .or `clip-concat`."),
        ("clip-attention", {"head": "auto"}, "'mlp' .or `clip-concat`."),
        ("image-timm", {"head": "logistc"}, "'logistic', 'mlp'"),
        ("clip-cross", {"C": 1.0}, "unknown key 'C'"),
    ],
)
def test_a_head_that_a_model_cannot_have_is_refused_in_one_sentence(name, options, why):
    with pytest.raises(WorkbenchError, match=why):
        models.check(name, options)


def test_the_default_head_is_the_one_that_loses_less_on_validation(fit):
    tried = {kind: fit("clip-concat", {"head": kind})[0].record["loss"] for kind in ("logistic", "mlp")}
    model, _ = fit("clip-concat", {})
    assert model.record["losses"] == pytest.approx(tried)
    assert model.record["head"] == min(tried, key=tried.get)
    assert model.record["loss"] == min(tried.values())


def test_what_both_sides_tell_together_needs_a_hidden_layer(taxonomy, store, table):
    draw, rows = np.random.default_rng(0), []
    for number in range(900):
        first, second = draw.integers(2, size=2)
        labels = {name: bool(first == second) for name in taxonomy.names}
        rows.append({"text": f"word{first}", "image": f"word{second + 2}", "labels": labels, "group": f"g{number}"})
    train, validation, test = (table(rows[part], taxonomy) for part in (slice(600), slice(600, 750), slice(750, 900)))
    model = models.create("clip-concat", QUICK | {"epochs": 40}, taxonomy=taxonomy, store=store)
    model.fit(train, validation, seed=0)
    assert model.record["head"] == "mlp"
    assert model.record["losses"]["logistic"] > 0.68  # a line sees nothing
    scores, truth = model.logits(test)[:, 0], np.array([row["labels"]["abuse"] for row in rows[750:]])
    assert scores[truth].min() > scores[~truth].max()


def test_too_few_posts_to_choose_by_get_the_logistic_head_with_the_middle_strength(fit, taxonomy, store, table, rows):
    model = models.create("text-clip", QUICK, taxonomy=taxonomy, store=store)
    model.fit(table(rows(200, taxonomy, 1), taxonomy), table(rows(12, taxonomy, 2), taxonomy), seed=0)
    assert model.record["head"] == "logistic"
    assert list(model.record["losses"]) == ["logistic"]
    assert set(model.record["C"].values()) == {STRENGTHS.default[len(STRENGTHS.default) // 2]}


def test_each_side_of_a_post_has_its_own_penalty(fit):
    model, test = fit("clip-concat", {"head": "logistic"})
    assert list(model.record["C"]) == ["abuse", "nudity"]
    assert all(set(sides) == {"text", "vision"} for sides in model.record["C"].values())
    assert fit("clip-concat", {"head": "logistic", "C": 0.5})[0].record["C"]["abuse"] == {"text": 0.5, "vision": 0.5}
    assert not np.allclose(fit("clip-concat", {"head": "logistic", "C": 1e-4})[0].logits(test), model.logits(test))


@pytest.mark.parametrize(
    "more", [{"class_weight": "balanced"}, {"class_weight": {"nudity": 9}}, {"upsample": 0.5}, {"labels": "hard"}]
)
def test_a_logistic_head_reads_what_weighs_posts(fit, more):
    model, test = fit("text-clip", {"head": "logistic"})
    other, _ = fit("text-clip", {"head": "logistic", **more})
    same = np.allclose(other.logits(test), model.logits(test), equal_nan=True)
    assert same == ("labels" in more)  # there are no shares here


@pytest.mark.parametrize("pooling", ["max", "mean", "noisy-or"])
def test_a_logistic_head_learns_from_the_frames_of_clips(fit, pooling):
    model, test = fit("video-clip", {"head": "logistic", "pooling": pooling}, clips=True)
    logits = model.logits(test)
    assert np.isfinite(logits).any()
    assert model.record["loss"] < 0.69


@pytest.mark.parametrize(
    "more",
    [
        {"loss": "focal"},
        {"class_weight": "balanced"},
        {"class_weight": 3},
        {"class_weight": {"nudity": 0.2}},
        {"upsample": 0.5},
        {"loss": "hinge"},
    ],
)
def test_what_trains_a_head_changes_its_scores(fit, more):
    plain, test = fit("clip-cross", {})
    other, _ = fit("clip-cross", more)
    assert not np.allclose(plain.logits(test), other.logits(test), equal_nan=True)
    assert models.parse("clip-cross", other.options.model_dump(mode="json")) == other.options


@pytest.mark.parametrize("name", ["clip-cross", "text-tfidf"])
def test_a_positive_that_weighs_more_scores_higher_in_its_own_label_only(fit, name):
    plain, test = fit(name, {})
    heavy, _ = fit(name, {"class_weight": {"nudity": 10}})
    more = np.nanmean(heavy.logits(test) - plain.logits(test), axis=0)
    assert more[1] > 5 * abs(more[0])
    assert more[1] > 0.5
    with pytest.raises(WorkbenchError, match=r"label in class_weight 'nudty'.*nudity"):
        fit(name, {"class_weight": {"nudty": 10}})


@pytest.mark.parametrize("wrong", [0, -1, "balancd", {"abuse": 0}, [1]])
@pytest.mark.parametrize("name", ["clip-cross", "text-tfidf", "author-profile"])
def test_a_class_weight_that_is_none_is_refused_in_one_sentence(name, wrong):
    with pytest.raises(WorkbenchError, match="class_weight") as caught:
        models.check(name, {"class_weight": wrong})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("other", [{"loss": "focal"}, {"class_weight": 2}, {"upsample": 0.1}])
def test_tuned_towers_read_no_other_loss_so_none_is_taken(other):
    with pytest.raises(WorkbenchError, match=f"towers are tuned by cross-entropy.*{next(iter(other))}"):
        models.check("clip-finetune", other)


def test_exclusive_labels_share_one_answer(fit, new_taxonomy):
    labels = tuple(Label(name=name, title=name, definition=name) for name in ("abuse", "nudity"))
    model, test = fit("text-clip", {"loss": "softmax"}, Taxonomy(labels=labels, exclusive=(("abuse", "nudity"),)))
    logits = model.logits(test)
    probs = 1 / (1 + np.exp(-logits[~np.isnan(logits).any(axis=1)]))
    assert (probs.sum(axis=1) < 1).all()  # "none of them" has the rest
    with pytest.raises(WorkbenchError, match="the taxonomy has no such set"):
        fit("text-clip", {"loss": "softmax"})
