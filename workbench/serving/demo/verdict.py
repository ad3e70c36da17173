"""An answer in plain words: the verdict in one sentence, scores against thresholds, what was looked at and what not.

The parts are HTML without a line break, made from numbers, the taxonomy and sentences of ours, all escaped; the text of
a post never goes in. The page shows them through a component that sanitises them again.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from workbench.decisions.policy import LabelRule
from workbench.preprocessing.links.extraction import SAID, ShownLink
from workbench.schema import MODALITIES, Decision, Reason, Taxonomy

LINKS = 5  # links that are named
TITLES = {"text": "Text", "image": "Picture", "video": "Clip"}
_ACTIONS = {"allow": "Allow", "review": "Review by a person", "remove": "Remove"}


@dataclass(frozen=True)
class ShownDecision:
    """What is to be shown of one answer.

    rules: the thresholds that hold for this post, per label. given: the modalities that the post has. unread: per
    modality that could not be read, why. alike: per label, the training posts with it that the post is most like.
    moved: per label, what each number around the post did to its score.
    looks: the modalities that the model looks at. links: those of the text. note: what has to be known of the model
    before it is believed; unreal: whether it says nothing of real posts, so that no colour speaks for its verdict.
    """

    decision: Decision
    taxonomy: Taxonomy
    rules: Mapping[str, LabelRule]
    given: Sequence[str]
    looks: Sequence[str]
    unread: Mapping[str, str] = field(default_factory=dict)
    alike: Mapping[str, Sequence[str]] = field(default_factory=dict)
    moved: Mapping[str, Sequence[str]] = field(default_factory=dict)
    missing: Sequence[str] = ()
    links: Sequence[ShownLink] = ()
    policy_date: str = ""
    note: str = ""
    unreal: bool = False


def safe(text: object) -> str:
    """Return text for HTML: escaped, on one line, without lone surrogates."""
    return html.escape(" ".join(str(text).encode(errors="replace").decode().split()))


def numbers(score: float, thresholds: Sequence[float | None]) -> tuple[str, ...]:
    """Return a score and its thresholds, written with as many decimals (two to six) as tell them apart.

    >>> numbers(0.4096, [0.41, None])
    ('0.4096', '0.4100', '')
    """
    given = [value for value in thresholds if value is not None]
    for places in range(2, 7):
        if all((round(score, places) >= round(value, places)) == (score >= value) for value in given) and all(
            score == value or round(score, places) != round(value, places) for value in given
        ):
            break
    return tuple("" if value is None else f"{value:.{places}f}" for value in (score, *thresholds))


def within(left: timedelta) -> str:
    """Return how much time is left in words: "at once", "within 40 minutes", "within 24 hours"."""
    minutes = round(left.total_seconds() / 60)
    if minutes < 1:
        return "at once"
    hours = round(minutes / 60)
    if minutes < 58:
        return f"within {minutes} minute{'s' * (minutes != 1)}"
    return f"within {hours} hour{'s' * (hours != 1)}"


def sentence(verdict: ShownDecision, now: datetime | None = None) -> str:
    """Return the verdict as one plain sentence: what happens, by when, and why.

    "Review by a person within 1 hour: abuse 0.83 is at or above the review threshold 0.41."
    """
    decision = verdict.decision
    head = _ACTIONS[decision.action]
    if decision.due_at is not None and decision.action == "review":
        head += f" {within(decision.due_at - (now or datetime.now(UTC)))}"
    if decision.action == "allow":
        return f"{head}: {_nothing_met(verdict)}."
    why = "; ".join(
        _clauses(verdict, [reason for reason in decision.reasons if _outcome(verdict, reason) == decision.action])
    )
    return f"{head}: {why}." if why else f"{head}."


def _clauses(verdict: ShownDecision, reasons: Sequence[Reason]) -> list[str]:
    """Return why: the most urgent label in full, others by name; what could not be read; suspicious links; reports."""
    labels = [reason for reason in reasons if reason.kind == "label"]
    whys = [_because(verdict, reason) for reason in labels[:1]]
    if others := [_plain(reason.label) for reason in labels[1:]]:
        whys.append(f"{_listed(others)} reach{'es' * (len(others) == 1)} {'its' if len(others) == 1 else 'theirs'} too")
    whys += [_because(verdict, reason) for reason in reasons if reason.kind in ("unread", "link", "reports")]
    return whys or [_because(verdict, reason) for reason in reasons]


def _listed(names: Sequence[str]) -> str:
    """Return names as a list in words: "a", "a and b", "a, b and c"."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _plain(label: str | None) -> str:
    return (label or "").replace("_", " ")


