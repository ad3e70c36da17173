"""The house stands: floors against imports, light doors, short files, thin notebooks.

Imports are parsed, not run; those inside functions and under TYPE_CHECKING count. Every rule is also shown to trip on a
planted example, so that a rule which no longer looks at anything fails here.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "workbench"

# A room imports only from rooms on floors below its own.
ROOMS = (
    ("faults", "schema", "fingerprint", "device", "metrics"),
    ("preprocessing", "records"),
    ("corpora", "features"),
    ("models",),
    ("decisions", "evidence"),
    ("studies",),
    ("serving",),
    ("bench", "cli", "app", "notebooks"),
)
FLOORS = {name: floor for floor, names in enumerate(ROOMS, start=1) for name in names}
WITHIN_A_FLOOR = {("schema", "faults"), ("device", "schema"), ("cli", "bench")}
# Models meet only through their table, workbench/models/__init__; these parts are what they may share besides.
# `heads` and `learning` are what every head on encoder features is made from.
SHARED_BY_MODELS = {"losses", "learning", "training", "linear", "networks", "bags", "heads", "views"}
SHARED_BY_MODELS |= {"sealed", "storage", "penalties", "tabular", "folding", "crossing", "tuning", "checkpoints"}
# Third-party libraries that a room may import; rooms not named may import any.
LIBRARIES = {
    "faults": {"pydantic"},
    "schema": {"pydantic", "pyarrow", "numpy", "yaml"},
    "fingerprint": set(),
    "metrics": {"numpy", "scipy", "sklearn", "matplotlib"},
}
# Libraries that only one room may import.
ONLY_IN = {"datasets": "corpora"}
# Code that only reads results starts fast: these import none of the heavy libraries.
LIGHT = ("schema", "metrics", "records", "decisions.policy", "studies.config", "studies.comparison", "cli")
HEAVY = ("torch", "open_clip", "datasets")
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc"}
FILE_LINES, FUNCTION_LINES = 400, 50
NOTEBOOK_LINES, CELL_LINES = 80, 12


class Module(NamedTuple):
    """Python code with its dotted name; a package's name is that of its folder."""

    name: str
    source: str
    is_package: bool = False


# ------------------------------------------------------------------------------------------------ reading the house


def notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def code_of(cell: dict) -> str:
    """Return a code cell's Python, without IPython's magics and shell lines."""
    return "\n".join(line for line in "".join(cell["source"]).splitlines() if not line.lstrip().startswith(("%", "!")))


def house() -> list[Module]:
    """Return every module of the package, and the doors beside it."""
    found = []
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if package else parts)
        found.append(Module(name, path.read_text(encoding="utf-8"), package))
    if (ROOT / "app.py").exists():
        found.append(Module("app", (ROOT / "app.py").read_text(encoding="utf-8")))
    for path in notebooks():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        source = "\n".join(code_of(cell) for cell in cells if cell["cell_type"] == "code")
        found.append(Module(f"notebooks.{path.stem}", source))
    return found


