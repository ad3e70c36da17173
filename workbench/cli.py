"""The command line: run a study, see how it stands, rebuild its tables; nothing heavy is imported before its turn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from workbench.schema import ROOT, WorkbenchError

if TYPE_CHECKING:
    from workbench.studies.runs import Run


class _Plain(TyperGroup):
    """Shows what a user can mend as one sentence, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except WorkbenchError as error:
            typer.echo(f"error: {error}", err=True)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from None
        raise typer.Exit(2)


app = typer.Typer(cls=_Plain, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Study = Annotated[str, typer.Argument(metavar="STUDY", help="A study's YAML file, or its name in experiments/.")]


@app.callback()
def _about() -> None:
    """Compare moderation models with evidence: studies in, run folders and one report out."""


@app.command()
def run(
    study: Study,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would run, and why.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="How many runs at once; by default as many as fit.")] = None,
    redo: Annotated[bool, typer.Option("--all", help="Run finished ones again too.")] = False,
    device: Annotated[str, typer.Option(help="Where to compute: auto, cpu or cuda.")] = "auto",
) -> None:
    """Do what is missing or stale in a study, then rebuild its comparison and report."""
    from workbench.studies.runs import run_study

    raise typer.Exit(run_study(find(study), jobs=jobs, redo=redo, dry_run=dry_run, device=device))


@app.command()
def status(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="One study; default: all.")] = None,
) -> None:
    """Say how the runs of a study stand: state, time taken, why stale, and which process is running."""
    from workbench.studies.config import StudyConfig
    from workbench.studies.runs import standing

    paths = [find(study)] if study else sorted((ROOT / "experiments").glob("*.yaml"))
    if not paths:
        typer.echo(f"no studies in {ROOT / 'experiments'}")
    for path in paths:
        typer.echo(f"{path.stem}:")
        try:
            runs = standing(StudyConfig.load(path))
        except WorkbenchError as error:
            if study:
                raise
            typer.echo(f"  {error}")  # one study that cannot be read must not hide the others
            continue
        width = max(len(run.alias) for run in runs)
        for run in runs:
            typer.echo(f"  {run.alias:<{width}}  {run.state:<11}  {_facts(run)}")


def _facts(run: Run) -> str:
    """Return what is known of a run beside its state."""
    from workbench.studies import RUNNING, read_json

    if run.state == RUNNING:
        said = read_json(run.folder / "running.json") or {}
        return f"process {said.get('pid')}, cell {said.get('cell')} of {said.get('cells')}, since {said.get('started')}"
    facts = []
    if run.record:
        facts += [f"{run.record.get('seconds') or 0:.0f} s", f"ended {run.record.get('ended')}", f"key {run.key}"]
    return "; ".join([*facts, *run.reasons])


@app.command()
def compare(study: Study) -> None:
    """Rebuild comparison, tables and report from stored predictions alone; nothing is trained or scored."""
    from workbench.studies.runs import recompare

    recompare(find(study))


def find(study: str) -> Path:
    """Return the YAML file of a study given by path or by name; raise WorkbenchError naming those there are."""
    from workbench.schema import unknown

    named = ROOT / "experiments" / f"{study}.yaml"
    for path in (Path(study), Path(f"{study}.yaml"), named):
        if path.is_file():
            return path
    raise WorkbenchError(unknown("study", study, sorted(path.stem for path in named.parent.glob("*.yaml"))))


if __name__ == "__main__":
    app()
