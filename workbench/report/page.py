"""A comparison as a page: the sections of `sections`, in one HTML file that asks for nothing from any network.

Notebook 04 shows the same list of them and the same sections one by one (`contents`, `fragment`).
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from workbench.artifacts import write_text
from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison
from workbench.comparison.run_files import Overlap, study_name
from workbench.evidence.audit.relations import NAMES
from workbench.metrics.plots.canvas import png
from workbench.report import gallery, requirements
from workbench.report.sections import Section, leaks, sections


def write(folder: Path, comparison: Comparison, runs: Sequence[Run], posts: pa.Table | None) -> Path:
    """Write `report.html` into a study's folder, whole or not at all, and return its path.

    posts: the corpus that the runs scored; where it is not at hand (None), the worst errors are not shown.
    """
    about = {"study": comparison.study, "question": comparison.question, "named": study_name(folder)}
    about["problem"] = requirements.problem(comparison)
    page = _render("report.html", sections=sections(comparison, runs, posts), picture=_both, **about)
    return write_text(folder / "report.html", page)


def write_audit(path: Path, what: str, findings: Mapping[str, Any], sets: Mapping[str, pa.Table]) -> Path:
    """Write what the leak gate found in posts as a page, with all pairs that it names, and return its path.

    what: where the posts are from; findings: by relation, as `audit.look` and `audit.overlap` return them; sets: posts.
    """
    section = leaks.found({name: Overlap.model_validate(findings[name]) for name in NAMES if name in findings}, sets)
    return write_section(path, f"Audit of {what}", section)


def write_section(path: Path, what: str, section: Section) -> Path:
    """Write one section as a page of its own, headed by what it is about, and return its path."""
    return write_text(path, _render("report.html", sections=[section], picture=_both, question=what))


def fragment(section: Section) -> str:
    """Return a section as HTML for a notebook, its figures drawn for a light page."""
    return gallery.style() + _render("section.html", section=section, picture=_light)


def contents(shown: Sequence[Section]) -> str:
    """Return a list of sections as HTML for a notebook, each leading to where `fragment` has put it."""
    return _render("contents.html", sections=shown)


def _render(template: str, **values: Any) -> str:
    pages = Environment(
        loader=PackageLoader("workbench.report"), autoescape=select_autoescape(), trim_blocks=True, lstrip_blocks=True
    )
    anchors: set[str] = set()
    pages.filters["cells"] = lambda frame: _table(frame, anchors)
    pages.filters["prose"] = _prose
    return pages.get_template(template).render(**values)


def _prose(text: str) -> Markup:
    """Return prose for a page: escaped, with what stands between backticks set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _table(frame: pd.DataFrame, anchors: set[str]) -> dict[str, Any]:
    """Return what `table.html` shows of a table; `anchors` grows by the addresses of its rows, none twice on a page.

    A number says, when pointed at, by which address `workbench trace` follows it. Columns named in the attribute
    `words` hold text that wraps.
    """
    keys = [key if isinstance(key, tuple) else (key,) for key in frame.index]
    places, metrics = frame.attrs.get("rows", [""] * len(keys)), frame.attrs.get("cells", {})
    addresses = frame.attrs.get("addresses", {})  # (row, column) -> address, where it does not follow from the row's
    rows = []
    for i, (place, values) in enumerate(zip(places, frame.itertuples(index=False, name=None), strict=True)):
        names = [(name, span) for level, name in enumerate(keys[i]) if (span := _rows_alike(keys, i, level))]
        titles = ["/".join(filter(None, (place, metrics[name]))) if name in metrics else "" for name in frame.columns]
        titles = [
            addresses.get((frame.index[i], name), title) for name, title in zip(frame.columns, titles, strict=True)
        ]
        cells = [
            ("–" if pd.isna(value) else value, title, name in frame.attrs.get("words", ()))
            for value, title, name in zip(values, titles, frame.columns, strict=True)
        ]
        rows.append({"anchor": "" if place in anchors else place, "names": names, "cells": cells})
        anchors.add(place)
    words = [name in frame.attrs.get("words", ()) for name in frame.columns]
    return {"columns": list(zip(frame.columns, words, strict=True)), "levels": frame.index.nlevels, "rows": rows}


def _rows_alike(keys: Sequence[tuple[Any, ...]], i: int, level: int) -> int:
    """Return how many rows a name stands for, 0 where it stands in a row before; the innermost is said in each row."""
    if level == len(keys[i]) - 1:
        return 1
    first = keys[i][: level + 1]
    if i and keys[i - 1][: level + 1] == first:
        return 0
    return len(list(itertools.takewhile(lambda key: key[: level + 1] == first, keys[i:])))


def _address(figure: Figure) -> str:
    return "data:image/png;base64," + base64.b64encode(png(figure, dpi=144)).decode()


def _light(name: str, draw: Callable[[str], Figure]) -> Markup:
    return Markup('<img alt="{}" src="{}">').format(name, _address(draw("light")))


def _both(name: str, draw: Callable[[str], Figure]) -> Markup:
    """A figure that follows the reader's choice of a light or dark page, both inside the file."""
    dark, light = _address(draw("dark")), _address(draw("light"))
    source = f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
    return Markup("<picture>{}{}</picture>").format(
        Markup(source), Markup('<img alt="{}" src="{}">').format(name, light)
    )
