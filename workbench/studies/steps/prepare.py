"""What stands before a study's first run: posts that do not leak, their facts, and the plan.

Facts are made again only when something changed that they depend on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench import fingerprint
from workbench.artifacts import write_json
from workbench.comparison import facts, run_files
from workbench.comparison.run_files import RunFile
from workbench.errors import WorkbenchError
from workbench.fingerprint.inputs import of_inputs
from workbench.preprocessing.text import identities
from workbench.schema import Taxonomy, expand
from workbench.studies import DONE, keys
from workbench.studies.config import StudyConfig
from workbench.studies.plan import PlannedRun, ended_runs

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


class StudyPlan(RunFile):
    """`plan.json`: what a study was to compare, as it stood before any model had scored its posts.

    posts: what they were, by content; metric, label, view and pairs: as the study's `compare` said. others: the plans
    for other posts that the study had before.
    """

    FILE = "plan.json"

    written: str
    posts: dict[str, Any]
    metric: str
    label: str
    view: str
    pairs: tuple[tuple[str, str], ...]
    others: tuple[StudyPlan, ...] = ()

    @classmethod
    def of(cls, folder: Path, inputs: dict[str, Any]) -> StudyPlan | None:
        """Return a study's plan for the posts that a run with these inputs scores, None where there is none."""
        same = _same_posts(folder, inputs)
        return next((plan for plan in cls.every(folder) if plan.posts in same), None)

    @classmethod
    def every(cls, folder: Path) -> list[StudyPlan]:
        """Return all plans of a study, the present one first."""
        plan = cls.read(folder)
        return [] if plan is None else [plan, *plan.others]

    def family(self, study: StudyConfig) -> tuple[tuple[str, str], ...]:
        """Return the planned pairs; none is where the study now asks for another metric, label or view."""
        now = study.compare
        return self.pairs if (self.metric, self.label, self.view) == (now.metric, now.label, now.view) else ()


def prepare_study(study: StudyConfig, inputs: dict[str, Any], sets: Mapping[str, pa.Table]) -> None:
    """Write what stands before the first scoring: the facts of the posts, and once for the same posts the plan.

    inputs: those of any run as it is planned; sets: the posts by split. Where a finished run has scored these posts,
    what was planned for them before, or that nothing was, stays.
    """
    made_from, path = _made_from(inputs), study.folder / facts.NAME
    if facts.made_from(path) != made_from:
        facts.write(path, sets, Taxonomy.load(), made_from)
    same, before = _same_posts(study.folder, inputs), StudyPlan.of(study.folder, inputs)
    scored = any(run.state == DONE and _posts(run.inputs) in same for run in ended_runs(study.folder))
    if not scored:
        asked = study.compare.model_dump(include={"metric", "label", "view", "pairs"}, mode="json")
        before = StudyPlan(written=datetime.now(UTC).isoformat(timespec="seconds"), posts=same[0], **asked)
    if before is not None:
        plans = [before, *(plan for plan in StudyPlan.every(study.folder) if plan.posts not in same)]
        now, *others = (plan.model_dump(mode="json", exclude={"others"}) for plan in plans)
        write_json(study.folder / StudyPlan.FILE, {**now, "others": others})


def _posts(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return which posts a run scores, whatever code reads them: another reader is no reason for another plan."""
    return {name: value for name, value in run_files.scored(inputs).items() if not name.startswith("source ")}


def _same_posts(folder: Path, inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """Return which posts a run scores, and by what else a study has known the very same ones."""
    return [_posts(data) for data in facts.alike(folder, run_files.scored(inputs))]


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
