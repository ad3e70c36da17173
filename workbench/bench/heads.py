"""`workbench bench heads`: the default head on an encoder's vectors against logistic regression of scikit-learn's.

Per feature space both learn from the same vectors of the same posts and choose on the same validation posts, and the
difference in ROC AUC on the test posts, the mean over labels and over seeds of the head, has a 95 % interval of a
paired bootstrap by group. scikit-learn gets standardised vectors, for a pair of sides one beside the other (an absent
one as its mean, with a flag), and per label the C, of those that a logistic head chooses from, with the best ROC AUC
or, beside it, log loss on validation. Posts are scored as they stand, without variants.

Corpora are those of studies in `experiments/`, divided anew; a space whose data or encoder are not at hand is a row
that says what is missing. Open doubt: one split a space; another one gives other numbers within the interval.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import Field

from workbench.bench import write
from workbench.errors import WorkbenchError, unknown
from workbench.metrics.classification import Curve
from workbench.metrics.intervals import bootstrap, difference_interval, group_codes
from workbench.metrics.ranking import Ranking
from workbench.models.heads.options import STRENGTHS
from workbench.schema import ROOT, Options, Taxonomy, declared, expand, label_matrix

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.features import FeatureStore

PICTURE = "timm:tf_efficientnet_lite0@${WORKBENCH_PICTURE_ENCODER}"
TEXT = "${WORKBENCH_TEXT_ENCODER}"
WAYS = ("ROC AUC", "log loss")  # by which scikit-learn's C is chosen on validation


class FeatureSpace(NamedTuple):
    """A corpus of a study, a model with its options, and the encoder of each modality as the feature store names it."""

    study: str
    model: str
    options: dict[str, Any]


SPACES = {
    "synthetic text and picture": FeatureSpace("quickstart", "clip-concat", {"encoder": "tiny"}),
    "EDOS text": FeatureSpace("edos", "text-transformer", {"encoder": TEXT}),
    "ConvAbuse text": FeatureSpace("convabuse", "text-transformer", {"encoder": TEXT}),
    "Harm-C text": FeatureSpace("harmeme", "text-transformer", {"encoder": TEXT}),
    "Harm-C picture": FeatureSpace("harmeme", "image-timm", {"encoder": PICTURE}),
    "Harm-C text and picture": FeatureSpace("harmeme", "clip-concat", {"text_encoder": TEXT, "image_encoder": PICTURE}),
}


class HeadBench(Options):
    """How much `bench heads` measures."""

    spaces: tuple[str, ...] = Field((), description="Names of SPACES; empty: all.")
    seeds: int = Field(3, ge=1, le=20, description="Trainings of the head.")
    split: dict[str, Any] = Field(
        {"by": "group", "validation": 0.15, "test": 0.25}, description="How a corpus without a split is divided."
    )
    resamples: int = Field(2000, ge=100, description="Of the bootstrap.")
    head: str = Field("auto", description="Which head; another one than the default to see what the choice is worth.")
    device: str = Field("cpu", description="Where encoders and heads compute: auto, cpu or cuda.")


def heads(
    options: HeadBench | None = None, out: Path | None = None, store: FeatureStore | None = None
) -> dict[str, Any]:
    """Measure every space, print a line of each, write it to `out` as JSON, and return that.

    store: where vectors come from, that of studies by default. Raises WorkbenchError for an unknown space.
    """
    from workbench import device
    from workbench.features import FeatureStore

    options = options or HeadBench()
    for name in options.spaces:
        if name not in SPACES:
            raise WorkbenchError(unknown("space", name, SPACES))
    store = store or FeatureStore(device=device.device(options.device))
    rows = [_row(name, options, store) for name in options.spaces or SPACES]
    result = {"options": options.model_dump(mode="json"), "spaces": rows}
    for row in rows:
        print(_line(row))
    return write(result, out)


def _row(name: str, options: HeadBench, store: FeatureStore) -> dict[str, Any]:
    try:
        return {"space": name, **_measured(SPACES[name], options, store)}
    except WorkbenchError as error:
        return {"space": name, "note": str(error)}


def _measured(space: FeatureSpace, options: HeadBench, store: FeatureStore) -> dict[str, Any]:
    """Return ROC AUC of both, their difference with its interval, and what was chosen."""
    from workbench import models

    sets, taxonomy = _posts(space, options)
    own = {"head": options.head, "variants": False}
    given = expand(space.options, "the space") | ({"head": own} if space.model == "image-timm" else own)
    fitted = [
        models.create(space.model, given, taxonomy=taxonomy, store=store).fit(
            sets["train"], sets["validation"], seed=seed
        )
        for seed in range(options.seeds)
    ]
    vectors = {name: _vectors(fitted[0], posts) for name, posts in sets.items()}
    labels = {name: label_matrix(posts, taxonomy) for name, posts in sets.items()}
    plain = {k: _plain(vectors, labels, k) for k in np.flatnonzero(fitted[0].trained).tolist()}
    ours = [model.logits(sets["test"]) for model in fitted]
    lists = [[*(logits[:, k] for logits in ours), *(scores for scores, _ in by.values())] for k, by in plain.items()]
    truths = [tuple(part[:, k] for part in labels["test"]) for k in plain]
    found = {"posts": len(sets["test"]), **_differences(sets["test"], lists, truths, options.resamples)}
    strengths = {taxonomy.names[k]: {how: c for how, (_, c) in by.items()} for k, by in plain.items()}
    return found | {"plain_C": strengths, "records": [model.record for model in fitted]}


def _posts(space: FeatureSpace, options: HeadBench) -> tuple[dict[str, pa.Table], Taxonomy]:
    """Return train, validation and test with the texts and pictures of posts that have one, and the labels."""
    import pyarrow as pa

    from workbench.corpora import splits
    from workbench.studies.config import StudyConfig

    study = StudyConfig.load(ROOT / "experiments" / f"{space.study}.yaml")
    sets, _, _ = splits.divide(expand(study.corpus, "the space"), options.split, {}, study.taxonomy)
    for name, posts in sets.items():
        video = posts.schema.get_field_index("video")
        posts = posts.set_column(video, posts.field(video), pa.nulls(len(posts), posts.field(video).type))
        there = declared(posts)
        sets[name] = posts.filter(pa.array(np.any([there[modality] for modality in ("text", "image")], axis=0)))
    return sets, study.taxonomy


def _vectors(model: Any, posts: pa.Table) -> list[np.ndarray]:
    """Return, per side of a post, the vectors (n_posts, dim) that a head reads, NaN where there is none."""
    head = next(part for part in (model, *model.parts()) if hasattr(part.options, "encoder_of"))
    sides = {"text": "text", "image": "vision"}
    names = [name for name in sides if name in head.modalities]
    return [getattr(head.store, name)(head.options.encoder_of(sides[name]), posts).first() for name in names]


def _plain(
    vectors: dict[str, list[np.ndarray]], labels: dict[str, tuple[np.ndarray, np.ndarray]], k: int
) -> dict[str, tuple[np.ndarray, float]]:
    """Return, per way of choosing, the scores of label k on test by scikit-learn's logistic regression, and its C."""
    from sklearn.linear_model import LogisticRegression

    x = {name: _standardised(sides, vectors["train"]) for name, sides in vectors.items()}
    y = {name: truth[:, k] > 0.5 for name, (truth, _) in labels.items()}
    known = {name: there[:, k] for name, (_, there) in labels.items()}
    rows, held, best = known["train"], known["validation"], dict.fromkeys(WAYS, (-np.inf, 0.0, np.zeros(0)))
    for c in STRENGTHS.default:
        line = LogisticRegression(C=c, max_iter=2000).fit(x["train"][rows], y["train"][rows])
        scores, truth = line.decision_function(x["validation"][held]), y["validation"][held]
        values = Curve.of(truth, scores).roc_auc().item(), -np.logaddexp(0, np.where(truth, -scores, scores)).mean()
        for way, value in zip(WAYS, values, strict=True):
            if value > best[way][0]:
                best[way] = value, c, line.decision_function(x["test"])
    return {way: (scores, c) for way, (_, c, scores) in best.items()}


