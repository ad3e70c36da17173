"""Heads on frozen CLIP embeddings: the text alone, the picture alone, or both through one of three fusions.

The encoder is frozen and its vectors come from the feature store; what is trained is the small network of `networks`.
A post that lacks a half, or whose half cannot be read, is used in training and scored from the other half.
Open doubts: clips are not looked at yet; fine-tuning the encoder would need its gradients, which the store cannot give.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from workbench import fingerprint
from workbench.features import Blocks, encoder_files
from workbench.models import Classifier, two_classes
from workbench.schema import Options, WorkbenchError, declared, label_matrix

if TYPE_CHECKING:
    import torch

    from workbench.models.training import Examples

RARE = 0.02  # of the training posts: a half that fewer lack has too few examples to learn its absence from
HIDDEN_BY_DEFAULT = 0.1


class HeadOptions(Options):
    """The encoder, and how the head on it is built and trained."""

    encoder: str = Field("tiny", description="The encoder's name: `tiny`, an open_clip name with weights, or a folder.")
    head: Literal["mlp", "linear"] = Field("mlp", description="One hidden layer, or none.")
    hidden: int = Field(64, ge=1, le=8192, description="Units of the hidden layer.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of inputs and hidden units dropped in training.")
    epochs: int = Field(60, ge=1, le=10_000, description="Most passes over the training posts.")
    lr: float = Field(0.005, gt=0, le=1, description="Learning rate of AdamW.")
    weight_decay: float = Field(0.5, ge=0, description="Weight decay of AdamW (per step it is multiplied by lr).")
    batch_size: int = Field(256, ge=1, description="Posts per step.")
    patience: int = Field(6, ge=1, description="Epochs without a better validation loss before training stops.")


class PairOptions(HeadOptions):
    """A head on two halves."""

    modality_dropout: float | None = Field(
        None,
        ge=0,
        le=0.5,
        description="Share of the posts with both halves whose one half is hidden in training, for each half; null: "
        f"{HIDDEN_BY_DEFAULT} for a half that under {RARE:.0%} of the training posts lack, else 0.",
    )


class ConcatOptions(PairOptions):
    """A head on both halves side by side; it needs more units than a fusion to tell pairs apart."""

    hidden: int = Field(128, ge=1, le=8192, description="Units of the hidden layer.")


class CrossOptions(PairOptions):
    """A head on the outer product of projected halves; it fits pairs within a few epochs and is held back more."""

    dropout: float = Field(0.3, ge=0, lt=1, description="Share of inputs and hidden units dropped in training.")
    lr: float = Field(0.003, gt=0, le=1, description="Learning rate of AdamW.")
    weight_decay: float = Field(1.0, ge=0, description="Weight decay of AdamW (per step it is multiplied by lr).")
    rank: int = Field(32, ge=1, le=128, description="Length of a projected half; the product has its square.")
    projection: Literal["softmax", "linear"] = Field("softmax", description="Soft prototypes, or plain projections.")


class AlignOptions(PairOptions):
    """A head on the element-wise product of projected halves."""

    hidden: int = Field(128, ge=1, le=8192, description="Units of the hidden layer.")
    rank: int = Field(128, ge=1, le=4096, description="Length of a projected half, and of the product.")
    projection: Literal["softmax", "linear"] = Field("softmax", description="Soft prototypes, or plain projections.")


class Readings(NamedTuple):
    """The readable vectors of one half: values (n_rows, dim); post i has rows `start[i]` to `start[i] + count[i]`."""

    values: np.ndarray
    start: np.ndarray
    count: np.ndarray

    @staticmethod
    def of(blocks: Blocks, there: np.ndarray) -> Readings:
        """Keep the rows that are numbers, of the posts (n_posts,) that declare the half."""
        owner = np.repeat(np.arange(len(blocks)), blocks.counts)
        good = np.isfinite(blocks.values).all(axis=1) & there[owner]
        count = np.bincount(owner[good], minlength=len(blocks))
        return Readings(blocks.values[good], np.cumsum(count) - count, count)

    def none(self) -> Readings:
        """Return the same posts without any vector."""
        return Readings(self.values[:0], np.zeros_like(self.start), np.zeros_like(self.count))


def combinations(halves: list[Readings]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return, for every combination of readings of one post, its post and for each half its row in `values`, or -1.

    Arrays (n_combinations,), posts in order; a post without any readable half has one combination of nothing.
    """
    ways = np.stack([np.maximum(half.count, 1) for half in halves])  # (n_halves, n_posts)
    total = ways.prod(axis=0)
    post = np.repeat(np.arange(ways.shape[1]), total)
    rest = np.arange(len(post)) - np.repeat(np.cumsum(total) - total, total)
    rows = []
    for half, way in zip(halves, ways, strict=True):
        rows.append(np.where(half.count[post] > 0, half.start[post] + rest % way[post], -1))
        rest = rest // way[post]
    return post, rows


