"""What replaces another system's thresholds, as lines for a terminal, as tables for a file and as a page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pandas as pd

from workbench.comparison.options import VALIDATION
from workbench.comparison.parts.migration import OWN, Bounds, Disagreed, Matched, Replaced
from workbench.comparison.rows.values import Interval
from workbench.report import wording
from workbench.report.section import Section

_SHOWN = 5  # posts of each side in a terminal
_WIDE = 80  # characters of a post's text there
_MATCHED = {"share": "same share", "precision": "same precision", "recall": "same recall", OWN: "as the study chose it"}
_COLUMNS = {
    "flagged": "flagged per 1,000",
    "precision": "precision",
    "recall": "recall",
    "false_positive_rate": "false positive rate",
}


class Migration(NamedTuple):
    """Thresholds of theirs replaced by ours on a test set, with what 1,000 posts cost where a price is stated.

    theirs, ours: names of the models; costs: name -> money, None where it is not known; texts: of posts, by id.
    """

    theirs: str
    ours: str
    test: str
    replaced: tuple[Replaced, ...]
    costs: Mapping[str, float | None]
    currency: str
    texts: Mapping[str, str]


def sentences(found: Migration) -> Iterator[str]:
    """Yield what is to be known before the table is read, and why a threshold is missing in it."""
    cuts: dict[str, list[str]] = {}
    for one in found.replaced:
        cuts.setdefault(_measured(found, one), []).append(str(one.cut))
    for measured, alike in cuts.items():
        yield f"{found.theirs} at {', '.join(alike)}: {measured}."
    for one in found.replaced:
        for match in one.matches:
            if match.threshold is None:
                yield f"{found.theirs} at {one.cut}, {_MATCHED[match.match]}: {match.why}."


def _measured(found: Migration, one: Replaced) -> str:
    """Return on which posts a threshold was measured, and ours were chosen."""
    where = f"{wording.counted(one.posts, 'post')} of {found.test} that both scored, {one.harmful:,} of them harmful"
    if one.chosen_on == VALIDATION:
        chosen = f"thresholds were chosen on {wording.counted(one.chosen_posts, 'validation post')} that both scored"
    else:
        chosen = (
            f"both scored {100 * one.covered:.0f} % of the validation posts, so thresholds were chosen on the posts "
            "they are measured on, which flatters them a little"
        )
    return f"measured on {where}; {chosen}{'; posts count by their weights' if one.weighted else ''}"


def lines(found: Migration) -> list[dict[str, str]]:
    """Return the table: a line for each threshold of theirs, two for each of ours: what it does, what differs."""
    rows = []
    for one in found.replaced:
        rows.append(
            {"label": one.cut.label, "system": found.theirs, "matched by": "–"}
            | {"threshold": "yes or no" if one.cut.given is None else f"{one.cut.given:g}"}
            | {column: _measure(name, one.does[name]) for name, column in _COLUMNS.items()}
            | _cost(found, found.theirs)
        )
        for match in one.matches:
            about = {"label": one.cut.label, "system": found.ours, "matched by": _MATCHED[match.match]}
            if match.threshold is None:
                empty = dict.fromkeys([*_COLUMNS.values(), *_cost(found, found.ours)], "–")
                rows.append(about | {"threshold": "none"} | empty)
                continue
            rows.append(
                about
                | {"threshold": _span(match.threshold, digits=4)}
                | {column: _measure(name, match.does[name]) for name, column in _COLUMNS.items()}
                | _cost(found, found.ours)
            )
            minus = {column: _measure(name, match.minus[name], sign="+") for name, column in _COLUMNS.items()}
            rows.append(
                about
                | {"system": f"minus {found.theirs}", "threshold": ""}
                | minus
                | dict.fromkeys(_cost(found, ""), "")
            )
    return rows


def _span(bounds: Bounds | Interval, scale: float = 1, digits: int = 3, sign: str = "") -> str:
    value, lo, hi = (_scaled(number, scale) for number in (bounds.value, bounds.lo, bounds.hi))
    return wording.span(value, lo, hi, few=getattr(bounds, "few", False), digits=digits, sign=sign)


def _scaled(number: float | None, scale: float) -> float | None:
    return None if number is None or math.isnan(number) else scale * number


def _measure(name: str, bounds: Bounds | Interval, sign: str = "") -> str:
    return _span(bounds, 1000, 0, sign) if name == "flagged" else _span(bounds, sign=sign)


def _cost(found: Migration, name: str) -> dict[str, str]:
    """Return the column of costs, none where no price is stated."""
    if all(cost is None for cost in found.costs.values()):
        return {}
    return {f"{found.currency} per 1,000 posts": wording.quantity(found.costs.get(name))}


def told(found: Migration) -> Iterator[str]:
    """Yield, for a terminal, on which posts the systems disagree where the same share is flagged."""
    for one in found.replaced:
        match = next((match for match in one.matches if match.match == "share" and match.threshold), None)
        for says in (True, False) if match else ():
            posts = [post for post in match.disagreed if post.theirs is says]
            sides = (found.theirs, found.ours) if says else (found.ours, found.theirs)
            count = f"{wording.counted(len(posts), 'post')}, {sum(post.y for post in posts):,} harmful"
            yield f"{one.cut}, same share: {sides[0]} flags and {sides[1]} passes {count}"
            for post in posts[:_SHOWN]:
                yield f"  {_shown(post, found)}"


def _shown(post: Disagreed, found: Migration) -> str:
    words = "".join(mark if mark.isprintable() else " " for mark in found.texts.get(post.post_id, ""))
    words = " ".join(words.split())
    cut = words if len(words) <= _WIDE else f"{words[: _WIDE - 3]}..."
    return f"{post.post_id}  {found.ours} {post.prob:.3f}, {_truth(post)}  {cut}".rstrip()


def _truth(post: Disagreed) -> str:
    return "harmful" if post.y else "harmless"


def numbers(found: Migration) -> pd.DataFrame:
    """Return the table with plain numbers, shares from 0 to 1: a row for each threshold, theirs and ours."""
    rows = []
    for one in found.replaced:
        about = {"label": one.cut.label, "replaces": one.cut.given, "test": found.test, "posts": one.posts}
        about |= {"harmful": one.harmful, "chosen_on": one.chosen_on}
        cost = {} if not _cost(found, "") else {"cost_per_1000": found.costs.get(found.theirs)}
        theirs = {"system": found.theirs, "matched_by": None, "threshold": one.cut.given, **cost}
        rows.append(about | theirs | _flat(one.does))
        cost = dict.fromkeys(cost, found.costs.get(found.ours))
        for match in one.matches:
            at = _flat({"threshold": match.threshold}) if match.threshold else {}
            ours = {"system": found.ours, "matched_by": match.match, "why": match.why or None, **cost}
            minus = _flat({f"minus_{name}": bounds for name, bounds in match.minus.items()})
            rows.append(about | ours | at | _flat(match.does) | minus)
    return pd.DataFrame(rows)


def _flat(measures: Mapping[str, Bounds | Interval]) -> dict[str, float | None]:
    """Return values with their ends as columns: NAME, NAME_lo, NAME_hi."""
    ends = ("value", ""), ("lo", "_lo"), ("hi", "_hi")
    return {f"{name}{end}": getattr(bounds, part) for name, bounds in measures.items() for part, end in ends}


def disagreements(found: Migration) -> pd.DataFrame:
    """Return all posts on which the systems disagree, by threshold and match, each side's surest first."""
    columns = ["label", "replaces", "matched_by", "post_id", "theirs", "ours", "probability", "harmful", "text"]
    rows = [
        (one.cut.label, one.cut.given, match.match, post.post_id, *_sides(post), found.texts.get(post.post_id))
        for one in found.replaced
        for match in one.matches
        for post in match.disagreed
    ]
    return pd.DataFrame(rows, columns=columns)


