"""A detector beside the moderator: how unlike the training posts a post is, without any label.

A classifier is sure of itself also where it has never been. The detector says where that is: for each modality, how far
a post's vector is from its k-th nearest training vector (Sun et al. 2022, https://arxiv.org/abs/2204.06507; the cosine
distance of frozen embeddings), and which share of validation posts is nearer. The most unusual modality counts; that
maximum is calibrated on validation too, so "more unusual than 99 %" is met by about 1 % of posts like those.

A policy sends such posts to people if it says so (`out_of_distribution_at`); by default it does not. Open doubt: an
encoder that does not see what is new about a post (a hateful symbol nobody captioned) cannot find it unusual.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import pyarrow as pa
from pydantic import Field

from workbench import artifacts
from workbench.errors import WorkbenchError
from workbench.features.encoders import identity
from workbench.models.heads.bags import Vectors
from workbench.schema import MODALITIES, Options, declared

if TYPE_CHECKING:
    from workbench.features import FeatureStore

CHUNK = 1024  # vectors compared with the whole memory at once
KIND = "unusual"  # on disk since the first version


class OutOfDistributionOptions(Options):
    """What a detector compares, and with how much."""

    encoder: str = Field("tiny", description="The encoder's name: `tiny`, an open_clip name with weights, or a folder.")
    k: int = Field(10, ge=1, le=1000, description="The distance is that to the k-th nearest training vector.")
    max_vectors: int = Field(20_000, ge=1, description="Training vectors kept per modality, evenly spaced.")


class Finding(NamedTuple):
    """How unusual some posts are: shares (n_posts,) of validation posts that are less so; NaN where nothing is read.

    by (modality -> (n_posts,)) says it for each modality alone.
    """

    share: np.ndarray
    by: dict[str, np.ndarray]

    def where(self, post: int) -> str | None:
        """Return the modality in which a post is most unusual; None where nothing of it was read."""
        seen = {name: values[post] for name, values in self.by.items() if not np.isnan(values[post])}
        return max(seen, key=seen.get) if seen else None


class OutOfDistribution:
    """A fitted detector.

    Attributes:
        memory: modality -> unit vectors (n, dim) float16 of training posts.
        seen: modality -> sorted distances (m,) float32 of validation posts; `overall` sorted maxima of their shares.
    """

    def __init__(self, options: OutOfDistributionOptions, store: FeatureStore) -> None:
        self.options, self.store = options, store
        self.memory: dict[str, np.ndarray] = {}
        self.seen: dict[str, np.ndarray] = {}
        self.overall = np.empty(0, np.float32)

    @classmethod
    def fit(
        cls,
        train: pa.Table,
        validation: pa.Table,
        *,
        store: FeatureStore,
        options: OutOfDistributionOptions | None = None,
    ) -> Self:
        """Return a detector that knows the posts of `train`, calibrated on those of `validation`; no label is read.

        Raises WorkbenchError where no modality has a readable training and a readable validation post.
        """
        made = cls(options or OutOfDistributionOptions(), store)
        for name in MODALITIES:
            vectors = made._vectors(train, name).values
            kept = vectors[:: -(-len(vectors) // made.options.max_vectors) or 1].astype(np.float16)
            if not len(kept):
                continue
            made.memory[name] = kept
            distances = made._distances(validation, name)
            made.seen[name] = np.sort(distances[~np.isnan(distances)]).astype(np.float32)
            if not len(made.seen[name]):
                del made.memory[name], made.seen[name]
        if not made.memory:
            raise WorkbenchError("a detector needs training and validation posts of one modality that can be read")
        most = made._most(made._shares(validation))
        made.overall = np.sort(most[~np.isnan(most)]).astype(np.float32)
        return made

    def look(self, posts: pa.Table) -> Finding:
        """Return how unusual posts are, each by itself; a post counts by its most unusual variant, window or frame."""
        by = self._shares(posts)
        return Finding(_share(self.overall, self._most(by)), by)

    def _shares(self, posts: pa.Table) -> dict[str, np.ndarray]:
        return {name: _share(self.seen[name], self._distances(posts, name)) for name in self.memory}

    @staticmethod
    def _most(by: dict[str, np.ndarray]) -> np.ndarray:
        """Return the highest share (n_posts,) over modalities; NaN where there is none."""
        stacked = np.stack(list(by.values()))
        most = np.max(np.nan_to_num(stacked, nan=-1.0), axis=0)
        return np.where(most < 0, np.nan, most)

    def _distances(self, posts: pa.Table, name: str) -> np.ndarray:
        """Return the greatest distance (n_posts,) float32 of each post's vectors, NaN for posts without any."""
        bag, memory = self._vectors(posts, name), self.memory[name].astype(np.float32)
        k = min(self.options.k, len(memory))
        out = np.full(len(bag.count), np.nan, np.float32)
        if not len(bag.values):
            return out
        far = np.empty(len(bag.values), np.float32)
        for at in range(0, len(far), CHUNK):
            cosines = bag.values[at : at + CHUNK] @ memory.T
            far[at : at + CHUNK] = 1 - np.partition(cosines, len(memory) - k)[:, len(memory) - k]
        some = bag.count > 0
        out[some] = np.maximum.reduceat(far, bag.start[some])
        return np.round(out, 6)  # what products of matrices round otherwise in another batch is no difference

    def _vectors(self, posts: pa.Table, name: str) -> Vectors:
        """Return the readable unit vectors of one modality."""
        bag = Vectors.of(getattr(self.store, name)(self.options.encoder, posts), declared(posts)[name])
        norms = np.linalg.norm(bag.values, axis=1, keepdims=True)
        return bag._replace(values=bag.values / np.maximum(norms, 1e-12))

    # ------------------------------------------------------------------------------------------------------- the disk

    def save(self, folder: Path | str) -> None:
        """Write the detector into a folder of its own: JSON and safetensors with a hash manifest."""
        arrays = {f"memory.{name}": value for name, value in self.memory.items()}
        arrays |= {f"seen.{name}": value for name, value in self.seen.items()} | {"overall": self.overall}
        head = {"kind": KIND, "options": self.options.model_dump(), "encoder": self._digest()}
        artifacts.write_model(folder, {**head, "modalities": list(self.memory)}, arrays)

    @classmethod
    def load(cls, folder: Path | str, *, store: FeatureStore) -> Self:
        """Return the detector saved in a folder.

        Raises WorkbenchError for a damaged or changed folder and for an encoder other than the one it was fitted on.
        """
        head, arrays = artifacts.read_model(folder)
        if head.get("kind") != KIND:
            raise WorkbenchError(f"{folder} holds no detector of unusual posts; check the path")
        made = cls(OutOfDistributionOptions.parse(head["options"], f"the detector in {folder}"), store)
        identity.same_encoder(f"the detector in {folder}", head["encoder"], made._digest(), made.options.encoder)
        made.memory = {name: arrays[f"memory.{name}"] for name in head["modalities"]}
        made.seen = {name: arrays[f"seen.{name}"] for name in head["modalities"]}
        made.overall = arrays["overall"]
        return made

    def _digest(self) -> str:
        """Return a digest of the encoder, the same on every device."""
        return identity.encoder_digest(self.store.encoder(self.options.encoder))


def _share(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return which share of `ordered (m,)` lies below each value (n,), 0 to 1; NaN stays NaN."""
    below = np.searchsorted(ordered, np.nan_to_num(values).astype(np.float32)) / max(1, len(ordered))
    return np.where(np.isnan(values), np.nan, below)
