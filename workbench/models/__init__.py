"""Classifiers: the MODELS table and the contract that every one of them keeps.

A classifier gets posts and returns one logit per label. `MODELS` names them; `create` makes one, `load` brings a saved
one back. To add a model, write a `Classifier` in a module of its own and add its line to the table; modules meet only
through the table, never by importing one another. Importing this package imports no torch.

The contract (tests/models/test_contract.py holds every model in the table to it):
- `modalities` says which content of a post a model looks at; fitting may drop what no training post has. `columns` are
  all columns of `schema.INPUTS` that its scores depend on: the modalities unless a model says more (author, region).
  `fit(train, validation, seed=...)` learns from a corpus table and may use validation to stop or to choose, never to
  fit. `logits(posts)` sees the columns of `schema.INPUTS` only.
- `logits` is float32 (n_posts, n_labels), the same for a post whatever its neighbours and the order. A model scores
  from whatever of its modalities the post has and can be read; the row is NaN where nothing of them is readable.
- `predict(posts)` gives the logits together with what is there and could not be read, from one pass over the content,
  so that the two cannot disagree.
- Training takes the raw text (its first window where it is long), the picture as it stands, and all frames of a clip; a
  score is the maximum over all combinations of variants, windows and frames, per label. Without variants (an option) it
  is the maximum over the windows of the raw text: nothing that is read becomes shorter.
- Whatever is random comes from `seed`: the same table and seed give the same model on the same machine.
- An unknown label (`known` False) costs nothing and teaches nothing, whatever `y` says there.
- Where a corpus has soft labels, what learns learns the shares (`fit.targets`, the one place to have targets from), or
  with the option `labels: hard` what most say.
- A label whose known training posts are all of one class is not learnt: every readable post gets the log-odds of its
  smoothed prevalence, (positives + 1/2) / (known + 1). A label without any known training post has NaN for every post:
  a made-up 0.5 would look like evidence, lead to actions, and count as coverage.
- `save` writes a folder of its own (JSON and safetensors with a hash manifest, nothing pickled), `load` refuses what
  was changed, what the manifest does not list, and another taxonomy's models, and gives bit-equal scores.
- Training weights every post alike unless it is asked to draw posts by their weights (`resample`): a corpus's `weight`
  says how it was sampled, and belongs to evaluation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from workbench import artifacts
from workbench.errors import WorkbenchError, unknown
from workbench.models.fit.options import MemberOptions, TargetOptions
from workbench.models.fit.targets import prevalence_logits, resampled, target_matrix, two_classes, without_shares
from workbench.models.prediction import Prediction
from workbench.schema import INPUTS, MODALITIES, Options, Taxonomy

if TYPE_CHECKING:
    from workbench.features import FeatureStore

MODELS: dict[str, str] = {
    "prior": "workbench.models.combine.prior:Prior",
    "text-tfidf": "workbench.models.text.tfidf:TfidfClassifier",
    "text-vectors": "workbench.models.text.vectors:VectorClassifier",
    "text-clip": "workbench.models.heads.clip:TextClip",
    "image-clip": "workbench.models.heads.clip:ImageClip",
    "video-clip": "workbench.models.heads.clip:VideoClip",
    "image-timm": "workbench.models.vision.timm:ImageTimm",
    "late-fusion": "workbench.models.combine.ensemble:LateFusionClassifier",
    "clip-concat": "workbench.models.heads.clip:ClipConcat",
    "clip-cross": "workbench.models.heads.clip:ClipCross",
    "clip-align": "workbench.models.heads.clip:ClipAlign",
    "clip-attention": "workbench.models.heads.cross_attention:ClipAttention",
    "clip-finetune": "workbench.models.heads.finetune:ClipFinetune",
    "clip-retrieval": "workbench.models.heads.retrieval:ClipRetrieval",
    "picture-words": "workbench.models.vision.ocr:PictureWords",
    "image-opennsfw": "workbench.models.vision.opennsfw:OpenNsfw",
    "scores": "workbench.models.combine.scores:ScoresClassifier",
    "text-tokens": "workbench.models.text.tokens:TokensClassifier",
    "author-profile": "workbench.models.tabular.author:AuthorProfile",
    "misinformation": "workbench.models.tabular.misinformation:Misinformation",
    "ensemble": "workbench.models.combine.ensemble:Ensemble",
    "per-group": "workbench.models.combine.per_group:PerGroup",
    "text-transformer": "workbench.models.text.transformer:Transformer",
    "text-hashing": "workbench.models.text.hashing:HashingClassifier",
    "clip-zeroshot": "workbench.models.heads.zeroshot:ClipZeroShot",
    "vlm-prompt": "workbench.models.vision.vlm:VlmPrompt",
}


class Classifier(ABC):
    """One logit per label for a post; subclasses write `_fit`, `_predict`, and `_state` and `_restore` for the disk.

    Attributes:
        name: its name in MODELS; options: parsed; taxonomy: whose labels it scores; store: where features come from.
        modalities: what of a post it looks at, in the order of `schema.MODALITIES`; it may depend on the options, and
            shrink when fitting.
        seeded: whether learning itself depends on the seed (`varies`: whether anything does).
        learns: whether posts with labels are needed to make it, as they are for nearly all.
        extra: the optional extra of the installation without which it can neither be fitted nor loaded, or None.
        made_of: the option that holds the `MemberOptions` of the models that it is made of, one or several; or None.
        search: option name -> values worth trying, for `studies.steps.search`; empty where there is nothing to choose.
        record: what fitting found out (chosen strength, best epoch), plain JSON, saved with the model.
        trained (n_labels,): which labels have known training posts of both classes.
        encoder_digest: what the encoder was when it was trained, of models on one.
    """

    options_class: ClassVar[type[Options]] = TargetOptions
    modalities: tuple[str, ...] = ()
    seeded: bool = True
    learns: ClassVar[bool] = True
    extra: ClassVar[str | None] = None
    made_of: ClassVar[str | None] = None
    encoder_digest: str = ""
    search: ClassVar[dict[str, tuple]] = {}

    def __init__(self, name: str, options: Options, *, taxonomy: Taxonomy, store: FeatureStore | None) -> None:
        self.name, self.options, self.taxonomy, self.store = name, options, taxonomy, store
        self.record: dict[str, Any] = {}
        self.trained = np.zeros(len(taxonomy.names), dtype=bool)
        self.constants: np.ndarray | None = None  # (n_labels,) float32: log-odds of the smoothed prevalence, or NaN

    # ------------------------------------------------------------------------------------------------- the contract

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of `schema.INPUTS` that scores depend on, in their order; the modalities among them."""
        return self.modalities

    @property
    def varies(self) -> bool:
        """Whether the seed can change the model at all; where it cannot, one fit stands for all seeds."""
        return self.seeded or getattr(self.options, "resample", None) is not None

    @property
    def opens(self) -> tuple[str, ...]:
        """The modalities whose files it reads itself, where others ask the store for vectors; its parts' among them."""
        return tuple(name for name in MODALITIES if any(name in part.opens for part in self._parts().values()))

    @property
    def parameters(self) -> int:
        """How many numbers training chose; what is only counted or measured on the way (a mean, an idf) is none."""
        self._require_fitted()
        own = sum(array.size for array in self._state()[1].values())
        return own + sum(part.parameters for part in self._parts().values())

    def parts(self) -> list[Classifier]:
        """Return the models that this one is made of, at any depth."""
        return [model for part in self._parts().values() for model in (part, *part.parts())]

    @property
    def decided(self) -> bool:
        """Whether its scores are decisions already: flagged from log-odds 0 on, with neither calibration nor choice."""
        return False

    def fit(self, train: pa.Table, validation: pa.Table, *, seed: int) -> Self:
        """Learn from the corpus table `train`; `validation` only stops or chooses. Returns the classifier."""
        if getattr(self.options, "labels", None) == "hard":
            train, validation = without_shares(train), without_shares(validation)
        if getattr(self.options, "resample", None) == "weights":
            train, validation = resampled(train, seed), resampled(validation, seed)
        y, known = target_matrix(train, self.taxonomy)
        self.constants, self.trained = prevalence_logits(y, known), two_classes(y, known)
        self.record = {}
        self._fit(train, validation, seed)
        return self

    def logits(self, posts: pa.Table) -> np.ndarray:
        """Return float32 (n_posts, n_labels), NaN rows where nothing is readable; only INPUTS columns are looked at."""
        return self.predict(posts).logits

    def predict(self, posts: pa.Table) -> Prediction:
        """Return the logits, with what could not be read and which variants they are of; only INPUTS columns count."""
        self._require_fitted()
        every: dict[str, list[str | None]] = {name: [None] * len(posts) for name in self.modalities}
        if len(posts) == 0:
            return Prediction(np.empty((0, len(self.taxonomy.names)), np.float32), np.zeros(0, bool), every)
        made = self._predict(posts.select([name for name in INPUTS.names if name in posts.column_names]))
        logits = np.where(self.trained, made.logits, self.constants).astype(np.float32)
        logits[~made.readable] = np.nan
        return replace(made, logits=logits, unread=every | made.unread)

    @classmethod
    def meet(cls, options: Options, taxonomy: Taxonomy, sets: Mapping[str, pa.Table]) -> None:
        """Raise WorkbenchError where it could say nothing of the posts that it is to score, by set."""
        return

    def save(self, folder: Path | str) -> None:
        """Write the fitted model into a folder of its own, in the place of an earlier model there."""
        self._require_fitted()
        state, arrays = self._state()
        head = {
            "model": self.name,
            "options": self.options.model_dump(mode="json"),
            "modalities": list(self.modalities),
            "labels": list(self.taxonomy.names),
            "taxonomy": self.taxonomy.fingerprint,
            "record": self.record,
            "state": state,
        }
        own = {"classifier.constants": self.constants, "classifier.trained": self.trained}
        artifacts.write_model(folder, head, {**own, **arrays}, self._save_parts)

    # ------------------------------------------------------------------------------------------ what subclasses write

    @abstractmethod
    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        """Learn; set more of `trained` to False where need be (from no post: it and `constants`), fill `record`."""

    @abstractmethod
    def _predict(self, posts: pa.Table) -> Prediction:
        """Return scores as logits, and which posts are readable; columns that are not trained are ignored."""

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what was learnt as plain JSON and arrays by name."""
        return {}, {}

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        """Take back what `_state` returned; members lie in `folder`."""
        return

    def _parts(self) -> dict[str, Classifier]:
        """Return the models that this one is made of, by the folder in which each is saved."""
        return {}

    def _save_parts(self, folder: Path) -> None:
        """Write the models that this one is made of into `folder`, and whatever else it needs."""
        for name, part in self._parts().items():
            part.save(folder / name)

    @classmethod
    def of_earlier(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return its own options, saved by an earlier version, as this version has them; `of_earlier` does the rest."""
        return options

    @classmethod
    def files(cls, options: Options) -> list[Path]:
        """Return the files whose content the model depends on, besides corpus and code."""
        return []

    @classmethod
    def members(cls, options: Options) -> list[tuple[str, dict[str, Any]]]:
        """Return name and options of the models that this one is made of."""
        given = getattr(options, cls.made_of) if cls.made_of else ()
        return [(member.name, member.options) for member in (given if isinstance(given, tuple) else (given,))]

    def _new_members(self) -> list[Classifier]:
        """Return the models that this one is made of, untrained."""
        return [create(*member, taxonomy=self.taxonomy, store=self.store) for member in self.members(self.options)]

    def _load(self, folder: Path) -> Classifier:
        """Return a model that this one is made of, as it was saved."""
        return load(folder, taxonomy=self.taxonomy, store=self.store)

    def _store(self) -> FeatureStore:
        """Return the store; raises WorkbenchError where there is none."""
        if self.store is None:
            raise WorkbenchError(f"model {self.name!r} needs a feature store; pass one to create or load")
        return self.store

    def _encoder(self) -> Any:
        """Return the encoder of its option `encoder`."""
        return self._store().encoder(self.options.encoder)

    def _encoder_digest(self) -> str:
        """Return `identity.encoder_digest` of the encoder; raises WorkbenchError without a store to have it from."""
        from workbench.features.encoders import identity

        return identity.encoder_digest(self._encoder())

    def _take_encoder(self, digest: str, folder: Path) -> None:
        """Take the digest of the encoder that it learnt on; raises WorkbenchError where the one at hand is another."""
        from workbench.features.encoders import identity

        self.encoder_digest = digest
        identity.same_encoder(f"the model in {folder}", digest, self._encoder_digest(), self.options.encoder)

    def _require_fitted(self) -> None:
        if self.constants is None:
            raise WorkbenchError(f"model {self.name!r} is not trained yet; call fit first, or load a saved model")


