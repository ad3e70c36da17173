"""What is served: `serving.yaml` maps each service to a bundle, its labels, its policy and its limits.

A bundle is named by its folder, or by a model of a study; `bundle_of` finds the newest finished run of that model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from workbench.comparison.rows import Comparison
from workbench.comparison.run_files import RunRecord
from workbench.decisions import bundle
from workbench.errors import WorkbenchError, unknown
from workbench.schema import MODALITIES, ROOT, Options, read_yaml
from workbench.studies import DONE, find

SERVICES = ("text", "image", "video", "misinformation", "post")
Service = Literal["text", "image", "video", "misinformation", "post"]
DEFAULT = ROOT / "serving.yaml"
MIB = 2**20


class Limits(Options):
    """What one service takes; more is refused with a sentence and a 4xx status."""

    body_mb: float = Field(8, gt=0, le=1024, description="Largest request body, in MiB (media as base64: 4/3 of it).")
    seconds: float = Field(30, gt=0, le=600, description="How long a request may take, body and answer each.")
    author_per_minute: float = Field(60, gt=0, description="New posts of one author that are scored in a minute.")
    author_burst: int = Field(60, ge=1, description="New posts of one author that are scored at once.")
    copies_per_minute: float = Field(
        60, gt=0, description="New posts with one content, whoever sends them, that are scored in a minute."
    )
    copies_burst: int = Field(600, ge=1, description="New posts with one content that are scored at once.")
    waiting: int = Field(2000, ge=1, description="Posts that may wait to be scored; more are asked to come again.")


class SignalOptions(Options):
    """On which signals a reactive service looks at a post; one is enough. docs/api.md says what happens without any."""

    reports: int | None = Field(3, ge=1, description="Reports from which on, in the post or as events; null: never.")
    impressions: int | None = Field(10_000, ge=1, description="Views from which on; null: however many.")
    reactions_per_hour: float | None = Field(
        100, gt=0, description="Reactions an hour since `created_at`, at least one hour, from which on; null: never."
    )
    links: bool = Field(True, description="Whether a suspicious link is a signal.")
    sample: float = Field(0.01, ge=0, le=1, description="Share of all posts that are drawn by their ids.")

    @model_validator(mode="after")
    def _some_signal(self) -> Self:
        if not self.links and not self.sample and {self.reports, self.impressions, self.reactions_per_hour} == {None}:
            raise ValueError("no post would ever be looked at; leave a signal on, or set `mode: proactive`")
        return self


class ServiceConfig(Options):
    """One service: which bundle answers, for which labels, by which policy, how much of it."""

    model: str | None = Field(None, description="A model's name in a study; its newest finished run answers.")
    study: str | None = Field(None, description="The study of `model`; default: the first of `studies` that has all.")
    seed: int | None = Field(None, ge=0, description="Which seed's bundle of the run; default: the first.")
    bundle: Path | None = Field(None, description="A bundle's folder, instead of `model`.")
    prefer: Path | None = Field(
        None, description="A bundle's folder that answers in their place where the extra that it needs is installed."
    )
    labels: tuple[str, ...] = Field((), description="The labels it answers for; none named: all of the bundle.")
    policy: Path | None = Field(
        None, description="A policy file in place of the bundle's own; either is read again on change."
    )
    mode: Literal["proactive", "reactive"] = Field(
        "proactive", description="Whether it scores every post that it is sent, or those with a signal."
    )
    signals: SignalOptions = Field(SignalOptions(), description="With `mode: reactive`: which signals.")
    expected_per_second: float = Field(1, gt=0, description="Posts a second that the platform is expected to send.")
    limits: Limits = Field(Limits(), description="What it takes.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.model is None) == (self.bundle is None):
            raise ValueError("name either `model` (of a study) or `bundle` (a folder)")
        if self.bundle is not None and (self.study is not None or self.seed is not None):
            raise ValueError("`study` and `seed` go with `model`, not with `bundle`")
        if self.mode == "proactive" and "signals" in self.model_fields_set:
            raise ValueError("`signals` go with `mode: reactive`; a proactive service scores every post")
        return self


class ServingConfig(Options):
    """The content of `serving.yaml`."""

    studies: tuple[str, ...] = Field(("quickstart", "smoke"), description="Where models come from: the first with all.")
    services: dict[Service, ServiceConfig] = Field(min_length=1, description="What is served.")
    records: Path = Field(Path("data/records"), description="Where decisions and contents are kept.")
    keep_days: float | None = Field(
        None, gt=0, description="How long a post's content is kept after its newest answer; null: until it is deleted."
    )
    unknown_per_minute: int = Field(
        600, ge=1, description="Events on posts that no service has scored that are kept in a minute."
    )
    features: Path | None = Field(
        Path("data/cache/features"),
        description="The feature store's folder, as `workbench features build` fills it; looked into after the memory, "
        "and never written to. Null: memory alone.",
    )
    batch: Annotated[int, Field(ge=1, le=4096)] = Field(64, description="Most posts of one call of a model.")
    wait_ms: float = Field(2, ge=0, le=1000, description="How long a call waits for more posts to come.")
    memory_mb: float = Field(512, gt=0, description="Bound of the feature store's memory, in MiB.")

    @classmethod
    def load(cls, path: Path | str = DEFAULT) -> Self:
        """Read and check a file; relative paths in it start from the repository."""
        return cls.parse(read_yaml(Path(path)), f"serving file {path}")

    def bundles(self) -> dict[str, Path]:
        """Return each service's bundle folder; raises WorkbenchError saying what to run where one is missing."""
        lacking = self.lacking()
        named = {
            name: service.bundle if service.prefer is None or name in lacking else service.prefer
            for name, service in self.services.items()
        }
        study = self._study([service for name, service in self.services.items() if named[name] is None])
        folders = {}
        for name, service in self.services.items():
            if named[name] is None:
                folders[name] = bundle_of(service.study or study, service.model, service.seed)
            else:
                folders[name] = _there(name, named[name])
        return folders

    def lacking(self) -> dict[str, str]:
        """Return the services whose preferred bundle cannot answer here, each with what is not installed.

        Raises WorkbenchError for a preferred bundle that is not there or is damaged.
        """
        preferred = {name: s.prefer for name, s in self.services.items() if s.prefer is not None}
        why = {name: bundle.missing(_there(name, folder)) for name, folder in preferred.items()}
        return {name: sentence for name, sentence in why.items() if sentence}

    def _study(self, services: Sequence[ServiceConfig]) -> str:
        """Return the first study that has a bundle of every model named without a study."""
        wanted = {(s.model, s.seed) for s in services if s.model is not None and s.study is None}
        lacks = {}
        for study in self.studies if wanted else ():
            lacks[study] = sorted({model for model, seed in wanted if not _bundles(study, model, seed)})
            if not lacks[study]:
                return study
        if not wanted:
            return ""
        listed = "; ".join(f"{study} lacks {', '.join(models)}" for study, models in lacks.items())
        last = self.studies[-1] if self.studies else "smoke"
        raise WorkbenchError(
            f"no study has a finished run of every model that is to be served ({listed or 'none is named'}); "
            f"`workbench run {last}` makes them"
        )


