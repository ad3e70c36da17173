"""What a function depends on by name: everything that it reaches and nothing else, wherever it lies."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys

import pytest
from code_tree import Tree

from workbench.fingerprint import closure
from workbench.fingerprint.closure import OUTSIDE, Library, minor
from workbench.schema import ROOT

MODULES = {
    "top": '''
import numpy as np
from PIL import Image
from workbench import parts
from workbench.parts import tools
from workbench.parts import half as halved
from workbench.parts.shapes import Square
from workbench.errors import WorkbenchError

LIMIT = 3
UNUSED = 4


def entry(values, most=LIMIT):
    """Return something."""
    from workbench.parts import late

    figure = Square(halved(values))
    if not values:
        raise WorkbenchError("there are no values")
    return tools.scale(figure.area(), late.FACTOR)[:most]


def other(values):
    return Image.open(values), UNUSED
''',
    "parts": "from workbench.parts.halves import half\n",
    "parts.halves": "SHARE = 0.5\n\n\ndef half(values):\n    return [_one(v) for v in values]\n\n\n"
    "def _one(value):\n    return SHARE * value\n\n\ndef unused():\n    return 1\n",
    "parts.tools": "import torch\n\n\nTABLE = {}\nTABLE['a'] = 1\n\n\ndef scale(x, by):\n"
    "    return torch.mul(x, by)\n\n\ndef lost(x):\n    return x\n",
    "parts.late": "FACTOR = 7\n",
    "parts.shapes": """
class Shape:
    sides = 1

    def __init__(self, values):
        self.values = values

    def area(self):
        return self.width() * self.sides

    def width(self):
        return 1

    def draw(self):
        return 2


class Square(Shape):
    sides = 4

    def width(self):
        return len(self.values)
