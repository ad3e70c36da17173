"""Diagrams: what stands in them, that they are opaque, 700 pixels wide and legible on light and dark pages."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image
from scipy.special import logit

from workbench.metrics.plots import canvas
from workbench.metrics.plots.diagrams import Reliability, precision_against_prevalence, reliability

GROUPS = Reliability(*map(np.array, ([0.01, 0.2], [0.0, 0.25], [0.0, 0.1], [0.04, 0.5], [90, 110])))
SHARES = np.array([0.001, 0.01, 0.1, 0.5])
CURVE = np.array([[0.1, 0.4, 0.8, 0.9], [0.05, 0.3, 0.7, 0.85], [0.2, 0.5, 0.9, 0.95]])
FIGURES = {
    "reliability": lambda **theme: reliability({"before": GROUPS, "after": GROUPS}, label="abuse", **theme),
    "prevalence": lambda **theme: precision_against_prevalence(SHARES, {"abuse": CURVE}, marks={"1 %": 0.01}, **theme),
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_figure_is_700_pixels_wide_opaque_and_legible(name, theme):
    figure = FIGURES[name](theme=theme)
    picture = Image.open(io.BytesIO(canvas.png(figure)))
    assert picture.width == 700
    pixels = np.asarray(picture.convert("RGBA"))
    assert (pixels[..., 3] == 255).all()
    page = pixels[2, -3, :3].astype(int)
    assert page.mean() > 250 if theme == "light" else page.mean() < 40
    FigureCanvasAgg(figure).draw()
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()) >= 10
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert -0.02 <= box.x0 <= box.x1 <= width + 0.02
    assert -0.02 <= box.y0 <= box.y1 <= height + 0.02


def test_groups_stand_at_their_log_odds_and_the_certain_ones_are_open():
    figure = FIGURES["reliability"]()
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "before: 90 to 110 posts a group",
        "after: 90 to 110 posts a group",
    ]
    _, seen, none = figure.axes[0].get_lines()
    assert (seen.get_xdata().item(), seen.get_ydata().item()) == (logit(0.2), logit(0.25))
    assert none.get_ydata().item() == logit(0.0005)  # nothing harmful: on the edge, and open
    assert none.get_markerfacecolor() != none.get_color() == seen.get_markerfacecolor()


def test_a_curve_has_its_band_and_its_marks():
    (axis,) = FIGURES["prevalence"]().axes
    np.testing.assert_array_equal(axis.get_lines()[0].get_ydata(), CURVE[0])
    assert "1 %" in [text.get_text() for text in axis.texts]
    assert axis.get_xscale() == "log"
