"""The card of a starter: what it is for, whose posts it learnt from, what it catches of posts that it has not seen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from workbench.decisions.card import table
from workbench.schema import Taxonomy, label_matrix
from workbench.starter.recipe import Recipe

WORST = 12  # identities that are shown, those with most false alarms first


def about(
    recipe: Recipe,
    taxonomy: Taxonomy,
    posts: Mapping[str, pa.Table],
    held_out: Mapping[str, dict[str, Any]],
    unseen: Mapping[str, dict[str, Any]],
    kinds: Mapping[str, list[dict[str, Any]]],
    identities: Mapping[str, list[dict[str, Any]]],
) -> dict[str, Any]:
    """Return the bundle's card: facts as every bundle has them, and sections of its own as Markdown.

    held_out, unseen: what `measured.worth` says of each set; kinds and identities: what `by_kind` and `by_identity` do.
    """
    k, counted = taxonomy.names.index(recipe.label), {}
    for name, part in posts.items():
        counted[name] = len(part), int(label_matrix(part, taxonomy)[0][:, k].sum())
    measured = {"sets held out": held_out, "unseen": unseen, "kinds": kinds, "identities": identities}
    return {
        "made": dt.date.today().isoformat(),
        "seed": recipe.seed,
        "posts": {name: n for name, (n, _) in counted.items()},
        "purpose": recipe.purpose,
        "starter": measured,
        "sections": {
            "Made of": "\n".join(_sources(recipe, counted)),
            "On sets that it has not seen": "\n".join(_worth(held_out, unseen)),
            **{f"By kind of case: {name}": "\n".join(_kinds(rows)) for name, rows in kinds.items() if rows},
            **{f"By identity: {name}": "\n".join(_identities(rows)) for name, rows in identities.items() if rows},
        },
    }


def _sources(recipe: Recipe, counted: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    yield "Openly licensed posts; none of them is stored, only weights of hashed n-grams and marks of hashed words."
    yield "All sets, and both classes of each, count alike in training and for the threshold."
    yield ""
    head = ("set", "what", "posts", "harmful", "licence", "by")
    rows = [
        (name, recipe.sets[name].title, f"{n:,}", f"{harmful:,}", recipe.sets[name].licence, recipe.sets[name].by)
        for name, (n, harmful) in counted.items()
    ]
    yield from table(head, rows)


def _worth(held_out: Mapping[str, dict[str, Any]], unseen: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    yield "Each set of its own by a model of the other sets alone, then sets that nothing was learnt from or chosen on."
    yield "AUROC with its 95 % interval by groups of near-duplicates; reviewed: the share that a person would look at."
    yield "Not judged: texts that were taken for another language, which a person looks at too."
    yield ""
    head = ("set", "posts", "harmful", "AUROC", "harmful reviewed", "harmless reviewed", "not judged")
    named = {**{f"{name}, held out": found for name, found in held_out.items()}, **unseen}
    yield from table(head, [_row(name, found) for name, found in named.items()])


def _row(name: str, found: dict[str, Any]) -> Sequence[str]:
    auroc = "{:.3f} [{:.3f}, {:.3f}]".format(*found["auroc"])
    shares = [_percent(found[key]) for key in ("caught", "alarms", "not_judged")]
    return (name, f"{found['posts']:,}", f"{found['harmful']:,}", auroc, *shares)


def _kinds(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "Of each kind of case the share that a person would look at: right would be all of the harmful ones and none"
    yield "of the harmless ones."
    yield ""
    cells = [
        (row["kind"], "harmful" if row["harmful"] else "harmless", str(row["posts"]), _percent(row["reviewed"]))
        for row in sorted(rows, key=lambda row: (not row["harmful"], row["kind"]))
    ]
    yield from table(("kind", "is", "cases", "reviewed"), cells)


def _identities(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    most = f"({min(WORST, len(rows))} of {len(rows)})"
    yield f"Sentences that mention an identity, those with most false alarms first {most}."
    yield "Where the columns differ between identities, the word alone moves the score."
    yield ""
    cells = [
        (row["identity"], f"{row['posts']:,}", _percent(row["alarms"]), _percent(row["caught"])) for row in rows[:WORST]
    ]
    yield from table(("identity", "posts", "harmless reviewed", "harmful reviewed"), cells)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"
