"""A study's models when obfuscated: bundles are loaded, variants left out, tables say what was measured."""

from __future__ import annotations

from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from workbench import models
from workbench.corpora import synthetic
from workbench.decisions import fitting
from workbench.decisions.thresholds import objectives
from workbench.errors import WorkbenchError
from workbench.evidence.robustness import POOLED, RobustnessOptions
from workbench.preprocessing.text.variants import variants
from workbench.questions import evasion
from workbench.schema import ROOT, Taxonomy, inputs
from workbench.studies.run import Results

TAXONOMY = Taxonomy.load()
ALONE = f"words {evasion.RAW}"
OPTIONS = RobustnessOptions(attacks=("leet", "spaced", "praise", "blur"), strengths=(1.0,), fpr=0.05, resamples=100)


@pytest.fixture(scope="module")
def words() -> tuple[pa.Table, models.Classifier]:
    """Posts of the synthetic world's words, and a model that learnt from those of the first 500 that hide nothing.

    In this world an obfuscation is itself a sign of harm, and a model that has seen one flags it.
    """
    options = synthetic.SourceOptions(posts=900, seed=3, modalities=("text",), oversample={"harm": 0.4})
    posts = synthetic.build(options, TAXONOMY)
    model = models.create("text-tfidf", {"char_ngrams": None, "C": 10.0}, taxonomy=TAXONOMY, store=None)
    open_ = [len(variants(text)) == 1 for text in posts["text"].to_pylist()[:500]]
    return posts, model.fit(posts.slice(0, 500).filter(pa.array(open_)), posts.slice(500, 200), seed=0)


@pytest.fixture(scope="module")
def found(words, tmp_path_factory) -> Results:
    """A finished study of one run, as far as evasion looks at it: its bundle, and 200 posts that its test scored."""
    posts, model = words
    folder = tmp_path_factory.mktemp("study")
    validation = posts.slice(500, 200)
    moderator = fitting.fit(model, validation, objectives({}, TAXONOMY.names), "words")[0]
    moderator.save(folder / "bundle" / "0")
    test = SimpleNamespace(post_id=np.array(posts.slice(700)["post_id"].to_pylist()))
    run = SimpleNamespace(alias="words", folder=folder, seeds=(0,), sets={"test": test}, parts=())
    return Results({}, [run], posts)


@pytest.fixture(scope="module")
def survived(found) -> evasion.Survival:
    return evasion.survival(found, ["words"], OPTIONS)


def test_variants_undo_leet_and_cannot_undo_praise(survived):
    rows = {(row["model"], row["attack"]): row for row in survived.rows if row["label"] == POOLED}
    assert survived.posts == 200
    assert rows["words", "leet"]["n"] == survived.positives > 40
    assert rows["words", "leet"]["before"] > 0.5
    for attack in ("leet", "spaced"):
        assert rows["words", attack]["recall"] > rows[ALONE, attack]["recall"] + 0.2
    assert rows["words", "praise"]["lost"] == pytest.approx(rows[ALONE, "praise"]["lost"], abs=0.1)
    assert rows["words", "blur"]["n"] == 0  # no post has a picture


def test_the_cost_is_asked_of_the_same_weights(survived):
    assert [row["label"] for row in survived.cost] == list(TAXONOMY.names)
    assert all(row["fpr_without"] <= row["alarms"] for row in survived.cost)  # a maximum is no lower than its first


def test_without_variants_the_text_counts_as_it_stands_and_the_model_stays(words):
    posts, model = words
    alone = evasion.without_variants(model)
    assert model.options.variants
    assert not alone.options.variants
    two = inputs(posts.slice(700, 2)).set_column(
        1, "text", pa.array(["you are a w0rthl355 cl0wn", "a worthless clown"])
    )
    with_, without = model.logits(two), alone.logits(two)
    assert (with_[0] >= without[0]).all()
    assert with_[0, 0] > without[0, 0]
    np.testing.assert_array_equal(with_[1], without[1])
    assert evasion.without_variants(models.create("prior", taxonomy=TAXONOMY, store=None)) is None


def test_an_ensemble_asks_its_members_that_have_a_choice(words):
    member, prior = words[1], models.create("prior", taxonomy=TAXONOMY, store=None)
    fused = models.create("prior", taxonomy=TAXONOMY, store=None)
    fused.models = [member, prior]
    alone = evasion.without_variants(fused)
    assert [getattr(one.options, "variants", None) for one in alone.models] == [False, None]
    assert fused.models == [member, prior]
    assert evasion.without_variants(SimpleNamespace(options=None, models=[prior])) is None


def test_tables_say_what_was_measured(survived):
    table = evasion.table(survived, strength=1.0)
    assert list(table.columns) == ["positives", "words", ALONE]
    assert list(table.index) == list(OPTIONS.attacks)
    assert table.loc["blur"].tolist() == ["0 few", "–", "–"]
    worst = evasion.losses(survived, strength=1.0)
    assert worst["lost"].is_monotonic_decreasing
    assert "blur" not in worst.index.get_level_values(0)
    values, lines, names = evasion.shares(survived)
    assert (lines, names) == ([f"{attack} 1" for attack in OPTIONS.attacks], ["words", ALONE])
    row = next(r for r in survived.rows if (r["model"], r["attack"], r["label"]) == ("words", "leet", POOLED))
    assert values[0, 0] == pytest.approx(min(1, row["recall"] / row["before"]))
    assert np.isnan(values[3]).all()


def test_the_notebook_s_last_cell_stands_where_a_label_is_unknown_throughout(survived):
    cells = nbformat.read(ROOT / "notebooks" / "12-does-it-survive-evasion.ipynb", 4).cells
    unknown = {"negatives": 0, "positives": 0} | dict.fromkeys(("fpr_without", "alarms"), np.nan)
    cost = [row | unknown if row["label"] == "nudity" else row for row in survived.cost]
    frame = pd.DataFrame(cost).set_index(["model", "label"])
    names = {"survived": survived, "cost": frame, "options": OPTIONS, "models": ["words"], "evasion": evasion}
    exec(cells[-1].source, names | {"pd": pd, "POOLED": POOLED})
    frame["fpr_without"] += 0.2
    with pytest.raises(AssertionError, match="no more clean posts"):
        exec(cells[-1].source, names | {"pd": pd, "POOLED": POOLED})


def test_what_is_not_there_is_said(found):
    with pytest.raises(WorkbenchError, match="did you mean 'words'"):
        evasion.survival(found, ["word"], OPTIONS)
    with pytest.raises(WorkbenchError, match="not at hand"):
        evasion.scored_posts(Results({}, found.runs, None))
    by_folds = [SimpleNamespace(**{**vars(found.runs[0]), "parts": tuple(found.runs)})]
    with pytest.raises(
        WorkbenchError, match="tests by folds, so that each of its models has trained on most test posts"
    ):
        evasion.scored_posts(Results({}, by_folds, found.posts))
