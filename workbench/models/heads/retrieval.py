"""Nearest labelled neighbours: a post is judged by the training posts that it is most like, and can name them.

A post is a point in the fused space of its sides; the k nearest training posts vote on each label, the more the nearer
they are, beside a small vote of the label's prevalence. That is the last step of RGCL (Mei et al. 2024,
https://aclanthology.org/2024.acl-long.291) at its simplest. Where that paper learns the space by a contrastive loss on
the posts retrieved, `space: learned` takes the hidden layer of a `clip-cross` head, and `whitened` learns nothing.

Search is exact, by chunks of matrix products; the memory is float16 and bounded by `max_posts`. A vote counts from the
similarity of the first neighbour that is left out, so that the score does not jump where two posts swap places there.
Open doubt: above about a million posts an approximate index would be faster.
"""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from workbench.features import Blocks
from workbench.models.fit.targets import target_matrix
from workbench.models.heads.bags import Vectors, combinations
from workbench.models.heads.frozen import ClipClassifier, Posts
from workbench.models.heads.options import CrossOptions
from workbench.models.heads.reading import Side

if TYPE_CHECKING:
    import torch

KS, TEMPERATURES = (5, 10, 20, 50, 100), (0.02, 0.05, 0.1, 0.2)
FRAMES = 4  # rows of the memory that the frames of one clip can take
TIE = 1e-4  # cosines nearer than this are the same
NAMED = 3  # neighbours that a reason names
CHUNK = 1024  # posts compared with the whole memory at once


class RetrievalOptions(CrossOptions):
    """The space, and how neighbours vote; the options of a head are those of the learned space."""

    space: Literal["learned", "whitened"] = Field(
        "learned", description="The hidden layer of a head trained on the labels, or the whitened sides, joined."
    )
    k: int | None = Field(None, ge=1, le=1000, description="Neighbours that vote; null: chosen on validation.")
    temperature: float | None = Field(
        None, gt=0, le=10, description="Similarity by which a vote falls to 1/e; null: chosen on validation."
    )
    smoothing: float = Field(0.5, gt=0, le=100, description="How many votes the label's prevalence has.")
    max_posts: int = Field(100_000, ge=1, description="Training posts kept, evenly spaced; all if there are fewer.")
    rank: int = Field(32, ge=1, le=128, description="Length of a projected side of the learned space's head.")


