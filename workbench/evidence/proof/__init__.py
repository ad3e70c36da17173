"""Are the statistics right? Simulation studies in a world whose truth is known, as claims that can fail.

Every claim is a share of simulated worlds with a band it must lie in: how often 95 % intervals hold the truth, how
often the primary test finds a difference where there is none and where there is one, how often the test for leaks
trips, how often a threshold misses what it was chosen for; or a share of planted leaks, and how many of them the leak
gate finds. `wrong` rows show methods that must fail: resampling posts although near-duplicates come in families.

`prove` counts, `contradicted` judges a reduced run: a claim is contradicted only where the exact 99.9 % binomial
interval of its share misses the band, so that a small number of worlds cannot cry wolf.

Source of the design: Morris, White and Crowther 2019, Using simulation studies to evaluate statistical methods,
Statistics in Medicine 38:2074-2102.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import Parallel, delayed
from rich.table import Table
from scipy import stats

from workbench.evidence.proof import planted
from workbench.evidence.proof.simulated_worlds import FAMILIES, SINGLE, SimulatedWorlds
from workbench.evidence.proof.trials import ProofOptions, SimulatedTrial, ThresholdClaim
from workbench.metrics import testing

__all__ = ["Claim", "ProofOptions", "ThresholdClaim", "prove", "prove_aloud", "table"]
SETTINGS = {"single posts": SINGLE, "families of near-duplicates": FAMILIES}
LEAKS = "planted leaks"
COVERAGE, LEVEL = (0.93, 0.97), (0.035, 0.065)
FOUND = {planted.REPEATED: (0.99, 1.0), planted.CLEAN: (0.0, 0.01)}
NEAR = (0.95, 1.0)  # what must be found of all other plants
POWER_OFF = 0.05  # how far the promised power may be off
WIDTH = 130  # of the tables where the output is no terminal
_CHUNK = 10  # worlds that a process does before it reports


@dataclass(frozen=True)
class Claim:
    """A share of worlds and what it must be: `band` (low, high), None where the share is only tabulated.

    Of planted leaks it is the share of pairs; `positives` are the harmful families of a world, or such pairs.
    wrong: the method is a wrong one, and the claim is that it lies outside the band.
    """

    what: str
    setting: str
    method: str
    hits: int
    worlds: int
    positives: float
    band: tuple[float, float] | None
    wrong: bool = False

    @property
    def share(self) -> float:
        """The share of worlds in which it happened."""
        return self.hits / self.worlds

    @property
    def held(self) -> bool | None:
        """Whether the share is where it must be; None where nothing is claimed."""
        if self.band is None:
            return None
        return (self.band[0] <= self.share <= self.band[1]) != self.wrong

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the exact binomial interval of the share (Clopper and Pearson 1934)."""
        interval = stats.binomtest(self.hits, self.worlds).proportion_ci(confidence, method="exact")
        return float(interval.low), float(interval.high)

    @property
    def contradicted(self) -> bool:
        """Whether the exact 99.9 % binomial interval of the share leaves no room for the claim: all of it misses the
        band, or for a wrong method all of it lies within.
        """
        if self.band is None:
            return False
        low, high = self.interval(0.999)
        return self.band[0] <= low and high <= self.band[1] if self.wrong else low > self.band[1] or high < self.band[0]

    def row(self) -> dict[str, Any]:
        """Return the claim as a row of a table."""
        band = "" if self.band is None else f"{'not ' * self.wrong}{self.band[0]:.1%} to {self.band[1]:.1%}"
        verdict = {None: "", True: "holds", False: "fails"}[self.held]
        facts = {"claim": self.what, "setting": self.setting, "method": self.method, "share": self.share}
        return facts | {"must be": band, "verdict": verdict, "worlds": self.worlds, "positive families": self.positives}


