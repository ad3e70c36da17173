"""Words and character n-grams: the weighting is scikit-learn's, the choice of C is validation's."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from workbench import models
from workbench.errors import WorkbenchError
from workbench.models.text.ngrams import Ngrams, log_count_ratios
from workbench.models.text.tfidf import TfidfOptions
from workbench.schema import label_matrix

TEXTS = ["you are a walnut", "you are kind", "a kind walnut, u see", "wallnut?! are u kind", "I see you you", "garden"]


@pytest.fixture
def corpus(table, taxonomy):
    def make(texts, harmful):
        labels = [{"abuse": word in text} for text, word in ((text, harmful) for text in texts)]
        posts = [{"text": text, "labels": row} for text, row in zip(texts, labels, strict=True)]
        return table(posts, taxonomy)

    return make


def test_the_features_are_those_of_tfidf_vectorizer(corpus, taxonomy):
    options = {"char_ngrams": None, "C": 2.0, "ratios": False}
    model = models.create("text-tfidf", options, taxonomy=taxonomy, store=None)
    train = corpus(TEXTS, "walnut")
    model.fit(train, train.slice(0, 0), seed=0)
    theirs = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    x = theirs.fit_transform(TEXTS)
    np.testing.assert_allclose(model._features(TEXTS).toarray(), x.toarray(), rtol=1e-12)
    y = label_matrix(train, taxonomy)[0][:, 0]
    expected = LogisticRegression(C=2.0, solver="liblinear", random_state=0).fit(x, y).decision_function(x)
    np.testing.assert_allclose(model.logits(train)[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize(("options", "tells"), [({}, False), ({"lowercase": False}, True)])
@pytest.mark.parametrize("char_ngrams", [None, (2, 3)])
def test_case_tells_words_apart_where_it_is_kept(corpus, taxonomy, tmp_path, options, tells, char_ngrams):
    train = corpus(["GO away now", "go away now"] * 20, "GO")
    about = {"recipe": "fixed", "char_ngrams": char_ngrams, "variants": False, **options}
    model = models.create("text-tfidf", about, taxonomy=taxonomy, store=None)
    model.fit(train, train, seed=0)
    loud, low = model.logits(train)[:2, 0]
    assert (loud > low) == tells
    assert (loud == low) != tells
    model.save(tmp_path)
    again = models.load(tmp_path, taxonomy=taxonomy, store=None)
    np.testing.assert_array_equal(again.logits(train), model.logits(train))


def test_ratios_say_how_differently_the_classes_use_an_ngram_and_scale_the_features(corpus, taxonomy):
    x = sparse.csr_array(np.array([[1, 0, 2], [1, 3, 0], [1, 1, 0]]))
    # Positives: the first post, with n-grams 0 and 2; counts plus one are 2, 1, 2 of 5. Negatives: 3, 3, 1 of 7.
    expected = np.abs(np.log([2 / 5, 1 / 5, 2 / 5]) - np.log([3 / 7, 3 / 7, 1 / 7]))
    np.testing.assert_allclose(log_count_ratios(x, np.array([True, False, False])), expected)
    train = corpus(TEXTS, "walnut")
    model = models.create("text-tfidf", {"C": 2.0}, taxonomy=taxonomy, store=None).fit(train, train, seed=0)
    scaled = normalize(model._features(TEXTS).toarray() * model.ratios[:, 0])
    expected = scaled @ model.weights[:, 0] + model.bias[0]
    np.testing.assert_allclose(model.logits(train)[:, 0], expected, rtol=1e-5)


def test_ngrams_below_min_df_are_left_out():
    kind = Ngrams("word", (1, 1))
    kind.learn(["a b c", "a b", "a d"], min_df=2)
    assert kind.vocabulary == ["a", "b"]  # in three and in two posts; c and d are in one
    assert kind.count(["a a x", "x"]).toarray().tolist() == [[2.0, 0.0], [0.0, 0.0]]


def test_a_model_saved_when_ngrams_could_be_limited_is_loaded(corpus, taxonomy, tmp_path):
    class EarlierOptions(TfidfOptions):
        """With the limit that there was."""

        max_features: int | None = 5

    train = corpus(TEXTS, "walnut")
    model = models.create("text-tfidf", {}, taxonomy=taxonomy, store=None).fit(train, train, seed=0)
    model.options = EarlierOptions()
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=None)
    assert np.array_equal(again.logits(train), model.logits(train), equal_nan=True)


@pytest.mark.parametrize("texts", [["?!", "...", "!", "?"], ["one", "two", "three", "four"]])
def test_texts_without_a_shared_ngram_get_the_prevalence(corpus, taxonomy, texts):
    options = {"char_ngrams": None}
    model = models.create("text-tfidf", options, taxonomy=taxonomy, store=None)
    train = corpus(texts, texts[0])
    logits = model.fit(train, train, seed=0).logits(train)
    # One positive of four posts, prevalence (1 + 1/2) / (4 + 1).
    np.testing.assert_allclose(logits[:, 0], np.log(1.5 / 3.5), rtol=1e-6)


def test_validation_chooses_c_per_label_and_the_middle_stands_where_it_cannot(corpus, taxonomy):
    draw = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(40)])
    texts = [" ".join([*draw.choice(words, 8), "walnut" * (n % 3 == 0)]) for n in range(90)]
    train, validation = corpus(texts[:60], "walnut"), corpus(texts[60:], "walnut")
    for held_out, choices in ((validation, {0.01, 1.0, 100.0}), (validation.slice(0, 12), {1.0})):
        options = {"C": [0.01, 100.0, 1.0], "char_ngrams": None}
        model = models.create("text-tfidf", options, taxonomy=taxonomy, store=None).fit(train, held_out, seed=0)
        assert set(model.record["C"]) == {"abuse"}
        assert model.record["C"]["abuse"] in choices
    ranked = {}
    for c in (0.01, 1.0, 100.0):
        alone = models.create(
            "text-tfidf", {"C": c, "char_ngrams": None, "recipe": "fixed"}, taxonomy=taxonomy, store=None
        )
        ranked[c] = alone.fit(train, validation, seed=0).logits(validation)[:, 0]
    chosen = models.create(
        "text-tfidf", {"C": [0.01, 1.0, 100.0], "char_ngrams": None, "recipe": "fixed"}, taxonomy=taxonomy, store=None
    )
    chosen.fit(train, validation, seed=0)
    np.testing.assert_array_equal(chosen.logits(validation)[:, 0], ranked[chosen.record["C"]["abuse"]])


def test_the_text_is_cleaned_by_the_options_before_it_is_counted(corpus, taxonomy):
    train = corpus(["Tom &amp; Jerry " * 2, "Tom & Jerry", "you", "you"], "Jerry")
    model = models.create("text-tfidf", {"text": {"mask_urls": True}}, taxonomy=taxonomy, store=None)
    model.fit(train, train, seed=0)
    assert not any("amp" in gram for kind in model.kinds for gram in kind.vocabulary)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ngrams": [2, 1]}, "ngrams must be two numbers"),
        ({"ngrams": None, "char_ngrams": None}, "cannot both be null"),
        ({"C": 0}, "C must be above 0"),
        ({"text": {"lowr": True}}, "did you mean 'lower'"),
    ],
)
def test_wrong_options_are_refused_in_one_sentence(options, said):
    with pytest.raises(WorkbenchError, match=said):
        models.check("text-tfidf", options)


def test_edos_is_learnt_to_the_level_that_is_published(workbench_data, taxonomy, tmp_path):
    from workbench import corpora
    from workbench.corpora import splits
    from workbench.metrics.table import METRICS

    config = {
        "source": "files",
        "path": str(workbench_data / "edos" / "edos_train_dev.csv"),
        "post_id": "rewire_id",
        "text": "text",
        "split": {"column": "split", "values": {"dev": "test"}},
        "labels": {"abuse": {"column": "label_sexist", "positive": ["sexist"], "negative": ["not sexist"]}},
    }
    posts = corpora.load(config, taxonomy, cache=tmp_path).table
    part = splits.assign(posts, taxonomy, splits.SplitOptions(validation=0.15))
    train, validation, test = (posts.filter(pa.array(part == name)) for name in splits.SPLITS)
    model = models.create("text-tfidf", {}, taxonomy=taxonomy, store=None).fit(train, validation, seed=0)
    (y, score), (truth, found) = (
        (label_matrix(rows, taxonomy)[0][:, 0], model.logits(rows)[:, 0]) for rows in (validation, test)
    )
    best = max(np.unique(score), key=lambda cut: METRICS["f1"](y, score, threshold=cut))
    assert METRICS["f1_macro"](truth, found, threshold=best) >= 0.74