class TrainingPosts(NamedTuple):
    """Unit vectors (n_rows, dim) float16, the post of each row, and y and known (n_posts, n_labels)."""

    vectors: np.ndarray
    post: np.ndarray
    y: np.ndarray
    known: np.ndarray

    @property
    def weight(self) -> np.ndarray:
        """One over its post's rows (n_rows,), so that posts vote alike."""
        return (1.0 / np.bincount(self.post, minlength=len(self.y)))[self.post]

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows (n, k') most similar to unit vectors (n, dim), the best first, and their cosines; k' <= k."""
        k = min(k, len(self.vectors))
        memory, rows, cosines = self.vectors.astype(np.float32), [], []
        for start in range(0, len(queries), CHUNK):
            found = queries[start : start + CHUNK] @ memory.T
            best = (
                np.argpartition(-found, k - 1, axis=1)[:, :k]
                if k < len(memory)
                else np.tile(np.arange(k), (len(found), 1))
            )
            value = np.take_along_axis(found, best, axis=1)
            order = np.argsort(-value, axis=1, kind="stable")
            rows.append(np.take_along_axis(best, order, axis=1))
            cosines.append(np.take_along_axis(value, order, axis=1))
        return np.concatenate(rows), np.concatenate(cosines)


class ClipRetrieval(ClipClassifier):
    """Votes of the nearest training posts.

    Attributes:
        post_ids: those of the training posts in the memory, in its order.
    """

    options_class = RetrievalOptions
    options: RetrievalOptions
    modalities = ("text", "image", "video")
    fusion = "cross"
    memory: TrainingPosts | None = None
    post_ids: list[str]
    search: ClassVar[dict[str, tuple]] = {"space": ("learned", "whitened"), "smoothing": (0.2, 0.5, 2.0)}

    @property
    def seeded(self) -> bool:  # type: ignore[override]
        """Only a learned space has something to draw."""
        return self.options.space == "learned"

    # -------------------------------------------------------------------------------------------------- fit and score

    def _prepare(self, train: pa.Table, words: dict[Side, Blocks]) -> list[Vectors]:
        self.memory, self.post_ids = None, []
        return super()._prepare(train, words)

    def _learn(self, train: Posts, validation: Posts, seed: int) -> None:
        made = {}
        if self.options.space == "learned":
            made = self._fit_network(train[1], self._examples(*train), self._examples(*validation), seed)
        self._remember(*train)
        self.record = {**made, "posts": len(self.post_ids), **self._choose(*validation)}

    def _remember(self, train: pa.Table, sides: list[Vectors]) -> None:
        usable = np.flatnonzero(np.any([side.count > 0 for side in sides], axis=0))
        kept = usable[:: -(-len(usable) // self.options.max_posts)]
        post, rows = combinations(sides)
        place = np.arange(len(post)) - np.searchsorted(post, post)  # which of its post's rows each is
        count = np.bincount(post)[post]
        few = (place * FRAMES // count != (place - 1) * FRAMES // count) | (count <= FRAMES)  # evenly spaced
        chosen = np.isin(post, kept) & few
        y, known = target_matrix(train, self.taxonomy)
        vectors = self._vectors(sides, [row[chosen] for row in rows]).astype(np.float16)
        at = np.searchsorted(kept, post[chosen]).astype(np.int32)
        self.memory = TrainingPosts(vectors, at, np.where(known, y, 0.0)[kept], known[kept])
        ids = train["post_id"].to_pylist()
        self.post_ids = [ids[i] for i in kept]

    def _choose(self, validation: pa.Table, sides: list[Vectors]) -> dict[str, Any]:
        """Return k and temperature: those given, else those that lose least on validation, else the middle ones."""
        ks = [self.options.k] if self.options.k else [k for k in KS if k < len(self.memory.vectors)] or [KS[0]]
        heats = [self.options.temperature] if self.options.temperature else list(TEMPERATURES)
        y, known = target_matrix(validation, self.taxonomy)
        known &= self.trained & np.any([side.count > 0 for side in sides], axis=0)[:, None]
        if not known.any():
            return {"k": ks[len(ks) // 2], "temperature": heats[len(heats) // 2]}
        post, rows = combinations(sides)
        nearest = self.memory.search(self._vectors(sides, rows), max(ks) + 1)
        starts, losses = np.flatnonzero(np.diff(post, prepend=-1)), {}
        for k in ks:
            for heat in heats:
                logits = np.maximum.reduceat(self._votes(*nearest, k, heat), starts, axis=0)
                cells = y * np.logaddexp(0, -logits) + (1 - y) * np.logaddexp(0, logits)
                losses[k, heat] = float(cells[known].mean())
        k, heat = min(losses, key=losses.get)
        return {"k": k, "temperature": heat, "loss": losses[k, heat]}

    @property
    def _trained(self) -> bool:
        return self.memory is not None

    def _rows(self, sides: tuple[torch.Tensor, ...], present: torch.Tensor) -> np.ndarray:
        k, heat = self.record["k"], self.record["temperature"]
        return self._votes(*self.memory.search(self._embed(sides, present), k + 1), k, heat).astype(np.float32)

    def _votes(self, rows: np.ndarray, cosines: np.ndarray, k: int, heat: float) -> np.ndarray:
        """Return logits (n, n_labels) from the rows (n, >= k + 1) of the memory that are nearest, and their cosines."""
        beyond = cosines[:, k : k + 1] if cosines.shape[1] > k else np.full((len(rows), 1), -np.inf)
        rows, cosines = rows[:, :k], cosines[:, :k].astype(np.float64)
        top = cosines[:, :1]
        weight = np.exp((cosines - top) / heat) - np.exp((beyond - top) / heat)
        weight[(top - beyond < TIE)[:, 0]] = 1.0  # one content posted many times: all its posters vote
        weight *= self.memory.weight[rows]
        post = self.memory.post[rows]  # (n, k)
        known = self.memory.known[post]
        votes = np.einsum("nk,nkl->nl", weight, self.memory.y[post])
        total = np.einsum("nk,nkl->nl", weight, known)
        prior = 1 / (1 + np.exp(-np.nan_to_num(self.constants.astype(np.float64))))
        share = (votes + self.options.smoothing * prior) / (total + self.options.smoothing)
        return np.log(share) - np.log1p(-share)

    # --------------------------------------------------------------------------------------------------- the space

    def _vectors(self, sides: list[Vectors], rows: list[np.ndarray]) -> np.ndarray:
        """Return the unit vectors (n_rows, dim) of combinations of variants."""
        edges = [*range(0, len(rows[0]), CHUNK), len(rows[0])]
        parts = [self._embed(*self._tensors(sides, [row[a:b] for row in rows])) for a, b in pairwise(edges)]
        return np.concatenate(parts)

    def _embed(self, sides: tuple[torch.Tensor, ...], present: torch.Tensor) -> np.ndarray:
        """Return rows as unit vectors; an absent side adds nothing to a similarity in the whitened space."""
        import torch
        from torch.nn.functional import normalize

        with torch.inference_mode():
            if self.options.space == "learned":
                self.network.eval()
                return normalize(self.network.inner(sides, present), dim=1).cpu().numpy()
            parts = [normalize(x, dim=1) * present[:, [h]] for h, x in enumerate(sides)]
            return normalize(torch.cat(parts, dim=1), dim=1).cpu().numpy()

    def _alike(self, best: np.ndarray, sides: list[Vectors], rows: list[np.ndarray]) -> np.ndarray:
        alike = np.full(best.shape, None, dtype=object)
        used, place = np.unique(best, return_inverse=True)
        nearest = self.memory.search(self._vectors(sides, [row[used] for row in rows]), self.record["k"])[0]
        nearest = self.memory.post[nearest]  # (n_used, k), the nearest first
        place, voted = (
            place.reshape(best.shape),
            (self.memory.y > 0.5)[nearest],
        )  # (n_used, k, n_labels)
        readable = np.any([side.count > 0 for side in sides], axis=0)
        for post, label in np.argwhere(readable[:, None] & self.trained):
            row = place[post, label]
            named = dict.fromkeys(nearest[row][voted[row, :, label]].tolist())
            alike[post, label] = tuple(self.post_ids[at] for at in islice(named, NAMED)) or None
        return alike

    # ---------------------------------------------------------------------------------------------------- the disk

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        state, arrays = super()._state()
        if self.memory is not None:
            arrays |= {f"memory.{name}": value for name, value in self.memory._asdict().items()}
        return {**state, "post_ids": self.post_ids}, arrays

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        super()._restore(state, arrays, folder)
        self.post_ids = list(state["post_ids"])
        if "memory.vectors" in arrays:
            self.memory = TrainingPosts(*(arrays[f"memory.{name}"] for name in TrainingPosts._fields))
