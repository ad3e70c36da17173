"""What is wrong with a value, in one sentence: a name that is none of the choices, options that do not fit."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

_MEMBER = re.compile(r"[a-z][a-z-]*\[.*\]|str|int|float|bool|constrained-[a-z]+")  # of a union, as pydantic calls it


def unknown(kind: str, value: object, choices: Iterable[str]) -> str:
    """Return the sentence for a name that is none of the choices, with the nearest one suggested.

    >>> unknown("model", "clip-cros", ["clip-cross", "prior"])
    "unknown model 'clip-cros'; did you mean 'clip-cross'? The choices are: clip-cross, prior"
    """
    choices = [str(choice) for choice in choices]
    near = difflib.get_close_matches(str(value), choices, n=1)
    hint = f"; did you mean {near[0]!r}? The" if near else "; the"
    return f"unknown {kind} {str(value)!r}{hint} choices are: {', '.join(choices) or 'none'}"


def unknown_label(value: object, choices: Iterable[str], kind: str = "label") -> str:
    """Return the sentence for a label that the taxonomy lacks, which says how a study has labels of its own.

    >>> unknown_label("race", ["abuse", "nudity"]).partition("; the ")[2]
    'choices are: abuse, nudity; for other labels write `taxonomy: [race, ...]` beside `corpus`'
    """
    return f"{unknown(kind, value, choices)}; for other labels write `taxonomy: [{slug(value)}, ...]` beside `corpus`"


def slug(value: object) -> str:
    """Return a name for a label that is called so elsewhere: small letters, digits and _.

    >>> slug("Hate-Speech (explicit)"), slug("2nd"), slug("?")
    ('hate_speech_explicit', 'label_2nd', 'label')
    """
    name = re.sub(r"[^a-z0-9]+", "_", str(value).lower()).strip("_")
    return name if name[:1].isalpha() else f"label_{name}".rstrip("_")


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return a pydantic error as one sentence: the key, what is wrong with its value, and the choices."""
    items = [item | {"loc": _place(item["loc"])} for item in error.errors(include_url=False)]
    parts = []
    for item in items:
        loc, key = item["loc"], ".".join(str(step) for step in item["loc"]) or "value"
        others = [other for other in items if other["loc"][: len(loc)] == loc]
        if any(len(other["loc"]) > len(loc) for other in others):
            continue  # what is wrong inside it says more
        if _only_kind(item) and not all(map(_only_kind, others)):
            continue  # of several kinds that are accepted, the one that was meant says more
        if item["type"] == "extra_forbidden":
            inner = _model_at(model, loc[:-1])
            names = [field.alias or name for name, field in inner.model_fields.items()] if inner else []
            inside = "".join(f"{step}: " for step in (".".join(map(str, loc[:-1])),) if step)
            parts.append(inside + unknown("key", loc[-1], names))
        elif item["type"] == "missing":
            parts.append(f"key {key!r} is missing")
        else:
            shown = f" (got {item['input']!r:.80})" if not isinstance(item["input"], dict | list) else ""
            ways = [_said(other) for other in others] if _only_kind(item) else [_said(item)]
            expected = " or ".join([ways[0], *(way.removeprefix("Input should be ") for way in ways[1:])])
            parts.append(f"{key}: {expected}{shown}")
    return "; ".join(dict.fromkeys(parts))


def _said(item: Any) -> str:
    """Return a pydantic error's own words, without the names of classes."""
    return re.split(" or instance of |, unable to parse", item["msg"].removeprefix("Value error, "))[0]


def _place(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return where an error is without the names that pydantic gives to the members of a union."""
    names = {kind.__name__ for kind in _below(BaseModel)}
    return tuple(step for n, step in enumerate(loc) if n == 0 or not (_MEMBER.fullmatch(str(step)) or step in names))


def _below(kind: type) -> Iterator[type]:
    for subclass in kind.__subclasses__():
        yield from (subclass, *_below(subclass))


def _only_kind(item: Any) -> bool:
    """Say whether an error says no more than that a value is of another kind."""
    return item["type"].endswith(("_type", "_parsing")) or item["type"] == "literal_error"


def _model_at(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The options class at a path of keys and positions, if its annotation names exactly one."""
    for step in (step for step in path if isinstance(step, str)):
        fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        if step not in fields:
            continue  # the key of a mapping to such options
        models = {m for m in _classes(fields.get(step)) if issubclass(m, BaseModel)}
        if len(models) != 1:
            return None
        model = models.pop()
    return model


def _classes(annotation: Any) -> list[type]:
    arguments = get_args(annotation)
    if arguments:
        return [kind for argument in arguments for kind in _classes(argument)]
    return [annotation] if isinstance(annotation, type) else []


class WorkbenchError(Exception):
    """Something a user can mend; its message is one plain sentence with the value, the choices and the next step."""


class TaxonomyMismatch(WorkbenchError):
    """An artefact was made for other labels than those in use."""
