"""What stands before a study's first run: posts that do not leak, their facts, and the plan.

Facts are made again only when something changed that they depend on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from workbench import fingerprint
from workbench.artifacts import write_json
from workbench.comparison import facts
from workbench.comparison.run_files import RunFile
from workbench.errors import WorkbenchError
from workbench.fingerprint.inputs import of_inputs
from workbench.preprocessing.text import identities
from workbench.schema import Taxonomy, expand
from workbench.studies import DONE, keys
from workbench.studies.config import StudyConfig
from workbench.studies.plan import PlannedRun, latest_runs

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

    posts: what they were, by content; compare: the study's metric, label, view and pairs.
    """

    FILE = "plan.json"

    written: str
    posts: dict[str, Any]
    models: tuple[str, ...]
    metric: str
    label: str
    view: str
    pairs: tuple[tuple[str, str], ...]

    def family(self, study: StudyConfig) -> tuple[tuple[str, str], ...]:
        """Return the planned pairs; none is where the study now asks for another metric, label or view."""
        now = study.compare
        return self.pairs if (self.metric, self.label, self.view) == (now.metric, now.label, now.view) else ()


def prepare_study(study: StudyConfig, inputs: dict[str, Any], sets: Mapping[str, pa.Table]) -> None:
    """Write what stands before the first scoring: the facts of the posts, and once for the same posts the plan.

    inputs: those of any run as it is planned; sets: the posts by split.
    """
    made_from = _posts(inputs)
    if facts.made_from(study.folder / facts.NAME) != made_from:
        facts.write(study.folder / facts.NAME, sets, Taxonomy.load(), made_from)
    before = StudyPlan.read(study.folder)
    scored = any(
        run.state == DONE and _data(run.inputs) == made_from["data"] for run in latest_runs(study.folder).values()
    )
    if before is None or before.posts != made_from["data"] or not scored:
        asked = study.compare.model_dump(include={"metric", "label", "view", "pairs"}, mode="json")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        plan = StudyPlan(written=now, posts=made_from["data"], models=[entry.alias for entry in study.models], **asked)
        write_json(study.folder / StudyPlan.FILE, plan.model_dump(mode="json"))


def _data(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a run's inputs that says which posts it scores."""
    whole = ("data ", "parameter split", "taxonomy")
    return {name: value for name, value in inputs.items() if name.startswith(whole)}


def _posts(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return what the facts of a run's posts depend on: the posts, the word list, the code."""
    code = of_inputs(keys.reach(_FACTS).inputs)
    return {"data": _data(inputs), "identities": fingerprint.of_file(identities.FILE), "code": code}


def refresh_posts(study: StudyConfig, inputs: dict[str, Any], runs: Sequence[PlannedRun]) -> None:
    """Make `posts.parquet` again where the word list or its code changed, if any finished run scored these posts.

    inputs: those of any run as it is planned now. Without the corpus what lies there is kept.
    """
    from workbench.corpora import splits

    made_from = _posts(inputs)
    path = study.folder / facts.NAME
    scored = any(run.state == DONE and _data(run.inputs) == made_from["data"] for run in runs)
    if not scored or facts.made_from(path) == made_from:
        return
    print("reading the facts of the posts ...", flush=True)
    corpus, split, tests = (expand(part, f"study {study.path}") for part in (study.corpus, study.split, study.tests))
    try:
        sets, _, _ = splits.divide(corpus, split, tests, Taxonomy.load())
    except WorkbenchError as error:
        print(f"the facts of the posts are as they were: {error}", flush=True)
        return
    facts.write(path, sets, Taxonomy.load(), made_from)
