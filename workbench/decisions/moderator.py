"""Posts in, decisions out: a classifier, its calibration, a policy and the taxonomy, saved together as one bundle.

Study, batch scoring, API and demo all go through `Moderator`, so that a post has the same scores whatever the entry
point. The model id names everything that changes a score; the policy has an id of its own and may change alone.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from workbench import artifacts, models
from workbench.decisions import bundle, card
from workbench.decisions.drawn import OTHERWISE, Drawn
from workbench.decisions.policy import Assessment, Policy
from workbench.errors import WorkbenchError, unknown
from workbench.metrics.calibration import IDENTITY, Calibrator, calibrator, shift
from workbench.models import Classifier
from workbench.preprocessing.links import extraction
from workbench.preprocessing.text.languages import ReadLanguages
from workbench.schema import INPUTS, MODALITIES, Decision, Post, Taxonomy, as_table, declared, inputs, visible

if TYPE_CHECKING:
    from workbench.decisions.out_of_distribution import OutOfDistribution
    from workbench.features.store import FeatureStore

__all__ = ["Assessment", "Moderator"]
_CONTEXT = ("community", "language", "region", "created_at")  # what a policy and a deadline may depend on


class Moderator:
    """A fitted classifier with what makes its scores probabilities and its probabilities decisions.

    Attributes:
        labels: the labels it decides about, those that training posts have; a service may narrow them (`only`).
        lines: label -> calibration; prevalence: label -> share of positives at which the probabilities hold.
        detector: what says how unusual a post is, or None (`with_detector`).
        languages: those that the model reads, or None where texts are judged whatever their language
            (`with_languages`).
        serving: label -> the prevalence that they were shifted to; empty where they were not.
        drawn: label -> how its validation posts were drawn; empty where that is not recorded.
        at_site: whether probabilities are those of `drawn`, which hold at the site's mix of posts.
        card: what people should know of it, plain JSON.
        lists: which links are suspicious; those of `data/links.yaml`, as a policy is: no part of what the model learnt.
    """

    def __init__(
        self,
        classifier: Classifier,
        lines: Mapping[str, Calibrator],
        policy: Policy,
        *,
        prevalence: Mapping[str, float | None] | None = None,
        drawn: Mapping[str, Drawn] | None = None,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        self.classifier, self.taxonomy = classifier, classifier.taxonomy
        names = self.taxonomy.names
        self.lines = {name: lines.get(name, IDENTITY) for name in names}
        self.prevalence = {name: (prevalence or {}).get(name) for name in names}
        self.serving: dict[str, float] = {}
        self.drawn, self.at_site = dict(drawn or {}), False
        self.labels = tuple(name for name, trained in zip(names, classifier.trained, strict=True) if trained)
        policy.check(self.labels, f"model {classifier.name!r}")
        self.detector: OutOfDistribution | None = None
        self.languages: ReadLanguages | None = None
        self.lists = extraction.LinkLists.load()
        self.policy, self.card = self.able(policy), dict(card or {})

    # ---------------------------------------------------------------------------------------------------- identity

    @property
    def modalities(self) -> tuple[str, ...]:
        """What of a post the model looks at."""
        return self.classifier.modalities

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of `INPUTS` that scores and gaps depend on; all media, as what is not looked at is reported.

        What a policy alone looks at is none of them: it can be applied to recorded scores.
        """
        wanted = {*MODALITIES, *self.classifier.columns, *(("language",) if self.languages is not None else ())}
        return tuple(name for name in INPUTS.names if name in wanted)

    @cached_property
    def model_id(self) -> str:
        """The model's name and twelve hex digits over everything that changes a score; the policy is no part of it."""
        with tempfile.TemporaryDirectory(prefix="model-") as place:
            self.classifier.save(Path(place) / bundle.MODEL)
            return self._model_id(bundle.model_digest(Path(place) / bundle.MODEL))

    def _model_id(self, digest: str) -> str:
        parts = {
            "model": digest,
            "lines": [[*self.lines[name].numbers, self._shift(name)] for name in self.taxonomy.names],
        }
        if self.at_site:
            parts["site"] = {name: drawn.line.numbers for name, drawn in self.drawn.items()}
        if self.languages is not None:
            parts["languages"] = self.languages.digest
        text = json.dumps(parts, sort_keys=True)
        return f"{self.classifier.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    # ----------------------------------------------------------------------------------------------------- scoring

    def probabilities(self, posts: pa.Table) -> np.ndarray:
        """Return calibrated probabilities (n_posts, n_labels) float64, columns as `taxonomy.names`, NaN where unread.

        A label that the model was not trained for has its training prevalence, or NaN; see `labels`.
        """
        return self.calibrated(self.classifier.logits(self._judged(inputs(posts))[0]))

    def calibrated(self, logits: np.ndarray) -> np.ndarray:
        """Return the probabilities (n_posts, n_labels) float64 that the classifier's logits stand for."""
        columns = [self.lines[name](logits[:, k]) + self._shift(name) for k, name in enumerate(self.taxonomy.names)]
        if self.at_site:
            columns = [
                self.drawn[name].line(column) if name in self.drawn else column
                for name, column in zip(self.taxonomy.names, columns, strict=True)
            ]
        return expit(np.stack(columns, axis=1))

    def _shift(self, label: str) -> float:
        return shift(self.prevalence[label], self.serving[label]) if label in self.serving else 0.0

    def assess(self, posts: pa.Table | Sequence[Post]) -> list[Assessment]:
        """Return what is known of each post before any policy."""
        table = inputs(posts) if isinstance(posts, pa.Table) else as_table(posts)
        if not len(table):
            return []
        places = [self.taxonomy.names.index(label) for label in self.labels]
        judged, foreign = self._judged(table)
        made, there = self.classifier.predict(judged), declared(table)
        strange = None if self.detector is None else self.detector.look(judged)  # whichever policy will judge it
        probs = self.calibrated(made.logits)[:, places].tolist()
        undone, alike = (None if some is None else some[:, places].tolist() for some in (made.variants, made.alike))
        unseen = {name: there[name].tolist() for name in MODALITIES if name not in self.modalities}
        context = [table[name].to_pylist() for name in ("post_id", "text", *_CONTEXT)]
        reports = pc.struct_field(table["engagement"], "reports").to_pylist()
        assessments = []
        for row, (post_id, text, community, language, region, created_at) in enumerate(zip(*context, strict=True)):
            scores = dict(zip(self.labels, probs[row], strict=True))
            assessments.append(
                Assessment(
                    post_id=post_id,
                    scores={label: score for label, score in scores.items() if score == score},
                    missing=tuple(label for label, score in scores.items() if score != score),
                    unread=foreign.get(row, {})
                    | {name: why[row] for name, why in made.unread.items() if why[row] is not None},
                    unseen=tuple(name for name, has in unseen.items() if has[row]),
                    variants={} if undone is None else _told(self.labels, undone[row]),
                    alike={} if alike is None else _told(self.labels, alike[row]),
                    moved={}
                    if made.moved is None
                    else _told(self.labels, [made.moved.words(row, k) or None for k in places]),
                    links=extraction.findings(text, self.lists),
                    out_of_distribution=None
                    if strange is None or strange.where(row) is None
                    else float(strange.share[row]),
                    out_of_distribution_in=None if strange is None else strange.where(row),
                    reports=None if reports[row] is None else max(reports[row], 0),
                    region=region,
                    language=language,
                    created_at=created_at,
                    community=community,
                )
            )
        return assessments

    def _judged(self, table: pa.Table) -> tuple[pa.Table, dict[int, dict[str, str]]]:
        """Return the posts without texts in a language that is not read; row -> why its text is not judged."""
        if self.languages is None or "text" not in self.modalities:
            return table, {}
        given = zip(table["text"].to_pylist(), table["language"].to_pylist(), strict=True)
        whys = [self.languages.unread(text, tag) if visible(text) else None for text, tag in given]
        read = pc.if_else(pa.array([why is None for why in whys]), table["text"], pa.scalar(None, pa.string()))
        judged = table.set_column(table.schema.get_field_index("text"), table.schema.field("text"), read)
        return judged, {row: {"text": why} for row, why in enumerate(whys) if why is not None}

    def decide(self, posts: pa.Table | Sequence[Post]) -> list[Decision]:
        """Return the decision about each post."""
        return [self.policy.judge(assessment, self.taxonomy, self.model_id) for assessment in self.assess(posts)]

    # ---------------------------------------------------------------------------------------------------- variants

    def with_policy(self, policy: Policy) -> Self:
        """Return the same model under another policy."""
        policy.check(self.labels, f"model {self.classifier.name!r}")
        return self._changed(policy=self.able(policy))

    def with_detector(self, detector: OutOfDistribution) -> Self:
        """Return the same model with a detector of unusual posts, which a policy can ask (`out_of_distribution_at`)."""
        return self._changed(detector=detector)

    def with_languages(self, languages: ReadLanguages) -> Self:
        """Return the same model for texts of some languages; a text in another one is unread and goes to a person."""
        return self._served(languages=languages)

    def able(self, policy: Policy) -> Policy:
        """Return a policy that this model can follow; raises WorkbenchError where it asks for what there is not."""
        if policy.out_of_distribution_at is not None and self.detector is None:
            raise WorkbenchError(
                f"policy {policy.id} asks how unusual posts are (out_of_distribution_at), but model "
                f"{self.classifier.name!r} has no detector; give it one by `with_detector`, or set "
                "out_of_distribution_at to null"
            )
        return policy

    def described(self, card: Mapping[str, Any]) -> Self:
        """Return the same moderator with another card."""
        return self._changed(card=dict(card))

    def only(self, labels: Sequence[str]) -> Self:
        """Return the same model and policy for some of the labels."""
        for label in labels:
            if label not in self.labels:
                raise WorkbenchError(unknown(f"label of model {self.classifier.name!r}", label, self.labels))
        kept = tuple(label for label in self.labels if label in labels)
        return self._changed(labels=kept, policy=self.policy.only(kept))

    def serve_at_prevalence(self, prevalence: Mapping[str, float]) -> Self:
        """Return the same model with probabilities that hold at other shares of positives; other labels' stay.

        Thresholds stay what they are as probabilities; precision and recall measured at them no longer hold. Raises
        WorkbenchError for a label or share that is none, and where more than the share would have to change: validation
        was drawn by more than the label. Where `drawn` does not record that, it is taken for label shift.
        """
        for label, share in prevalence.items():
            if label not in self.taxonomy.names:
                raise WorkbenchError(f"prevalence: {unknown('label', label, self.taxonomy.names)}")
            base = self.prevalence[label]
            if base is None or not 0 < base < 1:
                raise WorkbenchError(f"it is not known at which prevalence the probabilities of {label!r} hold")
            if not 0 < share < 1:
                raise WorkbenchError(f"the prevalence of {label!r} must be above 0 and below 1, not {share:g}")
            if label in self.drawn and not self.drawn[label].by_label:
                raise WorkbenchError(f"the probabilities of {label!r} cannot be moved: {OTHERWISE}")
        if self.at_site:
            raise WorkbenchError("the probabilities hold at the site's mix already; move the bundle that was fitted")
        return self._served(serving={**self.serving, **prevalence})

    def serve_at_site(self) -> Self:
        """Return the same model with probabilities calibrated by validation's weights, which hold at the site's mix.

        Raises WorkbenchError where they are those that it has, or were moved to some prevalence.
        """
        if not self.drawn:
            raise WorkbenchError("the bundle does not record how its validation posts were drawn; run the study again")
        if self.serving or self.at_site:
            raise WorkbenchError("the probabilities were moved already; move the bundle that was fitted")
        if not any(drawn.moves for drawn in self.drawn.values()):
            few = [f"{label}: {drawn.line.note}" for label, drawn in self.drawn.items() if drawn.line.note]
            stay = "calibrated by the weights of validation they stay as they are, so serve the bundle itself"
            raise WorkbenchError("; ".join([f"there is nothing to move: {stay}", *few]))
        return self._served(at_site=True)

    def _served(self, **changes: Any) -> Self:
        """Return the same model with other probabilities and so another id."""
        changed = self._changed(**changes)
        changed.__dict__.pop("model_id", None)
        digest = getattr(self, "_digest", None)
        if digest:
            changed.model_id = changed._model_id(digest)
        return changed

    def _changed(self, **changes: Any) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, **changes)
        return other

    # ------------------------------------------------------------------------------------------------------ on disk

    def save(self, folder: Path | str) -> None:
        """Write the bundle, in the place of an earlier one."""

        def parts(fresh: Path) -> None:
            self.classifier.save(fresh / bundle.MODEL)
            self._digest = bundle.model_digest(fresh / bundle.MODEL)
            self.model_id = head["model_id"] = self._model_id(self._digest)
            self.policy.dump(fresh / bundle.POLICY)
            if self.detector is not None:
                self.detector.save(fresh / bundle.DETECTOR)
            if self.languages is not None:
                self.languages.save(fresh / bundle.LANGUAGES)
            (fresh / bundle.README).write_text(card.readme(head, self.policy), encoding="utf-8")

        head = self._head()
        artifacts.write(folder, bundle.BUNDLE, head, parts)

    def _head(self) -> dict[str, Any]:
        untrained = [name for name in self.taxonomy.names if name not in self.labels]
        return {
            "model": self.classifier.name,
            "options": self.classifier.options.model_dump(mode="json"),
            "modalities": list(self.modalities),
            "labels": list(self.labels),
            "out_of_scope": untrained,
            **({} if self.languages is None else {"languages": list(self.languages.tags)}),
            "taxonomy": {"fingerprint": self.taxonomy.fingerprint, **self.taxonomy.model_dump(mode="json")},
            "calibration": {name: line._asdict() for name, line in self.lines.items()},
            "prevalence": self.prevalence,
            "serving": self.serving,
            "drawn": {label: drawn.saved for label, drawn in self.drawn.items()},
            "at_site": self.at_site,
            "card": self.card,
        }

    @classmethod
    def load(cls, folder: Path | str, *, store: FeatureStore | None = None, taxonomy: Taxonomy | None = None) -> Self:
        """Return the moderator saved in a folder, with the bundle's own taxonomy unless one is given.

        Raises TaxonomyMismatch for another taxonomy's bundle and WorkbenchError, in one sentence, for a damaged or
        changed folder, a file that does not belong there, and a policy that does not fit.
        """
        folder = Path(folder)
        head = bundle.read(folder)
        taxonomy = bundle.taxonomy(head, folder, taxonomy)
        if store is None:
            from workbench.features.store import FeatureStore

            store = FeatureStore(None)
        policy = Policy.load(folder / bundle.POLICY)
        classifier = models.load(folder / bundle.MODEL, taxonomy=taxonomy, store=store)
        lines = {name: calibrator(line) for name, line in head["calibration"].items()}
        policy.check(head["labels"], f"the bundle in {folder}")
        policy = policy.only(head["labels"])
        quiet = policy.model_copy(update={"out_of_distribution_at": None})  # until the detector is there
        # bundles of earlier versions do not record how validation was drawn
        drawn = {label: Drawn.parse(saved) for label, saved in head.get("drawn", {}).items()}
        made = cls(classifier, lines, quiet, prevalence=head["prevalence"], drawn=drawn, card=head["card"])
        if (folder / bundle.DETECTOR).is_dir():
            from workbench.decisions.out_of_distribution import OutOfDistribution

            made.detector = OutOfDistribution.load(folder / bundle.DETECTOR, store=store)
        if (folder / bundle.LANGUAGES).is_dir():
            made.languages = ReadLanguages.load(folder / bundle.LANGUAGES)
        made.policy = made.able(policy)
        made.serving, made.at_site = dict(head["serving"]), head.get("at_site", False)
        made._digest = bundle.model_digest(folder / bundle.MODEL)
        made.model_id = made._model_id(made._digest)
        return made


def _told(labels: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Return the labels of whose score there is something to tell, with what it is."""
    return {label: value for label, value in zip(labels, values, strict=True) if value is not None}
