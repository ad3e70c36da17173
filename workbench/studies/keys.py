"""Run keys: what a run's result depends on, by content, and in words why a finished run no longer counts.

The inputs of a run are a flat mapping component -> value or digest: the notebook's code, each parameter, each module of
ours that this code reaches by static imports, the data, the taxonomy, the weights, the device. The key is over what
they are: where a module or a weights file lies is told to people and is no part of it, neither is what changes nothing
in a module (see `fingerprint`). Of installed libraries a run records the versions; another minor version is told, and
the run counts on.

Open doubt: what code reaches by names that are made at run time is not seen; the tables of models and sources name it.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import re
import sysconfig
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from workbench import corpora, fingerprint, models
from workbench.errors import WorkbenchError
from workbench.fingerprint.closure import OUTSIDE_LIBRARIES, distributions
from workbench.fingerprint.code import for_types_only
from workbench.fingerprint.inputs import contents
from workbench.schema import ROOT, Taxonomy
from workbench.studies.parameters import code, read

NOT_KEYED = ("folder", "device", "taxonomy")  # where results go says nothing; the others enter as what they are
OUTSIDE = {
    "workbench.artifacts": "writes files whole or not at all; what is in them comes from others",
    "workbench.errors": "sentences for people",
    "workbench.evidence.audit": "decides whether a study may run; what it counts enters no model and no score",
    "workbench.features.store": "gives back what an encoder made of a content, from whichever tier",
    "workbench.fingerprint": "names contents, and computes nothing that a model or a score is made of",
    "workbench.studies.parameters": "refuses parameters; those that it takes are told by their values",
    "workbench.preprocessing.video.pool": "lends processes to those who decode",
}
"""Modules, with those below them, that decide whether and where a run happens and never what it finds."""

# ----------------------------------------------------------------------------------------------- the code of a notebook


def of_notebook(path: Path) -> tuple[str, set[str]]:
    """Return a digest of a notebook's code and the modules it imports; of the parameters cell only names and types."""
    parts, imports = [], set()
    for _, tree, tags in code(read(path), path.name):
        if "parameters" in tags:
            typed = [line for line in tree.body if isinstance(line, ast.AnnAssign)]
            parts.append([f"{ast.unparse(line.target)}: {ast.unparse(line.annotation)}" for line in typed])
        else:
            parts.append(fingerprint.of_source(ast.unparse(tree)))
            imports.update(_imports(tree, ""))
    return fingerprint.of_json(parts), imports


# --------------------------------------------------------------------------------------------------- modules, by import


class Reached(NamedTuple):
    """What code reaches: by label of a file its digest, a digest of what they import from each other, and libraries.

    libraries: the names of what is installed and imported; files: all that was followed, also what does not count.
    """

    modules: dict[str, str]
    imports: str
    libraries: frozenset[str]
    files: frozenset[Path] = frozenset()

    @property
    def inputs(self) -> dict[str, str]:
        """All that counts of it, as components of a key."""
        return {"imports": self.imports, **{f"module {label}": digest for label, digest in self.modules.items()}}


def reach(names: Iterable[str]) -> Reached:
    """Return every source module reached from dotted names by imports at any depth, and what they import.

    Imports inside functions count, those under `if TYPE_CHECKING` do not; the `__init__` of each package on the way
    does. What is OUTSIDE and modules without code are followed and not listed.
    """
    sources, labels, libraries, files, waiting, seen = {}, {}, set(), set(), list(names), set()
    while waiting:
        dotted = waiting.pop()
        if not dotted or dotted in seen:
            continue
        seen.add(dotted)
        waiting.append(dotted.rpartition(".")[0])
        path, label = _locate(dotted)
        if path is None:
            continue
        files.add(path)
        source = path.read_text(encoding="utf-8")
        package = dotted if path.name == "__init__.py" else dotted.rpartition(".")[0]
        imported, has_code = _imported(source, str(path), package)
        waiting.extend(imported)
        if has_code and not any(f"{dotted}.".startswith(f"{name}.") for name in OUTSIDE):
            sources[dotted], labels[dotted] = _TABLED.sub("", source), label
            libraries |= {name.partition(".")[0] for name in imported} - OUTSIDE_LIBRARIES.keys()
    digests, imports = fingerprint.of_modules(sources)
    modules = {labels[name]: digest for name, digest in digests.items()}
    installed = frozenset(name for name in libraries if _locate(name)[0] is None)
    return Reached(modules, imports, installed, frozenset(files))


# An entry of a table that names a module; which of them a run takes is told by the run.
_TABLED = re.compile(r'^ *"[\w-]+": "workbench[.\w]+(:\w+)?",$', re.MULTILINE)


