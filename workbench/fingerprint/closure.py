"""The code that some functions depend on, by name: which definitions of this library they reach, and which libraries.

A definition is a function, a class, a method or a constant of a module. What it names is followed through imports, also
of modules and through packages that pass a name on, to the definitions it means. Of a class that is reached everything
counts but its methods; a method counts where any reached code has an attribute of its name, whatever of (rapid type
analysis; Bacon and Sweeney 1996, https://doi.org/10.1145/236337.236371), where its name has two underscores, where its
decorator may call it, and everywhere once an attribute is read by a computed name. What a module does besides defining
counts as soon as one of its definitions does. Digests tell what is reached and how it hangs together, and neither where
it lies nor what it is called there.

Not followed is what is in OUTSIDE: it decides how fast, in which order, from where or with which words something is
computed, and never what comes out. Open doubt: code that is named by text alone is not seen.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from workbench.fingerprint import digest_of, of_json, refined
from workbench.fingerprint.code import (
    FUNCTIONS,
    OWN,
    PLAIN_DECORATORS,
    annotated,
    for_types_only,
    imported,
    last,
    normal,
    own,
)

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "errors": "sentences for people",
    "fingerprint": "what things are known by",
    "artifacts": "files that are whole or refused",
    "device": "where something is computed; the number format is told by its value",
    "schema:Options": "how options are read and refused; their values are told",
    "schema:_StrictLoader": "how YAML is read; its values are told",
    "schema:ROOT": "where the repository lies",
    "preprocessing.image.decoding:ImageOptions": "told by its values",
    "preprocessing.video.reader:VideoOptions": "told by its values",
    "preprocessing.video.pool": "the processes that decode; what they do is in RUN_BY_NAME",
    "features.store": "what was computed before",
    "features.encoders.forward.threads": "the threads that compute",
    "features.encoders.hub": "where weights come from; they are told by content",
    "features.encoders.names": "the same",
    "features.encoders.identity": "what encoders are known by",
    "models:Classifier": "how models are asked, saved and loaded; what they train on is told by its values",
    "models.fit.checkpoints": "training that goes on after a kill",
}
"""Module, or module:definition, of this library -> why it is not followed."""
RUN_BY_NAME = {"preprocessing.video.pool": "workbench.preprocessing.video.worker:_answer"}
"""Module that is not followed -> what it starts in a process of its own, by name, and what is followed for it."""
BUILT_IN = sys.stdlib_module_names - {"unicodedata"}  # whose tables have versions of their own


OUTSIDE_LIBRARIES = {
    "pydantic": "options, told by their values",
    "psutil": "how much memory is free",
    "huggingface_hub": "where weights come from; they are told by content",
    "filelock": "who may write",
    "yaml": "how options are written",
}
"""Library -> why its version says nothing about what comes out."""
DISTRIBUTIONS = {"PIL": "pillow", "open_clip": "open_clip_torch", "sklearn": "scikit-learn", "yaml": "PyYAML"}
Import = tuple[str, str, bool]  # of a name: the module, the name there or "", whether the module is ours


class Closure(NamedTuple):
    """What some functions depend on.

    digest: 16 hex digits over the code; libraries: what it imports that is neither ours nor Python's, by top-level
    name; definitions: what was reached, as module:name.
    """

    digest: str
    libraries: tuple[str, ...]
    definitions: tuple[str, ...]


def of_code(*entries: Callable[..., Any] | type, without: Iterable[Callable[..., Any]] = ()) -> dict[str, Any]:
    """Return what functions and classes of this library depend on: {"code": digest, "libraries": {name: version}}.

    without: functions that are known not to be called. Of a version the first two numbers count.
    """
    reached = _here().closure(*map(_name, entries), without=tuple(map(_name, without)))
    return {"code": reached.digest, "libraries": {name: minor(name) for name in reached.libraries}}


def _name(entry: Callable[..., Any] | type) -> str:
    return f"{entry.__module__}:{entry.__qualname__}"


def minor(library: str) -> str:
    """Return the first two numbers of the version of what is imported by a name, "not installed" where nothing is."""
    if library == "unicodedata":
        return unicodedata.unidata_version
    try:
        version = importlib.metadata.version(DISTRIBUTIONS.get(library, library))
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
    return ".".join(re.split(r"[.+]", version)[:2])


@lru_cache(maxsize=1)
def _here() -> Library:
    return Library()


@dataclass(frozen=True)
class Definition:
    """What one definition is: its digest, the names that it has of others, and the attributes that it reads.

    uses: for each of those names in order, the attributes that follow it, None among them where it stands alone.
    imports: what it imports itself; computed: whether it reads an attribute by a computed name.
    """

    digest: str
    uses: tuple[tuple[str, frozenset[str | None]], ...]
    attributes: frozenset[str]
    imports: dict[str, Import]
    computed: bool


class Module:
    """One module: its definitions, what it does beside defining, and what the names mean that it imports."""

    def __init__(self, name: str, package: bool, source: str) -> None:
        self.name, self._package, self._read = name, package, annotated(source)
        self.definitions: dict[str, list[ast.AST]] = {}
        self.effects: list[ast.AST] = []
        self._facts: dict[str, Definition] = {}
        body = ast.parse(source).body
        self.imports = self._imports(body, inside=False)
        for node in body:
            self._define(node)

    def _imports(self, body: Iterable[ast.AST], inside: bool) -> dict[str, Import]:
        """Return what statements import, and with `inside` the functions among them."""
        names: dict[str, Import] = {}
        for node in _statements(body, inside):
            if own(node):
                names |= {bound: (*where, True) for bound, *where in imported(node, self.name, self._package)}
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    names[alias.asname or alias.name.partition(".")[0]] = (alias.name, "", False)
            elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
                names |= {alias.asname or alias.name: (node.module or "", alias.name, False) for alias in node.names}
        return names

    def _define(self, node: ast.AST) -> None:
        """Note what a statement of the module defines, and whether it does anything else."""
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            self.definitions.setdefault(node.name, []).append(node)
            for part in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(part, FUNCTIONS):
                    self.definitions.setdefault(f"{node.name}.{part.name}", []).append(part)
            return
        constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assert)) or constant or for_types_only(node):
            return
        for name in {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}:
            self.definitions.setdefault(name, []).append(node)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or isinstance(targets[0], (ast.Attribute, ast.Subscript)):
            self.effects.append(node)

    def methods(self, name: str) -> dict[str, bool]:
        """Return the methods of a definition, if it is a class: name -> whether Python or a decorator may call it."""
        methods = {}
        for node in self.definitions[name]:
            for part in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(part, FUNCTIONS):
                    kinds = {last(decorator) for decorator in part.decorator_list}
                    methods[part.name] = part.name.startswith("__") or bool(kinds - PLAIN_DECORATORS)
        return methods

    def facts(self, name: str) -> Definition:
        """Return what a definition is; "" stands for what the module does beside defining."""
        if name not in self._facts:
            nodes = self.definitions[name] if name else self.effects
            self._facts[name] = self._look([_essence(node) for node in nodes])
        return self._facts[name]

    def _look(self, nodes: list[ast.AST]) -> Definition:
        functions = [node for node in nodes if isinstance(node, FUNCTIONS)]
        imports = self._imports(functions, inside=True)
        known = self.imports.keys() | imports.keys() | self.definitions.keys()
        text, free = normal(nodes, known.__contains__, read=self._read)
        uses: dict[str, set[str | None]] = {name: set() for name in free}
        attributes, computed = set(), False
        for node, above in (pair for part in nodes for pair in _pairs(part)):
            if isinstance(node, ast.Attribute):
                attributes.add(node.attr)
            elif isinstance(node, ast.Name) and node.id in uses:
                uses[node.id].add(above.attr if isinstance(above, ast.Attribute) else None)
            elif isinstance(node, ast.Call) and last(node) in ("getattr", "hasattr", "attrgetter", "methodcaller"):
                values = [item.value for item in node.args if isinstance(item, ast.Constant)]
                attributes |= {value for value in values if isinstance(value, str)}
                computed |= last(node) == "getattr" and not isinstance(node.args[1], ast.Constant)
        frozen = tuple((name, frozenset(uses[name])) for name in free)
        return Definition(digest_of(text), frozen, frozenset(attributes), imports, computed)


_module = lru_cache(maxsize=1024)(Module)  # trees that differ in one file share the others


class Library:
    """The modules of this library in the folder that holds its package, each read once."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self._modules: dict[str, Module | None] = {}
        self._known: dict[tuple[tuple[str, ...], tuple[str, ...]], Closure] = {}

    def module(self, name: str) -> Module | None:
        """Return a module by its dotted name; None where there is none."""
        if name not in self._modules:
            source = self.source(name)
            self._modules[name] = None if source is None else _module(name, *source)
        return self._modules[name]

    def source(self, name: str) -> tuple[bool, str] | None:
        """Return whether a module is a package, and its code."""
        base = self.root.joinpath(*name.split("."))
        for path in (base / "__init__.py", Path(f"{base}.py")):
            if path.is_file():
                return path.name == "__init__.py", path.read_text(encoding="utf-8-sig")
        return None

    def closure(self, *entries: str, without: tuple[str, ...] = ()) -> Closure:
        """Return what functions and classes depend on, each written as module:name, `without` some that they reach."""
        asked = entries, without
        if asked not in self._known:
            self._known[asked] = _Walk(self, without).run(entries)
        return self._known[asked]

    def meaning(self, module: str, name: str) -> Iterator[tuple[str, str]]:
        """Yield (kind, where) of what a name of a module of ours means, through all that only pass it on.

        Kinds: "definition" module:name, "module", "library" dotted name, "outside".
        """
        holder, whole = self.module(module), f"{module}.{name}"
        if _outside(module, name):
            yield "outside", whole.removeprefix(f"{OWN}.")
        elif holder is not None and name in holder.definitions:
            yield "definition", f"{module}:{name}"
        elif holder is not None and name in holder.imports and holder.imports[name][:2] != (module, name):
            yield from self.imported(holder.imports[name])
        elif self.module(whole) is not None:  # of a package, which may import it by this very name
            yield "module", whole
        elif holder is None:
            yield "library", whole

    def imported(self, given: Import) -> Iterator[tuple[str, str]]:
        """Yield the same for what an import gives."""
        module, name, ours = given
        if not ours:
            yield "library", f"{module}.{name}".rstrip(".")
        elif name:
            yield from self.meaning(module, name)
        else:
            yield from [("outside", f"{module}.")] if _outside(module, "") else [("module", module)]


