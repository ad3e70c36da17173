"""Static word vectors: means by hand, files, variants, and what is saved."""

import numpy as np
import pytest

from workbench import models
from workbench.errors import WorkbenchError

TEXTS = ["a walnut fell", "the walnut fell down", "a garden grew", "the garden grew up"] * 6


@pytest.fixture
def corpus(table, taxonomy):
    def make(texts, harmful="walnut"):
        posts = [{"text": text, "labels": {"abuse": harmful in text}} for text in texts]
        return table(posts, taxonomy)

    return make


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "vectors.vec"
    path.write_text("walnut 3 0\ngarden 0 2\nfell 0 1\nunused 5 5\n", encoding="utf-8")
    return path


def fit(taxonomy, train, **options):
    return models.create("text-vectors", options, taxonomy=taxonomy, store=None).fit(train, train, seed=0)


def test_a_text_is_the_mean_of_unit_vectors_weighted_by_idf(corpus, taxonomy, file):
    model = fit(taxonomy, corpus(TEXTS), path=str(file))
    assert model.words == ["walnut", "garden", "fell"]
    # All three words are in 12 of 24 texts: idf log(25 / 13) + 1 for each, which the length of 1 takes away again.
    np.testing.assert_allclose(model._features(["walnut Fell", "garden", "none of them", "garden walnut walnut"]), [
        [np.sqrt(0.5), np.sqrt(0.5)], [0, 1], [0, 0], [2 / np.sqrt(5), 1 / np.sqrt(5)],
    ], atol=1e-7)  # fmt: skip
    rare = fit(taxonomy, corpus([*TEXTS, "walnut", "walnut"]), path=str(file))
    weights = np.log(27 / np.array([15, 13])) + 1  # walnut is in 14 of 26 texts, fell in 12
    np.testing.assert_allclose(rare._features(["walnut fell"])[0], weights / np.linalg.norm(weights), rtol=1e-6)
    assert fit(taxonomy, corpus([*TEXTS, "walnut"]), path=str(file), idf=False).vectors.max() == 1


def test_the_file_is_among_the_artefacts_and_not_needed_again(corpus, taxonomy, file, tmp_path):
    assert models.artefacts("text-vectors", {"path": str(file)}) == [file]
    assert models.artefacts("text-vectors", {}) == []
    model = fit(taxonomy, corpus(TEXTS), path=str(file))
    model.save(tmp_path / "model")
    expected = model.logits(corpus(TEXTS))
    file.unlink()
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=None)
    assert np.array_equal(again.logits(corpus(TEXTS)), expected, equal_nan=True)
    with pytest.raises(WorkbenchError, match="cannot be read"):
        fit(taxonomy, corpus(TEXTS), path=str(file))


def test_learnt_vectors_tell_the_classes_apart(corpus, taxonomy):
    scores = fit(taxonomy, corpus(TEXTS), dim=4).logits(corpus(["the walnut", "the garden"]))[:, 0]
    assert scores[0] > scores[1] + 1


def test_a_score_is_the_highest_of_the_variants_and_says_of_which(corpus, taxonomy):
    model = fit(taxonomy, corpus(TEXTS), dim=4)
    posts = corpus(["the w4lnut", "the walnut", "the g4rden"])
    made = model.predict(posts)
    np.testing.assert_allclose(made.logits[0, 0], made.logits[1, 0], rtol=1e-5)
    assert made.variants[:2, 0].tolist() == ["digits and signs read as letters", None]
    raw = fit(taxonomy, corpus(TEXTS), dim=4, variants=False).predict(posts)
    assert raw.logits[0, 0] < made.logits[0, 0]
    assert not raw.variants.any()


@pytest.mark.parametrize("spelling", [True, False])
def test_words_are_repaired_towards_the_training_texts_also_after_loading(corpus, taxonomy, tmp_path, spelling):
    model = fit(taxonomy, corpus(TEXTS), dim=4, text={"spelling": spelling})
    model.save(tmp_path / "model")
    for one in (model, models.load(tmp_path / "model", taxonomy=taxonomy, store=None)):
        wrong, right = one.logits(corpus(["the wallnut", "the walnut"]))[:, 0]
        assert (wrong == right) == spelling


def test_c_is_above_zero():
    with pytest.raises(WorkbenchError, match="C must be above 0"):
        models.check("text-vectors", {"C": [0]})
