"""When stored features are made anew: whatever lies between content and vectors, by modality, and nothing else."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import pyarrow as pa
import pytest
from code_tree import Tree
from PIL import Image
from random_clip import write_encoder
from random_transformer import write_transformer

from workbench.features import FeatureStore, encoders
from workbench.features.encoders import identity, load_encoder
from workbench.features.store import maintenance
from workbench.features.store.adoption import adopt
from workbench.fingerprint import closure

MODALITIES = ("text", "image", "video")


@pytest.fixture
def tree():
    return Tree()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_encoder(str(write_encoder(tmp_path_factory.mktemp("clip"))))


def depends(encoder, tree, monkeypatch):
    """What the vectors of each modality depend on, were the code that of a tree."""
    library = tree.library()
    monkeypatch.setattr(closure, "_here", lambda: library)
    return {modality: identity.depends(encoder, modality) for modality in MODALITIES}


TEXT, SIGHT, ALL = ["text"], ["image", "video"], ["text", "image", "video"]


@pytest.mark.parametrize(
    ("module", "old", "new", "which"),
    [
        ("preprocessing.text.obfuscation", '    (visible, "invisible characters removed"),\n', "", TEXT),  # one rule
        ("preprocessing.text.obfuscation", "acdeghijlopqsyxvw", "acdeghijlopqsyxvv", TEXT),
        ("preprocessing.text.variants", "MOST = 8", "MOST = 7", TEXT),
        ("preprocessing.text.cleaning", "0x1C", "0x1D", TEXT),
        ("features.encoders.forward.windows", "room - room // 8", "room - room // 4", TEXT),
        ("features.encoders.forward.towers", "x = tower.ln_final(x)", "x = 2 * tower.ln_final(x)", TEXT),
        ("features.encoders.forward.towers", "(pixels - self._mean)", "(pixels + self._mean)", SIGHT),
        ("features.encoders.forward.transform", "variants[0].shape[:2])", "variants[-1].shape[:2])", SIGHT),
        ("preprocessing.image.decoding", "_ORIENTATION = 0x0112", "_ORIENTATION = 0x0113", ["image"]),
        ("preprocessing.video.sampling", "THUMB = 16", "THUMB = 17", ["video"]),
        ("preprocessing.video.decoder", "THUMB, THUMB, **how", "2 * THUMB, THUMB, **how", ["video"]),
        ("preprocessing.video.reader", "across < 0 or down < 0", "across < 0", ["video"]),
        ("features.encoders.loading", "part.batch_first = False", "part.batch_first = True", ALL),
        ("features.encoders.forward.towers", "(embed(some).float(), dim=-1)", "(embed(some).float(), dim=1)", ALL),
        ("features.blocks", "values[filled] = vectors", "values[filled] = 0 * vectors", ALL),
        ("features.items", "return self._column[row].as_py()", "return self._column[row].as_py().lower()", TEXT),
        ("preprocessing.media", "return file.read(most)", "return file.read(100)", SIGHT),
        ("features.items", "pc.not_equal(pc.utf8", "pc.equal(pc.utf8", TEXT),
        ("preprocessing.image.decoding", "composites: bool = Field(True", "composites: bool = Field(False", ["image"]),
    ],
)
def test_code_between_content_and_vectors_counts_for_its_modality(encoder, tree, monkeypatch, module, old, new, which):
    before = depends(encoder, tree, monkeypatch)
    after = depends(encoder, tree.edit(module, old, new), monkeypatch)
    assert [modality for modality in MODALITIES if before[modality] != after[modality]] == which


def edited(tree):
    """Change what computes nothing, all over the tree."""
    for name in tree.names():
        tree.write(name, f"# a comment\n{tree.read(name)}\n\n# and one more\n")
    tree.edit("preprocessing.text.variants", '"""Return the words alone;', '"""Return nothing but the words;')
    tree.edit("features.encoders.loading", "save the model again", "save that model once more")
    tree.edit("preprocessing.text.cleaning", "learn a Lexicon", "learn one")
    tree.edit("features.encoders.open_clip", "log.warning(warning)", 'log.warning("%s", warning)')
    tree.edit("preprocessing.text.variants", "seen", "known")  # a local variable
    tree.edit("preprocessing.text.variants", "_clean_looking", "_looks_clean")


def moved(tree):
    """Move a module to another package under another name."""
    tree.write("preprocessing.words.undoing", tree.read("preprocessing.text.obfuscation"))
    tree.write("preprocessing.text.obfuscation", None)
    name = "preprocessing.text.variants"
    tree.edit(name, "workbench.preprocessing.text import obfuscation", "workbench.preprocessing.words import undoing")
    tree.edit(name, "obfuscation.", "undoing.")


def outside(tree):
    """Change everything that is not followed: a new tier of the store, another pool, other errors."""
    for outside in closure.OUTSIDE:
        module, _, definition = outside.partition(":")
        for name in (name for name in tree.names() if f"{name}.".startswith(f"{module}.")):
            source = tree.read(name) if definition else tree.read(name).replace("return ", "return None or ")
            tree.write(name, f"{source}\n\nNEW = 1\n")
    tree.edit("schema", "{} if values is None else values", "values or {}")


@pytest.mark.parametrize("change", [edited, moved, outside])
def test_what_moves_no_vector_counts_for_nothing(encoder, tree, monkeypatch, change):
    before = depends(encoder, tree, monkeypatch)
    change(tree)
    assert depends(encoder, tree, monkeypatch) == before


def png(colour=(200, 30, 30)):
    import io

    file = io.BytesIO()
    Image.new("RGB", (40, 40), colour).save(file, "PNG")
    return file.getvalue()


MEDIA = pa.struct({"bytes": pa.binary(), "path": pa.string()})
POSTS = pa.table({"text": ["free money", "fr33 money"], "image": pa.array([{"bytes": png()}, None], MEDIA)})


def computed(folder, name, modalities=("text", "image")):
    """How many contents of each modality a fresh process with that folder would encode."""
    encoders._load.cache_clear()
    store = FeatureStore(folder, "cpu")
    counts = {}
    for modality in modalities:
        before = store.hits["computed"]
        getattr(store, modality)(name, POSTS)
        counts[modality] = store.hits["computed"] - before
    return counts


def test_the_store_encodes_again_after_a_rule_was_disabled_and_not_after_a_comment(tmp_path, random_clip, monkeypatch):
    name, folder = str(random_clip), tmp_path / "store"
    tree = Tree()
    assert computed(folder, name) == {"text": 2, "image": 1}
    tree.edit("preprocessing.text.obfuscation", "PLAIN = (", "# the mild steps\nPLAIN = (")
    library = tree.library()
    monkeypatch.setattr(closure, "_here", lambda: library)
    assert computed(folder, name) == {"text": 0, "image": 0}
    tree.edit("preprocessing.text.obfuscation", '    (decoded, "codes decoded"),\n', "")
    other = tree.library()
    monkeypatch.setattr(closure, "_here", lambda: other)
    assert computed(folder, name) == {"text": 2, "image": 0}


def test_features_of_earlier_code_are_adopted_by_a_real_encoder(tmp_path, random_clip, monkeypatch):
    name, folder = str(random_clip), tmp_path / "store"
    earlier = Tree().edit("preprocessing.text.variants", "MOST = 8", "MOST = 9").library()
    with monkeypatch.context() as patch:
        patch.setattr(closure, "_here", lambda: earlier)
        assert computed(folder, name, ["text"]) == {"text": 2}
    encoders._load.cache_clear()
    (space,) = maintenance.ls(folder)
    (line,) = adopt(folder, space.fingerprint, [POSTS])
    assert line.startswith(f"{name} text: 2 contents agree (at most 0 units")
    assert computed(folder, name, ["text"]) == {"text": 0}


@pytest.mark.parametrize(
    ("library", "expected"),
    [
        ("pillow", {"text": 0, "image": 1}),
        ("ftfy", {"text": 2, "image": 0}),
        ("torch", {"text": 2, "image": 1}),
        ("typer", {"text": 0, "image": 0}),
    ],
)
def test_another_minor_version_of_a_library_encodes_what_uses_it_again(
    tmp_path, random_clip, monkeypatch, library, expected
):
    assert computed(tmp_path, str(random_clip)) == {"text": 2, "image": 1}
    version = importlib.metadata.version
    major, _, _ = version(library).partition(".")
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: f"{major}.999.0" if name == library else version(name)
    )
    assert computed(tmp_path, str(random_clip)) == expected
    assert computed(tmp_path, str(random_clip)) == {"text": 0, "image": 0}


def test_another_minor_version_of_transformers_encodes_the_texts_of_transformers_again(tmp_path, monkeypatch):
    name = f"transformer:mean:16:{write_transformer(tmp_path / 'bert')}"
    store = tmp_path / "store"
    assert computed(store, name, ["text"]) == {"text": 2}
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda library: "9.9.9" if library == "transformers" else version(library)
    )
    assert computed(store, name, ["text"]) == {"text": 2}


def test_a_text_encoder_depends_on_its_own_pooling(tmp_path, monkeypatch):
    encoder = load_encoder(f"transformer:mean:16:{write_transformer(tmp_path / 'bert')}")
    tree = Tree()

    def now():
        library = tree.library()
        monkeypatch.setattr(closure, "_here", lambda: library)
        return identity.depends(encoder, "text")

    before = now()
    tree.edit("features.encoders.forward.transform", "_centre", "_middle")
    assert now() == before
    tree.edit("features.encoders.text", "return hidden[:, 0]", "return hidden[:, 1]")
    assert now() != before


def test_patches_depend_on_what_the_encoder_does_and_on_their_own(encoder, tree, monkeypatch):
    before = [depends(which, tree, monkeypatch)["image"] for which in (encoder, encoder.unpooled)]
    tree.edit("features.encoders.patches", "GRID = 4", "GRID = 3")
    after = [depends(which, tree, monkeypatch)["image"] for which in (encoder, encoder.unpooled)]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False]


def test_what_something_depends_on_is_found_fast(encoder):
    import time

    fresh = closure.Library()
    names = [[closure._name(entry) for entry in encoder.entries(modality)] for modality in MODALITIES]
    for entries in names:
        fresh.closure(*entries)
    start = time.perf_counter()
    for entries in names:
        fresh.closure(*entries)
    warm = time.perf_counter() - start
    assert warm < 0.05  # about 10 microseconds
    assert np.mean([len(fresh.closure(*entries).definitions) for entries in names]) < 400