def _there(service: str, path: Path) -> Path:
    """Return the folder of a bundle that a service names; raises WorkbenchError where there is none."""
    if not (ROOT / path).is_dir():
        raise WorkbenchError(f"service {service!r}: there is no bundle in {path}; check the path")
    return ROOT / path


def locate(named: str) -> Path:
    """Return a bundle's folder given by path, or as STUDY:MODEL or STUDY:MODEL:SEED; raises WorkbenchError."""
    if Path(named).exists() or not 1 <= named.count(":") <= 2:
        return Path(named)
    study, model, *seed = named.split(":")
    if seed and not seed[0].isdecimal():
        raise WorkbenchError(f"{named!r} names no seed after its second colon; write STUDY:MODEL or STUDY:MODEL:SEED")
    return bundle_of(study, model, *map(int, seed))


def bundles_of(study: str) -> dict[str, Path]:
    """Return model -> the bundle that `bundle_of` finds, for every model with a finished run; raises WorkbenchError."""
    names = sorted({record.alias for _, record in _finished(study)})
    if not names:
        raise WorkbenchError(f"study {study!r} has no finished run; `workbench run {study}` makes them")
    return {name: bundle_of(study, name) for name in names if _bundles(study, name, None)}


def bundle_of(study: str, model: str, seed: int | None = None) -> Path:
    """Return the bundle folder of a study's model: of its newest finished run, by folds of that of the first.

    Where no seed is named it is the one that the study's comparison chose on validation, else the first.

    study: a name in experiments/ or the path of a YAML file. Raises WorkbenchError with what there is.
    """
    if bundles := _bundles(study, model, seed):
        return bundles[0]
    seeds = [path.name for path in _bundles(study, model, None)[:1] for path in sorted(path.parent.iterdir())]
    if seeds:
        raise WorkbenchError(unknown(f"seed of {model!r} in study {study!r}", seed, seeds))
    have = sorted({record.alias for _, record in _finished(study)})
    if not have:
        raise WorkbenchError(f"study {study!r} has no finished run; `workbench run {study}` makes them")
    raise WorkbenchError(f"{unknown(f'model of study {study!r}', model, have)}; `workbench run {study}` adds to them")


def _bundles(study: str, model: str, seed: int | None) -> list[Path]:
    """Return the bundle folders of a model for a seed, the newest run's first.

    None: the seed of each run that is best on validation, the first where no comparison says which.
    """
    bundles, best = [], Comparison.seeds_of(folder_of(study))
    for folder, record in _finished(study):
        seeds = sorted((path for path in folder.glob("bundle/*") if path.name.isdigit()), key=lambda p: int(p.name))
        wanted = best.get(folder.name) if seed is None else seed
        some = [path for path in seeds if int(path.name) == wanted] or (seeds if seed is None else [])
        if record.alias == model and not record.fold and some:  # of folds the first is deployed
            bundles.append(some[0])
    return bundles


def folder_of(study: str) -> Path:
    """Return where a study's results are: under experiments/, or beside its YAML file."""
    try:
        return find(study).resolve().with_suffix("")
    except WorkbenchError:  # results count also where the file is gone
        return Path(study).with_suffix("") if study.endswith((".yaml", ".yml")) else ROOT / "experiments" / study


def _finished(study: str) -> Iterator[tuple[Path, RunRecord]]:
    """Yield folder and record of a study's finished runs, the newest first."""
    runs = [(path.parent, RunRecord.read(path.parent)) for path in folder_of(study).glob(f"*/{RunRecord.FILE}")]
    done = [(where, record) for where, record in runs if record and record.state == DONE and record.alias]
    yield from sorted(done, key=lambda pair: pair[1].ended or "", reverse=True)


def needs(service: str) -> tuple[str, ...]:
    """Return the modalities of which a post must bring one: a service named for a modality needs that one."""
    return (service,) if service in MODALITIES else MODALITIES