# ------------------------------------------------------------------------------------------------------------ by name


def create(
    name: str, options: dict[str, Any] | None = None, *, taxonomy: Taxonomy, store: FeatureStore | None
) -> Classifier:
    """Return an untrained classifier; raises WorkbenchError for an unknown name or option."""
    return _class(name)(name, parse(name, options), taxonomy=taxonomy, store=store)


def check(name: str, options: dict[str, Any] | None = None) -> None:
    """Raise WorkbenchError, in one sentence, for an unknown model, option or encoder; builds and loads nothing."""
    artefacts(name, options)


def parse(name: str, options: dict[str, Any] | None = None) -> Options:
    """Return a model's options; raises WorkbenchError for an unknown model or option, its members' too."""
    kind = _class(name)
    parsed = kind.options_class.parse(options, f"options of model {name!r}")
    for member in kind.members(parsed):
        parse(*member)
    return parsed


def members(name: str, options: dict[str, Any] | None = None) -> list[tuple[str, Options]]:
    """Return name and options of the models that a model is made of; raises WorkbenchError as `parse` does."""
    return [(member, parse(member, given)) for member, given in _class(name).members(parse(name, options))]


def meet(name: str, options: dict[str, Any] | None, taxonomy: Taxonomy, sets: Mapping[str, pa.Table]) -> None:
    """Raise WorkbenchError where a model, or a member of it, could say nothing of the posts that it is to score."""
    kind, parsed = _class(name), parse(name, options)
    kind.meet(parsed, taxonomy, sets)
    for member in kind.members(parsed):
        meet(*member, taxonomy, sets)


