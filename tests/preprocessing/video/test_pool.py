"""The processes that decode: they hang, die and are killed, and every clip still has its answer."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from made_clips import box, clip, number, numbered, patched

from workbench.errors import WorkbenchError
from workbench.preprocessing.video import pool as video_pool
from workbench.preprocessing.video.reader import VideoOptions, decode
from workbench.schema import ROOT

PLAIN = clip(8)


@pytest.fixture(autouse=True)
def pool(monkeypatch):
    """Give each test a pool of its own, of two workers on any machine."""
    pool = video_pool.WorkerPool(2)
    monkeypatch.setattr(video_pool, "_pool", pool)
    yield pool
    pool.close()


def only(pool: video_pool.WorkerPool) -> video_pool.DecodingWorker:
    (worker,) = pool.workers
    return worker


def alive(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def gone(pids: list[int]) -> bool:
    """Wait until processes are gone, long enough for a busy machine, and say whether they are."""
    end = time.monotonic() + 60
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(alive(pid) for pid in pids)


def script(code: str, *options: str) -> list[str]:
    """Return the command that runs code as a process of its own, with a small clip as `data`."""
    head = f"import os, signal, sys, threading, time\nsys.path.insert(0, {str(ROOT)!r})\n"
    head += "from workbench.preprocessing.video import pool as video_pool\n"
    head += "from workbench.preprocessing.video.reader import *\n"
    head += f"data = bytes.fromhex({PLAIN.hex()!r})\npids = lambda: [w.pid for w in video_pool.pool().workers]\n"
    return [sys.executable, *options, "-c", head + code]


# ------------------------------------------------------------------------------------------------------ hanging, dying


def test_a_worker_is_kept_from_clip_to_clip(pool):
    assert decode(PLAIN).frames
    first = only(pool).pid
    assert decode(PLAIN[:99]).reason
    assert decode(b"").reason
    assert decode(PLAIN).frames
    assert only(pool).pid == first


def test_a_worker_that_hangs_is_killed_and_the_next_clip_is_read(pool):
    decode(PLAIN)
    hung = only(pool).pid
    os.kill(hung, signal.SIGSTOP)
    read = decode(PLAIN, VideoOptions(timeout_seconds=0.3))
    assert read.transient
    assert read.reason == "The clip was not read within 0.3 s; it is tried again next time."
    assert not alive(hung)
    assert len(decode(PLAIN).frames) == 8


def test_a_clip_that_takes_too_long_is_given_up(pool):
    slow = clip(numbered(300, (640, 352)), preset="ultrafast", g="300")
    decode(PLAIN)
    read = decode(slow, VideoOptions(timeout_seconds=0.005))
    assert read.transient
    assert len(pool.workers) == 0
    assert len(decode(slow, VideoOptions(timeout_seconds=120)).frames) == 12


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_died_while_it_waited_costs_no_clip(pool, way):
    decode(PLAIN)
    dead = only(pool).pid
    os.kill(dead, way)
    assert gone([dead])
    assert len(decode(PLAIN).frames) == 8


def test_a_worker_that_the_system_kills_at_its_clip_says_nothing_of_the_clip(pool, monkeypatch):
    take = video_pool.video_worker.take

    def killed(*args):
        os.kill(only(pool).pid, signal.SIGKILL)
        return take(*args)

    decode(PLAIN)
    monkeypatch.setattr(video_pool.video_worker, "take", killed)
    read = decode(clip(numbered(300, (640, 352)), preset="ultrafast", g="300"))
    assert (read.frames, read.transient) == ((), True)


def test_a_clip_that_crashes_its_reader_has_a_reason(pool, monkeypatch):
    ask = video_pool.DecodingWorker.ask

    def crashing(worker, limits, data, most):
        os.kill(worker.pid, signal.SIGSEGV)
        return ask(worker, limits, data, most)

    monkeypatch.setattr(video_pool.DecodingWorker, "ask", crashing)
    read = decode(PLAIN)
    assert (read.reason, read.transient) == ("The clip file makes its reader fail, so it was not read.", False)
    monkeypatch.undo()
    monkeypatch.setattr(video_pool, "_pool", pool)
    assert decode(PLAIN).frames


@pytest.mark.parametrize(
    "said",
    [{}, {"frames": [{"size": [9, 9]}], "notes": []}, {"frames": [{"size": [9**9, 9], "turn": None}], "notes": []}],
)
def test_a_worker_that_was_taken_over_is_not_believed(monkeypatch, said):
    monkeypatch.setattr(video_pool.DecodingWorker, "ask", lambda worker, limits, data, most: (said, bytearray(9)))
    assert decode(PLAIN).reason == "The clip file makes its reader fail, so it was not read."


def test_a_worker_sends_no_more_than_was_asked_for(pool):
    decode(PLAIN)
    limits = VideoOptions().model_dump() | {"demuxer": "mov", "seconds": 5, "threads": 1}
    with pytest.raises(video_pool.Crash), pool.borrowed() as (worker, _):
        worker.ask(limits, PLAIN, 3 * 64 * 48 * 8 - 1)
    assert not pool.workers
    with pool.borrowed() as (worker, _):
        assert len(worker.ask(limits, PLAIN, 3 * 64 * 48 * 8)[1]) == 3 * 64 * 48 * 8


def test_too_little_memory_has_a_reason_and_the_next_clip_is_read(pool):
    fragments = clip(8, mux_movflags="frag_keyframe+empty_moov")
    greedy = patched(fragments, box(fragments, b"trun"), struct.pack(">II", 0, 2**24))  # claims so many frames
    read = decode(greedy, VideoOptions(memory_mb=256))
    assert read.reason == "Reading the clip takes more than 256 MB of memory, so it was not read."
    assert not read.transient  # the limit is the options', not the machine's
    assert decode(PLAIN, VideoOptions(memory_mb=256)).frames


def test_what_interrupts_the_wait_kills_the_worker(pool, monkeypatch):
    decode(PLAIN)
    before = only(pool).pid

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(video_pool.video_worker, "take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        decode(PLAIN)
    assert not alive(before)


def test_a_worker_is_replaced_after_many_clips(pool, monkeypatch):
    monkeypatch.setattr(video_pool, "CLIPS", 3)
    seen = set()
    for _ in range(7):
        with pool.borrowed() as (worker, _threads):
            worker.clips += 1
            seen.add(worker.pid)
    assert len(seen) == 3


def test_where_no_worker_starts_the_clip_is_tried_again(pool, monkeypatch):
    monkeypatch.setattr(video_pool, "_START", "raise SystemExit")
    read = decode(PLAIN)
    assert read.transient
    assert read.reason.startswith("No reader of clips could be started")

    def refuse(*_, **__):
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert decode(PLAIN).transient
    monkeypatch.setattr(video_pool.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WorkbenchError, match="install the package `av`"):
        decode(PLAIN)


# ------------------------------------------------------------------------------------------------------ many at a time


def test_threads_share_the_workers(pool):
    clips = [clip(numbered(3, start=at)) for at in range(24)]
    most = []

    def read(data: bytes) -> list[int]:
        frames = decode(data).frames
        most.append(len(pool.workers))
        return [number(frame) for frame in frames]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(read, clips * 4))
    assert found == [[at, at + 1, at + 2] for at in range(24)] * 4
    assert max(most) <= 2
    assert all(alive(worker.pid) for worker in pool.workers)


def test_a_lone_clip_has_the_threads_that_others_do_not_use(pool):
    pool.size = 8
    with pool.borrowed() as (_, alone), pool.borrowed() as (_, beside):
        assert (alone, beside) == (4, 4)  # of eight: four at most, then half
    pool.size = 2
    with pool.borrowed() as (_, alone), pool.borrowed() as (_, beside):
        assert (alone, beside) == (2, 1)


# ------------------------------------------------------------------------------------------------ parents and children


def test_a_worker_is_in_its_own_session_and_loads_little(pool):
    decode(PLAIN)
    pid = only(pool).pid
    assert os.getsid(pid) == pid  # so that Ctrl-C in a terminal does not reach it
    loaded = Path(f"/proc/{pid}/maps").read_text()
    assert "libavcodec" in loaded
    assert not any(name in loaded for name in ("numpy", "torch", "pydantic", "pyarrow"))
    assert len(os.listdir(f"/proc/{pid}/fd")) == 3
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert {entry.partition(b"=")[0] for entry in environment} <= {b"MALLOC_ARENA_MAX", b"LC_ALL", b""}


def test_a_worker_starts_soon(pool):
    decode(PLAIN)
    used = psutil.Process(only(pool).pid).cpu_times()
    assert used.user + used.system < 1  # seconds of its own, which a busy machine does not change


def test_nothing_is_left_behind_and_nothing_is_said_at_exit():
    run = subprocess.run(
        script("assert decode(data).frames\nprint(*pids())", "-W", "error", "-X", "dev"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert gone([int(pid) for pid in run.stdout.split()])


def test_a_killed_parent_leaves_no_worker():
    code = "threads = [threading.Thread(target=decode, args=(data,)) for _ in range(4)]\n"
    code += "[t.start() for t in threads]\n[t.join() for t in threads]\nprint(*pids(), flush=True)\ntime.sleep(99)"
    parent = subprocess.Popen(script(code), stdout=subprocess.PIPE, text=True)
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert workers
    assert all(alive(pid) for pid in workers)
    parent.kill()
    parent.communicate()
    assert gone(workers)


def test_a_worker_whose_parent_was_killed_does_not_outlive_its_clip():
    code = "with video_pool.pool().borrowed() as (worker, _):\n"
    code += "    worker._link.sendall(video_pool.video_worker._HEAD.pack(2, 9**9) + b'{}')\n"  # it waits for the rest
    code += "    print(worker.pid, flush=True)\n    time.sleep(99)"
    parent = subprocess.Popen(script(code), stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    assert gone([worker])


FORK = """
assert decode(data).frames
before = pids()
child = os.fork()
if not child:
    assert not video_pool._pool
    assert decode(data).frames
    assert not set(pids()) & set(before)
    print("child", *pids(), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert decode(data).frames
assert pids() == before
print("parent", *before, flush=True)
child = os.fork()
if not child:
    os.close(1)
    time.sleep(99)  # it holds no end of the parent's links
print("sleeper", child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_forked_child_has_workers_of_its_own():
    run = subprocess.run(script(FORK, "-W", "error"), stdout=subprocess.PIPE, text=True, check=False, timeout=300)
    lines = {line.split()[0]: [int(pid) for pid in line.split()[1:]] for line in run.stdout.splitlines()}
    try:
        assert set(lines) == {"child", "parent", "sleeper"}
        assert gone(lines["child"] + lines["parent"])
        assert alive(lines["sleeper"][0])
    finally:
        os.kill(lines["sleeper"][0], signal.SIGKILL)


def test_forks_while_workers_start_do_not_lock():
    code = "read = lambda: [decode(data) and video_pool.pool().close() for _ in range(5)]\n"
    code += "t = threading.Thread(target=read)\nt.start()\n"
    code += "while t.is_alive():\n    child = os.fork()\n    if not child:\n        os._exit(not decode(data).frames)\n"
    code += "    assert os.waitpid(child, 0)[1] == 0\n"
    run = subprocess.run(script(code), capture_output=True, text=True, check=False, timeout=500)
    assert (run.returncode, run.stderr) == (0, "")


def test_other_threads_go_on_while_a_clip_is_decoded(pool):
    # The wait for a worker holds no lock of the interpreter.
    large = clip(numbered(60, (1280, 720)), preset="ultrafast", g="60")
    counted, done = [0], threading.Event()

    def count() -> None:
        while not done.wait(0.001):
            counted[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    assert decode(large).frames
    done.set()
    thread.join()
    assert counted[0] > 5
