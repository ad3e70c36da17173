"""`workbench bench models`: each model against a plain loop of itself, and linear heads against scikit-learn's loop.

A model is trained briefly on synthetic posts, in a process of its own, so that its peak memory is its own. Then the
same posts are scored three ways: *plain*, batches of 32 in the order given, each with a store that knows nothing;
*cold*, all at once from raw content; *warm*, all at once again, features in the store. Plain, cold and warm take turns,
and who begins alternates; a ratio is that of the medians, and a run in which the scores differ fails.

The row of linear heads trains all labels at all penalties on features in memory: ours in one pass, and scikit-learn's
LogisticRegression in a loop over labels and penalties, with its defaults but for more steps and a tolerance at which it
reaches the optimum that ours has (at its default of 1e-4 its probabilities are up to 0.01 off).

Open doubts: trained for a moment, a model scores as fast as any, but its training is no measure; peak memory holds the
libraries, which are most of it for small models.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from workbench.bench import console, machine
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
    rows: int = Field(6000, ge=20, description="Posts of the linear heads.")
    dim: int = Field(512, ge=1, description="Length of their features.")
    labels: int = Field(4, ge=1, description="Their labels.")
    penalties: tuple[float, ...] = Field((0.001, 0.01, 0.1, 1.0), min_length=1, description="Their values of C.")
    seed: int = Field(0, ge=0, description="Seed of training and of the linear heads' data.")
    device: str = Field("cpu", description="Where models compute: auto, cpu or cuda.")

    @classmethod
    def quick(cls) -> ModelBench:
        """Return sizes for a look that takes a minute."""
        corpus = {"source": "synthetic", "posts": 500, "seed": 5, "oversample": {"paired": 0.7, "harm": 0.25}}
        return cls(corpus=corpus, repeats=1, rows=1500, dim=128)


def models(options: ModelBench | None = None, out: Path | None = None) -> dict[str, Any]:
    """Measure every model and the linear heads, print a table, write it to `out` as JSON, and return that.

    A model that cannot be trained or scored here is a row that says why. Raises WorkbenchError for an unknown model,
    and where two ways of scoring, or the two optima, differ: then a ratio would mean nothing.
    """
    from rich.progress import track

    options = options or ModelBench()
    names = track(_names(options), "models", console=console(stderr=True), transient=True)
    rows = [_apart(name, options) for name in names]
    heads = linear_heads(options)
    result = {"machine": machine(options.device), "options": options.model_dump(mode="json")}
    result |= {"models": rows, "linear heads": heads}
    console().print(_table(rows, result["machine"]))
    for row in rows:
        if "note" in row:
            console().print(f"{row['name']} was not measured: {row['note']}")
    console().print(_said(heads, options))
    if out is not None:
        out.write_text(json.dumps(result, indent=1))
    wrong = [row["name"] for row in rows if row.get("differ", 0) > CLOSE]
    if wrong:
        raise WorkbenchError(f"scores depend on how posts are batched in {', '.join(wrong)}; the ratios mean nothing")
    if heads["probabilities"] > CLOSE or heads["objective"] > CLOSE:
        raise WorkbenchError("the linear heads are not at scikit-learn's optimum; the ratio means nothing")
    return result


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
        chosen |= own or _stand_in(name, Path(folder))
        model = models.create(name, chosen, taxonomy=taxonomy, store=_empty(where))
        model.fit(table.slice(0, cut), table.slice(cut), seed=options.seed)
        full = _empty(where)
        _lend(model, full)
        model.logits(inputs(table.slice(cut)))  # once before it counts: encoders are loaded, features are in the store
    posts = inputs(table.slice(cut))

    def known(store: FeatureStore, posts: pa.Table) -> np.ndarray:
        _lend(model, store)
        return model.logits(posts)

    def plain() -> np.ndarray:
        batches = range(0, len(posts), BATCH)
        return np.concatenate([known(_empty(where, full), posts.slice(start, BATCH)) for start in batches])

    ways = {"plain": plain, "cold": lambda: known(_empty(where, full), posts), "warm": lambda: known(full, posts)}
    seconds, scores = _turns(ways, options.repeats)
    middle = {way: statistics.median(turns) for way, turns in seconds.items()}
    differ = max(_apart_by(scores["plain"], scores[way]) for way in ("cold", "warm"))
    speed = {f"{way}_posts_per_s": len(posts) / middle[way] for way in ways}
    ratios = {f"{way}_ratio": middle["plain"] / middle[way] for way in ("cold", "warm")}
    row = {"name": name, "posts": len(posts), "seconds": seconds, "differ": differ, **speed, **ratios}
    return row | {"peak_mb": device.peak_memory_mb(where)}


def _stand_in(name: str, folder: Path) -> dict[str, Any]:
    """Return the options of a model that cannot do without a pretrained one, written into `folder` with random weights.

    The speeds are then those of a very small one.
    """
    from workbench.features.encoders import tiny_random

    if name == "text-transformer":
        return {"encoder": str(tiny_random.write_text_encoder(folder / "text-encoder"))}
    if name == "vlm-prompt":
        return {"model": str(tiny_random.write_vlm(folder / "vlm"))}
    return {"encoder": "timm:test_resnet@random"} if name == "image-timm" else {}


def _empty(where: Any, other: Any = None) -> Any:
    """Return a store that knows nothing, with the encoders of another one, so that loading them is not timed."""
    from workbench.features import FeatureStore

    return FeatureStore(None, where, load=None if other is None else lambda name, device: other.encoder(name))


def _lend(model: Any, store: Any) -> None:
    """Give a model, and every model that it holds, a store."""
    from workbench.models import Classifier

    model.store = store
    for value in vars(model).values():
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
        for part in parts:
            if isinstance(part, Classifier):
                _lend(part, store)


def _turns(ways: dict[str, Callable[[], np.ndarray]], n: int) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
    """Let each way score `n` times, by turns; return seconds, and the scores of the last turn."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    scores = {}
    for turn in range(n):
        for way in ways if turn % 2 == 0 else reversed(ways):
            began = time.perf_counter()
            scores[way] = ways[way]()
            seconds[way].append(time.perf_counter() - began)
    return seconds, scores


