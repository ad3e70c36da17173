"""Time leaks: what a post cannot have known when it was posted, as far as a corpus's own fields can tell.

Checked: times in the future; test posts that are no later than the last training post, where the study claims that they
are; accounts younger than nothing; counts below zero; more removals than posts; an author whose account does not grow
older from post to post as the calendar does, or whose earlier posts, reports or removals become fewer: such features
were read later than the post was made. Not checkable from a corpus: whether reactions, reports and impressions were
counted when the post was scored or later, and what else of the author was read when.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.corpora.splits import SPLITS
from workbench.evidence.audit.relations import EXAMPLES, FITTED

SLACK_DAYS = 2.0
"""An account's age may differ from the calendar by so much, for time zones and rounding."""
_COUNTS = (
    ("author", ("posts", "prior_reports", "prior_removals")),
    ("engagement", ("reactions", "reports", "impressions")),
)


def look(
    sets: Mapping[str, pa.Table], *, later_tests: bool = False, now: dt.datetime | None = None
) -> dict[str, dict[str, Any]]:
    """Return the finding `time`: posts of a study's own sets with something that their time forbids.

    later_tests: whether the split claims that test posts are later than all training posts; now: what counts as the
    future, by default the present. `overlap` counts kinds of faults, `of` the kinds that could be checked; `kinds`
    says for each how many posts are concerned, None where the fields are missing.
    """
    own = {name: sets[name] for name in SPLITS if name in sets}
    posts = pd.concat([_facts(table, name) for name, table in own.items()], ignore_index=True)
    faults = _faults(posts, now or dt.datetime.now(dt.UTC)) | (
        {"test post before the last training post": _early(posts)} if later_tests else {}
    )
    wrong = np.zeros(len(posts), bool)
    examples, kinds = [], {}
    for kind, rows in faults.items():
        kinds[kind] = None if rows is None else int(rows.sum())
        if kinds[kind]:
            wrong |= rows
            shown = posts[rows].iloc[0]
            examples.append({"content": f"{kind} ({kinds[kind]:,} posts)", "posts": [[shown["set"], shown["post_id"]]]})
    checked = [count for count in kinds.values() if count is not None]
    return {
        "time": {
            "overlap": sum(count > 0 for count in checked),
            "of": len(checked),
            "posts": int(wrong.sum()),
            "examples": examples[:EXAMPLES],
            "kinds": kinds,
        }
    }


def _facts(table: pa.Table, name: str) -> pd.DataFrame:
    """The fields that are looked at, one row per post."""
    columns = {"post_id": table["post_id"].to_pylist(), "set": [name] * len(table)}
    seconds = pc.cast(table["created_at"], pa.int64())
    columns["day"] = pc.cast(seconds, pa.float64(), safe=False).to_numpy() / 86_400e6
    columns["author"] = pc.struct_field(table["author"], "id").to_pylist()
    columns["age"] = pc.struct_field(table["author"], "account_age_days").to_numpy()
    for field, names in _COUNTS:
        for key in names:
            columns[f"{field}.{key}"] = pc.cast(pc.struct_field(table[field], key), pa.float64()).to_numpy()
    return pd.DataFrame(columns)


def _faults(posts: pd.DataFrame, now: dt.datetime) -> dict[str, np.ndarray | None]:
    """Return kind of fault -> which posts have it, bool (n_posts,), or None where nothing could be checked."""
    counts = [f"{field}.{name}" for field, names in _COUNTS for name in names]
    day = posts["day"].to_numpy()
    faults = {
        "posted in the future": _where(day > now.timestamp() / 86_400 + SLACK_DAYS, posts[["day"]]),
        "account opened after the post": _where(posts["age"].to_numpy() < 0, posts[["age"]]),
        "count below zero": (posts[counts] < 0).any(axis=1).to_numpy()
        if posts[counts].notna().any(axis=None)
        else None,
        "more removals than posts": _where(
            posts["author.prior_removals"].to_numpy() > posts["author.posts"].to_numpy(),
            posts[["author.prior_removals", "author.posts"]],
        ),
    }
    steps = posts.sort_values(["author", "day"])  # by several columns it is stable
    again = (steps["author"].notna() & (steps["author"] == steps["author"].shift())).to_numpy()
    elapsed = steps["day"].diff().to_numpy()
    grown = steps["age"].diff().to_numpy()
    checks = {"account age that does not follow the calendar": (np.abs(grown - elapsed) > SLACK_DAYS, grown * elapsed)}
    for name in ("posts", "prior_reports", "prior_removals"):
        change = steps[f"author.{name}"].diff().to_numpy()
        checks[f"author's {name.replace('_', ' ')} become fewer"] = ((change < 0) & (elapsed > 0), change * elapsed)
    for kind, (fault, known) in checks.items():
        checkable = again & ~np.isnan(known)
        rows = np.zeros(len(posts), bool)
        rows[steps.index.to_numpy()[fault & checkable]] = True
        faults[kind] = rows if checkable.any() else None
    return faults


def _where(fault: np.ndarray, fields: pd.DataFrame) -> np.ndarray | None:
    return fault if fields.notna().all(axis=1).any() else None


def _early(posts: pd.DataFrame) -> np.ndarray | None:
    """Return which test posts are no later than the last training or validation post, None without times."""
    fitted = posts["set"].isin(FITTED) & posts["day"].notna()
    if not fitted.any() or not posts.loc[posts["set"] == "test", "day"].notna().any():
        return None
    return ((posts["set"] == "test") & (posts["day"] <= posts.loc[fitted, "day"].max())).to_numpy()
