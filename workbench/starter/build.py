"""From a recipe to a bundle: train, choose the threshold on validation, measure on what was not learnt from, save."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from workbench import models
from workbench.decisions import fitting
from workbench.decisions.moderator import Moderator
from workbench.decisions.thresholds import LabelObjectives
from workbench.preprocessing.text.languages import ReadLanguages
from workbench.schema import ROOT, Taxonomy
from workbench.starter import card, measured
from workbench.starter.posts import drawn, read, some
from workbench.starter.recipe import DEFAULT, PostSet, Recipe

FOLDER = ROOT / "data" / "starter"
MEASURED = 5000  # posts of a set that is held out, which tell its AUROC to a hundredth


def train(tables: Mapping[str, pa.Table], recipe: Recipe, taxonomy: Taxonomy) -> Moderator:
    """Return a moderator trained on the posts of some sets, its threshold chosen on their validation posts."""
    posts = drawn(dict(tables), recipe, taxonomy)
    model = models.create(recipe.model, recipe.options, taxonomy=taxonomy, store=None)
    model.fit(posts.train, posts.validation, seed=recipe.seed)
    wanted = LabelObjectives(review=recipe.review, remove=None)
    moderator, _ = fitting.fit(model, posts.validation, dict.fromkeys(taxonomy.names, wanted), recipe.name)
    texts = pc.unique(posts.train["text"]).to_pylist()
    return moderator.with_languages(ReadLanguages.learn(recipe.languages, texts))


def make(recipe_path: Path = DEFAULT, out: Path = FOLDER, tell: Callable[[str], None] = lambda _: None) -> Moderator:
    """Make the bundle of a recipe in `out`, measured on each of its sets as if it had not seen it; returns it.

    tell: called with a line now and then. Raises WorkbenchError for a wrong recipe and for posts that are nowhere.
    """
    recipe, taxonomy = Recipe.load(recipe_path), Taxonomy.load()

    def tables(sets: Mapping[str, PostSet]) -> dict[str, pa.Table]:
        return {name: read(name, posts, recipe.label, taxonomy) for name, posts in sets.items()}

    known = tables(recipe.sets)
    tell(f"training on {', '.join(f'{name} ({len(table):,} posts)' for name, table in known.items())}")
    moderator = train(known, recipe, taxonomy)
    held_out = {}
    for name, table in known.items():
        tell(f"measuring on {name} what the other sets teach")
        others = {other: posts for other, posts in known.items() if other != name}
        part = some(table, MEASURED)
        held_out[name] = measured.worth(measured.scored(train(others, recipe, taxonomy), part, recipe.label), part)
    new = tables(recipe.unseen)
    scored = {name: measured.scored(moderator, table, recipe.label) for name, table in new.items()}
    found, suites, bias = (
        {name: look(scored[name], table) for name, table in new.items()}
        for look in (measured.worth, measured.by_kind, measured.by_identity)
    )
    about = card.about(recipe, taxonomy, known, held_out, found, suites, bias)
    moderator = moderator.described(about)
    moderator.save(out)
    tell(f"{out}: {moderator.model_id}, {size(out) / 2**20:.1f} MiB")
    return moderator


def size(folder: Path) -> int:
    """Return the bytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
