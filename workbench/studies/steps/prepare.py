"""What stands before a study's first run: posts that do not leak, their facts, and the plan.

Facts are made again only when something changed that they depend on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from workbench import fingerprint
from workbench.comparison import facts, run_files
from workbench.errors import WorkbenchError
from workbench.fingerprint.inputs import of_inputs
from workbench.preprocessing.text import identities
from workbench.schema import Taxonomy, expand
from workbench.studies import DONE, keys
from workbench.studies.config import StudyConfig
from workbench.studies.plan import PlannedRun
from workbench.studies.steps import planned

_FACTS = ("workbench.comparison.facts", "workbench.corpora.splits")


def gate(study: StudyConfig, waiting: Sequence[PlannedRun]) -> None:
    """Load and divide the posts once before any run does, and raise LeakFound where they leak across the split."""
    if waiting:
        print("reading the posts ...", flush=True)
        from workbench.studies.steps import leaks, training

        given = waiting[0].parameters
        material = training.prepare(
            *(given[name] for name in ("corpus", "split", "tests")), Taxonomy.load(), study.leaks
        )
        leaks.record(study, material)
        prepare_study(study, waiting[0].inputs, material.sets)


def prepare_study(study: StudyConfig, inputs: dict[str, Any], sets: Mapping[str, pa.Table]) -> None:
    """Write what stands before the first scoring: the facts of the posts, and once for the same posts the plan.

    inputs: those of any run as it is planned; sets: the posts by split.
    """
    made_from, path = _made_from(inputs), study.folder / facts.NAME
    if facts.made_from(path) != made_from:
        facts.write(path, sets, Taxonomy.load(), made_from)
    planned.begin(study.folder, inputs, study.compare)


def _made_from(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return what the facts of a run's posts depend on: the posts, the word list, the code."""
    code = of_inputs(keys.reach(_FACTS).inputs)
    return {"data": run_files.scored(inputs), "identities": fingerprint.of_file(identities.FILE), "code": code}


def refresh_posts(study: StudyConfig, inputs: dict[str, Any], runs: Sequence[PlannedRun]) -> None:
    """Make `posts.parquet` again where the word list or its code changed, if any finished run scored these posts.

    inputs: those of any run as it is planned now. Without the corpus what lies there is kept.
    """
    from workbench.corpora import splits

    made_from = _made_from(inputs)
    path = facts.place(study.folder, made_from["data"])
    scored = any(run.state == DONE and run_files.scored(run.inputs) == made_from["data"] for run in runs)
    if not scored or facts.made_from(path) == made_from:
        return
    print("reading the facts of the posts ...", flush=True)
    corpus, split, tests = (expand(part, f"study {study.path}") for part in (study.corpus, study.split, study.tests))
    try:
        sets, _, _ = splits.divide(corpus, split, tests, Taxonomy.load())
    except WorkbenchError as error:
        print(f"the facts of the posts are as they were: {error}", flush=True)
        return
    facts.write(study.folder / facts.NAME, sets, Taxonomy.load(), made_from)
