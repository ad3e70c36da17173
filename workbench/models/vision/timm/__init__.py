"""A model of pictures on any encoder of pictures, a backbone of timm above all: frozen under a head, or fine-tuned.

Frozen, it is `image-clip` by way of the table, with the same head and options, on features from the store. Fine-tuned,
the network itself learns, from pixels, with the augmentation that its options say; then the store has no part in it.

Rare labels: with `copies`, each training post of a rare label is learnt from so many more times. With `augment` these
are changed copies of its picture, without it plain repeats; the frozen head gets them as rows of the training table
(the store keeps their features like any picture's), fine-tuning draws new changes for every post in every epoch. A
head's own upsampling comes after that, and repeats rows as they are.

Open doubts: fine-tuning decodes each picture again in every epoch unless all fit into HELD; the fine-tuned model needs
the encoder's files when it is loaded, for the shape of the network, although its weights are its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from workbench.features import encoder_files
from workbench.features.encoders.names import Fit, of_pictures, with_fit
from workbench.models import Classifier, Prediction, of_earlier, two_classes
from workbench.models.fit.options import TargetOptions
from workbench.models.fit.targets import target_matrix
from workbench.models.heads.options import FIT
from workbench.preprocessing.image import augmentation
from workbench.preprocessing.image.augmentation import AugmentOptions
from workbench.schema import Options

HEAD = "image-clip"


class BackboneOptions(TargetOptions):
    """The encoder, whether it learns, and from which pictures."""

    encoder: str = Field(
        "tiny",
        description="`timm:resnet18@a1_in1k`, `timm:hf-hub:...`, `timm:` and a folder, or a name of a CLIP: see "
        "`features.names`; `timm:resnet18@random` for untrained weights.",
    )
    fit: Fit | None = FIT
    finetune: bool = Field(False, description="Whether the encoder learns too; if not, only the head on it does.")
    head: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of the head on the frozen encoder: those of `image-clip`; its own `head` alone is enough, "
        "as in `head: logistic`.",
    )
    augment: AugmentOptions | None = Field(
        None, description="How pictures are changed in training: all of them in fine-tuning, and the copies; or null."
    )
    copies: int = Field(0, ge=0, le=100, description="So many more times a training post of a rare label is seen.")
    rare: float = Field(0.05, gt=0, le=1, description="A label is rare if under this share of its known posts hold it.")
    epochs: int = Field(8, ge=1, le=1000, description="Most passes over the training posts in fine-tuning.")
    lr: float = Field(3e-4, gt=0, le=1, description="Learning rate of AdamW in fine-tuning; ten times it for the head.")
    weight_decay: float = Field(0.05, ge=0, description="Weight decay of AdamW in fine-tuning.")
    batch_size: int = Field(32, ge=2, description="Posts per step of fine-tuning.")
    patience: int = Field(3, ge=1, description="Epochs without a better validation loss before fine-tuning stops.")

    @field_validator("head", mode="before")
    @classmethod
    def _a_kind_is_enough(cls, value: Any) -> Any:
        return {"head": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_encoder(self) -> Self:
        if "encoder" in self.head:
            raise ValueError("the encoder stands beside `head`, not in it")
        return self

    @property
    def full_name(self) -> str:
        """The encoder's name with its fit."""
        return with_fit(of_pictures(self.encoder), self.fit)


