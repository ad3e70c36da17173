"""The normal form of code: what may be edited freely, and that nothing which computes otherwise looks the same."""

from __future__ import annotations

import pytest

from workbench.fingerprint import of_modules, of_source

FUNCTION = '''
import logging
from typing import TYPE_CHECKING

import numpy as np

from workbench.schema import ROOT
from workbench.errors import WorkbenchError, unknown

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
LIMIT = 3


def mean(rows: list[float], weight: float = 1.0) -> float:
    """Return a mean."""
    total, count = 0.0, 0
    for row in rows:
        total += weight * row
        count += 1
    if not count:
        raise WorkbenchError(f"there are {count} rows", unknown("row", None, ["a"]))
    log.info("%d rows", count)
    best = max((value for value in rows), key=lambda value: value)
    def inner(value: float) -> float:
        return value / count + best
    return inner(total)
'''

SAME = [
    ("total", "summed"),
    ("for row in rows:\n        total += weight * row", "for item in rows:\n        total += weight * item"),
    ("(value for value in rows)", "(item for item in rows)"),
    ("def inner(value: float) -> float:", "def inner(value):  # per row"),
    ("inner", "within"),
    ("list[float], weight: float", "torch.Tensor, weight: int"),
    ('-> float:\n    """Return a mean."""', "-> torch.Tensor:\n    'Another sentence.'"),
    ("there are {count} rows", "no row of {len(rows)}"),
    ('unknown("row"', 'unknown("rows of numbers"'),
    ('    log.info("%d rows", count)\n', ""),
    ('log.info("%d rows", count)', "log.warning('so many')"),
    ("    count += 1", "    count += 1\n        pass"),
    ("import torch\n", "import torch\n    from workbench.features.blocks import Blocks\n"),
    ("from workbench.schema import ROOT", "from workbench.places import ROOT"),
    (
        "from workbench.errors import WorkbenchError, unknown",
        "from workbench.errors import WorkbenchError\nfrom workbench.words import unknown",
    ),
    ("    best = max", "    best: float = max"),
]
OTHER = [
    ("count += 1", "count += 2"),
    ("total += weight", "total -= weight"),
    ("value / count + best", "value / best + count"),  # the same names, each in the other's place
    ("value / count + best", "value / count + LIMIT"),
    ("rows: list", "items: list"),  # a parameter: callers may name it
    ("weight: float = 1.0", "weight: float = 2.0"),
    ("import ROOT", "import DATA as ROOT"),  # another definition
    ("import WorkbenchError, unknown", "import WorkbenchError, known as unknown"),
    ("import numpy as np", "import numpy.linalg as np"),
    ("if not count", "if count"),
    ("raise WorkbenchError", "raise KeyError"),
    ("key=lambda value: value)", "key=lambda value: best)"),
    ("LIMIT = 3", "LIMIT = '3'"),
]


def changed(old: str, new: str) -> str:
    assert FUNCTION.count(old) >= 1, old
    return FUNCTION.replace(old, new)


def renamed(name: str) -> str:
    return FUNCTION.replace("total", name)


@pytest.mark.parametrize(("old", "new"), SAME)
def test_what_computes_nothing_may_change(old, new):
    assert of_source(changed(old, new)) == of_source(FUNCTION)


