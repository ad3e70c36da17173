"""The command line: studies, bundles, the feature store, the API, benchmarks; what is heavy is imported in its turn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.bench.commands import COMMANDS
from workbench.cli import features
from workbench.cli.plain import Device, OneSentence
from workbench.errors import WorkbenchError
from workbench.schema import ROOT
from workbench.studies import find

app = typer.Typer(cls=OneSentence, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

bundles = typer.Typer(
    cls=OneSentence, no_args_is_help=True, help="Look into a bundle: a trained model with its policy."
)
bench = typer.Typer(cls=OneSentence, no_args_is_help=True, help="Measure speed, as ratios within one run, and memory.")
app.add_typer(bundles, name="bundle")
app.add_typer(features.app, name="features")
app.add_typer(bench, name="bench")
for _name, _command in COMMANDS.items():
    bench.command(_name)(_command)

Study = Annotated[str, typer.Argument(metavar="STUDY", help="A study's YAML file, or its name in experiments/.")]
Bundle = Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle's folder, or STUDY:MODEL[:SEED].")]


@app.callback()
def _about() -> None:
    """Compare moderation models with evidence: studies in, run folders and one report out."""


@app.command()
def init(
    posts: Annotated[Path, typer.Argument(metavar="FILE", help="A file of posts, or a folder of train, dev and test.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The study's YAML; default: in experiments/.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; what is guessed stands.")] = False,
    encoding: Annotated[
        str | None, typer.Option(help="How the file is encoded, as in cp1252; default: told from its bytes.")
    ] = None,
) -> None:
    """Look at a file of posts and write a study about it, with the reason for every guess."""
    from workbench.studies.init import init_study

    raise typer.Exit(init_study(posts, out, yes=yes, encoding=encoding))


@app.command()
def run(
    study: Study,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would run, and why.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="How many runs at once; by default as many as fit.")] = None,
    redo: Annotated[bool, typer.Option("--all", help="Run finished ones again too.")] = False,
    stale_libraries: Annotated[
        bool, typer.Option("--stale-libraries", help="Run again what other versions of libraries made.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Do what is missing or stale in a study, then rebuild its comparison and report."""
    from workbench.studies.run import run_study

    how = {"redo": redo, "stale_libraries": stale_libraries, "dry_run": dry_run, "device": device}
    raise typer.Exit(run_study(find(study), jobs=jobs, **how))


@app.command()
def status(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="One study; default: all.")] = None,
) -> None:
    """Say how the runs of a study stand: state, time taken, why stale, and which process is running."""
    from workbench.studies import display
    from workbench.studies.config import StudyConfig
    from workbench.studies.plan import standing

    paths = [find(study)] if study else sorted((ROOT / "experiments").glob("*.yaml"))
    if not paths:
        typer.echo(f"no studies in {ROOT / 'experiments'}")
    for path in paths:
        typer.echo(f"{path.stem}:")
        try:
            config = StudyConfig.load(path)
            runs = standing(config)
        except WorkbenchError as error:
            if study:
                raise
            typer.echo(f"  {error}")  # one study that cannot be read must not hide the others
            continue
        width = max(len(run.name) for run in runs)
        for run in runs:
            typer.echo(f"  {run.name:<{width}}  {run.state:<11}  {display.facts(run)}")
        for line in display.targets(config.folder):
            typer.echo(f"  {line}")


@app.command()
def compare(
    study: Study,
    by_label: Annotated[bool, typer.Option("--by-label", help="Print a line per label and model.")] = False,
) -> None:
    """Rebuild comparison, tables and report from stored predictions alone; nothing is trained or scored."""
    from workbench.studies.compare import recompare

    recompare(find(study), by_label=by_label)


@app.command()
def trace(
    number: Annotated[str, typer.Argument(metavar="[STUDY] NUMBER", help="As test/paired/abuse/clip-cross/recall.")],
    then: Annotated[str | None, typer.Argument(metavar="", hidden=True)] = None,
) -> None:
    """Follow a number of a report back to runs, code, data and weights, and compute it again."""
    from workbench.report import trace as tracing
    from workbench.studies.config import StudyConfig

    study, number = (number, then) if then else (_study_of(number), number)
    config = StudyConfig.load(find(study))
    links = tracing.chain(config.folder, config.corpus, config.taxonomy, number)
    typer.echo(tracing.shown(links))
    raise typer.Exit(any(link.check.startswith(tracing.DIFFERS) for link in links))


