"""A key changes with what a result depends on, and with nothing else; the reason is said in words."""

from __future__ import annotations

import importlib.util
import os
import sys
from types import SimpleNamespace

import nbformat
import pytest

from workbench.errors import WorkbenchError
from workbench.fingerprint.inputs import of_inputs
from workbench.schema import ROOT, Taxonomy
from workbench.studies import keys


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Make a package whose modules reach each other in all the ways that count, and some that do not."""
    folder = tmp_path / "src" / "toypack"
    (folder / "deep").mkdir(parents=True)
    files = {
        "__init__.py": '"""Doc."""\nname = 1\n',
        "top.py": "from toypack import middle\n",
        "middle.py": "def f():\n    from .deep.leaf import value\n    return value\n",
        "deep/__init__.py": '"""No code, so it counts for nothing."""\n',
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
    reached = keys.reach(["toypack.top"])
    assert set(reached.modules) == {
        "toypack/__init__.py",  # the package on the way
        "toypack/top.py",
        "toypack/middle.py",  # `from toypack import middle`
        "toypack/deep/leaf.py",  # relative, inside a function
        "toypack/sibling.py",  # two dots
        "toypack/late.py",  # import_module with a literal
    }  # neither `typed` (TYPE_CHECKING), nor `apart` (nobody imports it), nor numpy and importlib
    assert set(keys.versions(reached.libraries)) == {"numpy"}  # of what is installed, not of Python itself


def test_the_workbench_itself_is_found_as_source():
    reached = keys.reach(["workbench.studies.keys"]).modules
    assert {"workbench/schema.py", "workbench/studies/keys.py"} <= set(reached)
    assert not any("pydantic" in name or "json" in name for name in reached)


def test_training_reaches_nothing_that_compares_or_reports():
    # so that another slice, word list, statistic or sentence of a report trains no model again
    reached = keys.reach(keys.of_notebook(ROOT / "notebooks" / "03-train-a-model.ipynb")[1]).modules
    assert "workbench/studies/steps/training.py" in reached
    assert not [name for name in reached if name.split("/")[1] in ("comparison", "report") or "identities" in name]


def test_comments_docstrings_layout_and_times_change_nothing_but_code_does(package):
    before = keys.reach(["toypack.top"])
    leaf = package / "deep" / "leaf.py"
    code = leaf.read_text()
    leaf.write_text('"""A docstring."""\n# a comment\n' + code.replace("value = 1", "value  =  1"))
    os.utime(package / "top.py", (1, 1))
    assert keys.reach(["toypack.top"]) == before
    leaf.write_text(code.replace("value = 1", "value = 2"))
    after = keys.reach(["toypack.top"]).modules
    assert {name for name in before.modules if before.modules[name] != after[name]} == {"toypack/deep/leaf.py"}


def test_a_module_that_is_no_python_is_one_sentence(package):
    (package / "late.py").write_text("x = (\n")
    with pytest.raises(WorkbenchError, match=r"late.py is not valid Python \(line 1\)"):
        keys.reach(["toypack.top"])


def test_what_only_decides_whether_a_run_happens_is_outside_and_exists():
    reached = keys.reach(["workbench.studies.steps.training", "workbench.models.heads.clip"]).modules
    for name in keys.OUTSIDE:
        assert importlib.util.find_spec(name) is not None  # a moved module must not fall out of the list
        assert not [label for label in reached if label.startswith(name.replace(".", "/"))]
    assert "workbench/features/encoders/loading.py" in reached  # what is reached through them counts


def test_a_new_entry_in_a_table_of_modules_re_runs_nothing():
    table = 'MODELS: dict[str, str] = {\n    "prior": "workbench.models.prior:Prior",\n}\n'
    longer = table.replace("}", '    "other": "workbench.models.other:Other",\n}')
    assert keys._TABLED.sub("", table) == keys._TABLED.sub("", longer).replace("\n\n", "\n")
    assert keys._TABLED.sub("", 'x = "workbench.models.prior:Prior"') == 'x = "workbench.models.prior:Prior"'


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
        entries=lambda name, options: ["toypack.top:Toy"], artefacts=lambda *_: [tmp_path / "weights.bin"]
    )
    corpora = SimpleNamespace(
        SOURCES={"files": "toypack.apart"},
        digest=lambda config, _: (tmp_path / "posts.csv").read_text(),
        code=lambda config: "reader",
    )
    monkeypatch.setattr(keys, "models", models)
    monkeypatch.setattr(keys, "corpora", corpora)
    return notebook(tmp_path / "n.ipynb", "x: int = 1", "print(x)")


def collect(path, device="cpu", **changes) -> dict:
    """Collect the inputs of one run."""
    values = {"model": "toy", "options": {"hidden": 64}, "corpus": {"source": "files"}, "split": {}, "seeds": [0]}
    values |= {"tests": {}, "device": device, "folder": "out", **changes}
    return keys.Inputs(path, Taxonomy.load(), device).of(values, values)[0]


def test_every_component_is_there_by_name(seams):
    found = collect(seams, tests={"h": {"source": "files", "oversample": {}}})
    assert {"notebook", "taxonomy", "device", "data corpus", "data h", "module toypack/apart.py"} <= set(found)
    assert found["classes"] == ["Toy"]
    assert found["parameter options.hidden"] == 64
    assert found["parameter tests.h.oversample"] == {}
    assert found["parameter seeds"] == [0]
    assert [name for name in found if name.startswith("weights")] == [f"weights {seams.parent.name}/weights.bin"]
    assert not any(word in name for name in found for word in ("folder", "version"))


def test_the_key_follows_what_matters_and_ignores_where_results_go(seams, tmp_path):
    base = collect(seams)
    assert of_inputs(collect(seams, folder="elsewhere")) == of_inputs(base)
    assert len(of_inputs(base)) == 16
    assert of_inputs(collect(seams, device="cuda")) != of_inputs(base)
    assert of_inputs(collect(seams, options={"hidden": 65})) != of_inputs(base)


def test_files_that_lie_elsewhere_are_the_same_run_and_no_reason(seams):
    base = collect(seams)
    moved = {name.replace("toypack/", "toypack/below/").replace("weights.bin", "w.bin"): base[name] for name in base}
    assert moved != base
    assert of_inputs(moved) == of_inputs(base)
    assert keys.reasons(base, moved) == []
    edited = {**moved, "module toypack/below/late.py": "edited", "imports": "so these differ too"}
    assert of_inputs(edited) != of_inputs(base)
    assert keys.reasons(moved, edited) == ["module toypack/below/late.py changed"]
    assert keys.reasons(base, {**base, "imports": "x"}) == ["what modules import from each other changed"]


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


def test_another_minor_version_is_told_and_a_patch_or_an_unknown_one_is_not():
    made_with = {"torch": "2.14.1+cpu", "numpy": "2.4.6", "papermill": "2.7.0"}
    assert keys.upgraded(made_with, {"torch": "2.14.9", "numpy": "2.4.0", "ftfy": "6.3.1"}) == []
    assert keys.upgraded(made_with, {"torch": "2.15.0"}) == ["made with torch 2.14 (now 2.15)"]


def test_records_of_an_earlier_version_are_read_and_say_so():
    old = {"notebook": "n", "module workbench/schema.py": "d1", "version torch": "2.14", "parameter seeds": [0]}
    new = {"notebook": "n", "module workbench/schema.py": "d2", "imports": "i", "parameter seeds": [0]}
    sentence = "code, options and weights were keyed otherwise in an earlier version of the workbench"
    assert keys.reasons(old, new) == keys.reasons(new, old) == [sentence]
    assert keys.reasons(old, {**old, "version torch": "2.15"}) == ["version torch changed"]