@pytest.mark.parametrize(("old", "new"), OTHER)
def test_what_computes_otherwise_is_seen(old, new):
    assert of_source(changed(old, new)) != of_source(FUNCTION)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # a comprehension's own variable has the name of a function of the module, which is called beside it
        ("def h(x):\n    return [f for f in x], f(x)", "def h(x):\n    return [f for f in x], g(x)"),
        # a local variable that is read as a global in a nested class or function
        ("def h():\n    a = 1\n    global b\n    b = a", "def h():\n    a = 1\n    global c\n    c = a"),
        (
            "def h():\n    a = 1\n    def k():\n        nonlocal a\n        a = 2\n    k()\n    return a",
            "def h():\n    a = 1\n    def k():\n        a = 2\n    k()\n    return a",
        ),
        # an attribute of a class is no local variable
        (
            "class C:\n    a = 1\n    def f(self):\n        return self.a",
            "class C:\n    b = 1\n    def f(self):\n        return self.b",
        ),
        ("class C:\n    a: int = 1", "class C:\n    a: float = 1"),  # pydantic reads it
        ("@app.command()\ndef f(a: int):\n    pass", "@app.command()\ndef f(a: str):\n    pass"),
        ("import typer\ndef f(a: int):\n    pass", "import typer\ndef f(a: str):\n    pass"),
        ("def f():\n    a = 1\n    return locals()", "def f():\n    b = 1\n    return locals()"),
        ("def f(a):\n    raise X(T['a'])", "def f(a):\n    raise X(T['b'])"),
        ("def f(a):\n    raise X(404, 'no')", "def f(a):\n    raise X(500, 'no')"),
        ("def f(a, /, b):\n    pass", "def f(a, b):\n    pass"),
        ("def f(*, a=1):\n    pass", "def f(a=1):\n    pass"),
        ("x = [a for a in y if a for b in a]", "x = [a for a in y for b in a if a]"),
        ("x = (1, 2)", "x = [1, 2]"),
        ("x = 1", "x = True"),
        ("x = {**a, 'b': 1}", "x = {'b': 1, **a}"),
    ],
)
def test_names_that_look_alike_are_told_apart(one, other):
    assert of_source(one) != of_source(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("try:\n    f()\nexcept E as e:\n    g(e)", "try:\n    f()\nexcept E as e:\n    g(e)  # so"),
        (
            "def h():\n    try:\n        f()\n    except E as a:\n        g(a)",
            "def h():\n    try:\n        f()\n    except E as b:\n        g(b)",
        ),
        (
            "def h(x):\n    match x:\n        case [a, *b]:\n            return a, b",
            "def h(x):\n    match x:\n        case [c, *d]:\n            return c, d",
        ),
        (
            "def h(x):\n    import numpy as a\n    return a.sum(x)",
            "def h(x):\n    import numpy as b\n    return b.sum(x)",
        ),
        (
            "def h(x):\n    if (a := x):\n        return [b for c in x if (b := c)], a",
            "def h(x):\n    if (k := x):\n        return [l for m in x if (l := m)], k",
        ),
        (
            "def h():\n    a = 1\n    def k():\n        return a\n    return k",
            "def h():\n    b = 1\n    def k():\n        return b\n    return k",
        ),
        ("x: int = Field(3, description='How many.')", "x: int = Field(3, description='The number.')"),
        ("warnings.warn('old', Kind)", "warnings.warn(f'very {old}', Kind)"),
        (
            "def f():\n    from workbench.a import b\n    return b()",
            "def f():\n    from workbench.c import b\n    return b()",
        ),
    ],
)
def test_a_local_name_may_change(one, other):
    assert of_source(one) == of_source(other)


# ------------------------------------------------------------------------------------------------- modules that import

HOUSE = {
    "workbench.one": "def f():\n    return 1",
    "workbench.two": "def f():\n    return 2",
    "workbench.top": "from workbench import one\nfrom workbench.two import f\n\n\ndef g():\n    return one.f() + f()",
}


def test_a_moved_module_changes_nothing():
    moved = {
        "workbench.parts.first": HOUSE["workbench.one"],
        "workbench.parts.second": HOUSE["workbench.two"],
        "workbench.top": "from workbench.parts import first\nfrom workbench.parts.second import f\n\n\n"
        "def g():\n    return first.f() + f()",
    }
    (before, links), (after, links_after) = of_modules(HOUSE), of_modules(moved)
    assert sorted(before.values()) == sorted(after.values())
    assert links == links_after


@pytest.mark.parametrize(
    "top",
    [
        HOUSE["workbench.top"].replace("import one", "import two as one"),
        HOUSE["workbench.top"].replace("workbench.two", "workbench.one"),
    ],
)
def test_the_same_name_from_another_module_is_seen(top):
    (before, links), (after, links_after) = of_modules(HOUSE), of_modules({**HOUSE, "workbench.top": top})
    assert before == after  # no module says it of itself
    assert links != links_after


def test_an_edit_is_told_of_the_module_that_has_it():
    before, after = of_modules(HOUSE), of_modules({**HOUSE, "workbench.two": "def f():\n    return 3"})
    assert [name for name in HOUSE if before[0][name] != after[0][name]] == ["workbench.two"]
    assert before[1] != after[1]
