"""Digests by content: what a number depends on is told by what is in it, never by names or file times."""

from __future__ import annotations

import ast
import hashlib
import json
from datetime import date
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any


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


def of_file(path: Path | str) -> str:
    """Return the sha256 of a file's bytes as 64 hex digits, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_source(source: str) -> str:
    """Return 16 hex digits over what Python code does: comments, layout and docstrings do not count."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body
            first = body[0].value if body and isinstance(body[0], ast.Expr) else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                node.body = body[1:] or ([] if isinstance(node, ast.Module) else [ast.Pass()])
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def of_module(path: Path | str) -> str:
    """Return `of_source` of a Python file, parsed once per content."""
    return _of_source_cached(Path(path).read_text(encoding="utf-8-sig"))


_of_source_cached = lru_cache(maxsize=1024)(of_source)
