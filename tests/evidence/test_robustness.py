"""What survives evasion, counted by hand: thresholds on clean negatives, the same posts before and after."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import WorkbenchError
from workbench.evidence import robustness
from workbench.evidence.robustness import POOLED, RobustnessOptions, cost_of_variants, cut
from workbench.schema import Label, Taxonomy, corpus_schema, label_matrix

NAMES = ("abuse", "nudity")
TAXONOMY = Taxonomy(labels=tuple(Label(name=name, title=name, definition=name) for name in NAMES))
# four who attack (one of them twice over), four who do not; a word list finds `idiot` and nothing else
TEXTS = ["idiot", "idiot there", "total idiot", "a fool", "hello", "good day", "see you", "idiot savant"]
ABUSE = [True, True, True, True, False, False, False, False]
NUDITY = [True, None, False, False, False, False, False, False]
GROUPS = ["a", "a", "b", "c", "d", "e", "f", "g"]


@pytest.fixture(scope="module")
def posts() -> pa.Table:
    rows = [
        {"post_id": f"p{n}", "text": text, "group": group, "labels": {"abuse": abuse, "nudity": nudity}}
        for n, (text, abuse, nudity, group) in enumerate(zip(TEXTS, ABUSE, NUDITY, GROUPS, strict=True))
    ]
    return pa.Table.from_pylist(rows, schema=corpus_schema(TAXONOMY))


def listed(posts: pa.Table) -> np.ndarray:
    """A list of one word, for both labels; it sees nothing in a post without words."""
    hit = [np.nan if text is None else float("idiot" in text) for text in posts["text"].to_pylist()]
    return np.array([hit, hit]).T


def measured(posts, score=listed, **options):
    y, known = label_matrix(posts, TAXONOMY)
    given = RobustnessOptions(**{"attacks": ("leet",), "strengths": (1.0,), "fpr": 0.25, "resamples": 200} | options)
    rows = robustness.robustness({"list": score}, posts, y, known, NAMES, given)
    return {(row["attack"], row["strength"], row["label"]): row for row in rows}


def test_a_word_list_catches_nothing_in_leet_and_everything_it_did_before_with_praise(posts):
    found = measured(posts, attacks=("leet", "praise"))
    leet, praise = found["leet", 1.0, "abuse"], found["praise", 1.0, "abuse"]
    # one of four clean posts may be flagged, and `idiot savant` is: the threshold is above its neighbours at 0
    assert 0 < leet["threshold"] <= 1
    assert (leet["n"], leet["before"], leet["recall"], leet["lost"]) == (4, 0.75, 0.0, 0.75)
    assert (praise["n"], praise["before"], praise["recall"], praise["lost"]) == (4, 0.75, 0.75, 0.0)
    assert leet["few"]
    assert leet["lost_lo"] <= 0.75 <= leet["lost_hi"]
    # nudity: two of its six negatives have the word and only one may be flagged, so the one positive is not caught
    assert (found["leet", 1.0, "nudity"]["n"], found["leet", 1.0, "nudity"]["before"]) == (1, 0.0)
    # the pool is of (post, label) pairs: 3 of 4 and 0 of 1
    assert (found["leet", 1.0, POOLED]["n"], found["leet", 1.0, POOLED]["before"]) == (5, 0.6)


def test_where_no_negative_may_be_flagged_the_threshold_is_above_all_of_them(posts):
    row = measured(posts, fpr=0.1)["leet", 1.0, "abuse"]  # 0.1 of four is less than one
    assert row["threshold"] > 1
    assert row["before"] == 0.0


def test_an_attack_that_no_post_can_have_is_undefined_and_not_zero(posts):
    row = measured(posts, attacks=("leet+blur",))["leet+blur", 1.0, "abuse"]
    assert row["n"] == 0
    assert all(np.isnan(row[name]) for name in ("before", "recall", "lo", "hi", "lost", "lost_lo", "lost_hi"))


def test_models_see_the_same_disguise_and_only_of_harmful_posts(posts):
    seen: list[list[str]] = []

    def spy(given: pa.Table) -> np.ndarray:
        seen.append(given["text"].to_pylist())
        return listed(given)

    y, known = label_matrix(posts, TAXONOMY)
    options = RobustnessOptions(attacks=("typos",), strengths=(0.5, 1.0), fpr=0.25, resamples=100)
    robustness.robustness({"one": spy, "other": spy}, posts, y, known, NAMES, options)
    clean, again, weak, weak_again, strong, strong_again = seen
    assert clean == again == TEXTS
    assert weak == weak_again
    assert strong == strong_again
    assert len(weak) == len(strong) == 4


def test_a_post_that_a_model_does_not_see_is_not_flagged(posts):
    found = measured(posts, score=lambda given: np.full((len(given), 2), np.nan))
    assert found["leet", 1.0, "abuse"]["before"] == 0.0


def test_scores_of_the_wrong_shape_and_options_that_do_not_exist_are_refused(posts):
    with pytest.raises(WorkbenchError, match=r"shape \(8, 1\) for 8 posts and 2 labels"):
        measured(posts, score=lambda given: listed(given)[:, :1])
    with pytest.raises(WorkbenchError, match="did you mean 'leet'"):
        RobustnessOptions.parse({"attacks": ["lete"]}, "attacks")
    with pytest.raises(WorkbenchError, match="strengths are from 0 to 1"):
        RobustnessOptions.parse({"strengths": [2]}, "attacks")


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20), st.sampled_from([0.001, 0.1, 0.25, 1 / 3, 0.5, 0.9]))
def test_a_threshold_flags_as_many_as_it_may_and_the_next_lower_one_more(scores, fpr):
    scores = np.array(scores, dtype=float)
    at = cut(scores, fpr)
    assert (scores >= at).mean() <= fpr + 1e-9
    below = scores[scores < at]
    if len(below):
        assert (scores >= below.max()).mean() > fpr - 1e-9


def test_without_a_negative_there_is_no_threshold():
    assert np.isnan(cut(np.array([]), 0.1))


def test_what_variants_cost_counted_by_hand():
    y, known = np.array([[1.0], [1], [0], [0], [0], [0]]), np.ones((6, 1), bool)
    without = np.array([[0.9], [0.2], [0.5], [0.3], [0.1], [0.0]])
    with_ = np.array([[0.9], [0.8], [0.6], [0.7], [0.1], [0.0]])  # one harmful and one clean post gain by a reading
    row = cost_of_variants(without, with_, y, known, ["abuse"], fpr=0.25)[0]
    # without: above 0.3, so 0.5 alone of four is flagged; with: 0.6 and 0.7 pass that threshold
    assert (row["negatives"], row["fpr_without"], row["alarms"]) == (4, 0.25, 0.5)
    assert row["lo"] < 0.5 < row["hi"]
    # each at its own: above 0.3 catches 0.9 alone; with variants above 0.6 catches both
    assert (row["positives"], row["recall_without"], row["recall_with"]) == (2, 0.5, 1.0)
