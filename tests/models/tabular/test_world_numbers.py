"""In a world where numbers matter they pay: authors and spread beside the text, logarithms, and flags of gaps."""

from __future__ import annotations

import numpy as np
import pytest

from workbench import models
from workbench.corpora import synthetic
from workbench.metrics.classification import average_precision
from workbench.models.fit.out_of_fold import families
from workbench.schema import Taxonomy, label_matrix

TAXONOMY = Taxonomy.load()
LABEL = TAXONOMY.names.index("misinformation")
BOTH = {"columns": ["author", "engagement"]}
WORDS = {
    "name": "text-tfidf",
    "options": {"ngrams": [1, 2], "char_ngrams": None, "min_df": 2, "ratios": 1.0, "C": [1.0]},
}
MODELS = {
    "words": ("text-tfidf", WORDS["options"]),
    "all": ("misinformation", {"text": WORDS, "context": BOTH}),
    "log": ("author-profile", {"learner": "linear", "context": BOTH}),
    "standard": ("author-profile", {"learner": "linear", "context": BOTH | {"scaling": "standard"}}),
    "robust": ("author-profile", {"learner": "linear", "context": BOTH | {"scaling": "robust"}}),
    "no flags": ("author-profile", {"learner": "linear", "context": BOTH | {"nulls": False}}),
}


@pytest.fixture(scope="module")
def scored():
    """Whether each of 3,000 test posts misleads, its family, and what each model scores it."""
    options = {"posts": 8000, "seed": 5, "modalities": ["text"], "oversample": {"harm": 0.3}}
    table = synthetic.build(synthetic.SourceOptions.parse(options, "corpus"), TAXONOMY)
    train, validation, test = table.slice(0, 4000), table.slice(4000, 1000), table.slice(5000)
    scores = {}
    for alias, (name, chosen) in MODELS.items():
        model = models.create(name, chosen, taxonomy=TAXONOMY, store=None).fit(train, validation, seed=0)
        scores[alias] = model.logits(test)[:, LABEL]
    return label_matrix(test, TAXONOMY)[0][:, LABEL], families(test), scores


@pytest.mark.parametrize(
    ("better", "worse"), [("all", "words"), ("log", "standard"), ("log", "robust"), ("log", "no flags")]
)
def test_the_gain_is_more_than_chance_makes(scored, better, worse):
    y, family, scores = scored
    rng, gains = np.random.default_rng(0), []
    for _ in range(200):  # families drawn anew; each post counts as often as its family
        weight = np.bincount(rng.integers(0, family.max() + 1, family.max() + 1), minlength=family.max() + 1)[family]
        gains.append(np.subtract(*(average_precision(y, scores[name], weight=weight) for name in (better, worse))))
    low, high = np.quantile(gains, [0.025, 0.975])
    print(f"{better} - {worse}: {np.mean(gains):+.3f} [{low:+.3f}, {high:+.3f}]")
    assert low > 0