@lru_cache(maxsize=1024)
def _imported(source: str, path: str, package: str) -> tuple[frozenset[str], bool]:
    """Return the names that a module may import, and whether it has any code: a docstring is none."""
    try:
        tree = ast.parse(source)
        return frozenset(_imports(tree, package)), any(not isinstance(node, ast.Expr) for node in tree.body)
    except SyntaxError as error:
        raise WorkbenchError(f"{path} is not valid Python (line {error.lineno}): {error.msg}") from None


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the dotted names that code may import; relative ones start from its package."""
    for node in ast.iter_child_nodes(tree):
        if for_types_only(node):
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
        self._known: dict[str, tuple[str, str]] = {}

    def of(self, written: dict[str, Any], resolved: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return component -> value or digest for one run, and the versions of the libraries that its code imports.

        `written`: the notebook's parameters as the study writes them, so that `${WORKBENCH_DATA}` may move without a
        new run; `resolved`: the same with variables replaced, which tells where data and weights are.
        """
        name, options = resolved["model"], resolved["options"]
        inputs, libraries = of_code(self.path, resolved)
        for parameter, value in written.items():
            if parameter not in NOT_KEYED:
                inputs.update(_flat(f"parameter {parameter}", value, top=True))
        inputs |= self.data(resolved)
        inputs["taxonomy"] = self.taxonomy.fingerprint
        files = list(models.artefacts(name, options))
        if "out_of_distribution" in (resolved.get("policy") or {}):
            from workbench.studies.steps import detector  # imports torch

            files += detector.files(resolved["policy"])
        for path in files:
            inputs.update(_weights(Path(path)))
        inputs["device"] = self.device
        return dict(sorted(inputs.items())), libraries

    def data(self, resolved: dict[str, Any]) -> dict[str, str]:
        """Return the part that is data: of corpus and further tests the digest, and that of the code that reads them.

        Raises WorkbenchError for one that cannot be read, and says which.
        """
        inputs = {}
        for label, config in _data(resolved).items():
            known = fingerprint.of_json(config)
            if known not in self._known:
                try:
                    self._known[known] = corpora.digest(config, self.taxonomy), corpora.code(config)
                except WorkbenchError as error:
                    raise WorkbenchError(str(error) if label == "corpus" else f"tests.{label}: {error}") from None
            inputs[f"data {label}"], inputs[f"source {label}"] = self._known[known]
        return inputs


def of_code(notebook: Path, resolved: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the part of a run's inputs that is code, and the versions of the libraries that this code imports.

    The code is the notebook and each module that it, the model and the data reach.
    """
    digest, reached = _reached(notebook, resolved)
    classes = [entry.rpartition(":")[2] for entry in models.entries(resolved["model"], resolved["options"])]
    return {"notebook": digest, "classes": classes, **reached.inputs}, versions(reached.libraries)


def files_of_code(notebook: Path, resolved: dict[str, Any]) -> list[Path]:
    """Return the files of that code, and of the modules that it needs and that do not count: what makes it run."""
    return sorted({notebook.resolve(), *_reached(notebook, resolved)[1].files})


def _reached(notebook: Path, resolved: dict[str, Any]) -> tuple[str, Reached]:
    """Return the digest of a notebook's code, and what it, the model and the data reach."""
    digest, imported = of_notebook(notebook)
    sources = {corpora.SOURCES[config["source"]] for config in _data(resolved).values()}
    entries = models.entries(resolved["model"], resolved["options"])
    return digest, reach([*imported, *(entry.partition(":")[0] for entry in entries), *sources])


def versions(imported: Iterable[str]) -> dict[str, str]:
    """Return distribution -> version of the installed libraries among names that are imported."""
    names = {name for top in imported for name in distributions().get(top, ())}
    return {name: importlib.metadata.version(name) for name in sorted(names)}


def _data(resolved: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"corpus": resolved["corpus"], **resolved.get("tests", {})}


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


# ---------------------------------------------------------------------------------------------------------- in words

_ORDER = ("parameter", "classes", "notebook", "module", "imports", "source", "data", "taxonomy", "weights", "device")


def reasons(old: dict[str, Any] | None, new: dict[str, Any]) -> list[str]:
    """Return, in plain words, how the inputs of a run differ from those of an earlier one (None: there is none).

    >>> reasons({"parameter options.hidden": 64}, {"parameter options.hidden": 128})
    ['parameter options.hidden: 64 -> 128']
    """
    if old is None:
        return ["never ran"]
    if ("imports" in old) != ("imports" in new):
        return ["code, options and weights were keyed otherwise in an earlier version of the workbench"]
    return differences(old, new)


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return, in plain words, how inputs of two runs that were recorded alike differ."""
    changed = [name for name in {**old, **new} if old.get(name, _GONE) != new.get(name, _GONE)]
    changed = _unmoved(changed, old, new)
    changed.sort(key=lambda name: (_ORDER.index(name.split()[0]) if name.split()[0] in _ORDER else 99, name))
    return [_sentence(name, old.get(name, _GONE), new.get(name, _GONE)) for name in changed]


_GONE = object()


def _unmoved(changed: list[str], old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what changed without files that only lie elsewhere, and without what follows from changed modules."""
    for kind in ("module ", "weights "):
        both = set(contents(old, kind)) & set(contents(new, kind))
        moved = {name for name in changed if name.startswith(kind) and {old.get(name), new.get(name)} <= {*both, None}}
        changed = [name for name in changed if name not in moved]
    if any(name.startswith("module ") for name in changed):
        changed = [name for name in changed if name.split()[0] not in ("imports", "source")]
    return changed


def upgraded(made_with: dict[str, str], here: dict[str, str]) -> list[str]:
    """Return, in plain words, which libraries a run was made with in another minor version than is here.

    >>> upgraded({"transformers": "4.57.1", "numpy": "2.3.1"}, {"transformers": "4.58.0", "numpy": "2.3.5"})
    ['made with transformers 4.57 (now 4.58)']
    """
    pairs = {name: (_minor(made_with[name]), _minor(version)) for name, version in here.items() if name in made_with}
    return [f"made with {name} {old} (now {new})" for name, (old, new) in pairs.items() if old != new]


def _minor(version: str) -> str:
    return ".".join(re.split(r"[.+]", version)[:2])


def _sentence(name: str, old: Any, new: Any) -> str:
    kind = name.split()[0]
    if kind in ("parameter", "classes", "device", "taxonomy"):
        return f"{name}: {_shown(old)} -> {_shown(new)}"
    if name == "imports":
        return "what modules import from each other changed"
    if kind == "source":
        return f"the code that reads {name.removeprefix('source ')} changed"
    if old is _GONE:
        return f"{name} is new"
    return f"{name} is no longer used" if new is _GONE else f"{name} changed"


def _shown(value: Any) -> str:
    text = "unset" if value is _GONE else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
