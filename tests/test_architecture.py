"""The layers of packages against imports, light entry points, short files, thin notebooks, each name once.

Imports are parsed, not run; those inside functions and under TYPE_CHECKING count. Every rule is also shown to trip on a
planted example, so that a rule which no longer looks at anything fails here.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from architecture import (
    CELL_LINES,
    FILE_LINES,
    FOLDER_FILES,
    FUNCTION_LINES,
    HEAVY,
    LIGHT,
    PACKAGE,
    ROOT,
    Module,
    against_the_folders,
    against_the_layers,
    by_string,
    cycles,
    foreign,
    homeless,
    library,
    notebook_faults,
    notebooks,
    same_name,
    too_long,
)

# -------------------------------------------------------------------------------------------------- the code itself


@pytest.mark.parametrize(
    "rule", [homeless, against_the_layers, against_the_folders, by_string, same_name, cycles, foreign]
)
def test_the_code_keeps(rule):
    modules = library()
    assert f"{PACKAGE}.schema" in {module.name for module in modules}  # it did look at the package
    assert "\n".join(rule(modules)) == ""


def test_nothing_is_too_long():
    paths = [path for folder in (PACKAGE, "tests") for path in (ROOT / folder).rglob("*.py")]
    paths += [path for path in [ROOT / "app.py"] if path.exists()]
    faults = [fault for path in paths for fault in too_long(str(path.relative_to(ROOT)), path.read_text("utf-8"))]
    assert "\n".join(sorted(faults)) == ""


def test_no_folder_is_crowded():
    folders = {path.parent for path in (ROOT / PACKAGE).rglob("*.py")}
    assert {str(one): n for one in folders if (n := len(list(one.glob("*.py")))) > FOLDER_FILES} == {}


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_notebook_is_thin(path):
    assert re.fullmatch(r"\d\d-[a-z0-9-]+", path.stem), "notebooks are called NN-question-as-a-title.ipynb"
    assert notebook_faults(json.loads(path.read_text(encoding="utf-8"))) == []


LOOK = """
import importlib, json, sys
before = set(sys.modules)
blame = {}
for name in sys.argv[2:]:
    module = importlib.import_module(name)
    if name.endswith(".cli"):
        try:
            module.app(["--help"])
        except SystemExit as end:
            assert not end.code, end.code
    heavy = [lib for lib in sys.argv[1].split(",") if lib in sys.modules and lib not in before]
    before |= set(heavy)
    blame[name] = heavy
