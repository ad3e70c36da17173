"""`workbench bench models`: each model against a plain loop of itself.

A model is trained briefly on synthetic posts, in a process of its own, so that its peak memory is its own. Then the
same posts are scored three ways: *plain*, batches of 32 in the order given, each with a store that knows nothing;
*cold*, all at once from raw content; *warm*, all at once again, features in the store. Plain, cold and warm take turns,
and who begins alternates; a ratio is that of the medians, and a run in which the scores differ fails.

Open doubts: trained for a moment, a model scores as fast as any, but its training is no measure; peak memory holds the
libraries, which are most of it for small models.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from workbench.bench import console, machine, turns, write
from workbench.errors import WorkbenchError, unknown
from workbench.schema import Options

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.table import Table

BATCH = 32
LEFT_OUT = ("scores",)  # which reads a file of the user's
BRIEF = {"epochs": 2}  # options of whatever model has them: long enough to have something to score with
CLOSE = 1e-3  # how far scores of one post may differ


class ModelBench(Options):
    """How much `bench models` measures; the defaults take some minutes on two free cores."""

    models: tuple[str, ...] = Field((), description="Names of models; empty: all but those that need a file.")
    options: dict[str, dict[str, Any]] = Field({}, description="Options by model name, where not its own.")
    corpus: dict[str, Any] = Field(
        {"source": "synthetic", "posts": 2000, "seed": 5, "oversample": {"paired": 0.7, "harm": 0.25}},
        description="Where the posts come from; a fifth is scored, the rest trains.",
    )
    repeats: int = Field(3, ge=1, description="Turns of each way of scoring.")
    seed: int = Field(0, ge=0, description="Seed of training.")
    device: str = Field("cpu", description="Where models compute: auto, cpu or cuda.")

    @classmethod
    def quick(cls) -> ModelBench:
        """Return sizes for a look that takes a minute."""
        corpus = {"source": "synthetic", "posts": 500, "seed": 5, "oversample": {"paired": 0.7, "harm": 0.25}}
        return cls(corpus=corpus, repeats=1)


def models(options: ModelBench | None = None, out: Path | None = None) -> dict[str, Any]:
    """Measure every model, print a table, write it to `out` as JSON, and return that.

    A model that cannot be trained or scored here is a row that says why. Raises WorkbenchError for an unknown model,
    and where two ways of scoring differ: then a ratio would mean nothing.
    """
    from rich.progress import track

    options = options or ModelBench()
    names = track(_names(options), "models", console=console(stderr=True), transient=True)
    rows = [row if "note" in row else row | {"targets": targets(row)} for row in (_apart(n, options) for n in names)]
    result = {"machine": machine(options.device), "options": options.model_dump(mode="json")}
    result |= {"models": rows}
    console().print(_table(rows, result["machine"]))
    for row in rows:
        if "note" in row:
            console().print(f"{row['name']} was not measured: {row['note']}")
    write(result, out)
    wrong = [row["name"] for row in rows if row.get("differ", 0) > CLOSE]
    if wrong:
        raise WorkbenchError(f"scores depend on how posts are batched in {', '.join(wrong)}; the ratios mean nothing")
    return result


def targets(row: dict[str, Any]) -> dict[str, str]:
    """Return whether a measured model meets what the site requires of a post's time and of memory.

    The time is that of new posts in one process.
    """
    from workbench.requirements import Requirements, verdict

    needs = Requirements.load()
    found = {
        "time": (needs.latency.ms_per_post, 1000 / row["cold_posts_per_s"]),
        "memory": (needs.limits.memory_gb, row["peak_mb"]["host"] / 1000),
    }
    return {what: verdict(most, value, least=False) for what, (most, value) in found.items() if most is not None}


def _names(options: ModelBench) -> list[str]:
    from workbench.models import MODELS

    for name in options.models:
        if name not in MODELS:
            raise WorkbenchError(unknown("model", name, MODELS))
    return list(options.models or (name for name in MODELS if name not in LEFT_OUT))


def _apart(name: str, options: ModelBench) -> dict[str, Any]:
    """Measure a model in a fresh process, whose peak memory is the model's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
        try:
            return alone.submit(measure, name, options).result()
        except WorkbenchError as error:
            return {"name": name, "note": str(error)}


