"""Run keys: what a run's result depends on, by content, and in words why a finished run no longer counts.

The inputs of a run are a flat mapping component -> value or digest: the notebook's code, each parameter, each module of
ours that this code reaches by static imports, the data, the taxonomy, the weights, three library versions, the device.
Comments, docstrings, layout and file times are no part of it. Modules of installed packages are told by version only.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import nbformat

from workbench import corpora, fingerprint, models
from workbench.errors import WorkbenchError
from workbench.schema import ROOT, Taxonomy

VERSIONS = {"torch": "torch", "scikit-learn": "scikit-learn", "open_clip": "open_clip_torch"}
NOT_KEYED = ("folder", "device")  # where results go says nothing about them; the device enters resolved

# ----------------------------------------------------------------------------------------------- the code of a notebook


def read(path: Path) -> nbformat.NotebookNode:
    """Return a notebook in format 4, or raise WorkbenchError where the file is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return nbformat.reads(Path(path).read_text(encoding="utf-8"), as_version=4)
    except OSError as error:
        raise WorkbenchError(f"cannot read notebook {path}: {error.strerror}; check the path") from None
    except Exception as error:  # nbformat raises its own, json's and jsonschema's errors
        raise WorkbenchError(f"{path} is not a notebook: {' '.join(str(error).split())[:120]}") from None


def code(notebook: nbformat.NotebookNode, where: str) -> list[tuple[int, ast.Module, list[str]]]:
    """Return (index, syntax tree, tags) of each code cell; IPython's magics become calls of `get_ipython()`."""
    cells = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip():
            try:
                tree = ast.parse(_python(cell.source))
            except (SyntaxError, ValueError) as error:
                raise WorkbenchError(f"cell {index} of {where} is not valid Python: {error}") from None
            cells.append((index, tree, cell.metadata.get("tags", [])))
    return cells


def names_read(tree: ast.Module) -> set[str]:
    """Return the names a cell reads; the text of a magic may read any name it contains (`!ls {folder}`)."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("get_ipython()."):
            found.update(re.findall(r"[^\W\d]\w*", ast.unparse(node)))
    return found


def of_notebook(path: Path) -> tuple[str, set[str]]:
    """Return a digest of a notebook's code and the modules it imports; of the parameters cell only names and types."""
    parts, found = [], set()
    for _, tree, tags in code(read(path), path.name):
        if "parameters" in tags:
            typed = [line for line in tree.body if isinstance(line, ast.AnnAssign)]
            parts.append([f"{ast.unparse(line.target)}: {ast.unparse(line.annotation)}" for line in typed])
        else:
            parts.append(fingerprint.of_source(ast.unparse(tree)))
            found.update(_imports(tree, ""))
    return fingerprint.of_json(parts), found


def _python(source: str) -> str:
    try:
        ast.parse(source)
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        # The body of a timing magic is Python; without its first line its names are seen.
        source = re.sub(r"\A\s*%%(time|timeit|capture|prun)\b.*\n", "\n", source)
        return TransformerManager().transform_cell(source)
    return source


# --------------------------------------------------------------------------------------------------- modules, by import


def modules(names: Iterable[str]) -> dict[str, str]:
    """Return {"workbench/x.py": digest} of every source module reached from dotted names by imports at any depth.

    Imports inside functions count, those under `if TYPE_CHECKING` do not; the `__init__` of each package on the way
    does. Standard library and installed packages are left out.
    """
    digests: dict[str, str] = {}
    waiting, seen = list(names), set()
    while waiting:
        dotted = waiting.pop()
        if not dotted or dotted in seen:
            continue
        seen.add(dotted)
        waiting.append(dotted.rpartition(".")[0])
        path, label = _locate(dotted)
        if path is not None:
            package = dotted if path.name == "__init__.py" else dotted.rpartition(".")[0]
            digests[label], found = _scan(path.read_text(encoding="utf-8"), str(path), package)
            waiting.extend(found)
    return digests


@lru_cache(maxsize=1024)
def _scan(source: str, path: str, package: str) -> tuple[str, frozenset[str]]:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise WorkbenchError(f"{path} is not valid Python (line {error.lineno}): {error.msg}") from None
    return fingerprint.of_source(source), frozenset(_imports(tree, package))


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the dotted names that code may import; relative ones start from its package."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            for other in node.orelse:
                yield from _imports(ast.Module([other], []), package)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            steps = package.split(".") if package else []
            start = steps[: len(steps) - node.level + 1] if node.level else []
            origin = ".".join([*start, *([node.module] if node.module else [])])
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "import_module":
            yield from (item.value for item in node.args[:1] if isinstance(item, ast.Constant))
        yield from _imports(node, package)


_INSTALLED = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")]


def _locate(dotted: str) -> tuple[Path | None, str]:
    """Return the file of a module that is source of ours (not installed, not standard library) and its label."""
    top, *rest = dotted.split(".")
    try:
        origin = getattr(importlib.util.find_spec(top), "origin", None)
    except (ImportError, ValueError):
        origin = None
    if not origin or not origin.endswith(".py"):
        return None, ""
    start = Path(origin).resolve()
    if any(start.is_relative_to(folder) for folder in _INSTALLED):
        return None, ""
    base = start.parent
    root = base.parent if start.name == "__init__.py" else base
    if not rest:
        return start, start.relative_to(root).as_posix()
    for path in (base.joinpath(*rest).with_suffix(".py"), base.joinpath(*rest, "__init__.py")):
        if start.name == "__init__.py" and path.is_file():
            return path, path.relative_to(root).as_posix()
    return None, ""


