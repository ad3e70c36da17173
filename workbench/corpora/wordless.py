"""Posts that bring neither a picture nor a clip nor a word that says something: how many, and why.

They are counted, not dropped: a model scores them all the same, or says that there is nothing to read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import pyarrow as pa

from workbench.preprocessing.text import normalization
from workbench.schema import declared

MISSING = ("nan", "NA", "n/a", "#N/A", "<NA>", "NaT", "None", "null", "-", "")  # as programs write it
LOST = ("[deleted]", "[removed]")  # as sites and archives write it in a text's place
_ABSENT = {word.lower() for word in (*MISSING, *LOST)}
NOTHING, ABSENT, LINKS, MARKS = "nothing in them", "a word for missing", "links and names alone", "no letter in them"


def reasons(table: pa.Table) -> dict[str, int]:
    """Return why -> how many posts, the most frequent first."""
    has = declared(table)
    counts: Counter[str] = Counter()
    alone = ~has["image"] & ~has["video"]
    counts[NOTHING] = int((alone & ~has["text"]).sum())
    counts.update(filter(None, map(why, table["text"].filter(pa.array(alone & has["text"])).to_pylist())))
    return {reason: count for reason, count in counts.most_common() if count}


def why(text: str | None) -> str | None:
    """Return why a text says nothing, or None where it says something.

    >>> why("https://a.example/the"), why("[removed]"), why("?!"), why("go away")
    ('links and names alone', 'a word for missing', 'no letter in them', None)
    """
    written = (text or "").strip()
    if not written:
        return NOTHING
    if written.lower() in _ABSENT:
        return ABSENT
    prose = normalization.prose(written)
    if any(map(str.isalpha, prose)):
        return None
    return MARKS if prose == written else LINKS


def lines(sets: Mapping[str, pa.Table]) -> Iterable[str]:
    """Yield a sentence on each set that has such posts."""
    for name, table in sets.items():
        if counts := reasons(table):
            because = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
            total = f"{sum(counts.values()):,} of {len(table):,} posts"
            yield f"{name}: {total} have no words, picture or clip ({because}); they are scored all the same"
