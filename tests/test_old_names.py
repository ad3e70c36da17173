"""Keys that earlier versions called otherwise are read by their old names."""

import pytest

from workbench import schema
from workbench.errors import WorkbenchError
from workbench.studies import config


def test_options_are_read_by_the_names_of_earlier_versions_unless_a_field_has_that_name():
    class Now(schema.Options):
        variants: bool = True

    class Both(schema.Options):
        readings: int = 0
        variants: bool = True

    assert Now.parse({"readings": False}, "now") == Now(variants=False)
    assert Both.parse({"readings": 3}, "both") == Both(readings=3)
    with pytest.raises(WorkbenchError, match="unusual"):
        Now.parse({"unusual": 1}, "now")  # it has no field of the new name either


def test_a_key_by_both_names_is_one_sentence():
    class Now(schema.Options):
        variants: bool = True

    with pytest.raises(
        WorkbenchError, match=r"now: .*'readings' is now 'variants', and both are given; leave 'readings'"
    ):
        Now.parse({"readings": False, "variants": True}, "now")


def test_people_s_own_names_are_no_names_of_earlier_editions():
    """Labels, columns and words of decisions can be called anything."""
    own = {"class_weight": {"unusual": 3.0}, "columns": {"sight": "sketchy"}, "decisions": {"crossing": True}}
    policy = {"sketchy": {"review": {"recall": 0.9}}}
    assert config.old_names({"models": [{"name": "scores", "options": own}], "policy": policy}) == []
    old = {"models": [{"options": {"readings": False, **own}}], "policy": {**policy, "unusual": {"at": 0.9}}}
    assert config.old_names(old) == [
        "models.0.options.readings is now models.0.options.variants",
        "policy.unusual is now policy.out_of_distribution",
    ]
