"""One model on two machines: how fast a device scores, how much memory it takes, and how far its scores are the CPU's.

A model is trained on the device and saved; the CPU loads it and scores the same posts in float32. Both score in ever
larger batches (1, 1, 2, 4 and so on posts, none of them seen before) until their seconds are over: the last and
largest one gives the speed, all of them the agreement. On CUDA the posts are scored once more with so little memory
that batches have to be halved.

The tolerances (`TOLERANCES`) say what is the same: of vectors by the cosine of the device's with the CPU's, and by how
far they are apart as a share of what tells the posts' vectors from each other, for untrained towers say nearly the same
of every post; of scores by the distance of their probabilities. float32 rounds sums in another order on another
machine, which is seen in the seventh digit of a vector, and in the fifth of a probability after a head. bfloat16 has
eight bits of mantissa: each number moves by up to 0.4 %, a vector by the mean of many such, and a head stretches what
is left, the more the less the posts' vectors differ. On a CPU in bfloat16 the largest distances of probabilities were
0.0125 (99 of 100) and 0.0132 (all) over thirteen families of gpu-check.yaml, the largest share 0.06 over five encoders
(experiments/LOG.md, 2026-12-01); a GPU lays out its sums otherwise, so there is room above that.

Open doubt: training itself is not compared, as the same seed draws other numbers on CUDA.
"""

from __future__ import annotations

import gc
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from workbench import corpora, models
from workbench import device as devices
from workbench.bench.models import lend
from workbench.errors import WorkbenchError
from workbench.features import FeatureStore, encoders
from workbench.schema import Taxonomy, declared, inputs

if TYPE_CHECKING:
    import torch

MIB = 2**20
SCARCE = 0.4  # of what scoring took beside the weights
LEAST = 32 * MIB  # that is left even so: the allocator deals in blocks of up to 20 MiB
PARTS = (0.4, 0.2)  # of the posts train and validate; the others are scored


class Tolerance(NamedTuple):
    """What counts as the same; of fewer than 100 probabilities one may be further apart than `most`.

    Attributes:
        cosine: the smallest of a vector with the CPU's; share: the largest distance of the two, see `vectors_apart`.
        most: the largest distance of 99 of 100 probabilities; every: that of all.
    """

    cosine: float
    share: float
    most: float
    every: float

    @property
    def said(self) -> str:
        """The tolerance in words that complete "float32 ..."."""
        return (
            f"agrees where the cosine of vectors is {self.cosine} or more, they are apart by at most {self.share} of "
            f"what tells posts from each other, and probabilities by {self.most} in 99 of 100 and {self.every} in all"
        )


TOLERANCES = {"float32": Tolerance(0.99999, 0.02, 1e-4, 1e-4), "bfloat16": Tolerance(0.999, 0.2, 0.02, 0.05)}


class CheckedModel(NamedTuple):
    """A model of a study: what it is called there, its name in MODELS, its options."""

    alias: str
    model: str
    options: dict[str, Any]


class ScoredPosts(NamedTuple):
    """Logits (n, n_labels) of the first n posts, and the posts a second of the last batch."""

    logits: np.ndarray
    rate: float


def measure(family: CheckedModel, corpus: dict[str, Any], device: str, most: int, seconds: float) -> dict[str, Any]:
    """Return what was measured of a family, as plain JSON.

    most: posts that are scored at most; seconds: that each of device and CPU may take for it, about. Raises
    WorkbenchError where the model cannot be trained or loaded.
    """
    where, taxonomy = devices.device(device), Taxonomy.load()
    gc.collect()
    encoders.forget()  # those of the family before, whose batches may have been halved too
    table = corpora.load(corpus, taxonomy).table
    train, validation, rest = _parts(table)
    names: set[str] = set()
    store = _store(where, names)
    model = models.create(family.model, family.options, taxonomy=taxonomy, store=store)
    _reset_peak(where)
    began = time.perf_counter()
    model.fit(train, validation, seed=0)
    fit = {"fit_seconds": time.perf_counter() - began, "fit_peak_mb": _peak(where)}
    posts = _chosen(rest, model.modalities, most)
    _reset_peak(where)
    here = score(model, posts, seconds)
    peak = _peak(where)
    short = scarce(model, posts, here.logits, little(where, peak)) if where.type == "cuda" else None
    with tempfile.TemporaryDirectory() as folder, _in_float32():
        model.save(folder)
        twin = models.load(folder, taxonomy=taxonomy, store=FeatureStore(None, "cpu", load=_reference))
        there = score(twin, posts, seconds)
    n = min(len(here.logits), len(there.logits))
    apart = vectors_apart(store, twin.store, names, model.modalities, posts.slice(0, n))
    dtype = str(devices.dtype(where)).removeprefix("torch.")
    return {
        "name": family.alias,
        "model": family.model,
        "dtype": dtype,
        "posts": len(here.logits),
        "posts_per_s": here.rate,
        "cpu_posts_per_s": there.rate,
        "times_the_cpu": here.rate / there.rate,
        **fit,
        "score_peak_mb": peak,
        **agreement(here.logits[:n], there.logits[:n], apart, TOLERANCES[dtype]),
        "scarce": short,
    }


