"""What memory serving a bundle takes, measured in a process of its own that loads it and scores as the server does.

The process first imports torch and opens the device; what is resident then is the baseline. It then loads the bundle
and scores as many posts at once as the server does at most: texts, and apart from them posts with media, whose pictures
have 12 megapixels, as telephones take them.

Open doubts: a server also keeps the vectors of what it has seen, up to `memory_mb` of `serving.yaml`, and has the API
and maybe the demo around its models; several bundles in one process share the baseline. Clips are those of the
synthetic world, a few seconds of small frames.
"""

from __future__ import annotations

import io
import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.decisions import bundle
from workbench.decisions.bundle import ServingMemory
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    import pyarrow as pa

PICTURE = (4000, 3000)  # pixels
CORPUS = {"source": "synthetic", "posts": 600, "seed": 5, "oversample": {"paired": 0.5}}


def measure(folder: Path, device: str = "auto") -> ServingMemory:
    """Measure a bundle in a fresh process, write the result into its folder (`bundle.remember`), and return it.

    Raises WorkbenchError for a folder that is no whole bundle, an unknown device, and where the process dies.
    """
    from workbench.serving.config import ServingConfig
    from workbench.serving.engine import MEDIA_BATCH

    bundle.read(folder)
    most = ServingConfig.model_fields["batch"].default
    with tempfile.TemporaryDirectory(prefix="memory-") as place:
        calls = [_write(table, Path(place, f"{n}.arrow")) for n, table in enumerate(batches(most, MEDIA_BATCH))]
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
            try:
                taken = alone.submit(_alone, folder, calls, device).result()
            except BrokenProcessPool:
                raise WorkbenchError(f"the process that served {folder} died; is there memory enough for it?") from None
    day = datetime.now(UTC).date().isoformat()
    found = ServingMemory(**taken, texts=most, with_media=MEDIA_BATCH, measured=day)
    bundle.remember(folder, found)
    return found


def batches(texts: int, with_media: int) -> tuple[pa.Table, pa.Table]:
    """Return posts that are texts alone, and posts with a large picture or a clip, half of them each."""
    import numpy as np
    import pyarrow as pa

    from workbench import corpora
    from workbench.schema import INPUTS, Taxonomy, declared, inputs

    posts = inputs(corpora.load(CORPUS, Taxonomy.load()).table)
    there = declared(posts)
    alone = np.flatnonzero(there["text"] & ~there["image"] & ~there["video"])[:texts]
    clips = np.flatnonzero(there["video"])[: with_media // 2]
    pictures = np.flatnonzero(there["image"])[: with_media - len(clips)]
    rows = posts.take(np.concatenate([pictures, clips])).to_pylist()
    for row in rows[: len(pictures)]:
        row["image"]["bytes"] = _enlarged(row["image"]["bytes"])
    return posts.take(alone), pa.Table.from_pylist(rows, schema=INPUTS)


def _enlarged(picture: bytes) -> bytes:
    from PIL import Image

    with io.BytesIO() as file:
        Image.open(io.BytesIO(picture)).convert("RGB").resize(PICTURE).save(file, "JPEG")
        return file.getvalue()


def _write(table: pa.Table, path: Path) -> Path:
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return path


def _alone(folder: Path, calls: Sequence[Path], device: str) -> dict[str, Any]:
    """Load a bundle and score the posts of each file at once, and return what that took; only in a fresh process."""
    import platform

    import torch

    from workbench import device as devices

    where = devices.device(device)
    torch.zeros(1, device=where)  # the device's own libraries are no part of the model
    baseline = devices.peak_memory_mb(where)["host"]
    import psutil
    import pyarrow as pa

    from workbench.decisions.moderator import Moderator
    from workbench.features.store import FeatureStore

    moderator = Moderator.load(folder, store=FeatureStore(None, where, writes=False))
    for path in calls:
        with pa.OSFile(str(path)) as file:
            moderator.assess(pa.ipc.open_file(file).read_all())
    peak = devices.peak_memory_mb(where)
    return {
        "device": where.type,
        "hardware": torch.cuda.get_device_name(where) if where.type == "cuda" else devices.processor(),
        "baseline_mb": baseline,
        "host_mb": peak["host"],
        "decoders_mb": sum(child.memory_info().rss for child in psutil.Process().children(recursive=True)) / 2**20,
        "accelerator_mb": peak.get("cuda"),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


# ---------------------------------------------------------------------------------------------------- the command line


def command(target: str, device: str) -> Iterator[str]:
    """Measure a bundle's folder, STUDY:MODEL[:SEED] or every model of a study; yield a line for each, then the cards.

    Raises WorkbenchError for what is none of these.
    """
    from workbench.serving.config import bundles_of, folder_of, locate

    alone = (Path(target) / bundle.HEAD).is_file()
    for name, folder in ({target: locate(target)} if alone or ":" in target else bundles_of(target)).items():
        found = measure(folder, device)
        yield f"{name}: {found.words}{_held(found)}"
    if not alone and (place := _cards(folder_of(target.partition(":")[0]))):
        yield f"cards: {place}"


def _held(found: ServingMemory) -> str:
    """Whether the site's limit of memory holds, in words; empty where it states none."""
    from workbench.requirements import Requirements, verdict

    most = Requirements.load().limits.memory_gb
    if most is None:
        return ""
    host = (found.host_mb + found.decoders_mb) * 2**20 / 1e9
    value = max(host, (found.accelerator_mb or 0) * 2**20 / 1e9)
    return f"; required are at most {most:g} GB: {verdict(most, value, least=False)}"


def _cards(study: Path) -> Path | None:
    """Write a study's cards again and return their folder; None where it has no comparison yet, which writes them."""
    from workbench.comparison.predictions import load_runs
    from workbench.comparison.rows import Comparison
    from workbench.report import cards

    try:
        comparison = Comparison.load(study)
        runs = load_runs(
            {name: study / key for name, key in (comparison.made_from.runs if comparison.made_from else {}).items()}
        )
    except WorkbenchError:
        return None
    return cards.write(study, comparison, runs) if runs else None