class _Walk:
    """One walk from entry functions over everything that they reach."""

    def __init__(self, library: Library, without: Iterable[str]) -> None:
        self.library, self.without = library, frozenset(without)
        self.links: dict[str, set[tuple[str, str]]] = {}
        self.digests: dict[str, str] = {}
        self.libraries: set[str] = set()
        self._waiting: list[str] = []
        self._methods: dict[str, dict[str, bool]] = {}  # of the classes that were reached
        self._attributes: set[str] = set()
        self._computed = False

    def run(self, entries: Iterable[str]) -> Closure:
        """Walk until nothing new is reached."""
        for entry in entries:
            if entry.partition(".")[0] == OWN:
                self._reach(entry)
            else:  # somebody else's plug-in is told by its version
                self.libraries.add(entry.partition(":")[0])
        while self._waiting:
            while self._waiting:
                self._visit(self._waiting.pop())
            for owner, methods in list(self._methods.items()):
                for name, called in methods.items():
                    if called or self._computed or name in self._attributes:
                        self._link(owner, f".{name}", f"{owner}.{name}")
        whole = refined(self.digests, self.links)
        code = of_json([[whole.get(entry, "") for entry in entries], sorted(whole.values())])
        libraries = {name.partition(".")[0] for name in self.libraries} - BUILT_IN - OUTSIDE_LIBRARIES.keys()
        return Closure(code, tuple(sorted(libraries)), tuple(sorted(self.digests)))

    def _reach(self, definition: str) -> None:
        if definition not in self.digests:
            self.digests[definition] = ""
            self.links[definition] = set()
            self._waiting.append(definition)

    def _link(self, source: str, label: str, target: str) -> None:
        if target not in self.without:
            self._reach(target)
            self.links[source].add((label, target))

    def _visit(self, definition: str) -> None:
        """Take in a definition, and find what it names."""
        dotted, _, name = definition.partition(":")
        module = self.library.module(dotted)
        if module is None or (name and name not in module.definitions):
            raise KeyError(f"{definition} is not defined there")
        facts = module.facts(name)
        labels = [facts.digest]
        self._attributes |= facts.attributes
        self._computed |= facts.computed
        self.libraries |= {where for where, _, ours in facts.imports.values() if not ours}
        for at, (used, attributes) in enumerate(facts.uses):
            given = facts.imports.get(used)
            meanings = self.library.meaning(dotted, used) if given is None else self.library.imported(given)
            for kind, where in meanings:
                labels += self._use(definition, f"#{at}", kind, where, attributes)
        self.digests[definition] = of_json(labels)
        if name and module.methods(name):
            self._methods[definition] = module.methods(name)
        if name.count(".") == 1:
            self._reach(f"{dotted}:{name.partition('.')[0]}")
        if module.effects:
            self._reach(f"{dotted}:")

    def _use(self, user: str, label: str, kind: str, where: str, attributes: Iterable[str | None]) -> list[str]:
        """Follow what a name means; return what its user is told of it beside the link."""
        if kind == "definition":
            self._link(user, label, where)
            return []
        if kind == "library":
            self.libraries.add(where)
            return [f"{label} {where}"]
        if kind == "outside":
            module, _, name = where.rpartition(".")
            for started in {module, where} & RUN_BY_NAME.keys():
                self._link(user, label, RUN_BY_NAME[started])
            return [f"{label} {name}"]
        labels = []
        alone = None in attributes
        for attribute in sorted(self.library.module(where).definitions if alone else attributes):
            for inner, place in self.library.meaning(where, attribute):
                rest = () if inner != "module" else (None,)
                labels += self._use(user, f"{label}.{attribute}", inner, place, rest)
        return labels


