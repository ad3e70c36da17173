"""`plan.json`: what a study was to compare before any model had scored its test posts, and what became of that.

A plan is of one corpus with its labels, and how it is divided. What counts is the parsed `compare` block, so names of
keys and the order of pairs and test sets change nothing. A pair or a test set that is added after the first scoring is
exploratory alone, and so is a further test set whose posts have changed since; with another metric, label or view
everything is, and so it is where a corpus is divided anew after scoring.

Open doubt: the file tells what passed through `workbench run` and `workbench compare` of this study. Whoever deletes it
with the results, or scores the same posts in another study, leaves no trace in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from workbench.artifacts import write_json
from workbench.comparison import facts, run_files
from workbench.comparison.options import MAIN, CompareOptions, Family
from workbench.comparison.rows.plans import PlanRecord
from workbench.comparison.run_files import RunFile, Stored
from workbench.studies import DONE
from workbench.studies.plan import PlannedRun, ended_runs

_QUESTION = ("metric", "label", "view")  # with another of these all is exploratory
_VERDICTS = ("alpha", "margin")  # these move what a difference is said to show, and no p
TEST_SET = "test set"

Digests = Mapping[str, set[str]]


class LaterBlock(Stored):
    """A `compare` block that was not planned, and when it was first seen, after the posts had been scored."""

    noticed: str
    compare: dict[str, Any]


class StudyPlan(RunFile):
    """What a study planned for one test set.

    written: when, before the first scoring that stands here; posts: what they are, by content; tests: compared further
    test set -> digest of its posts; compare: the study's parsed block. scored: when the first run on them ended, None
    where none has, as far as anybody noticed; before: the same of earlier first scorings whose results were deleted.
    after: when another division of the corpus had been scored already. later: what was asked since. others: the plans
    for other posts that the study had before.
    """

    FILE = "plan.json"

    written: str
    posts: dict[str, Any]
    tests: dict[str, str] = Field(default_factory=dict)
    compare: dict[str, Any]
    scored: str | None = None
    before: tuple[str, ...] = ()
    after: str | None = None
    later: tuple[LaterBlock, ...] = ()
    others: tuple[StudyPlan, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, values: Any) -> Any:
        """Read files in which the block's first fields stood by themselves."""
        names = (*_QUESTION, "pairs")
        if isinstance(values, dict) and "compare" not in values and set(names) <= values.keys():
            block = {name: values[name] for name in names}
            return {name: value for name, value in values.items() if name not in names} | {"compare": block}
        return values

    @classmethod
    def of(cls, folder: Path, inputs: dict[str, Any]) -> StudyPlan | None:
        """Return a study's plan for the posts that a run with these inputs scores, None where there is none."""
        same = same_posts(folder, inputs)
        return next((plan for plan in cls.every(folder) if tested(plan.posts) in same), None)

    @classmethod
    def every(cls, folder: Path) -> list[StudyPlan]:
        """Return all plans of a study, the present one first."""
        plan = cls.read(folder)
        return [] if plan is None else [plan, *plan.others]

    @property
    def compared(self) -> tuple[str, ...]:
        """The test sets that were planned; files from when a study compared its own alone do not name it."""
        return tuple(self.compare.get("test") or (MAIN,))

    def changed(self, asked: CompareOptions, digests: Digests | None = None) -> tuple[str, ...]:
        """Return in which fields a study now asks for something that was not planned; `TEST_SET` is one of them.

        digests: as `digests_of` has them, without which further test sets count as they were.
        """
        now = _block(asked)
        names = [name for name in (*_QUESTION, *_VERDICTS) if name in self.compare and now[name] != self.compare[name]]
        added = ["test sets"] if set(asked.test) - set(self.compared) else []
        added += [f"posts of {name}" for name in self._others(digests)]
        added += ["pairs"] if _unordered(now["pairs"]) - _unordered(self.compare["pairs"]) else []
        return (*([TEST_SET] if self.after else []), *names, *added)

    def family(self, asked: CompareOptions, digests: Digests | None = None) -> Family:
        """Return the planned pairs, turned round as the study now asks for them; none where all is exploratory."""
        tests = tuple(name for name in self.compared if name not in self._others(digests))
        if {TEST_SET, *_QUESTION}.intersection(self.changed(asked, digests)):
            return Family((), tests)
        pairs = ((str(a), str(b)) for a, b in self.compare["pairs"])
        turned = {pair[::-1] for pair in asked.pairs} - set(asked.pairs)
        return Family(tuple(pair[::-1] if pair in turned else pair for pair in pairs), tests)

    def _others(self, digests: Digests | None) -> list[str]:
        """Return the further test sets that hold other posts now than those that were planned."""
        now = digests or {}
        return [name for name, digest in self.tests.items() if name in now and digest not in now[name]]

    def record(self, asked: CompareOptions, digests: Digests | None = None) -> PlanRecord:
        """Return what a report says of the plan."""
        what, now = self.changed(asked, digests), _matters(_block(asked))
        seen = [block.noticed for block in self.later if _matters(block.compare) == now]
        seen += [self.written] if self.after else []
        return PlanRecord(written=self.written, changed=min(seen) if what else None, what=what, before=self.before)

    def noticing(
        self, asked: CompareOptions, scored: Iterable[PlannedRun], digests: Digests | None = None
    ) -> StudyPlan:
        """Return the plan with what a study's finished runs on its posts, and its block of today, add to it."""
        ended = [run.record.ended for run in scored if run.record.ended]
        plan = self.model_copy(update={"scored": self.scored or min(ended, default=_now())})
        known = [_matters(block.compare) for block in plan.later]
        if not plan.changed(asked, digests) or _matters(_block(asked)) in known:
            return plan
        return plan.model_copy(update={"later": (*plan.later, LaterBlock(noticed=_now(), compare=_block(asked)))})


