"""Keys that earlier editions called otherwise are read by their old names."""

import pytest

from workbench import schema
from workbench.errors import WorkbenchError


def test_options_are_read_by_the_names_of_earlier_editions_unless_a_field_has_that_name():
    class Now(schema.Options):
        variants: bool = True

    class Both(schema.Options):
        readings: int = 0
        variants: bool = True

    assert Now.parse({"readings": False}, "now") == Now(variants=False)
    assert Both.parse({"readings": 3}, "both") == Both(readings=3)
    with pytest.raises(WorkbenchError, match="unusual"):
        Now.parse({"unusual": 1}, "now")  # it has no field of the new name either
