"""A head may score the first reading alone: what it gives then is what the raw text and the raw picture give."""

import numpy as np
import pyarrow as pa
import pytest
from quick_models import options

from workbench import models
from workbench.schema import inputs


@pytest.mark.parametrize("name", ["text-clip", "clip-cross", "clip-concat"])
def test_without_readings_a_post_scores_as_it_stands(world, name):
    model = world.fit(name)
    raw = inputs(world.test.slice(0, 6))
    more = [text and f"{text} | abuseword nudityword" for text in raw["text"].to_pylist()]
    disguised = raw.set_column(raw.column_names.index("text"), "text", pa.array(more))
    before, highest = model.logits(raw), model.logits(disguised)
    model.options = model.options.model_copy(update={"readings": False})
    np.testing.assert_array_equal(model.logits(disguised), model.logits(raw))
    np.testing.assert_array_equal(model.logits(raw), before)  # where there is one reading, both ways are one
    seen = np.isfinite(before)
    assert (highest[seen] >= before[seen]).all()
    assert (highest[seen] > before[seen] + 0.01).any()


def test_training_is_the_same_with_and_without_readings(world):
    one = world.fit("text-clip")
    other = models.create(
        "text-clip", options("text-clip") | {"readings": False}, taxonomy=world.taxonomy, store=world.store
    ).fit(world.train, world.validation, seed=0)
    np.testing.assert_array_equal(one.logits(world.test), other.logits(world.test))  # these posts have one reading each


def test_where_bags_are_counted_a_picture_has_one_reading_too(world):
    model = models.create(
        "clip-cross", options("clip-cross") | {"pooling": "noisy-or"}, taxonomy=world.taxonomy, store=world.store
    ).fit(world.train, world.validation, seed=0)
    raw = inputs(world.test.slice(0, 12))
    cells = raw["image"].to_pylist()
    more = [cell and {"bytes": cell["bytes"] + b" | abuseword", "path": None} for cell in cells]
    column = pa.array(more, raw.schema.field("image").type)
    model.options = model.options.model_copy(update={"readings": False})
    changed = raw.set_column(raw.column_names.index("image"), "image", column)
    np.testing.assert_array_equal(model.logits(changed), model.logits(raw))
