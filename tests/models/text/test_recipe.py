"""The choice of n-grams: what is named wins, near-duplicates never help, a walk finds what is worth most."""

import numpy as np
import pyarrow as pa
import pytest

from workbench import models
from workbench.errors import WorkbenchError
from workbench.models.text import recipe
from workbench.models.text.ngrams import Ngrams, log_weighted
from workbench.models.text.recipe import FIXED, GRID, Posts, Vocabulary, Weighting
from workbench.schema import corpus_schema


@pytest.fixture
def corpus(taxonomy):
    """Make posts of random words, some with one that tells abuse, some of which are repeated with the same label."""

    def make(n, seed=0, times=1, told=0.7, each=0.3):
        rng, rows = np.random.default_rng(seed), []
        for group in range(n):
            harmful = bool(rng.random() < each)
            told_here = harmful and rng.random() < told
            own = [f"own{group}"] * (times > 1)
            words = " ".join([*rng.choice([f"w{i}" for i in range(40)], 6), *own, "walnut" if told_here else ""])
            labels = {"abuse": harmful, "nudity": group == 0}
            rows += [{"text": words, "group": f"{seed} {group}", "labels": labels}] * times
        rows = [{"post_id": f"{seed} {number}", **row} for number, row in enumerate(rows)]
        return pa.Table.from_pylist(rows, schema=corpus_schema(taxonomy))

    return make


@pytest.fixture
def fitted(corpus, taxonomy):
    def make(train=None, **options):
        train = corpus(150) if train is None else train
        return models.create("text-tfidf", options, taxonomy=taxonomy, store=None).fit(train, corpus(60, 1), seed=0)

    return make


# --------------------------------------------------------------------------------------------- what is chosen and kept


def test_what_is_named_is_kept_and_the_rest_is_chosen_from_the_grid(fitted):
    free = fitted().record
    for name, span in (("ngrams", GRID["ngrams"]), ("char_ngrams", GRID["char_ngrams"])):
        assert free["recipe"][name] is None or tuple(free["recipe"][name]) in span
    assert free["recipe"]["ratios"]["abuse"] in GRID["ratios"]
    assert free["C"]["abuse"] in GRID["C"]
    assert 0.5 < free["recipe"]["average_precision"]["abuse"] <= 1
    named = {"ngrams": [2, 2], "char_ngrams": None, "min_df": 3, "ratios": 0.25}
    record = fitted(**named).record
    assert {name: record["recipe"][name] for name in ("ngrams", "char_ngrams", "min_df")} | {"ratios": 0.25} == named
    assert record["recipe"]["ratios"] == {"abuse": 0.25, "nudity": 0.25}
    assert record["C"]["abuse"] in GRID["C"]
    assert fitted(ngrams=None).record["recipe"]["char_ngrams"] is not None
    assert fitted(C=[0.01, 0.02]).record["C"]["abuse"] in (0.01, 0.02)


def test_nothing_is_chosen_where_the_recipe_is_fixed_or_posts_are_too_few(fitted, corpus):
    expected = {"ngrams": [1, 2], "char_ngrams": [2, 5], "min_df": 2, "average_precision": {}}
    for model in (fitted(recipe="fixed"), fitted(corpus(20, each=0.4))):
        assert {name: model.record["recipe"][name] for name in expected} == expected
        assert model.record["recipe"]["ratios"]["abuse"] == FIXED["ratios"]
        assert model.record["C"]["abuse"] in FIXED["C"]
    assert fitted(recipe="fixed", min_df=1).record["recipe"]["min_df"] == 1


def test_a_rare_label_keeps_what_is_fixed_beside_one_that_is_chosen_for(fitted):
    model = fitted()  # a single post has nudity
    assert set(model.record["recipe"]["average_precision"]) == {"abuse"}
    assert (model.recipe.ratios[1], model.recipe.C[1]) == (FIXED["ratios"], FIXED["C"])


def test_a_model_is_saved_with_the_n_grams_that_were_chosen(fitted, corpus, taxonomy, tmp_path):
    for options in ({}, {"ngrams": None, "char_ngrams": [4, 6]}):
        model = fitted(**options)
        model.save(tmp_path / "model")
        again = models.load(tmp_path / "model", taxonomy=taxonomy, store=None)
        assert [kind.span for kind in again.kinds] == [list(kind.span) for kind in model.kinds]
        assert again.record == model.record
        np.testing.assert_array_equal(again.logits(corpus(40, 2)), model.logits(corpus(40, 2)))


