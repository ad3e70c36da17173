"""The commands under `workbench features`; what is heavy is imported in its turn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.plain import Device, OneSentence

app = typer.Typer(
    cls=OneSentence, no_args_is_help=True, help="Fill the feature store, look into it, and make room in it."
)


@app.command()
def build(
    posts: Annotated[
        str, typer.Argument(metavar="CORPUS|RECORDS", help="A study, a YAML file with a corpus, posts, or records.")
    ],
    encoder: Annotated[list[str], typer.Option(help="Which encoder, by name, as in tiny; may be repeated.")],
    columns: Annotated[str, typer.Option(help="For a file of posts: columns with other names, as in text=body.")] = "",
    store: Annotated[Path | None, typer.Option(help="The store's folder; default: data/cache/features.")] = None,
    device: Device = "auto",
) -> None:
    """Compute features ahead, to be found by content id; what is stored stays. 1 where some could not be had now."""
    from workbench.corpora.files.mapping import named
    from workbench.device import device as best
    from workbench.features.store import FOLDER, FeatureStore, job
    from workbench.records import Records
    from workbench.studies.steps import leaks

    made = FeatureStore(store or FOLDER, best(device))
    if (folder := job.folder_of_records(posts)) is not None:
        with Records(folder, create=False) as records:
            there = lambda name: bool(records.blob_kinds(name))  # noqa: E731
            tallies = job.build(made, job.tables_of(records), encoder, texts=False, there=there)
    else:
        tallies = job.build(made, leaks.tables([posts], named(columns)), encoder)
    for tally in tallies:
        typer.echo(str(tally))
    raise typer.Exit(any(tally.later for tally in tallies))


@app.command()
def ls() -> None:
    """List what the store holds, per encoder and modality."""
    from workbench.features.store import FOLDER, maintenance

    typer.echo(maintenance.show(FOLDER))


@app.command()
def gc(
    older_than: Annotated[float | None, typer.Option(min=0, help="Drop what nobody used for so many days.")] = None,
    max_gb: Annotated[float | None, typer.Option(min=0, help="Drop what was used longest ago above this size.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Merge small files of the store, and drop what is asked for; running studies are not disturbed."""
    from workbench.features.store import FOLDER, maintenance

    typer.echo(maintenance.collect(FOLDER, older_than_days=older_than, max_gb=max_gb, dry_run=dry_run))


@app.command()
def adopt(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A fingerprint in `workbench features ls`, or its start.")],
    corpus: Annotated[list[str], typer.Option(help="A study whose posts were encoded, or a corpus; may be repeated.")],
    device: Device = "auto",
) -> None:
    """Keep features whose code or libraries changed: 500 of them are made again and must be the same, or none stays."""
    from workbench.device import device as best
    from workbench.features.store import FOLDER, adoption
    from workbench.studies.steps import leaks

    place = best(device)
    for line in adoption.adopt(FOLDER, old, leaks.tables(corpus), lambda name: adoption.loaded(name, place)):
        typer.echo(line)
