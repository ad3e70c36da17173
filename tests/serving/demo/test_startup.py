"""The page is there before the engine: what is said meanwhile, what the API answers, and how a start can fail."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from workbench.comparison.run_files import RunRecord
from workbench.errors import WorkbenchError
from workbench.schema import ROOT
from workbench.serving.config import ServingConfig
from workbench.serving.demo import startup
from workbench.serving.demo.startup import Startup
from workbench.serving.engine import Busy
from workbench.studies.display import Lines


def until(condition, seconds=60.0):
    """Wait for a condition, and fail if it does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


def spoken(command) -> Startup:
    """Return a start whose study is any command of ours instead of `workbench run`."""

    class Other(Startup):
        def _command(self, study):
            return command

    return Other(lambda: pytest.fail("the engine was made although the study failed"), Path("experiments/x.yaml"))


def test_until_the_engine_is_there_everything_is_busy(engine):
    go = threading.Event()
    start = Startup(lambda: go.wait(30) and engine)
    assert not start.ready
    start.start()
    until(lambda: "Loading" in start.standing().sentence)
    assert re.fullmatch(r"Loading the models\. \d+ seconds so far\.", start.standing().sentence)
    with pytest.raises(Busy, match="Loading the models"):
        start.probe("text", None)
    go.set()
    until(lambda: start.standing().ready)
    assert start.ready
    assert start.services().keys() == engine.services().keys()
    start.close()
    assert not start.ready


def test_what_a_run_prints_becomes_sentences():
    # The real printer of `workbench run`, so that its wording and ours cannot part.
    said, lines = [], Lines(2, write=lambda line: said.append(line))
    lines.every = 0.0
    lines.start("prior", "never run")
    lines.start("clip-cross", "never run")
    lines.tick({"clip-cross": {"cell": 2, "cells": 9}})
    lines.end("prior", RunRecord(state="done", seconds=2))
    start, told = Startup(lambda: None), []
    start._say = lambda sentence, done, total: told.append((sentence, done, total))
    assert start._follow(["study smoke: 2 of 2 runs to do", *said]) == "study smoke: 2 of 2 runs to do"
    assert told[1] == ("A small study is run first: 0 of 2 models are done. Training now: prior, clip-cross.", 0, 2)
    assert told[-1] == ("A small study is run first: 1 of 2 models are done. Training now: clip-cross.", 1, 2)


def test_a_failed_study_is_told_in_one_sentence_with_what_to_do():
    start = spoken([sys.executable, "-c", "print('[0/1] prior: started (new)'); print('error: no room'); exit(2)"])
    start.start()
    until(lambda: start.standing().failed)
    assert start.standing().sentence == (
        "The first study failed (no room); see why with `workbench run experiments/x.yaml` and mend it. "
        "Then start app.py again."
    )
    with pytest.raises(Busy, match="The first study failed"):
        start.probe("text", None)
    start.close()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (WorkbenchError("the bundle is damaged; train it again"), "The bundle is damaged; train it again."),
        (RuntimeError("secret path /srv"), "The start failed for a reason that is no user's to mend"),
    ],
)
def test_an_engine_that_cannot_be_made_is_told(error, said):
    def make():
        raise error

    start = Startup(make)
    start.start()
    until(lambda: start.standing().failed)
    assert start.standing().sentence.startswith(said)
    assert "secret" not in start.standing().sentence


def test_closing_ends_a_study_that_runs():
    start = spoken(
        [sys.executable, "-c", "import time; print('[0/1] prior: started (new)', flush=True); time.sleep(600)"]
    )
    start.start()
    until(lambda: start.standing().total == 1)
    pid = start._process.pid
    began = time.monotonic()
    start.close()
    assert time.monotonic() - began < 60  # the study sleeps ten minutes
    assert not psutil.pid_exists(pid)
    assert not start.standing().failed  # it was told to end; that is no failure


@pytest.mark.parametrize(
    ("service", "study"),
    [
        ({"model": "text-tfidf"}, "nothing-here"),
        ({"bundle": "no/such/folder"}, None),  # running a study would not bring that folder
        ({"model": "text-tfidf", "study": "mine"}, None),
    ],
)
def test_a_first_study_is_run_only_where_it_helps(service, study, monkeypatch, tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "nothing-here.yaml").touch()
    monkeypatch.setattr(startup, "ROOT", tmp_path)
    config = ServingConfig.parse({"studies": ["nothing-here"], "services": {"text": service}}, "serving")
    assert startup._first_study(config) == (study and tmp_path / "experiments" / f"{study}.yaml")


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (
            ["synthetic", "synthetic"],
            ", trained on the synthetic world alone: what they say of real posts means nothing.",
        ),
        (["synthetic", "files"], "."),
    ],
)
def test_where_the_models_come_from_is_said(tmp_path, sources, said):
    bundles = []
    for number, source in enumerate(sources):
        bundles.append(tmp_path / str(number) / "bundle" / "0")
        bundles[-1].mkdir(parents=True)
        record = {"study": "mine", "inputs": {"parameter corpus.source": source}}
        (tmp_path / str(number) / "run.json").write_text(json.dumps(record))
    services = dict(zip(("text", "image"), bundles, strict=True))
    assert startup.origin(services) == f"The models come from the study mine{said}"
    assert startup.note(services["image"]) == (startup.UNREAL if sources[1] == "synthetic" else "")
    assert startup.origin({"text": tmp_path / "elsewhere" / "bundle" / "0"}) == ""


def test_a_bundle_with_a_purpose_says_it_instead(tmp_path):
    (tmp_path / "starter").mkdir()
    (tmp_path / "starter" / "moderator.json").write_text('{"card": {"purpose": "For trying."}}')
    run = tmp_path / "runs" / "1"
    (run / "bundle" / "0").mkdir(parents=True)
    (run / "run.json").write_text('{"study": "mine", "inputs": {"parameter corpus.source": "synthetic"}}')
    services = {"text": tmp_path / "starter", "post": run / "bundle" / "0"}
    assert [startup.note(folder) for folder in services.values()] == ["For trying.", startup.UNREAL]
    assert startup.origin(services) == (
        "The model of text: For trying. The other models come from the study mine, trained on the synthetic world "
        "alone: what they say of real posts means nothing."
    )


def test_each_purpose_is_said_of_its_own_services(tmp_path):
    services = {}
    for service, purpose in (("text", "Words."), ("image", "Pictures."), ("post", "Words.")):
        services[service] = tmp_path / service
        services[service].mkdir()
        (services[service] / "moderator.json").write_text(json.dumps({"card": {"purpose": purpose}}))
    assert startup.origin(services) == "The model of text and post: Words. The model of image: Pictures."


def test_what_is_not_installed_is_said_with_the_service_that_lacks_it():
    assert startup.origin({}, {"image": "the extra is missing (pip install x)"}) == (
        "Another model would answer for image: the extra is missing (pip install x)."
    )


def test_the_shipped_configuration_can_fall_back_on_a_study_that_ships():
    config = ServingConfig.load(ROOT / "serving.yaml")
    assert (ROOT / "experiments" / f"{config.studies[-1]}.yaml").is_file()
