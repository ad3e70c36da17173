"""What the digest of code does not follow moves no vector: each of it changed, every modality encoded again."""

from __future__ import annotations

import importlib
import inspect
import io

import numpy as np
import pytest
from made_clips import clip
from PIL import Image

from workbench.features.encoders import open_clip
from workbench.features.encoders.forward import threads
from workbench.fingerprint.closure import OUTSIDE
from workbench.preprocessing.image import decoding
from workbench.preprocessing.video import pool, reader

TEXTS = ["free money", "fr33 m0ney", "a long text " * 40, "", None]


def png(seed):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def vectors(folder):
    """The vectors of a few texts, pictures and clips by a freshly loaded encoder."""
    open_clip._load.cache_clear()
    encoder = open_clip.load_encoder(str(folder))
    blocks = [
        encoder.encode_text(TEXTS),
        encoder.encode_image([png(0), png(1), b"no picture", None]),
        encoder.encode_video([clip(), b"no clip"]),
    ]
    return [(block.values, block.counts.tolist()) for block in blocks]


@pytest.fixture(scope="module")
def expected(random_clip):
    return vectors(random_clip)


def raising(*names):
    """Let every function of a module, or of a class, raise: what is never called cannot matter."""

    def forbidden(*args, **more):
        raise AssertionError("this must not be called between content and vectors")

    def change(patch, home):
        whole = [name for name, value in vars(home).items() if inspect.isfunction(value)]
        for name in names or whole:
            patch.setattr(home, name, forbidden)

    return change


def serial(patch, home):
    """One after the other, in this thread."""
    patch.setattr(home, "in_order", lambda workers, work, items, ahead: map(work, items))


def of_one(patch, home):
    """A fresh pool with a single process, which is replaced after each clip."""
    patch.setattr(home, "_pool", home.WorkerPool(1))
    patch.setattr(home, "CLIPS", 1)


def same_values(place, name):
    """Another class of options with the same values."""

    def change(patch, kind):
        other = type("Other", (kind,), {"__module__": kind.__module__})
        patch.setattr(place, name, other(**getattr(place, name).model_dump()))

    return change


CHANGES = {
    "errors": raising("unknown"),
    "fingerprint": raising(),
    "artifacts": raising(),
    "device": raising("peak_memory_mb"),
    "schema:Options": lambda patch, kind: patch.setattr(
        kind, "parse", classmethod(lambda cls, values, where: cls(**values))
    ),
    "schema:_StrictLoader": raising(),
    "schema:ROOT": lambda patch, value: patch.setattr("workbench.features.encoders.names.ROOT", value / "elsewhere"),
    "preprocessing.image.decoding:ImageOptions": same_values(decoding, "DEFAULT"),
    "preprocessing.video.reader:VideoOptions": same_values(reader, "DEFAULT"),
    "preprocessing.video.pool": of_one,
    "features.store": raising(),
    "features.encoders.forward.threads": serial,
    "features.encoders.hub": raising(),
    "features.encoders.names": lambda patch, home: patch.setattr(home, "FORMS", "another name"),
    "features.encoders.identity": raising(),
    "models:Classifier": raising(),
    "models.fit.checkpoints": raising(),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_outside_moves_no_vector(name, random_clip, expected, monkeypatch):
    module, _, definition = name.partition(":")
    home = importlib.import_module(f"workbench.{module}")
    with monkeypatch.context() as patch:
        CHANGES[name](patch, getattr(home, definition) if definition else home)
        for (values, counts), (then, counted) in zip(vectors(random_clip), expected, strict=True):
            assert counts == counted
            np.testing.assert_array_equal(values, then)
    if module == "preprocessing.video.pool":
        assert pool.CLIPS > 1


def test_every_change_is_made_of_something_that_is_outside():
    assert CHANGES.keys() == OUTSIDE.keys()
    assert threads.in_order.__module__ == "workbench.features.encoders.forward.threads"