def _nothing_met(verdict: ShownDecision) -> str:
    if not verdict.decision.scores:
        return "the policy lets pass what the model does not look at"
    several = len(verdict.decision.scores) > 1
    return "every score is below its thresholds" if several else "the score is below its thresholds"


def _outcome(verdict: ShownDecision, reason: Reason) -> str:
    """Return what a reason alone leads to."""
    if reason.kind != "label" or reason.label is None or reason.score is None:
        return "review"
    rule = verdict.rules.get(reason.label)
    met = rule.met(reason.score) if rule else None
    return met[0] if met else "review"


def _because(verdict: ShownDecision, reason: Reason) -> str:
    """Return one reason as a clause without its full stop."""
    if reason.kind == "label" and reason.score is not None and reason.threshold is not None:
        kind = "removal" if _outcome(verdict, reason) == "remove" else "review"
        score, threshold = numbers(reason.score, [reason.threshold])
        return f"{_plain(reason.label)} {score} is at or above the {kind} threshold {threshold}"
    detail = (reason.detail or f"a reason of kind {reason.kind}").strip().rstrip(".")
    return _in_plain_names(detail[:1].lower() + detail[1:])


def _in_plain_names(text: str) -> str:
    return text.replace("the image", "the picture").replace("the video", "the clip")


# ------------------------------------------------------------------------------------------------------------- drawing


def summary(verdict: ShownDecision, now: datetime | None = None) -> str:
    """Return the verdict's heading, with what has to be known of its model."""
    action = verdict.decision.action
    note = f"<p>{safe(verdict.note)}</p>" if verdict.note else ""
    kind = "unreal" if verdict.unreal else action
    return f'<div class="verdict {kind}" role="status"><h2>{safe(sentence(verdict, now))}</h2>{note}</div>'


def told(problem: str) -> str:
    """Return a sentence in the verdict's place: something to mend, or a fault with its id."""
    return f'<div class="verdict told" role="status"><h2>{safe(problem)}</h2></div>'


def scores(verdict: ShownDecision) -> str:
    """Return a table of labels: score, thresholds (as numbers and as marks on a bar) and outcome."""
    names = [label for label in verdict.taxonomy.labels if label.name in (*verdict.decision.scores, *verdict.missing)]
    if not names:
        return ""
    rows = "".join(_row(verdict, label.name, label.title, label.definition) for label in names)
    caption = (
        "Scores against thresholds <small>0: surely not, 1: surely. Thin mark: a person looks from here on. "
        "Thick mark: removed from here on.</small>"
    )
    columns = ("Label", "Score and thresholds", "Outcome")
    head = "".join(f'<th scope="col" role="columnheader">{column}</th>' for column in columns)
    head = f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
    body = f'<tbody role="rowgroup">{rows}</tbody>'  # roles, because narrow screens lay the table out as blocks
    return f'<table class="scores" role="table"><caption>{caption}</caption>{head}{body}</table>'


def _row(verdict: ShownDecision, name: str, title: str, definition: str) -> str:
    head = f"<details><summary>{safe(title)}</summary><p>{safe(definition)}</p></details>"
    score, rule = verdict.decision.scores.get(name), verdict.rules.get(name)
    if score is None:
        return _cells(head, "no score", "review", "Review")
    at = (rule.review_at, rule.remove_at) if rule else (None, None)
    shown, review, remove = numbers(score, at)
    met = rule.met(score) if rule else ("review", 0.0)
    action = met[0] if met else "allow"
    marks = "".join(
        f'<i class="mark {kind}" style="left:{100 * value:.2f}%"></i>'
        for kind, value in zip(("review", "remove"), at, strict=True)
        if value is not None
    )
    bar = f'<div class="bar"><div class="fill {action}" style="width:{100 * score:.2f}%"></div>{marks}</div>'
    note = f"{f'review from {review}' if review else 'no review threshold'} · "
    note += f"remove from {remove}" if remove else _never_removed(rule)
    if rule is None:
        note = "the policy has no rule for this label"
    outcome = {"allow": "Below", "review": "Review", "remove": "Remove"}[action]
    if alike := verdict.alike.get(name):
        note += f" · most like the training posts {_listed(alike)}"
    if moved := verdict.moved.get(name):
        note += f" · against a typical post: {', '.join(moved)}"
    return _cells(head, f'<b class="score">{shown}</b>{bar}<small>{safe(note)}</small>', action, outcome)


