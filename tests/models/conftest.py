"""Small corpora and an encoder of words that needs no weights; what a text or a picture says stands in plain words.

In the fake encoder a text (or the bytes of a picture or clip, as ASCII) is a bag of words; `a | b` has two variants, or
frames, and any other text those that undo its obfuscation, in windows of eight words; `unreadable` cannot be read. Its
tokens are the words; tuning it learns a matrix that all words go through.
"""

import hashlib
import zlib

import numpy as np
import pyarrow as pa
import pytest
from quick_models import build

from workbench.features import Blocks, FeatureStore
from workbench.features.encoders import load_encoder
from workbench.features.encoders.names import TRANSFORMER
from workbench.preprocessing.image import ocr
from workbench.preprocessing.text.variants import variants
from workbench.schema import Label, Taxonomy, corpus_schema

DIM = 12


class WordEncoder:
    """The mean of fixed random vectors of the words."""

    name, dim, fingerprint, weights, dtype, config = "words", DIM, "words 1", "words", "float32", {"words": DIM}

    def __init__(self, version=1, dtype="float32", matrix=None):
        self.recipe = {"version": version, "dtype": dtype}
        if matrix is not None:
            self.matrix, self.model = matrix, FakeTunable.module(matrix)
            self.fingerprint = self.weights = f"words {hashlib.sha256(matrix.tobytes()).hexdigest()}"

    @property
    def unpooled(self):
        return WordPieces(**self.recipe)

    def tunable(self):
        return FakeTunable(self)

    def identity(self, modality):
        return self.fingerprint

    def depends(self, modality):
        return {"weights": self.fingerprint}

    def encode_text(self, texts, report=None):
        return self._blocks(texts, [self.windows(text) for text in texts])

    def encode_image(self, pictures, report=None):
        texts = [None if data is None else data.decode() for data in pictures]
        return self._blocks(texts, [list(enumerate(self.parts(text))) for text in texts])

    def encode_video(self, clips, report=None):
        texts = [None if data is None else data.decode() for data in clips]
        return self._blocks(texts, [[(0, frame) for frame in self.parts(text)] for text in texts])

    def _blocks(self, texts, rows):
        reasons = ["cannot be read" if text == "unreadable" else None for text in texts]
        vectors = np.array([self.vector(words.split()) for some in rows for _, words in some])
        numbers = [number for some in rows for number, _ in some]
        return Blocks.build(vectors.reshape(-1, self.dim), list(map(len, rows)), reasons, variants=numbers)

    def windows(self, text):
        """Return (number of the variant, words) of each row of a text."""
        found = self.parts(text)
        if len(found) == 1:
            found = [variant.text for variant in variants(text)]
        split = [(number, words.split()) for number, words in enumerate(found)]
        return [(n, " ".join(words[at : at + 8])) for n, words in split for at in range(0, len(words), 8)]

    def text_kinds(self, text):
        planted = [f"kind {number}" for number in range(1, text.count("|") + 1)]
        return [None, *(planted or [variant.kind for variant in variants(text)[1:]])]

    def vector(self, words):
        mean = np.mean([self.word(word) for word in words], axis=0)
        return mean if self.fingerprint == "words 1" else mean @ self.matrix.T.astype(float)

    @staticmethod
    def parts(text):
        return text.split("|") if text is not None and text.strip() and text != "unreadable" else []

    @staticmethod
    def word(word):
        return np.random.default_rng(zlib.crc32(word.encode())).normal(size=DIM)


class WordPieces(WordEncoder):
    """The mean, then the words themselves, up to eight."""

    fingerprint, width, dim = "word tokens 1", DIM, 9 * DIM

    def vector(self, words):
        embeddings = np.zeros((9, DIM))
        embeddings[0] = np.mean([self.word(word) for word in words], axis=0)
        embeddings[1 : 1 + len(words[:8])] = [self.word(word) for word in words[:8]]
        return embeddings.ravel()


