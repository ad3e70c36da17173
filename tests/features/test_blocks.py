"""Blocks: rows per item, NaN with a reason, nothing for the absent."""

import numpy as np
import pytest

from workbench.features import Blocks, Truncated
from workbench.features.blocks import VARIANTS


def three():
    """A text of two windows, an absent item, one that could not be read."""
    return Blocks.build(np.array([[1.0, 2.0], [3.0, 4.0]]), [2, 0, 0], [None, None, "damaged"], ["long", None, None])


def test_an_unread_item_has_one_row_of_nan_and_an_absent_one_none():
    blocks = three()
    assert blocks.offsets.tolist() == [0, 2, 2, 3]
    assert blocks.counts.tolist() == [2, 0, 1]
    np.testing.assert_array_equal(blocks.values, [[1, 2], [3, 4], [np.nan, np.nan]])
    assert blocks.readable.tolist() == [True, False, False]
    assert blocks.reasons == [None, None, "damaged"]


def test_first_takes_the_first_row_and_is_nan_where_there_is_none():
    np.testing.assert_array_equal(three().first(), [[1, 2], [np.nan, np.nan], [np.nan, np.nan]])


def test_every_row_knows_its_variant_whatever_becomes_of_the_items():
    # two windows of raw text and one of another variant, a torn file, a picture as it stands and on another ground
    blocks = Blocks.build(np.eye(5), [3, 0, 2], [None, "torn", None], None, [0, 0, 1, 0, 1])
    assert blocks.variants.tolist() == [0, 0, 1, 0, 0, 1]
    assert blocks.take([2, 0, 1]).variants.tolist() == [0, 1, 0, 0, 1, 0]
    assert Blocks.join([blocks, Blocks.empty(1, 5), blocks], 5).variants.tolist() == [0, 0, 1, 0, 0, 1] * 2
    assert three().variants.tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="one variant per row"):
        Blocks(np.zeros((1, 2), np.float32), np.array([0, 1]), [None], variants=np.zeros(2, np.uint8))


def test_values_are_rounded_to_float16_and_returned_as_float32():
    # float16 has 10 bits after the point: between 1 and 2 its step is 1/1024, so 1.0004 rounds to 1
    blocks = Blocks.build(np.array([[1.0004, 1 + 1 / 1024]]), [1], [None])
    assert blocks.values.dtype == np.float32
    assert blocks.values.tolist() == [[1.0, 1 + 1 / 1024]]


def test_take_repeats_and_reorders_with_reasons_and_notes():
    blocks = three().take([2, 0, 0, 1])
    assert blocks.counts.tolist() == [1, 2, 2, 0]
    assert blocks.reasons == ["damaged", None, None, None]
    assert blocks.notes == [None, "long", "long", None]
    np.testing.assert_array_equal(blocks.values[1:], [[1, 2], [3, 4], [1, 2], [3, 4]])


def test_join_puts_items_one_after_the_other():
    joined = Blocks.join([three(), Blocks.empty(2, 2), three()], 2)
    assert joined.counts.tolist() == [2, 0, 1, 0, 0, 2, 0, 1]
    np.testing.assert_array_equal(joined.take([5, 6, 7]).values, three().values)
    assert len(Blocks.join([], 7)) == 0
    assert Blocks.join([], 7).dim == 7


def test_offsets_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="same items"):
        Blocks(np.zeros((2, 3), np.float32), np.array([0, 1]), [None])


def test_what_a_note_says_of_variants_counts_only_where_they_are_read():
    of_text, of_variants = "long text: read 16 of its 40 windows", f"{VARIANTS}16 of 22 are read"
    notes = (None, of_text, of_variants, f"{of_text}; {of_variants}")
    assert tuple(Truncated.of(note, True) for note in notes) == notes
    assert [Truncated.of(note, False) for note in notes] == [None, of_text, None, of_text]
