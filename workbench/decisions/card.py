"""What people should know of a bundle: its README, and the text of `workbench bundle show`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from workbench.decisions import bundle
from workbench.decisions.drawn import Drawn
from workbench.decisions.policy import Policy
from workbench.metrics.calibration import calibrator
from workbench.preprocessing.text.languages import named

_ACTIONS = ("review", "remove")


def readme(head: dict[str, Any], policy: Policy) -> str:
    """Return the model card as Markdown."""
    return "\n".join(_lines(head, policy))


def show(folder: Path | str) -> str:
    """Return what a bundle holds, after holding every file against its manifest; raises WorkbenchError otherwise.

    The policy is the one that lies in the folder now, which staff may have changed since the bundle was made.
    """
    folder = Path(folder)
    head = bundle.read(folder)
    policy = Policy.load(folder / bundle.POLICY)
    policy.check(head["labels"], f"the bundle in {folder}")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    files = f"{len(head['files'])} files agree with the manifest, {size / 2**20:.1f} MiB in all; {folder}"
    measured = [f"- {one.words}" for one in bundle.memory(folder).values()]
    taken = measured or [f"Not measured; `workbench bench memory {folder}` does it."]
    return "\n".join([*_lines(head, policy), "", "## Memory in serving", "", *taken, "", "## Files", "", files])


def _lines(head: dict[str, Any], policy: Policy) -> Iterator[str]:
    card = head["card"]
    yield from _what(head, policy)
    yield from ("", "## Thresholds", "")
    rows = [(label, _at(rule.review_at), _at(rule.remove_at)) for label, rule in policy.labels.items()]
    yield from table(("label", "review from", "remove from"), rows)
    reactive = [label["name"] for label in head["taxonomy"]["labels"] if label.get("mode") == "reactive"]
    if waiting := [label for label in policy.waiting(reactive) if policy.labels[label].remove_at is not None]:
        yield from ("", f"Of {_listed(waiting)} nothing is removed before a person has looked: it acts on a signal.")
    chosen = any(rule.review_for or rule.remove_for for rule in policy.labels.values())
    did = "What they were chosen for, and did on the validation posts that they were chosen on:"
    yield from ("", did if chosen else "They were chosen on no posts:", "")
    for label, rule in policy.labels.items():
        yield from (
            f"- {label}, {action}: {' '.join([f'{rule.says(action)}.', *rule.adds(action)])}" for action in _ACTIONS
        )
    yield from (f"- Other thresholds hold for {override}." for override in policy.overrides)
    for name, labels in sorted(card.get("measured", {}).items()):
        for mix, words in _MIXES.items():
            rows = [_measured(label, labels[label], mix) for label in head["labels"]]
            if mix == "sample" or any(_recorded(labels[label], mix) for label in head["labels"]):
                yield from ("", f"## Measured on {name}{words}", "")
                yield from table(_MEASURED, rows)
    for title, section in card.get("sections", {}).items():
        yield from ("", f"## {title}", "", section)
    yield from ("", "## Probabilities", "")
    if _of_no_posts(head):
        yield "They are not calibrated: how many posts with a score have the label is not known."
    else:
        yield "They are calibrated on validation and hold where harm is as frequent as it was there."
    drawn = head.get("drawn", {})  # earlier versions did not record it
    otherwise = [label for label in head["labels"] if label in drawn and not drawn[label]["by_label"]]
    if head.get("at_site"):
        yield "Then they were calibrated by the weights of validation, so that they hold at the site's mix of posts."
    elif otherwise:
        yield f"Validation was drawn by more than {_listed(otherwise)}, so no ratio of shares leads to the site;"
        yield "`workbench bundle move BUNDLE --site -o FOLDER` serves what is calibrated by its weights."
    yield ""
    yield from table(("label", "hold at", "moved to", "calibration"), _probabilities(head))
    yield from ("", "## Made from", "")
    yield from table(("what", "value"), _made(head))
    yield from ("", "## Limits", "")
    if chosen:
        yield "- What a threshold did on validation flatters it, as it was chosen there; the test set says more."
        yield "- What is proven is proven of posts drawn as those of validation were, one of each near-duplicate group."
    yield "- Intervals take groups of near-duplicates as one piece of evidence; `few` is what rests on few of them."
    yield "- Nothing is known of languages, communities and kinds of content that the training posts lacked."
    yield "- `Moderator.load(folder)` of `workbench.decisions.moderator` loads it; loading runs no code of the bundle."


def _what(head: dict[str, Any], policy: Policy) -> Iterator[str]:
    """Yield what the bundle is for, what it looks at and what it leaves to people."""
    card = head["card"]
    yield f"# {head['model_id']}"
    yield ""
    if card.get("purpose"):
        yield from (f"**{card['purpose']}**", "")
    yield f"A `{head['model']}` that looks at {_listed(head['modalities']) or 'nothing of a post'} and decides about "
    yield f"{_listed(head['labels']) or 'no label'}, under policy `{policy.id}` of {policy.date.isoformat()}."
    if head["out_of_scope"]:
        why = "" if _of_no_posts(head) else ": no training post has it"
        yield f"It says nothing about {_listed(head['out_of_scope'])}{why}."
    if head.get("languages"):
        yield f"It reads {_listed([named(tag) for tag in head['languages']])}: a text that is declared to be in another"
        yield "language, or looks so, is not judged and goes to a person; one that is too short to tell is judged."
    unseen = "let through" if policy.unseen == "allow" else "sent to a person"
    yield f"A post that it cannot read is sent to a person; content that it does not look at is {unseen}."


def _of_no_posts(head: dict[str, Any]) -> bool:
    """Say whether no posts with labels made or calibrated the model, so that nobody knows where its scores hold."""
    return bool(head["labels"]) and all(head["prevalence"][label] is None for label in head["labels"])


_MEASURED = (
    "label",
    "posts",
    "harmful",
    "average precision",
    "review: precision",
    "recall",
    "remove: precision",
    "recall",
)


_MIXES = {"sample": "", "site": ", by the site's own mix of posts"}


def _measured(label: str, measures: dict[str, Any], mix: str) -> Sequence[str]:
    shares = [_share(measures.get(action), name, mix) for action in _ACTIONS for name in ("precision", "recall")]
    posts = f"{measures['n']:,}" + (f" (+{measures['unscored']:,} unscored)" if measures["unscored"] else "")
    ranked = _at(measures["average_precision"]) if mix == "sample" else "–"
    return (label, posts, f"{measures['positives']:,}", ranked, *shares)


def _recorded(measures: dict[str, Any], mix: str) -> bool:
    return any((measures.get(action) or {}).get(mix) for action in _ACTIONS)


def _share(action: dict[str, Any] | None, name: str, mix: str) -> str:
    shares = (action or {}).get(mix) or {}
    if mix == "sample" and action and f"{name}_interval" in action:  # as bundles had it first
        shares = {name: action[name] and (action[name], *action[f"{name}_interval"])}
    if not shares.get(name):
        return "–"
    return "{:.2f} [{:.2f}, {:.2f}]".format(*shares[name]) + (" few" if shares.get("few") else "")


def _probabilities(head: dict[str, Any]) -> list[Sequence[str]]:
    rows = []
    for label in head["labels"]:
        words, serving = calibrator(head["calibration"][label]).words, head["serving"].get(label)
        if head.get("at_site") and label in head["drawn"]:
            drawn = Drawn.parse(head["drawn"][label])
            words, serving = f"{words}, then {drawn.line.words}", drawn.share
        rows.append((label, _percent(head["prevalence"][label]), _percent(serving), words))
    return rows


def _made(head: dict[str, Any]) -> list[Sequence[str]]:
    card, labels = head["card"], [label["name"] for label in head["taxonomy"]["labels"]]
    peak = ", ".join(f"{name} {size:,.0f} MB" for name, size in sorted(card.get("peak_mb", {}).items()))
    facts = {
        "made": card.get("made"),
        "options": json.dumps(head["options"], sort_keys=True)[1:-1].replace('"', ""),
        "posts": ", ".join(f"{name} {n:,}" for name, n in sorted(card.get("posts", {}).items())),
        "seed": card.get("seed"),
        "data": ", ".join(f"{name} {digest}" for name, digest in sorted(card.get("digests", {}).items())),
        "computed on": ", ".join(filter(None, (card.get("device"), card.get("dtype")))),
        "peak memory in training": peak,
        "taxonomy": f"{head['taxonomy']['fingerprint']} ({', '.join(labels)})",
    }
    return [(name, "not recorded" if value in (None, "") else str(value)) for name, value in facts.items()]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a Markdown table whose columns line up where it is read as plain text."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (head, *rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    lines = [
        "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    yield lines[0]
    yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    yield from lines[1:]


def _at(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2g} %"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)
