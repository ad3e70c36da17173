"""The layers of packages, and what the code may not do, as functions from modules to sentences about faults."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "workbench"

# A package imports only from packages of the layers below its own.
LAYERS = (
    ("errors", "strict_yaml", "schema", "requirements", "fingerprint", "device", "artifacts", "metrics"),
    ("preprocessing", "records"),
    ("corpora", "features"),
    ("models",),
    ("decisions",),
    ("comparison",),
    ("evidence", "report"),
    ("studies",),
    ("questions", "review", "operations", "starter"),
    ("serving", "scale"),
    ("bench", "cli", "app", "notebooks"),
)
LAYER = {name: layer for layer, names in enumerate(LAYERS, start=1) for name in names}
# Those of one layer that may know each other, one way.
WITHIN_A_LAYER = {
    ("schema", "errors"),
    ("strict_yaml", "errors"),
    ("schema", "strict_yaml"),
    ("requirements", "schema"),
    ("requirements", "strict_yaml"),
    ("device", "errors"),
    ("artifacts", "errors"),
    ("artifacts", "schema"),
    ("device", "schema"),
}
WITHIN_A_LAYER |= {("fingerprint", "errors"), ("report", "evidence"), ("cli", "bench")}
WITHIN_A_LAYER |= {(None, "fingerprint")}  # which takes in the code of whatever is imported, so it comes first
# Inside these packages folders have layers too; what lies beside the folders belongs to the first.
FOLDERS = {
    "models": (("fit",), ("heads",), ("text", "vision"), ("tabular",), ("combine",)),
    "features": (("encoders",), ("store",)),
    "preprocessing": (("text", "image"), ("video", "links")),
    "report": (("wording",), ("sections",)),
    "serving": (("api",), ("demo",)),
}
# Modules by name in a table: the only places where a module is imported by a string.
TABLES = {"workbench.models", "workbench.corpora"}
# Third-party libraries that a package may import; packages not named may import any.
LIBRARIES = {
    "errors": {"pydantic"},
    "strict_yaml": {"yaml"},
    "schema": {"pydantic", "pyarrow", "numpy"},
    "requirements": {"pydantic"},
    "fingerprint": set(),
    "artifacts": {"numpy", "safetensors"},
    "metrics": {"numpy", "scipy", "sklearn", "matplotlib"},
}
# Libraries that only one package may import.
ONLY_IN = {"datasets": "corpora"}
# Code that only reads results starts fast: these import none of the heavy libraries.
LIGHT = (
    "schema",
    "metrics",
    "records",
    "comparison",
    "report",
    "decisions.policy",
    "studies.config",
    "studies.parameters",
    "cli",
)
HEAVY = ("torch", "open_clip", "datasets", "rfc3987_syntax")
# Classes that several modules may have: a source's options are found by this name in each.
SAME_NAME = {"SourceOptions"}
FOLDER_FILES = 12
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc"}
FILE_LINES, FUNCTION_LINES = 400, 50
NOTEBOOK_LINES, CELL_LINES, PARAMETER_LINES = 80, 12, 16


class Module(NamedTuple):
    """Python code with its dotted name; a package's name is that of its folder."""

    name: str
    source: str
    is_package: bool = False


# ------------------------------------------------------------------------------------------------ reading the code


def notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def code_of(cell: dict) -> str:
    """Return a code cell's Python, without IPython's magics and shell lines."""
    return "\n".join(line for line in "".join(cell["source"]).splitlines() if not line.lstrip().startswith(("%", "!")))


def library() -> list[Module]:
    """Return every module of the package, and the entry points beside it."""
    found = []
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        found.append(Module(name, path.read_text(encoding="utf-8"), is_package))
    if (ROOT / "app.py").exists():
        found.append(Module("app", (ROOT / "app.py").read_text(encoding="utf-8")))
    for path in notebooks():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        source = "\n".join(code_of(cell) for cell in cells if cell["cell_type"] == "code")
        found.append(Module(f"notebooks.{path.stem}", source))
    return found