def of_earlier(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a model that an earlier version saved, and of its members, as this version has them."""
    kind = _class(name)
    options = kind.of_earlier(options)
    if kind.made_of in options:
        given = options[kind.made_of]
        parsed = [MemberOptions.model_validate(member) for member in (given if isinstance(given, list) else [given])]
        now = [{"name": member.name, "options": of_earlier(member.name, member.options)} for member in parsed]
        options = {**options, kind.made_of: now if isinstance(given, list) else now[0]}
    return options


def artefacts(name: str, options: dict[str, Any] | None = None) -> list[Path]:
    """Return the files whose content a model depends on: its encoder's, a file of scores, its members' too.

    Raises WorkbenchError where one of them names an encoder that does not exist.
    """
    parsed, kind = parse(name, options), _class(name)
    inner = [path for member in kind.members(parsed) for path in artefacts(*member)]
    return list(dict.fromkeys([*kind.files(parsed), *inner]))


def entries(name: str, options: dict[str, Any] | None = None) -> list[str]:
    """Return what MODELS names for a model and its members, as "module:Class"."""
    names = [_entry(name)]
    for member in _class(name).members(parse(name, options)):
        names += entries(*member)
    return list(dict.fromkeys(names))


def load(folder: Path | str, *, taxonomy: Taxonomy, store: FeatureStore | None) -> Classifier:
    """Return the classifier saved in a folder.

    Raises TaxonomyMismatch for another taxonomy's model, and WorkbenchError for a damaged or changed folder, a
    file that does not belong there (a pickle), an unknown model, and an encoder other than the one it was trained on.
    """
    head, arrays = artifacts.read_model(folder)
    taxonomy.check(str(head.get("taxonomy")), f"the model in {folder}", head.get("labels", ()))
    name = head.get("model")
    model = create(name, of_earlier(name, head.get("options") or {}), taxonomy=taxonomy, store=store)
    try:
        model.record, model.modalities = head["record"], tuple(head["modalities"])
        model.constants, model.trained = arrays["classifier.constants"], arrays["classifier.trained"]
        model._restore(head["state"], arrays, Path(folder))
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise WorkbenchError(
            f"the model in {folder} does not fit this version of {name!r} ({' '.join(str(error).split())[:120]}); "
            "train it again"
        ) from None
    return model


def option_names(name: str) -> tuple[str, ...]:
    """Return the names of a model's options; raises WorkbenchError for an unknown model."""
    return tuple(_class(name).options_class.model_fields)


def space(name: str) -> dict[str, tuple]:
    """Return the options of a model that are worth searching, each with its candidates."""
    return dict(_class(name).search)


def learns(name: str) -> bool:
    """Return whether a model is made of posts with labels; raises WorkbenchError for an unknown model."""
    return _class(name).learns


def extra(name: str) -> str | None:
    """Return the optional extra that a model cannot do without; raises WorkbenchError for an unknown model."""
    return _class(name).extra


def _entry(name: str) -> str:
    if name not in MODELS:
        raise WorkbenchError(unknown("model", name, MODELS))
    return MODELS[name]


def _class(name: str) -> type[Classifier]:
    module, _, attribute = _entry(name).partition(":")
    return getattr(import_module(module), attribute)
