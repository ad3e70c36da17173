"""JSON as the standard has it: no NaN, no key twice, UTF-8 only, so that no two readers see different things in it."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from workbench.serving.api.problems import ProblemError

_LONE = re.compile("[\ud800-\udfff]")


def parse(body: bytes) -> Any:
    """Return the value of a JSON text; raises ProblemError for what is not JSON, however lenient other readers may be.

    Lone halves of surrogate pairs in its strings become U+FFFD, as they do wherever a post is scored.
    """
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ProblemError(400, f"the body is not UTF-8 (byte {error.start}); send JSON as UTF-8") from None
    except json.JSONDecodeError as error:
        raise ProblemError(400, f"the body is not JSON (character {error.pos}); send one JSON object") from None
    except RecursionError:
        raise ProblemError(400, "the body is nested too deeply; send the features as documented") from None
    except ValueError as error:  # a number of thousands of digits, or one of ours
        message = str(error) if isinstance(error, _Refused) else "the body holds a number that is too long"
        raise ProblemError(400, message) from None
    return _sound(value) if b"\\u" in body else value


class _Refused(ValueError):
    """Carries a sentence out of the parser."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _Refused("the body has a key twice in one object; send each once")
    return fields


def _no_constant(name: str) -> None:
    raise _Refused("the body holds NaN or Infinity, which is not JSON; leave out what is unknown")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise _Refused("the body holds a number that is too large; send numbers as they are")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else _LONE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_sound(key): _sound(item) for key, item in value.items()}
    return [_sound(item) for item in value] if isinstance(value, list) else value
