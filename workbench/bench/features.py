"""`workbench bench features`: the feature store against the plain open_clip loop, on the same files, in one run.

The plain loop is what the library's own page shows: its transform, its tokenizer, batches of 32 one after the other,
float32, one process, torch's threads as they are. Both sides have the same weights. They take turns, and who begins
alternates, so that whatever else the machine does falls on both; a ratio is that of the medians, and the range is that
of the single turns. A run in which the two sides' vectors are not the same fails.

Open doubts: the pictures are made here (smooth noise, edges, grain, JPEG at 90) and so are the texts, whose lengths are
spread like those of short posts; real files decode a little faster or slower. Random weights compute as long as any.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from workbench import device as devices
from workbench.bench import console, machine, turns, write
from workbench.errors import WorkbenchError
from workbench.features import FeatureStore
from workbench.schema import Options

if TYPE_CHECKING:
    import torch
    from rich.table import Table

    from workbench.features.encoders.open_clip import Encoder

BATCH = 32
MEDIA = pa.struct({"bytes": pa.binary(), "path": pa.string()})
_VOCABULARY = """
    the a I you it is was to of and in that this my your they we not do have be on for with as but at so if or
    just what when who why people think know really would could should time day year work home school game movie
    music phone money food water dog cat house city country world news post comment thread link picture video
    story friend family brother mother good bad great small big old new right wrong happy angry sorry thanks
    please never always because about after before again still even only very much many more most other another
    same different first last long short high low early late today tomorrow yesterday morning night week month
    someone anyone nothing everything said told made went found looks feels seems maybe probably actually honestly
    literally anyway
"""
WORDS = _VOCABULARY.split()


class FeatureBench(Options):
    """How much `bench features` measures; the defaults take about three minutes on two free cores."""

    architecture: str = Field("ViT-B-32", description="The open_clip architecture, with random weights.")
    pictures: int = Field(48, ge=2, description="Pictures of 500 pixels, and so many for the warm store.")
    photos: int = Field(12, ge=2, description="Pictures of 12 megapixels.")
    texts: int = Field(512, ge=2, description="Texts of mixed length.")
    repeats: int = Field(3, ge=1, description="Turns of each side.")
    seed: int = Field(0, ge=0, description="Seed of the pictures and texts.")
    device: str = Field("cpu", description="Where both sides compute: auto, cpu or cuda.")

    @classmethod
    def quick(cls) -> FeatureBench:
        """Return sizes for a look that takes half a minute."""
        return cls(pictures=16, photos=4, texts=64, repeats=3)


@dataclass
class Timing:
    """One comparison: seconds of each turn, the ratio that is aimed at, and how close the vectors must be."""

    name: str
    items: int
    goal: float
    close: float
    plain: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    cosine: float | None = None
    own: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times faster ours is, by the medians; None where it was not measured."""
        return statistics.median(self.plain) / statistics.median(self.ours) if self.ours else None

    @property
    def range(self) -> tuple[float, float] | None:
        """The lowest and the highest ratio of a turn."""
        turns = [plain / ours for plain, ours in zip(self.plain, self.ours, strict=True)]
        return (min(turns), max(turns)) if turns else None

    @property
    def same(self) -> bool:
        """Whether the vectors are close, and each is nearest to its own of the other side."""
        return not self.ours or (self.cosine >= self.close and self.own == 1.0)

    def compare(self, ours: np.ndarray, plain: np.ndarray) -> None:
        """Keep the lowest cosine, and the share of vectors that are nearest to their own, both (n, d) centred.

        Vectors of random weights are all much alike, so that a high cosine alone would say little.
        """
        unit = [values / np.linalg.norm(values, axis=1, keepdims=True) for values in (ours, plain)]
        cosine = float((unit[0] * unit[1]).sum(axis=1).min())
        a, b = (values - unit[1].mean(axis=0) for values in unit)
        distances = ((a[:, None] - b[None]) ** 2).sum(axis=-1)
        own = float((distances.argmin(axis=1) == np.arange(len(a))).mean())
        self.cosine = cosine if self.cosine is None else min(self.cosine, cosine)
        self.own = own if self.own is None else min(self.own, own)

    def record(self) -> dict[str, Any]:
        rest = {
            "ratio": self.ratio,
            "range": self.range,
            "met": None if self.ratio is None else self.ratio >= self.goal,
        }
        return vars(self) | rest