def score(model: models.Classifier, posts: pa.Table, seconds: float) -> ScoredPosts:
    """Score posts in ever larger batches until about so many seconds are over; the first loads what it needs."""
    parts: list[np.ndarray] = []
    at, spent, rate = 0, 0.0, float("nan")
    while at < len(posts):
        batch = posts.slice(at, max(1, at))
        began = time.perf_counter()
        parts.append(model.logits(batch))
        took = time.perf_counter() - began
        rate, first = len(batch) / took, at == 0
        at += len(batch)
        spent += 0.0 if first else took
        if not first and spent + 2 * took > seconds:
            break
    return ScoredPosts(np.concatenate(parts), rate)


def agreement(
    here: np.ndarray, there: np.ndarray, vectors: tuple[float, float] | None, tolerance: Tolerance
) -> dict[str, Any]:
    """Compare logits (n, n_labels) of the same posts; posts that only one of the two could score are infinitely apart.

    vectors: what `vectors_apart` found.

    >>> agreement(np.zeros((2, 1)), np.zeros((2, 1)), None, TOLERANCES["float32"])["agrees"]
    True
    """
    same = np.isnan(here) == np.isnan(there)
    apart = np.where(same, np.nan_to_num(np.abs(here - there)), np.inf)
    a, b = (1 / (1 + np.exp(-np.nan_to_num(logits).astype(np.float64))) for logits in (here, there))
    moved = np.where(same, np.abs(a - b), np.inf)
    ordered = np.sort(moved, axis=None)[::-1]
    most, every = float(ordered[min(-(-moved.size // 100), moved.size - 1)]), float(ordered[0])
    cosine, share = vectors or (None, None)
    alike = vectors is None or (cosine >= tolerance.cosine and share <= tolerance.share)
    return {
        "compared": len(here),
        "smallest_cosine": cosine,
        "vectors_apart": share,
        "logits_apart": float(apart.max()),
        "probabilities_apart_99": most,
        "probabilities_apart": every,
        "agrees": bool(alike and most <= tolerance.most and every <= tolerance.every),
    }


def vectors_apart(
    here: FeatureStore, there: FeatureStore, names: set[str], modalities: tuple[str, ...], posts: pa.Table
) -> tuple[float, float] | None:
    """Return the smallest cosine of two stores' vectors of the same contents, and how far they are apart at most.

    The distance is a share of the median distance of `there`'s vectors from their mean. None where there are no
    vectors; -1 and infinity where only one of the two has one.
    """
    found = []
    for name in sorted(names):
        encoder = there.encoder(name)
        reads = {"text": encoder.tokens is not None, "image": hasattr(encoder, "fit")}
        for modality in modalities:
            if not reads["text" if modality == "text" else "image"]:
                continue
            a, b = (getattr(store, modality)(name, posts) for store in (here, there))
            if not np.array_equal(a.offsets, b.offsets):
                return -1.0, float("inf")
            if len(a.values):
                found.append(_apart(a.values.astype(np.float64), b.values.astype(np.float64)))
    return (min(cosine for cosine, _ in found), max(share for _, share in found)) if found else None


def _apart(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    distance = float(np.linalg.norm(x - y, axis=1).max())
    spread = float(np.median(np.linalg.norm(y - y.mean(axis=0), axis=1)))
    return float(((x * y).sum(axis=1) / norms).min()), distance / spread if spread else distance


# ------------------------------------------------------------------------------------------------------ little memory


def scarce(
    model: models.Classifier, posts: pa.Table, logits: np.ndarray, limit: AbstractContextManager[float]
) -> dict[str, Any]:
    """Score the last and largest batch of what was scored, with little memory and an empty store.

    limit: holds the memory down while it is entered, and gives the MiB that are left. Returns how often a batch was
    halved, what was said of it, and how far the logits moved; or why it could not be scored.
    """
    half = len(logits) // 2
    if model.store is not None:
        lend(model, _store(model.store.device, set()))
    heard = _Heard()
    logger = logging.getLogger("workbench")
    logger.addHandler(heard)
    try:
        with limit as left:
            again = model.logits(posts.slice(half, len(logits) - half))
    except (WorkbenchError, RuntimeError) as error:
        if not isinstance(error, WorkbenchError) and not devices.out_of_memory(error):
            raise
        return {"note": " ".join(str(error).split())[:300], "said": heard.said}
    finally:
        logger.removeHandler(heard)
    moved = np.abs(again - logits[half:])
    halved = sum("do not fit into the memory" in line or "are halved" in line for line in heard.said)
    return {"limit_mb": left, "halved": halved, "said": heard.said, "logits_apart": float(np.nanmax(moved, initial=0))}


@contextmanager
def little(where: torch.device, peak: float) -> Iterator[float]:
    """Let CUDA have only so much beside what lies there now that the peak (MiB) cannot be reached; give the MiB."""
    import torch

    gc.collect()
    devices.release()
    there = torch.cuda.memory_reserved(where)
    limit = there + max(LEAST, int(SCARCE * (peak * MIB - there)))
    index = torch.cuda.current_device() if where.index is None else where.index  # a device without one is refused
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / torch.cuda.mem_get_info(where)[1]), index)
    try:
        yield limit / MIB
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, index)


class _Heard(logging.Handler):
    """Keeps what is logged of memory."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


# ------------------------------------------------------------------------------------------------------------- parts


def _parts(table: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
    train, validation = (int(share * len(table)) for share in PARTS)
    return table.slice(0, train), table.slice(train, validation), table.slice(train + validation)


def _chosen(table: pa.Table, modalities: tuple[str, ...], most: int) -> pa.Table:
    """Return the inputs of at most so many posts that bring any of the modalities, in random order.

    The order is the same everywhere, so that the first of them are a fair share of all kinds.
    """
    there = declared(table)
    rows = np.flatnonzero(np.any([there[name] for name in modalities], axis=0)) if modalities else np.arange(len(table))
    return inputs(table.take(np.random.default_rng(0).permutation(rows)[:most]))


@lru_cache(maxsize=2)  # those of two sides; the device's are loaded anew for each family, the CPU's are not
def _reference(name: str, device: Any) -> Any:
    import torch

    return encoders.load_encoder(name, device, torch.float32)


def _store(where: torch.device | str, names: set[str]) -> FeatureStore:
    """Return a store that knows nothing and adds the names of its encoders to `names`."""

    def load(name: str, device: Any) -> Any:
        names.add(name)
        return encoders.load_encoder(name, device)

    return FeatureStore(None, where, load=load)


@contextmanager
def _in_float32() -> Iterator[None]:
    """Let the CPU compute in float32, whatever was asked for."""
    asked = os.environ.get(devices.CPU_BF16)
    os.environ[devices.CPU_BF16] = "0"
    try:
        yield
    finally:
        os.environ.pop(devices.CPU_BF16)
        if asked is not None:
            os.environ[devices.CPU_BF16] = asked


def _reset_peak(where: torch.device) -> None:
    if where.type == "cuda":
        import torch

        torch.empty(1, device=where)  # the allocator counts nothing before its first work, and refuses to be reset
        torch.cuda.reset_peak_memory_stats(where)


def _peak(where: torch.device) -> float:
    """Return the MiB at most since the last reset; on a CPU those of the process since it began."""
    peak = devices.peak_memory_mb(where)
    return peak.get("cuda", peak["host"])
