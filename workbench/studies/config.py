"""A study's YAML file: what is asked, of which posts, with which models and seeds, and what is compared."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, StrictInt, field_validator, model_validator

from workbench.comparison.options import BEST, MACRO, MAIN, CompareOptions, CostOptions
from workbench.comparison.run_files import named
from workbench.corpora import SOURCES
from workbench.corpora.splits import SplitOptions
from workbench.decisions.thresholds import objectives
from workbench.errors import WorkbenchError, unknown, unknown_label
from workbench.evidence.audit import LeakOptions
from workbench.models import MODELS
from workbench.requirements import Requirements
from workbench.schema import OLD_NAMES, ROOT, Options, Taxonomy, read_yaml
from workbench.studies.steps.search import Budget

_NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"


class ModelEntry(Options):
    """One model of a study: its name in `MODELS`, what the report calls it, and its options."""

    name: str = Field(description="A name of `workbench.models.MODELS`.")
    alias: str = Field(alias="as", pattern=rf"^{_NAME}$", description="What tables call it; the name, if not given.")
    options: dict[str, Any] = Field({}, description="The model's own options; what is left out has its default.")

    @model_validator(mode="before")
    @classmethod
    def _alias_is_name(cls, values: Any) -> Any:
        if isinstance(values, dict) and "name" in values:
            return {"as": values["name"], **values}
        return values


def _held_to(options: type[Options], where: str) -> AfterValidator:
    """Return what refuses a block that these options do not accept, and leaves it as it was written."""

    def check(values: dict[str, Any]) -> dict[str, Any]:
        if values:
            options.parse(values, where)
        return values

    return AfterValidator(check)


def _policy(values: dict[str, Any]) -> dict[str, Any]:
    if "out_of_distribution" in values:
        from workbench.studies.steps.detector import asked  # imports torch

        asked(values)
    return values


def _folds(values: dict[str, Any]) -> dict[str, Any]:
    if "fold" in values:
        raise ValueError("a study tests every fold; leave out `fold`")
    if "folds" in values:
        SplitOptions.parse(values, "split")
    return values


def labels_of(given: Any, study: Path) -> Taxonomy:
    """Return what a study's file names under `taxonomy`; a relative path is meant from its folder first."""
    if given is None:
        return Taxonomy.load()
    if not given or not isinstance(given, str | list | dict):
        raise WorkbenchError(f"study {study}: taxonomy names no label; name some, as in [spam], or leave it out")
    return Taxonomy.load(_beside(study, given), f"study {study}: taxonomy")


def _needs_of(given: Any, study: Path) -> Requirements:
    """Return what a study's file names under `requirements`, where a path is meant in the same way."""
    if not isinstance(given, str | dict):
        raise WorkbenchError(f"study {study}: requirements must be a path or a mapping, not {given!r}")
    return Requirements.load(_beside(study, given), f"study {study}: requirements")


def _beside(study: Path, given: Any) -> Any:
    """Return the path of a file in a study's folder where `given` names one, else what was given."""
    beside = study.parent / given if isinstance(given, str) else None
    return beside if beside and beside.is_file() else given


