"""What a column of annotations says: yes or no, degrees, classes, lists; as rules of a mapping, one for each label.

Which words mean no harm is guessed from words in a few languages; every guess is a line that people can change.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NamedTuple

from workbench.corpora.files.values import MISSING, NO, YES, lowered
from workbench.corpora.reading.written import SEPARATORS, elements_in
from workbench.studies.init.draft import label_name
from workbench.studies.init.look import FileColumn, plainly, word_set, words_of

MOST_CLASSES, MOST_ELEMENTS = 12, 30
_LONGEST, _LONGEST_ELEMENT = 40, 60  # characters of the name of a class, and of an element of lists
_UNSAID = {"-1", "-1.0"}
_NEGATIVE = word_set(
    "no not non none neither normal neutral safe ok okay clean benign harmless ham nothing negative other "
    "acceptable appropriate allowed allow keep kept approve approved civil nontoxic nothate notoffensive "
    "noharm sfw legit real true nein nao não ei keine aucun ninguno nessuno real genuine inoffensive reject "
    "rejected"
)
_POSITIVE = {"ja", "oui", "si", "sí", "sim", "da", "accept", "accepted", "positive", "x"}
_UNCLEAR = word_set(
    "unsure unclear unknown undecided uncertain maybe skip skipped ignore ignored ambiguous disputed ? dunno "
    "unsicher cannot can't idk"
)
_GENERIC = word_set(
    "is has label labels class classes category categories target gold annotation annotations final majority "
    "vote votes value values score scores probability prob verdict answer answers tag tags type result results "
    "choice choices y decision rating response responses true binary flag flagged judgement judgment column "
    "num mean average avg"
)
_HARMS = word_set(
    "toxic hate hatred hating hateful offens abus insult threat obscen profan violen nud nsfw sexis sexual "
    "racis harass misogyn spam scam misinfo disinfo fake harm unsafe bully propaganda extremis terror attack "
    "slur explicit derogat dehuman aggress hostil porn gore suicid fraud rumor rumour hof stereotyp objectif "
    "shaming toxisch beleid hass"
)


class LabelAnswer(NamedTuple):
    """A label that a column tells: what to call it, the rule without its column ({}: yes or no), and why."""

    label: str
    rule: dict[str, Any]
    why: str
    doubt: str | None = None


def is_hinted(found: FileColumn) -> bool:
    """Say whether a column's name, or a value's, speaks of labels or of harm."""
    return bool({*found.words} & _GENERIC) or is_harm(found.name) or any(map(is_harm, [*found.said][:MOST_ELEMENTS]))


def is_harm(words: str) -> bool:
    """Say whether words speak of a kind of harm.

    >>> is_harm("Hate speech"), is_harm("likes")
    (True, False)
    """
    return len(words) <= _LONGEST and any(word.startswith(stem) for word in words_of(words) for stem in _HARMS)


def answers(found: FileColumn) -> list[LabelAnswer]:
    """Return the labels that a column tells, none where it seems to be no annotation."""
    if found.kind == "lists" or (found.kind == "values" and (listed := _listed(found)) is not None):
        return _by_element(
            found, [[value] * n for value, n in found.counts.items()] if found.kind == "lists" else listed
        )
    if found.kind != "values" or not found.said:
        return []
    if is_yes_no(found):
        return [LabelAnswer(_own_name(found) or "harmful", {}, f"yes or no: {plainly(found.counts)}{_unnamed(found)}")]
    if found.numbers is not None:
        return _by_degree(found)
    return _by_class(found)


def is_yes_no(found: FileColumn) -> bool:
    """Say whether all values of a column are yes or no, and both occur."""
    bits = {value.lower() for value in found.said}
    return bool(bits & {*YES}) and bool(bits & {*NO}) and bits <= {*YES, *NO, *_UNSAID}


def sides(found: FileColumn) -> tuple[list[str], list[str]]:
    """Return the values of a yes or no column that mean yes, and those that mean no."""
    return [v for v in found.said if v.lower() in YES], [v for v in found.said if v.lower() in NO]


def _own_name(found: FileColumn) -> str | None:
    """Return a label's name from a column's, None where that says nothing."""
    last = found.name.rpartition(".")[2]
    words = [word for word in words_of(last) if word not in _GENERIC and not word.isdecimal()]
    return label_name(" ".join(words), []) if words else None


def _unnamed(found: FileColumn) -> str:
    return "" if _own_name(found) else "; the column's name says not of what: rename it"


# ------------------------------------------------------------------------------------------------------------- numbers


def _by_degree(found: FileColumn) -> list[LabelAnswer]:
    """Return a threshold for shares and for few degrees; other numbers are no annotation."""
    low, high, name = min(found.numbers), max(found.numbers), _own_name(found) or "harmful"
    whole = all(number == int(number) for number in found.numbers)
    if 0 <= low < high <= 1 and not whole:
        why = (
            f"{len(found.said):,} values from {low:g} to {high:g}; `soft: true` learns shares instead{_unnamed(found)}"
        )
        return [LabelAnswer(name, {"threshold": 0.5}, why)]
    if not whole or low == high or len(found.said) > MOST_CLASSES or low < -10 or high > 100:
        return []
    threshold = 1 if low == 0 else (low + high) / 2 if low > 0 else 0
    threshold = int(threshold) if threshold == int(threshold) else threshold
    doubt = (
        f"column {found.name!r} holds {plainly(found.counts)}: taken as degrees, from {threshold} on harmful; where "
        "they are classes, list those under `positive` and `negative`"
    )
    return [LabelAnswer(name, {"threshold": threshold}, f"degrees, it seems: {plainly(found.counts)}", doubt)]


# ------------------------------------------------------------------------------------------------------------- classes


def _by_class(found: FileColumn) -> list[LabelAnswer]:
    """Return one label for each class that means harm; what means none is negative for all of them."""
    spelt = _spellings(found.said)
    if len(spelt) > MOST_CLASSES or max(map(len, found.said)) > _LONGEST:
        return []
    unclear = [key for key in spelt if is_unclear(key)]
    negative = [key for key in spelt if key not in unclear and is_negative(key)]
    positive = [key for key in spelt if key not in (*unclear, *negative)]
    if not negative and (nones := [value for value in found.counts if value.lower() == "none"]):
        spelt["none"], negative = nones, ["none"]  # beside classes it is one, not a word for missing
    if not positive:
        return []
    doubt = None
    if not negative and (len(positive) == 1 or not (len(positive) == 2 or any(map(is_harm, positive)))):
        return []  # nothing else, or groups, topics, places
    if len(positive) == 2 and not negative and not any(map(is_harm, positive)):
        total = {key: sum(found.said[value] for value in spelt[key]) for key in positive}
        yes = next((key for key in positive if key in _POSITIVE), min(positive, key=lambda key: (total[key], key)))
        negative, positive = [key for key in positive if key != yes], [yes]
        doubt = (
            f"column {found.name!r} holds {plainly(found.counts)}; {spelt[yes][0]!r}, the rarer, was taken as harmful"
        )
    out = []
    for key in positive:
        others = [value for other in (*negative, *positive) if other != key for value in spelt[other]]
        rule = {"positive": spelt[key], "negative": others}
        rule |= {"unclear": [value for other in unclear for value in spelt[other]]} if unclear else {}
        named = _own_name(found) if len(positive) == 1 else None
        name = (
            named
            if named and (is_harm(named) or key in _POSITIVE)
            else label_name(key, [answer.label for answer in out])
        )
        out.append(LabelAnswer(name, rule, f"its values: {plainly(found.counts)}", doubt))
    return out


def _spellings(counts: dict[str, int]) -> dict[str, list[str]]:
    """Return the values of each class, whatever the case of their letters."""
    spelt: dict[str, list[str]] = {}
    for value in counts:
        spelt.setdefault(" ".join(value.casefold().split()), []).append(value)
    return spelt


def is_negative(value: str) -> bool:
    """Say whether a class seems to mean no harm.

    >>> is_negative("not hateful"), is_negative("non-sexist"), is_negative("NotHate"), is_negative("hate")
    (True, True, True, False)
    """
    first, *more = words_of(value) or [""]
    return (first in _NEGATIVE and (first not in ("other", "true", "real") or not more)) or value.lower() in NO


def is_number(value: str) -> bool:
    """Say whether a value is a number."""
    return re.fullmatch(r"[+-]?\d+(?:\.\d*)?", value) is not None


def is_unclear(value: str) -> bool:
    """Say whether a value seems to mean that somebody could not tell."""
    return bool({*words_of(value)} & _UNCLEAR) or value.strip("? ") == ""


# --------------------------------------------------------------------------------------------------------------- lists


def _listed(found: FileColumn) -> list[list[str]] | None:
    """Return the elements of lists that are written in cells, None where the cells are no lists."""
    cells = list(found.said)
    bracketed = [cell for cell in cells if cell.startswith("[") and cell.endswith("]")]
    if cells and 2 * len(bracketed) > len(cells):
        mark = None
    else:
        mark = separator(cells)
        if mark is None or not any(len(elements_in(cell, mark)) > 1 for cell in cells):
            return None
    rows = [elements_in(cell, mark) for cell in cells]
    counts = Counter(element for row in rows for element in {*row})
    several = [element for row in rows if len(row) > 1 for element in row]
    again = sum(counts[element] > 1 for element in several)
    if (
        not counts
        or max(map(len, counts)) > _LONGEST_ELEMENT
        or len(counts) > MOST_ELEMENTS
        or 2 * again < len(several)
    ):
        return None
    return [row for cell, row in zip(cells, rows, strict=True) for _ in range(found.said[cell])]


def separator(cells: list[str]) -> str | None:
    """Return what parts the elements in cells: the mark that leaves fewest different elements."""
    used = [mark for mark in SEPARATORS if any(mark in cell for cell in cells)]
    left = {mark: len({part for cell in cells for part in elements_in(cell, mark)}) for mark in used}
    return min(left, key=left.get, default=None)


def _by_element(found: FileColumn, rows: list[list[str]]) -> list[LabelAnswer]:
    """Return one label for each element that means harm."""
    counts = Counter(element for row in rows for element in row)
    spelt = _spellings(counts)
    absent = lowered(MISSING)
    positive = [key for key in spelt if not is_negative(key) and not is_unclear(key) and key not in absent]
    if not positive or len(spelt) > MOST_ELEMENTS or max(map(len, spelt)) > _LONGEST_ELEMENT:
        return []
    if all(map(is_number, spelt)) and (found.kind == "values" or not {*spelt} <= {*YES, *NO}):
        return []  # places, counts or codes
    rule: dict[str, Any] = {}
    if found.kind == "values":
        plain_cells = [cell for cell in found.said if not cell.startswith("[")]
        used = [mark for mark in SEPARATORS if any(mark in cell for cell in plain_cells)]
        rule |= {"separator": separator(plain_cells)} if len(used) > 1 else {}
        rule |= {"negative": nones} if (nones := [value for value in found.counts if value.lower() == "none"]) else {}
    unclear = [value for key in spelt if is_unclear(key) for value in spelt[key]]
    rule |= {"unclear": unclear} if unclear else {}
    empty = found.gaps - sum(found.counts[value] for value in rule.get("negative", ()))
    gaps = f"; {empty:,} empty cells stay unknown" if empty > 0 else ""
    out: list[LabelAnswer] = []
    for key in positive:
        name = label_name(key, [answer.label for answer in out])
        out.append(LabelAnswer(name, {"contains": spelt[key], **rule}, f"lists of {plainly(counts)}{gaps}"))
    return out
