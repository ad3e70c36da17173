"""Digests: what must change them and what must not; one that changes too rarely makes stale results look fresh."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest

from workbench import fingerprint
from workbench.fingerprint import of_bytes, of_file, of_json, of_source

CODE = '''"""What this is."""
import math


class Shape:
    """A shape."""

    sides: int = 3

    def area(self, scale: float = 2.0) -> float:
        """Return the area."""
        return scale * math.pi
'''


# -------------------------------------------------------------------------------------------------------------- of_json


def test_a_value_has_sixteen_hex_digits_over_its_canonical_json():
    # the documented form, written out: sorted keys, no spaces, ASCII
    text = '{"a":[1,"\\u00e9"],"b":null}'
    assert of_json({"b": None, "a": [1, "é"]}) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_key_order_does_not_count_at_any_depth():
    assert of_json({"a": {"x": 1, "y": 2}, "b": 3}) == of_json({"b": 3, "a": {"y": 2, "x": 1}})


def test_a_tuple_is_the_list_it_becomes_in_a_file():
    assert of_json({"seeds": (0, 1)}) == of_json({"seeds": [0, 1]})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], [2, 1]),  # the order of a list says something
        (1, 1.0),
        (1, True),
        (1, "1"),
        (0, None),
        (0, False),
        ("", None),
        ([], {}),
        ({"a": 1}, {"a": 1, "b": None}),
        ({"a": {"b": 1}}, {"a.b": 1}),
        ([["a"], ["b"]], [["a", "b"]]),
        ("a", "A"),
        ("e\u0301", "\u00e9"),  # composed and decomposed look alike
        (0.1, 0.1 + 2**-55),
    ],
)
def test_what_differs_has_another_digest(one, other):
    assert of_json(one) != of_json(other)


def test_keys_of_mixed_kinds_as_yaml_reads_them_have_a_digest():
    mixed = {1: "train", "dev": "test", False: "x", None: "y", 2.5: "z"}
    assert of_json(mixed) == of_json(dict(reversed(mixed.items())))
    assert of_json({1: "train", "dev": "test"}) != of_json({2: "train", "dev": "test"})
    assert of_json([{1: "a", "b": "c"}]) == of_json([{"b": "c", 1: "a"}])  # inside a list as well


def test_dates_and_paths_are_told_by_their_text():
    assert of_json(date(2026, 1, 2)) == of_json("2026-01-02")
    assert of_json(datetime(2026, 1, 2)) != of_json(date(2026, 1, 2))
    assert of_json({"at": PurePosixPath("a/b")}) == of_json({"at": "a/b"})


@pytest.mark.parametrize("value", [{"a", "b"}, SimpleNamespace(a=1), object, b"raw"])
def test_what_prints_differently_in_each_process_is_refused(value):
    with pytest.raises(TypeError, match=type(value).__name__):
        of_json({"option": [value]})


def test_the_digest_is_the_same_in_every_process():
    value = "{'b': ['x', 2.5], 'a': {'z': None, 'y': True}}"
    script = f"from workbench.fingerprint import of_json; print(of_json({value}))"
    told = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(fingerprint.__file__).parent.parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert told == {of_json({"b": ["x", 2.5], "a": {"z": None, "y": True}})}


# ----------------------------------------------------------------------------------------------------- bytes and files


def test_bytes_and_files_have_their_sha256(tmp_path):
    # NIST's example: SHA-256 of "abc"
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "a").write_bytes(b"abc")
    assert of_bytes(b"abc") == of_file(tmp_path / "a") == of_file(str(tmp_path / "a")) == expected


def test_a_file_is_told_by_content_not_by_name_or_time(tmp_path):
    for name, data in {"a": b"same", "b": b"same", "c": b"samf"}.items():
        (tmp_path / name).write_bytes(data)
    before = of_file(tmp_path / "a")
    os.utime(tmp_path / "a", (1, 1))
    assert before == of_file(tmp_path / "a") == of_file(tmp_path / "b")
    assert before != of_file(tmp_path / "c")


# ---------------------------------------------------------------------------------------------------------------- code


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import math\n", "import math  # for pi\n"),
        ("import math\n", "\n\n# a line of its own\nimport math\n"),
        ("A shape.", "Another shape, told at length.\n\n    With a second paragraph."),
        ("Return the area.", "Return something."),
        ('        """Return the area."""\n', ""),
        ('    """A shape."""\n\n', ""),
        ('"""What this is."""\n', ""),
        ("scale * math.pi", "(scale\n            * math.pi)"),
        ("    sides: int = 3", "    sides: int=3"),
        ("2.0", "2.00"),
    ],
)
def test_comments_layout_and_docstrings_do_not_count(old, new):
    assert old in CODE
    assert of_source(CODE.replace(old, new)) == of_source(CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("= 3", "= 4"),
        ("2.0", "2"),  # an int divides and prints differently
        ("scale * math.pi", "math.pi * scale"),
        ("scale * math.pi", "scale + math.pi"),
        ("area(self", "Area(self"),
        ("scale", "factor"),
        ("import math", "import cmath as math"),
        ("    def area", "    @property\n    def area"),
        ("    def area", "    async def area"),
        ("        return scale", "        assert scale\n        return scale"),
        ("        return scale * math.pi", "        scale * math.pi"),
        ("sides: int = 3", 'sides: int = 3\n    name = "a"'),
        (
            "        return scale * math.pi",
            '        return "Return the area."',
        ),  # a string that is used is no docstring
    ],
)
def test_what_code_does_counts(old, new):
    assert old in CODE
    assert of_source(CODE.replace(old, new)) != of_source(CODE)


def test_a_first_docstring_in_an_empty_module_changes_nothing():
    assert of_source("") == of_source('"""A package."""\n') == of_source("# nothing\n")


def test_only_the_first_string_of_a_body_is_a_docstring():
    assert of_source("def f():\n    'doc'\n") == of_source("def f():\n    pass\n")
    assert of_source("x = 'doc'") != of_source("x = 'other'")
    assert of_source("def f(a='doc'): return a") != of_source("def f(a='other'): return a")
    assert of_source("def f():\n    f'{g()}'\n") != of_source("def f():\n    pass\n")  # that one calls g
    assert of_source("if x:\n    'a'\n") != of_source("if x:\n    g()\n")


def test_a_nested_functions_docstring_does_not_count_and_its_body_does():
    inner = "def f():\n    def g():\n        {}\n        return 1\n    return g\n"
    assert of_source(inner.format("'one'")) == of_source(inner.format("'two'"))
    assert of_source(inner.format("'one'")) != of_source(inner.format("h()"))


def test_the_order_of_statements_counts():
    assert of_source("a = 1\nb = 2\n") != of_source("b = 2\na = 1\n")


def test_code_that_is_no_python_raises():
    with pytest.raises(SyntaxError):
        of_source("def f(:\n")