def test_repeated_posts_are_no_evidence_for_each_other(fitted, corpus):
    # Each post stands five times, with a word of its own, and nothing else tells its label.
    record = fitted(corpus(80, times=5, told=0.0, each=0.5), min_df=1).record
    assert record["recipe"]["average_precision"]["abuse"] < 0.65


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_df": 0}, "min_df must be at least 1, not 0"),
        ({"ratios": 2}, "ratios must be from 0 to 1, not 2"),
        ({"recipe": "best"}, "recipe: Input should be 'auto' or 'fixed'"),
        ({"ngrams": [2, 1], "char_ngrams": None}, "ngrams must be two numbers"),
    ],
)
def test_wrong_options_are_refused_in_one_sentence(options, said):
    with pytest.raises(WorkbenchError, match=said):
        models.check("text-tfidf", options)


# -------------------------------------------------------------------------------------------------------- how it walks


class MadeUp:
    """A worth of each candidate that adds up from its parts."""

    def __init__(self, **best):
        self.best, self.asked = best, set()

    def worth(self, vocabulary, k, weighting):
        self.asked.add((vocabulary, k, weighting))
        parts = {**vocabulary._asdict(), **weighting._asdict()}
        return 0.5 + 0.05 * sum(parts[name] == value for name, value in self.best.items())


def test_the_walk_finds_what_is_worth_most_in_few_trials():
    trials = MadeUp(ngrams=(1, 3), char_ngrams=None, min_df=10, ratios=0.0, C=3.0)
    vocabulary, found = recipe._walk(trials, GRID, [0])
    assert vocabulary == Vocabulary((1, 3), None, 10)
    assert found == {0: Weighting(0.0, 3.0)}
    assert len(trials.asked) <= 18  # a fit in three folds each, of which a rough one costs a fifth of a fit


def test_each_label_has_its_own_weighting_and_all_share_the_n_grams():
    class ByLabel(MadeUp):
        def worth(self, vocabulary, k, weighting):
            likes = weighting.ratios == (0.0, 1.0)[k], (0.3, 3.0)[k] == weighting.C, vocabulary.min_df == (2, 5)[k]
            return 0.5 + 0.1 * likes[0] + 0.1 * likes[1] + (0.05, 0.2)[k] * likes[2]

    vocabulary, found = recipe._walk(ByLabel(), GRID, [0, 1])
    assert found == {0: Weighting(0.0, 0.3), 1: Weighting(1.0, 3.0)}
    assert vocabulary.min_df == 5  # label 1 gains .2 by it, label 0 loses .05


def test_a_gain_that_chance_explains_moves_nothing():
    class Hardly(MadeUp):
        def worth(self, vocabulary, k, weighting):
            return 0.7 + (0.002, 0.004)[vocabulary.min_df == 5] * (vocabulary.min_df != 2)

    start = Vocabulary((1, 2), (2, 5), 2)
    assert recipe._walk(Hardly(), GRID, [0])[0] == start._replace(min_df=5)  # .004 of .3; .002 would not do
    grid = GRID | {"min_df": (2, 1, 10)}
    assert recipe._walk(Hardly(), grid, [0])[0] == start


@pytest.mark.parametrize(("analyzer", "name"), [("word", "ngrams"), ("char_wb", "char_ngrams")])
def test_columns_of_the_widest_counts_are_what_counting_alone_gives(analyzer, name):
    texts = ["a b a bc", "I am what I am", "abcdefg, a b!", "what? a", "u", "", "bc bc what I"]
    spans = [span for span in GRID[name] if span]
    wide = recipe._Counted.of(analyzer, spans, texts)
    for span in spans:
        for least in (1, 2):
            alone = log_weighted(Ngrams(analyzer, span).learn(texts, least))[0]
            mine = wide.columns(span, least)
            assert mine.shape == alone.shape
            np.testing.assert_allclose(np.sort(mine.toarray(), axis=1), np.sort(alone.toarray(), axis=1))
    # A span that is named alone may begin where a short word is a run of its own.
    only = recipe._Counted.of("char_wb", [(4, 6)], texts)
    assert only.columns((4, 6), 1).shape == Ngrams("char_wb", (4, 6)).learn(texts, 1).shape


def test_no_label_is_chosen_for_that_a_fold_alone_has():
    y = np.array([[1.0, 1.0]] * 12 + [[0.0, 0.0]] * 24)
    known, fold = np.ones(y.shape, bool), np.repeat([0, 1, 2], 12)  # all harm is in fold 0
    for folded, able in ((fold, []), (np.arange(36) % 3, [0, 1])):
        assert Posts([""] * 36, y, known, y > 0.5, known, folded).labels() == able
