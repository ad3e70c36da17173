"""The table of what is simulated and of what its shares must be."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest

from workbench.errors import WorkbenchError
from workbench.evidence.proof import settings
from workbench.evidence.proof.claims import OF, Band
from workbench.evidence.proof.settings import RemovalTrial, Setting, ShiftTrial, chosen
from workbench.evidence.proof.simulated_worlds import FAMILIES, SINGLE
from workbench.evidence.proof.trials import ProofOptions
from workbench.evidence.proof.winners import EQUAL, UNEQUAL
from workbench.metrics import testing

TABLE = settings.settings(ProofOptions(seed=3))
ABOUT = {"resamples": 400, "seed": 3}
COPIES = {"share": (0.93, 1.0, False), "or few": (0.9, 1.0, False)}
MARKED, UNMARKED = {"few": (0.95, 1.0, False)}, {"unmarked": (0.93, 1.0, False)}
RECIPE = {"level": (0.03, 0.07, False), "level at most": (0.0, 0.07, False)}
NOTICED = RECIPE | {"level alone": (0.03, 0.07, True)}
WINNER = {"chosen on validation": (0.0, 0.07, False)}
FOUND_OUT = WINNER | {"highest on test": (0.0, 0.07, True)}
WORLD = {
    "interval": (0.93, 0.97, False),
    "level": (0.035, 0.065, False),
    "promise": (0.0, pytest.approx(0.05), False),
    "leak": (0.95, 1.0, False),
    "no leak": (0.0, 0.02, False),
}


@pytest.mark.parametrize(
    ("name", "title", "parameters", "bands"),
    [
        ("copies-20-1", "1 % of groups are 20 copies", (20, 0.01), COPIES),
        ("copies-20-3", "3 % of groups are 20 copies", (20, 0.03), COPIES),
        ("copies-60-1", "1 % of groups are 60 copies", (60, 0.01), COPIES),
        ("copies-60-3", "3 % of groups are 60 copies", (60, 0.03), COPIES),
        ("heavy-2", "2 harmful posts of weight 30", (2,), MARKED),
        ("heavy-4", "4 harmful posts of weight 30", (4,), MARKED),
        ("heavy-10", "10 harmful posts of weight 30", (10,), UNMARKED),
        ("heavy-20", "20 harmful posts of weight 30", (20,), UNMARKED),
        ("recipe-0.004", "seeds spread average precision by 0.004", (0.004,), RECIPE),
        ("recipe-0.02", "seeds spread average precision by 0.02", (0.02,), NOTICED),
        ("recipe-0.035", "seeds spread average precision by 0.035", (0.035,), NOTICED),
        ("recipe-0.08", "seeds spread average precision by 0.08", (0.08,), NOTICED),
        ("winner-0", "one of nine equal models, correlation 0", (EQUAL, 0.0), FOUND_OUT),
        ("winner-0.5", "one of nine equal models, correlation 0.5", (EQUAL, 0.5), FOUND_OUT),
        ("winner-0.9", "one of nine equal models, correlation 0.9", (EQUAL, 0.9), WINNER),
        ("winner-unequal", "one of nine unequal models", (UNEQUAL, 0.5), WINNER),
    ],
)
def test_rows_of_little_evidence_recipes_and_winners(name, title, parameters, bands):
    row = TABLE[name]
    assert (row.title, row.trial.args, row.trial.keywords, row.bands) == (title, parameters, ABOUT, bands)
    assert row.code == (row.trial.func,)
    assert row.numbers(ProofOptions()) == range(1000)


@pytest.mark.parametrize(
    ("name", "title", "parameters", "bands", "worlds"),
    [
        (
            "removal",
            "removal, 2,100 validation posts",
            (3,),
            {"found": (0.8, 1.0, False), "missed": (0.0, 0.1, False)},
            500,
        ),
        (
            "shift-site",
            "fresh posts of the site, a weighted sample",
            ("site", 3),
            {"covered": (0.93, 1.0, False)},
            1000,
        ),
        (
            "shift-label",
            "harm less frequent, no weights",
            ("label shift", 3),
            {"covered": (0.93, 1.0, False), "answered": (0.95, 1.0, False)},
            1000,
        ),
        (
            "leaks",
            "planted leaks",
            (500, 3),
            {"repeated": (0.99, 1.0, False), "clean": (0.0, 0.01, False), "near": (0.95, 1.0, False)},
            3,
        ),
    ],
)
def test_rows_of_decisions_and_leaks(name, title, parameters, bands, worlds):
    row = TABLE[name]
    assert (row.title, row.trial.args, row.trial.keywords, row.bands) == (title, parameters, {}, bands)
    assert row.numbers(ProofOptions()) == range(worlds)


def test_rows_of_the_synthetic_world():
    assert list(TABLE)[:4] == ["posts", "posts-500", "posts-1000", "families"]
    assert [TABLE[name].title for name in list(TABLE)[:4]] == [
        "single posts",
        "single posts, 500 families",
        "single posts, 1000 families",
        "families of near-duplicates",
    ]
    single, families = ({**TABLE[name].bands} for name in ("posts", "families"))
    assert single.pop("power") is families.pop("power")
    assert single == WORLD
    assert families == WORLD | {"interval of posts": (0.93, 0.97, True)}
    assert TABLE["posts-500"].bands == {}
    assert len(TABLE) == 4 + 8 + 4 + 4 + 3 + 1


def test_the_trials_of_the_synthetic_world_are_of_the_sizes_asked_for():
    options = ProofOptions(families=200, smaller=(100,), population=10_000)
    made = {name: row.trial() for name, row in chosen(options, ["posts", "posts-100", "families"]).items()}
    told = {
        name: (trial.worlds.sizes, trial.worlds.population, trial.families, trial.full, len(trial.threshold_claims))
        for name, trial in made.items()
    }
    assert told == {
        "posts": (SINGLE, 10_000, 200, True, 4),
        "posts-100": (SINGLE, 10_000, 100, False, 0),
        "families": (FAMILIES, 10_000, 200, True, 4),
    }


def test_few_resamples_stay_few_and_no_pairs_are_no_leaks():
    table = settings.settings(ProofOptions(resamples=100, pairs=None))
    for name in ("copies-20-1", "heavy-2", "recipe-0.02", "winner-0", "winner-unequal"):
        assert table[name].trial.keywords == {"resamples": 100, "seed": 0}
    assert list(table) == [name for name in TABLE if name != "leaks"]


def test_the_settings_named_come_in_the_order_of_the_table():
    options = ProofOptions()
    assert list(chosen(options, ["winner-0", "posts"])) == ["posts", "winner-0"]
    assert list(chosen(options, [])) == list(TABLE)
    with pytest.raises(WorkbenchError, match="unknown setting 'post'"):
        chosen(options, ["posts", "post"])


def test_the_power_must_be_what_was_promised():
    promised = testing.chance_to_find(0.028, 0.01)
    low, high, wrong = settings._promised(Counter(planted=0.28, se=0.1), 10)
    assert (low, high, wrong) == (pytest.approx(promised - 0.05), pytest.approx(promised + 0.05), False)
    assert settings._promised(Counter(planted=4.0, se=0.1), 10) == (pytest.approx(0.95), 1.0, False)


def test_no_more_worlds_than_a_setting_has():
    row = Setting("title", partial(int), {}, ())
    assert row.numbers(ProofOptions(worlds=30)) == range(30)
    assert row._replace(worlds=25).numbers(ProofOptions(worlds=30)) == range(25)
    assert row._replace(worlds=40).numbers(ProofOptions(worlds=30)) == range(30)


def test_claims_are_shares_of_all_worlds():
    row = Setting("title", partial(int), {"kind": Band(0.0, 0.5)}, (), 25)
    (found,) = row.claims(Counter({("kind", "what", "method"): 5}), ProofOptions(worlds=30))
    assert (found.setting, found.hits, found.worlds, found.band) == ("title", 5, 25, (0.0, 0.5, False))


# ------------------------------------------------------------------------------------------- what counts are known by


def key(options, trial):
    return Setting("title", trial, {}, ("workbench.metrics.testing:chance_to_find",)).key("name", options)


def test_counts_go_on_with_more_worlds_in_more_processes():
    options = ProofOptions()
    before = key(options, partial(int, options, 5))
    more = ProofOptions(worlds=2000, jobs=1, smaller=(700,))
    assert key(more, partial(int, more, 5)) == before
    assert before.setting == "name"


@pytest.mark.parametrize("other", [{"seed": 1}, {"resamples": 500}, {"families": 2000}, {"pairs": None}])
def test_other_options_count_apart(other):
    plain, options = ProofOptions(), ProofOptions(**other)
    assert key(options, partial(int, options)).options != key(plain, partial(int, plain)).options


def test_other_parameters_count_apart():
    options = ProofOptions()
    trials = partial(int, 1), partial(int, 2), partial(int, 1, base=7), partial(int, 1, base=8)
    assert len({key(options, trial).options for trial in trials}) == 4


# ------------------------------------------------------------------------------------------------- decisions and shifts


def test_a_trial_of_removal_counts_what_is_found_in_a_world_of_its_seed(monkeypatch):
    monkeypatch.setattr(settings, "removal_trial", lambda seed: (seed == 3_000_007, seed != 3_000_007))
    assert RemovalTrial(3)(7) == {("found", "a threshold is found", "proven"): 1, ("missed", "it misses", "proven"): 0}
    assert RemovalTrial(0)(7) == {("found", "a threshold is found", "proven"): 0, ("missed", "it misses", "proven"): 1}


def test_a_trial_of_shift_counts_both_estimates_of_a_world_of_its_seed(monkeypatch):
    told = {"answered": True, "covered": False, "answered by probabilities": True, "covered by probabilities": True}
    asked = []
    monkeypatch.setattr(settings, "shift_trial", lambda *what: asked.append(what) or told)
    counts = ShiftTrial("site", 2)(5)
    assert asked == [(2_000_005, "site")]
    covered = "its interval covers what is true"
    assert counts == {
        ("answered", "an estimate is told", "by flags"): 1,
        ("covered", covered, "by flags"): 0,
        (OF, covered, "by flags"): 1,
        ("answered", "an estimate is told", "by probabilities"): 1,
        ("covered", covered, "by probabilities"): 1,
        (OF, covered, "by probabilities"): 1,
    }
