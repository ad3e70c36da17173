"""What the digest of code does not follow moves no vector: hardly any of it runs, and what does may do it otherwise."""

from __future__ import annotations

import io
import shutil
import sys
import threading

import numpy as np
import pytest
from made_clips import clip
from PIL import Image

from workbench import device
from workbench.features import encoders
from workbench.features.encoders import hub
from workbench.features.encoders.forward import threads, towers, transform
from workbench.fingerprint.closure import OUTSIDE
from workbench.preprocessing.video import pool

# Of what is outside, all that runs between a name and its vectors; whoever adds to it shows below that it moves none.
RUNS = {
    "device": {"Room", "dtype", "asked_for_bf16", "free_memory"},
    "features.encoders.forward.threads": {"cores", "in_order"},
    "features.encoders.hub": {"Repository", "explained"},
    "features.encoders.names": {
        "Source",
        "_folder",
        "_locate",
        "check",
        "clip_options",
        "encoder_files",
        "parse",
        "reading_options",
    },
    "preprocessing.video.pool": {"DecodingWorker", "WorkerPool", "pool"},
}
TEXTS = ["free money", "fr33 m0ney", "a long text " * 40, "", None]


def png(seed):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def vectors(folder):
    """The vectors of a few texts, pictures and clips by a freshly loaded encoder."""
    encoders._load.cache_clear()
    encoder = encoders.load_encoder(str(folder))
    blocks = [
        encoder.encode_text(TEXTS),
        encoder.encode_image([png(0), png(1), b"no picture", None]),
        encoder.encode_video([clip(), b"no clip"]),
    ]
    return [(block.values, block.counts.tolist()) for block in blocks]


def ran(folder, monkeypatch):
    """The functions and classes of each thing outside that ran while `vectors` were made, in any thread."""
    seen = set()

    def note(frame, event, argument):
        if event == "call" and (module := frame.f_globals.get("__name__", "")).startswith("workbench."):
            seen.add((module.removeprefix("workbench."), frame.f_code.co_qualname.partition(".")[0]))

    monkeypatch.setattr(threads, "_POOLS", {})  # threads that began before would not be heard
    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        vectors(folder)
    finally:
        sys.setprofile(before)
        threading.setprofile(before)
    found = {}
    for outside in OUTSIDE:
        home, _, definition = outside.partition(":")
        names = {name for module, name in seen if f"{module}.".startswith(f"{home}.") and definition in ("", name)}
        found[outside] = names - {"_Recorder", "__create_fn__", "<module>"}  # imports, and dataclasses' own code
    return {outside: names for outside, names in found.items() if names}


@pytest.fixture(scope="module")
def expected(random_clip):
    return vectors(random_clip)


def test_of_what_is_outside_only_what_is_named_here_runs_between_content_and_vectors(random_clip, monkeypatch):
    found = ran(random_clip, monkeypatch)
    allowed = {outside: found[outside] - RUNS.get(outside, set()) for outside in found}
    assert {outside: names for outside, names in allowed.items() if names} == {}
    assert RUNS.keys() <= OUTSIDE.keys()


@pytest.mark.parametrize("home", [hub, device])
def test_what_moves_a_vector_from_outside_is_caught(random_clip, monkeypatch, home):
    code = "def darker(pixels, size, fill): return centre(pixels, size, fill) // 2"
    exec(code, home.__dict__ | {"centre": transform._centre}, place := {})
    monkeypatch.setattr(transform, "_centre", place["darker"])
    assert "darker" in ran(random_clip, monkeypatch)[home.__name__.removeprefix("workbench.")]


def one_by_one(patch, folder):
    """As if there were memory for one item at a time."""
    patch.setattr(towers, "free_memory", lambda where: 1)
    return folder


def serial(patch, folder):
    """One after the other, in this thread."""
    patch.setattr(threads, "in_order", lambda workers, work, items, ahead: map(work, items))
    return folder


def under_another_name(patch, folder):
    """From another folder, called otherwise."""
    copy = folder.parent / "copy of it"
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    patch.chdir(copy.parent)
    return "local-dir:copy of it?frames=12"


def of_one(patch, folder):
    """A fresh pool with a single process, which is replaced after each clip."""
    patch.setattr(pool, "_pool", pool.WorkerPool(1))
    patch.setattr(pool, "CLIPS", 1)
    return folder


OTHERWISE = {
    "device": one_by_one,
    "features.encoders.forward.threads": serial,
    "features.encoders.hub": under_another_name,
    "features.encoders.names": under_another_name,
    "preprocessing.video.pool": of_one,
}


@pytest.mark.parametrize("outside", RUNS)
def test_what_runs_outside_may_do_it_otherwise_and_moves_no_vector(outside, random_clip, expected, monkeypatch):
    with monkeypatch.context() as patch:
        name = OTHERWISE[outside](patch, random_clip)
        for (values, counts), (then, counted) in zip(vectors(name), expected, strict=True):
            assert counts == counted
            # float32 rounds otherwise in a batch of another size, which may move a float16 by its last bit
            np.testing.assert_allclose(values, then, atol=0 if outside != "device" else 2**-11)