def features(options: FeatureBench | None = None, out: Path | None = None) -> dict[str, Any]:
    """Measure all rows, print them as a table, write them to `out` as JSON, and return that.

    Raises WorkbenchError where the two sides' vectors differ: then a ratio would mean nothing.
    """
    options = options or FeatureBench()
    result, rows = _measure(options)
    console().print(_table(rows, result["machine"]))
    write(result, out)
    wrong = [row.name for row in rows if not row.same]
    if wrong:
        raise WorkbenchError(f"the vectors differ from open_clip's in {', '.join(wrong)}; the ratios mean nothing")
    return result


def _measure(options: FeatureBench) -> tuple[dict[str, Any], list[Timing]]:
    import torch

    from workbench.features.encoders import load_encoder

    where, name = devices.device(options.device), f"{options.architecture}@random"
    encoder = load_encoder(name, where, torch.float32)
    half = load_encoder(name, where, torch.bfloat16) if _has_half(where) else None
    loop = PlainLoop(options.architecture, encoder)
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            *_pictures(options, (encoder, half), loop, rng, Path(folder)),
            _photos(options, encoder, loop, rng, Path(folder)),
            _texts(options, encoder, loop, rng),
        ]
    return {"machine": machine(where), "options": options.model_dump(), "rows": [row.record() for row in rows]}, rows


def _has_half(where: torch.device) -> bool:
    import torch

    if where.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return where.type == "cpu" and devices.multiplies_bf16()


# ------------------------------------------------------------------------------------------------------ the two sides


class PlainLoop:
    """open_clip as its page shows it, with the weights of an encoder of ours."""

    def __init__(self, architecture: str, encoder: Encoder) -> None:
        import open_clip

        from workbench.features.encoders.loading import random_on_purpose

        with random_on_purpose():
            self.model, _, self.transform = open_clip.create_model_and_transforms(architecture, pretrained_text=False)
        self.model.load_state_dict(encoder.model.state_dict())
        self.model.to(encoder.device).eval()
        self.tokenizer, self.device = open_clip.get_tokenizer(architecture), encoder.device

    def pictures(self, paths: list[str]) -> np.ndarray:
        """Return the vectors (n, d) of picture files."""
        import torch
        from PIL import Image

        def load(batch: list[str]) -> torch.Tensor:
            return torch.stack([self.transform(Image.open(path)) for path in batch])

        return self._run(paths, load, self.model.encode_image)

    def texts(self, texts: list[str]) -> np.ndarray:
        """Return the vectors (n, d) of texts, each cut to the context."""
        return self._run(texts, self.tokenizer, self.model.encode_text)

    def _run(self, items: list[str], load: Callable, encode: Callable) -> np.ndarray:
        import torch

        vectors = []
        with torch.no_grad():
            for start in range(0, len(items), BATCH):
                vectors.append(encode(load(items[start : start + BATCH]).to(self.device), normalize=True).cpu().numpy())
        return np.concatenate(vectors)


def _ours(modality: str, encoder: Encoder, table: pa.Table, folder: Path | None = None) -> np.ndarray:
    """Return the first vectors (n, d) by a store that knows nothing yet but what is in `folder`."""
    store = FeatureStore(folder, encoder.device, load=lambda name, device: encoder)
    return getattr(store, modality)(encoder.name, table).first()


def _take_turns(
    rows: list[Timing], plain: Callable[[], np.ndarray], ours: list[Callable[[], np.ndarray]], n: int
) -> None:
    """Let the plain loop and each of ours work `n` times, and compare what comes out."""
    for seconds, vectors in turns([plain, *ours], n):
        for row, took, made in zip(rows, seconds[1:], vectors[1:], strict=True):
            row.plain.append(seconds[0])
            row.ours.append(took)
            row.compare(made, vectors[0])


# ----------------------------------------------------------------------------------------------------------- the rows


def _pictures(
    options: FeatureBench,
    encoders: tuple[Encoder, Encoder | None],
    loop: PlainLoop,
    rng: np.random.Generator,
    folder: Path,
) -> list[Timing]:
    """Measure pictures of 500 pixels: in float32, in bfloat16, and from a store that has them."""
    encoder, half = encoders
    paths = _files(folder, "small", options.pictures, (500, 375), rng)
    table = _table_of(paths)
    cold = Timing("500-pixel pictures, float32", len(paths), 1.0, 0.999)
    fast = Timing("500-pixel pictures, bfloat16", len(paths), 2.0, 0.999)
    warm = Timing("500-pixel pictures, warm store", len(paths), 50.0, 0.999)
    rows, ours = [cold], [lambda: _ours("image", encoder, table)]
    if half is not None:
        rows.append(fast)
        ours.append(lambda: _ours("image", half, table))
    else:
        fast.note = "not available here: this hardware has no bfloat16"
    rows.append(warm)
    ours.append(lambda: _ours("image", encoder, table, folder / "store"))
    for each in ours:  # once before it counts: the store is filled, memory is laid out
        each()
    loop.pictures(paths[:BATCH])
    _take_turns(rows, lambda: loop.pictures(paths), ours, options.repeats)
    return [cold, fast, warm]