@app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or STUDY:MODEL for the last finished one.")],
    b: Annotated[str, typer.Argument(metavar="RUN", help="Another, of this study, another one or another checkout.")],
) -> None:
    """Say what differs between two runs (code, data, options, libraries) and by how much each number moved."""
    from workbench.studies import diff as between

    folders = [Path(run) if Path(run).is_dir() else _run_folder(run) for run in (a, b)]
    for name, folder in zip("ab", folders, strict=True):
        typer.echo(f"{name}: {between.made_by(folder)}")
    typer.echo("\n".join(between.diff(*folders).lines()))


def _run_folder(run: str) -> Path:
    """Return the folder of a run given as STUDY:MODEL or STUDY:MODEL/FOLD, the last finished one of that name."""
    from workbench.errors import unknown
    from workbench.studies import DONE
    from workbench.studies.plan import latest_runs

    study, colon, model = run.rpartition(":")
    if not colon:
        raise WorkbenchError(f"{run!r} is no folder of a run; give one, or STUDY:MODEL")
    latest = latest_runs(find(study).resolve().with_suffix(""))
    runs = {name: run.folder for name, run in latest.items() if run.state == DONE}
    if model not in runs:
        raise WorkbenchError(f"{unknown('finished run', model, runs)}; `workbench run {study}` makes what is missing")
    return runs[model]


def _study_of(number: str) -> str:
    """Return the one study that has a number, or raise WorkbenchError naming those that have it."""
    from workbench.report import trace as tracing

    studies = tracing.studies_with(number, ROOT / "experiments")
    if len(studies) == 1:
        return studies[0]
    problem = f"stands in {', '.join(studies)}" if studies else "stands in no study's comparison"
    raise WorkbenchError(f"{number!r} {problem}; name the study: `workbench trace STUDY {number}`")


@app.command()
def audit(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help="A study, a YAML file with a corpus, or posts.")],
    columns: Annotated[str, typer.Option(help="For posts: as in text=body,split=part,label.abuse=toxic.")] = "",
    only: Annotated[str, typer.Option(help="Look for these beside exact repeats: near_text,time; default all.")] = "",
    fail_on: Annotated[str, typer.Option(help="What gives exit code 1, by name; default as in the study.")] = "",
    encoder: Annotated[str, typer.Option(help="Also show nearest neighbours in this encoder's space, as tiny.")] = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Findings, as .json or .html with pairs.")] = None,
) -> None:
    """Look for what leaks between training and test posts: repeats, near-duplicates, impossible times, shortcuts."""
    from workbench.studies.steps import leaks

    raise typer.Exit(leaks.command(corpus, columns=columns, only=only, fail_on=fail_on, encoder=encoder, out=out))


@app.command()
def score(
    bundle: Bundle,
    posts: Annotated[Path, typer.Argument(metavar="INPUT", help="A CSV, TSV, JSON, Parquet or .xlsx file of posts.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where decisions go: .csv, .jsonl or .parquet.")],
    columns: Annotated[str, typer.Option(help="Columns with other names, as in text=title+body,image=path.")] = "",
    read: Annotated[
        str,
        typer.Option(help="How the file is read where it does not say, as in encoding=latin-1,time_format=%d.%m.%Y."),
    ] = "",
    device: Device = "auto",
) -> None:
    """Decide on every post of a file: one row each, in order; one that cannot be read is marked for review."""
    from workbench.decisions import batch

    how = batch.reading(read)
    typer.echo(batch.score(locate(bundle), posts, out, device=device, columns=batch.mapping(columns), how=how))


@app.command()
def shift(
    bundle: Bundle,
    decisions: Annotated[Path, typer.Argument(metavar="DECISIONS", help="What `workbench score` wrote with it.")],
) -> None:
    """Estimate how frequent harm is among posts without labels, and say how to serve and to train for it."""
    from workbench.evidence import prior_shift

    typer.echo(prior_shift.told(locate(bundle), decisions))


@app.command()
def migrate(
    study: Study,
    theirs: Annotated[str, typer.Option("--from", help="The model that is to be replaced, as the study calls it.")],
    threshold: Annotated[
        list[str] | None, typer.Option(help="One in use there, as in abuse=0.7; may be repeated. None for yes and no.")
    ] = None,
    ours: Annotated[str, typer.Option("--to", help="What replaces it; default: the study's chosen model.")] = "",
    test: Annotated[str, typer.Option(help="The test set; default: the first that the study compares on.")] = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="All of it, as .html, or .csv and posts.")] = None,
) -> None:
    """Say which thresholds of ours replace those of another system, what each does, and where the two disagree."""
    from workbench.studies.steps import migrate as step

    step.command(find(study), theirs, threshold or [], ours, test, out)


