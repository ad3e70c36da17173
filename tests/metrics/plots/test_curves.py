"""Figures: what stands in them, that they are opaque and 700 pixels wide, and that they leave pyplot alone."""

from __future__ import annotations

import io
import itertools
import math
import subprocess
import sys
from types import SimpleNamespace as Row

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from workbench.metrics.plots import canvas, curves, diagrams

CURVE = (np.array([0.1, 0.5, 1.0, 1.0]), np.array([1.0, 1.0, 0.5, 0.0]))
COUNTS = {"tn": 900.0, "fp": 29.0, "fn": 13.0, "tp": 87.0}
NOTHING = dict.fromkeys(COUNTS)
PLACE = {"label": "macro", "view": "paired", "metric": "average_precision"}
DIFFERENCES = [
    Row(a="cross", b="words", delta=0.2, lo=0.1, hi=0.3, p_holm=0.0002, primary=True, **PLACE),
    Row(a="prior", b="words", delta=None, lo=None, hi=None, p_holm=None, primary=False, **PLACE),
]
VALUES = [
    curves.Dot("prior", "macro", "paired", "average_precision", None, None, None, few=True),
    curves.Dot(
        "cross", "macro", "paired", "average_precision", 0.7, 0.6, 0.8, ceiling=0.75, ceiling_lo=0.65, ceiling_hi=0.85
    ),
]
LOGITS = np.linspace(-3, 3, 7)
ORDER = {"labels": [100, 200], "value": [0.2, 0.3], "lo": [0.1, 0.2], "hi": [0.3, math.nan]}
FIGURES = {
    "pr_curves": lambda **theme: curves.pr_curves(
        {"words": CURVE}, label="Abuse", prevalence=0.1, ceiling=CURVE, **theme
    ),
    "confusion_matrices": lambda **theme: curves.confusion_matrices(
        {"w": COUNTS, "x": NOTHING}, label="Abuse", **theme
    ),
    "differences": lambda **theme: curves.differences(DIFFERENCES, **theme),
    "values": lambda **theme: curves.values(VALUES, **theme),
    "charges": lambda **theme: curves.charges(
        LOGITS, {"bce": (LOGITS**2, LOGITS), "hinge": (1 - LOGITS,) * 2}, **theme
    ),
    "charges and activations": lambda **theme: curves.charges(
        LOGITS, {"bce": (LOGITS**2, LOGITS)}, {"tanh": np.tanh(LOGITS), "relu": LOGITS.clip(0)}, **theme
    ),
    "shades": lambda **theme: diagrams.shades(
        np.array([[0.123, math.nan], [1.0, 0.0]]),
        ["threat", "quote"],
        ["w", "x"],
        title="T",
        italics=[False, True],
        **theme,
    ),
    "claims": lambda **theme: diagrams.claims(
        [
            {"name": "covers", "share": 0.95, "lo": 0.9, "hi": 0.98, "band": (0.93, 0.97)},
            {"name": "told only", "share": 0.8, "lo": 0.7, "hi": 0.9, "band": None},
        ],
        **theme,
    ),
    "bought": lambda **theme: curves.bought(
        {"random": ORDER, "likely": ORDER}, y="average precision", limit=0.8, band="random", **theme
    ),
}


