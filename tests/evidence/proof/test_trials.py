"""What is counted in a sample of the synthetic world, and how much is simulated."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from workbench.decisions.objective import Objective
from workbench.evidence.proof import trials
from workbench.evidence.proof.simulated_worlds import FAMILIES, SimulatedWorlds
from workbench.evidence.proof.trials import ProofOptions, SimulatedTrial, ThresholdClaim, threshold_claims

OPTIONS = ProofOptions(resamples=100, draws=99, population=10_000)
WORLDS = SimulatedWorlds(FAMILIES, population=10_000)
GROUPS, POSTS = "groups resampled", "posts resampled"


@pytest.fixture
def trial():
    return SimulatedTrial(WORLDS, 1000, OPTIONS, threshold_claims(), full=True)


# ----------------------------------------------------------------------------------------------------------- the sizes


def test_the_sizes_of_a_proof():
    assert ProofOptions().model_dump() == {
        "worlds": 1000,
        "families": 3000,
        "smaller": (500, 1000),
        "resamples": 1000,
        "draws": 999,
        "population": 1_500_000,
        "pairs": 500,
        "seed": 0,
        "jobs": 2,
    }


def test_the_sizes_of_a_quick_look():
    assert ProofOptions.quick().model_dump() == {
        "worlds": 40,
        "families": 2000,
        "smaller": (500,),
        "resamples": 120,
        "draws": 199,
        "population": 300_000,
        "pairs": 20,
        "seed": 0,
        "jobs": 2,
    }


LEAST = {"worlds": 20, "families": 100, "resamples": 100, "draws": 99, "population": 10_000, "pairs": 20, "seed": 0}


@pytest.mark.parametrize(("name", "least"), [*LEAST.items(), ("jobs", 1)])
def test_sizes_have_a_least_value(name, least):
    assert getattr(ProofOptions(**{name: least}), name) == least
    with pytest.raises(ValidationError, match="greater than or equal"):
        ProofOptions(**{name: least - 1})


def test_thresholds_are_chosen_for_two_targets_in_two_ways():
    told = [(one.name, one.metric, one.target, one.method, one.sure) for one in threshold_claims()]
    assert told == [
        (f"{metric} of at least 80 %", metric, 0.8, method, sure)
        for metric in ("recall", "precision")
        for method, sure in (("with a guarantee", 0.95), ("best on validation", None))
    ]


def test_no_threshold_serves_what_cannot_be_had():
    y, score = np.arange(40) % 2 == 0, np.linspace(-1, 1, 40)
    sure = Objective(precision=0.9, sure=0.9)
    assert trials.chosen(y, score, np.arange(40), objective=sure) is None
    told = trials.chosen(y, score + 9.0 * y, np.arange(40), objective=Objective(recall=1.0))
    assert score[1::2].max() < told <= (score + 9.0)[::2].min() + 1e-9


# ------------------------------------------------------------------------------------------------- one world, in full

# low and high of each interval: words, both and their difference, of average precision, recall and precision. Drawn,
# resampled and swapped by numpy's generators: another order of draws, another interval or other sizes change the rows.
INTERVALS = {
    GROUPS: [
        [[0.34594741, 0.67382775], [0.52112916, 0.97331549], [0.15047873, 0.55340129]],
        [[0.33468481, 0.60442064], [0.56778428, 0.83784095], [0.0072052523, 0.50374365]],
        [[0.49111425, 0.77601917], [0.70293381, 0.94179161], [0.076218299, 0.35259154]],
    ],
    POSTS: [
        [[0.41793526, 0.60346005], [0.75700057, 0.92722927], [0.23891429, 0.46496573]],
        [[0.38410124, 0.5520665], [0.64061221, 0.79200359], [0.13569081, 0.3752581]],
        [[0.55326246, 0.72972126], [0.7879325, 0.91153754], [0.13669255, 0.29211729]],
    ],
}
METRICS = ("average precision", "recall", "precision")


def truths(metric):
    words, both = (WORLDS.truth[name, metric.replace(" ", "_")] for name in ("words", "both"))
    return words, both, both - words


def test_the_intervals_of_a_world(trial, heard):
    values = heard(trials.intervals, "value_interval")
    differences = heard(trials.intervals, "difference_interval")
    counts = trial(0)
    ends = np.concatenate([
        np.reshape([interval for _, _, interval in values], (2, 3, 2, 2)),
        np.reshape([interval for _, _, interval in differences], (2, 3, 1, 2)),
    ], axis=2)  # fmt: skip
    np.testing.assert_allclose(ends, list(INTERVALS.values()), rtol=1e-6)
    wanted = {
        ("interval" if method == GROUPS else "interval of posts", metric + what, method): low <= truth <= high
        for method, rows in INTERVALS.items()
        for metric, row in zip(METRICS, rows, strict=True)
        for what, (low, high), truth in zip((" of words", " of both", ", difference"), row, truths(metric), strict=True)
    }
    assert {key: n for key, n in counts.items() if key[0] in ("interval", "interval of posts")} == wanted
    assert 0 < sum(not held for held in wanted.values()) < len(wanted)
    assert {about["units"] for _, about, _ in values} == {counts["positives"]} == {73}
    assert [about["share"] for _, about, _ in values] == [False, False, True, True, True, True] * 2


def test_the_intervals_are_of_the_level_that_is_named(trial, heard, monkeypatch):
    asked = heard(trials.intervals, "value_interval"), heard(trials.intervals, "difference_interval")
    trial(0)
    wide = [[high - low for _, _, (low, high) in kept] for kept in asked]
    for kept in asked:
        kept.clear()
    monkeypatch.setattr(trials, "ALPHA", 0.5)
    trial(0)
    for kept, before in zip(asked, wide, strict=True):
        assert all(high - low < least for (_, _, (low, high)), least in zip(kept, before, strict=True))


def test_the_tests_and_thresholds_of_a_world(trial, heard):
    tests, leaks = heard(trials.testing, "permutation_test"), heard(trials.testing, "one_sided_p")
    thresholds = heard(trials, "choose")
    counts = trial(0)
    np.testing.assert_allclose([found for _, _, found in tests], [[-0.060594119, 0.47], [0.060430715, 0.45]], rtol=1e-6)
    np.testing.assert_allclose([p for _, _, p in leaks], [0.52651281, 0.0056898465], rtol=1e-6)
    at = [found["label"].review_at for _, _, found in thresholds]
    assert at[2] is None
    odds = np.log([p / (1 - p) for p in at if p is not None])
    np.testing.assert_allclose(odds, [-1.2629330, 0.40245834, -1.6023951], rtol=1e-6)
    assert counts["planted"] == pytest.approx(0.060430715, rel=1e-6)
    assert counts["se"] == pytest.approx(0.076155989, rel=1e-6)
    recall, precision = "recall of at least 80 %", "precision of at least 80 %"
    assert {key[1:]: n for key, n in counts.items() if isinstance(key, tuple) and "interval" not in key[0]} == {
        ("a difference found where there is none", "groups swapped"): 0,
        ("a planted difference found", "groups swapped"): 0,
        ("the test for leaks trips for the optimal model", GROUPS): 0,
        ("the test for leaks trips for the leaky model", GROUPS): 1,
        (f"{recall} is missed", "with a guarantee"): 0,
        (f"{recall}: a threshold is found", "with a guarantee"): 1,
        (f"{recall} is missed", "best on validation"): 0,
        (f"{recall}: a threshold is found", "best on validation"): 1,
        (f"{precision} is missed", "with a guarantee"): 0,
        (f"{precision}: a threshold is found", "with a guarantee"): 0,
        (f"{precision} is missed", "best on validation"): 0,
        (f"{precision}: a threshold is found", "best on validation"): 1,
    }


def test_a_threshold_for_precision_comes_from_families(trial, heard):
    thresholds = heard(trials, "choose")
    counts = trial(1)
    odds = [np.log(p / (1 - p)) for p in (found["label"].review_at for _, _, found in thresholds)]
    np.testing.assert_allclose(odds, [0.17219405, 1.6997122, 0.76048405, -2.2859988], rtol=1e-6)
    kinds = {key: n for key, n in counts.items() if key[0] in ("plain", "promise", "power", "level")}
    assert kinds == {
        ("promise", "recall of at least 80 % is missed", "with a guarantee"): 0,
        ("plain", "recall of at least 80 % is missed", "best on validation"): 1,
        ("promise", "precision of at least 80 % is missed", "with a guarantee"): 0,
        ("plain", "precision of at least 80 % is missed", "best on validation"): 1,
        ("power", "a planted difference found", "groups swapped"): 1,
        ("level", "a difference found where there is none", "groups swapped"): 0,
    }


def test_a_small_trial_has_intervals_alone():
    small = SimulatedTrial(WORLDS, 100, OPTIONS, full=False)
    counts = small(0)
    assert {key[0] for key in counts if isinstance(key, tuple)} == {"interval"}
    assert len(counts) == 1 + 9
    assert "_everything" not in vars(small.worlds)
    assert small.worlds.population == 10_000


# ----------------------------------------------------------------------------------------------------------- the bounds


@pytest.mark.parametrize(("value", "difference"), [((0.5, 1.0), (0.0, 1.0)), ((0.0, 0.5), (-1.0, 0.0))])
def test_an_interval_holds_its_bounds(trial, monkeypatch, value, difference):
    monkeypatch.setattr(trials.intervals, "value_interval", lambda *draws, **about: value)
    monkeypatch.setattr(trials.intervals, "difference_interval", lambda *draws, **about: difference)
    trial.full, trial.truth = False, dict.fromkeys(trial.truth, 0.5)
    counts = trial(0)
    assert [n for key, n in counts.items() if key != "positives"] == [1] * 9


def test_a_p_at_the_level_is_a_finding_and_one_at_that_of_leaks_is_none(trial, monkeypatch):
    monkeypatch.setattr(trials.testing, "permutation_test", lambda *about, **more: (0.1, 0.05))
    monkeypatch.setattr(trials.testing, "one_sided_p", lambda *about: 0.01)
    kinds = {key[0]: n for key, n in trial(0).items() if key[0] in ("level", "power", "leak", "no leak")}
    assert kinds == {"level": 1, "power": 1, "leak": 0, "no leak": 0}


@pytest.mark.parametrize(("at", "above", "found", "missed"), [(0.3, 0.0, 1, 0), (0.3, 1e-9, 1, 1), (None, 0.0, 0, 0)])
def test_a_threshold_misses_below_its_target_alone(trial, at, above, found, missed):
    target = trial.curve.at(0.3, "recall") + above
    trial.threshold_claims = [ThresholdClaim("recall", lambda y, score, group: at, "recall", target, "method")]
    counts = trial(0)
    assert counts["chosen", "recall: a threshold is found", "method"] == found
    assert counts["plain", "recall is missed", "method"] == missed
    assert "promise" not in {key[0] for key in counts}


def test_ties_are_broken_at_random_and_nothing_else_moves():
    score = np.array([3.0, 1.0, 1.0, 2.0, 1.0])
    seen = {tuple(trials._untied(score, np.random.default_rng(seed)).astype(int)) for seed in range(100)}
    assert {(ranks[0], ranks[3]) for ranks in seen} == {(4, 3)}
    assert len(seen) == 6  # all orders of the three that tie