def prove(
    options: ProofOptions,
    threshold_claims: Sequence[ThresholdClaim] = (),
    say: Callable[[int, int], None] = lambda done, of: None,
) -> list[Claim]:
    """Return all claims, judged on simulated worlds; `say` hears how many worlds of how many are done.

    threshold_claims: ways to choose thresholds.

    The same options give the same claims, whatever `jobs` is.
    """
    plan = [(setting, options.families, True) for setting in SETTINGS]
    plan += [("single posts", families, False) for families in options.smaller]
    of, done, claims = len(plan) * options.worlds + planted.KINDS * bool(options.pairs), 0, []
    for setting, families, judged in plan:
        worlds = SimulatedWorlds(SETTINGS[setting], population=options.population)
        trial = SimulatedTrial(worlds, families, options, threshold_claims, full=judged)
        trial.prepare()
        counts: Counter = Counter()
        for tally, number in _done(trial, range(options.worlds), options.jobs):
            counts.update(tally)
            done += number
            say(done, of)
        claims += _claims(setting, families, judged, counts, options.worlds)
    for plant in planted.plants(options.pairs, options.seed) if options.pairs else ():
        claims.append(_found(plant))
        done += 1
        say(done, of)
    return claims


def prove_aloud(options: ProofOptions, threshold_claims: Sequence[ThresholdClaim], out: Path | None = None) -> int:
    """Prove with a progress bar, print a table of claims, write it to `out` as CSV; return 1 where a claim fails."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    with Progress(*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("simulated worlds", total=None)
        claims = prove(options, threshold_claims, lambda done, of: bar.update(task, completed=done, total=of))
    rows = table(claims)
    if out is not None:
        rows.to_csv(out, index=False)
    for setting, part in rows.groupby("setting", sort=False):
        shown = Table("claim", "method", "share", "must be", "", title=setting, title_justify="left")
        for row in part.to_dict("records"):
            shown.add_row(row["claim"], row["method"], f"{row['share']:.1%}", row["must be"], row["verdict"])
        console.print(shown)
        number, positives = part["worlds"].min(), part["positive families"].iloc[0]
        size = "pairs or more each" if setting == LEAKS else f"worlds, {positives:.0f} harmful families"
        console.print(f"{number:,} {size}\n")
    failed = [claim for claim in claims if claim.held is False]
    console.print(f"{sum(claim.held is True for claim in claims)} claims hold, {len(failed)} fail")
    return int(bool(failed))


def table(claims: Sequence[Claim]) -> pd.DataFrame:
    """Return the claims as a table, a row each."""
    return pd.DataFrame([claim.row() for claim in claims])


def shown(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """Return claims as rows for `diagrams.claims`."""
    return [
        {
            "name": f"{claim.what} ({claim.method if claim.setting == LEAKS else claim.setting})",
            "share": claim.share,
            "lo": low,
            "hi": high,
            "band": claim.band,
        }
        for claim, (low, high) in ((claim, claim.interval()) for claim in claims)
    ]


def _done(trial: SimulatedTrial, numbers: range, jobs: int) -> Iterator[tuple[Counter, int]]:
    """Yield what was counted and in how many worlds, in no particular order."""
    chunks = [numbers[at : at + _CHUNK] for at in range(0, len(numbers), _CHUNK)]
    yield from Parallel(jobs, return_as="generator_unordered")(delayed(_tallied)(trial, chunk) for chunk in chunks)


def _tallied(trial: SimulatedTrial, numbers: range) -> tuple[Counter, int]:
    return trial(numbers), len(numbers)


def _found(plant: planted.Plant) -> Claim:
    what = f"{plant.what}s named" if plant.edit == planted.CLEAN else f"{plant.what} found"
    return Claim(what, LEAKS, plant.edit, plant.found, plant.pairs, plant.pairs, FOUND.get(plant.edit, NEAR))


def _claims(setting: str, families: int, judged: bool, counts: Counter, worlds: int) -> Iterable[Claim]:
    positives = counts["positives"] / worlds
    where = setting if judged else f"{setting}, {families} families"
    for key in (key for key in counts if isinstance(key, tuple)):
        kind, what, method = key
        band, wrong = {"interval": COVERAGE, "level": LEVEL}.get(kind), False
        if kind == "promise":
            band = (0.0, LEVEL[1])
        if kind == "leak":
            band = (0.0, 0.02) if "optimal" in what else (0.95, 1.0)
        if kind == "power":
            promised = testing.chance_to_find(counts["planted"] / worlds, counts["se"] / worlds)
            band = (promised - POWER_OFF, min(promised + POWER_OFF, 1.0))
        if method == "posts resampled":
            wrong, band = setting != "single posts", band if setting != "single posts" else None
        yield Claim(what, where, method, counts[key], worlds, positives, band if judged else None, wrong)