def _sides(post: Disagreed) -> tuple[str, str, float, str]:
    says = {True: "yes", False: "no"}
    return says[post.theirs], says[not post.theirs], post.prob, says[post.y]


def section(found: Migration) -> Section:
    """Return a table for each threshold, and folded the posts on which the systems disagree, as a section of a page."""
    prose = (
        "Brackets hold 95 % intervals from resamples of whole groups; a difference is paired, "
        f"{found.ours} minus {found.theirs}. A threshold of ours flags at most as many posts, is at least as precise "
        "or catches at least as much."
    )
    tables, folded = {}, {}
    for one in found.replaced:
        frame = pd.DataFrame(lines(found._replace(replaced=(one,)))).drop(columns="label")
        frame = frame.replace({"matched by": {"–": "in use now"}, "system": {f"minus {found.theirs}": "difference"}})
        tables[f"{found.theirs} at {one.cut}"] = frame.set_index(["matched by", "system"])
        for match in one.matches:
            for says, side in ((True, found.theirs), (False, found.ours)):
                posts = [post for post in match.disagreed if post.theirs is says]
                if posts:
                    caption = f"{one.cut}, {_MATCHED[match.match]}: flagged by {side} alone ({len(posts):,})"
                    folded[caption] = _posts(found, match, posts)
    title = f"Which thresholds of {found.ours} replace those of {found.theirs}?"
    points = {"How it was measured": list(sentences(found))}
    return Section("migration", title, prose, points=points, tables=tables, folded=folded)


def _posts(found: Migration, match: Matched, posts: list[Disagreed]) -> pd.DataFrame:
    """Return posts of one side as a table of a page."""
    cells = {
        "probability": [f"{post.prob:.3f}" for post in posts],
        "it is": [_truth(post) for post in posts],
        "text": [found.texts.get(post.post_id, "")[:400] for post in posts],
    }
    frame = pd.DataFrame(cells, index=[post.post_id for post in posts])
    frame.attrs["words"] = ["text"]
    return frame