class StudyConfig(Options):
    """What a study asks and of what: the content of its YAML file."""

    question: str = Field(description="The question that the report answers, as a sentence.")
    corpus: dict[str, Any] = Field(description="Where the posts come from: `source` and that source's options.")
    taxonomy: Taxonomy = Field(
        default_factory=Taxonomy.load,
        description="The labels: a file's path, from this file's folder or the repository, their names, or what "
        "such a file holds; those of `data/taxonomy.yaml`, if not given.",
    )
    tests: dict[str, dict[str, Any]] = Field({}, description="Further test sets, each a corpus of its own.")
    split: Annotated[dict[str, Any], AfterValidator(_folds)] = Field(
        {}, description="How posts are divided into train, validation and test, or into `folds`."
    )
    leaks: Annotated[dict[str, Any], _held_to(LeakOptions, "leaks")] = Field(
        {}, description="What stops the study (`fail_on`) and what may cross the split (`allow`: relation -> reason)."
    )
    policy: Annotated[dict[str, dict[str, Any]], AfterValidator(_policy)] = Field(
        {},
        description="What thresholds are chosen for: label or `default` -> objectives for `review` and `remove`; and "
        "`out_of_distribution` -> a detector of posts unlike the training posts: `encoder`, and `at` from where on a "
        "person looks.",
    )
    calibration: Literal["auto", "none", "temperature", "platt", "isotonic"] = Field(
        "auto", description="What makes probabilities of scores, per label; auto: chosen on validation."
    )
    seeds: tuple[StrictInt, ...] = Field((0,), min_length=1, description="Each run trains once per seed.")
    models: tuple[ModelEntry, ...] = Field(min_length=1, description="What is compared; each is one run.")
    search: Annotated[dict[str, Any], _held_to(Budget, "search")] = Field(
        {}, description="`trials` and `seconds` that every model may use to choose its options on validation."
    )
    compare: Annotated[CompareOptions, BeforeValidator(lambda values: {} if values is None else values)] = Field(
        CompareOptions(), description="The primary comparison: test sets, metric, label, view, pairs."
    )
    requirements: Requirements | None = Field(
        default_factory=Requirements.load,
        description="What the site needs: a file's path or what such a file holds; those of `data/requirements.yaml`, "
        "if not given; null: nothing.",
    )
    cost: Annotated[dict[str, Any], _held_to(CostOptions, "cost")] = Field(
        {},
        description="The report's prices: `machine`, `price_per_hour`, `currency`, `posts_per_day`.",
    )
    notebook: str = Field("notebooks/03-train-a-model.ipynb", description="What one run executes.")
    timeout_minutes: float = Field(60, gt=0, description="How long one cell of a run may take.")

    _path: Path = PrivateAttr(default=Path("study.yaml"))

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read and check a study; raise WorkbenchError with one sentence for the first thing that is wrong.

        Variables like `${WORKBENCH_DATA}` stay as written until `expand`, so that results can be read without data.
        """
        path = Path(path)
        if not re.fullmatch(_NAME, path.stem):
            raise WorkbenchError(f"study file {path.name!r} must be named with letters, digits, '.', '_' and '-' only")
        values = read_yaml(path)
        if old := old_names({name: values[name] for name in ("policy", "models") if name in values}):
            raise WorkbenchError(f"study {path} uses names of an earlier version: {'; '.join(old)}; rename them")
        read = {"taxonomy": labels_of(values.get("taxonomy"), path)}
        if values.get("requirements") is not None:
            read["requirements"] = _needs_of(values["requirements"], path)
        study = cls.parse({**values, **read}, f"study {path}")
        study._path = path
        study._check_names()
        return study

    @property
    def path(self) -> Path:
        """The YAML file."""
        return self._path

    @property
    def name(self) -> str:
        """The name of the study: its file's, without the ending."""
        return self._path.stem

    @property
    def folder(self) -> Path:
        """Where the results go: a folder of that name beside the file."""
        return self._path.resolve().with_suffix("")

    @property
    def folds(self) -> int | None:
        """In how many folds the posts are tested, None where they are divided once."""
        return self.split.get("folds")

    @property
    def run_names(self) -> list[str]:
        """The names of all runs: those of the models, and with folds one for each model and fold."""
        names = [entry.alias for entry in self.models]
        return names if self.folds is None else [named(name, fold) for name in names for fold in range(self.folds)]

    @property
    def notebook_path(self) -> Path:
        """The notebook; a relative path starts from the repository."""
        return ROOT / self.notebook

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError("each seed must be a different whole number, zero or more")
        return seeds

    @field_validator("tests")
    @classmethod
    def _test_names(cls, tests: dict[str, Any]) -> dict[str, Any]:
        for name in tests:
            if name in ("train", "validation", "test", "corpus") or not re.fullmatch(_NAME, name):
                raise ValueError(f"a test set cannot be called {name!r}; use another word of letters, digits, '-', '_'")
        return tests

    @model_validator(mode="after")
    def _models_differ(self) -> Self:
        aliases, runs = set(), {}
        for entry in self.models:
            if entry.alias in aliases or entry.alias == BEST:
                taken = "is taken by this word" if entry.alias == BEST else "is used twice"
                raise ValueError(f"the model name {entry.alias!r} {taken}; give one of them another with `as:`")
            aliases.add(entry.alias)
            twin = runs.setdefault((entry.name, repr(sorted(entry.options.items()))), entry.alias)
            if twin != entry.alias:
                raise ValueError(f"models {twin!r} and {entry.alias!r} are the same; delete one or change its options")
        return self

    def _check_names(self) -> None:
        where = f"study {self.path}"
        objectives(self.policy, self.taxonomy.names, f"{where}: policy")
        if self.compare.label not in (MACRO, *self.taxonomy.names):
            choices = (MACRO, *self.taxonomy.names)
            raise WorkbenchError(f"{where}: compare.label: {unknown_label(self.compare.label, choices)}")
        for entry in self.models:
            if entry.name not in MODELS:
                raise WorkbenchError(f"{where}: {unknown('model', entry.name, MODELS)}")
        for name, corpus in {"corpus": self.corpus, **{f"tests.{key}": raw for key, raw in self.tests.items()}}.items():
            if "source" not in corpus:
                raise WorkbenchError(f"{where}: {name} needs a `source`; the choices are: {', '.join(SOURCES)}")
            if corpus["source"] not in SOURCES:
                raise WorkbenchError(f"{where}: {name}: {unknown('source', corpus['source'], SOURCES)}")
        for test in self.compare.test:
            if test not in (MAIN, *self.tests):
                raise WorkbenchError(f"{where}: compare.test: {unknown('test set', test, (MAIN, *self.tests))}")
        aliases = [*(entry.alias for entry in self.models), BEST]
        for alias in (alias for pair in self.compare.pairs for alias in pair):
            if alias not in aliases:
                raise WorkbenchError(f"{where}: compare.pairs: {unknown('model', alias, aliases)}")


# keys of mappings that go by people's own names (labels, columns, words), and what else can stand there
_OWN_NAMES = {"class_weight": (), "columns": (), "decisions": (), "policy": ("out_of_distribution",)}


def old_names(value: Any, where: str = "", among: Container[str] = frozenset(OLD_NAMES.values())) -> list[str]:
    """Return, for keys at any depth that are called as in an earlier version, where they stand and what they are now.

    >>> old_names({"policy": {"unusual": {}}})
    ['policy.unusual is now policy.out_of_distribution']
    """
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    renamed = []
    for key, inner in places:
        place = f"{where}.{key}" if where else str(key)
        if key in OLD_NAMES and OLD_NAMES[key] in among:
            renamed.append(f"{place} is now {place.removesuffix(key)}{OLD_NAMES[key]}")
        renamed += old_names(inner, place, _OWN_NAMES.get(key, frozenset(OLD_NAMES.values())))
    return renamed
