"""The starter for pictures: a bundle around a model that others have trained, with a threshold that is set by hand.

Nothing is trained, calibrated or chosen on posts, and the card says so. What can be measured without labelled nudity is
how many pictures of sets that are taken to hold hardly any reach a threshold, and how long a picture takes.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from pydantic import Field
from scipy.special import expit

from workbench import corpora, models
from workbench.decisions.card import table
from workbench.decisions.moderator import Moderator
from workbench.decisions.objective import Share
from workbench.decisions.policy import LabelRule, Policy
from workbench.metrics.intervals import wilson
from workbench.models import Classifier
from workbench.schema import ROOT, Options, Taxonomy, corpus_schema, read_yaml
from workbench.starter.posts import located

DEFAULT, FOLDER = ROOT / "data" / "starter-pictures.yaml", ROOT / "data" / "starter-pictures"


class PictureSet(Options):
    """Pictures that are taken to have the label hardly ever; no label says so."""

    title: str = Field(description="What they are, in a few words.")
    by: str = Field(description="Who published them.")
    licence: str = Field(description="As its publishers state it.")
    file: str = Field(description="A path below data/ or $WORKBENCH_DATA.")
    corpus: dict[str, Any] = Field(description="Which column is what, as in a study's corpus `files`.")


class PictureRecipe(Options):
    """What the bundle is made of."""

    name: str = Field(pattern="^[A-Za-z0-9-]+$", description="What its policy is called.")
    purpose: str = Field(description="What it is for, and what not, in a sentence.")
    label: str = Field(description="The label that it scores; the taxonomy's others are out of scope.")
    model: str = Field(description="The model, by its name; it must learn nothing.")
    options: dict[str, Any] = Field({}, description="The model's options.")
    review_at: Share = Field(description="A person looks from this score on; nothing is removed.")
    why: str = Field(description="Where that threshold comes from, in a sentence.")
    title: str = Field(description="What the model is, in a few words.")
    by: str = Field(description="Who made it and where it was published: the attribution.")
    licence: str = Field(description="As its publishers state it.")
    limits: str = Field(description="What else is not known of it, in a sentence or two.")
    marks: tuple[Share, ...] = Field(min_length=1, description="The scores from which pictures are counted.")
    sets: dict[str, PictureSet] = Field({}, description="What it is measured on.")

    @classmethod
    def load(cls, path: Path = DEFAULT) -> Self:
        """Read and check a recipe; raises WorkbenchError for what is wrong with it."""
        return cls.parse(read_yaml(path), f"recipe {path}")


def make(recipe_path: Path = DEFAULT, out: Path = FOLDER, tell: Callable[[str], None] = lambda _: None) -> Moderator:
    """Make the bundle of a recipe in `out`, measured on its sets; returns it.

    tell: called with a line now and then. Raises WorkbenchError for a wrong recipe, for pictures that are nowhere, and
    where the model's extra is not installed.
    """
    recipe, taxonomy = PictureRecipe.load(recipe_path), Taxonomy.load()
    models.check(recipe.model, recipe.options)
    nothing = corpus_schema(taxonomy).empty_table()
    model = models.create(recipe.model, recipe.options, taxonomy=taxonomy, store=None)
    model.fit(nothing, nothing, seed=0)
    found = {}
    for name, pictures in recipe.sets.items():
        source = {"source": "files", "path": str(located(pictures.file, None)), **pictures.corpus}
        posts = corpora.load(source, taxonomy).table
        tell(f"measuring on {name} ({len(posts):,} pictures)")
        found[name] = measured(model, posts, taxonomy.names.index(recipe.label), recipe.marks)
    rule = LabelRule(review_at=recipe.review_at, remove_at=None)
    policy = Policy(name=recipe.name, date=dt.datetime.now(dt.UTC).date(), labels={recipe.label: rule})
    moderator = Moderator(model, {}, policy, card=about(recipe, found))
    moderator.save(out)
    tell(f"{out}: {moderator.model_id}")
    return moderator


def measured(model: Classifier, posts: pa.Table, label: int, marks: tuple[float, ...]) -> dict[str, Any]:
    """Return what a model says of posts (n rows) that are taken not to have the label of column `label`.

    pictures: n; unread: of how many there is no score; reached: score -> how many of the others score at least that,
    as a share with its 95 % interval (pictures taken as independent); ms: processor time of a picture, decoding in it.
    """
    began = time.process_time()
    scores = expit(model.logits(posts)[:, label].astype(np.float64))
    spent = time.process_time() - began
    read = scores[~np.isnan(scores)]
    reached = {f"{mark:g}": int((read >= mark).sum()) for mark in marks}
    return {
        "pictures": len(posts),
        "unread": len(posts) - len(read),
        "reached": {mark: [n, n / max(len(read), 1), *wilson(n, len(read))] for mark, n in reached.items()},
        "ms": round(1000 * spent / max(len(posts), 1), 1),
    }


def about(recipe: PictureRecipe, found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the bundle's card; `found` is what `measured` says of each set."""
    sections = {
        "Made of": (
            f"{recipe.title}.",
            f"By {recipe.by}. Licence: {recipe.licence}.",
            f"The weights are not in this folder: the extra `{models.extra(recipe.model)}` brings them, and other ones "
            "are refused.",
        ),
        "Where the threshold comes from": (
            recipe.why,
            "It was chosen on no posts, and the scores are calibrated on none.",
        ),
        "What was measured": tuple(_counts(recipe, found)),
        "What was not measured": (
            f"Recall: no pictures labelled for {recipe.label} were at hand, so how much of it is missed is not known.",
            recipe.limits,
        ),
    }
    return {
        "made": dt.datetime.now(dt.UTC).date().isoformat(),
        "purpose": recipe.purpose,
        "starter": {"sets": dict(found)},
        "sections": {title: "\n".join(lines) for title, lines in sections.items()},
    }


def _counts(recipe: PictureRecipe, found: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    yield f"How many pictures reach a score, of sets taken to hold hardly any {recipe.label}; no label says so."
    yield "Shares with their 95 % interval, pictures taken as independent; time is the processor's, decoding in it."
    yield ""
    marks = [f"{mark:g}" for mark in recipe.marks]
    head = ("set", "what", "pictures", "unread", *(f"from {mark}" for mark in marks), "ms a picture", "licence", "by")
    rows = []
    for name, row in found.items():
        of = recipe.sets[name]
        shares = [_share(*row["reached"][mark]) for mark in marks]
        counts = (f"{row['pictures']:,}", str(row["unread"]), *shares, f"{row['ms']:g}")
        rows.append((name, of.title, *counts, of.licence, of.by))
    yield from table(head, rows)


def _share(n: int, share: float, low: float, high: float) -> str:
    return f"{n}: {100 * share:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"