def room(name: str) -> str | None:
    """Return the room of a dotted name: None for the package itself."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return parts[0]
    return parts[1] if len(parts) > 1 else None


def imports(module: Module) -> set[tuple[str, str | None]]:
    """Return (module, name or None) for each import statement anywhere in the code, relative ones made absolute."""
    found: set[tuple[str, str | None]] = set()
    for node in ast.walk(ast.parse(module.source)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, None) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                above = module.name.split(".")
                above = above[: len(above) - node.level + module.is_package]
                origin = ".".join([*above, *([origin] if origin else [])])
            found |= {(origin, alias.name) for alias in node.names}
    return found


def edges(modules: list[Module]) -> dict[str, set[str]]:
    """Return for each module the modules of the package that it imports."""
    known = {module.name for module in modules}
    graph: dict[str, set[str]] = {}
    for module in modules:
        targets = set()
        for origin, name in imports(module):
            if origin.split(".")[0] == PACKAGE:
                inner = f"{origin}.{name}"
                targets.add(inner if inner in known or (origin == PACKAGE and name in FLOORS) else origin)
        graph[module.name] = targets - {module.name}
    return graph


# -------------------------------------------------------------------------------------------------------- the rules


def homeless(modules: list[Module]) -> list[str]:
    """Return the modules that belong to no room, or have a name that says nothing."""
    faults = []
    for module in modules:
        here = room(module.name)
        if here is not None and here not in FLOORS:
            faults.append(f"{module.name} is in no room; the rooms are {', '.join(FLOORS)}")
        faults += [f"{module.name}: {part!r} says nothing" for part in module.name.split(".") if part in VAGUE_NAMES]
    return faults


def against_the_floors(modules: list[Module]) -> list[str]:
    """Return the imports that do not go down."""
    faults = []
    for name, targets in edges(modules).items():
        here = room(name)
        for target in sorted(targets):
            there = room(target)
            if there is None or there == here or (here, there) in WITHIN_A_FLOOR:
                continue
            if here is None or FLOORS.get(there, 99) >= FLOORS.get(here, 0):
                faults.append(
                    f"{name} (floor {FLOORS.get(here, 0)}) imports {target} (floor {FLOORS.get(there, '?')}): "
                    "a room imports only from the floors below it"
                )
    return faults


def between_models(modules: list[Module]) -> list[str]:
    """Return the imports from one model's module to another's."""
    faults = []
    for name, targets in edges(modules).items():
        part = name.split(".")[2:3]
        if room(name) != "models" or not part:
            continue
        for target in sorted(targets):
            other = target.split(".")[2:3]
            if room(target) == "models" and other and other != part and other[0] not in SHARED_BY_MODELS:
                faults.append(f"{name} imports its sibling {target}; models meet through {PACKAGE}.models only")
    return faults


def cycles(modules: list[Module]) -> list[str]:
    """Return the modules of one room that reach themselves through imports inside the room."""
    graph = edges(modules)
    faults = []
    for start in graph:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            inside = {target for target in graph.get(ahead.pop(), ()) if room(target) == room(start)}
            ahead += inside - seen
            seen |= inside
        if start in seen:
            faults.append(f"{start} imports itself in a circle through its folder")
    return faults


def foreign(modules: list[Module]) -> list[str]:
    """Return the third-party imports that a room may not make."""
    faults = []
    for module in modules:
        here = room(module.name)
        outside = {origin.split(".")[0] for origin, _ in imports(module)} - {PACKAGE} - sys.stdlib_module_names
        if here in LIBRARIES:
            faults += [f"{module.name} imports {name}" for name in sorted(outside - LIBRARIES[here])]
        faults += [f"{module.name} imports {name}" for name in outside if here != ONLY_IN.get(name, here)]
    return faults


def too_long(where: str, source: str) -> list[str]:
    """Return what is too long in a file: itself, or a function (its docstring does not count)."""
    faults = []
    lines = len(source.splitlines())
    if lines > FILE_LINES:
        faults.append(f"{where} has {lines} lines; split it, {FILE_LINES} is the limit")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            said = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) is not None else 0
            length = node.end_lineno - node.lineno + 1 - said
            if length > FUNCTION_LINES:
                faults.append(f"{where}: {node.name}() has {length} lines; split it, {FUNCTION_LINES} is the limit")
    return faults


def notebook_faults(notebook: dict) -> list[str]:
    """Return what a notebook does that a thin one does not."""
    cells = notebook["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    faults = []
    marked = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if [cell["cell_type"] for cell in marked] != ["code"]:
        faults.append(f"needs exactly one code cell tagged `parameters`, has {len(marked)} cells with the tag")
    if any(cell["outputs"] or cell["execution_count"] is not None for cell in code):
        faults.append("stores outputs or execution counts; nbstripout removes them")
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3":
        faults.append("must name the kernel python3")
    opening = "".join(cells[0]["source"]).splitlines()[:1] if cells and cells[0]["cell_type"] == "markdown" else []
    if not opening or not re.fullmatch(r"# .+\?", opening[0].rstrip()):
        faults.append("must open with a title that is a question: `# ...?`")
    lengths = []
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        source = code_of(cell)
        lengths.append(sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in source.splitlines()))
        if lengths[-1] > CELL_LINES:
            faults.append(f"cell {number} has {lengths[-1]} lines of code; {CELL_LINES} is the limit")
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        names = [node.name for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
        faults += [f"cell {number} defines {name}; code lives in {PACKAGE}/" for name in names]
    if sum(lengths) > NOTEBOOK_LINES:
        faults.append(f"has {sum(lengths)} lines of code; {NOTEBOOK_LINES} is the limit")
    return faults


# -------------------------------------------------------------------------------------------------- the house itself


@pytest.mark.parametrize("rule", [homeless, against_the_floors, between_models, cycles, foreign])
def test_the_house_keeps(rule):
    modules = house()
    assert f"{PACKAGE}.schema" in {module.name for module in modules}  # it did look at the package
    assert "\n".join(rule(modules)) == ""


def test_nothing_is_too_long():
    paths = [path for folder in (PACKAGE, "tests") for path in (ROOT / folder).rglob("*.py")]
    paths += [path for path in [ROOT / "app.py"] if path.exists()]
    faults = [fault for path in paths for fault in too_long(str(path.relative_to(ROOT)), path.read_text("utf-8"))]
    assert "\n".join(sorted(faults)) == ""


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
    names = [module.name for module in house() if module.name.startswith(f"{PACKAGE}.")]
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
        (homeless, "workbench.attic", "", "in no room"),
        (homeless, "workbench.models.utils", "", "says nothing"),
        (against_the_floors, "workbench.metrics.plots", "from workbench.schema import Post", "metrics.plots"),
        (against_the_floors, "workbench.schema", "from workbench import device", "imports workbench.device"),
        (against_the_floors, "workbench.corpora.files", "def f():\n    import workbench.models", "(floor 4)"),
        (against_the_floors, "workbench.features.store", "from ..corpora import files", "imports workbench.corpora"),
        (against_the_floors, "workbench.schema", "if TYPE_CHECKING:\n    import workbench.studies.runs", "(floor 6)"),
        (between_models, "workbench.models.clip", "from workbench.models.text import Tfidf", "sibling"),
        (between_models, "workbench.models.clip", "from . import text", "sibling"),
        (foreign, "workbench.metrics.intervals", "import pandas as pd", "imports pandas"),
        (foreign, "workbench.models.text", "from datasets import load_dataset", "imports datasets"),
    ],
)
def test_a_rule_trips(rule, name, source, fault):
    others = [Module("workbench.models", "", True), Module("workbench.models.text", "")]
    found = rule([other for other in others if other.name != name] + [Module(name, source)])
    assert len(found) == 1
    assert fault in found[0]


def test_what_the_floors_allow():
    modules = [
        Module("workbench.models", "from workbench.schema import unknown", True),
        Module("workbench.models.losses", ""),
        Module("workbench.models.clip", "from workbench.models import MODELS, losses\nfrom .losses import masked"),
        Module("workbench.device", "from workbench.schema import unknown"),
        Module("notebooks.04-who-wins", "from workbench.studies import report"),
    ]
    assert [fault for rule in (homeless, against_the_floors, between_models, cycles) for fault in rule(modules)] == []


def test_a_circle_is_seen_also_through_a_function():
    modules = [
        Module("workbench.studies.runs", "from workbench.studies import report"),
        Module("workbench.studies.report", "def show():\n    from workbench.studies.runs import key"),
        Module("workbench.studies.config", "from workbench.studies import runs"),  # leads in, but is not part of it
    ]
    assert [fault.split()[0] for fault in cycles(modules)] == ["workbench.studies.runs", "workbench.studies.report"]


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
