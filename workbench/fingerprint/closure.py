"""The code that some functions depend on, by name: which definitions of this library they reach, and which libraries.

A definition is a function, a class, a method or a constant of a module. What it names is followed through imports, also
of modules and through packages that pass a name on, to the definitions it means. Of a class that is reached everything
counts but its methods; a method counts where any reached code has an attribute of its name, whatever of (rapid type
analysis; Bacon and Sweeney 1996, https://doi.org/10.1145/236337.236371), where its name has two underscores, where a
decorator, a base class of somebody else's or a reader of files may call it, and everywhere once an attribute is read by
a computed name. What a module and the packages around it do besides defining counts as soon as one of its definitions
does. Digests tell what is reached and how it hangs together, and neither where it lies nor what it is called there. A
name of which nothing tells what it means is an error.

Not followed is what is in OUTSIDE: it decides how fast, in which order, from where or with which words something is
computed, and never what comes out. Open doubts: code that is named by text alone is not seen, nor a method that only
somebody else's code calls of a class without a base, but for what is called of files.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from workbench.fingerprint import modules, of_json, refined, sources
from workbench.fingerprint.modules import MODULE_NAMES, Import, Module
from workbench.fingerprint.sources import OWN, ROOT

OUTSIDE = {
    "errors": "sentences for people",
    "fingerprint": "what things are known by",
    "artifacts": "files that are whole or refused",
    "device": "where something is computed; the number format is told by its value",
    "schema:Options": "how options are read and refused; their values are told",
    "strict_yaml": "how YAML is read; its values are told",
    "schema:ROOT": "where the repository lies",
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
_PLAIN_BASES = {"abc", "collections", "enum", "typing"}  # none of them calls methods by name
OUTSIDE_LIBRARIES = {
    "pydantic": "options, told by their values",
    "psutil": "how much memory is free",
    "huggingface_hub": "where weights come from; they are told by content",
    "filelock": "who may write",
    "yaml": "how options are written",
}
"""Library -> why its version says nothing about what comes out."""


class Closure(NamedTuple):
    """What some functions depend on.

    digest: 16 hex digits over the code; libraries: what it imports that is neither ours nor Python's, by top-level
    name; definitions: what was reached, as module:name.
    """

    digest: str
    libraries: tuple[str, ...]
    definitions: tuple[str, ...]


def of_code(*entries: Callable[..., Any] | str, without: Iterable[Callable[..., Any]] = ()) -> dict[str, Any]:
    """Return what functions and classes of this library depend on: {"code": digest, "libraries": {name: version}}.

    entries: themselves, or as module:name; without: functions that are known not to be called. Of a version the first
    two numbers count. Raises LookupError where something has a name that nothing tells the meaning of.
    """
    reached = _here().closure(*map(_name, entries), without=tuple(map(_name, without)))
    return {"code": reached.digest, "libraries": {name: minor(name) for name in reached.libraries}}


def _name(entry: Callable[..., Any] | str) -> str:
    return entry if isinstance(entry, str) else f"{entry.__module__}:{entry.__qualname__}"


def minor(library: str) -> str:
    """Return the first two numbers of the version of what is imported by a name, "not installed" where nothing is."""
    if library == "unicodedata":
        return unicodedata.unidata_version
    try:
        versions = map(importlib.metadata.version, sorted(set(distributions().get(library, [library]))))
        return " ".join(".".join(re.split(r"[.+]", version)[:2]) for version in versions)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@cache
def distributions() -> Mapping[str, list[str]]:
    """Return what is installed, by the names under which it is imported.

    As importlib.metadata.packages_distributions, in a fifth of its time: every process of a study needs it once.
    """
    found: dict[str, list[str]] = {}
    for installed in importlib.metadata.distributions():
        about = installed.read_text("METADATA") or installed.read_text("PKG-INFO") or ""
        named = re.search(r"^Name: *(.+?)\s*$", about, re.MULTILINE)
        for top in dict.fromkeys(_tops(installed)) if named else ():
            found.setdefault(top, []).append(named[1])
    return found


def _tops(installed: importlib.metadata.Distribution) -> Iterator[str]:
    """Yield the names under which a distribution is imported, some more than once."""
    if declared := (installed.read_text("top_level.txt") or "").split():
        yield from declared
        return
    for line in (installed.read_text("RECORD") or "").splitlines():
        path = line.partition(",")[0].strip('"')
        if path.endswith(".py"):
            first, _, inner = path.partition("/")
            yield first if inner else first.removesuffix(".py")


def _here() -> Library:
    """Return the code that this process runs."""
    return _library(sources.edition())


@lru_cache(maxsize=1)
def _library(_edition: int) -> Library:
    return Library()


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
            self._modules[name] = None if source is None else modules.module(name, *source)
        return self._modules[name]

    def source(self, name: str) -> sources.Source | None:
        """Return whether a module is a package, and its code."""
        return sources.running(name) if self.root == ROOT else sources.read(self.root, name)

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
        elif name not in MODULE_NAMES:
            raise LookupError(f"{whole} is named, and nothing tells what that is")

    def imported(self, given: Import) -> Iterator[tuple[str, str]]:
        """Yield the same for what an import gives."""
        module, name, ours = given
        if not ours:
            yield "library", f"{module}.{name}".rstrip(".")
        elif name:
            yield from self.meaning(module, name)
        else:
            yield from [("outside", f"{module}.")] if _outside(module, "") else [("module", module)]

    def foreign(self, module: str, parts: list[str]) -> bool:
        """Say whether a class, given as the parts of its dotted name in a module, is or has a base of somebody else's.

        That may call any of its methods.
        """
        (name, *rest), holder = parts, self.module(module)
        named = holder is not None and (
            name in holder.definitions or name in holder.imports or self.module(f"{module}.{name}")
        )
        for kind, where in self.meaning(module, name) if named else ():
            if kind == "library":
                return where.partition(".")[0] not in _PLAIN_BASES | OUTSIDE_LIBRARIES.keys()
            if kind == "module" and rest:
                return self.foreign(where, rest)
            if kind == "definition":
                inner, _, kept = where.partition(":")
                return any(self.foreign(inner, base) for base in self.module(inner).bases(kept))
        return False


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
        if name and (methods := module.methods(name)):
            foreign = self.library.foreign(dotted, [name])
            self._methods[definition] = {method: called or foreign for method, called in methods.items()}
        if name.count(".") == 1:
            self._reach(f"{dotted}:{name.partition('.')[0]}")
        steps = dotted.split(".")
        for around in (".".join(steps[:n]) for n in range(1, len(steps) + 1)):
            if (ran := self.library.module(around)) is not None and ran.effects and not _outside(around, ""):
                self._reach(f"{around}:")

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