def _apart_by(a: np.ndarray, b: np.ndarray) -> float:
    """Return how far two tables of scores are apart; infinitely, where one is NaN and the other not."""
    if (np.isnan(a) != np.isnan(b)).any():
        return float("inf")
    return float(np.nanmax(np.abs(a - b), initial=0.0))


# -------------------------------------------------------------------------------------------------------- linear heads


def linear_heads(options: ModelBench) -> dict[str, Any]:
    """Train all labels at all penalties in one pass and by scikit-learn's loop; return seconds, and how they differ.

    `objective`: by how much, at most, ours is higher, of scikit-learn's; `probabilities`: the largest difference.
    """
    import torch

    from workbench import device
    from workbench.models.heads import linear

    where = device.device(options.device)
    x, y, known = _world(options)
    tensors = [torch.from_numpy(part).to(where) for part in (x, y, known)]

    def ours() -> linear.Fit:
        fit = linear.logistic(*tensors, options.penalties)
        return linear.Fit(fit.weights.cpu(), fit.bias.cpu())

    def theirs() -> linear.Fit:
        return linear.Fit(*map(torch.from_numpy, _loop(x, y, known, options.penalties)))

    ours()  # once before it counts: threads start, memory is laid out
    ways = {"theirs": theirs, "ours": ours}
    seconds, fits = _turns(ways, options.repeats)
    on_host = [part.cpu() for part in tensors]
    values = {way: linear.objective(*on_host, options.penalties, fit) for way, fit in fits.items()}
    probs = {
        way: (torch.einsum("nd,pkd->pnk", on_host[0], fit.weights.float()) + fit.bias.float()[:, None]).sigmoid()
        for way, fit in fits.items()
    }
    return {
        "seconds": seconds,
        "ratio": statistics.median(seconds["theirs"]) / statistics.median(seconds["ours"]),
        "objective": float((values["ours"] / values["theirs"] - 1).max()),
        "probabilities": float((probs["ours"] - probs["theirs"]).abs().max()),
    }


def _world(options: ModelBench) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features (rows, dim), rare labels (rows, labels) that they tell in part, and which are known."""
    draw = np.random.default_rng(options.seed)
    x = draw.normal(size=(options.rows, options.dim)).astype(np.float32)
    told = x @ (draw.normal(size=(options.dim, options.labels)) * 2 / np.sqrt(options.dim)) - 3
    y = draw.random(told.shape) < 1 / (1 + np.exp(-told))
    return x, y.astype(np.float32), draw.random(y.shape) < 0.9


def _loop(
    x: np.ndarray, y: np.ndarray, known: np.ndarray, penalties: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (n_penalties, n_labels, dim) and biases by scikit-learn, one label and penalty after the other."""
    from sklearn.linear_model import LogisticRegression

    weights, bias = np.zeros((len(penalties), y.shape[1], x.shape[1])), np.zeros((len(penalties), y.shape[1]))
    for k in range(y.shape[1]):
        rows = known[:, k]
        for p, strength in enumerate(penalties):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # where float32 ends before the tolerance does
                model = LogisticRegression(C=strength, tol=1e-6, max_iter=2000).fit(x[rows], y[rows, k])
            weights[p, k], bias[p, k] = model.coef_[0], model.intercept_[0]
    return weights, bias


# ------------------------------------------------------------------------------------------------------- what is shown


def _table(rows: list[dict[str, Any]], about: dict[str, Any]) -> Table:
    from rich.table import Table

    caption = ", ".join(f"{key} {value}" for key, value in about.items())
    table = Table(title="Models: posts a second, and times a plain loop of the same model", caption=caption)
    for head in ("", "posts", "plain", "cold", "warm", "cold ratio", "warm ratio", "peak MB"):
        table.add_column(head, justify="right" if head else "left", min_width=0 if head else 14)
    for row in rows:
        if "note" in row:
            continue
        speeds = [f"{row[f'{way}_posts_per_s']:,.0f}/s" for way in ("plain", "cold", "warm")]
        ratios = [f"{row[f'{way}_ratio']:.1f} x" for way in ("cold", "warm")]
        table.add_row(row["name"], str(row["posts"]), *speeds, *ratios, f"{row['peak_mb']['host']:,.0f}")
    return table


def _said(heads: dict[str, Any], options: ModelBench) -> str:
    ours, theirs = (statistics.median(heads["seconds"][way]) for way in ("ours", "theirs"))
    return (
        f"Linear heads, {options.labels} labels at {len(options.penalties)} penalties on {options.rows:,} posts of "
        f"{options.dim} features: one pass {ours:.2f} s, scikit-learn's loop {theirs:.2f} s ({heads['ratio']:.1f} x); "
        f"probabilities differ by {heads['probabilities']:.1e} at most."
    )