def words(figure):
    """Every text in a figure, legends included."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("name", sorted(FIGURES))
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_figure_is_700_pixels_wide_and_opaque(name, theme):
    picture = Image.open(io.BytesIO(canvas.png(FIGURES[name](theme=theme))))
    assert picture.width == 700
    pixels = np.asarray(picture.convert("RGBA"))
    assert (pixels[..., 3] == 255).all()
    page = pixels[2, -3, :3].astype(int)
    assert page.mean() > 250 if theme == "light" else page.mean() < 40
    # something is drawn, in ink that stands out from the page
    assert np.abs(pixels[..., :3].astype(int) - page).max() > 150


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_no_text_is_too_small_or_cut_off(name):
    figure = FIGURES[name]()
    FigureCanvasAgg(figure).draw()
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()) >= 10
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()  # inches, around all that is drawn
    assert -0.02 <= box.x0 <= box.x1 <= width + 0.02
    assert -0.02 <= box.y0 <= box.y1 <= height + 0.02


def test_an_unknown_theme_is_refused():
    with pytest.raises(ValueError, match="unknown theme 'blue'; the choices are: light, dark"):
        curves.values(VALUES, theme="blue")


def test_curves_step_and_name_models_ceiling_and_chance():
    figure = FIGURES["pr_curves"]()
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert list(lines) == ["exact probabilities", "words", "at random (10.0%)"]
    np.testing.assert_array_equal(lines["words"].get_xdata(), CURVE[1])
    # recall falls along the curve, so a post-step holds each precision over the recall that it gained
    assert lines["words"].get_drawstyle() == "steps-post"


def test_a_confusion_is_told_in_words():
    assert (
        curves.in_words(COUNTS) == "Of 100 harmful posts here 87 are caught; of 100 flagged posts here 25 are harmless."
    )
    assert curves.in_words(NOTHING) == "There is no threshold, so nothing can be said."
    quiet = curves.in_words({"tn": 90, "fp": 0, "fn": 10, "tp": 0})
    assert quiet == "Of 100 harmful posts here 0 are caught; nothing is flagged."
    assert curves.in_words({"tn": 1, "fp": 1, "fn": 0, "tp": 0}).startswith("There is no harmful post to catch; of 100")
    # 1 of 1000 is not "0 of 100", and 999 of 1000 not all
    assert "fewer than 1 are caught" in curves.in_words({"tn": 0, "fp": 0, "fn": 999, "tp": 1})
    assert "more than 99 are caught" in curves.in_words({"tn": 0, "fp": 0, "fn": 1, "tp": 999})


def test_a_matrix_shows_counts_and_shares_of_its_rows():
    found = " ".join(words(FIGURES["confusion_matrices"]()))
    assert "87\n87.0%" in found  # 87 of 100 harmful
    assert "29\n3.1%" in found  # 29 of 929 harmless
    assert "–" in found
    with pytest.raises(ValueError, match="at least one model"):
        curves.confusion_matrices({}, label="Abuse")


def test_differences_stand_against_zero_and_the_primary_family_stands_out():
    figure = FIGURES["differences"]()
    (axis,) = figure.axes
    FigureCanvasAgg(figure).draw()
    primary, other = axis.get_yticklabels()
    assert (primary.get_text(), primary.get_fontweight()) == ("cross against words\np < 0.001", "bold")
    assert (other.get_text(), other.get_fontweight()) == ("prior against words", "normal")
    assert [0, 0] in [list(line.get_xdata()) for line in axis.get_lines()]
    assert [0.1, 0.3] in [list(line.get_xdata()) for line in axis.get_lines()]
    assert " undefined" in words(figure)
    assert canvas.png(curves.differences([]))  # a study may compare nothing
    assert figure.axes[0].get_xlabel() == "right of the line: the first model is higher"
    (axis,) = curves.differences([Row(**vars(DIFFERENCES[0]) | {"metric": "brier"})]).axes
    assert axis.get_xlabel() == "right of the line: the first model is higher, which is worse"
    assert axis.get_title(loc="left").startswith("Difference in Brier score")


def test_values_have_intervals_and_ceilings_and_say_few():
    figure = FIGURES["values"]()
    drawn = [list(line.get_xdata()) for line in figure.axes[0].get_lines()]
    assert [0.6, 0.8] in drawn
    assert [0.75, 0.75] in drawn
    assert [0.65, 0.85] in drawn
    assert {"prior (few)", "undefined", "Bayes ranking of what it sees"} <= set(words(figure))
    assert canvas.png(curves.values([]))


def test_pyplot_is_never_imported():
    code = "import sys, workbench.metrics.plots.curves; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_orders_of_labelling_are_named_with_the_limit_of_all_labels():
    said = words(FIGURES["bought"]())
    assert {"random", "likely", "all labels", "labels bought", "average precision"} <= set(said)
    assert "all labels" not in words(curves.bought({"random": ORDER}, y="AP", limit=math.nan))


def test_shades_say_percent_and_a_dash_where_nothing_is_known():
    figure = FIGURES["shades"]()
    assert {"12", "–", "100", "0", "threat", "quote", "w", "x", "T"} <= set(words(figure))
    (axis,) = figure.axes
    assert [name.get_fontstyle() for name in axis.get_yticklabels()] == ["normal", "italic"]


def test_quality_against_cost_fills_what_no_cheaper_model_matches():
    place = {"metric": "average_precision", "label": "macro", "view": "all", "lo": None, "hi": None}
    told = {"cheap": (1.0, 0.5), "worse": (10.0, 0.4), "dear": (100.0, 0.9), "undefined": (5.0, None)}
    rows = [Row(**place, model=name, ms_per_post=ms, value=value) for name, (ms, value) in told.items()]

    def filled(rows):
        (axis,) = diagrams.quality_against_cost(rows).axes
        marks = [line for line in axis.lines if line.get_marker() == "o"]
        assert axis.get_xscale() == "log"
        assert sorted(text.get_text() for text in axis.texts) == ["cheap", "dear", "worse"]
        return {m.get_xdata()[0] for m in marks if m.get_markerfacecolor() == m.get_color()}

    assert filled(rows) == {1.0, 100.0}
    # of a false positive rate less is better: .4 beats .5, and .9 beats neither
    assert filled([Row(**vars(row) | {"metric": "false_positive_rate"}) for row in rows]) == {1.0, 10.0}


def test_names_beside_a_cost_figure_do_not_meet():
    place = {"metric": "recall", "label": "macro", "view": "all", "lo": 0.4, "hi": 0.6}
    rows = [Row(**place, model=f"m{i}", ms_per_post=1.0 + i, value=0.5 + i / 1e4) for i in range(10)]
    (axis,) = diagrams.quality_against_cost(rows, theme="dark").axes
    heights = sorted(text.xyann[1] for text in axis.texts)
    low, high = axis.get_ylim()
    assert min(b - a for a, b in itertools.pairwise(heights)) > 0.03 * (high - low)
    assert heights[-1] <= high
