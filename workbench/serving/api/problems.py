"""What goes wrong with a request, as a status and one sentence that never repeats what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from pydantic import BaseModel, ValidationError

from workbench.errors import WorkbenchError


class ProblemError(WorkbenchError):
    """A request that is not answered, with its HTTP status and headers."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})


def later(seconds: float) -> dict[str, str]:
    """Return the header that says when to come again."""
    return {"Retry-After": str(max(1, round(seconds + 0.5)))}


def sentence(error: ValidationError, model: type[BaseModel]) -> str:
    """Return what is wrong with a body: where, and what is accepted there; keys and values that were sent are left out.

    Only the first three faults are named.
    """
    names = _names(model)
    items = error.errors(include_url=False, include_input=False, include_context=False)
    deepest = [item for item in items if not any(_inside(other["loc"], item["loc"]) for other in items)]
    parts = []
    for item in deepest:
        where = ".".join(step for step in map(str, item["loc"]) if step in names) or "the body"
        if item["type"] == "extra_forbidden":
            part = f"{where} has a key that is not known"
        elif item["type"] == "missing":
            part = f"{where} is missing"
        elif item["type"] in ("model_type", "dict_type"):
            part = f"{where} must be an object"
        else:
            part = f"{where}: {item['msg'].removeprefix('Value error, ')}"
        if part not in parts:
            parts.append(part)
    rest = f"; and {len(parts) - 3} more" if len(parts) > 3 else ""
    return "; ".join(parts[:3]) + rest


def _inside(inner: tuple, outer: tuple) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


@cache
def _names(model: type[BaseModel]) -> set[str]:
    """Return the names of fields at any depth: all that may be repeated of where a fault is."""
    names, pending = set(), [model.model_json_schema()]
    while pending:
        schema = pending.pop()
        if isinstance(schema, dict):
            names |= set(schema.get("properties", ()))
            pending += schema.values()
        elif isinstance(schema, list):
            pending += schema
    return names
