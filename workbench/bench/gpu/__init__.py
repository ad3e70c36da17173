"""`workbench bench gpu`: every model of a study on a CUDA device and on the CPU, with the same untrained weights.

What is measured of each stands in `agreement`. The study is experiments/gpu-check.yaml, whose encoders have full size
and random weights, so that nothing is fetched. Each family goes through a process that can be ended: none can hold up
the others, and when the minutes are over the rest is told as not measured. The file of results is written after each.

Open doubts: random weights are as fast and as large as pretrained ones, but their scores mean nothing; pictures of the
synthetic world are small, so that decoding costs less than on a site.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from workbench.bench import console, machine, write
from workbench.bench.gpu.agreement import TOLERANCES, CheckedModel, measure
from workbench.bench.gpu.apart import Worker
from workbench.errors import WorkbenchError, unknown
from workbench.features.encoders import random_models
from workbench.schema import ROOT, Options

if TYPE_CHECKING:
    from rich.table import Table

STUDY = ROOT / "experiments" / "gpu-check.yaml"
TINY = {  # the encoder that is read in the place of one of full size
    "ViT-B-32@random": "tiny",
    "ViT-L-14@random": "tiny",
    "timm:vit_base_patch16_224@random": "timm:test_vit@random",
}


class GpuBench(Options):
    """How much `bench gpu` measures; the defaults are for one large GPU and ten minutes."""

    models: tuple[str, ...] = Field((), description="Names of the study's models; empty: all.")
    device: str = Field("cuda", description="What is compared with the CPU: cuda, or cpu to try the command itself.")
    posts: int = Field(512, ge=2, description="Posts that a model scores at most.")
    seconds: float = Field(10, gt=0, description="What scoring may take on the device, and on the CPU, about.")
    minutes: float = Field(10, gt=0, description="What all of it may take; what is not measured then is told.")
    tiny: bool = Field(False, description="Whether tiny encoders stand in the place of those of full size.")
    corpus: dict[str, Any] = Field({}, description="Options of the study's corpus that are replaced.")

    @classmethod
    def quick(cls) -> GpuBench:
        """Return sizes that a CPU goes through in a minute, to see that the command works."""
        return cls(posts=16, seconds=5, tiny=True, corpus={"posts": 240})


def gpu(options: GpuBench | None = None, out: Path | None = None) -> dict[str, Any]:
    """Measure every model of the study, print a table, write the numbers to `out` as JSON, and return them.

    Raises WorkbenchError without the device that was asked for, for an unknown model, and at the end where scores or
    vectors are further from the CPU's than the tolerance.
    """
    options = options or GpuBench()
    where, began = _device(options.device), time.monotonic()
    families, corpus = _families(options)
    result: dict[str, Any] = {"machine": machine(where) | _gpu(where), "options": options.model_dump(mode="json")}
    result |= {"tolerances": {dtype: each._asdict() for dtype, each in TOLERANCES.items()}, "models": []}
    said = console(stderr=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if options.tiny else random_models.FULL_FOLDER
        said.print(f"untrained models in {folder}: written where they are missing")
        random_models.write_full(folder, tiny=options.tiny)
        worker = Worker(measure)
        try:
            for number, family in enumerate(families, start=1):
                chosen = family._replace(options=_replaced(family.options, folder, options.tiny))
                left = began + 60 * options.minutes - time.monotonic()
                result["models"].append(_row(worker, chosen, corpus, options, left))
                result["seconds"] = time.monotonic() - began
                said.print(f"{number} of {len(families)}: {family.alias}, {result['seconds']:.0f} s")
                write(result, out)
        finally:
            worker.end()
    _show(result)
    wrong = [row["name"] for row in result["models"] if row.get("agrees") is False]
    if wrong:
        raise WorkbenchError(f"{where} and the CPU are further apart than the tolerance in {', '.join(wrong)}")
    return result


def _device(choice: str) -> Any:
    import torch

    from workbench import device as devices

    if choice.startswith("cuda") and not torch.cuda.is_available():
        raise WorkbenchError(
            "there is no CUDA device here to compare with the CPU; run this where there is one, "
            "or try the command itself with --device cpu --quick"
        )
    return devices.device(choice)


def _gpu(where: Any) -> dict[str, Any]:
    """Return the name and the memory of a CUDA device."""
    if where.type != "cuda":
        return {}
    import torch

    about = torch.cuda.get_device_properties(where)
    return {"gpu": about.name, "gpu_memory_mb": about.total_memory / 2**20, "cuda": torch.version.cuda}


def _families(options: GpuBench) -> tuple[list[CheckedModel], dict[str, Any]]:
    """Return the study's models that were asked for, and its corpus."""
    from workbench.studies.config import StudyConfig

    study = StudyConfig.load(STUDY)
    every = {entry.alias: CheckedModel(entry.alias, entry.name, entry.options) for entry in study.models}
    for alias in options.models:
        if alias not in every:
            raise WorkbenchError(unknown("model of gpu-check.yaml", alias, every))
    return [every[alias] for alias in options.models or every], {**study.corpus, **options.corpus}


