"""Shares of simulated worlds, what they must be, and the one test that judges them.

A claim fails where its share is below or above its band by an exact one-sided binomial test at .05, one test a side: a
share that chance could have taken out of the band does not fail it. `wrong` rows show methods that must fail: such a
claim holds only where that same test finds the wrong method out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from scipy import stats

LEVEL = 0.05  # of the test that judges a share
OF = "of"  # the kind of a count that is the number of worlds another one is a share of


class Band(NamedTuple):
    """What a share must be: at least `low`, at most `high`; wrong: of a method that must be found outside."""

    low: float
    high: float
    wrong: bool = False


Judgement = Band | Callable[[Counter, int], Band]
"""A band, or what gives it from all counts and the number of worlds."""


@dataclass(frozen=True)
class Claim:
    """A share of worlds and what it must be: `band` is None where the share is only tabulated.

    hits of `worlds`; of planted leaks both count pairs, and of a size that is tabulated `hits` is the sum over worlds.
    `positives`: harmful families of a world, on average, None where the setting has no such number.
    """

    what: str
    setting: str
    method: str
    hits: float
    worlds: int
    positives: float | None
    band: Band | None

    @property
    def share(self) -> float:
        """The share of worlds in which it happened."""
        return self.hits / self.worlds

    @property
    def wrong(self) -> bool:
        """Whether the method is a wrong one, which must be found out."""
        return self.band is not None and self.band.wrong

    def rejected(self, level: float = LEVEL) -> bool:
        """Whether the share is outside its band beyond chance: by an exact one-sided binomial test on either side.

        >>> band = Band(0.93, 0.97)
        >>> [Claim("", "", "", hits, 1000, None, band).rejected() for hits in (915, 916, 979, 980)]
        [True, False, False, True]
        """
        if self.band is None:
            return False
        sides = ((self.band.low, "less"), (self.band.high, "greater"))
        return any(stats.binomtest(self.hits, self.worlds, p, side).pvalue < level for p, side in sides)

    def held(self, level: float = LEVEL) -> bool | None:
        """Whether the claim stands, None where nothing is claimed: a wrong method's stands where it is rejected."""
        return None if self.band is None else self.rejected(level) == self.wrong

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the exact binomial interval of the share (Clopper and Pearson 1934)."""
        interval = stats.binomtest(self.hits, self.worlds).proportion_ci(confidence, method="exact")
        return float(interval.low), float(interval.high)

    def row(self) -> dict[str, Any]:
        """Return the claim as a row of a table."""
        verdict = {None: "", True: "holds", False: "fails"}[self.held()]
        facts = {"claim": self.what, "setting": self.setting, "method": self.method, "share": self.share}
        return facts | {
            "must be": _said(self.band),
            "verdict": verdict,
            "worlds": self.worlds,
            "positive families": self.positives,
        }


def _said(band: Band | None) -> str:
    if band is None:
        return ""
    if band.low <= 0 or band.high >= 1:
        bound = f"at most {band.high:.1%}" if band.low <= 0 else f"at least {band.low:.1%}"
    else:
        bound = f"{band.low:.1%} to {band.high:.1%}"
    return f"not {bound}" if band.wrong else bound


def claimed(setting: str, counts: Counter, worlds: int, bands: Mapping[str, Judgement]) -> Iterator[Claim]:
    """Yield what was counted in so many worlds as claims.

    counts: (kind, what, method) -> worlds in which it happened, or (OF, what, method) -> of how many, where not of all;
    `positives` is a sum over worlds. bands: kind -> what its shares must be; other kinds are tabulated. What could
    happen in no world is no claim.
    """
    positives = counts["positives"] / worlds if "positives" in counts else None
    for key in counts:
        if not isinstance(key, tuple) or key[0] == OF:
            continue
        kind, what, method = key
        of, band = counts.get((OF, what, method), worlds), bands.get(kind)
        if of:
            band = band(counts, worlds) if callable(band) else band
            yield Claim(what, setting, method, counts[key], of, positives, band)
