"""A key changes with what a result depends on, and with nothing else; the reason is said in words."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import nbformat
import pytest

from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy
from workbench.studies import keys


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Make a package whose modules reach each other in all the ways that count, and some that do not."""
    folder = tmp_path / "src" / "toypack"
    (folder / "deep").mkdir(parents=True)
    files = {
        "__init__.py": '"""Doc."""\n',
        "top.py": "from toypack import middle\n",
        "middle.py": "def f():\n    from .deep.leaf import value\n    return value\n",
        "deep/__init__.py": "",
        "deep/leaf.py": "from importlib import import_module\nfrom .. import sibling\nvalue = 1\n"
        "late = import_module('toypack.late')\n",
        "sibling.py": "import numpy\nimport typing\nif typing.TYPE_CHECKING:\n    from toypack import typed\n",
        "late.py": "x = 1\n",
        "typed.py": "x = 1\n",
        "apart.py": "x = 1\n",
    }
    for name, source in files.items():
        (folder / name).write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    yield folder
    sys.modules.pop("toypack", None)


def test_modules_are_reached_at_any_depth_and_only_ours(package):
    assert set(keys.modules(["toypack.top"])) == {
        "toypack/__init__.py",
        "toypack/top.py",
        "toypack/middle.py",  # `from toypack import middle`
        "toypack/deep/__init__.py",  # the package on the way
        "toypack/deep/leaf.py",  # relative, inside a function
        "toypack/sibling.py",  # two dots
        "toypack/late.py",  # import_module with a literal
    }  # neither `typed` (TYPE_CHECKING), nor `apart` (nobody imports it), nor numpy and importlib


def test_the_workbench_itself_is_found_as_source():
    reached = keys.modules(["workbench.studies.keys"])
    assert {"workbench/__init__.py", "workbench/schema.py", "workbench/studies/keys.py"} <= set(reached)
    assert not any("pydantic" in name or "json" in name for name in reached)


def test_comments_docstrings_layout_and_times_change_nothing_but_code_does(package):
    before = keys.modules(["toypack.top"])
    leaf = package / "deep" / "leaf.py"
    code = leaf.read_text()
    leaf.write_text('"""A docstring."""\n# a comment\n' + code.replace("value = 1", "value  =  1"))
    os.utime(package / "top.py", (1, 1))
    assert keys.modules(["toypack.top"]) == before
    leaf.write_text(code.replace("value = 1", "value = 2"))
    after = keys.modules(["toypack.top"])
    assert {name for name in before if before[name] != after[name]} == {"toypack/deep/leaf.py"}


def test_a_module_that_is_no_python_is_one_sentence(package):
    (package / "late.py").write_text("x = (\n")
    with pytest.raises(WorkbenchError, match=r"late.py is not valid Python \(line 1\)"):
        keys.modules(["toypack.top"])


