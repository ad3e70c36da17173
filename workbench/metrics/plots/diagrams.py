"""Pictures of probabilities against what happened, of worth against prevalence and cost, of claims and of shares.

As in `plots`: plain arrays in, a matplotlib Figure out, light or dark, and no global state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter
from scipy.special import logit

from workbench.metrics.plots.canvas import COLOURS, figure_of, legend, name_axes, or_nan
from workbench.metrics.table import METRICS

_TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_EDGE = 0.0005  # shares below it, or as near to 1, are drawn there


class Reliability(NamedTuple):
    """Groups of posts by probability: predicted, observed, lo, hi (k,) shares, count (k,) posts."""

    predicted: np.ndarray
    observed: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    count: np.ndarray


def reliability(sides: Mapping[str, Reliability], *, label: str, theme: str = "light") -> Figure:
    """Return a panel per side ("before", "after"): shares of harmful posts against mean probability, by group.

    Both axes are in log-odds, since most probabilities are small where harm is rare; on the line probabilities hold. A
    group without any harmful post, or without any other, is an open mark on the edge. Titles say how many posts are in
    a group.
    """
    figure, panels, colours = figure_of(4.2, theme, panels=len(sides))
    for place, (axis, (side, curve)) in enumerate(zip(panels, sides.items(), strict=True)):
        ends = _log_odds(np.array([0.0, 1.0]))
        axis.plot(ends, ends, color=colours["soft"], linewidth=1.2)
        x, y, low, high = (_log_odds(values) for values in curve[:4])
        axis.vlines(x, low, high, color=COLOURS[place % 2], linewidth=2, alpha=0.8)
        sure = (curve.observed <= 0) | (curve.observed >= 1)
        for edge, rows in ((False, ~sure), (True, sure)):
            face = colours["page"] if edge else COLOURS[place % 2]
            axis.plot(
                x[rows], y[rows], linestyle="", marker="o", markersize=7, color=COLOURS[place % 2], markerfacecolor=face
            )
        _share_axes(axis, ends)
        posts = f"{least_to_most(curve.count)} posts a group" if len(curve.count) else "no posts"
        name_axes(axis, colours, title=f"{side}: {posts}", x="probability", y="" if place else "share that is harmful")
    figure.suptitle(label, color=colours["ink"], fontsize=12, x=0.01, ha="left")
    return figure


def least_to_most(count: Sequence[int]) -> str:
    """Return the least and the greatest count, once where they are equal."""
    return " to ".join(dict.fromkeys(f"{n:,}" for n in (min(count), max(count))))


def _log_odds(values: np.ndarray) -> np.ndarray:
    return logit(np.clip(np.asarray(values, dtype=float), _EDGE, 1 - _EDGE))


def _share_axes(axis: Axes, ends: np.ndarray) -> None:
    """Name shares on axes that are in log-odds."""
    marks, names = _log_odds(np.array(_TICKS)), [f"{100 * tick:g} %" for tick in _TICKS]
    around = (ends[0] - 0.4, ends[1] + 0.4)
    axis.set(xlim=around, ylim=around)
    axis.set_xticks(marks, names, rotation=45, ha="right")
    axis.set_yticks(marks, names)


def precision_against_prevalence(
    prevalence: Sequence[float],
    curves: Mapping[str, np.ndarray],
    *,
    marks: Mapping[str, float] | None = None,
    theme: str = "light",
) -> Figure:
    """Return precision against prevalence (k,), log-scaled: curves, label -> (3, k) of value, lo and hi.

    marks: name -> a prevalence to be named, such as the test's own.
    """
    figure, (axis,), colours = figure_of(4.8, theme)
    for place, (name, (value, low, high)) in enumerate(curves.items()):
        colour = COLOURS[place % len(COLOURS)]
        axis.fill_between(prevalence, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.plot(prevalence, value, color=colour, linewidth=2, label=name, linestyle=("-", "--", "-.", ":")[place % 4])
    for name, share in (marks or {}).items():
        axis.axvline(share, color=colours["soft"], linewidth=1, linestyle=(0, (4, 3)))
        axis.text(share, 1.0, name, rotation=90, va="top", ha="right", color=colours["soft"], fontsize=10)
    axis.set_xscale("log")
    ticks = [tick for tick in (0.0001, 0.001, 0.01, 0.1, 0.5) if prevalence[0] <= tick <= prevalence[-1]]
    axis.set_xticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set(xlim=(prevalence[0], prevalence[-1]), ylim=(0, 1.02))
    axis.set_yticks(np.arange(0, 1.01, 0.2), [f"{share:.0%}" for share in np.arange(0, 1.01, 0.2)])
    name_axes(axis, colours, x="share of posts that is harmful", y="flagged posts that are harmful (precision)")
    legend(axis, colours)
    return figure


def claims(rows: Sequence[Mapping[str, Any]], *, title: str = "", x: str = "share", theme: str = "light") -> Figure:
    """Return a dot per claim: a share with its interval, and behind it the band in which it must lie.

    rows: `name`, `share`, `lo`, `hi`, and `band` (low, high) or None.
    """
    figure, (axis,), colours = figure_of(1.2 + 0.3 * max(len(rows), 1), theme, grid="x")
    band: str | None = "where it must lie"
    for place, row in enumerate(rows):
        if row["band"] is not None:
            low, high = row["band"]
            axis.barh(place, high - low, left=low, height=0.7, color=COLOURS[2], alpha=0.35, linewidth=0, label=band)
            band = None
        axis.plot([row["lo"], row["hi"]], [place, place], color=colours["fill"], linewidth=2)
        axis.plot([row["share"]], [place], marker="o", markersize=6, color=colours["fill"])
    axis.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axis.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    name_axes(axis, colours, title=title, x=x)
    legend(axis, colours)
    return figure


def quality_against_cost(rows: Sequence[Any], *, theme: str = "light") -> Figure:
    """Return each model's value with its interval against its milliseconds per post, on a logarithmic axis.

    rows: as for `values`, each with a positive `ms_per_post`. Filled marks, joined by a line, are the models that no
    cheaper one matches; every mark is named at the right.
    """
    figure, (axis,), colours = figure_of(1.8 + 0.32 * max(len(rows), 6), theme)
    metric = METRICS[rows[0].metric] if rows else None
    sign = metric.sign if metric else 1
    rows = [row for row in rows if row.value is not None]
    rows = sorted(rows, key=lambda row: (row.ms_per_post, -sign * row.value))
    frontier: list[Any] = []
    for row in rows:
        best = not frontier or sign * row.value > sign * frontier[-1].value
        frontier += [row] if best else []
        x, colour = row.ms_per_post, colours["fill"] if best else colours["soft"]
        axis.plot([x, x], [or_nan(row.lo), or_nan(row.hi)], color=colour, linewidth=1.5)
        axis.plot([x], [row.value], "o", markersize=8, color=colour, mfc=colour if best else colours["page"])
    line = {"color": colours["fill"], "linewidth": 1, "drawstyle": "steps-post", "zorder": 1}
    axis.plot([row.ms_per_post for row in frontier], [row.value for row in frontier], **line)
    axis.set_xscale("log")
    axis.margins(x=0.08)
    _names_aside(axis, rows, colours)
    what = f"{rows[0].label}, {rows[0].view} posts" if rows else ""
    name_axes(axis, colours, title=what, x="milliseconds per post (logarithmic)", y=metric.words if metric else "")
    return figure


def _names_aside(axis: Axes, rows: Sequence[Any], colours: Mapping[str, str]) -> None:
    """Write models' names at the right, in the order of values and never over each other, each led to its mark."""
    low, high = axis.get_ylim()
    gap, place, right = 0.95 * (high - low) / max(len(rows), 12), -math.inf, axis.get_xlim()[1]
    for row in sorted(rows, key=lambda row: row.value):
        place = max(row.value, place + gap)
        text = {"xytext": (1.02, place), "textcoords": ("axes fraction", "data"), "va": "center", "fontsize": 10}
        arrow = {"arrowstyle": "-", "color": colours["faint"], "linewidth": 0.8, "shrinkA": 0, "shrinkB": 6}
        point = (row.ms_per_post, row.value)
        axis.annotate(row.model, point, color=colours["ink"], arrowprops=arrow, annotation_clip=False, **text)
    axis.set(xlim=(axis.get_xlim()[0], right), ylim=(low, max(high, place)))


def shades(
    values: np.ndarray,
    lines: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    italics: Sequence[bool] = (),
    theme: str = "light",
) -> Figure:
    """Draw shares (lines, columns) as shades with their percent in them; NaN is a dash.

    italics (lines,): whose names are in italics, none where it is empty.
    """
    figure, (axis,), colours = figure_of(1.6 + 0.24 * len(lines), theme, grid="")
    axis.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (line, column), value in np.ndenumerate(values):
        text, ink = ("–", colours["ink"]) if np.isnan(value) else (f"{100 * value:.0f}", "#FFFFFF")
        ink = "#1A1A1A" if value >= 0.5 else ink  # the upper half of this map is light
        axis.text(column, line, text, ha="center", va="center", fontsize=10, color=ink)
    axis.set_yticks(range(len(lines)), lines, fontsize=10)
    for name, slanted in zip(axis.get_yticklabels(), italics, strict=False):
        name.set_fontstyle("italic" if slanted else "normal")
    axis.set_xticks(range(len(columns)), columns, rotation=30, ha="right", fontsize=10)
    name_axes(axis, colours, title=title)
    return figure