def _outside(module: str, name: str) -> bool:
    """Say whether a module, or a definition of it, is not followed."""
    inside = module.removeprefix(f"{OWN}.")
    steps = inside.split(".")
    above = {".".join(steps[: n + 1]) for n in range(len(steps))}
    return not above.isdisjoint(OUTSIDE) or f"{inside}:{name}" in OUTSIDE or f"{inside}.{name}" in OUTSIDE


def _statements(body: Iterable[ast.AST], inside: bool) -> Iterator[ast.AST]:
    """Yield statements and those within them, but for type checkers; with `inside` those of functions too."""
    for node in body:
        if for_types_only(node):
            continue
        yield node
        if inside or not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield from _statements(
                (part for part in ast.iter_child_nodes(node) if not isinstance(part, ast.expr)), inside
            )


def _pairs(node: ast.AST, above: ast.AST | None = None) -> Iterator[tuple[ast.AST, ast.AST | None]]:
    """Yield each node of a tree with the one above it."""
    yield node, above
    for part in ast.iter_child_nodes(node):
        yield from _pairs(part, node)


def _essence(node: ast.AST) -> ast.AST:
    """Return a class without its methods, and of a function that never returns nothing: it only words an error."""
    if isinstance(node, FUNCTIONS):
        never = node.returns is not None and last(node.returns) in ("NoReturn", "Never")
        return ast.Constant("an error") if never else node
    if not isinstance(node, ast.ClassDef):
        return node
    body = [part for part in node.body if not isinstance(part, FUNCTIONS)]
    return ast.ClassDef(node.name, node.bases, node.keywords, body, node.decorator_list)
