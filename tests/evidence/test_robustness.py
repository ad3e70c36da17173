"""What survives evasion, counted by hand: thresholds on clean negatives, the same posts before and after."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import WorkbenchError
from workbench.evidence import robustness
from workbench.evidence.attacks import evade
from workbench.evidence.robustness import POOLED, RobustnessOptions, cost_of_variants, cut
from workbench.metrics import intervals
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


# --------------------------------------------------------------------------------------------- thresholds and intervals


def test_a_threshold_at_its_limits():
    scores = np.array([3.0, 1.0, 2.0, 2.0])
    assert cut(scores, 0.25) == np.nextafter(2.0, np.inf)
    assert cut(scores, 0.249) == np.nextafter(3.0, np.inf)
    assert cut(scores, 0.75) == np.nextafter(1.0, np.inf)
    assert cut(scores, 1.0) == -np.inf
    assert cut(np.arange(1000.0), 0.029) == np.nextafter(970.0, np.inf)  # of 29, though 0.029 * 1000 is a bit less


def test_thresholds_are_of_known_negatives_label_by_label():
    scores = np.array([[1.0, 5], [2, 6], [3, 7], [4, 8]])
    y, known = np.array([[0, 0], [0, 1], [1, 0], [0, 0]]), np.array([[1, 1], [1, 1], [1, 0], [0, 1]], bool)
    assert robustness.thresholds(scores, y, known, 0.5).tolist() == np.nextafter([1.0, 5.0], np.inf).tolist()


def test_defaults_and_their_limits():
    options = RobustnessOptions()
    assert (options.strengths, options.fpr, options.seed, options.resamples) == ((0.5, 1.0), 0.01, 0, 1000)
    assert (options.alpha, options.few) == (0.05, 20)
    least = {
        "fpr": 1e-6,
        "seed": 0,
        "resamples": 100,
        "alpha": 1e-6,
        "few": 1,
        "strengths": (0.0,),
        "attacks": ("leet",),
    }
    most = {"fpr": 0.999, "alpha": 0.499, "strengths": (1.0,)}
    for allowed in (least, most):
        assert RobustnessOptions(**allowed)
    refused = [{"fpr": 0.0}, {"fpr": 1.0}, {"seed": -1}, {"resamples": 99}, {"alpha": 0.0}, {"alpha": 0.5}, {"few": 0}]
    refused += [{"strengths": ()}, {"attacks": ()}, {"strengths": (0.5, 1.1)}, {"strengths": (-0.1, 0.5)}]
    for wrong in refused:
        with pytest.raises(ValueError, match="validation error"):
            RobustnessOptions(**wrong)


def test_shares_and_intervals_are_those_of_the_groups_of_caught_pairs():
    rng = np.random.default_rng(0)
    rows, group = 30, np.array([f"g{k // 2}" for k in range(30)])
    y, caught = rng.random((rows, 2)) < 0.6, rng.random((2, rows, 2)) < np.array([0.8, 0.5])[:, None, None]
    options = RobustnessOptions(resamples=300, alpha=0.2, seed=4, few=17)
    found = robustness._rows(caught, y, group, np.array([1.5, 2.5]), NAMES, options)
    assert [row["label"] for row in found] == [*NAMES, POOLED]
    assert [row["threshold"] for row in found[:2]] == [1.5, 2.5]
    assert np.isnan(found[2]["threshold"])
    codes, n = intervals.group_codes(group)
    for row, columns in zip(found, ([0], [1], [0, 1]), strict=True):
        counts = [(hit[:, columns] & y[:, columns]).sum(axis=1) for hit in (*caught, np.ones_like(y))]
        before, after, of = (np.array([part[codes == k].sum() for k in range(n)]) for part in counts)
        sums = np.stack([before, after, before - after])
        draws = intervals.bootstrap(lambda W, sums=sums, of=of: sums @ W / (of @ W), n, 300, seed=4)
        assert row["n"] == of.sum()
        assert row["few"] == (of.sum() < 17)
        assert (row["before"], row["recall"]) == pytest.approx((before.sum() / of.sum(), after.sum() / of.sum()))
        assert row["lost"] == pytest.approx(row["before"] - row["recall"])
        assert (row["lo"], row["hi"]) == pytest.approx(intervals.value_interval(draws[1], alpha=0.2, units=n))
        lost = intervals.difference_interval(draws[0], draws[1], alpha=0.2)
        assert (row["lost_lo"], row["lost_hi"]) == pytest.approx(lost)
        assert row["lo"] < row["recall"] < row["hi"]
    assert [row["n"] for row in found] == [int(y[:, 0].sum()), int(y[:, 1].sum()), int(y.sum())]
    twenty = robustness._rows(caught[:, :20], y[:20] | True, group[:20], np.zeros(2), NAMES, RobustnessOptions())
    assert [row["few"] for row in twenty] == [False] * 3


def test_a_score_at_the_threshold_counts_as_caught_and_the_seed_decides_the_attack(posts):
    y, known = label_matrix(posts, TAXONOMY)
    ranks = {}

    def given(table: pa.Table) -> np.ndarray:
        texts = table["text"].to_pylist()
        ranks.setdefault(len(texts), []).append(texts)
        top = np.nextafter(1.0, 2.0)  # just what the threshold is where 1 is the highest score of a negative
        return np.array([[top, top] if abuse else [1.0, 1.0] for abuse in ABUSE[: len(texts)]])

    options = RobustnessOptions(attacks=("typos",), strengths=(0.5,), fpr=0.01, resamples=100)
    (abuse, _, _) = robustness.robustness({"one": given}, posts, y, known, NAMES, options)
    assert (abuse["before"], abuse["recall"], abuse["threshold"]) == (1.0, 1.0, np.nextafter(1.0, 2.0))
    assert (abuse["model"], abuse["attack"], abuse["strength"]) == ("one", "typos", 0.5)
    first = ranks[4][0]
    other = RobustnessOptions(attacks=("typos",), strengths=(0.5,), fpr=0.01, resamples=100, seed=8)
    robustness.robustness({"one": given}, posts, y, known, NAMES, other)
    harmful = posts.take(pa.array(range(4)))
    assert first == evade(harmful, "typos", 0.5, seed=0)["text"].to_pylist()
    assert ranks[4][1] == evade(harmful, "typos", 0.5, seed=8)["text"].to_pylist() != first


def test_a_label_that_is_not_known_is_neither_caught_nor_missed(posts):
    y, known = label_matrix(posts, TAXONOMY)
    y = np.where(known, y, 1.0)
    rows = robustness.robustness({"list": listed}, posts, y, known, NAMES, RobustnessOptions(attacks=("leet",)))
    assert [row["n"] for row in rows] == [4, 1, 5] * 2
    assert [row["strength"] for row in rows] == [0.5] * 3 + [1.0] * 3


def test_what_variants_cost_is_told_of_known_posts_with_wilsons_interval():
    rng = np.random.default_rng(2)
    without = np.round(rng.normal(size=(300, 2)) + 1.5 * (np.arange(300) < 100)[:, None], 1)
    with_ = np.maximum(without, np.round(rng.normal(size=(300, 2)) + 0.2, 1))
    y, known = (np.arange(300) < 100)[:, None].repeat(2, 1).astype(float), rng.random((300, 2)) < 0.9
    without[5, 0] = with_[5, 0] = with_[250, 1] = np.nan
    rows = cost_of_variants(without, with_, y, known, NAMES)
    for k, row in enumerate(rows):
        scores = [np.nan_to_num(part[:, k], nan=-np.inf) for part in (without, with_)]
        no, yes = known[:, k] & (y[:, k] == 0), known[:, k] & (y[:, k] == 1)
        at = [cut(part[no], 0.01) for part in scores]
        alarms = int(np.count_nonzero(scores[1][no] >= at[0]))
        assert row == {
            "label": NAMES[k],
            "negatives": np.count_nonzero(no),
            "fpr_without": np.count_nonzero(scores[0][no] >= at[0]) / np.count_nonzero(no),
            "alarms": alarms / np.count_nonzero(no),
            "lo": intervals.wilson(alarms, np.count_nonzero(no), 0.05)[0],
            "hi": intervals.wilson(alarms, np.count_nonzero(no), 0.05)[1],
            "positives": np.count_nonzero(yes),
            "recall_without": np.count_nonzero(scores[0][yes] >= at[0]) / np.count_nonzero(yes),
            "recall_with": np.count_nonzero(scores[1][yes] >= at[1]) / np.count_nonzero(yes),
        }
        assert 0 < row["fpr_without"] < row["alarms"] < 1
    no_negative = cost_of_variants(without[:9], with_[:9], y[:9], known[:9], NAMES)[0]
    assert np.isnan([no_negative["fpr_without"], no_negative["alarms"]]).all()
