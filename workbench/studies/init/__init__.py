"""From a file that nobody described to a study: look at it, guess, hold the guess to the reader, write it with reasons.

A layout that is known by name says most; the rest is guessed from names and values (`fields`, `answers`, `labels`), and
what does not hold when the posts are read and divided is left out again (`settle`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from workbench.artifacts import writing
from workbench.errors import WorkbenchError
from workbench.schema import ROOT

if TYPE_CHECKING:
    from workbench.studies.init import kept
    from workbench.studies.init.draft import Draft
    from workbench.studies.init.look import Contents


def init_study(given: Path, out: Path | None = None, *, yes: bool = False, encoding: str | None = None) -> int:
    """Write a study about a file or folder of posts, say what it assumes, and return the exit status.

    out: where the YAML goes; default: `experiments/`, by the file's name; encoding: of the file, where its bytes cannot
    tell. 1: no column could be taken as a label. Asks
    in the terminal unless `yes`. Raises WorkbenchError where there is nothing to write a study about, or one is there.
    """
    from workbench.corpora import counts
    from workbench.studies.init.draft import Draft
    from workbench.studies.init.look import look
    from workbench.studies.init.models import choose
    from workbench.studies.init.settle import place, settle, without_labels
    from workbench.studies.init.write import as_yaml, study_name

    path = out or ROOT / "experiments" / f"{study_name(given)}.yaml"
    if path.exists():
        raise WorkbenchError(f"there is a study {path} already; delete it, or name another with --out")
    seen, draft = look(given, encoding), Draft()
    _guess(seen, draft, yes)
    seen = without_labels(seen, draft)
    kept.keep(seen, draft)
    place(seen, draft)
    sets = settle(seen, draft) if draft.labels else {}
    choose(draft)
    text = as_yaml(draft, given.name, seen.told)
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as made:
        made.write_text(text, encoding="utf-8")
    typer.echo(text)
    for line in counts.lines(counts.of_labels(sets, draft.taxonomy())) if sets else ():
        typer.echo(line)
    typer.echo(f"written to {path}" + (f"; `workbench run {path}` makes the report" if sets else ""))
    if not draft.labels:
        typer.echo(f"name a label in {path} before it runs: no column could be taken as one", err=True)
    return int(not draft.labels)


def _guess(seen: Contents, draft: Draft, yes: bool) -> None:
    from workbench.studies.init import ask, fields, labels, layouts

    def prompt(question: str, default: str) -> str:
        try:
            return typer.prompt(question, default=default)
        except typer.Abort:
            raise WorkbenchError("no answer came, so nothing was written; answer in a terminal, or add --yes") from None

    layouts.recognize(seen, draft)
    fields.content(seen, draft)
    if not yes:
        typer.echo(f"{seen.given}: {sum(seen.rows):,} rows, columns {', '.join(seen.columns)}")
        ask.ask_content(seen, draft, prompt, typer.echo)
    if not {"text", "image", "video"} & {*draft.corpus}:
        raise WorkbenchError(
            f"{seen.given} has no column of words, pictures or clips that could be told as such, among "
            f"{', '.join([*seen.columns][:12])}; write the study by hand, after experiments/sample.yaml"
        )
    labels.annotators(seen, draft)
    fields.others(seen, draft)
    labels.labels(seen, draft)
    if not yes:
        ask.ask_labels(draft, prompt, typer.echo)
