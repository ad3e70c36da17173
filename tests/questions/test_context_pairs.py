"""Pairs for the context test: what their sentences share, and what a bag of words can make of them."""

from collections import Counter

import numpy as np
import pytest

from workbench.preprocessing.text.tokenizers import words
from workbench.questions import context_pairs
from workbench.questions.context_pairs import FRAMES, KIND, KINDS, PEOPLE, RUDE, pairs, ranked, table
from workbench.schema import Taxonomy, label_matrix


class Judge:
    """A model that scores a text by a function."""

    def __init__(self, score):
        self.taxonomy, self.score = Taxonomy.load(), score

    def logits(self, posts):
        scores = [self.score(text) for text in posts["text"].to_pylist()]
        return np.tile(np.array(scores, np.float32)[:, None], (1, len(self.taxonomy.names)))


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_pair_shares_its_words_or_its_rude_word(split):
    found = pairs(60, split, 0)
    assert [list(found.kind).count(kind) for kind in KINDS] == [30, 30]
    for bad, good, kind in zip(*found, strict=True):
        assert bad != good
        same = Counter(words(bad)) == Counter(words(good))
        assert same == (kind == KINDS[0])
        assert set(words(bad)) & set(words(good)) & set(RUDE)
        # In the abusive sentence the rude word stands right behind a person, in the harmless one never.
        near = [any(f"{person} {rude}" in text for person in PEOPLE for rude in RUDE) for text in (bad, good)]
        assert near == [True, False]


def test_training_and_test_share_no_frame_and_no_sentence():
    for train, test in zip(FRAMES["train"], FRAMES["test"], strict=True):
        assert not set(train) & set(test)
    train, test = (pairs(400, split, 0) for split in ("train", "test"))
    assert not {*train.abusive, *train.harmless} & {*test.abusive, *test.harmless}
    assert train == pairs(400, "train", 0)._replace(kind=train.kind)
    assert train.abusive != pairs(400, "train", 1).abusive


def test_weighing_single_words_ranks_half_of_the_same_words_rightly():
    weight = {"you": 1.3, "stupid": 2.1, "is": -0.4, "lock": -1.0}
    bag = ranked(Judge(lambda text: sum(weight.get(word, 0.1) for word in words(text))), pairs(100, "test", 0), "abuse")
    assert bag["same words"] == 0.5
    assert bag["same words lo"] < 0.5 < bag["same words hi"]


def test_who_reads_in_order_ranks_all_of_them_rightly_and_who_reads_it_backwards_none():
    def person(text):
        return float(any(f"{who} {rude}" in text for who in PEOPLE for rude in RUDE))

    found = pairs(100, "test", 0)
    right, wrong = (ranked(Judge(lambda text, sign=sign: sign * person(text)), found, "abuse") for sign in (1, -1))
    assert [right[kind] for kind in KINDS] == [1, 1]
    assert [wrong[kind] for kind in KINDS] == [0, 0]
    assert right["same words hi"] == 1


def test_the_corpus_knows_one_label_and_shows_kind_words_about_people_too():
    taxonomy = Taxonomy.load()
    posts = table(pairs(10, "train", 0), "abuse", taxonomy)
    y, known = label_matrix(posts, taxonomy)
    assert len(posts) == 40
    assert known.sum(axis=0).tolist() == [40 if name == "abuse" else 0 for name in taxonomy.names]
    assert y[:, taxonomy.names.index("abuse")].tolist() == [1, 0, 0, 0] * 10
    kind = posts["text"].to_pylist()[2::4]
    assert all(any(f"{who} {word}" == text for who in PEOPLE for word in KIND) for text in kind)


def test_a_small_model_of_words_cannot_and_one_of_phrases_can():
    taxonomy, quick = Taxonomy.load(), {"network": "linear"}
    shares = {}
    for scheme in ("words", "phrases"):
        model = context_pairs.trained({"scheme": scheme, **quick}, 60, "abuse", taxonomy, 0)
        shares[scheme] = ranked(model, pairs(100, "test", 0), "abuse")["same words"]
    assert shares["words"] == 0.5
    assert shares["phrases"] > 0.6