def package(name: str) -> str | None:
    """Return the package of a dotted name: None for `workbench` itself."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return parts[0]
    return parts[1] if len(parts) > 1 else None


def imports(module: Module) -> set[tuple[str, str | None]]:
    """Return (module, name or None) for each import anywhere in the code, relative ones made absolute, strings too."""
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
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "import_module":
            found |= {(item.value, None) for item in node.args[:1] if isinstance(item, ast.Constant)}
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
                targets.add(inner if inner in known or (origin == PACKAGE and name in LAYER) else origin)
        graph[module.name] = targets - {module.name}
    return graph


# -------------------------------------------------------------------------------------------------------- the rules


def homeless(modules: list[Module]) -> list[str]:
    """Return the modules that belong to no package, or have a name that says nothing."""
    faults = []
    for module in modules:
        here = package(module.name)
        if here is not None and here not in LAYER:
            faults.append(f"{module.name} is in no package; the packages are {', '.join(LAYER)}")
        faults += [f"{module.name}: {part!r} says nothing" for part in module.name.split(".") if part in VAGUE_NAMES]
    return faults


def against_the_layers(modules: list[Module]) -> list[str]:
    """Return the imports that do not go down."""
    faults = []
    for name, targets in edges(modules).items():
        here = package(name)
        for target in sorted(targets):
            there = package(target)
            if there is None or there == here or (here, there) in WITHIN_A_LAYER:
                continue
            if here is None or LAYER.get(there, 99) >= LAYER.get(here, 0):
                faults.append(
                    f"{name} (layer {LAYER.get(here, 0)}) imports {target} (layer {LAYER.get(there, '?')}): "
                    "a package imports only from the layers below it"
                )
    return faults


def against_the_folders(modules: list[Module]) -> list[str]:
    """Return the imports inside a package that do not go down its folders."""
    faults = []
    for name, targets in edges(modules).items():
        order = {part: k for k, parts in enumerate(FOLDERS.get(package(name), ())) for part in parts}
        here = next(iter(name.split(".")[2:3]), None)
        for target in sorted(targets):
            there = next(iter(target.split(".")[2:3]), None)
            if package(target) != package(name) or here not in order or there not in order or here == there:
                continue
            if order[there] >= order[here]:
                faults.append(
                    f"{name} imports {target}: inside {package(name)} `{there}` does not stand below `{here}`"
                )
    return faults


def by_string(modules: list[Module]) -> list[str]:
    """Return the modules that import by a string, without being a table of models or sources."""
    faults = []
    for module in modules:
        calls = (node for node in ast.walk(ast.parse(module.source)) if isinstance(node, ast.Call))
        if module.name not in TABLES and any(ast.unparse(node.func).endswith("import_module") for node in calls):
            faults.append(f"{module.name} imports a module by a string; only {', '.join(sorted(TABLES))} may")
    return faults


def same_name(modules: list[Module]) -> list[str]:
    """Return the classes whose name another module has given to another class."""
    places: dict[str, list[str]] = {}
    for module in modules:
        for node in ast.parse(module.source).body:
            if isinstance(node, ast.ClassDef) and node.name not in SAME_NAME:
                places.setdefault(node.name, []).append(module.name)
    return [f"class {name} stands in {', '.join(where)}" for name, where in places.items() if len(where) > 1]


def cycles(modules: list[Module]) -> list[str]:
    """Return the modules of one package that reach themselves through imports inside the package."""
    graph = edges(modules)
    faults = []
    for start in graph:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            inside = {target for target in graph.get(ahead.pop(), ()) if package(target) == package(start)}
            ahead += inside - seen
            seen |= inside
        if start in seen:
            faults.append(f"{start} imports itself in a circle through its folder")
    return faults


def foreign(modules: list[Module]) -> list[str]:
    """Return the third-party imports that a package may not make."""
    faults = []
    for module in modules:
        here = package(module.name)
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
        most = PARAMETER_LINES if "parameters" in cell["metadata"].get("tags", []) else CELL_LINES
        if lengths[-1] > most:
            faults.append(f"cell {number} has {lengths[-1]} lines of code; {most} is the limit")
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        names = [node.name for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
        faults += [f"cell {number} defines {name}; code lives in {PACKAGE}/" for name in names]
    if sum(lengths) > NOTEBOOK_LINES:
        faults.append(f"has {sum(lengths)} lines of code; {NOTEBOOK_LINES} is the limit")
    return faults
