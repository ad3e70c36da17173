"""Prompts against posts by hand, in the fake encoder's vectors."""

import logging

import numpy as np
import pytest
import yaml

from workbench import models
from workbench.errors import WorkbenchError
from workbench.models.heads.zeroshot import Prompts

SIDES = {"abuse": {"harmful": ["abuseword", "rude"], "benign": ["word1"]}, "nudity": {"harmful": ["nudityword"]}}


@pytest.fixture
def write(tmp_path):
    """The function that writes a file of prompts and returns its path."""

    def write(**changed):
        path = tmp_path / "prompts.yaml"
        values = {"templates": ["{}", "see {}"], "benign": ["word2"], "contrast": False, "labels": SIDES} | changed
        path.write_text(yaml.safe_dump(values))
        return str(path)

    return write


def make(taxonomy, store, path, **options):
    return models.create(
        "clip-zeroshot", {"encoder": "words", "prompts": path, "scale": 3.0} | options, taxonomy=taxonomy, store=store
    )


def unit(vector):
    return vector / np.linalg.norm(vector)


def test_the_logit_is_the_log_odds_of_a_softmax_over_prompts(taxonomy, store, table, write):
    posts = table([{"text": "rude cats"}, {"image": "word1 | abuseword word3"}], taxonomy)
    model = make(taxonomy, store, write()).fit(posts, posts, seed=0)
    encoder = store.encoder("words")

    def vector(text):
        return unit(encoder.encode_text([text]).values[0])

    def logit(post):
        def prompt(words):
            return unit(vector(words) + vector(f"see {words}"))

        at = {words: 3 * vector(post) @ prompt(words) for words in ("abuseword", "rude", "word1", "word2")}
        harmful, benign = (np.exp([at[w] for w in side]).sum() for side in (("abuseword", "rude"), ("word1", "word2")))
        return np.log(harmful) - np.log(benign)

    expected = [logit("rude cats"), max(logit("word1"), logit("abuseword word3"))]
    np.testing.assert_allclose(model.logits(posts)[:, 0], expected, rtol=1e-3, atol=1e-3)


def test_a_post_counts_by_its_highest_part(taxonomy, store, table, write):
    posts = [{"text": "rude", "image": "word1", "video": "word2|abuseword"}]
    posts += [{"text": "rude"}, {"image": "word1"}, {"video": "word2|abuseword"}]
    posts = table(posts, taxonomy)
    logits = make(taxonomy, store, write()).fit(posts, posts, seed=0).logits(posts)
    np.testing.assert_allclose(logits[0], logits[1:].max(axis=0), atol=1e-6)


def test_neither_labels_nor_posts_are_looked_at(taxonomy, store, table, rows, write):
    posts = table(rows(20, taxonomy, 1), taxonomy)
    empty = posts.slice(0, 0)
    trained = [make(taxonomy, store, write()).fit(t, v, seed=s) for t, v, s in ((posts, empty, 0), (empty, posts, 5))]
    assert np.array_equal(*(model.logits(posts) for model in trained), equal_nan=True)


def test_a_label_without_prompts_is_unknown_and_that_is_said(taxonomy, store, table, write, caplog):
    posts = table([{"text": "rude"}], taxonomy)
    path = write(labels={"abuse": SIDES["abuse"], "elsewhere": SIDES["abuse"]})
    with caplog.at_level(logging.WARNING):
        model = make(taxonomy, store, path).fit(posts, posts, seed=0)
    assert "has no prompts for nudity; posts get no score there" in caplog.text
    logits = model.logits(posts)
    assert np.isfinite(logits[0, 0])
    assert np.isnan(logits[0, 1])
    assert np.isnan(model.constants).tolist() == [False, True]


def test_what_harms_under_another_label_is_harmless_under_this_one():
    prompts = Prompts.parse({"benign": ["word2"], "labels": SIDES}, "x")
    assert prompts.of("abuse") == {"harmful": ("abuseword", "rude"), "benign": ("word2", "word1", "nudityword")}
    assert prompts.of("nudity") == {"harmful": ("nudityword",), "benign": ("word2", "abuseword", "rude")}
    assert prompts.of("spam") == {}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"templates": ["see"]}, r"template 'see' has no \{\}"),
        ({"labels": {"spam": {"harmful": ["x"]}}}, "has none of the labels abuse, nudity"),
        ({"labels": {"abuse": {"harmful": [" "]}}}, "label 'abuse' has a blank prompt"),
        ({"labels": {"abuse": {"harmful": ["x"]}}, "benign": []}, "nothing harmless to compare with"),
        ({"labels": {"abuse": {"harmful": []}}}, "harmful"),
        ({"colour": 1}, "unknown key 'colour'"),
        (
            {"labels": {"abuse": {"harmful": ["unreadable"]}}, "templates": ["{}"]},
            "cannot read the prompt 'unreadable'",
        ),
    ],
)
def test_a_file_that_makes_no_sense_is_one_sentence(taxonomy, store, table, write, changed, said):
    posts = table([{"text": "rude"}], taxonomy)
    with pytest.raises(WorkbenchError, match=said) as caught:
        make(taxonomy, store, write(**changed)).fit(posts, posts, seed=0)
    assert "\n" not in str(caught.value)


def test_the_prompts_are_part_of_what_a_run_depends_on(write):
    path = write()
    assert next(str(p) for p in models.artefacts("clip-zeroshot", {"prompts": path})) == path
    shipped = models.artefacts("clip-zeroshot")[0]
    assert shipped.name == "prompts.yaml"
    assert shipped.is_file()


def test_another_encoder_under_the_same_name_is_refused(taxonomy, store, store_of, table, write, tmp_path):
    posts = table([{"text": "rude"}], taxonomy)
    make(taxonomy, store, write()).fit(posts, posts, seed=0).save(tmp_path / "model")
    with pytest.raises(WorkbenchError, match="another encoder than 'words'"):
        models.load(tmp_path / "model", taxonomy=taxonomy, store=store_of(version=2))
