"""A shipped study in a small form: the same file with fewer posts, one seed, one epoch and the models of one pair."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from architecture import code_of

from workbench import models
from workbench.comparison.run_files import RunRecord
from workbench.schema import expand, read_yaml
from workbench.studies import DONE, parameters, worker
from workbench.studies.config import StudyConfig
from workbench.studies.plan import PlannedRun


def reduced(study: Path, folder: Path, posts: int) -> Path:
    """Write the small form into a folder and return its path; what is left out of models must still be valid.

    posts: how many are generated, or taken from a corpus' file, evenly over its rows.
    """
    values = read_yaml(study)
    values["corpus"], *tests = (
        _fewer(one, folder, posts) for one in (values["corpus"], *values.get("tests", {}).values())
    )
    values["tests"] = dict(zip(values.get("tests", {}), tests, strict=True))
    pair = values["compare"]["pairs"][-1]
    values["compare"]["pairs"] = [pair]
    values["compare"]["resamples"] = 100
    values["models"] = [_brief(one) for one in values["models"] if one.get("as", one["name"]) in pair]
    values["seeds"] = values["seeds"][:1]
    out = folder / study.name
    out.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return out


def _brief(model: dict[str, Any]) -> dict[str, Any]:
    """Return a model that learns for one epoch, or its head does, where it learns in epochs."""
    options, known = model.get("options", {}), models.option_names(model["name"])
    if "epochs" in known:
        options = options | {"epochs": 1}
    elif "head" in options:
        options = options | {"head": options["head"] | {"epochs": 1}}
    return model | {"options": options}


def _fewer(corpus: dict[str, Any], folder: Path, posts: int) -> dict[str, Any]:
    if corpus["source"] == "synthetic":
        return corpus | {"posts": posts}
    source = Path(expand(corpus["path"], "the study"))
    rows = [*_rows(source)]
    kept = rows[:: max(1, len(rows) // posts)]
    path = folder / source.name
    with path.open("w", encoding="utf-8", newline="") as file:
        if source.suffix == ".jsonl":
            file.writelines(f"{json.dumps(row)}\n" for row in kept)
        else:
            writer = csv.DictWriter(file, kept[0])
            writer.writeheader()
            writer.writerows(kept)
    return corpus | {"path": str(path)} | ({"images": str(source.parent)} if "image" in corpus else {})


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from map(json.loads, file) if path.suffix == ".jsonl" else csv.DictReader(file)


def execute_here(study: StudyConfig, runs: Sequence[PlannedRun], jobs: int | None = None) -> list[RunRecord]:
    """Execute runs as `studies.execute` does, in this process and without a kernel, which takes most of a small run."""
    cells = [cell for cell in parameters.read(study.notebook_path)["cells"] if cell["cell_type"] == "code"]
    records = []
    for run in runs:
        run.folder.mkdir(parents=True)
        started, names = time.monotonic(), {"__name__": run.name}
        for cell in cells:
            exec(compile(code_of(cell), str(study.notebook_path), "exec"), names)
            if "parameters" in cell["metadata"].get("tags", ()):
                names |= run.parameters
        facts = {"key": run.key, "alias": run.alias, "inputs": run.inputs, "versions": run.libraries}
        facts |= {"model": run.parameters["model"], "options": run.parameters["options"], "study": study.name}
        facts |= {"corpus_digest": run.inputs["data corpus"]}
        records.append(worker.write_record(run.folder, facts, DONE, time.monotonic() - started))
    return records