def begin(folder: Path, inputs: dict[str, Any], asked: CompareOptions) -> None:
    """Write the plan for the posts that runs with these inputs are about to score, unless they have been scored.

    Where a finished run has scored them, what was planned for them before, or that nothing was, stays. Where runs had
    and are gone, the plan says so, and only where nothing else is asked now it is still the plan of before.
    """
    same, before, digests = same_posts(folder, inputs), StudyPlan.of(folder, inputs), digests_of(folder, inputs)
    done = [run for run in ended_runs(folder) if run.state == DONE]
    mine = [run for run in done if tested(run.inputs) in same]
    if mine:
        plan = before and before.noticing(asked, mine, digests)
    elif before is not None and before.scored and not before.changed(asked, digests):
        plan = before.model_copy(update={"scored": None, "before": _scorings(before)})
    else:
        tests = {name: inputs[f"data {name}"] for name in asked.test if name != MAIN}
        about = {"posts": same[0], "tests": tests, "compare": _block(asked), "before": _scorings(before)}
        plan = StudyPlan(written=_now(), after=_divided_before(folder, inputs, done), **about)
    if plan is not None:
        _write(folder, plan, same)


def _divided_before(folder: Path, inputs: dict[str, Any], done: Sequence[PlannedRun]) -> str | None:
    """Return when another division of the same corpus was scored first, as runs and plans tell; None: never."""
    here = tested(inputs)
    times = [(tested(run.inputs), run.record.ended) for run in done]
    times += [(tested(plan.posts), time) for plan in StudyPlan.every(folder) for time in _scorings(plan)]
    others = [time for of, time in times if time and of != here and of.get("data corpus") == here["data corpus"]]
    return min(others, default=None)


def notice(folder: Path, inputs: dict[str, Any], asked: CompareOptions, runs: Sequence[PlannedRun]) -> StudyPlan | None:
    """Return the plan for the posts that finished runs have scored, with what is asked now kept in its file."""
    plan = StudyPlan.of(folder, inputs)
    if plan is None:
        return None
    noticed = plan.noticing(asked, runs, digests_of(folder, inputs))
    if noticed != plan:
        _write(folder, noticed, same_posts(folder, inputs))
    return noticed


def tested(data: dict[str, Any]) -> dict[str, Any]:
    """Return which test posts a run scores, whatever code reads them and whatever else it scores beside them."""
    whole, data = ("data corpus", "taxonomy"), run_files.scored(data)
    return {name: value for name, value in data.items() if name in whole or name.startswith("parameter split")}


def digests_of(folder: Path, inputs: dict[str, Any]) -> Digests:
    """Return by corpus, `corpus` or a further test set, by which digests a study has known the posts of a run."""
    same, kind = facts.alike(folder, run_files.scored(inputs)), "data "
    names = [name for name in same[0] if name.startswith(kind)]
    return {name.removeprefix(kind): {data[name] for data in same if name in data} for name in names}


def same_posts(folder: Path, inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """Return which test posts a run scores, and by what else a study has known the very same ones."""
    return [tested(data) for data in facts.alike(folder, run_files.scored(inputs))]


def _scorings(plan: StudyPlan | None) -> tuple[str, ...]:
    """Return when the posts of a plan were scored first, each time."""
    return () if plan is None else (*plan.before, *([plan.scored] if plan.scored else []))


def _block(asked: CompareOptions) -> dict[str, Any]:
    return asked.model_dump(mode="json")


def _unordered(pairs: Iterable[Sequence[str]]) -> set[frozenset[str]]:
    """Return pairs without an order, also within them: b against a is the same question."""
    return {frozenset(pair) for pair in pairs}


def _matters(compare: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a block by which it is another question, in a form that no order changes."""
    pairs, tests = sorted(sorted(pair) for pair in compare["pairs"]), sorted(compare.get("test") or (MAIN,))
    return {name: compare.get(name) for name in (*_QUESTION, *_VERDICTS)} | {"pairs": pairs, "test": tests}


def _write(folder: Path, plan: StudyPlan, same: Sequence[dict[str, Any]]) -> None:
    """Write a plan as the present one, before those for other posts."""
    plans = [plan, *(other for other in StudyPlan.every(folder) if tested(other.posts) not in same)]
    now, *others = (one.model_dump(mode="json", exclude={"others"}) for one in plans)
    write_json(folder / StudyPlan.FILE, {**now, "others": others})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
