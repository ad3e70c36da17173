"""Both towers of a CLIP trained together with a fusion head on the labels.

Training has two phases, since a random head would spoil the towers first (LP-FT; Kumar et al. 2022,
https://arxiv.org/abs/2202.10054): the head of `clip-cross` on the frozen towers, then all of it, with a learning rate
that falls layer by layer towards the input (ULMFiT; Howard and Ruder 2018, https://arxiv.org/abs/1801.06146). The epoch
that loses least on validation is kept; that can be epoch 0, the frozen towers, so tuning never ends worse there.

Scoring goes through an encoder with the tuned weights, by the path of every other head: same preprocessing, variants,
reasons and store. Training is resumed after a kill and ends with the same weights; what is finished is kept beside the
feature store and found again (`checkpoints`).

Of a clip only the `frames` frames are trained on that the head of the first phase scores highest. Open doubts: that
head can be wrong about them; augmentation is not used.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from workbench import fingerprint
from workbench.features import Blocks
from workbench.features.encoders import identity
from workbench.fingerprint import closure
from workbench.models.fit.targets import target_matrix
from workbench.models.heads.bags import Vectors, combinations
from workbench.models.heads.frozen import ClipClassifier, Posts
from workbench.models.heads.options import CrossOptions
from workbench.models.heads.reading import Side

if TYPE_CHECKING:
    import torch

    from workbench.features.encoders.open_clip import Encoder
    from workbench.models.heads.training import Examples
    from workbench.models.heads.tuning import TuningPosts

log = logging.getLogger(__name__)


class FinetuneOptions(CrossOptions):
    """How the towers are tuned; the other options are those of the first phase, the head on frozen towers."""

    tune_epochs: int = Field(3, ge=0, le=1000, description="Passes over the training posts that tune the towers.")
    tower_lr: float = Field(1e-4, gt=0, le=1, description="AdamW's learning rate of the towers' last layers.")
    tune_head_lr: float = Field(1e-3, gt=0, le=1, description="AdamW's learning rate of the head while it is tuned.")
    layer_decay: float = Field(0.7, gt=0, le=1, description="The learning rate of a layer, by that of the layer above.")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    tune_batch: int = Field(64, ge=1, description="Posts per step.")
    at_once: int = Field(64, ge=1, description="Posts in memory at once; gradients of a step's parts are added up.")
    tune_patience: int = Field(2, ge=1, description="Epochs without a better validation loss before tuning stops.")
    frames: int = Field(2, ge=1, le=64, description="Frames of a clip that are trained on.")
    save_minutes: float = Field(5, ge=0, description="Minutes between checkpoints, beside those after each epoch.")

    @model_validator(mode="after")
    def _what_tuning_does_not_read(self) -> Self:
        if self.text_encoder is not None or self.image_encoder is not None:
            raise ValueError(
                "the two towers of one CLIP are tuned together; name it by `encoder`, without text_encoder and "
                "image_encoder, or take `clip-cross` for two encoders"
            )
        if self.picture_words:
            raise ValueError("picture_words: one text is tuned together with the picture; take `clip-cross`")
        if self.pooling != "max":
            raise ValueError("pooling: towers are tuned on single frames, so only 'max' is possible here")
        for name in ("loss", "class_weight", "upsample"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"towers are tuned by cross-entropy as it is and do not read {name!r}")
        return self


class ClipFinetune(ClipClassifier):
    """Tuned towers under the head of `clip-cross`."""

    options_class = FinetuneOptions
    options: FinetuneOptions
    modalities = ("text", "image", "video")
    fusion = "cross"
    tuned: Encoder | None = None
    search: ClassVar[dict[str, tuple]] = {
        "tower_lr": (3e-5, 1e-4, 3e-4),
        "layer_decay": (0.5, 0.7, 0.9),
        "tune_epochs": (2, 3, 5),
    }

    def _encoder(self, side: Side = "vision") -> Encoder:
        return self.tuned or super()._encoder(side)

    def _encoder_digest(self, side: Side = "vision") -> str:
        """Return a digest of the preprocessing and the architecture; the weights are the model's own."""
        encoder = ClipClassifier._encoder(self)
        return identity.encoder_digest(encoder, config=encoder.config)

    # ---------------------------------------------------------------------------------------------------------- fit

    def _prepare(self, train: pa.Table, words: dict[Side, Blocks]) -> list[Vectors]:
        self.tuned = None
        return super()._prepare(train, words)

    def _learn(self, train: Posts, validation: Posts, seed: int) -> None:
        from workbench.models.fit.checkpoints import Checkpoints

        examples, seen = self._examples(*train), self._examples(*validation)
        root = None if self.store.folder is None else self.store.folder.parent / "finetune"
        checkpoints = Checkpoints(root, self._key(seed, examples, seen))
        done = checkpoints.done()
        if done is not None:
            self._take(*done)
            return
        frozen = self._fit_network(train[1], examples, seen, seed)
        self._tune(train[0], validation[0], seed, frozen, checkpoints)

    def _key(self, seed: int, *sets: Examples | None) -> str:
        """Return 32 hex digits over everything that the tuned weights depend on."""
        import hashlib

        digest = hashlib.sha256()
        for examples in sets:
            for tensor in [] if examples is None else [*examples.sides, examples.present, examples.y, examples.known]:
                digest.update(tensor.cpu().numpy().tobytes())
            if examples is not None and examples.count is not None:
                digest.update(examples.count.cpu().numpy().tobytes())
        encoder = self._encoder()
        about = {
            **self._made_by(),
            "options": self.options.model_dump(mode="json", exclude={"save_minutes"}),
            "taxonomy": self.taxonomy.fingerprint,
            "seed": seed,
            "encoder": [encoder.identity(modality) for modality in self.modalities],
            "device": str(self.store.device),
            "data": digest.hexdigest(),
        }
        return fingerprint.of_json(about)[:32]

    def _made_by(self) -> dict[str, Any]:
        """Return the code that the tuned weights come from, and its libraries; the towers' own is the encoder's."""
        from workbench.features.encoders.trainable import Tunable
        from workbench.models.heads.tuning import Tuning

        kind = type(self)
        after = {method.__name__ for method in (kind._predict, kind._state, kind._restore, kind.files)}
        scoring = [vars(base)[name] for base in kind.__mro__ for name in sorted(after & vars(base).keys())]
        return closure.of_code(kind._prepare, kind._fit_network, kind._tune, Tuning, Tunable, without=scoring)

    def _tune(self, train: pa.Table, validation: pa.Table, seed: int, frozen: dict[str, Any], checkpoints: Any) -> None:
        from workbench.models.heads.tuning import Tuning

        tunable = self._encoder().tunable()
        tuning = Tuning(tunable, self.network, self.whitenings, self.options, seed)
        sets = [self._posts(table, tunable) for table in (train, validation)]
        hide = self.options.hide(sets[0].present)
        tensors, record = tuning.run(*sets, hide, frozen["loss"], checkpoints)
        record = {"epochs": frozen["epochs"], "frozen": frozen, **record}
        checkpoints.finish(tensors, record)
        self._take(tensors, record)

    def _take(self, tensors: dict[str, torch.Tensor], record: dict[str, Any]) -> None:
        import torch

        from workbench.models.fit.loop import take_weights

        self.network = self._build(torch.Generator())  # weights that are replaced at once, not drawn from global chance
        take_weights(self.network, tensors, "head.")
        self.tuned, self.record = self._towers(tensors), record

    def _towers(self, arrays: dict[str, Any]) -> Encoder:
        """Return the encoder with the weights of the towers that are among `arrays`."""
        from workbench.models.fit.loop import take_weights

        tunable = ClipClassifier._encoder(self).tunable()
        take_weights(tunable.model, arrays, "tower.")
        return tunable.frozen()

    def _posts(self, table: pa.Table, tunable: Any) -> TuningPosts:
        """Return the posts with a readable side, what their texts and pictures are, and which frames count."""
        from workbench.models.heads.tuning import DecodeCache, TuningPosts

        read = self._read(table)
        sides = self._sides(read, len(table), first=True)
        usable = np.flatnonzero(np.any([side.count > 0 for side in sides], axis=0))
        y, known = target_matrix(table, self.taxonomy)
        texts: list[Any] = [None] * len(table)
        if "text" in read:
            there = read["text"].vectors.count > 0
            values = table["text"].to_pylist()
            texts = tunable.texts([text if has else None for text, has in zip(values, there, strict=True)])
        images: list[list[tuple[str, int, int]]] = [[] for _ in range(len(table))]
        for name in (name for name in ("image", "video") if name in read):
            chosen = self._frames(read, name)
            for row, places in enumerate(chosen):
                images[row] += [(name, row, place) for place in places]
        present = np.stack([side.count[usable] > 0 for side in sides], axis=1)
        return TuningPosts(
            [texts[i] for i in usable],
            [images[i] for i in usable],
            present,
            y[usable],
            known[usable] & self.trained,
            DecodeCache(table, tunable),
        )

    def _frames(self, read: dict, name: str) -> list[list[int]]:
        """Return, per post, which variants of its picture (the first) or frames of its clip are trained on."""
        bag = read[name].vectors
        if name == "image":
            return [[0] if count else [] for count in bag.count]
        n, most = len(bag.count), self.options.frames
        sides = [read["text"].vectors.first() if "text" in read else bag.none(n, bag.values.shape[1]), bag]
        post, rows = combinations(sides)
        scores = np.full(len(post), -np.inf, np.float32)
        some = rows[1] >= 0
        if some.any():
            scores[some] = self._rows(*self._tensors(sides, [row[some] for row in rows])).max(axis=1)
        chosen: list[list[int]] = [[] for _ in range(n)]
        for number in np.flatnonzero(bag.count):
            mine = scores[np.searchsorted(post, number) :][: bag.count[number]]
            chosen[number] = sorted(np.argsort(-mine, kind="stable")[:most].tolist())
        return chosen

    # ---------------------------------------------------------------------------------------------------- the disk

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        state, arrays = super()._state()
        if self.tuned is not None:
            from workbench.models.fit.loop import weights_of

            arrays |= weights_of(self.tuned.model, "tower.")
        return state, arrays

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        self.tuned = None
        super()._restore(state, arrays, folder)
        if any(name.startswith("tower.") for name in arrays):
            self.tuned = self._towers(arrays)
