"""Where regions differ in what they mind one for each beats one model for all; elsewhere it costs little."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from workbench import models
from workbench.corpora import splits, synthetic
from workbench.corpora.synthetic.exact import Exact
from workbench.metrics.intervals import bootstrap, difference_interval, group_codes
from workbench.metrics.ranking import Ranking
from workbench.schema import Taxonomy, inputs, label_matrix

TAXONOMY = Taxonomy.load()
WORLD = {"modalities": ["text"], "oversample": {"harm": 0.3}, "difficulty": 0.3, "seed": 3}
WORDS = {"char_ngrams": None, "C": 3.0}
MODELS = {"words": ("text-tfidf", WORDS), "by_group": ("per-group", {"base": {"name": "text-tfidf", "options": WORDS}})}


def gain(norms: float) -> tuple[float, float, float]:
    """Return what models by region add to one model's macro AP on texts, with its 95 % interval by group."""
    table = synthetic.build(
        synthetic.SourceOptions.parse({**WORLD, "posts": 16000, "norms": norms}, "corpus"), TAXONOMY
    )
    part = splits.assign(table, TAXONOMY, splits.SplitOptions.parse({"validation": 0.15, "test": 0.3}, "split"))
    train, validation, test = (table.filter(pa.array(part == name)) for name in ("train", "validation", "test"))
    y = label_matrix(test, TAXONOMY)[0] > 0.5
    logits = {}
    for alias, (name, options) in MODELS.items():
        model = models.create(name, options, taxonomy=TAXONOMY, store=None).fit(train, validation, seed=0)
        logits[alias] = model.logits(inputs(test))
    codes, groups = group_codes(test["group"].to_numpy())
    ranked = {
        alias: [Ranking.build(y[:, k], z[:, k], codes, groups) for k in range(y.shape[1])]
        for alias, z in logits.items()
    }

    def macro(weights: np.ndarray) -> np.ndarray:
        both = (ranked["by_group"], ranked["words"])
        return np.stack([np.mean([one.average_precision(weights) for one in each], axis=0) for each in both])

    by_group, words = bootstrap(macro, groups, 1000, seed=0)
    return by_group[0] - words[0], *difference_interval(by_group, words)


@pytest.mark.slow
def test_with_regional_norms_models_by_region_beat_one_model_for_all():
    delta, low, _ = gain(norms=1.0)
    assert delta > 0.005
    assert low > 0


@pytest.mark.slow
def test_without_norms_models_by_region_cost_little():
    _, low, _ = gain(norms=0.0)
    assert low > -0.02


def test_what_the_region_can_add_to_words_is_all_norms():
    """The best possible gain, on many draws of the world's causes: what models by region can hope for."""
    gains = {}
    for norms in (0.0, 1.0):
        world = synthetic.world_of(synthetic.SourceOptions.parse({**WORLD, "norms": norms}, "corpus"))
        draw = np.random.default_rng(0)
        latents = world.draw(100_000, draw)
        p = world.label_probabilities(latents)
        seen = [Exact(world, fields).posterior(latents) for fields in (("text",), ("text", "region"))]
        losses = [-(p * np.log(q) + (1 - p) * np.log(1 - q)).sum(1).mean() for q in seen]
        gains[norms] = losses[0] - losses[1]
    assert gains[1.0] > 5 * abs(gains[0.0])
