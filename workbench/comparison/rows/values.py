"""What rows are made of: addresses, numbers that may be undefined, values with their intervals."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, ConfigDict


def path(*parts: str) -> str:
    """Return names as one address; what is no letter or digit of a name is escaped.

    >>> path("test", "all", "a/b")
    'test/all/a%2Fb'
    """
    return "/".join(quote(part, safe="+:") for part in parts)


def defined(value: Any) -> Any:
    """Return None for NaN and infinity, which JSON does not know."""
    return None if value is None or value - value != 0 else value


Number = Annotated[float | None, BeforeValidator(defined)]
Count = Annotated[int | float | None, BeforeValidator(defined)]


class PlainRow(BaseModel):
    """One row, or a part of one: plain values, undefined numbers None."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Interval(PlainRow):
    """A value with its interval."""

    value: Number
    lo: Number
    hi: Number


class CountedInterval(Interval):
    """A value with its interval; few: whether few posts carry it."""

    few: bool


class AddressedRow(PlainRow):
    """A row whose address stands in the file as `id`."""

    id: str = ""

    def model_post_init(self, _: Any) -> None:
        """Fill `id`, unless it was read."""
        if not self.id:
            self.__dict__["id"] = self._address
