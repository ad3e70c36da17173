"""What became of people's labels: how many posts of each set say yes, no, or nothing, and why; what was noticed.

Readers of files say why a label is unknown in a table's column `unknown`, and what they noticed in its metadata.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from workbench.corpora import wordless
from workbench.schema import Taxonomy, label_matrix

NOT_MAPPED = "not mapped"
TOLD = b"told"
_SHOWN = 4  # reasons


def record(sets: Mapping[str, pa.Table], taxonomy: Taxonomy) -> dict[str, Any]:
    """Return what a run keeps of how its posts were read: `labelled` (see `of_labels`), `noticed` and `warned`."""
    warnings = dict.fromkeys(line for table in sets.values() for line in warned(table))
    return {
        "labelled": of_labels(sets, taxonomy),
        "noticed": noticed_in(sets, taxonomy),
        "warned": list(warnings),
    }


def of_labels(sets: Mapping[str, pa.Table], taxonomy: Taxonomy) -> dict[str, dict[str, dict[str, Any]]]:
    """Return, per set and label, posts that say `yes`, `no` and nothing (`unknown`), and `why`: reason -> posts."""
    return {name: {label: _of_label(table, label) for label in taxonomy.names} for name, table in sets.items()}


def _of_label(table: pa.Table, label: str) -> dict[str, Any]:
    says = pc.struct_field(table["labels"], label)
    yes, known = pc.sum(says).as_py() or 0, len(says) - says.null_count
    why: Counter[str] = Counter()
    if "unknown" in table.column_names:
        reasons = pc.value_counts(pc.struct_field(table["unknown"], label).drop_null())
        why.update(dict(zip(*(reasons.field(name).to_pylist() for name in ("values", "counts")), strict=True)))
    elif not known:
        why[NOT_MAPPED] = len(says)
    return {"yes": yes, "no": known - yes, "unknown": says.null_count, "why": dict(why.most_common())}


def lines(counts: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterable[str]:
    """Yield a sentence a label on the counts of `of_labels`, those that no set has any label of together."""
    unmapped = []
    for label in next(iter(counts.values()), {}):
        told = {name: rows[label] for name, rows in counts.items()}
        if not any(row["yes"] + row["no"] for row in told.values()) and all(
            set(row["why"]) <= {NOT_MAPPED} for row in told.values()
        ):
            unmapped.append(label)
            continue
        yield f"{label}: " + "; ".join(f"{name} {said(row)}" for name, row in told.items())
    if unmapped:
        yield f"{', '.join(unmapped)}: unknown throughout, as no column is mapped to them"


def said(row: Mapping[str, Any]) -> str:
    """Return one label's counts in one set as words.

    >>> said({"yes": 2, "no": 5, "unknown": 3, "why": {"empty": 2, "missing: nan": 1}})
    '2 yes, 5 no, 3 unknown (2 empty, 1 missing: nan)'
    """
    counted = f"{row['yes']:,} yes, {row['no']:,} no"
    return counted + (f", {row['unknown']:,} unknown{f' ({why(row)})' if row['why'] else ''}" if row["unknown"] else "")


def why(row: Mapping[str, Any]) -> str:
    """Return why posts of a set are unknown, the most frequent reasons first."""
    reasons = list(row["why"].items())
    more = f", and {len(reasons) - _SHOWN} more reasons" if len(reasons) > _SHOWN else ""
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons[:_SHOWN]) + more


def noticed(table: pa.Table) -> list[str]:
    """Return what was noticed when a corpus was read: rows read, left out and merged, and what was assumed."""
    told = _told(table)
    found = []
    for file in told.get("files", ()):
        left = "".join(f", {count:,} left out ({reason})" for reason, count in file["left_out"].items())
        found.append(f"{file['file']}: {file['rows']:,} rows read{left}")
        found += file["notes"]
    if told.get("annotations"):
        twice = f", {told['annotations_twice']:,} of them given twice" if told.get("annotations_twice") else ""
        found.append(f"{told['annotations']:,} rows of annotators{twice} became one row a post")
    if told.get("merged"):
        found.append(f"{told['merged']:,} rows repeat an earlier one, and were merged")
    return found + told.get("notes", [])


def warned(table: pa.Table) -> list[str]:
    """Return what speaks against how a corpus was read: most of what its rows name was not found."""
    return _told(table).get("warnings", [])


def noticed_in(sets: Mapping[str, pa.Table], taxonomy: Taxonomy) -> list[str]:
    """Return what was noticed when the posts of some sets were read, each sentence once, and what they cannot tell."""
    read = (line for table in sets.values() for line in noticed(table))
    counts = of_labels(sets, taxonomy)
    return list(dict.fromkeys([*read, *wordless.lines(sets), *silent(sets, taxonomy), *one_sided(counts)]))


def silent(sets: Mapping[str, pa.Table], taxonomy: Taxonomy) -> Iterable[str]:
    """Yield a sentence on each set in which posts say nothing of any label while others do."""
    for name, table in sets.items():
        known = label_matrix(table, taxonomy)[1].any(axis=1)
        if known.any() and not known.all():
            yield (
                f"{name}: {(~known).sum():,} of {len(known):,} posts have no label that is known; nothing is learnt "
                "from them, and no number counts them"
            )


def one_sided(counts: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterable[str]:
    """Yield a sentence on each label that others of the sets tell and one does not, or in which all its posts agree."""
    for label in next(iter(counts.values()), {}):
        told = {name: (rows[label]["yes"], rows[label]["no"]) for name, rows in counts.items()}
        for name, (yes, no) in told.items() if any(map(sum, told.values())) else ():
            if not yes + no:
                yield f"{name} says nothing of {label}: what is a mean over labels leaves that one out there"
            elif not (yes and no):
                yield f"{name}: all {yes + no:,} posts say {'yes' if yes else 'no'} to {label}: nothing to rank there"


def and_noticed(table: pa.Table, note: str) -> pa.Table:
    """Return a table of which one more thing was noticed."""
    told = _told(table)
    told["notes"] = [*told.get("notes", []), note]
    return table.replace_schema_metadata({**(table.schema.metadata or {}), TOLD: json.dumps(told).encode()})


def _told(table: pa.Table) -> dict[str, Any]:
    return json.loads((table.schema.metadata or {}).get(TOLD, b"{}"))
