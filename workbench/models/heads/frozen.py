"""A head on frozen embeddings of a post's halves: what all models of this kind share.

The encoder is frozen and its vectors come from the feature store; what is trained is the small network of `networks`.
A post has two *halves*: its text, and its vision, which is a bag of the picture and the frames of the clip. By default
the highest frame decides, in training too (multiple-instance learning), so a few frames of harm are enough, and nobody
has to say which. A post that lacks a half, or whose half cannot be read, is used in training and scored from the other.

Open doubts: a frame is read by itself, so what only their order tells is not seen; fine-tuning the encoder would need
its gradients, which the store cannot give.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from workbench.errors import WorkbenchError
from workbench.features import Blocks, TransientError, Truncated, encoder_files
from workbench.features.encoders import identity
from workbench.models import Classifier, Prediction, two_classes
from workbench.models.fit.options import positive_weights
from workbench.models.heads.bags import Vectors, bags, combinations, highest_rows, undone
from workbench.models.heads.options import HIDDEN_BY_DEFAULT, RARE, AlignOptions, CrossOptions, HeadOptions, PairOptions
from workbench.schema import Options, declared, label_matrix

if TYPE_CHECKING:
    import torch

    from workbench.features.encoders.open_clip import Encoder
    from workbench.models.heads.training import Examples

HALVES = {"text": ("text",), "vision": ("image", "video")}


class ClipClassifier(Classifier):
    """A head on the embeddings of its modalities; subclasses name them and the fusion.

    A modality that no training post has is not looked at: it leaves `modalities`, so that content of its kind counts as
    unseen when posts are decided on.
    """

    options_class: ClassVar[type[Options]] = HeadOptions
    options: HeadOptions
    fusion: ClassVar[Literal["cross", "align"] | None] = None
    network: Any = None
    whitenings: list[tuple[np.ndarray, np.ndarray]]
    encoder_digest: str = ""
    search: ClassVar[dict[str, tuple]] = {
        "lr": (0.001, 0.003, 0.01),
        "weight_decay": (0.1, 0.5, 1.0),
        "hidden": (32, 64, 128),
        "dropout": (0.1, 0.2, 0.4),
        "loss": ("bce", "focal", "asymmetric"),
    }

    @classmethod
    def of_earlier(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return saved options as they are now: logistic heads are linear ones, and what only training read is gone."""
        kept = {name: value for name, value in options.items() if name not in ("C", "tower_decay")}
        return {**kept, "head": "linear"} if kept.get("head") == "logistic" else kept

    @classmethod
    def files(cls, options: HeadOptions) -> list[Path]:
        """Return the encoder's files."""
        return encoder_files(options.encoder)

    # ------------------------------------------------------------------------------------------------ fit and score

    @property
    def parameters(self) -> int:
        """The weights of the head; the encoder's are given and the whitening is measured."""
        self._require_fitted()
        return 0 if self.network is None else sum(weights.numel() for weights in self.network.parameters())

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        halves = self._prepare(train)
        if not self.trained.any():
            self.record = {"epochs": 0}
            return
        watched = self._halves(self._read(validation), len(validation), first=True)
        self.record = self._fit_network(
            halves, self._examples(train, halves), self._examples(validation, watched), seed
        )

    def _prepare(self, train: pa.Table) -> list[Vectors]:
        """Return the first rows of train's halves, after finding what is there to look at and to learn."""
        self.network, self.encoder_digest = None, self._encoder_digest()
        self.modalities = type(self).modalities
        read = self._read(train)
        self.modalities = tuple(name for name, (_, vectors) in read.items() if len(vectors.values))
        halves = self._halves(read, len(train), first=True)
        usable = np.any([half.count > 0 for half in halves], axis=0)
        self.trained &= two_classes(*self._labels(train, usable))
        self.whitenings = [self._whitening(half) for half in halves]
        return halves

    def _fit_network(
        self, halves: list[Vectors], examples: Examples, watched: Examples | None, seed: int
    ) -> dict[str, Any]:
        """Build and train the network on examples, those of `halves`; return what happened."""
        import torch

        from workbench.models.heads import training

        generator = torch.Generator().manual_seed(seed)
        self.network = self._build(generator)
        present = np.stack([half.count > 0 for half in halves], axis=1)  # (n_posts, n_halves)
        hide = self._hide(present[present.any(axis=1)])
        weight = positive_weights(self.options.class_weight, self.taxonomy.names)
        return training.fit_head(self.network, examples, watched, self.options, generator, hide, weight)

    def _predict(self, posts: pa.Table) -> Prediction:
        import torch

        from workbench.models.fit import losses
        from workbench.models.heads import training

        read = self._read(posts)
        unread = {name: reasons(posts, name, *parts) for name, parts in read.items()}
        halves = self._halves(read, len(posts))
        readable = np.any([half.count > 0 for half in halves], axis=0)
        if not self._trained:
            return Prediction(np.zeros((len(posts), len(self.constants)), np.float32), readable, unread)
        post, rows = combinations(halves)
        scores = []
        for start in range(0, len(post), training.CHUNK):
            chunk = self._tensors(halves, [row[start : start + training.CHUNK] for row in rows])
            scores.append(self._rows(*chunk))
        scores = np.concatenate(scores)
        starts = np.flatnonzero(np.diff(post, prepend=-1))  # where each post's combinations begin
        best = highest_rows(scores[:, : len(self.constants)], starts)
        variants, alike = self._variants(posts, best, halves, rows), self._alike(best, halves, rows)
        post, scores = self._over_frames(read, halves, post, scores)
        if self._exclusive():
            scores = losses.log_odds(torch.from_numpy(scores), self._exclusive()).numpy()
        starts = np.flatnonzero(np.diff(post, prepend=-1))  # and where its bags do
        return Prediction(np.maximum.reduceat(scores, starts, axis=0), readable, unread, variants, alike)

    def _variants(
        self, posts: pa.Table, best: np.ndarray, halves: list[Vectors], rows: list[np.ndarray]
    ) -> np.ndarray | None:
        """Return `Prediction.variants` from each score's combination (n_posts, n_labels) and the rows of halves."""
        if "text" not in self._groups() or not len(halves[0].values):
            return None
        row = rows[0][best]  # of the text, which is the first half; -1 where there is none
        numbers = np.where(row >= 0, halves[0].variant[row], 0)
        if not numbers.any():
            return None
        return undone(numbers, posts["text"].to_pylist(), self.store.encoder(self.options.encoder).text_kinds)

    def _alike(self, best: np.ndarray, halves: list[Vectors], rows: list[np.ndarray]) -> np.ndarray | None:
        """Return `Prediction.alike` from each score's combination (n_posts, n_labels) and each half's rows in them."""
        return None

    @property
    def _trained(self) -> bool:
        return self.network is not None

    def _rows(self, halves: tuple[torch.Tensor, ...], present: torch.Tensor) -> np.ndarray:
        """Return what the network gives for rows (n_rows, n_labels), each one combination of variants."""
        from workbench.models.heads import training

        return training.score(self.network, halves, present).cpu().numpy()

    def _over_frames(
        self, read: dict[str, tuple[Blocks, Vectors]], halves: list[Vectors], post: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return posts and logits of the bags of combinations, where frames are pooled otherwise than by maximum."""
        if getattr(self.options, "pooling", "max") in ("max", "mean"):
            return post, rows
        import torch

        pictures = read["image"][1].count if "image" in read else np.zeros_like(halves[-1].count)
        bagged = bags(halves, pictures)
        logits = self.network.pool(torch.from_numpy(rows[bagged.row]), torch.from_numpy(bagged.bag))
        return bagged.post, logits.numpy()

    def _build(self, generator: torch.Generator | None) -> Any:
        """Return the network for the dimensions of the whitenings, on the store's device."""
        from workbench.models.heads.networks import Head

        options, fusion = self.options, None
        if isinstance(options, CrossOptions | AlignOptions):
            fusion = (self.fusion, options.rank, options.projection)
        return Head(
            tuple(len(mean) for mean, _ in self.whitenings),
            len(self.taxonomy.names),
            hidden=options.hidden if options.head == "mlp" else 0,
            dropout=options.dropout,
            fusion=fusion,
            activation=options.activation,
            generator=generator,
            pooling=getattr(options, "pooling", "max"),
        ).to(self.store.device)

    def _hide(self, present: np.ndarray) -> tuple[float, ...]:
        """Return how often each half is hidden in training, from `present (n_posts, n_halves)` of train."""
        if not isinstance(self.options, PairOptions):
            return ()
        if self.options.modality_dropout is not None:
            return (self.options.modality_dropout,) * present.shape[1]
        return tuple(HIDDEN_BY_DEFAULT if lacking < RARE else 0.0 for lacking in 1 - present.mean(axis=0))

    # ------------------------------------------------------------------------------------------------------ features

    def _encoder(self) -> Encoder:
        """Return what makes vectors of posts; a subclass may use another form of the encoder."""
        return self.store.encoder(self.options.encoder)

    def _whitening(self, half: Vectors) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the matrix that bring a half's vectors to unit variance."""
        from workbench.models.heads import training

        return training.whitening(half.values, half.weight)

    def _read(self, table: pa.Table) -> dict[str, tuple[Blocks, Vectors]]:
        """Return, per modality, what the store says of a table and its readable vectors, all variants or the raw.

        What is blank counts as absent, whatever an encoder makes of it.
        """
        there, halves = declared(table), {}
        for name in self.modalities:
            blocks = getattr(self.store, name)(self._encoder(), table)
            vectors = Vectors.of(blocks, there[name])
            halves[name] = blocks, vectors if self.options.variants else vectors.raw()
        return halves

    def _halves(self, read: dict[str, tuple[Blocks, Vectors]], n: int, first: bool = False) -> list[Vectors]:
        """Return the bags of n posts, one per half; first: of a text and of a picture keep the first row only."""
        halves = []
        for names in self._groups().values():
            half = Vectors.none(n, self._encoder().dim)
            for name in (name for name in names if name in read):
                vectors = read[name][1]
                if name == "video":
                    vectors = vectors.mean() if self.options.pooling == "mean" else vectors
                elif first:
                    vectors = vectors.first()
                half = half.beside(vectors)
            halves.append(half)
        return halves

    def _groups(self) -> dict[str, tuple[str, ...]]:
        """Return the halves that this kind of model has, with the modalities that fill each."""
        mine = {half: tuple(n for n in names if n in type(self).modalities) for half, names in HALVES.items()}
        return {half: names for half, names in mine.items() if names}

    def _labels(self, table: pa.Table, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y, known = label_matrix(table, self.taxonomy)
        return y[usable], known[usable]

    def _examples(self, table: pa.Table, halves: list[Vectors]) -> Examples | None:
        """Return the posts with a readable half, and all their rows, on the device; None where there is none."""
        import torch

        from workbench.models.heads.training import Examples

        usable = np.any([half.count > 0 for half in halves], axis=0)
        if not usable.any():
            return None
        y, known = self._labels(table, usable)
        post, rows = combinations(halves)
        count = np.bincount(post)[usable]
        tensors = self._tensors(halves, [row[usable[post]] for row in rows])
        labels = (torch.from_numpy(array).to(self.store.device) for array in (y, known & self.trained))
        count = torch.from_numpy(count).to(self.store.device) if count.max() > 1 else None
        return Examples(*tensors, *labels, count, self._exclusive())

    def _exclusive(self) -> tuple[tuple[int, ...], ...]:
        """Return the taxonomy's exclusive sets as columns where the loss answers for a whole set, else none."""
        if self.options.loss.name != "softmax":
            return ()
        return tuple(tuple(map(self.taxonomy.names.index, group)) for group in self.taxonomy.exclusive)

    def _tensors(self, halves: list[Vectors], rows: list[np.ndarray]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
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
        arrays = {}
        for half, (mean, matrix) in zip(self._groups(), self.whitenings, strict=True):
            arrays |= {f"whitening.{half}.mean": mean, f"whitening.{half}.matrix": matrix}
        if self.network is not None:
            weights = self.network.state_dict().items()
            arrays |= {f"network.{name}": value.detach().cpu().numpy() for name, value in weights}
        return {"encoder": self.encoder_digest, "trained": self.network is not None}, arrays

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        self.encoder_digest = state["encoder"]
        identity.same_encoder(
            f"the model in {folder}", self.encoder_digest, self._encoder_digest(), self.options.encoder
        )
        self.whitenings = [
            (arrays[f"whitening.{half}.mean"], arrays[f"whitening.{half}.matrix"]) for half in self._groups()
        ]
        if state["trained"]:
            import torch

            self.network = self._build(None)
            weights = {name.removeprefix("network."): a for name, a in arrays.items() if name.startswith("network.")}
            self.network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})

    def _encoder_digest(self) -> str:
        """Return `identity.encoder_digest` of the encoder; raises WorkbenchError without a store to have it from."""
        if self.store is None:
            raise WorkbenchError(f"model {self.name!r} needs a feature store; pass one to create or load")
        return identity.encoder_digest(self._encoder())


def reasons(posts: pa.Table, modality: str, blocks: Blocks, vectors: Vectors) -> list[str | None]:
    """Return, for each post whose declared content gave no vector, why; and what was left out of a long text."""
    lost = declared(posts)[modality] & (vectors.count == 0)
    default = f"nothing in the {modality} could be read"
    whys = [(why or default) if gone else None for why, gone in zip(blocks.reasons, lost.tolist(), strict=True)]
    if modality == "text":
        notes = [None if note is None or isinstance(note, TransientError) else Truncated(note) for note in blocks.notes]
        whys = [why or note for why, note in zip(whys, notes, strict=True)]
    return whys
