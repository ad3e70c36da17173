"""The commands under `workbench bench`; what is heavy is imported in its turn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu or cuda.")]


def features(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the numbers go, as JSON.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer files: a look, not a result.")] = False,
    device: Device = "auto",
) -> None:
    """Compare the encoders with a plain open_clip loop, on the same files in the same run."""
    from workbench.bench.features import FeatureBench
    from workbench.bench.features import features as measure

    options = FeatureBench.quick() if quick else FeatureBench()
    measure(options.model_copy(update={"device": device}), out)


def models(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the numbers go, as JSON.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer posts: a look, not a result.")] = False,
    only: Annotated[str, typer.Option(help="Models to measure, by name, as in text-tfidf,clip-cross.")] = "",
    device: Device = "cpu",
) -> None:
    """Compare each model with a plain loop of itself."""
    from workbench.bench.models import ModelBench
    from workbench.bench.models import models as measure

    options = ModelBench.quick() if quick else ModelBench()
    names = tuple(name for name in only.split(",") if name)
    measure(options.model_copy(update={"device": device, "models": names or options.models}), out)


def gpu(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the numbers go, as JSON.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Tiny encoders, few posts: only whether it works.")] = False,
    only: Annotated[str, typer.Option(help="Models of the study to measure, by name, as in cross-l14,vlm.")] = "",
    minutes: Annotated[float, typer.Option(help="What all of it may take.")] = 10,
    device: Annotated[str, typer.Option(help="What is compared with the CPU: cuda, or cpu.")] = "cuda",
) -> None:
    """Compare a CUDA device with the CPU: speed, memory and scores of every model of gpu-check.yaml."""
    from workbench.bench.gpu import GpuBench
    from workbench.bench.gpu import gpu as measure

    options = GpuBench.quick() if quick else GpuBench()
    names = tuple(name for name in only.split(",") if name)
    given = options.model_dump() | {"device": device, "minutes": minutes, "models": names}
    measure(GpuBench.parse(given, "bench gpu"), out)


def heads(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the numbers go, as JSON.")] = None,
    only: Annotated[str, typer.Option(help="Spaces to measure, as in 'EDOS text,Harm-C text'.")] = "",
    head: Annotated[str, typer.Option(help="Another head than the default.")] = "auto",
    device: Device = "cpu",
) -> None:
    """Compare the default head on frozen vectors with scikit-learn's logistic regression."""
    from workbench.bench.heads import HeadBench
    from workbench.bench.heads import heads as measure

    names = tuple(name for name in only.split(",") if name)
    measure(HeadBench(spaces=names, head=head, device=device), out)


def intervals(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the numbers go, as JSON.")] = None,
) -> None:
    """Compare bootstrap intervals of ten models with a plain loop over resampled posts."""
    from workbench.bench.intervals import intervals as measure

    measure(out=out)


def report(
    harm: Annotated[float, typer.Option(help="Share of positives of each label.")] = 0.05,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the numbers go, as JSON.")] = None,
) -> None:
    """Say how long the report of ten models takes, and how large it is."""
    from workbench.bench.report import ReportBench
    from workbench.bench.report import report as measure

    measure(ReportBench.parse({"harm": harm}, "bench report"), out)


def reading(
    rows: Annotated[int, typer.Option(min=1000, help="Rows of the CSV; the JSON has a fifth of them.")] = 1_000_000,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the numbers go, as JSON.")] = None,
) -> None:
    """Compare how files of posts are read with pandas and pyarrow, in processor time and memory."""
    from workbench.bench.reading import reading as measure

    measure(rows, out)


def memory(
    target: Annotated[
        str, typer.Argument(metavar="STUDY|BUNDLE", help="A study, STUDY:MODEL[:SEED], or a bundle's folder.")
    ],
    device: Device = "auto",
) -> None:
    """Say what memory serving takes, in a process of its own for each bundle; model cards then state it."""
    from workbench.bench import memory as measured

    for line in measured.command(target, device):
        typer.echo(line)


def records(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the numbers go, as JSON.")] = None,
    posts: Annotated[int, typer.Option(min=100, help="Posts of each turn.")] = 5000,
) -> None:
    """Compare recording by 64 threads with raw sqlite3 and a group commit, in processor time."""
    from workbench.bench.records import records as measure

    measure(posts, out=out)


def words(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the numbers go, as JSON.")] = None,
    sets: Annotated[str, typer.Option(help="Public sets to measure on, by name, as in edos,hatemoji.")] = "",
) -> None:
    """Compare text-tfidf by default with plain scikit-learn on public sets, and say what its choice costs."""
    from workbench.bench.words import WordBench
    from workbench.bench.words import words as measure

    named = tuple(name for name in sets.split(",") if name)
    measure(WordBench.parse({"sets": named} if named else {}, "bench words"), out)


def protocol(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the numbers go, as JSON.")] = None,
    config: Annotated[Path | None, typer.Option(help="Which bundle serves what; default: serving.yaml.")] = None,
    only: Annotated[str, typer.Option(help="Services to measure, by name, as in text,image.")] = "",
    posts: Annotated[int, typer.Option(min=1, help="Posts of each measurement.")] = 60,
) -> None:
    """Measure bytes and seconds of a request to each service, and what PUT spares that POST would not."""
    from workbench.bench.protocol import ProtocolBench
    from workbench.bench.protocol import protocol as measure

    named = tuple(name for name in only.split(",") if name)
    given = {"config": config} if config else {}
    measure(ProtocolBench(services=named, posts=posts, **given), out)


COMMANDS = {
    "features": features,
    "models": models,
    "heads": heads,
    "gpu": gpu,
    "intervals": intervals,
    "report": report,
    "reading": reading,
    "words": words,
    "protocol": protocol,
    "memory": memory,
    "records": records,
}
