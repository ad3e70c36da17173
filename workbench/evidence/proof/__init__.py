"""Are the statistics right? Simulation studies in worlds whose truth is known, as claims that can fail.

Every claim is a share of simulated worlds with a band it must lie in: how often 95 % intervals hold the truth, how
often a test finds a difference where there is none and where there is one, how often a threshold misses what it was
chosen for; or a share of planted leaks, and how many of them the leak gate finds. `settings` is the table of what is
simulated, `claims` how a share is judged, `tallies` how an interrupted proof goes on. `wrong` rows show methods that
must fail, as resampling posts although near-duplicates come in families.

Source of the design: Morris, White and Crowther 2019, Using simulation studies to evaluate statistical methods,
Statistics in Medicine 38:2074-2102.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import Parallel, delayed
from rich.table import Table

from workbench.evidence.proof.claims import Claim
from workbench.evidence.proof.settings import COVERAGE, LEAKS, Setting, Trial, chosen
from workbench.evidence.proof.tallies import FILE, Key, Tallies
from workbench.evidence.proof.trials import ProofOptions

__all__ = ["COVERAGE", "LEAKS", "Claim", "ProofOptions", "prove", "prove_aloud", "shown", "table"]
WIDTH = 130  # of the tables where the output is no terminal
_CHUNK = 10  # worlds that a process does before it reports


def prove(
    options: ProofOptions,
    only: Iterable[str] = (),
    kept: Path | None = None,
    say: Callable[[str, int, int], None] = lambda setting, done, of: None,
) -> list[Claim]:
    """Return the claims of all settings, or of those named, judged on simulated worlds.

    kept: a file that holds what was counted before, and to which chunks are added as they are done; say: hears the
    setting and how many worlds of how many are done. The same options give the same claims, whatever `jobs` is. Raises
    WorkbenchError for a name that is no setting's.
    """
    plan = chosen(options, only)
    keys = {name: setting.key(name, options) if kept else Key(name, "", "") for name, setting in plan.items()}
    tallies = Tallies(kept, keys.values())
    of, done, claims = sum(len(setting.numbers(options)) for setting in plan.values()), 0, []
    for name, setting in plan.items():
        say(name, done, of)
        for worlds in _counted(setting, options, tallies, keys[name]):
            done += worlds
            say(name, done, of)
        known, counts = tallies.known(keys[name]), Counter()
        for chunk in _chunks(setting, options):  # in one order, since sums of sizes are rounded
            counts.update(known[chunk.start, chunk.stop])
        claims += setting.claims(counts, options)
    return claims


def prove_aloud(options: ProofOptions, only: Iterable[str] = (), out: Path | None = None) -> int:
    """Prove with a progress bar, print a table of claims, write it to `out` as CSV; return 1 where a claim fails.

    What is counted is kept beside `out`, or in `tallies.FILE`.
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    kept = FILE if out is None else out.with_suffix(".tallies.jsonl")
    with Progress(*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("simulated worlds", total=None)
        about = {"only": only, "kept": kept}
        claims = prove(
            options, say=lambda name, done, of: bar.update(task, description=name, completed=done, total=of), **about
        )
    rows = table(claims)
    if out is not None:
        rows.to_csv(out, index=False)
    for setting, part in rows.groupby("setting", sort=False):
        console.print(_shown(setting, part))
    failed = [claim for claim in claims if claim.held() is False]
    console.print(f"{sum(claim.held() is True for claim in claims)} claims hold, {len(failed)} fail")
    return int(bool(failed))


def _shown(setting: str, rows: pd.DataFrame) -> Table:
    """Return the claims of one setting as a table for people."""
    number, positives = rows["worlds"].max(), rows["positive families"].iloc[0]
    about = "pairs or more each" if setting == LEAKS else "worlds"
    about += "" if pd.isna(positives) else f", {positives:.0f} independent harmful posts"
    titles = {"title": setting, "title_justify": "left", "caption": f"{number:,} {about}", "caption_justify": "left"}
    shown = Table("claim", "method", "share", "must be", "", **titles)
    for row in rows.to_dict("records"):
        shown.add_row(row["claim"], row["method"], f"{row['share']:.1%}", row["must be"], row["verdict"])
    return shown


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
            "band": None if claim.band is None else claim.band[:2],
        }
        for claim, (low, high) in ((claim, claim.interval()) for claim in claims)
    ]


def _chunks(setting: Setting, options: ProofOptions) -> list[range]:
    numbers = setting.numbers(options)
    size = _CHUNK if len(numbers) > _CHUNK else 1
    return [numbers[at : at + size] for at in range(0, len(numbers), size)]


def _counted(setting: Setting, options: ProofOptions, tallies: Tallies, key: Key) -> Iterator[int]:
    """Add the chunks of a setting that are not known yet to the tallies; yield numbers of worlds as they are done."""
    chunks = _chunks(setting, options)
    missing = [chunk for chunk in chunks if (chunk.start, chunk.stop) not in tallies.known(key)]
    yield sum(map(len, chunks)) - sum(map(len, missing))
    if missing:
        trial = setting.trial()
        counted = Parallel(options.jobs, return_as="generator_unordered")(
            delayed(_tallied)(trial, chunk) for chunk in missing
        )
        for chunk, counts in counted:
            tallies.add(key, chunk, counts)
            yield len(chunk)


def _tallied(trial: Trial, chunk: range) -> tuple[range, Counter]:
    counts: Counter = Counter()
    for number in chunk:
        counts.update(trial(number))
    return chunk, counts
