"""What a CLIP says of a post without any training: how much nearer it is to prompts of harm than to harmless ones.

Prompts are data (`data/prompts.yaml`): for each label, what harm looks like and what it does not, put into each of some
templates. A prompt's vector is the mean over its templates, of length 1. A text, a picture or a frame is compared with
all prompts of a label; its logit is log sum exp of `scale` times the cosines with the harmful ones, less the same for
the harmless ones: the log-odds of harm under CLIP's own softmax over the prompts. A post counts by its highest part.

No label is looked at, so one class or an unknown label in training changes nothing. A label without prompts is unknown
for every post (NaN), with a sentence in the log: nothing was said about it.

Source: Radford et al. 2021, Learning Transferable Visual Models, https://arxiv.org/abs/2103.00020, section 3.1.4 (an
ensemble of templates in embedding space). Open doubt: a text is compared with descriptions of pictures.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from workbench.errors import WorkbenchError
from workbench.features import encoder_files
from workbench.models import Classifier, Prediction
from workbench.models.fit.options import VARIANTS
from workbench.models.heads.bags import Vectors, reasons
from workbench.schema import MODALITIES, Options, Taxonomy, declared, located, read_yaml

log = logging.getLogger(__name__)


class Sides(Options):
    """What a label's harm looks like, and what it does not."""

    harmful: tuple[str, ...] = Field(min_length=1, description="Descriptions of posts that have the label.")
    benign: tuple[str, ...] = Field((), description="Descriptions of posts that do not, beside those for all labels.")


class Prompts(Options):
    """The file of prompts."""

    templates: tuple[str, ...] = Field(("{}",), min_length=1, description="Sentences with {} for a description.")
    benign: tuple[str, ...] = Field((), description="Descriptions of harmless posts, for all labels.")
    contrast: bool = Field(
        True, description="Whether what is harmful under another label is on a label's harmless side."
    )
    labels: dict[str, Sides] = Field(description="By name of label.")

    def of(self, label: str) -> dict[str, tuple[str, ...]]:
        """Return a label's harmful and harmless descriptions; nothing for a label that the file does not have."""
        if label not in self.labels:
            return {}
        mine = self.labels[label].harmful
        others = [p for name, sides in self.labels.items() if self.contrast and name != label for p in sides.harmful]
        benign = dict.fromkeys([*self.benign, *self.labels[label].benign, *others])
        return {"harmful": mine, "benign": tuple(p for p in benign if p not in mine)}


class ZeroShotOptions(Options):
    """Which encoder, which prompts, how sharply they are told apart."""

    encoder: str = Field("tiny", description="The encoder's name: `tiny`, an open_clip name with weights, or a folder.")
    prompts: str = Field("data/prompts.yaml", description="The YAML file; a relative path starts here or at the root.")
    scale: float = Field(100.0, gt=0, le=10_000, description="What cosines are multiplied by: one over temperature.")
    modalities: tuple[Literal["text", "image", "video"], ...] = Field(
        MODALITIES, min_length=1, description="What of a post is compared with the prompts."
    )
    variants: bool = VARIANTS


