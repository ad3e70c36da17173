"""A feature store over an encoder whose vectors are hashes: fast, exact, and it remembers what it was asked for."""

import hashlib

import numpy as np
import pyarrow as pa

from workbench.features import Blocks, FeatureStore, TransientError
from workbench.features.items import key

MEDIA = pa.struct({"bytes": pa.binary(), "path": pa.string()})


class Stub:
    """An encoder whose vector is made of the content's hash: two variants of texts with "long", a reason for "bad"."""

    name, dim = "stub", 4

    def __init__(self, fingerprint="a" * 64):
        self.fingerprint, self.seen = fingerprint, []

    def identity(self, modality):
        return self.fingerprint

    def depends(self, modality):
        return {"weights": self.fingerprint}

    def encode_text(self, texts, report=None):
        return self._encode([text.encode() for text in texts], report)

    def encode_image(self, pictures, report=None):
        return self._encode(pictures, report)

    encode_video = encode_image

    def _encode(self, items, report):
        self.seen.extend(item for item in items if item is not None)
        vectors, counts, reasons, notes = [np.empty((0, 4))], [], [], []
        for item in items:
            bad = None if item is None or b"bad" not in item else "damaged"
            bad = TransientError("no memory") if item is not None and b"transient" in item else bad
            counts.append(0 if item is None or bad else 2 if b"long" in item else 1)
            reasons.append(bad)
            notes.append("two windows" if counts[-1] == 2 else None)
            for k in range(counts[-1]):
                digest = hashlib.sha256(item + bytes([k])).digest()
                vectors.append(np.frombuffer(digest[:4], np.uint8)[None] / 256)
            if report is not None:
                report(len(counts))
        variants = [k for count in counts for k in range(count)]
        return Blocks.build(np.concatenate(vectors), counts, reasons, notes, variants)


def make(folder=None, encoder=None, **options):
    """A store over the stub, and the stub."""
    encoder = encoder or Stub()
    return FeatureStore(folder, "cpu", load=lambda name, device: encoder, **options), encoder


def texts(*values):
    return pa.table({"text": pa.array(values, pa.string())})


def images(*values):
    return pa.table({"image": pa.array(values, MEDIA)})


def text_key(text):
    """The key that the store finds a text by."""
    return key("text", text.encode())


def same(a, b):
    """Equal bit for bit, NaN included."""
    assert a.values.tobytes() == b.values.tobytes()
    assert a.offsets.tolist() == b.offsets.tolist()
    assert (a.reasons, a.notes, a.variants.tolist()) == (b.reasons, b.notes, b.variants.tolist())


def forty():
    return texts(*(f"text {i}" for i in range(40)))


MANY = texts(
    *(f"text {i}" for i in range(200)), *(f"a long text {i}" for i in range(60)), *(f"bad {i}" for i in range(40))
)


def shards(folder, suffix):
    """The files of a store that end so."""
    return sorted(path for path in folder.rglob(f"*{suffix}") if path.is_file())
