"""The modules of this library as digests of code see them: what each defines, does, imports and names."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from workbench.fingerprint import digest_of
from workbench.fingerprint.code import (
    FUNCTIONS,
    PLAIN_DECORATORS,
    annotated,
    for_types_only,
    imported,
    last,
    normal,
    own,
)

MODULE_NAMES = frozenset({"__doc__", "__file__", "__name__", "__path__", "__version__"})
"""Names that every module has, or may have, without a line of code."""
_BUILT_IN = frozenset(dir(builtins)) | MODULE_NAMES | {"__class__"}
_HARMLESS_DECORATORS = PLAIN_DECORATORS | {"dataclass", "inference_mode", "no_grad", "overload", "total_ordering"}
"""Beside which a decorator may note what it decorates in some table, that is read by nobody who names it."""
_FILE_METHODS = frozenset({"close", "flush", "read", "readinto", "readline", "seek", "tell", "write"})
"""What libraries call of whatever they are given as a file, which has at least two of them."""
Import = tuple[str, str, bool]  # of a name: the module, the name there or "", whether the module is ours


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
        self._types = {name for node in body if for_types_only(node) for name in _imported_names(node)}
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
            for part in _methods(node):
                self.definitions.setdefault(f"{node.name}.{part.name}", []).append(part)
            if {last(decorator) for decorator in node.decorator_list} - _HARMLESS_DECORATORS:
                self.effects.append(ast.Expr(ast.Name(node.name, ast.Load())))
            return
        constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assert)) or constant or for_types_only(node):
            return
        for name in _stored(node):
            self.definitions.setdefault(name, []).append(node)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or isinstance(targets[0], (ast.Attribute, ast.Subscript)):
            self.effects.append(node)

    def methods(self, name: str) -> dict[str, bool]:
        """Return the methods of a definition, if it is a class: name -> whether others than our code may call it.

        That is Python, a decorator, what takes the class for a file, and what the class's own body makes of it.
        """
        methods = {}
        for node in self.definitions[name]:
            parts = list(_methods(node))
            beside = [decorator for part in parts for decorator in part.decorator_list]
            beside += [part for part in node.body if part not in parts] if isinstance(node, ast.ClassDef) else []
            called = {inner.id for part in beside for inner in ast.walk(part) if isinstance(inner, ast.Name)}
            as_file = _FILE_METHODS & {part.name for part in parts}
            called |= as_file if len(as_file) > 1 else set()
            for part in parts:
                kinds = {last(decorator) for decorator in part.decorator_list}
                methods[part.name] = part.name.startswith("__") or part.name in called or bool(kinds - PLAIN_DECORATORS)
        return methods

    def bases(self, name: str) -> Iterator[list[str]]:
        """Yield the bases of a definition, if it is a class, each as the parts of its dotted name."""
        for node in self.definitions[name]:
            for base in node.bases if isinstance(node, ast.ClassDef) else ():
                yield ast.unparse(base.value if isinstance(base, ast.Subscript) else base).split(".")

    def facts(self, name: str) -> Definition:
        """Return what a definition is; "" stands for what the module does beside defining."""
        if name not in self._facts:
            nodes = self.definitions[name] if name else self.effects
            around = self.definitions.get(name.partition(".")[0], []) if "." in name or not nodes else nodes
            scope = {inner for node in around if isinstance(node, ast.ClassDef) for inner in _class_names(node)}
            self._facts[name] = self._look(name, [_essence(node) for node in nodes], scope)
        return self._facts[name]

    def _look(self, name: str, nodes: list[ast.AST], scope: set[str]) -> Definition:
        functions = [node for node in nodes if isinstance(node, FUNCTIONS)]
        imports = self._imports(functions, inside=True)
        known = self.imports.keys() | imports.keys() | self.definitions.keys()
        written = normal(nodes, known.__contains__, read=self._read)
        unknown = written.unknown - _BUILT_IN - self._types - scope
        if unknown:
            raise LookupError(f"{self.name}:{name} reads {min(unknown)!r}, and nothing tells what that is")
        uses: dict[str, set[str | None]] = {name: set() for name in written.free}
        attributes, computed = set(), False
        for node, above in (pair for part in nodes for pair in _pairs(part)):
            if isinstance(node, ast.Attribute):
                attributes.add(node.attr)
            elif isinstance(node, ast.Name) and node.id in uses:
                uses[node.id].add(above.attr if isinstance(above, ast.Attribute) else None)
            elif isinstance(node, ast.Call) and last(node) in ("getattr", "hasattr", "attrgetter", "methodcaller"):
                given = node.args[1:2] if last(node) in ("getattr", "hasattr") else node.args
                written_out = [item.value for item in given if isinstance(item, ast.Constant)]
                attributes |= {step for value in written_out if isinstance(value, str) for step in value.split(".")}
                computed |= last(node) != "hasattr" and (not given or len(written_out) < len(given))
        frozen = tuple((name, frozenset(uses[name])) for name in written.free)
        return Definition(digest_of(written.text), frozen, frozenset(attributes), imports, computed)


module = lru_cache(maxsize=1024)(Module)  # trees that differ in one file share the others


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


def _methods(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (part for part in node.body if isinstance(part, FUNCTIONS)) if isinstance(node, ast.ClassDef) else ()


def _stored(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}


def _class_names(node: ast.ClassDef) -> set[str]:
    return {part.name for part in node.body if hasattr(part, "name")}.union(*map(_stored, node.body))


def _imported_names(node: ast.AST) -> set[str]:
    aliases = (part for part in ast.walk(node) if isinstance(part, ast.alias))
    return {alias.asname or alias.name for alias in aliases}


def _essence(node: ast.AST) -> ast.AST:
    """Return a class without its methods, and of a function that never returns nothing: it only words an error."""
    if isinstance(node, FUNCTIONS):
        never = node.returns is not None and last(node.returns) in ("NoReturn", "Never")
        return ast.Constant("an error") if never else node
    if not isinstance(node, ast.ClassDef):
        return node
    body = [part for part in node.body if not isinstance(part, FUNCTIONS)]
    return ast.ClassDef(node.name, node.bases, node.keywords, body, node.decorator_list)