class ClipZeroShot(Classifier):
    """Similarity to prompts; nothing is learnt."""

    options_class = ZeroShotOptions
    options: ZeroShotOptions
    seeded = False
    learns = False

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.modalities = tuple(name for name in MODALITIES if name in self.options.modalities)
        self.vectors = np.zeros((0, 0), np.float32)  # (n_prompts, dim)
        self.sides: list[dict[str, list[int]]] = []  # per label, its prompts' rows in `vectors`

    @classmethod
    def files(cls, options: ZeroShotOptions) -> list[Path]:
        return [located(options.prompts), *encoder_files(options.encoder)]

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        """Embed the prompts, whatever the tables hold."""
        prompts = read(self.options.prompts, self.taxonomy)
        self.encoder_digest = self._encoder_digest()
        index: dict[str, int] = {}
        self.sides = []
        for name in self.taxonomy.names:
            texts = prompts.of(name)
            self.sides.append({s: [index.setdefault(p, len(index)) for p in some] for s, some in texts.items()})
        self.vectors = self._embed(list(index), prompts.templates)
        self.trained = np.array([bool(sides) for sides in self.sides])
        self.constants = np.where(self.trained, 0.0, np.nan).astype(np.float32)
        without = [n for n, there in zip(self.taxonomy.names, self.trained, strict=True) if not there]
        if without:
            log.warning("%s has no prompts for %s; posts get no score there", self.options.prompts, ", ".join(without))
        self.record = {"prompts": len(index), "templates": len(prompts.templates)}

    def _embed(self, prompts: list[str], templates: tuple[str, ...]) -> np.ndarray:
        """Return the prompts' vectors (n_prompts, dim), each the mean over its templates, of length 1."""
        texts = [template.replace("{}", prompt) for prompt in prompts for template in templates]
        blocks = self.store.text(self.options.encoder, pa.table({"text": pa.array(texts, pa.string())}))
        vectors = _unit(blocks.first())
        unread = np.flatnonzero(np.isnan(vectors).any(axis=1))
        if len(unread):
            raise WorkbenchError(f"encoder {self.options.encoder!r} cannot read the prompt {texts[unread[0]]!r}")
        return _unit(vectors.reshape(len(prompts), len(templates), -1).mean(axis=1))

    def _predict(self, posts: pa.Table) -> Prediction:
        there, n = declared(posts), len(posts)
        scores, unread = np.full((n, len(self.sides)), -np.inf, np.float32), {}
        readable = np.zeros(n, bool)
        for name in self.modalities:
            blocks = getattr(self.store, name)(self.options.encoder, posts)
            vectors = Vectors.of(blocks, there[name])
            vectors = vectors if self.options.variants else vectors.raw()
            some = vectors.count > 0
            unread[name] = reasons(posts, name, blocks, vectors, self.options.variants)
            if some.any():
                highest = np.maximum.reduceat(self._rows(vectors.values), vectors.start[some], axis=0)
                scores[some] = np.maximum(scores[some], highest)
            readable |= some
        return Prediction(np.where(readable[:, None], scores, 0.0), readable, unread)

    def _rows(self, values: np.ndarray) -> np.ndarray:
        """Return the log-odds (n_rows, n_labels) of vectors (n_rows, dim)."""
        cosines = self.options.scale * (_unit(values) @ self.vectors.T)
        out = np.zeros((len(values), len(self.sides)), np.float32)
        for k, sides in enumerate(self.sides):
            if sides:
                harmful, benign = (np.logaddexp.reduce(cosines[:, sides[s]], axis=1) for s in ("harmful", "benign"))
                out[:, k] = harmful - benign
        return out

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"sides": self.sides, "encoder": self.encoder_digest}, {"vectors": self.vectors}

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        self.sides, self.vectors = state["sides"], arrays["vectors"]
        self._take_encoder(state["encoder"], folder)


def read(path: str, taxonomy: Taxonomy) -> Prompts:
    """Return a file's prompts; raises WorkbenchError for a template without a place and a file without our labels.

    Labels that the taxonomy does not have are left alone: one file may serve several.
    """
    prompts = Prompts.parse(read_yaml(located(path)), f"prompts {path}")
    wrong = [template for template in prompts.templates if "{}" not in template]
    if wrong:
        raise WorkbenchError(f"prompts {path}: template {wrong[0]!r} has no {{}} for the description; add it")
    for name in prompts.labels:
        sides = prompts.of(name)
        if not all(p.strip() for some in sides.values() for p in some):
            raise WorkbenchError(f"prompts {path}: label {name!r} has a blank prompt; write or delete it")
        if not sides["benign"]:
            raise WorkbenchError(f"prompts {path}: label {name!r} has nothing harmless to compare with; add `benign`")
    if not set(prompts.labels) & set(taxonomy.names):
        raise WorkbenchError(
            f"prompts {path} has none of the labels {', '.join(taxonomy.names)} (it has {', '.join(prompts.labels)})"
        )
    return prompts


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