""",
    "errors": "class WorkbenchError(Exception):\n    pass\n",
}


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path, MODULES)


def reached(tree, *entries):
    return tree.library().closure(*(entries or ("workbench.top:entry",)))


def test_everything_that_is_named_is_reached_and_nothing_else(tree):
    found = reached(tree)
    assert {name.removeprefix("workbench.") for name in found.definitions} == {
        "top:entry",
        "top:LIMIT",
        "parts.halves:half",
        "parts.halves:_one",
        "parts.halves:SHARE",
        "parts.tools:scale",
        "parts.tools:",  # what the module does beside defining: TABLE["a"] = 1 ...
        "parts.tools:TABLE",
        "parts.late:FACTOR",
        "parts.shapes:Shape",
        "parts.shapes:Shape.__init__",
        "parts.shapes:Shape.area",
        "parts.shapes:Shape.width",
        "parts.shapes:Square",
        "parts.shapes:Square.width",
    }
    assert found.libraries == ("torch",)  # nothing that is reached uses numpy or Pillow
    assert reached(tree, "workbench.top:other").libraries == ("PIL",)


SEEN = [
    ("parts.halves", "SHARE = 0.5", "SHARE = 0.25"),
    ("parts.halves", "SHARE * value", "SHARE + value"),
    ("parts", "halves import half", "halves import unused as half"),  # another definition under the same name
    ("top", "parts import half as halved", "parts.tools import lost as halved"),
    ("top", "import half as", "import late as"),
    ("top", "tools.scale", "tools.lost"),
    ("top", "LIMIT = 3", "LIMIT = 2"),
    ("top", "if not values", "if values"),
    ("top", "raise WorkbenchError", "raise KeyError"),
    ("parts.late", "FACTOR = 7", "FACTOR = 8"),
    ("parts.tools", "TABLE['a'] = 1", "TABLE['a'] = 2"),
    ("parts.tools", "torch.mul", "torch.add"),
    ("parts.tools", "import torch", "import numpy as torch"),
    ("parts.shapes", "sides = 4", "sides = 5"),
    ("parts.shapes", "return len(self.values)", "return 1 + len(self.values)"),
    ("parts.shapes", "class Square(Shape)", "class Square(object)"),
    ("parts.shapes", "self.values = values", "self.values = list(values)"),
    ("parts.shapes", "* self.sides", "* self.draw()"),
]


@pytest.mark.parametrize(("module", "old", "new"), SEEN)
def test_what_computes_otherwise_is_seen(tree, module, old, new):
    before = reached(tree).digest
    assert reached(tree.edit(module, old, new)).digest != before


UNSEEN = [
    ("top", "UNUSED = 4", "UNUSED = 5"),
    ("top", '"""Return something."""', '"""Return something else."""  # a comment'),
    ("top", "there are no values", "there is no value"),
    ("top", "figure", "form"),
    ("top", "halved", "of_half"),  # what an import is called here
    ("top", "from PIL import Image\n", "from PIL import Image, ImageOps\n"),
    ("parts.halves", "_one", "_of"),  # a definition may be renamed
    ("parts.halves", "return 1\n", "return 2\n"),
    ("parts.shapes", "return 2", "return 3"),  # a method that nobody calls
    ("errors", "pass", "number = 3"),
]


@pytest.mark.parametrize(("module", "old", "new"), UNSEEN)
def test_what_computes_nothing_may_change(tree, module, old, new):
    before = reached(tree).digest
    assert reached(tree.edit(module, old, new)).digest == before


def test_a_moved_file_changes_nothing(tree, tmp_path):
    before = reached(tree)
    elsewhere = Tree(tmp_path, MODULES)
    elsewhere.write("shares.by.two", MODULES["parts.halves"])
    elsewhere.write("forms", MODULES["parts.shapes"])
    elsewhere.write("parts.halves", None)
    elsewhere.write("parts.shapes", None)
    elsewhere.edit("parts", "parts.halves", "shares.by.two")
    elsewhere.edit("top", "workbench.parts.shapes", "workbench.forms")
    after = reached(elsewhere)
    assert (after.digest, after.libraries) == (before.digest, before.libraries)
    assert "workbench.forms:Square" in after.definitions


def test_a_touched_time_and_another_clone_change_nothing(tree, tmp_path):
    for folder in ("one", "other"):
        for name, source in MODULES.items():
            path = (tmp_path / folder / "workbench").joinpath(*name.split("."))
            path = path / "__init__.py" if name == "parts" else path.with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
            os.utime(path, (len(folder), len(folder)))
    digests = [Library(tmp_path / folder).closure("workbench.top:entry").digest for folder in ("one", "other")]
    assert digests == [reached(tree).digest] * 2


def test_a_definition_that_moves_alone_changes_nothing(tree):
    before = reached(tree).digest
    tree.edit("parts.halves", "SHARE = 0.5", "from workbench.parts.late import SHARE")
    tree.write("parts.late", "FACTOR = 7\nSHARE = 0.5\n")
    assert reached(tree).digest == before


def test_two_functions_of_the_same_text_are_told_by_what_they_mean(tmp_path):
    same = "def run():\n    return value()\n\n\ndef value():\n    return {}\n"
    tops = "from workbench.{} import run\n\n\ndef entry():\n    return run()\n\n\ndef rest():\n    return {}\n"
    both = {"one": same.format(1), "two": same.format(2), "use": "from workbench import one, two\n"}
    tree = Tree(tmp_path, {**both, "top": tops.format("one", "0")})
    before = reached(tree, "workbench.top:entry", "workbench.one:run", "workbench.two:run").digest
    tree.edit("top", "workbench.one", "workbench.two")
    assert reached(tree, "workbench.top:entry", "workbench.one:run", "workbench.two:run").digest != before


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        # an attribute of a computed name may be any method; one of a written name is that one
        ("def entry(c: object, name):\n    return getattr(C(), name)()", True),
        ("def entry(c: object, name):\n    return getattr(C(), 'g')()", False),
        ("def entry(c: object, name):\n    return getattr(C(), 'f')()", True),
        ("def entry():\n    return C()", False),
        ("def entry(kind=C):\n    return kind().f()", True),
        ("KINDS = {'c': C}\n\n\ndef entry(name):\n    return KINDS[name]().f()", True),
        ("def entry(c: C):\n    return 1", False),  # an annotation calls nothing
    ],
)
def test_a_method_counts_where_an_attribute_has_its_name(tmp_path, source, seen):
    kind = "class C:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n\n\n"
    tree = Tree(tmp_path, {"top": kind + source + "\n"})
    before = reached(tree).digest
    assert (reached(tree.edit("top", "return 1\n\n    def g", "return 3\n\n    def g")).digest != before) == seen


def test_what_decorators_and_validators_call_counts(tmp_path):
    source = (
        "from pydantic import field_validator\n\n\nclass C:\n    @field_validator('x')\n    def _positive(cls, x):\n"
        "        return abs(x)\n\n\ndef entry():\n    return C()\n"
    )
    tree = Tree(tmp_path, {"top": source})
    found = reached(tree)
    assert "workbench.top:C._positive" in found.definitions
    assert found.libraries == ()  # pydantic's version says nothing about what comes out


def test_a_function_that_never_returns_only_words_an_error(tmp_path):
    source = (
        "from typing import NoReturn\nWORDS = 'so'\n\n\ndef entry(x):\n    return x or explain(x)\n\n\n"
        "def explain(x) -> NoReturn:\n    said = WORDS + 'the value is missing'\n    raise KeyError(said)\n"
    )
    tree = Tree(tmp_path, {"top": source})
    before = reached(tree).digest
    assert reached(tree.edit("top", "the value is missing", "no value")).digest == before


def test_an_entry_of_somebody_else_is_told_by_its_library(tree):
    assert reached(tree, "plugin.models:build").libraries == ("plugin",)


def test_an_entry_that_is_not_there_is_an_error(tree):
    with pytest.raises(KeyError, match=r"workbench\.top:nothing is not defined"):
        reached(tree, "workbench.top:nothing")


FOREIGN = [
    ("from html.parser import HTMLParser\n\n\nclass C(HTMLParser):", "handle_data"),
    ("from torch import nn\n\n\nclass C(nn.Module):", "forward"),
    ("import torch\n\n\nclass B(torch.nn.Module):\n    pass\n\n\nclass C(B):", "forward"),  # through a class of ours
    ("class C:\n    def read(self, n):\n        return b''\n\n", "tell"),  # what is given to a library as a file
    ("class C:\n    def inner(self):\n        return 0\n    other = f\n\n", "f"),  # its own body gives it another name
    (
        "class C:\n    def inner(self):\n        return 0\n    x = property(lambda self: 0)\n    x = x.setter(f)\n\n",
        "f",
    ),
]


@pytest.mark.parametrize(("kind", "method"), FOREIGN)
def test_a_method_that_only_others_call_counts(tmp_path, kind, method):
    body = f"    def {method}(self, x=0):\n        return 1\n"
    head, separator, rest = kind.partition("    other = ") if "other = " in kind else kind.partition("    x = prop")
    source = f"{head}\n{body}\n{separator}{rest}\n\ndef entry():\n    return C()\n"
    tree = Tree(tmp_path, {"top": source})
    before = reached(tree).digest
    assert reached(tree.edit("top", "return 1", "return 2")).digest != before


def test_a_class_of_ours_and_the_bases_that_call_nothing_keep_their_unused_methods_out(tmp_path):
    source = (
        "from typing import NamedTuple\n\n\nclass B:\n    pass\n\n\nclass C(NamedTuple):\n    x: int\n\n"
        "    def f(self):\n        return 1\n\n\nclass D(B):\n    def g(self):\n        return 1\n\n\n"
        "def entry():\n    return C(1), D()\n"
    )
    tree = Tree(tmp_path, {"top": source})
    before = reached(tree).digest
    assert reached(tree.edit("top", "return 1", "return 2")).digest == before


def test_what_packages_do_when_they_are_imported_counts(tree):
    tree.write("parts", "from workbench.parts.halves import half\nimport torch\n\ntorch.set_num_threads(1)\n")
    before = reached(tree, "workbench.parts.late:FACTOR").digest
    assert reached(tree.edit("parts", "threads(1)", "threads(2)"), "workbench.parts.late:FACTOR").digest != before


def test_what_a_decorator_notes_in_a_table_counts(tmp_path):
    source = (
        "WAYS = {}\n\n\ndef way(f):\n    WAYS[f.__name__] = f\n    return f\n\n\n"
        "@way\ndef double(x):\n    return 2 * x\n\n\n"
        "def entry(name, x):\n    return WAYS[name](x)\n"
    )
    tree = Tree(tmp_path, {"top": source})
    before = reached(tree).digest
    assert reached(tree.edit("top", "2 * x", "3 * x")).digest != before


@pytest.mark.parametrize(
    ("module", "old", "new", "name"),
    [
        ("top", "halved(values)", "halve(values)", "'halve'"),
        ("top", "tools.scale", "tools.scaled", r"workbench\.parts\.tools\.scaled"),
        ("top", "parts.shapes import Square", "parts.shapes import Circle as Square", "Circle"),
        ("top", "workbench.parts import late", "workbench.lost import late", r"workbench\.lost\.late"),
        ("parts.halves", "SHARE * value", "PART * value", "'PART'"),
    ],
)
def test_a_name_that_means_nothing_is_an_error_and_not_skipped(tree, module, old, new, name):
    with pytest.raises(LookupError, match=rf"{name}.*nothing tells what that is"):
        reached(tree.edit(module, old, new))


def test_names_that_modules_and_classes_have_by_themselves_are_known(tmp_path):
    source = (
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\n\n"
        "if TYPE_CHECKING:\n    import torch\n\n\n"
        "class C:\n    most = 3\n    kept: torch.Tensor | None = None\n\n    def f(self, n=most):\n"
        "        return __class__, n\n\n\ndef entry():\n    return C().f(), __name__\n"
    )
    assert "workbench.top:C.f" in reached(Tree(tmp_path, {"top": source})).definitions


@pytest.mark.parametrize(
    "read",
    ["getattr(*pair)", "attrgetter(pair[1])(pair[0])", "methodcaller(pair[1])(pair[0])", "attrgetter('x.f')(pair)"],
)
def test_attributes_that_are_read_by_computed_names_may_be_any(tmp_path, read):
    kind = "from operator import attrgetter, methodcaller\n\n\nclass C:\n    def f(self):\n        return 1\n\n\n"
    tree = Tree(tmp_path, {"top": f"{kind}def entry(pair=C):\n    return {read}\n"})
    before = reached(tree).digest
    assert reached(tree.edit("top", "return 1", "return 2")).digest != before


def test_a_file_that_is_edited_while_a_process_runs_is_known_as_it_was_imported(tmp_path):
    import shutil

    shutil.copytree(ROOT / "workbench", tmp_path / "workbench", ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "import sys; from pathlib import Path\nfrom workbench.preprocessing.text import variants\n"
        "file = Path(variants.__file__)\n"
        "if sys.argv[1:]: file.write_text(file.read_text().replace('MOST = 8', 'MOST = 7'))\n"
        "from workbench.fingerprint import closure\nprint(closure.of_code(variants.variants)['code'])"
    )

    def identity(*edit):
        command = [sys.executable, "-c", script, *edit]
        return subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=True).stdout

    before = identity()
    assert identity("edit") == before  # the process runs what it has imported
    assert identity() != before


def test_versions_count_by_their_first_two_numbers(monkeypatch):
    versions = {"pillow": "12.3.1", "torch": "2.14.0+cpu", "open_clip_torch": "3.3.0"}
    monkeypatch.setattr(closure.importlib.metadata, "version", versions.__getitem__)
    assert [minor(name) for name in ("PIL", "torch", "open_clip")] == ["12.3", "2.14", "3.3"]


def test_what_is_installed_is_what_python_says():
    found, whole = closure.distributions(), importlib.metadata.packages_distributions()
    where = {name: importlib.util.find_spec(name) for name in whole if name.isidentifier()}
    python = {name for name, spec in where.items() if spec is not None and (spec.origin or "").endswith(".py")}
    assert python >= {"PIL", "cv2", "numpy", "sklearn", "torch", "yaml"}
    assert {name: sorted(found[name]) for name in python} == {name: sorted(whole[name]) for name in python}


def test_a_library_has_the_version_of_what_it_is_installed_as():
    assert minor("dateutil") == minor("python-dateutil") != "not installed"


def test_what_is_outside_is_there():
    library = Library(ROOT)
    for name in OUTSIDE:
        module, _, definition = name.partition(":")
        found = library.module(f"workbench.{module}")
        assert found is not None, name
        assert not definition or definition in found.definitions, name
    for name in closure.RUN_BY_NAME.values():
        module, _, definition = name.partition(":")
        assert definition in library.module(module).definitions
