"""A comparison as a page: the sections of `sections`, in one HTML file that asks for nothing from any network.

Notebook 04 shows the same list of them and the same sections one by one (`contents`, `fragment`).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from workbench.artifacts import write_text
from workbench.comparison.predictions import Run
from workbench.metrics.plots import curves
from workbench.report import gallery
from workbench.report.sections import Section, sections


def write(folder: Path, comparison: dict[str, Any], runs: Sequence[Run], posts: pa.Table | None) -> Path:
    """Write `report.html` into a study's folder, whole or not at all, and return its path.

    posts: the corpus that the runs scored; where it is not at hand (None), the worst errors are not shown.
    """
    about = {"study": comparison["study"], "question": comparison["question"]}
    page = _render("report.html", sections=sections(comparison, runs, posts), picture=_both, **about)
    return write_text(folder / "report.html", page)


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
    pages.filters["table"] = lambda frame: _table(frame, anchors)
    pages.filters["prose"] = _prose
    return pages.get_template(template).render(**values)


def _prose(text: str) -> Markup:
    """Return prose for a page: escaped, with what stands between backticks set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _table(frame: pd.DataFrame, anchors: set[str]) -> Markup:
    """Return a table as HTML; `anchors` grows by the addresses of its rows, so that no two on a page are the same."""
    with pd.option_context("display.max_colwidth", None):  # else pandas cuts cells at 50 characters
        table = frame.to_html(border=0, escape=True, na_rep="–")
    table = table.replace("<th></th>", "<td></td>")  # a heading without words says nothing to a screen reader
    if not frame.attrs.get("rows"):
        return Markup(table)
    metrics = [frame.attrs["cells"].get(column) for column in frame.columns]
    head, *rows = table.rpartition("<tbody>")[2].split("<tr>")
    lines = [head]
    for row, place in zip(rows, frame.attrs["rows"], strict=True):
        anchor = "" if place in anchors else f' id="{escape(place)}"'
        anchors.add(place)
        lines += [f"<tr{anchor}>", _cells(row, place, metrics)]
    return Markup(table.rpartition("<tbody>")[0] + "<tbody>" + "".join(lines))


def _cells(row: str, place: str, metrics: Sequence[str | None]) -> str:
    """Return a table's row whose numbers say, when pointed at, by which address `workbench trace` follows them."""
    start, *cells = row.split("<td>")
    said = [f' title="{escape("/".join(filter(None, (place, metric))))}"' if metric is not None else ""
            for metric in metrics]  # fmt: skip
    return start + "".join(f"<td{title}>{cell}" for title, cell in zip(said, cells, strict=True))


def _address(figure: Figure) -> str:
    return "data:image/png;base64," + base64.b64encode(curves.png(figure, dpi=144)).decode()


def _light(name: str, draw: Callable[[str], Figure]) -> Markup:
    return Markup('<img alt="{}" src="{}">').format(name, _address(draw("light")))


def _both(name: str, draw: Callable[[str], Figure]) -> Markup:
    """A figure that follows the reader's choice of a light or dark page, both inside the file."""
    dark, light = _address(draw("dark")), _address(draw("light"))
    source = f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
    return Markup("<picture>{}{}</picture>").format(
        Markup(source), Markup('<img alt="{}" src="{}">').format(name, light)
    )
