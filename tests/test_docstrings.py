"""Every example in a docstring of the library holds."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import workbench

FOLDER = Path(workbench.__file__).parent
WITH_EXAMPLES = {
    ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in FOLDER.rglob("*.py")
    if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
}


@pytest.mark.parametrize("name", sorted(WITH_EXAMPLES))
def test_every_example_holds(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted, "the examples are in no docstring that doctest finds"
    assert not results.failed
