"""Models saved by earlier versions are read and score as they did."""

from pathlib import Path

import numpy as np
import pytest

from workbench import models
from workbench.errors import WorkbenchError

GOLDEN = Path(__file__).with_name("golden")


def test_a_model_whose_option_was_called_readings_scores_as_when_it_was_saved(taxonomy, table):
    # Saved on 2026-11-29: an ensemble of text-tfidf with `readings: false` and text-vectors with `readings: true`.
    model = models.load(GOLDEN / "readings", taxonomy=taxonomy, store=None)
    assert [member.options.variants for member in model.models] == [False, True]
    texts = ("abuseword word1", "word2 word3", "nud1tyword word4", "@busew0rd word5")
    posts = table([{"text": text} for text in texts], taxonomy)
    words = [[1.242948, -1.648865], [-0.471544, -1.358940], [-0.441095, -1.657623], [-0.840591, -1.014110]]
    vectors = [[0.879545, -1.003160], [-0.885446, -1.518619], [0.497996, -0.111085], [1.100277, -0.882052]]
    for member, expected in zip(model.models, (words, vectors), strict=True):
        np.testing.assert_allclose(member.logits(posts), expected, atol=1e-5)
    np.testing.assert_allclose(model.logits(posts), np.mean([words, vectors], axis=0), atol=1e-5)


HEAD = {"encoder": "words", "epochs": 1}


@pytest.mark.parametrize(
    ("name", "options", "earlier"),
    [
        (
            "late-fusion",
            {"members": [{"name": "text-clip", "options": HEAD}]},
            {"members": [{"name": "text-clip", "options": HEAD | {"tower_decay": 0.1}}]},
        ),
        (
            "ensemble",
            {"members": ["text-tfidf", {"name": "per-group"}]},
            {
                "members": [
                    {"name": "text-tfidf", "options": {"max_features": 9, "readings": True}},
                    {"name": "per-group", "options": {"base": {"name": "text-tfidf", "options": {"max_features": 9}}}},
                ]
            },
        ),
        ("per-group", {}, {"base": {"name": "text-tfidf", "options": {"max_features": 9}}}),
        ("misinformation", {}, {"text": {"name": "text-tfidf", "options": {"max_features": 9}}}),
        ("picture-words", {"ocr": False}, {"ocr": False, "options": {"max_features": 9}}),
        (
            "image-timm",
            {"encoder": "words", "head": {"epochs": 1}},
            {"encoder": "words", "head": {"epochs": 1, "tower_decay": 0.1}},
        ),
    ],
)
def test_a_model_made_of_models_is_read_by_the_options_that_these_had(world, name, options, earlier, tmp_path):
    model = models.create(name, options, taxonomy=world.taxonomy, store=world.store)
    model.fit(world.train, world.validation, seed=0)
    model.options = type(model.options).model_validate(type(model.options)().model_dump() | earlier)
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=world.taxonomy, store=world.store)
    np.testing.assert_array_equal(again.logits(world.test), model.logits(world.test))
    with pytest.raises(WorkbenchError, match="options of model"):  # a study is told
        models.check(name, earlier)
