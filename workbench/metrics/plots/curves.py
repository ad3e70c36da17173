"""Pictures of what the other metric modules return: curves, counts in words, differences, values beside their ceilings.

Functions take plain arrays or rows as a comparison has them and return a matplotlib Figure; pyplot, with its global
state, is never touched. Figures are 7 inches wide at 100 dots an inch, so 700 pixels as they stand, on an opaque
background that is legible on white and on dark pages; `theme="dark"` gives them a dark one. Colours are Okabe and Ito's
(2008), which colour-blind readers can tell apart; lines and marks differ in shape as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from workbench.metrics.plots.canvas import COLOURS, LINES, figure_of, legend, name_axes, or_nan
from workbench.metrics.table import METRICS


def pr_curves(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    label: str,
    prevalence: float | None = None,
    ceiling: tuple[np.ndarray, np.ndarray] | None = None,
    theme: str = "light",
) -> Figure:
    """Return precision against recall for one label: curves, model -> (precision (k,), recall (k,)).

    ceiling is such a pair for the exact probabilities; prevalence is what flagging at random would give.
    """
    figure, (axis,), colours = figure_of(4.6, theme)
    if ceiling is not None:
        axis.plot(
            ceiling[1], ceiling[0], color=colours["ink"], linewidth=1.2, linestyle=":", label="exact probabilities"
        )
    for i, (name, (precision, recall)) in enumerate(curves.items()):
        style = {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i % len(LINES)]}
        # a precision holds until the next harmful post is caught: steps, no slopes
        axis.plot(recall, precision, drawstyle="steps-post", linewidth=2, label=name, **style)
    if prevalence is not None and not math.isnan(prevalence):
        axis.axhline(prevalence, color=colours["soft"], linewidth=1, label=f"at random ({prevalence:.1%})")
    axis.set(xlim=(0, 1.005), ylim=(0, 1.02))
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(PercentFormatter(1.0))
    name_axes(
        axis, colours, title=label, x="harmful posts caught (recall)", y="flagged posts that are harmful (precision)"
    )
    legend(axis, colours)
    return figure


def in_words(counts: Mapping[str, float]) -> str:
    """Return what a confusion (tn, fp, fn, tp) means for 100 harmful and 100 flagged posts like those counted.

    >>> in_words({"tn": 900, "fp": 29, "fn": 13, "tp": 87})
    'Of 100 harmful posts here 87 are caught; of 100 flagged posts here 25 are harmless.'
    """
    tn, fp, fn, tp = (or_nan(counts[name]) for name in ("tn", "fp", "fn", "tp"))
    if math.isnan(tn + fp + fn + tp):
        return "There is no threshold, so nothing can be said."
    caught = (
        f"of 100 harmful posts here {of_100(tp / (tp + fn))} caught" if tp + fn else "there is no harmful post to catch"
    )
    wrong = f"of 100 flagged posts here {of_100(fp / (tp + fp))} harmless" if tp + fp else "nothing is flagged"
    return f"{caught[0].upper()}{caught[1:]}; {wrong}."


def of_100(share: float, span: str = "") -> str:
    """Return a share as a number of 100 with its verb, `span` between them; never a round 0 or 100 that is not exact.

    >>> of_100(0.01), of_100(0.999, " [99 to 100]")
    ('1 is', 'more than 99 [99 to 100] are')
    """
    number = "fewer than 1" if 0 < share < 0.005 else "more than 99" if 0.995 <= share < 1 else f"{100 * share:.0f}"
    return f"{number}{span} {'is' if number == '1' else 'are'}"


def confusion_matrices(confusions: Mapping[str, Mapping[str, float]], *, label: str, theme: str = "light") -> Figure:
    """Return a panel per model for one label, at most three a figure row: counts, shares of each row, and words below.

    confusions: model -> {"tn", "fp", "fn", "tp"}, counts that may be fractional (means over seeds) or None.
    """
    if not confusions:
        raise ValueError("confusion_matrices needs at least one model")
    rows = math.ceil(len(confusions) / 3)
    figure, (first,), colours = figure_of(3.3 * rows, theme, grid="")
    first.remove()
    panels = figure.subplots(rows, min(len(confusions), 3), squeeze=False).ravel()
    for axis in panels:
        axis.set_axis_off()
    for axis, (name, counts) in zip(panels, confusions.items(), strict=False):
        _matrix(axis, counts, colours)
        axis.set_title(name, color=colours["ink"], fontsize=12)
        words = (
            in_words(counts).replace("; ", ";\n").replace(" posts ", " posts\n" if len(confusions) > 2 else " posts ")
        )
        axis.text(0.5, -0.02, words, transform=axis.transAxes, ha="center", va="top", color=colours["ink"], fontsize=10)
    figure.suptitle(label, color=colours["ink"], fontsize=12, x=0.01, ha="left")
    return figure


def _matrix(axis: Axes, counts: Mapping[str, float], colours: Mapping[str, str]) -> None:
    """Draw the four cells, rows by truth, each as dark as its share of its row."""
    axis.set(xlim=(-0.75, 2), ylim=(2, -0.35))
    for row, (truth, cells) in enumerate({"harmless": ("tn", "fp"), "harmful": ("fn", "tp")}.items()):
        total = sum(or_nan(counts[cell]) for cell in cells)
        axis.text(-0.06, row + 0.5, truth, ha="right", va="center", fontsize=10, color=colours["ink"])
        for column, cell in enumerate(cells):
            value = or_nan(counts[cell])
            share = value / total if total > 0 else math.nan
            # pale enough that the ink stays legible at full depth
            alpha = 0.04 + 0.36 * (0 if math.isnan(share) else share)
            axis.fill_between(
                [column + 0.02, column + 0.98], row + 0.02, row + 0.98, color=colours["fill"], alpha=alpha, lw=0
            )
            text = "–" if math.isnan(value) else f"{value:,.0f}" + ("" if math.isnan(share) else f"\n{share:.1%}")
            axis.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=11, color=colours["ink"])
    for column, flag in enumerate(("passed", "flagged")):
        axis.text(column + 0.5, -0.08, flag, ha="center", va="bottom", fontsize=10, color=colours["ink"])


def differences(rows: Sequence[Any], *, theme: str = "light") -> Figure:
    """Return a forest plot of a comparison's `differences`: a - b with its interval against the line of no difference.

    The primary family is filled, bold and named with its adjusted p; exploratory rows are open and pale.
    """
    figure, (axis,), colours = figure_of(1.5 + 0.5 * max(len(rows), 1), theme, grid="x")
    axis.axvline(0, color=colours["ink"], linewidth=1.2)
    for place, row in enumerate(rows):
        primary, delta = row.primary, or_nan(row.delta)
        colour = colours["fill"] if primary else colours["soft"]
        axis.plot([or_nan(row.lo), or_nan(row.hi)], [place, place], color=colour, linewidth=3 if primary else 1.5)
        face = colour if primary else colours["page"]
        axis.plot([delta], [place], marker="D" if primary else "o", markersize=8, color=colour, markerfacecolor=face)
        if math.isnan(delta):
            axis.text(0, place, " undefined", va="center", color=colours["soft"], fontsize=10)
    axis.set_yticks(range(len(rows)), [_contrast(row) for row in rows])
    for text, row in zip(axis.get_yticklabels(), rows, strict=True):
        text.set_fontweight("bold" if row.primary else "normal")
    axis.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    axis.margins(x=0.08)
    metric = METRICS[rows[0].metric].words if rows else "the metric"
    where = f", {rows[0].label}, {rows[0].view} posts" if rows else ""
    right = "right of the line: the first model is higher"
    right += ", which is worse" if rows and METRICS[rows[0].metric].sign < 0 else ""
    name_axes(axis, colours, title=f"Difference in {metric}{where}", x=right)
    return figure


def _contrast(row: Any) -> str:
    p = row.p_holm
    note = "" if p is None else "\np < 0.001" if p < 0.001 else f"\np = {p:.3f}"
    return f"{row.a} against {row.b}{note}"


class Dot(NamedTuple):
    """What `values` draws of a row; rows of a comparison have the same names."""

    model: str
    label: str
    view: str
    metric: str
    value: float | None
    lo: float | None
    hi: float | None
    ceiling: float | None = None
    few: bool = False
    ceiling_lo: float | None = None
    ceiling_hi: float | None = None


def values(rows: Sequence[Dot], *, theme: str = "light") -> Figure:
    """Return a dot per model with its interval and, where there is one, its ceiling as a tick with its own interval.

    rows: of one metric, label and view. The ceiling is what the exact probabilities are worth on the same posts: a
    number of a sample too, which a dot may pass by luck.
    """
    figure, (axis,), colours = figure_of(1.5 + 0.42 * max(len(rows), 1), theme, grid="x")
    name: str | None = f"{METRICS[rows[0].metric].optimum} of what it sees" if rows else None
    for place, row in enumerate(rows):
        colour, value, best = colours["fill"], or_nan(row.value), or_nan(row.ceiling)
        axis.plot([or_nan(row.lo), or_nan(row.hi)], [place, place], color=colour, linewidth=2.5)
        axis.plot([value], [place], marker="o", markersize=8, color=colour)
        if math.isnan(value):
            share = {"transform": axis.get_yaxis_transform()}  # x as a share of the axis: no value stretches it
            axis.text(0.02, place, "undefined", va="center", color=colours["soft"], fontsize=10, **share)
        if not math.isnan(best):
            ends = [or_nan(row.ceiling_lo), or_nan(row.ceiling_hi)]
            axis.plot(ends, [place + 0.3, place + 0.3], color=COLOURS[1], linewidth=1.2)
            axis.plot([best, best], [place - 0.3, place + 0.3], color=COLOURS[1], linewidth=3, label=name)
            name = None  # the legend says it once
    axis.set_yticks(range(len(rows)), [f"{row.model}{' (few)' if row.few else ''}" for row in rows])
    axis.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    axis.margins(x=0.08)
    what = f"{rows[0].label}, {rows[0].view} posts" if rows else ""
    name_axes(axis, colours, title=what, x=METRICS[rows[0].metric].words if rows else "")
    legend(axis, colours)
    return figure


def charges(
    logits: np.ndarray,
    costs: Mapping[str, tuple[np.ndarray, np.ndarray]],
    activations: Mapping[str, np.ndarray] | None = None,
    *,
    most: float = 6.0,
    theme: str = "light",
) -> Figure:
    """Return what losses charge at each logit (n,): costs, loss -> (if the post is harmful, if it is not), each (n,).

    A panel for harmful posts and one for harmless ones; costs above `most` are cut off. activations: name -> what a
    hidden unit makes of each input (n,), the same numbers as the logits, in a third panel.
    """
    figure, panels, colours = figure_of(5.2 if activations else 4.6, theme, panels=3 if activations else 2)
    for side, (axis, what) in enumerate(zip(panels[:2], ("a harmful post", "a harmless post"), strict=True)):
        axis.axvline(0, color=colours["soft"], linewidth=1)
        for i, (name, cost) in enumerate(costs.items()):
            style = {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i % len(LINES)]}
            axis.plot(logits, cost[side], linewidth=2, label=name, **style)
        axis.set(xlim=(logits[0], logits[-1]), ylim=(0, most))
        name_axes(axis, colours, title=what, x="log-odds of harm", y="" if side else "cost")
    edges = {"labelcolor": colours["ink"], "facecolor": colours["page"], "edgecolor": colours["page"]}
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, fontsize=10, ncols=4, loc="outside upper left", **edges)
    if activations:
        axis = panels[2]
        for i, (name, value) in enumerate(activations.items()):
            style = {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i % len(LINES)]}
            axis.plot(logits, value, linewidth=2 if i < len(COLOURS) else 1, label=name, **style)
        axis.set(xlim=(logits[0], logits[-1]), ylim=(-1.5, 2.5))
        name_axes(axis, colours, title="a hidden unit", x="input", y="output")
        figure.legend(*axis.get_legend_handles_labels(), fontsize=10, ncols=5, loc="outside lower left", **edges)
    return figure


def bought(
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    y: str,
    limit: float | None = None,
    band: str | None = None,
    theme: str = "light",
) -> Figure:
    """Return a line per order of labelling: what it reached against the number of labels that it cost.

    curves: order -> {"labels", "value", "lo", "hi"}, each (b,); the interval is shaded for the order called `band` and
    drawn as whiskers for the others, a little aside so that they can be told apart. limit: what all labels reach.
    """
    figure, (axis,), colours = figure_of(5.2, theme)
    if limit is not None and not math.isnan(limit):
        axis.axhline(limit, color=colours["ink"], linewidth=1.2, linestyle=":", label="all labels")
    for i, (name, curve) in enumerate(curves.items()):
        labels, value, lo, hi = (np.asarray(curve[part], dtype=float) for part in ("labels", "value", "lo", "hi"))
        colour = COLOURS[i % len(COLOURS)]
        style = {"color": colour, "linestyle": LINES[i % len(LINES)]}
        if name == band:
            axis.fill_between(labels, lo, hi, color=colour, alpha=0.2, linewidth=0)
            axis.plot(labels, value, linewidth=2.5, label=name, **style)
            continue
        aside = (i - len(curves) / 2) * 0.012 * np.ptp(labels)
        axis.plot(labels + aside, value, linewidth=1.8, marker="o", markersize=4, label=name, **style)
        axis.vlines(labels + aside, lo, hi, color=colour, linewidth=1, alpha=0.6)
    name_axes(axis, colours, x="labels bought", y=y)
    legend(axis, colours)
    return figure
