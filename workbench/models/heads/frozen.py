"""A head on frozen embeddings of a post's sides: what all models of this kind share.

The encoder is frozen and its vectors come from the feature store; what is trained is the small network of `networks`,
or logistic regression where that loses less on validation.
A post has two *sides*: text, and vision, which is a bag of the picture and the frames of the clip. One encoder reads
both, or each side has one of its own, of any family; the text's can be the words of a model of words (`reading`). By
default the highest frame decides, in training too (multiple-instance learning), so a few frames of harm are enough, and
nobody has to say which. A post that lacks a side, or whose side cannot be read, is used in training and scored from the
other. The words that stand in its picture can be a side of their own.

Open doubts: a frame is read by itself, so what only their order tells is not seen; fine-tuning the encoder would need
its gradients, which the store cannot give.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from workbench.features import Blocks
from workbench.models import Prediction, of_earlier, two_classes
from workbench.models.fit.options import positive_weights
from workbench.models.fit.targets import target_matrix
from workbench.models.heads.bags import Vectors, bags, combinations, highest_rows, undone
from workbench.models.heads.options import AlignOptions, CrossOptions, HeadKind, HeadOptions
from workbench.models.heads.reading import Readable, Side, SidedClassifier, whitened, whitening
from workbench.schema import Options

if TYPE_CHECKING:
    import torch

    from workbench.models.heads.training import Examples

Posts = tuple[pa.Table, list[Vectors]]  # a table, and the rows of its sides


class ClipClassifier(SidedClassifier):
    """A head on the embeddings of its modalities; subclasses name them and the fusion.

    A modality that no training post has is not looked at: it leaves `modalities`, so that content of its kind counts as
    unseen when posts are decided on.

    Attributes:
        kind: the head that it has, the one named or the one chosen; whitenings: mean and matrix by which each side's
            vectors are brought to what that head expects.
    """

    options_class: ClassVar[type[Options]] = HeadOptions
    options: HeadOptions
    fusion: ClassVar[Literal["cross", "align"] | None] = None
    network: Any = None
    kind: HeadKind = "mlp"
    whitenings: list[tuple[np.ndarray, np.ndarray]]
    search: ClassVar[dict[str, tuple]] = {
        "lr": (0.001, 0.003, 0.01),
        "weight_decay": (0.1, 0.5, 1.0),
        "hidden": (32, 64, 128),
        "dropout": (0.1, 0.2, 0.4),
        "loss": ("bce", "focal", "asymmetric"),
    }

    @classmethod
    def of_earlier(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return saved options as they are now: without what is read no more; a fusion's logistic head is linear."""
        known = cls.options_class.model_fields
        kept = {name: value for name, value in options.items() if name in known or name not in ("C", "tower_decay")}
        if isinstance(words := kept.get("text_encoder"), dict):
            kept["text_encoder"] = {**words, "options": of_earlier(words["name"], words.get("options", {}))}
        return {**kept, "head": "linear"} if kept.get("head") == "logistic" and "C" not in known else kept

    # ------------------------------------------------------------------------------------------------ fit and score

    @property
    def seeded(self) -> bool:  # type: ignore[override]
        """Only what is logistic regression whatever validation says, of posts as they are, draws nothing."""
        return (
            self.options.kinds != ("logistic",) or self.options.upsample is not None or bool(self.members(self.options))
        )

    @property
    def parameters(self) -> int:
        """The weights of the head, and of words; the encoder's are given and the whitening is measured."""
        self._require_fitted()
        learnt = None if self.network is None else self.network.output if self.kind == "logistic" else self.network
        own = 0 if learnt is None else sum(weights.numel() for weights in learnt.parameters())
        return own + sum(part.parameters for part in self._parts().values())

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        sides = self._prepare(train, self._learn_words(train, validation, seed))
        self.record = {"epochs": 0}
        if self.trained.any():
            watched = self._sides(self._read(validation), len(validation), first=True)
            self._learn((train, sides), (validation, watched), seed)

    def _learn(self, train: Posts, validation: Posts, seed: int) -> None:
        """Learn from posts with their first rows, at least one label of which can be learnt: the best head for them."""
        from workbench.models.heads import training

        kinds, fitted = self.options.kinds, []
        watched = self._examples(*validation)
        for kind in kinds if training.choosing(watched, len(self.trained)).any() else kinds[:1]:
            if kind != self.kind:
                self.kind, self.whitenings = kind, self._whitenings(kind, train[1])
                watched = self._examples(*validation)
            record = self._fit_network(train[1], self._examples(*train), watched, seed)
            fitted.append((record, kind, self.network, self.whitenings))
        record, self.kind, self.network, self.whitenings = min(fitted, key=lambda made: made[0]["loss"])
        self.record = {"head": self.kind, **record, "losses": {kind: made["loss"] for made, kind, *_ in fitted}}

    def _prepare(self, train: pa.Table, words: dict[Side, Blocks]) -> list[Vectors]:
        """Return the first rows of train's sides, after finding what is there to look at and to learn.

        words: the vectors of train's texts where words stand for them, by side.
        """
        self.network, self.encoder_digests = None, self._encoder_digests()
        self.modalities = type(self).modalities
        read = self._read(train, words)
        self.modalities = tuple(name for name in self.modalities if len(read[name].vectors.values))
        sides = self._sides(read, len(train), first=True)
        usable = np.any([side.count > 0 for side in sides], axis=0)
        self.trained &= two_classes(*self._labels(train, usable))
        self.kind = self.options.kinds[0]
        self.whitenings = self._whitenings(self.kind, sides)
        return sides

    def _fit_network(
        self, sides: list[Vectors], examples: Examples, watched: Examples | None, seed: int
    ) -> dict[str, Any]:
        """Build and train the network on examples, those of `sides`; return what happened."""
        import torch

        from workbench.models.heads import training

        generator = torch.Generator().manual_seed(seed)
        self.network = self._build(generator)
        weight = positive_weights(self.options.class_weight, self.taxonomy.names)
        if self.kind == "logistic":
            from workbench.models.heads.training.logistic import by_name, fit_logistic

            record = fit_logistic(self.network, examples, watched, self.options, generator, weight)
            return {**record, "C": by_name(record["C"], tuple(self._groups()), self.taxonomy.names, self.trained)}
        present = np.stack([side.count > 0 for side in sides], axis=1)  # (n_posts, n_sides)
        hide = self.options.hide(present[present.any(axis=1)])
        return training.fit_head(self.network, examples, watched, self.options, generator, hide, weight)

    def _predict(self, posts: pa.Table) -> Prediction:
        import torch

        from workbench.models.fit import losses
        from workbench.models.heads import training

        read = self._read(posts)
        unread = {name: read[name].unread for name in self.modalities}
        sides = self._sides(read, len(posts))
        readable = np.any([side.count > 0 for side in sides], axis=0)
        if not self._trained:
            return Prediction(np.zeros((len(posts), len(self.constants)), np.float32), readable, unread)
        post, rows = combinations(sides)
        scores = []
        for start in range(0, len(post), training.CHUNK):
            chunk = self._tensors(sides, [row[start : start + training.CHUNK] for row in rows])
            scores.append(self._rows(*chunk))
        scores = np.concatenate(scores)
        starts = np.flatnonzero(np.diff(post, prepend=-1))  # where each post's combinations begin
        best = highest_rows(scores[:, : len(self.constants)], starts)
        variants, alike = self._variants(posts, best, sides, rows), self._alike(best, sides, rows)
        post, scores = self._over_frames(read, sides, post, scores)
        if self._exclusive():
            scores = losses.log_odds(torch.from_numpy(scores), self._exclusive()).numpy()
        starts = np.flatnonzero(np.diff(post, prepend=-1))  # and where its bags do
        return Prediction(np.maximum.reduceat(scores, starts, axis=0), readable, unread, variants, alike)

    def _variants(
        self, posts: pa.Table, best: np.ndarray, sides: list[Vectors], rows: list[np.ndarray]
    ) -> np.ndarray | None:
        """Return `Prediction.variants` from each score's combination (n_posts, n_labels) and the rows of sides."""
        if "text" not in self._groups() or not len(sides[0].values):
            return None
        row = rows[0][best]  # of the text, which is the first side; -1 where there is none
        numbers = np.where(row >= 0, sides[0].variant[row], 0)
        if not numbers.any():
            return None
        words = self.word_sides.get("text")
        reader = words.member if words else self.store.encoder(self.options.encoder_of("text"))
        return undone(numbers, posts["text"].to_pylist(), reader.text_kinds)

    def _alike(self, best: np.ndarray, sides: list[Vectors], rows: list[np.ndarray]) -> np.ndarray | None:
        return None

    @property
    def _trained(self) -> bool:
        return self.network is not None

    def _rows(self, sides: tuple[torch.Tensor, ...], present: torch.Tensor) -> np.ndarray:
        from workbench.models.heads import training

        return training.score(self.network, sides, present).cpu().numpy()

    def _over_frames(
        self, read: dict[str, Readable], sides: list[Vectors], post: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return posts and logits of the bags of combinations, where frames are pooled otherwise than by maximum."""
        if getattr(self.options, "pooling", "max") in ("max", "mean"):
            return post, rows
        import torch

        pictures = read["image"].vectors.count if "image" in read else np.zeros_like(sides[-1].count)
        bagged = bags(sides, pictures)
        logits = self.network.pool(torch.from_numpy(rows[bagged.row]), torch.from_numpy(bagged.bag))
        return bagged.post, logits.numpy()

    def _build(self, generator: torch.Generator | None) -> Any:
        """Return the network for the dimensions of the whitenings, on the store's device."""
        from workbench.models.heads.networks import Head

        options, fusion = self.options, None
        if isinstance(options, CrossOptions | AlignOptions) and self.kind != "logistic":
            fusion = (self.fusion, options.rank, options.projection)
        return Head(
            tuple(len(mean) for mean, _ in self.whitenings),
            len(self.taxonomy.names),
            hidden=options.hidden if self.kind == "mlp" else 0,
            dropout=options.dropout,
            fusion=fusion,
            activation=options.activation,
            generator=generator,
            pooling=getattr(options, "pooling", "max"),
            told="text" in self.word_sides,
        ).to(self.store.device)

    # ------------------------------------------------------------------------------------------------------ features

    def _whitenings(self, kind: HeadKind, sides: list[Vectors]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return, per side, mean and matrix that bring train's vectors to what a kind of head expects."""
        return [self._whitening(kind, name, side) for name, side in zip(self._groups(), sides, strict=True)]

    def _whitening(self, kind: HeadKind, name: Side, side: Vectors) -> tuple[np.ndarray, np.ndarray]:
        """Return those of one side, which leave log-odds of words as they are."""
        told = len(self.taxonomy.names) if name == "text" and name in self.word_sides else 0
        return whitening(kind, side, told)

    def _labels(self, table: pa.Table, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y, known = target_matrix(table, self.taxonomy)
        return y[usable], known[usable]

    def _examples(self, table: pa.Table, sides: list[Vectors]) -> Examples | None:
        """Return the posts with a readable side, and all their rows, on the device; None where there is none."""
        import torch

        from workbench.models.heads.training import Examples

        usable = np.any([side.count > 0 for side in sides], axis=0)
        if not usable.any():
            return None
        y, known = self._labels(table, usable)
        post, rows = combinations(sides)
        count = np.bincount(post)[usable]
        tensors = self._tensors(sides, [row[usable[post]] for row in rows])
        labels = (torch.from_numpy(array).to(self.store.device) for array in (y, known & self.trained))
        count = torch.from_numpy(count).to(self.store.device) if count.max() > 1 else None
        return Examples(*tensors, *labels, count, self._exclusive())

    def _exclusive(self) -> tuple[tuple[int, ...], ...]:
        """Return the taxonomy's exclusive sets as columns where the loss answers for a whole set, else none."""
        if self.options.loss.name != "softmax":
            return ()
        return tuple(tuple(map(self.taxonomy.names.index, group)) for group in self.taxonomy.exclusive)

    def _tensors(self, sides: list[Vectors], rows: list[np.ndarray]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Return whitened sides, each (n, dim), and present (n, n_sides), on the device; row -1 is an absent side."""
        return whitened(sides, rows, self.whitenings, self.store.device)

    # ------------------------------------------------------------------------------------------------------ the disk

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays = {}
        for side, (mean, matrix) in zip(self._groups(), self.whitenings, strict=True):
            arrays |= {f"whitening.{side}.mean": mean, f"whitening.{side}.matrix": matrix}
        if self.network is not None:
            from workbench.models.fit.loop import weights_of

            arrays |= weights_of(self.network, "network.")
        arrays |= self._word_arrays()
        return {"encoder": self.encoder_digests, "trained": self.network is not None, "head": self.kind}, arrays

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        self._take_encoders(state["encoder"], folder)
        self._take_words(arrays, folder)
        self.whitenings = [
            (arrays[f"whitening.{side}.mean"], arrays[f"whitening.{side}.matrix"]) for side in self._groups()
        ]
        if state["trained"]:
            from workbench.models.fit.loop import take_weights

            named = self.options.head  # what earlier versions had, whose logistic heads were built as linear ones
            self.kind = state.get("head", "linear" if named == "logistic" else named)
            self.network = self._build(None)
            take_weights(self.network, arrays, "network.")