print("\\n" + json.dumps(blame))
"""


def test_readers_of_results_import_nothing_heavy():
    names = [module.name for module in library() if module.name.startswith(f"{PACKAGE}.")]
    # Every module of a light folder is light; members that are yet to come are left out.
    light = [name for name in names for member in LIGHT if f"{name}.".startswith(f"{PACKAGE}.{member}.")]
    assert f"{PACKAGE}.schema" in light
    run = subprocess.run(
        [sys.executable, "-c", LOOK, ",".join(HEAVY), *light], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert run.returncode == 0, run.stderr
    assert {name: heavy for name, heavy in json.loads(run.stdout.splitlines()[-1]).items() if heavy} == {}


# ------------------------------------------------------------------------------------------------ the rules can trip


@pytest.mark.parametrize(
    ("rule", "name", "source", "fault"),
    [
        (homeless, "workbench.attic", "", "in no package"),
        (homeless, "workbench.models.utils", "", "says nothing"),
        (against_the_layers, "workbench.metrics.plots", "from workbench.schema import Post", "metrics.plots"),
        (against_the_layers, "workbench.schema", "from workbench import device", "imports workbench.device"),
        (against_the_layers, "workbench.corpora.files", "def f():\n    import workbench.models", "(layer 4)"),
        (against_the_layers, "workbench.features.store", "from ..corpora import files", "imports workbench.corpora"),
        (against_the_layers, "workbench.schema", "if TYPE_CHECKING:\n    import workbench.studies.plan", "(layer 8)"),
        (against_the_layers, "workbench.schema", 'import_module("workbench.studies.plan")', "(layer 8)"),
        (against_the_folders, "workbench.models.heads.clip", "from workbench.models.text import tfidf", "`text`"),
        (against_the_folders, "workbench.models.vision.ocr", "from ..text import tfidf", "`text`"),
        (by_string, "workbench.models.heads.clip", "importlib.import_module(name)", "by a string"),
        (same_name, "workbench.models.heads.clip", "class Tfidf:\n    pass", "class Tfidf stands in"),
        (foreign, "workbench.metrics.intervals", "import pandas as pd", "imports pandas"),
        (foreign, "workbench.models.text", "from datasets import load_dataset", "imports datasets"),
    ],
)
def test_a_rule_trips(rule, name, source, fault):
    others = [Module("workbench.models", "", True), Module("workbench.models.text.tfidf", "class Tfidf:\n    pass")]
    found = rule([other for other in others if other.name != name] + [Module(name, source)])
    assert len(found) == 1
    assert fault in found[0]


def test_what_the_layers_allow():
    modules = [
        Module("workbench.models", "from workbench.schema import unknown\nimport_module(name)", True),
        Module("workbench.models.fit.losses", ""),
        Module("workbench.models.heads.clip", "from workbench.models import MODELS\nfrom ..fit.losses import masked"),
        Module("workbench.device", "from workbench.errors import unknown"),
        Module("notebooks.04-who-wins", "from workbench.report import page"),
    ]
    rules = (homeless, against_the_layers, against_the_folders, by_string, same_name, cycles)
    assert [fault for rule in rules for fault in rule(modules)] == []


def test_a_circle_is_seen_also_through_a_function():
    modules = [
        Module("workbench.studies.plan", "from workbench.studies import display"),
        Module("workbench.studies.display", "def show():\n    from workbench.studies.plan import key"),
        Module("workbench.studies.config", "from workbench.studies import plan"),  # leads in, but is not part of it
    ]
    assert [fault.split()[0] for fault in cycles(modules)] == ["workbench.studies.plan", "workbench.studies.display"]


def test_length_counts_neither_docstring_nor_the_limit_itself():
    body = "    x = 1\n" * (FUNCTION_LINES - 1)
    assert too_long("here", f'def f():\n    """Say\n    it."""\n{body}') == []
    assert "f() has 51 lines" in too_long("here", f"def f():\n{body}    x = 1\n")[0]
    assert too_long("here", "x = 1\n" * FILE_LINES) == []
    assert "has 401 lines" in too_long("here", "x = 1\n" * (FILE_LINES + 1))[0]


def thin_notebook() -> dict:
    code = {"cell_type": "code", "outputs": [], "execution_count": None}
    return {
        "metadata": {"kernelspec": {"name": "python3"}},
        "cells": [
            {"cell_type": "markdown", "metadata": {}, "source": ["# Who wins?\n", "A sentence."]},
            {**code, "metadata": {"tags": ["parameters"]}, "source": ["seed: int = 0  # where chance starts"]},
            {**code, "metadata": {}, "source": ["%matplotlib inline\n", "# why\n", "seed + 1"]},
        ],
    }


@pytest.mark.parametrize(
    ("cell", "change", "fault"),
    [
        (0, {"source": ["# The winner\n"]}, "question"),
        (1, {"metadata": {}}, "exactly one code cell"),
        (2, {"metadata": {"tags": ["parameters"]}}, "has 2 cells"),
        (2, {"outputs": [{"output_type": "stream"}]}, "stores outputs"),
        (2, {"execution_count": 3}, "stores outputs"),
        (2, {"source": ["def f():\n", "    pass"]}, "defines f"),
        (2, {"source": ["x = 1\n"] * (CELL_LINES + 1)}, "cell 2 has 13 lines"),
    ],
)
def test_a_thick_notebook_is_told_so(cell, change, fault):
    assert notebook_faults(thin_notebook()) == []
    notebook = thin_notebook()
    notebook["cells"][cell].update(change)
    assert [found for found in notebook_faults(notebook) if fault in found]


def test_a_long_notebook_and_a_strange_kernel_are_told_so():
    notebook = thin_notebook()
    notebook["cells"] += [{**notebook["cells"][2], "source": ["x = 1\n"] * CELL_LINES} for _ in range(7)]
    notebook["metadata"] = {"kernelspec": {"name": "my-env"}}
    # 1 parameter + 1 line + 7 * 12 = 86
    assert notebook_faults(notebook) == ["must name the kernel python3", "has 86 lines of code; 80 is the limit"]
