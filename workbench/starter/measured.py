"""What a moderator is worth on a set of posts that it did not learn from, as plain numbers for its card."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.decisions.fitting import group_names
from workbench.decisions.moderator import Moderator
from workbench.metrics.classification import Curve
from workbench.metrics.intervals import bootstrap, group_codes, value_interval
from workbench.metrics.ranking import Ranking
from workbench.preprocessing.text.identities import Identities
from workbench.schema import inputs, label_matrix

RESAMPLES = 500
LEAST_POSTS = 50  # harmless posts that mention an identity, for a share of them to be told


class Scored(NamedTuple):
    """Posts that know the label: y, whether a person would look, log-odds, whether it was judged, each (n,)."""

    y: np.ndarray
    flagged: np.ndarray
    log_odds: np.ndarray
    judged: np.ndarray


def scored(moderator: Moderator, posts: pa.Table, label: str) -> Scored:
    """Return what a moderator says of posts that know a label; a text that is not judged is one a person looks at."""
    k = moderator.taxonomy.names.index(label)
    y, known = (part[:, k] for part in label_matrix(posts, moderator.taxonomy))
    assert known.all()
    prob = moderator.probabilities(posts)[:, k]
    logits = moderator.classifier.logits(inputs(posts))[:, k]
    at = moderator.policy.labels[label].flags_from
    flagged = np.isnan(prob) | (prob >= (np.inf if at is None else at))
    return Scored(y > 0.5, flagged, logits.astype(np.float64), ~np.isnan(prob))


def worth(one: Scored, posts: pa.Table) -> dict[str, Any]:
    """Return how many scored posts there are and are harmful, AUROC with its 95 % interval by groups, and three shares.

    They are those of harmful and of harmless posts that are reviewed, and of all that are not judged.
    """
    codes, groups = group_codes(group_names(posts))
    there = ~np.isnan(one.log_odds)
    ranking = Ranking.build(one.y, one.log_odds, codes, groups, known=there)
    draws = bootstrap(lambda W: ranking.values(W, (Curve.roc_auc,))[0], groups, RESAMPLES, seed=0, rows=ranking.rows)
    low, high = value_interval(draws)
    return {
        "posts": len(one.y),
        "harmful": int(one.y.sum()),
        "auroc": [round(float(value), 3) for value in (draws[0], low, high)],
        "caught": share(one.flagged[one.y]),
        "alarms": share(one.flagged[~one.y]),
        "not_judged": share(~one.judged),
    }


def by_kind(one: Scored, posts: pa.Table) -> list[dict[str, Any]]:
    """Return per kind of case (`functionality`) whether it is harmful, how many there are, and the share reviewed."""
    if "meta" not in posts.column_names or posts.schema.field("meta").type.get_field_index("functionality") < 0:
        return []
    kinds = np.array(pc.struct_field(posts["meta"], "functionality").to_pylist())
    return [
        {
            "kind": str(kind),
            "harmful": bool(one.y[kinds == kind].mean() > 0.5),
            "posts": int((kinds == kind).sum()),
            "reviewed": share(one.flagged[kinds == kind]),
        }
        for kind in dict.fromkeys(kinds.tolist())
    ]


def by_identity(one: Scored, posts: pa.Table) -> list[dict[str, Any]]:
    """Return per identity the shares of harmless and harmful posts that mention it which are reviewed."""
    known, rows = Identities.load(), []
    mentions = known.mentions(posts["text"]).to_pylist()
    for name in known.identities:
        has = np.array([name in (found or ()) for found in mentions])
        if (has & ~one.y).sum() >= LEAST_POSTS and (has & one.y).sum() >= LEAST_POSTS:
            shares = {"alarms": share(one.flagged[has & ~one.y]), "caught": share(one.flagged[has & one.y])}
            rows.append({"identity": name, "posts": int(has.sum()), **shares})
    return sorted(rows, key=lambda row: -row["alarms"])


def share(flags: np.ndarray) -> float | None:
    """Return the share of flags (n,) bool that are set; None of none."""
    return round(float(flags.mean()), 3) if len(flags) else None
