"""A head may score without variants: what it gives then is what the raw text, to its end, and the raw picture give."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from quick_models import options

from workbench import models
from workbench.features.blocks import VARIANTS
from workbench.schema import inputs


def without(model):
    model.options = model.options.model_copy(update={"variants": False})
    return model


@pytest.mark.parametrize("name", ["text-clip", "clip-cross", "clip-concat"])
def test_without_variants_a_post_scores_as_it_stands(world, name):
    model = world.fit(name)
    raw = inputs(world.test.slice(0, 6))
    more = [text and f"{text} | abuseword nudityword" for text in raw["text"].to_pylist()]
    obfuscated = raw.set_column(raw.column_names.index("text"), "text", pa.array(more))
    before, highest = model.logits(raw), model.logits(obfuscated)
    np.testing.assert_array_equal(without(model).logits(obfuscated), model.logits(raw))
    np.testing.assert_array_equal(model.logits(raw), before)  # where there is one variant, both ways are one
    seen = np.isfinite(before)
    assert (highest[seen] >= before[seen]).all()
    assert (highest[seen] > before[seen] + 0.01).any()


@pytest.mark.parametrize("name", ["text-clip", "clip-cross", "clip-retrieval", "clip-zeroshot"])
def test_without_variants_a_long_text_is_read_to_its_end(world, name, table):
    model = world.fit(name)
    words = [f"word{n % 20}" for n in range(24)]  # three windows of eight words
    whole, *windows = [{"text": " ".join(some)} for some in (words, *(words[at : at + 8] for at in (0, 8, 16)))]
    expected = model.logits(table(windows, world.taxonomy)).max(axis=0)
    for asked in (model, without(model)):
        np.testing.assert_allclose(asked.logits(table([whole], world.taxonomy))[0], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["text-clip", "clip-cross", "clip-retrieval", "clip-zeroshot"])
def test_without_variants_nothing_of_theirs_is_missing(world, name, table, monkeypatch):
    model, read = world.fit(name), world.store.text
    note = f"long text: read 16 of its 40 windows; {VARIANTS}16 of 22 are read"
    monkeypatch.setattr(world.store, "text", lambda *asked: replace(read(*asked), notes=[note]))
    posts = table([{"text": "word1"}], world.taxonomy)
    assert model.predict(posts).unread["text"] == [note]
    assert without(model).predict(posts).unread["text"] == ["long text: read 16 of its 40 windows"]


def test_training_is_the_same_with_and_without_variants(world):
    one = world.fit("text-clip")
    other = models.create(
        "text-clip", options("text-clip") | {"variants": False}, taxonomy=world.taxonomy, store=world.store
    ).fit(world.train, world.validation, seed=0)
    np.testing.assert_array_equal(one.logits(world.test), other.logits(world.test))  # these posts have one variant each


def test_where_bags_are_counted_a_picture_has_one_variant_too(world):
    model = models.create(
        "clip-cross", options("clip-cross") | {"pooling": "noisy-or"}, taxonomy=world.taxonomy, store=world.store
    ).fit(world.train, world.validation, seed=0)
    raw = inputs(world.test.slice(0, 12))
    cells = raw["image"].to_pylist()
    more = [cell and {"bytes": cell["bytes"] + b" | abuseword", "path": None} for cell in cells]
    column = pa.array(more, raw.schema.field("image").type)
    changed = raw.set_column(raw.column_names.index("image"), "image", column)
    np.testing.assert_array_equal(without(model).logits(changed), model.logits(raw))
