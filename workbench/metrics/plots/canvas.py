"""What every picture is drawn on: a figure with its axes and colours, titles, a legend, and the file it becomes."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
LINES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), "-")
_THEMES = {
    "light": {"page": "#FFFFFF", "ink": "#1A1A1A", "faint": "#D9D9D9", "soft": "#5F5F5F", "fill": "#0072B2"},
    "dark": {"page": "#1B1E23", "ink": "#F2F2F2", "faint": "#3B4048", "soft": "#B4B8BF", "fill": "#56B4E9"},
}


def figure_of(
    height: float, theme: str, panels: int = 1, grid: str = "both"
) -> tuple[Figure, list[Axes], dict[str, str]]:
    """Return an empty figure, its axes side by side with a faint grid ("both", "x" or ""), and the theme's colours."""
    if theme not in _THEMES:
        raise ValueError(f"unknown theme {theme!r}; the choices are: {', '.join(_THEMES)}")
    colours = _THEMES[theme]
    figure = Figure(figsize=(7, height), dpi=100, layout="constrained", facecolor=colours["page"])
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for axis in axes:
        axis.set_facecolor(colours["page"])
        axis.tick_params(colors=colours["ink"], labelsize=10)
        if grid:
            axis.grid(axis=grid, color=colours["faint"], linewidth=0.6)
        for side, spine in axis.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(colours["soft"])
    return figure, list(axes), colours


def name_axes(axis: Axes, colours: Mapping[str, str], *, title: str = "", x: str = "", y: str = "") -> None:
    """Write a title and what the axes show."""
    axis.set_title(title, color=colours["ink"], fontsize=12, loc="left")
    axis.set_xlabel(x, color=colours["ink"], fontsize=11)
    axis.set_ylabel(y, color=colours["ink"], fontsize=11)


def legend(axis: Axes, colours: Mapping[str, str]) -> None:
    """Put the legend above the axes, where it hides nothing."""
    if axis.get_legend_handles_labels()[0]:
        edges = {"labelcolor": colours["ink"], "facecolor": colours["page"], "edgecolor": colours["page"]}
        axis.legend(fontsize=10, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2, **edges)
        axis.set_title(
            axis.get_title(loc="left"), loc="left", color=colours["ink"], fontsize=12, pad=10 + 18 * _rows(axis)
        )


def _rows(axis: Axes) -> int:
    return math.ceil(len(axis.get_legend_handles_labels()[0]) / 3)


def or_nan(value: float | None) -> float:
    """Return a number, NaN where it is undefined."""
    return math.nan if value is None else float(value)


def png(figure: Figure, *, dpi: int = 100) -> bytes:
    """Return a figure as a PNG file, 7 * dpi pixels wide, with its own opaque background."""
    canvas, buffer = FigureCanvasAgg(figure), io.BytesIO()
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")  # it is laid out; drawing would do so again
    before = figure.dpi
    figure.set_dpi(dpi)
    canvas.print_png(buffer)  # savefig would draw everything once more before it draws
    figure.set_dpi(before)
    return buffer.getvalue()