class ClipClassifier(Classifier):
    """A head on the embeddings of its modalities; subclasses name them and the fusion."""

    options_class: ClassVar[type[Options]] = HeadOptions
    options: HeadOptions
    fusion: ClassVar[Literal["cross", "align"] | None] = None
    network: Any = None
    whitenings: list[tuple[np.ndarray, np.ndarray]]
    encoder_digest: str = ""

    @classmethod
    def files(cls, options: HeadOptions) -> list[Path]:
        """Return the encoder's files."""
        return encoder_files(options.encoder)

    # ------------------------------------------------------------------------------------------------ fit and score

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        import torch

        from workbench.models import training

        self.network, self.encoder_digest = None, self._encoder_digest()
        halves = self._readings(train)
        present = np.stack([half.count > 0 for half in halves], axis=1)  # (n_posts, n_halves)
        self.seen = present.any(axis=0)
        self.learnable &= two_classes(*self._labels(train, present.any(axis=1)))
        self.whitenings = [training.whitening(half.values[half.start[half.count > 0]]) for half in halves]
        if not self.learnable.any():
            self.record = {"epochs": 0}
            return
        generator = torch.Generator().manual_seed(seed)
        self.network = self._build(generator)
        examples, watched = self._examples(train, halves), self._examples(validation, self._readings(validation))
        hide = self._hide(present[present.any(axis=1)])
        self.record = training.fit_head(self.network, examples, watched, self.options, generator, hide)

    def _score(self, posts: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        from workbench.models import training

        halves = [half if seen else half.none() for half, seen in zip(self._readings(posts), self.seen, strict=True)]
        readable = np.any([half.count > 0 for half in halves], axis=0)
        if self.network is None:
            return np.zeros((len(posts), len(self.constants)), np.float32), readable
        post, rows = combinations(halves)
        scores = []
        for start in range(0, len(post), training.CHUNK):
            chunk = self._tensors(halves, [row[start : start + training.CHUNK] for row in rows])
            scores.append(training.score(self.network, *chunk).cpu().numpy())
        starts = np.flatnonzero(np.diff(post, prepend=-1))  # where each post's combinations begin
        return np.maximum.reduceat(np.concatenate(scores), starts, axis=0), readable

    def _build(self, generator: torch.Generator | None) -> Any:
        """Return the network for the dimensions of the whitenings, on the store's device."""
        from workbench.models.networks import Head

        options, fusion = self.options, None
        if isinstance(options, CrossOptions | AlignOptions):
            fusion = (self.fusion, options.rank, options.projection)
        return Head(
            tuple(len(mean) for mean, _ in self.whitenings),
            len(self.taxonomy.names),
            hidden=options.hidden if options.head == "mlp" else 0,
            dropout=options.dropout,
            fusion=fusion,
            generator=generator,
        ).to(self.store.device)

    def _hide(self, present: np.ndarray) -> tuple[float, ...]:
        """Return how often each half is hidden in training, from `present (n_posts, n_halves)` of train."""
        if not isinstance(self.options, PairOptions):
            return ()
        if self.options.modality_dropout is not None:
            return (self.options.modality_dropout,) * present.shape[1]
        return tuple(HIDDEN_BY_DEFAULT if lacking < RARE else 0.0 for lacking in 1 - present.mean(axis=0))

    # ------------------------------------------------------------------------------------------------------ features

    def _readings(self, table: pa.Table) -> list[Readings]:
        """Return the readable vectors of each half; what is blank counts as absent whatever an encoder makes of it."""
        there, name = declared(table), self.options.encoder
        return [Readings.of(getattr(self.store, half)(name, table), there[half]) for half in self.modalities]

    def _labels(self, table: pa.Table, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y, known = label_matrix(table, self.taxonomy)
        return y[usable], known[usable]

    def _examples(self, table: pa.Table, halves: list[Readings]) -> Examples | None:
        """Return the posts with a readable half, by their first readings, on the device; None where there is none."""
        import torch

        from workbench.models.training import Examples

        usable = np.any([half.count > 0 for half in halves], axis=0)
        if not usable.any():
            return None
        y, known = self._labels(table, usable)
        rows = [np.where(half.count > 0, half.start, -1)[usable] for half in halves]
        labels = (torch.from_numpy(array).to(self.store.device) for array in (y, known & self.learnable))
        return Examples(*self._tensors(halves, rows), *labels)

    def _tensors(self, halves: list[Readings], rows: list[np.ndarray]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Return whitened halves, each (n, dim), and present (n, n_halves), on the device; row -1 is an absent half."""
        import torch

        filled = []
        for half, row, (mean, matrix) in zip(halves, rows, self.whitenings, strict=True):
            values = np.zeros((len(row), len(mean)), dtype=np.float32)
            values[row >= 0] = half.values[row[row >= 0]]
            mean, matrix = (torch.from_numpy(array).to(self.store.device) for array in (mean, matrix))
            filled.append((torch.from_numpy(values).to(self.store.device) - mean) @ matrix)
        present = torch.from_numpy(np.stack(rows, axis=1) >= 0)
        return tuple(filled), present.to(self.store.device)

    # ------------------------------------------------------------------------------------------------------ the disk

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays = {"seen": self.seen}
        for half, (mean, matrix) in zip(self.modalities, self.whitenings, strict=True):
            arrays |= {f"whitening.{half}.mean": mean, f"whitening.{half}.matrix": matrix}
        if self.network is not None:
            weights = self.network.state_dict().items()
            arrays |= {f"network.{name}": value.detach().cpu().numpy() for name, value in weights}
        return {"encoder": self.encoder_digest, "trained": self.network is not None}, arrays

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        self.encoder_digest = state["encoder"]
        if self.encoder_digest != self._encoder_digest():
            raise WorkbenchError(
                f"the model in {folder} was trained on another encoder than {self.options.encoder!r} is now; "
                "put back that encoder's files or train the model again"
            )
        self.seen = arrays["seen"]
        self.whitenings = [
            (arrays[f"whitening.{half}.mean"], arrays[f"whitening.{half}.matrix"]) for half in self.modalities
        ]
        if state["trained"]:
            import torch

            self.network = self._build(None)
            weights = {name.removeprefix("network."): a for name, a in arrays.items() if name.startswith("network.")}
            self.network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})

    def _encoder_digest(self) -> str:
        """Return a digest of the encoder that is the same on every device: its number format is left out.

        A bundle trained where the encoder computes in bfloat16 must serve where it computes in float32.
        """
        if self.store is None:
            raise WorkbenchError(f"model {self.name!r} needs a feature store; pass one to create or load")
        name = self.options.encoder
        recipe = {key: value for key, value in self.store.encoder(name).recipe.items() if key != "dtype"}
        files = {path.name: _file_digest(path, path.stat().st_mtime_ns) for path in encoder_files(name)}
        return fingerprint.of_json({"recipe": recipe, "files": files or name})


@lru_cache(maxsize=64)
def _file_digest(path: Path, changed: int) -> str:
    return fingerprint.of_file(path)


class TextClip(ClipClassifier):
    """A head on the embedding of the text."""

    modalities = ("text",)


class ImageClip(ClipClassifier):
    """A head on the embedding of the picture."""

    modalities = ("image",)


class ClipConcat(ClipClassifier):
    """An MLP over both halves side by side."""

    options_class = ConcatOptions
    modalities = ("text", "image")


class ClipCross(ClipClassifier):
    """Both halves and the outer product of their projections (Hate-CLIPper's cross fusion)."""

    options_class = CrossOptions
    modalities = ("text", "image")
    fusion = "cross"


class ClipAlign(ClipClassifier):
    """Both halves and the element-wise product of their projections (Hate-CLIPper's align fusion)."""

    options_class = AlignOptions
    modalities = ("text", "image")
    fusion = "align"
