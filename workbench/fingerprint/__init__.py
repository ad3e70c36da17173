"""Digests by content: what a number depends on is told by what is in it, never by names or file times."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from workbench.fingerprint.code import annotated, imported, normal


def of_json(value: Any) -> str:
    """Return 16 hex digits over a value of plain JSON types, dates and paths, independent of key order.

    Raises TypeError for any other type: what it prints as (a set, an object) may differ from process to process.
    """
    text = json.dumps(_with_text_keys(value), sort_keys=True, separators=(",", ":"), default=_text)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _with_text_keys(value: Any) -> Any:
    """Return nested values with every key as text: YAML has numbers as keys too, which do not sort beside text."""
    if isinstance(value, dict):
        return {k if isinstance(k, str) else json.dumps(k, default=_text): _with_text_keys(v) for k, v in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, (list, tuple)) else value


def _text(value: Any) -> str:
    if isinstance(value, (date, PurePath)):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no digest by content; give plain JSON types")


def of_bytes(data: bytes) -> str:
    """Return the sha256 of bytes as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def of_items(post_ids: Iterable[str]) -> str:
    """Return the sha256 of post ids, whatever their order: two comparisons with the same digest used the same items."""
    return of_bytes("\n".join(sorted(post_ids)).encode("utf-8", "surrogatepass"))


def of_file(path: Path | str) -> str:
    """Return the sha256 of a file's bytes as 64 hex digits, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_source(source: str) -> str:
    """Return 16 hex digits over what Python code does, see `code`: it may be formatted, explained and moved at will.

    Of what is imported from this library the names count and not the modules: `of_modules` tells those.
    """
    return digest_of(normal(ast.parse(source).body, read=annotated(source)).text)


def of_modules(sources: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return the digest of each module's code, and one over which of them imports what from which other.

    sources: the code of modules of this library by dotted name, a package by its own; neither their names nor their
    places count. A module that changes has another digest, and so has what all import from each other.
    """
    digests, links = {}, {}
    for dotted, source in sources.items():
        package = any(other.startswith(f"{dotted}.") for other in sources)
        known = {
            name for _, origin, what in _imported(dotted, source, package) for name in (origin, f"{origin}.{what}")
        }
        digests[dotted], links[dotted] = _of_module(dotted, source, package, frozenset(known & sources.keys()))
    return digests, of_json(sorted(refined(digests, links).values()))


@lru_cache(maxsize=1024)
def _imported(dotted: str, source: str, package: bool) -> list[tuple[str, str, str]]:
    return [place for node in ast.walk(ast.parse(source)) for place in imported(node, dotted, package)]


@lru_cache(maxsize=1024)
def _of_module(dotted: str, source: str, package: bool, known: frozenset[str]) -> tuple[str, list[tuple[str, str]]]:
    """Return a module's digest and its links (what it imports, from which of the modules known)."""
    modules, names = {}, []
    for bound, origin, name in _imported(dotted, source, package):
        whole = f"{origin}.{name}" if name else origin
        if whole in known:
            modules[bound] = whole
        names += [("", whole)] if whole in known else [(name, origin)] if origin in known else []
    written = normal(ast.parse(source).body, modules.__contains__, read=annotated(source))
    links = ((f"#{at}", modules[name]) for at, name in enumerate(written.free))
    return digest_of(written.text), [*links, *sorted(names)]


def refined(digests: Mapping[str, str], links: Mapping[str, Iterable[tuple[str, str]]]) -> dict[str, str]:
    """Return digests of what each thing is and what it is linked to, at any distance, whatever things are called.

    links: of each thing (label, other thing). Colours are refined until no more things differ (Weisfeiler and Leman,
    1968); two that are linked alike to things that are alike keep the same digest.
    """
    now, kinds = dict(digests), 0
    while len(set(now.values())) > kinds:
        kinds = len(set(now.values()))
        now = {
            name: of_json([before, sorted([label, now[other]] for label, other in links.get(name, ()))])
            for name, before in now.items()
        }
    return now


def digest_of(text: str) -> str:
    """Return 16 hex digits over a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
