"""A study that is killed again and again: nothing unreadable, nothing finished lost, and the same result in the end.

Again and again `kill -9` hits a running study at a random moment: the runner, a worker, a kernel, or everything at
once; half of the time with a feature store that is empty at first. `WORKBENCH_KILLS` sets the number of the campaign.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import time

import psutil
import pyarrow.parquet as pq
import pytest
from checkout import Checkout

from workbench.features.store.disk import Shards
from workbench.features.store.maintenance import dim_of

KILLS = int(os.environ.get("WORKBENCH_KILLS", "30"))
MODELS = ["image-clip", "prior", "text-tfidf"]
PASSING = {"made_from", "ms_per_post", "fit_seconds", "peak_mb", "seconds", "runs"}  # times, and what names them


def settled(value):
    """Return a comparison without what differs from one undisturbed run to the next."""
    if isinstance(value, dict):
        return {name: settled(one) for name, one in value.items() if name not in PASSING}
    return [settled(one) for one in value] if isinstance(value, list) else value


def comparison(house: Checkout) -> dict:
    return settled(json.loads((house.results / "comparison.json").read_text()))


def finished(house: Checkout) -> dict[str, str]:
    """Return when each finished run ended; whatever lies under its final name must be readable."""
    for path in (*house.results.rglob("*.json"), *house.results.rglob("*.ipynb")):
        if not any(part.startswith(".") for part in path.relative_to(house.results).parts):
            json.loads(path.read_text(encoding="utf-8"))
    records = {path.parent: json.loads(path.read_text()) for path in house.results.glob("*/run.json")}
    done = {folder: record for folder, record in records.items() if record["state"] == "done"}
    for folder in done:
        assert pq.read_table(folder / "predictions.parquet").num_rows > 0
    return {record["key"]: record["ended"] for record in done.values()}


def strike(process: subprocess.Popen, kind: str, chance: random.Random) -> int:
    """Kill the runner, one of its processes or all of them, and return how many were killed."""
    runner, killed = psutil.Process(process.pid), 0
    children = runner.children(recursive=True)
    victims = {"runner": [runner], "one": chance.sample(children, min(1, len(children))), "all": [runner, *children]}
    for victim in victims[kind]:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
            killed += 1
    return killed


def environment(process: psutil.Process) -> dict[str, str]:
    """Return a process's environment, nothing where it is gone or a zombie."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def vanished(house: Checkout) -> None:
    """Wait until nothing of the study runs any more."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        left = [p for p in psutil.process_iter() if environment(p).get("PYTHONPATH") == str(house.folder)]
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(f"still running five minutes after the kill: {left}")


@pytest.mark.slow
@pytest.mark.timeout(9000)
@pytest.mark.parametrize("kills", [2, pytest.param(KILLS, marks=pytest.mark.campaign)])
def test_a_study_survives_kills(tmp_path, kills):
    house, chance = Checkout(tmp_path, MODELS), random.Random(5)
    started = time.monotonic()
    house.call("--jobs", "2")
    whole = time.monotonic() - started
    expected, keys, features = comparison(house), set(finished(house)), tmp_path / "data" / "cache" / "features"
    struck, ends, rounds = [], 0, 0
    before: dict[str, str] = {}
    shutil.rmtree(house.results)
    while len(struck) < kills:
        if not before and rounds % 2:  # a fresh start: every other one with an empty store
            shutil.rmtree(features, ignore_errors=True)  # a kill may have come before there was any
        process = house.start("--jobs", "2", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(chance.uniform(0.2, 0.8 * whole))
        except subprocess.TimeoutExpired:
            kind = ("runner", "one", "all")[len(struck) % 3]
            struck += [kind] * bool(strike(process, kind, chance))
            if kind == "one":  # the others go on; the runner records what died
                process.wait(600)
        process.wait(60)
        vanished(house)
        after = finished(house)
        assert before.items() <= after.items(), "a finished run was lost or redone"
        before = after
        if process.returncode == 0:
            assert set(after) == keys
            assert comparison(house) == expected
            ends, rounds, before = ends + 1, rounds + 1, {}
            shutil.rmtree(house.results)
    house.call("--jobs", "2")
    assert comparison(house) == expected
    assert set(finished(house)) == keys
    print(f"{len(struck)} kills, {ends} studies brought to an end between them")
    for space in (path for path in features.glob("*/*") if path.is_dir()):
        Shards(space, dim_of(space)).refresh()  # raises for nothing, sets aside what is torn
        assert not list(space.glob("*.broken"))
