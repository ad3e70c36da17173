"""YAML as people write it: what is no mapping is refused in a line, and words are words."""

from __future__ import annotations

import pytest
from pydantic import Field

from workbench.errors import WorkbenchError
from workbench.schema import Options
from workbench.strict_yaml import read_yaml


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory; check the path"),
        (b"\xff\xfe\xff", "is not UTF-8"),
        (b"a: [1", "is not valid YAML"),
        (b"a: !!python/object/apply:os.getcwd []", "is not valid YAML"),  # a file runs no code
        (b"- 1", "must hold a mapping of keys to values, not list"),
        (b"", "not NoneType"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WorkbenchError) as caught:
        read_yaml(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_words_that_mean_yes_or_no_are_words(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("{yes: [no, off, N], language: no, truly: [true, False], quoted: 'true'}", encoding="utf-8")
    found = {"yes": ["no", "off", "N"], "language": "no", "truly": [True, False], "quoted": "true"}
    assert read_yaml(path) == found

    class Switch(Options):
        readings: bool = Field(True, description="Either.")

    path.write_text("readings: no", encoding="utf-8")
    assert Switch.parse(read_yaml(path), "switch") == Switch(readings=False)