# ------------------------------------------------------------------------------------------------------ inputs of a run


class Inputs:
    """Collects the inputs of runs that share a notebook, a taxonomy and a device; data are digested once."""

    def __init__(self, notebook: Path, taxonomy: Taxonomy, device: str) -> None:
        self.path, self.taxonomy, self.device = notebook, taxonomy, device
        self._known: dict[str, str] = {}

    def of(self, written: dict[str, Any], resolved: dict[str, Any]) -> dict[str, Any]:
        """Return component -> value or digest for one run.

        `written`: the notebook's parameters as the study writes them, so that `${WORKBENCH_DATA}` may move without a
        new run; `resolved`: the same with variables replaced, which tells where data and weights are.
        """
        name, options = resolved["model"], resolved["options"]
        found: dict[str, Any] = of_code(self.path, resolved)
        for parameter, value in written.items():
            if parameter not in NOT_KEYED:
                found.update(_flat(f"parameter {parameter}", value, top=True))
        found.update({f"data {label}": self._digest(config) for label, config in _data(resolved).items()})
        found["taxonomy"] = self.taxonomy.fingerprint
        files = list(models.artefacts(name, options))
        if "unusual" in (resolved.get("policy") or {}):
            from workbench.studies.steps import detector  # imports torch

            files += detector.files(resolved["policy"])
        for path in files:
            found.update(_weights(Path(path)))
        found.update({f"version {label}": _minor(package) for label, package in VERSIONS.items()})
        found["device"] = self.device
        return dict(sorted(found.items()))

    def _digest(self, config: dict[str, Any]) -> str:
        known = fingerprint.of_json(config)
        if known not in self._known:
            self._known[known] = corpora.digest(config, self.taxonomy)
        return self._known[known]


def of_code(notebook: Path, resolved: dict[str, Any]) -> dict[str, str]:
    """Return the part of a run's inputs that is code: the notebook and each module that it, model and data reach."""
    digest, imported = of_notebook(notebook)
    sources = {corpora.SOURCES[config["source"]] for config in _data(resolved).values()}
    reached = modules([*imported, *models.modules(resolved["model"], resolved["options"]), *sources])
    return {"notebook": digest, **{f"module {label}": found for label, found in reached.items()}}


def _data(resolved: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"corpus": resolved["corpus"], **resolved.get("tests", {})}


def run_key(inputs: dict[str, Any]) -> str:
    """Return 16 hex digits over the inputs of a run: the name of its folder."""
    return fingerprint.of_json(inputs)


def _flat(name: str, value: Any, top: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) for the leaves of nested mappings; lists are leaves."""
    # At the top every parameter is always there, so an empty mapping says nothing; further down it does.
    if not isinstance(value, dict) or (not value and not top):
        yield name, value
    else:
        for key, item in value.items():
            yield from _flat(f"{name}.{json.dumps(key) if '.' in key else key}", item)


def _weights(path: Path) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        for file in sorted(item for item in path.rglob("*") if item.is_file()):
            yield from _weights(file)
        return
    try:
        facts = path.stat()
    except OSError:
        raise WorkbenchError(f"the weights {path} are missing; fetch or make them, then run again") from None
    label = path.resolve().relative_to(ROOT) if path.resolve().is_relative_to(ROOT) else Path(*path.parts[-2:])
    yield f"weights {label.as_posix()}", _of_file(str(path), facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=256)
def _of_file(path: str, changed: int, size: int) -> str:
    return fingerprint.of_file(path)


def _minor(package: str) -> str:
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
    return ".".join(re.split(r"[.+]", version)[:2])


# ---------------------------------------------------------------------------------------------------------- in words

_ORDER = ("parameter", "notebook", "module", "data", "taxonomy", "weights", "version", "device")


def reasons(old: dict[str, Any] | None, new: dict[str, Any]) -> list[str]:
    """Return, in plain words, how the inputs of a run differ from those of an earlier one (None: there is none).

    >>> reasons({"parameter options.hidden": 64}, {"parameter options.hidden": 128})
    ['parameter options.hidden: 64 -> 128']
    """
    if old is None:
        return ["never ran"]
    changed = [name for name in {**old, **new} if old.get(name, _GONE) != new.get(name, _GONE)]
    changed.sort(key=lambda name: (_ORDER.index(name.split()[0]) if name.split()[0] in _ORDER else 99, name))
    return [_sentence(name, old.get(name, _GONE), new.get(name, _GONE)) for name in changed]


_GONE = object()


def _sentence(name: str, old: Any, new: Any) -> str:
    kind = name.split()[0]
    if kind in ("parameter", "version", "device", "taxonomy"):
        return f"{name}: {_shown(old)} -> {_shown(new)}"
    if old is _GONE:
        return f"{name} is new"
    return f"{name} is no longer used" if new is _GONE else f"{name} changed"


def _shown(value: Any) -> str:
    text = "unset" if value is _GONE else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
