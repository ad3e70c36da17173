"""The table of settings: what is simulated in each, by its name, and what the shares of its worlds must be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

from workbench import fingerprint
from workbench.errors import WorkbenchError, unknown
from workbench.evidence.proof import planted, trials
from workbench.evidence.proof.claims import OF, Band, Claim, Judgement, claimed
from workbench.evidence.proof.concentrated import WEIGHT, CopiesTrial, HeavyTrial
from workbench.evidence.proof.recipes import CHANCE, RecipeTrial
from workbench.evidence.proof.removal import removal_trial
from workbench.evidence.proof.shift import shift_trial
from workbench.evidence.proof.simulated_worlds import FAMILIES, SINGLE, SimulatedWorlds
from workbench.evidence.proof.tallies import Key
from workbench.evidence.proof.trials import ProofOptions, SimulatedTrial
from workbench.evidence.proof.winners import CHOSEN, EQUAL, HIGHEST, UNEQUAL, WinnerTrial
from workbench.fingerprint import closure
from workbench.metrics import testing

Trial = Callable[[int], Counter]
COVERAGE, AT_LEAST, ROWS = Band(0.93, 0.97), Band(0.93, 1.0), Band(0.9, 1.0)
FEW, MARKED = 10, Band(0.95, 1.0)  # heavy posts from which on a row is no longer few; how often fewer must be marked
LEVEL, RECIPE_LEVEL, MISSED = Band(0.035, 0.065), Band(0.03, 0.07), Band(0.0, 0.07)
POWER_OFF = 0.05  # how far the promised power may be off
NOTICED = 0.02  # from this standard deviation over seeds on, resampling posts alone must be found out
APART_ENOUGH = 0.5  # the correlation of scores up to which the highest value on test must be found out
ENOUGH = 400  # resamples, where intervals take nothing but their variance
REMOVALS = 500  # worlds, enough where at most one in ten may miss
COVERED = "its interval covers what is true"
_STRIDE = 1_000_000  # between the worlds of two seeds
SINGLE_POSTS, NEAR_DUPLICATES, LEAKS = "single posts", "families of near-duplicates", "planted leaks"


class Setting(NamedTuple):
    """One row of the table.

    title: what claims call it; trial: makes what counts in one world, given its number, from plain parameters; bands:
    kind of count -> what its shares must be; code: what the counts depend on; worlds: how many there are at most.
    """

    title: str
    trial: partial[Trial]
    bands: Mapping[str, Judgement]
    code: tuple[Any, ...]
    worlds: int | None = None

    def numbers(self, options: ProofOptions) -> range:
        """Return the numbers of the worlds that are simulated."""
        return range(min(options.worlds, self.worlds or options.worlds))

    def claims(self, counts: Counter, options: ProofOptions) -> Iterable[Claim]:
        """Return what was counted in all worlds as claims."""
        return claimed(self.title, counts, len(self.numbers(options)), self.bands)

    def key(self, name: str, options: ProofOptions) -> Key:
        """Return what its chunks are known by: not by the number of worlds, so that more of them may follow."""
        plain = options.model_dump(exclude={"worlds", "jobs", "smaller"})
        parameters = [*self.trial.args, self.trial.keywords]
        about = [plain, [value for value in parameters if value is not options]]
        return Key(name, fingerprint.of_json(about), fingerprint.of_json(closure.of_code(*self.code)))


def settings(options: ProofOptions) -> dict[str, Setting]:
    """Return all settings by name, in the order of the table."""
    parts = (_world, _concentrated, _recipes, _winners, _decisions, _leaks)
    return {name: setting for part in parts for name, setting in part(options).items()}


def chosen(options: ProofOptions, only: Iterable[str]) -> dict[str, Setting]:
    """Return the settings of some names, all where none is given; raise WorkbenchError for a name that is none."""
    table, only = settings(options), list(only)
    for name in only:
        if name not in table:
            raise WorkbenchError(unknown("setting", name, table))
    return {name: setting for name, setting in table.items() if name in only or not only}


# --------------------------------------------------------------------------------------- samples of the synthetic world


def _world(options: ProofOptions) -> dict[str, Setting]:
    bands: dict[str, Judgement] = {"interval": COVERAGE, "level": LEVEL, "power": _promised}
    bands |= {"promise": Band(0.0, 1 - trials.SURE), "leak": Band(0.95, 1.0), "no leak": Band(0.0, 0.02)}
    wrong = {"interval of posts": COVERAGE._replace(wrong=True)}
    code = (SimulatedTrial, SimulatedWorlds, trials.threshold_claims)
    single = partial(_simulated, SINGLE, options.families, options)
    families = partial(_simulated, FAMILIES, options.families, options)
    small = {
        f"posts-{size}": Setting(
            f"{SINGLE_POSTS}, {size} families",
            partial(_simulated, SINGLE, size, options, full=False),
            {},  # tabulated and not judged
            code,
        )
        for size in options.smaller
    }
    return {
        "posts": Setting(SINGLE_POSTS, single, bands, code),
        **small,
        "families": Setting(NEAR_DUPLICATES, families, bands | wrong, code),
    }


def _simulated(sizes: tuple[float, ...], families: int, options: ProofOptions, *, full: bool = True) -> SimulatedTrial:
    claims = trials.threshold_claims() if full else ()
    return SimulatedTrial(_worlds(sizes, options.population), families, options, claims, full=full)


@lru_cache(maxsize=1)
def _worlds(sizes: tuple[float, ...], population: int) -> SimulatedWorlds:
    return SimulatedWorlds(sizes, population=population)


def _promised(counts: Counter, worlds: int) -> Band:
    promised = testing.chance_to_find(counts["planted"] / worlds, counts["se"] / worlds)
    return Band(promised - POWER_OFF, min(promised + POWER_OFF, 1.0))


# ------------------------------------------------------------------------------------- little evidence, seeds, winners


def _concentrated(options: ProofOptions) -> dict[str, Setting]:
    about = {"resamples": min(options.resamples, ENOUGH), "seed": options.seed}
    copies = {
        f"copies-{size}-{percent}": Setting(
            f"{percent} % of groups are {size} copies",
            partial(CopiesTrial, size, percent / 100, **about),
            {"share": AT_LEAST, "or few": ROWS},
            (CopiesTrial,),
        )
        for size in (20, 60)
        for percent in (1, 3)
    }
    heavy = {
        f"heavy-{number}": Setting(
            f"{number} harmful posts of weight {WEIGHT:g}",
            partial(HeavyTrial, number, **about),
            {"few": MARKED} if number < FEW else {"unmarked": AT_LEAST},
            (HeavyTrial,),
        )
        for number in (2, 4, 10, 20)
    }
    return copies | heavy


def _recipes(options: ProofOptions) -> dict[str, Setting]:
    about = {"resamples": min(options.resamples, ENOUGH), "seed": options.seed}
    found_out = {"level alone": RECIPE_LEVEL._replace(wrong=True)}
    return {
        f"recipe-{spread:g}": Setting(
            f"seeds spread average precision by {spread:g}",
            partial(RecipeTrial, spread, **about),
            {"level": RECIPE_LEVEL, "level at most": MISSED} | (found_out if spread >= NOTICED else {}),
            (RecipeTrial,),
        )
        for spread in CHANCE
    }


def _winners(options: ProofOptions) -> dict[str, Setting]:
    about = {"resamples": min(options.resamples, ENOUGH), "seed": options.seed}
    found_out = {HIGHEST: MISSED._replace(wrong=True)}
    equal = {
        f"winner-{correlation:g}": Setting(
            f"one of nine equal models, correlation {correlation:g}",
            partial(WinnerTrial, EQUAL, correlation, **about),
            {CHOSEN: MISSED} | (found_out if correlation <= APART_ENOUGH else {}),
            (WinnerTrial,),
        )
        for correlation in (0.0, 0.5, 0.9)
    }
    unequal = Setting(
        "one of nine unequal models", partial(WinnerTrial, UNEQUAL, 0.5, **about), {CHOSEN: MISSED}, (WinnerTrial,)
    )
    return equal | {"winner-unequal": unequal}


# ----------------------------------------------------------------------------------------- decisions, shifts and leaks


@dataclass(frozen=True)
class RemovalTrial:
    """Called with the number of a world, it returns whether a threshold for removal was found and whether it misses."""

    seed: int

    def __call__(self, number: int) -> Counter:
        """Return the counts of one world."""
        found, missed = removal_trial(_STRIDE * self.seed + number)
        return Counter({("found", "a threshold is found", "proven"): found, ("missed", "it misses", "proven"): missed})


@dataclass(frozen=True)
class ShiftTrial:
    """Called with the number of a world, it returns how estimates of prevalence fare there; kind: see `shift_trial`."""

    kind: str
    seed: int

    def __call__(self, number: int) -> Counter:
        """Return the counts of one world."""
        happened, counts = shift_trial(_STRIDE * self.seed + number, self.kind), Counter()
        for way, method in (("", "by flags"), (" by probabilities", "by probabilities")):
            counts["answered", "an estimate is told", method] += happened[f"answered{way}"]
            counts["covered", COVERED, method] += happened[f"covered{way}"]
            counts[OF, COVERED, method] += happened[f"answered{way}"]
        return counts


def _decisions(options: ProofOptions) -> dict[str, Setting]:
    return {
        "removal": Setting(
            "removal, 2,100 validation posts",
            partial(RemovalTrial, options.seed),
            {"found": Band(0.8, 1.0), "missed": Band(0.0, 0.1)},
            (RemovalTrial,),
            REMOVALS,
        ),
        "shift-site": Setting(
            "fresh posts of the site, a weighted sample",
            partial(ShiftTrial, "site", options.seed),
            {"covered": AT_LEAST},
            (ShiftTrial,),
        ),
        "shift-label": Setting(
            "harm less frequent, no weights",
            partial(ShiftTrial, "label shift", options.seed),
            {"covered": AT_LEAST, "answered": MARKED},
            (ShiftTrial,),
        ),
    }


def _leaks(options: ProofOptions) -> dict[str, Setting]:
    if not options.pairs:
        return {}
    bands = {planted.REPEATED: Band(0.99, 1.0), planted.CLEAN: Band(0.0, 0.01), planted.NEAR: Band(0.95, 1.0)}
    code = (planted.PlantTrial, "workbench.corpora.synthetic:build")
    trial = partial(planted.PlantTrial, options.pairs, options.seed)
    return {"leaks": Setting(LEAKS, trial, bands, code, worlds=planted.SORTS)}
