"""What Python code does, as a text without all that does nothing: the normal form that digests of code are taken of.

No part of it: comments, layout, docstrings, annotations that nobody can read at run time, imports for type checkers,
the wording in `raise`, warnings, log calls and fields' descriptions, and the names that a function gives to its local
variables (its parameters keep theirs, since callers may name them). Names that the caller of `normal` says are somebody
else's are told by their order, so that a definition may move to another module or be called otherwise there.

Open doubt: what reads a function's source, its bytecode or the text of an error and computes with that is not seen.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

OWN = __name__.partition(".")[0]
LOGGERS = frozenset({"log", "logger", "logging"})
LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
PLAIN_DECORATORS = frozenset(
    {"staticmethod", "classmethod", "property", "cached_property", "lru_cache", "cache", "contextmanager"}
)
READERS = ("get_type_hints", "__annotations__", "signature(", "typer", "fastapi", "gradio")  # of annotations
SPIES = frozenset({"locals", "vars", "eval", "exec", "dir"})  # with them the name of a local variable counts
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Normal(NamedTuple):
    """The normal form of some code.

    free: the names that it uses of others, in the order of the numbers they have; unknown: those that it reads and
    neither defines nor has of others.
    """

    text: str
    free: tuple[str, ...]
    unknown: frozenset[str]


def normal(nodes: list[ast.AST], free: Callable[[str], bool] = lambda name: False, *, read: bool = True) -> Normal:
    """Return the normal form of statements or expressions of a module.

    free: whether a name that is no local variable is somebody else's; read: whether something may read the annotations
    of functions, see `annotated`.
    """
    writer = _Writer(free, read)
    writer.values(nodes)
    return Normal("".join(writer.out), tuple(writer.free), frozenset(writer.unknown))


def annotated(source: str) -> bool:
    """Say whether code uses what reads the annotations of functions."""
    return any(word in source for word in READERS)


def own(node: ast.AST) -> bool:
    """Say whether a statement imports from this very library."""
    if isinstance(node, ast.ImportFrom):
        return bool(node.level) or (node.module or "").partition(".")[0] == OWN
    return isinstance(node, ast.Import) and any(alias.name.partition(".")[0] == OWN for alias in node.names)


def imported(node: ast.AST, module: str, package: bool) -> Iterator[tuple[str, str, str]]:
    """Yield (name bound, module, name there or "") of what a statement in a module of this library imports from it.

    package: whether the module is one, which is where its relative imports start; else they start in the package above.
    """
    if not own(node):
        return
    if isinstance(node, ast.Import):
        yield from ((alias.asname or alias.name, alias.name, "") for alias in node.names)
        return
    steps = module.split(".")
    start = steps[: len(steps) - node.level + package] if node.level else []
    origin = ".".join([*start, *([node.module] if node.module else [])])
    yield from ((alias.asname or alias.name, origin, alias.name) for alias in node.names)


def for_types_only(node: ast.AST) -> bool:
    """Say whether a statement is an `if TYPE_CHECKING`."""
    return isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING"


class _Scope:
    """The names of a function, a comprehension or a class: which are its own, and which keep the name they have."""

    def __init__(self, local: set[str], kept: set[str], parent: _Scope | None, is_class: bool = False) -> None:
        self.local, self.kept, self.parent, self.is_class = local, kept, parent, is_class
        self.numbers: dict[str, str] = {}


class _Writer:
    """Writes syntax trees as text, scope by scope."""

    def __init__(self, free: Callable[[str], bool], read: bool) -> None:
        self.out: list[str] = []
        self.free: dict[str, int] = {}
        self.unknown: set[str] = set()
        self._is_free, self._read = free, read
        self._scope: _Scope | None = None
        self._locals = 0
        self._silent = False

    def name(self, name: str, read: bool = False) -> str:
        """Return what a name is written as: a number for local variables and for what is somebody else's."""
        scope, inner = self._scope, True
        while scope is not None:
            if inner or not scope.is_class:  # functions in a class do not see its names
                if name in scope.kept:
                    return name
                if name in scope.local:
                    if name not in scope.numbers:
                        self._locals += 1
                        scope.numbers[name] = f"${self._locals}"
                    return scope.numbers[name]
            scope, inner = scope.parent, False
        if self._is_free(name):
            return f"#{self.free.setdefault(name, len(self.free))}"
        if read:
            self.unknown.add(name)
        return name

    def write(self, node: ast.AST) -> None:
        """Write a node in a form of its own kind, else field by field."""
        special = getattr(self, f"_{type(node).__name__.lower()}", None)
        if special is not None:
            special(node)
        elif isinstance(node, FUNCTIONS):
            self._function(node)
        elif isinstance(node, COMPREHENSIONS):
            self._comprehension(node)
        else:
            self._fields(node)

    def _fields(self, node: ast.AST, **instead: object) -> None:
        self.out.append(f"({type(node).__name__}")
        for field, value in ast.iter_fields(node):
            value = instead.get(field, value)
            if value is None or value == [] or field in ("ctx", "kind", "type_comment"):
                continue
            self.out.append(f" {field}=")
            self.values(value)
        self.out.append(")")

    def values(self, value: object) -> None:
        if isinstance(value, ast.AST):
            self.write(value)
        elif isinstance(value, list):
            self.out.append("[")
            statements = bool(value) and isinstance(value[0], ast.stmt)
            for item in _statements(value) if statements else value:
                self.values(item)
            if statements:
                self._imports(value)
            self.out.append("]")
        else:
            self.out.append(repr(value) + ",")

    # ------------------------------------------------------------------------------------------- names and their scopes

    def _name(self, node: ast.Name) -> None:
        self.out.append(f"({self.name(node.id, isinstance(node.ctx, ast.Load))})")

    def _excepthandler(self, node: ast.ExceptHandler) -> None:
        self._fields(node, name=node.name and self.name(node.name))

    _matchas = _matchstar = _excepthandler

    def _matchmapping(self, node: ast.MatchMapping) -> None:
        self._fields(node, rest=node.rest and self.name(node.rest))

    def _nonlocal(self, node: ast.Nonlocal | ast.Global) -> None:
        self._fields(node, names=[self.name(name) for name in node.names])

    _global = _nonlocal

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            bound = alias.asname or alias.name.partition(".")[0]
            self.out.append(f"(import {alias.name}{' as' if alias.asname else ''} {self.name(bound)})")

    def _importfrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names if node.module != "__future__" else ():
            self.out.append(f"(from {node.module} {alias.name} {self.name(alias.asname or alias.name)})")

    def _imports(self, body: list[ast.stmt]) -> None:
        """Write what is imported from this library, in order of name: from where is for those to say who see both."""
        bound = {alias.asname or alias.name: alias.name for node in body if own(node) for alias in node.names}
        self.out += [f"(own {name} {alias})" for alias, name in sorted(bound.items()) if not self._is_free(alias)]

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = node.args
        kinds = {last(decorator) for decorator in node.decorator_list}
        types = self._read or bool(kinds - PLAIN_DECORATORS)
        self.out.append(f"({type(node).__name__} {self.name(node.name)} ")
        self.values(node.decorator_list)
        self._parameters(arguments, types)
        if types and node.returns is not None:
            self.write(node.returns)
        parameters = {argument.arg for argument in _arguments(arguments)}
        bound, outer = _bound(node.body)
        spied = any(isinstance(n, ast.Name) and n.id in SPIES for n in ast.walk(node))
        named = {n.name for n in node.body if isinstance(n, (*FUNCTIONS, ast.ClassDef)) and n.decorator_list}
        local = set() if spied else bound - outer - parameters - named
        self._inside(_Scope(local, parameters | (bound - outer - local), self._scope), node.body)
        self.out.append(")")

    def _lambda(self, node: ast.Lambda) -> None:
        self.out.append("(Lambda")
        self._parameters(node.args, False)
        kept = {argument.arg for argument in _arguments(node.args)}
        kept |= {n.target.id for n in ast.walk(node.body) if isinstance(n, ast.NamedExpr)}
        self._inside(_Scope(set(), kept, self._scope), [node.body])
        self.out.append(")")

    def _parameters(self, arguments: ast.arguments, types: bool) -> None:
        """Write the names and defaults of parameters, and their types where those count."""
        for kind in ("posonlyargs", "args", "kwonlyargs"):
            self.out.append(f" {kind}:{','.join(argument.arg for argument in getattr(arguments, kind))}")
        self.out.append(f" *{arguments.vararg and arguments.vararg.arg} **{arguments.kwarg and arguments.kwarg.arg}")
        self.values(arguments.defaults)
        for default in arguments.kw_defaults:
            self.values(default)
        for argument in _arguments(arguments) if types else ():
            self.values(argument.annotation)

    def _classdef(self, node: ast.ClassDef) -> None:
        self.out.append(f"(ClassDef {self.name(node.name)} ")
        for part in (node.decorator_list, node.bases, node.keywords):
            self.values(part)
        bound, outer = _bound(node.body)
        self._inside(_Scope(set(), bound - outer, self._scope, is_class=True), node.body)
        self.out.append(")")

    def _comprehension(self, node: ast.expr) -> None:
        """Write a comprehension: its first iterable belongs outside, and what it binds inside."""
        first, *_ = node.generators
        self.out.append(f"({type(node).__name__}")
        self.write(first.iter)
        targets = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        parts = [part for g in node.generators for part in (g.target, g.iter, *g.ifs) if part is not first.iter]
        values = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        shape = ",".join(f"{len(g.ifs)}{g.is_async}" for g in node.generators)
        self.out.append(f" {shape} ")
        self._inside(_Scope(targets, set(), self._scope), [*parts, *values])
        self.out.append(")")

    def _inside(self, scope: _Scope, body: list) -> None:
        outside, self._scope = self._scope, scope
        self.values(body)
        self._scope = outside

    # ------------------------------------------------------------------------------------------------ what does nothing

    def _annassign(self, node: ast.AnnAssign) -> None:
        """Write no annotation of a function's local variable: it is never evaluated."""
        inside = self._scope is not None and not self._scope.is_class and isinstance(node.target, ast.Name)
        if inside and node.value is None:
            self.out.append("(Pass)")
        elif inside:
            self._fields(ast.Assign([node.target], node.value))
        else:
            self._fields(node)

    def _if(self, node: ast.If) -> None:
        if for_types_only(node):
            self.values(node.orelse)
        else:
            self._fields(node)

    def _raise(self, node: ast.Raise) -> None:
        with self._wordless():
            self._fields(node)

    def _constant(self, node: ast.Constant) -> None:
        self.out.append("(text)" if self._silent and isinstance(node.value, str) else f"({node.value!r})")

    def _joinedstr(self, node: ast.JoinedStr) -> None:
        if self._silent:
            self.out.append("(text)")
        else:
            self._fields(node)

    def _subscript(self, node: ast.Subscript) -> None:
        self.write(node.value)
        with self._wordless(False):  # what is looked up is no wording
            self._fields(node, value=None)

    @contextmanager
    def _wordless(self, silent: bool = True) -> Iterator[None]:
        """Write every text as if it were the same."""
        before, self._silent = self._silent, silent
        yield
        self._silent = before

    def _call(self, node: ast.Call) -> None:
        if _logs(node):
            self.out.append("(log)")
        elif last(node) == "warn":
            with self._wordless():
                self._fields(node)
        elif last(node) == "Field":
            self._fields(node, keywords=[word for word in node.keywords if word.arg != "description"])
        else:
            self._fields(node)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a body that do something: no docstring, no other constant, no log call."""
    for node in body:
        nothing = isinstance(node, ast.Expr) and (isinstance(node.value, ast.Constant) or _logs(node.value))
        if not nothing and not isinstance(node, ast.Pass) and not own(node):
            yield node


def _logs(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
        return False
    receiver = node.func.value
    return (receiver.id if isinstance(receiver, ast.Name) else getattr(receiver, "attr", "")) in LOGGERS


def last(node: ast.expr) -> str:
    """Return the last part of the dotted name that is called or meant; "" where it is none."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [argument for argument in given if argument is not None]


def _bound(body: list[ast.stmt]) -> tuple[set[str], set[str]]:
    """Return the names that statements bind in their own scope, and those that they say belong to an outer one."""
    names, outer, waiting = set(), set(), list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names.add(node.name)
            waiting += node.decorator_list  # its defaults and bases bind nothing but by `:=`, which nobody writes there
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, COMPREHENSIONS):  # what `:=` binds in it belongs here
            names |= {n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr)}
            continue
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):  # what is ours keeps the name that its module gave it
            names |= set() if own(node) else {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            outer |= set(node.names)
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            names.add(node.rest)
        waiting += ast.iter_child_nodes(node)
    return names, outer