def _replaced(value: Any, folder: Path, tiny: bool) -> Any:
    """Return options in which untrained models lie below `folder`, and encoders are tiny where that is asked for."""
    if isinstance(value, Mapping):
        return {key: _replaced(each, folder, tiny) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(each, folder, tiny) for each in value]
    if not isinstance(value, str):
        return value
    written = str(random_models.FULL_FOLDER.relative_to(ROOT))
    if value.startswith(written):
        return str(folder / value[len(written) + 1 :])
    return TINY.get(value, value) if tiny else value


def _row(
    worker: Worker, family: CheckedModel, corpus: dict[str, Any], options: GpuBench, left: float
) -> dict[str, Any]:
    """Return what was measured of a family, or why nothing was."""
    if left <= 0:
        return {"name": family.alias, "note": f"the {options.minutes:g} minutes were over"}
    try:
        return worker.call(family, corpus, options.device, options.posts, options.seconds, seconds=left)
    except WorkbenchError as error:
        return {"name": family.alias, "note": str(error)}


# ------------------------------------------------------------------------------------------------------- what is shown


def _show(result: dict[str, Any]) -> None:
    console().print(_table(result))
    for row in result["models"]:
        if "note" in row:
            console().print(f"{row['name']} was not measured: {row['note']}")
        if "note" in (row.get("scarce") or {}):
            console().print(f"{row['name']} with little memory: {row['scarce']['note']}")
    for dtype in sorted({row["dtype"] for row in result["models"] if "dtype" in row}):
        console().print(f"{dtype} {TOLERANCES[dtype].said}")


def _table(result: dict[str, Any]) -> Table:
    from rich.table import Table

    about = result["machine"]
    caption = ", ".join(f"{key} {value}" for key, value in about.items())
    table = Table(
        title=f"{about['device']} against the CPU, the same untrained weights",
        caption=caption,
        box=None,
        padding=(0, 1),
    )
    for head in ("", "format", "posts/s", "CPU", "ratio", "MB fit", "score", "halved", "cosine", "share", "apart", ""):
        table.add_column(head, justify="right" if head else "left", no_wrap=True)
    for row in result["models"]:
        if "note" in row:
            continue
        cosine, scarce = row["smallest_cosine"], row["scarce"] or {}
        table.add_row(
            row["name"],
            row["dtype"],
            *(f"{row[name]:,.{0 if row[name] >= 100 else 1}f}" for name in ("posts_per_s", "cpu_posts_per_s")),
            f"{row['times_the_cpu']:,.1f} x",
            *(f"{row[name]:,.0f}" for name in ("fit_peak_mb", "score_peak_mb")),
            f"{scarce['halved']} x" if "halved" in scarce else "–",
            *(
                "–" if each is None else f"{each:.{digits}f}"
                for each, digits in ((cosine, 5), (row["vectors_apart"], 3))
            ),
            f"{row['probabilities_apart']:.5f}",
            "agrees" if row["agrees"] else "differs",
        )
    return table