class FakeTunable:
    """A matrix that starts as the identity, as the towers of `WordEncoder`."""

    dim = DIM

    def __init__(self, whole):
        import torch

        self.whole, self.model = whole, self.module(np.eye(DIM, dtype=np.float32))
        self.model.weight.requires_grad_(True)
        self.tensor = torch.tensor

    @staticmethod
    def module(matrix):
        import torch

        layer = torch.nn.Module()
        layer.weight = torch.nn.Parameter(torch.tensor(matrix))
        return layer

    def texts(self, texts):
        return [next((words for _, words in self.whole.windows(text)), None) for text in texts]

    def variants(self, modality, data):
        found = [np.mean([WordEncoder.word(w) for w in r.split()], axis=0) for r in WordEncoder.parts(data.decode())]
        return self.tensor(np.array(found, dtype=np.float32)) if found else None

    def embed_texts(self, rows):
        return self.embed_pictures([self.variants("image", row.encode())[0] for row in rows])

    def embed_pictures(self, variants):
        return self.tensor(np.array([r.numpy() for r in variants])) @ self.model.weight.T

    def depths(self):
        return {"weight": 0}

    def frozen(self):
        return WordEncoder(**self.whole.recipe, matrix=self.model.weight.detach().numpy().copy())


def make_taxonomy(*names):
    return Taxonomy(labels=tuple(Label(name=name, title=name, definition=name) for name in names))


def make_table(rows, taxonomy):
    """Return a corpus table from dicts with text, image, video (words), labels {name: bool} and any other column."""
    schema = corpus_schema(taxonomy)
    filled = []
    for number, row in enumerate(rows):
        media = {
            name: None if row.get(name) is None else {"bytes": row[name].encode(), "path": None}
            for name in ("image", "video")
        }
        labels = {name: row.get("labels", {}).get(name) for name in taxonomy.names}
        names = {"post_id": f"p{number}", "group": f"g{number}", "weight": 1.0, "split": "train"}
        filled.append({field.name: None for field in schema} | names | row | media | {"labels": labels})
    return pa.Table.from_pylist(filled, schema=schema)


def make_author(rng, harm):
    """Return an author's numbers, some of them missing, or None for one post in five."""
    if rng.random() < 0.2:
        return None
    counts = {"posts": rng.poisson(20), "prior_reports": rng.poisson(1 + 4 * harm), "prior_removals": rng.poisson(harm)}
    known = {name: int(value) for name, value in counts.items() if rng.random() < 0.9}
    return {"id": f"u{rng.integers(50)}", "account_age_days": float(rng.exponential(300)), **known}


def make_rows(n, taxonomy, seed, clips=False):
    """Return n posts: two thirds pairs, the others one half; a label goes with its own word in either half.

    clips: a third of what would be pictures are clips of three frames, of which one has the word; and one in ten both.
    Four in five posts have an author, with more reports where a label holds; half of them are in the north.
    """
    rng, around = np.random.default_rng(seed), np.random.default_rng([seed, 1])
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
        row |= {"author": make_author(around, sum(labels.values())), "region": ("north", "south")[around.integers(2)]}
        rows.append({**row, "post_id": f"p{seed}-{number}", "group": f"g{seed}-{number // 2}"})
        if clips and row["image"] is not None and number % 3 == 0:
            frames = [" ".join(rng.choice(fillers, 4)) for _ in range(2)]
            rows[-1]["video"] = "|".join(rng.permutation([image, *frames]))
            rows[-1]["image"] = frames[0] if number % 10 == 0 else None
    return rows


@pytest.fixture
def taxonomy():
    return make_taxonomy("abuse", "nudity")


@pytest.fixture(scope="session")
def table():
    """The function that makes a corpus table from dicts."""
    return make_table


@pytest.fixture
def rows():
    """The function that makes posts: rows(n, taxonomy, seed, clips=False)."""
    return make_rows


@pytest.fixture(scope="session")
def new_taxonomy():
    return make_taxonomy


@pytest.fixture
def store():
    """A store whose encoder is the fake one, save for transformers, which are saved checkpoints."""

    def load(name, device):
        return load_encoder(name, device) if name.startswith(TRANSFORMER) else WordEncoder()

    return FeatureStore(None, "cpu", load=load)


@pytest.fixture
def engine(monkeypatch):
    """The function that puts another in the place of the recogniser of words: engine(bytes -> words or None).

    It returns the list of the pictures that were read.
    """

    def put(words):
        seen = []
        monkeypatch.setattr(ocr, "available", lambda: True)
        monkeypatch.setattr(ocr, "models", list)
        monkeypatch.setattr(ocr, "words", lambda data: seen.append(data) or words(data))
        return seen

    return put


@pytest.fixture
def store_of():
    """The function that makes a store with another encoder: store_of(version=2)."""
    return lambda **changed: FeatureStore(None, "cpu", load=lambda name, device: WordEncoder(**changed))


@pytest.fixture
def world(taxonomy, store, table, rows, tmp_path):
    return build(taxonomy, store, table, rows, tmp_path)
