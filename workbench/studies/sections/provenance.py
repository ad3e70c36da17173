"""Which runs, code, data and machines stand behind the numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from workbench.studies import read_json, wording
from workbench.studies.predictions import Run
from workbench.studies.sections.section import Section


def provenance(comparison: dict, runs: Sequence[Run]) -> Section:
    """Which run, code, data, machine stand behind the numbers."""
    lines = {}
    for run in runs:
        record = read_json(run.folder / "run.json") or {}
        commit = str(record.get("commit") or "unknown")[:10] + (" (changed)" if record.get("dirty") else "")
        lines[run.alias] = {
            "model": wording.plain(record.get("model")),
            "run": run.key,
            "device": wording.plain(", ".join(filter(None, (record.get("device"), record.get("dtype"))))),
            "seconds": wording.number(record.get("seconds"), 1),
            "trained on": wording.plain(record.get("n_train")),
            "seeds": ", ".join(map(str, run.seeds)),
            "commit": commit,
            "data": wording.plain(record.get("corpus_digest"))[:16],
        }
    items = {
        name: {"items": digest[:16], "runs that scored it": str(scored(runs, name, digest))}
        for name, digest in comparison["items"].items()
    }
    prose = f"Every number above can be followed to a run folder under experiments/{comparison['study']}/."
    if comparison.get("missing"):
        prose += f" Missing: {', '.join('{model} ({state})'.format(**one) for one in comparison['missing'])}."
    tables = {
        "runs": pd.DataFrame.from_dict(lines, orient="index"),
        "test sets": pd.DataFrame.from_dict(items, orient="index"),
    }
    return Section("provenance", "Where do the numbers come from?", prose, {}, tables)


def scored(runs: Sequence[Run], test: str, digest: str) -> int:
    """How many distinct runs of this study's folder, old ones included, have scored this very test set."""
    folders = {run.folder for run in runs}
    for path in (path for parent in {folder.parent for folder in folders} for path in parent.glob("*/metrics.json")):
        items = (read_json(path) or {}).get("items")
        folders |= {path.parent} if isinstance(items, dict) and items.get(test) == digest else set()
    return len(folders)
