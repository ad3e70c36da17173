"""Engines on a stand-in for a moderator, and their API behind real HTTP."""

from __future__ import annotations

import pytest
from stand_in import Server, StandIn, configured

from workbench.features.store import FeatureStore
from workbench.records import Records
from workbench.schema import Taxonomy
from workbench.serving.api.app import create_app
from workbench.serving.engine import Engine
from workbench.studies.steps import training


@pytest.fixture
def records(tmp_path):
    with Records(tmp_path / "records") as records:
        yield records


@pytest.fixture
def stand_in():
    return StandIn()


@pytest.fixture
def make_engine(tmp_path, records, stand_in):
    """The function that makes an engine of the stand-in; `changes`: service -> options of it."""
    made = []

    def make(changes=None, **top):
        engine = Engine(configured(tmp_path, changes, **top), records, device="cpu", load=lambda *_, **__: stand_in)
        made.append(engine)
        engine.load()
        return engine

    yield make
    for engine in made:
        engine.close(1)


@pytest.fixture
def engine(make_engine):
    return make_engine()


@pytest.fixture
def serve():
    """The function that puts an engine's API behind real HTTP."""
    running = []

    def start(engine):
        running.append(Server(create_app(engine)))
        return running[-1]

    yield start
    for server in running:
        server.stop()


CORPUS = {"source": "synthetic", "posts": 600, "seed": 3, "oversample": {"paired": 0.5, "harm": 0.4}}


@pytest.fixture(scope="session")
def material():
    """A small synthetic corpus, divided."""
    return training.prepare(CORPUS, {"validation": 0.2, "test": 0.2}, {}, Taxonomy.load())


@pytest.fixture(scope="session")
def bundle(material, tmp_path_factory):
    """The function that returns the folder of a real bundle by its model's name, trained once."""
    place, store = tmp_path_factory.mktemp("bundles"), FeatureStore(None, "cpu")

    def made(name):
        folder = place / name / "bundle" / "0"
        if not folder.exists():
            options = {"encoder": "tiny", "epochs": 3} if "clip" in name else {}
            if name == "misinformation":
                text = {"name": "text-clip", "options": {"encoder": "tiny", "epochs": 3}}
                options = {"text": text, "context": {"columns": ["author", "engagement"]}}
            ready = training.moderate(training.fit(name, options, material, [0], store), material)
            ready[0].moderator.save(folder)
        return folder

    return made