def measure(name: str, options: ModelBench) -> dict[str, Any]:
    """Train a model briefly and return seconds of plain, cold and warm scoring, ratios, and peak memory in MiB."""
    from workbench import corpora, device, models
    from workbench.features import FeatureStore
    from workbench.schema import Taxonomy, inputs

    where, taxonomy = device.device(options.device), Taxonomy.load()
    table = corpora.load(options.corpus, taxonomy).table
    cut = len(table) * 4 // 5
    chosen = {key: value for key, value in BRIEF.items() if key in models.option_names(name)}
    own = options.options.get(name, {})
    with tempfile.TemporaryDirectory() as folder:
        chosen |= own or _random_models(name, Path(folder))
        model = models.create(name, chosen, taxonomy=taxonomy, store=empty_store(where))
        model.fit(table.slice(0, cut), table.slice(cut), seed=options.seed)
        full = empty_store(where)
        lend(model, full)
        model.logits(inputs(table.slice(cut)))  # once before it counts: encoders are loaded, features are in the store
    posts = inputs(table.slice(cut))

    def known(store: FeatureStore, posts: pa.Table) -> np.ndarray:
        lend(model, store)
        return model.logits(posts)

    def plain() -> np.ndarray:
        batches = range(0, len(posts), BATCH)
        return np.concatenate([known(empty_store(where, full), posts.slice(start, BATCH)) for start in batches])

    ways = {"plain": plain, "cold": lambda: known(empty_store(where, full), posts), "warm": lambda: known(full, posts)}
    took, made = zip(*turns(list(ways.values()), options.repeats), strict=True)
    seconds = {way: list(each) for way, each in zip(ways, zip(*took, strict=True), strict=True)}
    middle = {way: statistics.median(each) for way, each in seconds.items()}
    differ = max(apart_by(made[-1][0], other) for other in made[-1][1:])
    speed = {f"{way}_posts_per_s": len(posts) / middle[way] for way in ways}
    ratios = {f"{way}_ratio": middle["plain"] / middle[way] for way in ("cold", "warm")}
    row = {"name": name, "posts": len(posts), "seconds": seconds, "differ": differ, **speed, **ratios}
    return row | {"peak_mb": device.peak_memory_mb(where)}


def _random_models(name: str, folder: Path) -> dict[str, Any]:
    """Return the options of a model that cannot do without a pretrained one, written into `folder` with random weights.

    The speeds are then those of a very small one.
    """
    from workbench.features.encoders import random_models

    if name == "text-transformer":
        return {"encoder": str(random_models.write_text_encoder(folder / "text-encoder"))}
    if name == "vlm-prompt":
        return {"model": str(random_models.write_vlm(folder / "vlm"))}
    return {"encoder": "timm:test_resnet@random"} if name == "image-timm" else {}


def empty_store(where: Any, other: Any = None) -> Any:
    """Return a store that knows nothing, with the encoders of another one, so that loading them is not timed."""
    from workbench.features import FeatureStore

    return FeatureStore(None, where, load=None if other is None else lambda name, device: other.encoder(name))


def lend(model: Any, store: Any) -> None:
    """Give a model, and every model that it is made of, a store."""
    for part in (model, *model.parts()):
        part.store = store


def apart_by(a: np.ndarray, b: np.ndarray) -> float:
    """Return how far two tables of scores are apart; infinitely, where one is NaN and the other not."""
    if (np.isnan(a) != np.isnan(b)).any():
        return float("inf")
    return float(np.nanmax(np.abs(a - b), initial=0.0))


# ------------------------------------------------------------------------------------------------------- what is shown


def _table(rows: list[dict[str, Any]], about: dict[str, Any]) -> Table:
    from rich.table import Table

    caption = ", ".join(f"{key} {value}" for key, value in about.items())
    table = Table(title="Models: posts a second, and times a plain loop of the same model", caption=caption)
    for head in ("", "posts", "plain", "cold", "warm", "cold ratio", "warm ratio", "peak MB", "required"):
        table.add_column(head, justify="right" if head else "left", min_width=0 if head else 14)
    for row in rows:
        if "note" in row:
            continue
        speeds = [f"{row[f'{way}_posts_per_s']:,.0f}/s" for way in ("plain", "cold", "warm")]
        ratios = [f"{row[f'{way}_ratio']:.1f} x" for way in ("cold", "warm")]
        table.add_row(
            row["name"], str(row["posts"]), *speeds, *ratios, f"{row['peak_mb']['host']:,.0f}", _required(row)
        )
    return table


def _required(row: dict[str, Any]) -> str:
    """What is required of time and memory, in a word, with what is missed."""
    missed = [what for what, verdict in row["targets"].items() if verdict == "missed"]
    return f"missed: {', '.join(missed)}" if missed else "met" if row["targets"] else "–"
