"""Several writers, readers and collectors of one store, killed or not: it stays right and loses nothing."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import stub_store
from stub_store import MANY, make, same, shards

from workbench.features import store

# --------------------------------------------------------------------------------------------------------------- kills

ZYGOTE = """
# Imports once, then forks a process that works on the store and kills it at a random moment, again and again.
import os, random, signal, sys, time
sys.path.insert(0, {here!r})
import numpy as np
import stub_store
from stub_store import MANY, text_key
from workbench.features import store
from workbench.features.store import maintenance
from workbench.features.store.disk import Shards
from workbench.features.items import TextItems

folder, seed, kills = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store.BLOCK_ITEMS, TextItems.chunk, maintenance.MANY = 5, 5, 4
rng = random.Random(seed)
expected = stub_store.make()[0].text("stub", MANY)
values = {{text: expected.take([i]) for i, text in enumerate(MANY["text"].to_pylist())}}

def work(gc, pipe):
    order = list(range(len(MANY)))
    random.shuffle(order)
    while True:
        if gc:
            maintenance.gc(folder)
        features, _ = stub_store.make(folder)
        for start in range(0, len(order), 15):
            features.text("stub", MANY.take(order[start : start + 15]))
            os.write(pipe, b".")
            if gc and random.random() < 0.3:
                maintenance.gc(folder)
        if not gc and seed and random.random() < 0.2:
            maintenance.gc(folder, max_gb=0)

def there():
    found, wrong = 0, 0
    for path in __import__("pathlib").Path(folder).glob("*/text"):
        disk = Shards(path, 4)
        disk.refresh()
        names = list(values)
        at, blocks = disk.look(np.frombuffer(b"".join(map(text_key, names)), np.uint8).reshape(-1, 32))
        for k, i in enumerate(at.tolist()):
            one, right = blocks.take([k]), values[names[i]]
            found += 1
            wrong += one.values.tobytes() != right.values.tobytes()
            wrong += (one.reasons, one.notes) != (right.reasons, right.notes)
    return found, wrong

dead, most = 0, 0
while dead < kills:
    children, (steps, pipe) = [], os.pipe()
    for gc in (False, True)[: 1 + (dead % 2)]:
        child = os.fork()
        if child == 0:
            random.seed(rng.random() + os.getpid())
            work(gc, pipe)
        children.append(child)
    os.close(pipe)
    for _ in range(rng.randrange(5)):  # so many steps however busy the machine is, and a moment more
        os.read(steps, 1)
    time.sleep(rng.uniform(0, 0.02))
    for child in children:
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        dead += 1
    os.close(steps)
    found, wrong = there()
    assert wrong == 0, wrong
    assert seed or found >= most, (found, most)  # nothing that was written is lost, but where a collector deletes
    most = max(most, found)
print(dead, most)
"""


def zygote(folder, seed, kills):
    code = ZYGOTE.format(here=str(Path(stub_store.__file__).parent))
    command = [sys.executable, "-W", "error", "-c", code, str(folder), str(seed), str(kills)]
    return subprocess.run(command, capture_output=True, text=True, timeout=2500, check=False)


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kills", [40, pytest.param(400, marks=pytest.mark.campaign)])
def test_writers_and_collectors_killed_at_any_moment_leave_a_store_that_is_right(tmp_path, seed, kills):
    ended = zygote(tmp_path, seed, kills)
    assert ended.returncode == 0, ended.stderr[-3000:]
    dead, most = map(int, ended.stdout.split())
    assert dead >= kills
    assert most > 50  # the kills came in the middle of real work, not before it
    assert "left out" not in ended.stderr  # nor did any shard look damaged
    features, _ = make(tmp_path)
    same(features.text("stub", MANY), make()[0].text("stub", MANY))
    again, encoder = make(tmp_path)
    same(again.text("stub", MANY), make()[0].text("stub", MANY))
    assert not encoder.seen
    assert not shards(tmp_path, ".tmp")
    assert not shards(tmp_path, ".broken")


# -------------------------------------------------------------------------------------------------------- other writers

LOOP = """
import sys, time, random
sys.path.insert(0, {here!r})
import stub_store
from stub_store import MANY
from workbench.features import store
from workbench.features.store import maintenance
from workbench.features.items import TextItems
store.BLOCK_ITEMS, TextItems.chunk, maintenance.MANY = 7, 7, 3
expected = stub_store.make()[0].text("stub", MANY)
role, folder, end = sys.argv[1], sys.argv[2], time.monotonic() + float(sys.argv[3])
rounds = 0
features, _ = stub_store.make(folder, memory_mb=0)
while time.monotonic() < end or rounds < 3:  # on a busy machine four seconds are little
    if role == "collect":
        maintenance.gc(folder, max_gb=0 if rounds % 5 == 4 else None)
        time.sleep(0.01)
    else:
        if random.random() < 0.3:
            features, _ = stub_store.make(folder, memory_mb=0)
        some = random.sample(range(len(MANY)), 40)
        stub_store.same(features.text("stub", MANY.take(some)), expected.take(some))
    rounds += 1
print(rounds)
"""


def test_writers_readers_and_a_collector_at_once_all_get_what_is_right(tmp_path):
    code = LOOP.format(here=str(Path(stub_store.__file__).parent))
    roles = ["write", "write", "write", "collect"]
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, role, str(tmp_path), "4"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for role in roles
    ]
    for role, process in zip(roles, started, strict=True):
        out, err = process.communicate(timeout=500)
        assert process.returncode == 0, (role, err[-3000:])
        assert int(out) > 2, role
        assert "left out" not in err, (role, err)


def test_threads_share_one_store_and_compute_nothing_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "BLOCK_ITEMS", 20)
    features, encoder = make(tmp_path)
    expected, results = make()[0].text("stub", MANY), {}

    def ask(seed):
        some = np.random.default_rng(seed).permutation(len(MANY))
        results[seed] = (some, features.text("stub", MANY.take(some)))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(500)
    for some, blocks in results.values():
        same(blocks, expected.take(some))
    assert len(results) == 6
    assert len(encoder.seen) == len(set(encoder.seen)) == len(MANY)