@app.command()
def serve(
    config: Annotated[Path, typer.Option(help="Which bundle serves what.")] = ROOT / "serving.yaml",
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen at.")] = 8000,
    device: Device = "auto",
) -> None:
    """Serve the API alone; `python app.py` serves it with the demo."""
    from workbench.serving.api import app as service

    service.serve(host, port, config, device)


@app.command()
def starter(
    recipe: Annotated[Path | None, typer.Option(help="What it is made of; default: that of data/.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The bundle's folder; default: in data/.")] = None,
    pictures: Annotated[bool, typer.Option("--pictures", help="Make the one for pictures, of an open model.")] = False,
) -> None:
    """Make a small model of English words from openly licensed posts, measured on sets that it has not seen."""
    from workbench.starter import build
    from workbench.starter import pictures as open_model

    maker, usual = (open_model, open_model.DEFAULT) if pictures else (build, build.DEFAULT)
    maker.make(recipe or usual, out or maker.FOLDER, typer.echo)


@bundles.command()
def show(bundle: Bundle) -> None:
    """Say what a bundle holds: model, labels, thresholds and what they promise, digests; checks every file."""
    from workbench.decisions import card

    typer.echo(card.show(locate(bundle)))


@bundles.command()
def move(
    bundle: Bundle,
    out: Annotated[Path, typer.Option("--out", "-o", help="The new bundle's folder.")],
    prevalence: Annotated[str, typer.Option(help="How frequent harm is where it will serve, as in abuse=0.01.")] = "",
    site: Annotated[bool, typer.Option("--site", help="Serve what is calibrated by validation's weights.")] = False,
) -> None:
    """Save a bundle whose probabilities hold where harm is rarer or more frequent; model and thresholds stay."""
    from workbench.evidence import prior_shift

    typer.echo(prior_shift.move(locate(bundle), prior_shift.shares(prevalence), out, site=site))


@app.command()
def prove(
    only: Annotated[str, typer.Option(help="Settings to simulate, by name, as in copies-60-1,recipe-0.02.")] = "",
    worlds: Annotated[int | None, typer.Option(min=20, help="Simulated worlds per setting; default 1,000.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and smaller worlds: a look, not a result.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at once.")] = 2,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Claims, as CSV; counts go beside it.")] = None,
) -> None:
    """Hold intervals and tests against worlds whose truth is known; 1 where a claim fails. Interrupted, it goes on."""
    from workbench.evidence.proof import ProofOptions, prove_aloud

    options = ProofOptions.quick() if quick else ProofOptions()
    options = options.model_copy(update={"jobs": jobs, "worlds": worlds or options.worlds})
    raise typer.Exit(prove_aloud(options, [name for name in only.split(",") if name], out))


@app.command()
def noise(
    study: Study,
    label: Annotated[str, typer.Option(help="The label to look at; default: the study's first.")] = "",
    most: Annotated[int, typer.Option(min=0, help="How many suspects are printed.")] = 20,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where all suspects go, as CSV.")] = None,
) -> None:
    """Say how far annotators agree on a study's posts, and which labels look wrong to a model of words."""
    from workbench import corpora
    from workbench.evidence import noise as suspects
    from workbench.schema import expand
    from workbench.studies.config import StudyConfig

    config = StudyConfig.load(find(study))
    taxonomy, label = config.taxonomy, label or config.taxonomy.names[0]
    table = corpora.load(expand(config.corpus, f"study {config.path}"), taxonomy).table
    votes = suspects.votes_of(table, label)
    flagged = suspects.suspected(table, taxonomy, label)
    if votes is not None:
        typer.echo(suspects.agreement_line(suspects.agreement_of(votes)))
    typer.echo("\n".join(suspects.suspect_lines(flagged, label, most)))
    if out is not None:
        flagged.to_csv(out, index=False)
        typer.echo(f"all of them: {out}")


@app.command("stand-ins", hidden=True)  # its names in earlier versions
@app.command("tiny-random", hidden=True)
@app.command("random-models")
def random_models(
    folder: Annotated[Path | None, typer.Argument(metavar="[FOLDER]", help="Default: in data/cache.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Of full size: 6 GB, to measure speed.")] = False,
) -> None:
    """Save small untrained models in the hub's formats, for studies where no pretrained ones can be had."""
    from workbench.features.encoders import random_models as models

    made = models.write_full(folder or models.FULL_FOLDER) if full else models.write(folder or models.FOLDER)
    for kind, path in made.items():
        typer.echo(f"{kind}: {path}")


def locate(bundle: str) -> Path:
    """Return a bundle's folder given by path, or as STUDY:MODEL or STUDY:MODEL:SEED."""
    from workbench.serving import config

    return config.locate(bundle)
