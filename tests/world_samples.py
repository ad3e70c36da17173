"""Samples of the synthetic world and what can be read off them, for its tests."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.corpora import synthetic
from workbench.corpora.synthetic import SourceOptions
from workbench.corpora.synthetic.causes import LABELS
from workbench.corpora.synthetic.exact import AROUND
from workbench.schema import Label, Taxonomy

TAXONOMY = Taxonomy.load()
ALL = "text+image+video"
INFORMATION = ("none", "text", "image", "video", "text+image", "text+video", "image+video", ALL)
INFORMATION += (*("+".join(fields) for fields in AROUND), "late-fusion")
DRIFT = np.datetime64("2025-10-01")


def taxonomy(*names: str) -> Taxonomy:
    return Taxonomy(labels=tuple(Label(name=name, title=name, definition="...") for name in names))


def build(labels: Taxonomy = TAXONOMY, **options) -> pa.Table:
    return synthetic.build(SourceOptions.parse(options, "corpus"), labels)


def media_bytes(table: pa.Table, name: str) -> list[bytes | None]:
    return pc.struct_field(table[name], "bytes").to_pylist()


def has(table: pa.Table) -> dict[str, np.ndarray]:
    return {name: np.array(table[name].is_valid()) for name in ("text", "image", "video")}


def truth(table: pa.Table, information: str, labels: tuple[str, ...] = LABELS) -> np.ndarray:
    return np.stack([pc.struct_field(table["truth"], [information, name]).to_numpy() for name in labels], 1)


def firsts(table: pa.Table) -> np.ndarray:
    """The row of the first post of every group, in order."""
    return np.sort(np.unique(table["group"].to_numpy(), return_index=True)[1])


def note(text: str) -> tuple[str, str, str]:
    """The minute, the place and the witness of a text."""
    minute, place = re.search(r"\d\d:\d\d", text)[0], re.search(r"\w+burg", text)[0]
    names = re.findall(r"\b(?:with|con|mit|dice|sagt) (\w+)|(\w+) says", text)
    return minute, place, "".join(names[0])
