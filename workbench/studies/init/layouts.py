"""Layouts of published data sets and of annotation tools, known by the columns that only they have together.

Sources: Hateful Memes (arXiv 2005.04790), Jigsaw (Kaggle 2018 and 2019), Davidson et al. 2017 (arXiv 1703.04009),
MMHS150K (arXiv 1910.03814), MAMI (SemEval 2022, task 5), Fakeddit (arXiv 1911.03854), HarMeme (arXiv 2110.00413),
Pushshift's dumps of Reddit, the export formats of Label Studio, Argilla and Prodigy.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workbench.corpora.files.values import MISSING
from workbench.studies.init.answers import LabelAnswer, answers
from workbench.studies.init.draft import Draft, label_name
from workbench.studies.init.fields import take_ids, take_paths
from workbench.studies.init.labels import holds
from workbench.studies.init.look import Contents, FileColumn, plainly

Finish = Callable[[Contents, Draft], None]
_GONE = ("[deleted]", "[removed]")
_STATUS = {"submitted", "draft", "discarded", "pending"}
_ABOUT_RESPONSES = {"status", "user_id", "users", "inserted_at", "updated_at", "id", "suggestion"}


@dataclass(frozen=True)
class Layout:
    """One layout: the columns that tell it, what its columns are, its labels, and what needs a look at the file."""

    name: str
    needs: str
    corpus: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, Any] = field(default_factory=dict)
    votes: dict[str, Any] = field(default_factory=dict)
    finish: Finish = lambda seen, draft: None
    note: str = ""
    value: tuple[str, str] | None = None  # a column, and what must occur in it
    tells: Callable[[Contents], Any] = lambda seen: True  # what else must be so
    doubt: str = ""  # what else the file may be
    skip: tuple[str, ...] = ()


def recognize(seen: Contents, draft: Draft) -> None:
    """Fill in what the layout says that the file is in, if any."""
    known = next((layout for layout in LAYOUTS if _fits(layout, seen)), None)
    if known is None:
        return
    draft.layout, draft.skip = known.name, known.skip
    draft.open += [known.doubt] if known.doubt else []
    for key, value in known.corpus.items():
        if isinstance(value, str) and key in ("post_id", "text", "author", "created_at", "community"):
            if key == "post_id" and value in seen.columns:
                take_ids(seen, draft, seen.columns[value])
            elif value in seen.columns and seen.columns[value].kind != "nothing":
                draft.set(key, value, f"as in {known.name}")
        else:
            draft.set(key, value, f"as in {known.name}")
    for origin, rules in (("labels", known.labels), ("votes", known.votes)):
        for label, rule in rules.items():
            columns = rule.get("columns") or [rule["column"]] if isinstance(rule, dict) else [rule]
            there = all(column in seen.columns and seen.columns[column].said for column in columns)
            if there and (origin == "votes" or holds(seen.columns[columns[0]], rule, draft)):
                draft.label(label, origin, rule, known.note or f"as in {known.name}")
    known.finish(seen, draft)


def _fits(layout: Layout, seen: Contents) -> bool:
    there = {*layout.needs.split()} <= {*seen.columns}
    return bool(
        there and (layout.value is None or layout.value[1] in seen.columns[layout.value[0]].said) and layout.tells(seen)
    )


def _picture(column: str) -> Finish:
    """Return what takes a column of picture names where the pictures are there."""

    def finish(seen: Contents, draft: Draft) -> None:
        take_paths(seen, draft, "image", seen.columns[column])

    return finish


# ---------------------------------------------------------------------------------------------------- annotation tools


def _questions(seen: Contents, draft: Draft, columns: dict[str, str], many: Callable[[FileColumn], bool]) -> None:
    """Take answers of several people in each cell, by question: votes, or lists where one person may say several."""
    for question, name in columns.items():
        found = seen.columns[name]
        for answer in answers(found):
            rule, why = _of_people(found, answer, many(found))
            taken = label_name(answer.label if not _is_bit(answer) else question, draft.labels)
            draft.label(taken, "labels" if "contains" in rule else "votes", rule, why)


def _is_bit(answer: LabelAnswer) -> bool:
    return answer.label in ("true", "yes", "label_1")


def _of_people(found: FileColumn, answer: LabelAnswer, many: bool) -> tuple[dict[str, Any], str]:
    if many or "contains" not in answer.rule:
        none = "; a post without any counts as no" if any(row == [] for row in found.cells.to_pylist()) else ""
        return {"column": found.name, **answer.rule}, f"{answer.why}{none}"
    positive, unclear = answer.rule["contains"], answer.rule.get("unclear", [])
    negative = [value for value in found.counts if value not in (*positive, *unclear)]
    rule = {"columns": [found.name], "positive": positive, **({"negative": negative} if negative else {})}
    return {**rule, **({"unclear": unclear} if unclear else {})}, f"{answer.why}; most answers decide"


def _label_studio(seen: Contents, draft: Draft) -> None:
    inner = "annotations.result.value.choices"
    skipped = seen.columns["annotations.was_cancelled"].counts.get("true") if _skips(seen) else None
    texts = [name for name, found in seen.columns.items() if name.startswith("data.") and found.kind == "values"]
    wordy = max(texts, key=lambda name: seen.columns[name].length, default=None)
    if wordy and any(" " in value for value in seen.columns[wordy].said):
        draft.set("text", wordy, "the task's words")
    if inner in seen.columns and seen.columns[inner].kind == "lists":
        given = seen.columns["annotations.result"].cells.to_pylist()
        several = any(len(result.get("value", {}).get("choices") or ()) > 1 for row in given for result in row or ())
        if skipped:
            inner = seen.add(inner.replace("annotations", "annotations[was_cancelled=false]"))
            draft.tell(f"{skipped:,} annotations that were skipped do not count")
        _questions(seen, draft, {"harmful": inner}, lambda found: several)
    elif not draft.labels:
        draft.tell("the Label Studio export has no choices; ratings, spans and boxes are not read as labels")


def _skips(seen: Contents) -> bool:
    return "annotations.was_cancelled" in seen.columns and seen.columns["annotations.was_cancelled"].kind == "lists"


def _argilla(seen: Contents, draft: Draft) -> None:
    texts = [name for name in seen.columns if name.startswith("fields.") and seen.columns[name].kind == "values"]
    if texts:
        draft.set("text", max(texts, key=lambda name: seen.columns[name].length), "the record's longest field")
    asked, statuses = {}, _statuses(seen)
    for name, found in seen.columns.items():
        match = re.fullmatch(r"responses\.(\w+)\.value|(\w+)\.responses", name)
        if match and found.kind == "lists":
            asked[match[1] or match[2]] = name
    for status in statuses:
        place = status.removesuffix(".status")
        asked = {question: name for question, name in asked.items() if not f"{name}.".startswith(f"{place}.")}
    for status in statuses:
        asked |= _submitted(seen, draft, status)
    _questions(seen, draft, asked, lambda found: False)


def _statuses(seen: Contents) -> list[str]:
    """Return the columns with the status of each response of a record."""
    lists = {name: found.counts for name, found in seen.columns.items() if found.kind == "lists"}
    return [
        name
        for name, counts in lists.items()
        if name.endswith(".status")
        and counts
        and {*counts} <= _STATUS
        and ("submitted" in counts or "responses" in name)
    ]


def _submitted(seen: Contents, draft: Draft, status: str) -> dict[str, str]:
    """Return the columns of answers beside a status by question: those that were submitted, where others are too."""
    place = status.removesuffix(".status")
    others = {word: count for word, count in seen.columns[status].counts.items() if word != "submitted"}
    inside = [name for name in seen.columns if name == place or name.startswith(f"{place}.")]
    if "submitted" not in seen.columns[status].counts:
        draft.tell(f"no response was submitted ({plainly(others)}), so {place!r} is no label")
        draft.no_labels += inside
        return {}
    asked = {}
    for name in inside:
        words = [word for word in name.split(".") if word not in ("responses", "values", "value")]
        if seen.columns[name].kind != "lists" or words[-1] in _ABOUT_RESPONSES:
            continue
        chosen = f"{place}[status=submitted]{name.removeprefix(place)}" if others else name
        seen.add(chosen)
        asked[words[-1]] = chosen
    if others and asked:
        draft.tell(f"responses that are no answers yet do not count: {plainly(others)}")
    return asked


def _prodigy(seen: Contents, draft: Draft) -> None:
    verdict = seen.columns["answer"]
    repeated = len(seen.columns["_input_hash"].counts) < len(verdict.cells)
    if "accept" in seen.columns and seen.columns["accept"].kind == "lists":
        rules = {answer.label: {"column": "accept", **answer.rule} for answer in answers(seen.columns["accept"])}
        why = "options that were picked; a post without any counts as no"
        if set(verdict.said) - {"accept"}:
            draft.tell("posts whose `answer` is reject or ignore count by their options too; remove those rows")
    else:
        named = [*seen.columns["label"].said] if "label" in seen.columns else ["harmful"]
        if len(named) > 1:
            draft.tell(f"`answer` is about {len(named)} labels ({', '.join(named[:4])}): write one file for each")
            return
        rule = {"column": "answer", "positive": ["accept"], "negative": ["reject"], "unclear": ["ignore"]}
        rules, why = {label_name(named[0], []): rule}, "accepted, rejected or ignored"
    if repeated:
        who = next((name for name in ("_annotator_id", "_session_id") if name in seen.columns), None)
        rows = {"item": "_input_hash", **({"who": who} if who else {}), "label": rules}
        draft.set("annotators", rows, "one row for each annotator")
        draft.why |= {f"label {label}": why for label in rules}
    else:
        draft.set("post_id", "_input_hash", "as in Prodigy")
        for label, rule in rules.items():
            draft.label(label, "labels", rule, why)


# ----------------------------------------------------------------------------------------------------------- data sets


def _reddit(seen: Contents, draft: Draft) -> None:
    draft.set("missing", [*MISSING, *_GONE], "authors and texts that are gone stand for nobody")
    words = {name: seen.columns[name] for name in ("title", "selftext", "body") if name in seen.columns}
    left = {
        name: sum(count for value, count in found.said.items() if value not in _GONE)
        for name, found in words.items()
        if found.kind == "values"
    }
    used = [name for name, count in left.items() if count]
    if len(used) > 1:
        why = "; ".join(f"{name} of {left[name]:,} rows" for name in used)
        draft.set("text", used, f"{why}; what is gone or empty is left out, so that a link's text is its title")
    elif used:
        own = words[used[0]]
        gone = sum(own.said.get(word, 0) for word in _GONE)
        draft.set("text", own.name, f"as in Reddit's dumps; {gone:,} of {len(own.cells):,} are [deleted] or [removed]")
        if gone:
            draft.tell(f"{gone:,} texts are [deleted] or [removed]; they are posts with these words: remove the rows")


def _mmhs(seen: Contents, draft: Draft) -> None:
    take_paths(seen, draft, "image", seen.columns["key"])


LAYOUTS = (
    Layout(
        "Hateful Memes",
        "id img text",
        {"post_id": "id", "text": "text"},
        {"hateful": "label"},
        finish=_picture("img"),
        note="1 is hateful, in Hateful Memes",
        doubt="`id`, `img` and `text` are the columns of Hateful Memes, and of other memes published in its layout: if "
        "their `label` says something else than hateful, rename the label",
    ),
    Layout(
        "Jigsaw's unintended bias",
        "comment_text target severe_toxicity",
        {"post_id": "id", "text": "comment_text"},
        {
            ("toxicity" if name == "target" else name): {"column": name, "threshold": 0.5}
            for name in (
                *("target", "severe_toxicity", "obscene", "identity_attack", "insult", "threat"),
                *("sexual_explicit",),
            )
        },
        note="the share of annotators who say so; from half on",
    ),
    Layout(
        "Jigsaw's toxic comments",
        "comment_text toxic severe_toxic obscene threat insult identity_hate",
        {"post_id": "id", "text": "comment_text"},
        {name: name for name in ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")},
        note="0 or 1; -1, which Kaggle did not score, stays unknown",
    ),
    Layout("a Label Studio export", "id data annotations", {"post_id": "id"}, finish=_label_studio),
    Layout("an Argilla export", "id fields responses", {"post_id": "id"}, finish=_argilla),
    Layout("an Argilla export", "id", {"post_id": "id"}, finish=_argilla, tells=_statuses),
    Layout("a Prodigy export", "text _input_hash answer", {"text": "text"}, finish=_prodigy),
    Layout(
        "Fakeddit",
        "clean_title 2_way_label",
        {"post_id": "id", "text": "clean_title", "author": "author", "created_at": "created_utc"}
        | {"missing": [*MISSING, *_GONE]},
        {"misinformation": {"column": "2_way_label", "positive": [0], "negative": [1]}},
        finish=_picture("id"),
        skip=("community",),
        note="here 1 is true and 0 is fake; it follows from the subreddit, which is therefore not mapped",
    ),
    Layout(
        "a dump of Reddit",
        "created_utc subreddit author",
        {"post_id": "id", "author": "author", "community": "subreddit", "created_at": "created_utc"},
        finish=_reddit,
    ),
    Layout(
        "Davidson's tweets",
        "count hate_speech offensive_language neither class tweet",
        {"text": "tweet"},
        {
            "hate_speech": {"column": "class", "positive": [0], "negative": [1, 2]},
            "offensive_language": {"column": "class", "positive": [1], "negative": [0, 2]},
        },
        note="what most annotators said: 0 hate speech, 1 offensive language, 2 neither",
        doubt="offensive language is a label of its own, and no hate speech, as its authors have it; one label of both "
        "is `positive: [0, 1]`",
    ),
    Layout(
        "MMHS150K",
        "tweet_text labels_str key",
        {"post_id": "key", "text": "tweet_text"},
        votes={
            "hate": {
                "columns": ["labels_str"],
                "positive": ["Racist", "Sexist", "Homophobe", "Religion", "OtherHate"],
                "negative": ["NotHate"],
            }
        },
        finish=_mmhs,
        note="three annotators; most of them decide",
        doubt="all kinds of hate together are one label: votes for different kinds count as votes for hate",
    ),
    Layout(
        "MAMI",
        "file_name misogynous shaming stereotype objectification violence",
        {"post_id": "file_name", "text": "Text Transcription"},
        {name: name for name in ("misogynous", "shaming", "stereotype", "objectification", "violence")},
        finish=_picture("file_name"),
        note="0 or 1",
    ),
    Layout(
        "HarMeme",
        "id image labels text",
        {"post_id": "id", "text": "text"},
        {"harmful": {"column": "labels", "contains": ["somewhat harmful", "very harmful"]}},
        finish=_picture("image"),
        note="somewhat or very harmful",
        doubt="whether somewhat harmful counts as harmful is yours to say; leave it out of `contains` if not",
        value=("labels", "not harmful"),
    ),
)