def _standardised(sides: list[np.ndarray], train: list[np.ndarray]) -> np.ndarray:
    """Return sides beside each other (n_posts, n_features), with a flag of each that some training post lacks."""
    parts = []
    for x, learnt in zip(sides, train, strict=True):
        there, mean, deviation = np.isfinite(x).all(axis=1), np.nanmean(learnt, axis=0), np.nanstd(learnt, axis=0)
        parts.append(np.where(there[:, None], (x - mean) / np.maximum(deviation, 0.01 * deviation.max()), 0.0))
        if np.isnan(learnt).any():
            parts.append(there[:, None].astype(float))
    return np.concatenate(parts, axis=1)


def _differences(
    posts: pa.Table, scores: list[list[np.ndarray]], labels: list[tuple[np.ndarray, np.ndarray]], resamples: int
) -> dict[str, Any]:
    """Return mean ROC AUC over labels of the heads, a training each, and of the scores of WAYS, with the differences.

    scores: per label those of each training, then those of WAYS; labels: y and known of each.
    """
    codes, groups = group_codes(posts["group"].to_pylist())
    made: list[np.ndarray] = []
    for each, (y, known) in zip(scores, labels, strict=True):
        scored = known & np.isfinite(each).all(axis=0)
        rankings = [Ranking.build(y, score, codes, groups, known=scored) for score in each]

        def areas(W: np.ndarray, some: list[Ranking] = rankings) -> np.ndarray:
            return np.stack([ranking.values(W, [Curve.roc_auc])[0] for ranking in some])

        made.append(bootstrap(areas, groups, resamples, seed=0, rows=max(ranking.rows for ranking in rankings)))
    draws = np.mean(made, axis=0)  # (trainings and WAYS, 1 + resamples)
    ours, found = draws[: -len(WAYS)].mean(axis=0), {}
    for way, theirs in zip(WAYS, draws[-len(WAYS) :], strict=True):
        lo, hi = difference_interval(ours, theirs)
        found[way] = {"roc_auc": theirs[0], "difference": ours[0] - theirs[0], "lo": lo, "hi": hi}
    return {"roc_auc": ours[0], "plain": found}


def _line(row: dict[str, Any]) -> str:
    """Return what was found of a space, as a sentence."""
    if "note" in row:
        return f"{row['space']} was not measured: {row['note']}"
    chosen = " or ".join(dict.fromkeys(record["head"] for record in row["records"]))
    less = (
        f"{of['difference']:+.4f} [{of['lo']:+.4f}, {of['hi']:+.4f}] against {of['roc_auc']:.3f} by {way}"
        for way, of in row["plain"].items()
    )
    return f"{row['space']}, {row['posts']:,} posts: ROC AUC {row['roc_auc']:.3f} ({chosen}), {', '.join(less)}"
