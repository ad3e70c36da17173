"""Options of heads on a whole model: logistic heads in one pass, sets of exclusive labels, losses by name."""

import numpy as np
import pytest

from workbench import models
from workbench.errors import WorkbenchError
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


@pytest.mark.parametrize("name", ["text-clip", "image-clip", "clip-concat"])
def test_a_logistic_head_learns_chooses_a_penalty_per_label_and_is_saved(fit, taxonomy, store, tmp_path, name):
    model, test = fit(name, {"head": "logistic", "C": [0.1, 1.0, 10.0]})
    assert not model.seeded
    assert set(model.record["C"]) <= {0.1, 1.0, 10.0}
    half = "image" if name == "image-clip" else "text"
    told = np.array(
        [
            "abuseword" in (v if isinstance(v, str) else v["bytes"].decode()) if v else False
            for v in test[half].to_pylist()
        ]
    )
    scores = model.logits(test)[:, 0]
    seen = ~np.isnan(scores)
    assert scores[told].min() > np.median(scores[seen & ~told])
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=store)
    assert np.array_equal(again.logits(test), model.logits(test), equal_nan=True)


def test_a_logistic_head_wants_one_vector_a_post(fit):
    with pytest.raises(WorkbenchError, match="pooling: mean"):
        fit("video-clip", {"head": "logistic"}, clips=True)
    model, test = fit("video-clip", {"head": "logistic", "pooling": "mean"}, clips=True)
    assert np.isfinite(model.logits(test)).any()
    with pytest.raises(WorkbenchError, match="head"):
        models.check("clip-cross", {"head": "logistic"})


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