class ImageTimm(Classifier):
    """Pictures by a backbone, frozen or fine-tuned."""

    options_class = BackboneOptions
    options: BackboneOptions
    modalities = ("image",)
    search: ClassVar[dict[str, tuple]] = {"copies": (0, 3), "lr": (1e-4, 3e-4, 1e-3)}

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.network: Any = None
        self.head: Classifier | None = None

    @classmethod
    def files(cls, options: BackboneOptions) -> list[Path]:
        return encoder_files(options.full_name)

    @classmethod
    def members(cls, options: BackboneOptions) -> list[tuple[str, dict[str, Any]]]:
        return [] if options.finetune else [(HEAD, {**options.head, "encoder": options.full_name})]

    @classmethod
    def of_earlier(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return saved options with those of the head as they are now."""
        return {**options, "head": of_earlier(HEAD, options["head"])} if "head" in options else options

    def _encoder(self) -> Any:
        return self._store().encoder(self.options.full_name)

    # ------------------------------------------------------------------------------------------------ fit and score

    @property
    def opens(self) -> tuple[str, ...]:  # type: ignore[override]
        """A network that was fine-tuned reads pictures itself."""
        return () if self.network is None else ("image",)

    @property
    def parameters(self) -> int:
        """Those of the head on the frozen backbone, or of the whole network that was fine-tuned."""
        if self.network is None:
            return super().parameters
        return sum(weights.numel() for weights in self.network.parameters())

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        self.network, self.head, self.encoder_digest = None, None, self._encoder_digest()
        y, known = target_matrix(train, self.taxonomy)
        rare = augmentation.rare_rows(y, known, self.options.rare) if self.options.copies else np.empty(0, np.int64)
        if self.options.finetune:
            self._finetune(train, validation, rare, seed)
            return
        table = self._with_copies(train, rare, seed)
        self.head = self._new_members()[0].fit(table, validation, seed=seed)
        self.trained &= self.head.trained
        self.modalities = self.head.modalities
        self.record = {**self.head.record, "copies": len(table) - len(train)}

    def _with_copies(self, train: pa.Table, rare: np.ndarray, seed: int) -> pa.Table:
        """Return the training table and behind it the copies of the rows that hold a rare label."""
        times = self.options.copies
        if not len(rare):
            return train
        if self.options.augment is None:
            return pa.concat_tables([train, train.take(np.repeat(rare, times))])
        from workbench.features.items import Pictures

        pictures, rows, files = Pictures(train.select(["image"])), [], []
        for row in rare.tolist():
            if pictures.keys[row] is None:
                continue
            chances = [augmentation.generator(seed, row, nth) for nth in range(times)]
            made = augmentation.copies(bytes(pictures.fetch(row)), self.options.augment, chances)
            rows += [row] * len(made)
            files += [{"bytes": file, "path": None} for file in made]
        more = train.take(pa.array(rows, pa.int64()))
        column = train.schema.get_field_index("image")
        more = more.set_column(column, train.schema.field("image"), pa.array(files, train.schema.field("image").type))
        return pa.concat_tables([train, more])

    def _finetune(self, train: pa.Table, validation: pa.Table, rare: np.ndarray, seed: int) -> None:
        from workbench.models.vision.timm import finetuning

        shown, watched = (finetuning.Pixels(table, self._encoder().fit) for table in (train, validation))
        readable = shown.readable
        self.modalities = type(self).modalities if readable.any() else ()
        y, known = target_matrix(train, self.taxonomy)
        self.trained &= two_classes(y[readable], known[readable])
        if not self.trained.any():
            self.record = {"epochs": 0}
            return
        rows = np.concatenate([np.flatnonzero(readable), np.repeat(rare[readable[rare]], self.options.copies)])
        self.network = finetuning.Network.on(self._encoder(), len(self.taxonomy.names), seed)
        labels = target_matrix(validation, self.taxonomy)
        examples = finetuning.PictureExamples(shown, rows, y, known & self.trained)
        held_out = np.flatnonzero(watched.readable)
        held_out = finetuning.PictureExamples(watched, held_out, labels[0], labels[1] & self.trained)
        self.record = finetuning.fit(self.network, examples, held_out, self.options, seed)

    def _predict(self, posts: pa.Table) -> Prediction:
        if self.head is not None:
            return self.head._predict(posts)
        from workbench.models.vision.timm import finetuning

        if not self.modalities:
            nothing = np.zeros((len(posts), len(self.taxonomy.names)), np.float32)
            return Prediction(nothing, np.zeros(len(posts), bool))
        pixels = finetuning.Pixels(posts, self._encoder().fit)
        scores, readable, reasons = finetuning.scores(self.network, pixels, len(self.taxonomy.names))
        return Prediction(scores, readable, {"image": reasons})

    # ------------------------------------------------------------------------------------------------------ the disk

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        weights = {} if self.network is None else self.network.weights()
        kind = "frozen" if self.head is not None else "fine-tuned" if self.network is not None else "nothing"
        return {"encoder": self.encoder_digest, "kind": kind}, {f"network.{name}": a for name, a in weights.items()}

    def _parts(self) -> dict[str, Classifier]:
        return {} if self.head is None else {"head": self.head}

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        self._take_encoder(state["encoder"], folder)
        if state["kind"] == "frozen":
            self.head = self._load(folder / "head")
        elif state["kind"] == "fine-tuned":
            from workbench.models.vision.timm import finetuning

            self.network = finetuning.Network.on(self._encoder(), len(self.taxonomy.names), 0)
            prefix = "network."
            self.network.take_weights({n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)})