def _photos(options: FeatureBench, encoder: Encoder, loop: PlainLoop, rng: np.random.Generator, folder: Path) -> Timing:
    paths = _files(folder, "large", options.photos, (4000, 3000), rng)
    table = _table_of(paths)
    row = Timing("12-megapixel JPEG, float32", len(paths), 2.0, 0.999)
    _take_turns([row], lambda: loop.pictures(paths), [lambda: _ours("image", encoder, table)], options.repeats)
    return row


def _texts(options: FeatureBench, encoder: Encoder, loop: PlainLoop, rng: np.random.Generator) -> Timing:
    texts = [text(rng) for _ in range(options.texts)]
    table = pa.table({"text": texts})
    row = Timing("texts of mixed length, float32", len(texts), 2.5, 0.999)
    loop.texts(texts[:BATCH])
    _ours("text", encoder, table.slice(0, BATCH))
    _take_turns([row], lambda: loop.texts(texts), [lambda: _ours("text", encoder, table)], options.repeats)
    return row


# ---------------------------------------------------------------------------------------------------- what is measured


def photo(size: tuple[int, int], rng: np.random.Generator) -> bytes:
    """Return a JPEG file at quality 90 of (width, height) with what makes photographs costly: shades, edges, grain."""
    import io

    from PIL import Image, ImageDraw

    width, height = size
    shades = np.zeros((height, width, 3), dtype=np.float32)
    for cells in (3, 12, 48):
        noise = rng.integers(0, 256, (cells, cells * width // height, 3), dtype=np.uint8)
        layer = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
        shades += np.asarray(layer, dtype=np.float32) * {3: 0.6, 12: 0.25, 48: 0.15}[cells]
    image = Image.fromarray(shades.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, w, h = rng.uniform(0, 1, 4) * [width, height, width / 3, height / 3]
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)((x, y, x + w, y + h), fill=colour)
    grain = rng.integers(-9, 10, (height, width, 1), dtype=np.int16)
    pixels = (np.asarray(image, dtype=np.int16) + grain).clip(0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


def text(rng: np.random.Generator) -> str:
    """Return a text of common words; the number of words is log-normal: half have under 14, one in thirty over 70."""
    n = int(np.clip(rng.lognormal(np.log(14), 0.9), 1, 400))
    words = [WORDS[i] for i in np.minimum(rng.zipf(1.3, n) - 1, len(WORDS) - 1)]
    words = [word + ("." if rng.random() < 0.1 else "") for word in words]
    return " ".join([*words, f"#{rng.integers(10**6)}"])


def _files(folder: Path, name: str, n: int, size: tuple[int, int], rng: np.random.Generator) -> list[str]:
    paths = [folder / f"{name}-{i}.jpg" for i in range(n)]
    for path in paths:
        path.write_bytes(photo(size, rng))
    return [str(path) for path in paths]


def _table_of(paths: list[str]) -> pa.Table:
    return pa.table({"image": pa.array([{"bytes": None, "path": path} for path in paths], MEDIA)})


# ------------------------------------------------------------------------------------------------------- what is shown


def _table(rows: list[Timing], machine: dict[str, Any]) -> Table:
    from rich.table import Table

    caption = ", ".join(f"{key} {value}" for key, value in machine.items())
    table = Table(title="Features: ours against the plain open_clip loop", caption=caption)
    for head, side in (("", "left"), ("items", "right"), ("plain", "right"), ("ours", "right"), ("ratio", "right")):
        table.add_column(head, justify=side)
    for head in ("range", "goal", "cosine", ""):
        table.add_column(head, justify="right")
    for row in rows:
        if not row.ours:
            table.add_row(row.name, "", "", "", "", "", f"{row.goal:g} x", "", row.note)
            continue
        plain, ours = (statistics.median(side) / row.items * 1000 for side in (row.plain, row.ours))
        low, high = row.range
        verdict = "differs" if not row.same else "met" if row.ratio >= row.goal else "missed"
        cells = [row.name, str(row.items), f"{plain:.1f} ms", f"{ours:.1f} ms", f"{row.ratio:.2f} x"]
        table.add_row(*cells, f"{low:.2f}..{high:.2f}", f"{row.goal:g} x", f"{row.cosine:.5f}", verdict)
    return table
