"""What a run says of itself in `run.json` and `metrics.json`; files of other versions are read as far as they go."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workbench.artifacts import read_json
from workbench.schema import ROOT, with_new_names

FOLD = "parameter split.fold"  # the input that tells which fold a run tests


def scored(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a run's inputs that says which posts it scored, and what is known of them.

    All folds together are one set of posts.
    """
    whole = ("data ", "source ", "parameter split", "taxonomy")
    return {name: value for name, value in inputs.items() if name.startswith(whole) and name != FOLD}


def named(alias: str, fold: int | None) -> str:
    """Return the name of a run: its model's, and the fold that it tests.

    >>> named("words", None), named("words", 2)
    ('words', 'words/2')
    """
    return alias if fold is None else f"{alias}/{fold}"


def model_of(name: str) -> str:
    """Return the model of a run by the run's name."""
    return name.partition("/")[0]


def study_name(folder: Path) -> str:
    """Return how commands find the study with this folder: by its name in experiments/, elsewhere by its file."""
    folder = Path(folder).resolve()
    if folder.parent == ROOT.resolve() / "experiments":
        return folder.name
    files = [folder.with_name(f"{folder.name}{ending}") for ending in (".yaml", ".yml")]
    return next((file for file in files if file.is_file()), files[0]).as_posix()


class Stored(BaseModel):
    """What is read from JSON of any version: null is as good as absent, keys that this version lacks are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, values: Any) -> Any:
        values = with_new_names(values, cls.model_fields)
        return (
            {name: value for name, value in values.items() if value is not None} if isinstance(values, dict) else values
        )


class RunFile(Stored):
    """A file of a run's folder."""

    FILE: ClassVar[str]

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return what a run's folder says, None where the file is missing, torn or of another kind."""
        values = read_json(folder / cls.FILE)
        try:
            return None if values is None else cls.model_validate(values)
        except ValidationError:
            return None


class RunRecord(RunFile):
    """`run.json`: what was executed, of what, by which code, and how it ended; None where nobody knows.

    inputs: everything the run depends on, as `studies.keys` names it; versions: of libraries; dirty: whether the code
    had changes that were not committed; peak_mb of the process, cuda_peak_mb of the accelerator; ms_per_post from raw
    content to score; fit_seconds of one seed; parameters: numbers to learn. notebook: where the executed one lies, told
    by a runner and never written.
    """

    FILE = "run.json"

    key: str = ""
    alias: str = ""
    model: str | None = None
    options: dict[str, Any] = {}
    study: str | None = None
    inputs: dict[str, Any] = {}
    corpus_digest: str | None = None
    versions: dict[str, str] = {}
    commit: str | None = None
    dirty: bool | None = None
    reason: str | None = None
    started: str | None = None
    state: str = ""
    cell: int | None = None
    error: str | None = None
    modalities: tuple[str, ...] | None = None
    device: str | None = None
    dtype: str | None = None
    n_train: int | None = None
    ms_per_post: float | None = None
    fit_seconds: float | None = None
    parameters: int | None = None
    peak_mb: float | None = None
    cuda_peak_mb: float | None = None
    ended: str | None = None
    seconds: float | None = None
    notebook: str | None = Field(None, exclude=True)

    @property
    def fold(self) -> int | None:
        """Which fold it tests, None where posts are divided once."""
        return self.inputs.get(FOLD)

    @property
    def name(self) -> str:
        """What it is called among the runs of its study."""
        return named(self.alias, self.fold)

    @property
    def source(self) -> str | None:
        """Where the posts came from, as the study names it."""
        return self.inputs.get("parameter corpus.source")

    @property
    def edited(self) -> str:
        """Whether the code that was executed had changes that were not committed, in words that follow its commit."""
        return {True: "with uncommitted changes", False: "nothing uncommitted"}.get(self.dirty, "state unknown")

    def inputs_of(self, kind: str) -> dict[str, Any]:
        """Return the inputs of one kind (`parameter`, `weights`, `data`), by their names without it."""
        whole = f"{kind} "
        return {name.removeprefix(whole): value for name, value in self.inputs.items() if name.startswith(whole)}


class OverlapExample(Stored):
    """Something that crosses the split: what it is, and where it stands, (set, post_id) each."""

    content: str = ""
    posts: tuple[tuple[str, str], ...] = ()


