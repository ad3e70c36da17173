"""How validation posts were drawn, and what follows for probabilities where posts are as the site has them.

Their weights tell it. Where these depend on the label alone, sample and site differ by label shift and a ratio of
shares leads from one to the other (`metrics.calibration.shift`). Where they differ among posts with the same label, the
sample was drawn by component, by score or otherwise, and only a fit by these weights makes probabilities that hold at
the site.

Probabilities that hold in both places must stay, so a fit by weights bends nothing unless that pays on held-out posts,
and nothing where a few heavy harmful posts would decide: there it made exact probabilities worse, by a sixth of their
log loss and more, in 5 % of trials in the synthetic world.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from workbench.metrics.calibration import IDENTITY, Calibrator, Line, calibrator, choose_calibrator
from workbench.metrics.prevalence import drawn_by_label, rests_on_few

OTHERWISE = (
    "its validation posts were not drawn by the label alone (their weights differ among posts with the same label), so "
    "no ratio of shares leads from its probabilities to other posts; `workbench bundle move BUNDLE --site -o FOLDER` "
    "serves what is calibrated by these weights, and for posts of another place label some of them and train on those"
)


class Drawn(NamedTuple):
    """How the validation posts of one label were drawn.

    by_label: whether weights depend on the label alone; share: that of positives by weight, None without weights of
    both classes; line: what makes calibrated log-odds hold where posts are as their weights say, the identity where
    they hold there already or, with its note, where too few posts tell.
    """

    by_label: bool
    share: float | None
    line: Calibrator = IDENTITY

    @classmethod
    def of(cls, y: np.ndarray, log_odds: np.ndarray, weight: np.ndarray, group: np.ndarray) -> Self:
        """Return it for known y (n,) bool with calibrated log_odds, weight, group (n,); NaN log-odds are left out.

        >>> drawn = Drawn.of(np.array([True, False]), np.zeros(2), np.array([1.0, 9.0]), np.arange(2))
        >>> drawn.share, round(drawn.line.offset, 2)  # log(1 / 9)
        (0.1, -2.2)
        """
        seen = ~np.isnan(log_odds) & (weight > 0)
        y, log_odds, weight, group = y[seen], log_odds[seen], weight[seen], group[seen]
        if not y.any() or y.all():
            return cls(drawn_by_label(y, weight), None)
        share = float(np.average(y, weights=weight))
        if not drawn_by_label(y, weight):
            few = rests_on_few(weight[y], group[y])
            note = f"not calibrated by weight: a few of validation's {int(y.sum())} harmful posts decide"
            line = IDENTITY._replace(note=note) if few else choose_calibrator(y, log_odds, group, weight=weight)
            return cls(False, share, line)
        ratio = weight[y].mean() / weight[~y].mean()
        why = "validation was drawn by the label alone, so its weights tell the ratio of shares"
        equal = abs(ratio - 1) <= 0.01
        return cls(True, share, IDENTITY if equal else Line(1.0, float(np.log(ratio)), chosen={"why": why}))

    @classmethod
    def parse(cls, saved: Mapping[str, Any]) -> Self:
        """Return what `saved` wrote."""
        return cls(saved["by_label"], saved["share"], calibrator(saved["line"]))

    @property
    def saved(self) -> dict[str, Any]:
        """It as plain JSON."""
        return {**self._asdict(), "line": self.line._asdict()}

    @property
    def moves(self) -> bool:
        """Whether the probabilities at the site are other ones."""
        return self.line.numbers != IDENTITY.numbers
