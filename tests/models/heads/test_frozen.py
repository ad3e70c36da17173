"""Options of heads on a whole model: heads of earlier versions, sets of exclusive labels, losses by name."""

from typing import Literal

import numpy as np
import pytest

from workbench import models
from workbench.errors import WorkbenchError
from workbench.models.heads.options import HeadOptions
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


class EarlierOptions(HeadOptions):
    """Those of a version with logistic heads, which were solved without an optimizer."""

    head: Literal["mlp", "linear", "logistic"] = "logistic"
    C: tuple[float, ...] = (0.1, 1.0)


def test_a_logistic_head_of_an_earlier_version_is_loaded_as_the_linear_one_that_it_is(fit, taxonomy, store, tmp_path):
    model, test = fit("text-clip", {"head": "linear"})
    model.options = EarlierOptions(**model.options.model_dump(exclude={"head"}))
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=store)
    assert again.options.head == "linear"
    assert np.array_equal(again.logits(test), model.logits(test), equal_nan=True)
    for options in ({"head": "logistic"}, {"C": 1.0}):  # a study asks for what there is
        with pytest.raises(WorkbenchError, match=next(iter(options))):
            models.check("text-clip", options)


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