class ShortcutScore(Stored):
    """What a set of fields tells of a label without its post; shortcut: whether that is too much."""

    fields: str = ""
    label: str = ""
    average_precision: float | None = None
    prevalence: float | None = None
    shortcut: bool = False


class EditFound(Stored):
    """Of how many contents that were edited on purpose the gate names the edited one."""

    edit: str = ""
    found: int = 0
    of: int = 0


class Overlap(Stored):
    """What stands on both sides of the split for one relation: `overlap` of `of` contents, in `posts` posts.

    allowed: why the study accepts it; edits: which edits of its own contents the gate sees through.
    """

    overlap: int = 0
    of: int = 0
    posts: int = 0
    not_compared: int = 0
    allowed: str = ""
    examples: tuple[OverlapExample, ...] = ()
    scores: tuple[ShortcutScore, ...] = ()
    edits: tuple[EditFound, ...] = ()


class Calibrated(Stored):
    """How one label's scores of one seed became probabilities; note: why they were left as they are."""

    method: str = "–"
    note: str = ""


class SearchBudget(Stored):
    """What a search for options could use, and what it was judged by."""

    trials: int = 0
    seconds: float | None = None
    metric: str = ""


class SearchTrial(Stored):
    """Options that were tried, their score on validation (None where it was not needed or is undefined), seconds."""

    options: dict[str, Any] = {}
    score: float | None = None
    seconds: float = 0.0


class Search(Stored):
    """How a model's options were chosen: trial `winner` of `trials`, from the `size` combinations of a `space`.

    kept: the options that the study writes itself.
    """

    budget: SearchBudget = SearchBudget()
    space: dict[str, Any] = {}
    kept: tuple[str, ...] = ()
    size: int = 0
    seed: int = 0
    seconds: float = 0.0
    trials: tuple[SearchTrial, ...] = ()
    winner: int = 0


class Gained(Stored):
    """What a sum of members gained on its best one in training: a `models.combine.stacking.Gain`, by name.

    gain: by how much its log loss of a post was lower out of fold, as value, lo and hi; alone: whether the best member
    decides alone.
    """

    best: str = ""
    gain: dict[str, float] = {}
    alone: bool = False


class RecordedRemoval(Stored):
    """A removal threshold: how it was found (a `decisions.objective.Chosen`), and what it did on test.

    waits: the label acts on a signal, so that a person looks at what reaches the threshold before anything is removed.
    """

    chosen: dict[str, Any] = {}
    test: dict[str, Any] | None = None
    waits: bool = False


class Metrics(RunFile):
    """`metrics.json`: what a run measured of itself.

    thresholds: label -> seed -> the probability from which a post is flagged, None where no threshold qualified;
    removal: label -> seed; train_prevalence by label; calibration: label -> seed; digests of the corpora; items: test
    set -> digest of its posts; overlap by relation; dropped: posts in no set; labelled: set -> label
    -> yes, no, unknown and why; noticed, warned: when the corpora were read; peak_mb: `host`, `cuda`; unread: set ->
    modality -> posts; gains: seed -> label, of models that add up others.
    """

    FILE = "metrics.json"

    labels: tuple[str, ...] = ()
    model: str | None = None
    modalities: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    taxonomy: str | None = None
    train_prevalence: dict[str, float | None] = {}
    thresholds: dict[str, dict[str, float | None]] = {}
    removal: dict[str, dict[str, RecordedRemoval]] = {}
    calibration: dict[str, dict[str, Calibrated]] = {}
    n_train: int | None = None
    fit_seconds: float | None = None
    parameters: int | None = None
    ms_per_post: float | None = None
    seconds: dict[str, float | None] = {}
    digests: dict[str, str] = {}
    items: dict[str, str] = {}
    overlap: dict[str, Overlap] = {}
    dropped: int = 0
    labelled: dict[str, dict[str, dict[str, Any]]] = {}
    noticed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    unread: dict[str, dict[str, int]] = {}
    feature_hits: Any = None
    search: Search | None = None
    gains: dict[str, dict[str, Gained]] = {}
    device: str | None = None
    dtype: str | None = None
    peak_mb: dict[str, float | None] = {}