def _never_removed(rule: LabelRule | None) -> str:
    """Return why nothing is removed for a label: a precision that is not proven, with the one that is, or no wish."""
    chosen = rule.remove_for if rule else None
    if chosen is None or chosen.at is not None or not chosen.objective.sure:
        return "no removal threshold"
    proven = f", one of {chosen.proven:g} is" if chosen.proven else ""
    return f"nothing is removed: a {chosen.objective}, is not proven{proven}"


def _cells(head: str, middle: str, action: str, outcome: str) -> str:
    end = f'<span class="outcome {action}">{outcome}</span>'
    return (
        f'<tr role="row"><th scope="row" role="rowheader">{head}</th><td role="cell">{middle}</td>'
        f'<td role="cell">{end}</td></tr>'
    )


def looked_at(verdict: ShownDecision) -> str:
    """Return what of the post was read, what could not be read and why, and what this service does not look at."""
    lines = []
    for name in MODALITIES:
        kind = ""
        if name in verdict.unread:
            kind, state = "bad", f"could not be read: {verdict.unread[name]}"
        elif name in verdict.given:
            seen = name in verdict.looks
            kind, state = ("good", "read") if seen else ("bad", "not looked at by this service")
        else:
            state = "none in this post" if name in verdict.looks else "none in this post, and not looked at anyway"
        lines.append(f'<li class="{kind}"><b>{TITLES[name]}</b> {safe(state)}</li>')
    return f'<h3>What was looked at</h3><ul class="looked">{"".join(lines)}</ul>{_links(verdict)}{_others(verdict)}'


def _links(verdict: ShownDecision) -> str:
    """Return where the post's links lead, the first ones in full, and what is to be known of each."""
    items = []
    for link in verdict.links[:LINKS]:
        about = "an embed: the site moderates itself" if link.embed else "suspicious" if link.suspicious else ""
        if others := [SAID.get(sign, sign.replace("_", " ")) for sign in link.signs if sign != "moderated"]:
            about = f"{about or 'seen'}: {', '.join(others)}"
        kind = "bad" if link.suspicious else ""
        items.append(f'<li class="{kind}"><b>{safe(link.host)}</b> {safe(about)}</li>')
    if len(verdict.links) > LINKS:
        items.append(f"<li>and {len(verdict.links) - LINKS} more</li>")
    return f'<h3>Links</h3><ul class="looked">{"".join(items)}</ul>' if items else ""


def _others(verdict: ShownDecision) -> str:
    """Return the other reasons, those that did not decide alone."""
    rest = [reason for reason in verdict.decision.reasons if reason.kind not in ("label", "unread") and reason.detail]
    items = "".join(f"<li>{safe(_in_plain_names(reason.detail or ''))}</li>" for reason in rest)
    return f'<h3>Other reasons</h3><ul class="looked">{items}</ul>' if items else ""


def versions(verdict: ShownDecision) -> str:
    """Return which model scored and which policy decided."""
    dated = f" of {safe(verdict.policy_date)}" if verdict.policy_date else ""
    model, policy = safe(verdict.decision.model_id), safe(verdict.decision.policy_id)
    return f'<p class="versions">Model <code>{model}</code> · Policy <code>{policy}</code>{dated}</p>'


def whole(verdict: ShownDecision, now: datetime | None = None) -> str:
    """Return everything below the verdict's heading."""
    return f'<div class="answer">{scores(verdict)}{looked_at(verdict)}{versions(verdict)}</div>'