def notebook(path, parameters: str, *cells: str):
    """Write a notebook with a parameters cell, markdown and code cells."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    rest = [nbformat.v4.new_code_cell(cell) for cell in cells]
    path.write_text(
        nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Hi"), first, *rest]))
    )
    return path


def test_a_notebook_is_its_code(tmp_path):
    base = keys.of_notebook(
        notebook(tmp_path / "a.ipynb", "x: int = 1  # size", "%autoreload 2", "import json\nprint(x)")
    )
    same = keys.of_notebook(
        notebook(tmp_path / "b.ipynb", "x: int = 2", "%autoreload 2", "# why\nimport json\nprint( x )")
    )
    assert base == same  # a default is a parameter's value, which is keyed as such
    assert base[1] == {"json"}
    for changed in (("x: float = 1", "print(x)"), ("x: int = 1", "%autoreload 2", "import json\nprint(x + 1)")):
        assert keys.of_notebook(notebook(tmp_path / "c.ipynb", *changed))[0] != base[0]


@pytest.fixture
def seams(tmp_path, monkeypatch, package):
    """Stand in for models and corpora: one model in `toypack.top` with a weights file, one source, data in a file."""
    (tmp_path / "weights.bin").write_bytes(b"1")
    (tmp_path / "posts.csv").write_text("a,b")
    models = SimpleNamespace(
        modules=lambda name, options: ["toypack.top"], artefacts=lambda *_: [tmp_path / "weights.bin"]
    )
    corpora = SimpleNamespace(
        SOURCES={"files": "toypack.apart"}, digest=lambda config, _: (tmp_path / "posts.csv").read_text()
    )
    monkeypatch.setitem(sys.modules, "workbench.models", models)
    monkeypatch.setitem(sys.modules, "workbench.corpora", corpora)
    return notebook(tmp_path / "n.ipynb", "x: int = 1", "print(x)")


def collect(path, device="cpu", **changes) -> dict:
    """Collect the inputs of one run."""
    values = {"model": "toy", "options": {"hidden": 64}, "corpus": {"source": "files"}, "split": {}, "seeds": [0]}
    values |= {"tests": {}, "device": device, "folder": "out", **changes}
    return keys.Inputs(path, Taxonomy.load(), device).of(values, values)


def test_every_component_is_there_by_name(seams):
    found = collect(seams, tests={"h": {"source": "files", "oversample": {}}})
    assert {"notebook", "taxonomy", "device", "data corpus", "data h", "module toypack/apart.py"} <= set(found)
    assert {"version torch", "version scikit-learn", "version open_clip"} <= set(found)
    assert found["parameter options.hidden"] == 64
    assert found["parameter tests.h.oversample"] == {}
    assert found["parameter seeds"] == [0]
    assert [name for name in found if name.startswith("weights")] == [f"weights {seams.parent.name}/weights.bin"]
    assert found["version torch"].count(".") == 1
    assert not any("folder" in name for name in found)


def test_the_key_follows_what_matters_and_ignores_where_results_go(seams, tmp_path):
    base = collect(seams)
    assert keys.run_key(collect(seams, folder="elsewhere")) == keys.run_key(base)
    assert len(keys.run_key(base)) == 16
    assert keys.run_key(collect(seams, device="cuda")) != keys.run_key(base)
    assert keys.run_key(collect(seams, options={"hidden": 65})) != keys.run_key(base)


def test_reasons_name_just_what_changed(seams, tmp_path, package):
    base = collect(seams)
    assert keys.reasons(base, collect(seams)) == []
    assert keys.reasons(None, base) == ["never ran"]
    moved = collect(seams, options={"hidden": 128, "lr": 0.1})
    assert keys.reasons(base, moved) == ["parameter options.hidden: 64 -> 128", "parameter options.lr: unset -> 0.1"]
    assert keys.reasons(base, collect(seams, device="cuda")) == ["device: cpu -> cuda"]
    (package / "late.py").write_text("x = 2\n")
    (tmp_path / "posts.csv").write_text("a,c")
    (tmp_path / "weights.bin").write_bytes(b"2")
    assert keys.reasons(base, collect(seams)) == [
        "module toypack/late.py changed",
        "data corpus changed",
        f"weights {tmp_path.name}/weights.bin changed",
    ]


def test_missing_weights_are_one_sentence(seams, tmp_path):
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(WorkbenchError, match=r"the weights .*weights.bin are missing"):
        collect(seams)


def test_another_minor_version_is_a_reason_and_a_patch_is_none(seams, monkeypatch):
    monkeypatch.setattr(keys.importlib.metadata, "version", lambda name: "2.14.1+cpu")
    base = collect(seams)
    monkeypatch.setattr(keys.importlib.metadata, "version", lambda name: "2.14.9")
    assert collect(seams) == base
    monkeypatch.setattr(keys.importlib.metadata, "version", lambda name: "2.15.0" if name == "torch" else "2.14.1")
    assert keys.reasons(base, collect(seams)) == ["version torch: 2.14 -> 2.15"]
