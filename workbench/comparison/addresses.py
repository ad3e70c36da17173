"""What each number of a comparison is called: an address that stays the same however often it is computed.

`test/paired/abuse/clip-cross/recall` is the test set, the view, the label, the model and the metric. Of two models the
fourth part is `a:b`, of a model against what its inputs allow `a:ceiling`. The address of what stands on a part of the
posts begins with its table, as in `slice/language/es/abuse/clip-cross/recall` or
`suite/cases/abuse/functionalities/negation/harmless/clip-cross`. `workbench trace` follows an address back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

KINDS = ("halves", "functionalities", "targets")
TABLES = ("models", "differences", "late_fusion_limit", "leak_test", "costs")


def of_row(table: str, row: dict[str, Any]) -> str:
    """Return the address of a row of one of a comparison's TABLES; what is no letter or digit of a name is escaped.

    >>> place = {"test": "test", "view": "all", "label": "abuse", "metric": "recall"}
    >>> of_row("models", {**place, "model": "clip-cross"})
    'test/all/abuse/clip-cross/recall'
    >>> of_row("differences", {**place, "pair": ["clip-cross", "best-unimodal"]})
    'test/all/abuse/clip-cross:best-unimodal/recall'
    """
    if table == "costs":
        return path("cost", row["model"])
    who = {
        "models": lambda: row["model"],
        "differences": lambda: ":".join(row["pair"]),
        "late_fusion_limit": lambda: ":late-fusion-limit",
        "leak_test": lambda: f"{row['model']}:ceiling",
    }[table]()
    return path(row["test"], row["view"], row["label"], who, row["metric"])


def path(*parts: str) -> str:
    """Return names as one address.

    >>> path("test", "all", "a/b")
    'test/all/a%2Fb'
    """
    return "/".join(quote(part, safe="+:") for part in parts)


def rows(comparison: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the address, the table and the row of every number of a comparison."""
    for table in TABLES:
        for row in comparison.get(table) or []:
            yield of_row(table, row), table, row
    yield from _of_parts(comparison)


def of_slice(row: dict[str, Any]) -> str:
    """Return the address of a slice's numbers up to the metric."""
    return path("slice", row["column"], row["slice"], row["label"], row["model"])


def of_identity(row: dict[str, Any]) -> str:
    """Return the address of an identity's numbers up to the metric."""
    return path("identity", row["test"], row["identity"], row["label"], row["model"])


def of_suite(row: dict[str, Any], kind: str, part: dict[str, Any]) -> str:
    """Return the address of a part of a suite up to the model; kind: one of KINDS."""
    return path("suite", row["test"], row["label"], kind, part["name"], part["gold"])


def _of_parts(comparison: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield what `rows` does, of slices, mentions of identities, and functional tests."""
    identities = (comparison.get("bias") or {}).get("identities")
    for table, parts, of in (("slices", comparison.get("slices"), of_slice), ("bias", identities, of_identity)):
        for row in parts or []:
            facts = {name: value for name, value in row.items() if not isinstance(value, dict)}
            for name, found in row.items():
                if isinstance(found, dict):
                    yield f"{of(row)}/{path(name)}", table, {**facts, "metric": name, **found}
    for row in comparison.get("suites") or []:
        facts = {name: row[name] for name in ("test", "label", "model")}
        for kind in KINDS:
            for part in row[kind]:
                yield f"{of_suite(row, kind, part)}/{path(row['model'])}", "suites", {**facts, **part}


def identified(comparison: dict[str, Any]) -> dict[str, Any]:
    """Return the comparison with each row's address in it as `id`."""
    named = {
        table: [{"id": of_row(table, row), **row} for row in comparison[table]]
        for table in TABLES
        if comparison.get(table)
    }
    return comparison | named
