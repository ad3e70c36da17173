"""A small moderator on real posts: words of 600 texts, in a bundle, and one that looks at pictures too."""

from __future__ import annotations

import pytest

from workbench import corpora
from workbench.decisions import fitting
from workbench.decisions.moderator import Moderator
from workbench.decisions.thresholds import objectives
from workbench.features.store import FeatureStore
from workbench.models import create
from workbench.schema import Taxonomy

TAXONOMY = Taxonomy.load()
SAMPLE = {"source": "synthetic", "posts": 900, "seed": 21, "oversample": {"paired": 0.5, "harm": 0.3}}


@pytest.fixture(scope="session")
def posts(tmp_path_factory):
    return corpora.load(SAMPLE, TAXONOMY, cache=tmp_path_factory.mktemp("corpora")).table


def _moderator(posts, name: str, options: dict) -> Moderator:
    train, validation = posts.slice(0, 500), posts.slice(500, 300)
    model = create(name, options, taxonomy=TAXONOMY, store=FeatureStore(None, "cpu"))
    model.fit(train, validation, seed=0)
    wanted = objectives({"default": {"remove": {"precision": 0.8}}}, TAXONOMY.names)
    return fitting.fit(model, validation, wanted, name)[0]


@pytest.fixture(scope="session")
def words(posts) -> Moderator:
    return _moderator(posts, "text-tfidf", {})


@pytest.fixture(scope="session")
def vision(posts) -> Moderator:
    return _moderator(posts, "clip-concat", {"encoder": "tiny", "epochs": 4})


@pytest.fixture
def bundle(words, tmp_path):
    words.save(tmp_path / "bundle")
    return tmp_path / "bundle"
