"""What stands before a study's first run: posts that do not leak, their facts, and the plan.

Facts are made again only when something changed that they depend on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from workbench import fingerprint, models
from workbench.comparison import facts, run_files
from workbench.comparison.options import BEST, MACRO, MAIN, VALIDATION
from workbench.corpora import counts
from workbench.errors import WorkbenchError
from workbench.fingerprint.inputs import of_inputs
from workbench.preprocessing.text import identities
from workbench.schema import Taxonomy, expand, label_matrix, paired
from workbench.studies import DONE, keys
from workbench.studies.config import StudyConfig
from workbench.studies.plan import PlannedRun
from workbench.studies.steps import division, planned

if TYPE_CHECKING:
    from workbench.studies.steps.training import Material

_FACTS = ("workbench.comparison.facts", "workbench.corpora.splits")


def gate(study: StudyConfig, waiting: Sequence[PlannedRun]) -> None:
    """Load and divide the posts once before any run does.

    Raises LeakFound where they leak across the split, and WorkbenchError where no post tells what is to be compared, or
    a model could say nothing of any.
    """
    if waiting:
        print("reading the posts ...", flush=True)
        from workbench.studies.steps import leaks, training

        posts = [expand(part, f"study {study.path}") for part in (study.corpus, study.split, study.tests)]
        material = training.prepare(*posts, study.taxonomy, study.leaks)
        sets = material.sets if study.folds is None else division.every_fold(*posts, study.taxonomy)
        _tell(material, sets, study.folds)
        answerable(study, material)
        for run in {run.alias: run for run in waiting}.values():
            try:
                models.meet(run.parameters["model"], run.parameters["options"], study.taxonomy, material.scored)
            except WorkbenchError as error:
                raise WorkbenchError(f"study {study.path}, model {run.alias!r}: {error}") from None
        leaks.record(study, material)
        prepare_study(study, waiting[0].inputs, sets)


def _tell(material: Material, sets: Mapping[str, pa.Table], folds: int | None) -> None:
    """Print what was read, and how many posts of each set say yes, no or nothing, and why."""
    told = counts.record(material.sets, material.taxonomy)
    for line in (*told["noticed"], *(f"warning: {line}" for line in told["warned"])):
        print(f"  {line}", flush=True)
    if folds is not None:
        families = pc.count_distinct(sets[MAIN]["group"]).as_py()
        print(f"  {folds} folds of {len(sets[MAIN]):,} posts in {families:,} families of near-duplicates", flush=True)
    for line in counts.lines(counts.of_labels(sets, material.taxonomy)):
        print(f"  {line}", flush=True)


def answerable(study: StudyConfig, material: Material) -> None:
    """Raise WorkbenchError where the posts cannot answer what a study compares, which no training would mend.

    That is: a set knows no label that is asked for, no label has both classes to learn or to choose by, or the compared
    view is empty.
    """
    names, asked = material.taxonomy.names, study.compare.label
    wanted = [label for label in names if asked in (MACRO, label)]
    words = " or ".join(filter(None, [", ".join(wanted[:-1]), wanted[-1]]))
    where = f"study {study.path}"
    counts = {name: _both(table, material.taxonomy) for name, table in material.sets.items()}
    for name, table in material.sets.items():
        told = wanted if name in ("train", "validation", *study.compare.test) else names
        if not any(sum(counts[name][label]) for label in told) and (name != "train" or _learns(study)):
            place = "corpus" if name in ("train", "validation", MAIN) else f"tests.{name}"
            raise WorkbenchError(
                f"{where}: none of {len(table):,} {name} posts says yes or no to {words}; name the column that does "
                f"under `labels` of `{place}`, as in `labels: {{{wanted[0]}: COLUMN}}`"
            )
    needed = [*(["train"] if _learns(study) else []), *([VALIDATION] if BEST in chain(*study.compare.pairs) else [])]
    for name in needed:
        if not any(min(counts[name][label]) for label in wanted):
            told = "; ".join(f"{label}: {yes} yes, {no} no" for label, (yes, no) in counts[name].items() if yes + no)
            raise WorkbenchError(
                f"{where}: {name} needs posts of both kinds of {words}, and has {told}; look at what `labels` of "
                "`corpus` names, or take more posts"
            )
    for name in study.compare.test if study.compare.view == "paired" else ():
        if not paired(material.sets[name]).any():
            raise WorkbenchError(
                f"{where}: compare.view is paired, but none of {len(material.sets[name]):,} {name} posts has text and "
                "a picture or clip; write `view: all` under `compare`"
            )


def _both(posts: pa.Table, taxonomy: Taxonomy) -> dict[str, tuple[int, int]]:
    """Return, per label, how many posts say yes and how many say no."""
    y, known = label_matrix(posts, taxonomy)
    yes, told = (y * known).sum(axis=0).astype(int), known.sum(axis=0)
    return {label: (int(yes[k]), int(told[k] - yes[k])) for k, label in enumerate(taxonomy.names)}


def _learns(study: StudyConfig) -> bool:
    """Whether any model of a study learns from labels."""
    return any(models.learns(entry.name) for entry in study.models)


def prepare_study(study: StudyConfig, inputs: dict[str, Any], sets: Mapping[str, pa.Table]) -> None:
    """Write what stands before the first scoring: the facts of the posts, and once for the same posts the plan.

    inputs: those of any run as it is planned; sets: the posts by split.
    """
    made_from, path = _made_from(inputs), study.folder / facts.NAME
    if facts.made_from(path) != made_from:
        facts.write(path, sets, study.taxonomy, made_from)
    planned.begin(study.folder, inputs, study.compare)


def _made_from(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return what the facts of a run's posts depend on: the posts, the word list, the code."""
    code = of_inputs(keys.reach(_FACTS).inputs)
    return {"data": run_files.scored(inputs), "identities": fingerprint.of_file(identities.FILE), "code": code}


def refresh_posts(study: StudyConfig, inputs: dict[str, Any], runs: Sequence[PlannedRun]) -> None:
    """Make `posts.parquet` again where the word list or its code changed, if any finished run scored these posts.

    inputs: those of any run as it is planned now. Without the corpus what lies there is kept.
    """
    made_from = _made_from(inputs)
    path = facts.place(study.folder, made_from["data"])
    scored = any(run.state == DONE and run_files.scored(run.inputs) == made_from["data"] for run in runs)
    if not scored or facts.made_from(path) == made_from:
        return
    print("reading the facts of the posts ...", flush=True)
    corpus, split, tests = (expand(part, f"study {study.path}") for part in (study.corpus, study.split, study.tests))
    try:
        sets = division.every_fold(corpus, split, tests, study.taxonomy)
    except WorkbenchError as error:
        print(f"the facts of the posts are as they were: {error}", flush=True)
        return
    facts.write(study.folder / facts.NAME, sets, study.taxonomy, made_from)
