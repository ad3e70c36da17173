"""The key of a run over its inputs, a flat mapping component -> value or digest; `studies.keys` collects them."""

from __future__ import annotations

from typing import Any

from workbench.fingerprint import of_json

PLACED = ("module ", "weights ")  # components named by where a file lies


def of_inputs(inputs: dict[str, Any]) -> str:
    """Return 16 hex digits over the inputs of a run: its key. Of files only what they are counts, not where they lie.

    >>> of_inputs({"module a.py": "01", "seeds": 3}) == of_inputs({"module b.py": "01", "seeds": 3})
    True
    """
    named = {name: value for name, value in inputs.items() if not name.startswith(PLACED)}
    return of_json({**named, **{kind: contents(inputs, kind) for kind in PLACED}})


def contents(inputs: dict[str, Any], kind: str) -> list[str]:
    """Return the digests of one kind of files, sorted, each once."""
    return sorted({digest for name, digest in inputs.items() if name.startswith(kind)})
