"""What the models of a study remove without a person: from where, whether that is proven, and what it did on test.

The records are those that each run left (`removal` in `metrics.json`). Removal is decided about all posts, whatever
view of them a study compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from workbench.comparison.predictions import Run
from workbench.comparison.run_files import RecordedRemoval
from workbench.decisions.objective import Chosen


def sentences(run: Run, label: str) -> list[str]:
    """Return what a run removes of a label and what is proven of it; none where no run asked or recorded it.

    Where its trainings differ, numbers are those of the first that has no threshold.
    """
    entries = list(_entries(run, label).values())
    found = [Chosen.model_validate(entry.chosen) for entry in entries]
    if not found:
        return []
    objective, able = found[0].objective, sum(one.at is not None for one in found)
    told = f"{able} of {len(found)} trainings {'has' if able == 1 else 'have'}" if len(found) > 1 else "the model has"
    if able == len(found):
        told = "it has" if able == 1 else f"all {able} trainings have"
        said = [f"Removal asks for {objective}; {told} a threshold for it."]
    elif able:
        said = [f"Removal asks for {objective}; {told} a threshold for it, and the others remove nothing."]
    else:
        said = [f"Removal asks for {objective}; no threshold serves it, so nothing is removed without a person."]
    kept = next((one for one in found if one.at is not None), None)
    if kept is not None:
        said += [sentence for sentence in kept.more if objective.sure and sentence.startswith("This is proven")]
    if kept is not None and any(entry.waits for entry in entries):
        said.append("The label acts on a signal, so what reaches the threshold goes to a person first.")
    lacking = next((one for one in found if one.at is None), None)
    return said + (lacking.more if lacking is not None else [])


def table(runs: Sequence[Run], label: str) -> pd.DataFrame | None:
    """Return a line per model and seed that removes posts of a label: from where, and what that did on test.

    None where nothing is removed.
    """
    lines: dict[str, dict[str, str]] = {}
    for run in runs:
        for seed, entry in _entries(run, label).items():
            chosen = Chosen.model_validate(entry.chosen)
            if chosen.at is None:
                continue
            name = f"{run.alias}, seed {seed}" if len(run.seeds) > 1 else run.alias
            test = entry.test or {}
            lines[name] = {
                "removes from": f"{chosen.at:.3f}",
                "removed of test": f"{test['flagged']:,}" if test else "–",
                **_of("as sampled", test.get("sample")),
                **_of("at the site's mix", test.get("site")),
            }
    return pd.DataFrame.from_dict(lines, orient="index") if lines else None


def _entries(run: Run, label: str) -> dict[str, RecordedRemoval]:
    return run.metrics.removal.get(label, {})


def _of(mix: str, shares: dict[str, Any] | None) -> dict[str, str]:
    """Return the cells of one mix of posts; dashes where nothing is known of it."""
    return {f"{name}, {mix}": share(shares, name) for name in ("precision", "recall")}


def share(shares: dict[str, Any] | None, name: str) -> str:
    """Return a share with its interval as it was recorded, "few" where it rests on few groups, or a dash.

    >>> share({"precision": [0.9, 0.8, 0.95], "few": True}, "precision")
    '0.90 [0.80, 0.95] few'
    """
    if not shares or not shares.get(name):
        return "–"
    return "{:.2f} [{:.2f}, {:.2f}]".format(*shares[name]) + (" few" if shares["few"] else "")


def told(runs: Sequence[Run], label: str) -> Iterator[str]:
    """Yield what each run removes of a label, a sentence or two a run, beginning with its name."""
    for run in runs:
        if said := sentences(run, label):
            yield f"{run.alias}: {' '.join(said)}"
