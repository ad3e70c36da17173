"""Small corpora and an encoder of words that needs no weights; what a text or a picture says stands in plain words.

In the fake encoder a text (or the bytes of a picture, as ASCII) is a bag of words; `a | b` has two readings;
`unreadable` cannot be read.
"""

import zlib

import numpy as np
import pyarrow as pa
import pytest

from workbench.features import Blocks, FeatureStore
from workbench.schema import Label, Taxonomy, corpus_schema

DIM = 12


class WordEncoder:
    """The mean of fixed random vectors of the words."""

    name, dim, fingerprint, dtype = "words", DIM, "words 1", "float32"

    def __init__(self, version=1, dtype="float32"):
        self.recipe = {"version": version, "dtype": dtype}

    def encode_text(self, texts):
        counts, reasons, rows = [], [], []
        for text in texts:
            readable = text is not None and text.strip() and text != "unreadable"
            readings = text.split("|") if readable else []
            rows += [np.mean([self.word(word) for word in reading.split()], axis=0) for reading in readings]
            counts.append(len(readings))
            reasons.append("cannot be read" if text == "unreadable" else None)
        return Blocks.build(np.array(rows).reshape(-1, DIM), counts, reasons)

    def encode_image(self, pictures):
        return self.encode_text([None if data is None else data.decode() for data in pictures])

    @staticmethod
    def word(word):
        return np.random.default_rng(zlib.crc32(word.encode())).normal(size=DIM)


def make_taxonomy(*names):
    return Taxonomy(labels=tuple(Label(name=name, title=name, definition=name) for name in names))


def make_table(rows, taxonomy):
    """Return a corpus table from dicts with text, image (words), labels {name: bool} and any other column."""
    schema = corpus_schema(taxonomy)
    filled = []
    for number, row in enumerate(rows):
        image = row.get("image")
        picture = None if image is None else {"bytes": image.encode(), "path": None}
        labels = {name: row.get("labels", {}).get(name) for name in taxonomy.names}
        names = {"post_id": f"p{number}", "group": f"g{number}", "weight": 1.0, "split": "train"}
        filled.append({field.name: None for field in schema} | names | row | {"image": picture, "labels": labels})
    return pa.Table.from_pylist(filled, schema=schema)


def make_rows(n, taxonomy, seed):
    """Return n posts: two thirds pairs, the others one half; a label goes with its own word in either half."""
    rng = np.random.default_rng(seed)
    fillers = [f"word{i}" for i in range(20)]
    rows = []
    for number in range(n):
        labels = {name: bool(rng.random() < 0.3) for name in taxonomy.names}
        words = [list(rng.choice(fillers, 4)) for _ in range(2)]
        for name, holds in labels.items():
            if holds:
                words[rng.integers(2)].append(f"{name}word")
        text, image = (" ".join(half) for half in words)
        kind = rng.integers(6)
        row = {"text": None if kind == 0 else text, "image": None if kind == 1 else image, "labels": labels}
        rows.append({**row, "post_id": f"p{seed}-{number}", "group": f"g{seed}-{number // 2}"})
    return rows


@pytest.fixture
def taxonomy():
    return make_taxonomy("abuse", "nudity")


@pytest.fixture
def table():
    """The function that makes a corpus table from dicts."""
    return make_table


@pytest.fixture
def rows():
    """The function that makes posts: rows(n, taxonomy, seed)."""
    return make_rows


@pytest.fixture
def new_taxonomy():
    return make_taxonomy


@pytest.fixture
def store():
    return FeatureStore(None, "cpu", load=lambda name, device: WordEncoder())


@pytest.fixture
def store_of():
    """The function that makes a store with another encoder: store_of(version=2)."""
    return lambda **changed: FeatureStore(None, "cpu", load=lambda name, device: WordEncoder(**changed))
