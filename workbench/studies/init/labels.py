"""Which columns are labels: by name and values, a column for each annotator, or a row for each."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from workbench.corpora.files.labels import LabelOptions, read_label
from workbench.corpora.files.values import plain
from workbench.corpora.reading.columns import stack
from workbench.errors import WorkbenchError
from workbench.studies.init.answers import LabelAnswer, answers, is_hinted, is_yes_no, sides
from workbench.studies.init.draft import Draft, label_name
from workbench.studies.init.fields import IDS, NAMES, columns_called
from workbench.studies.init.look import Contents, FileColumn, plainly, word_set

_WHO = "annotator annotator_id rater rater_id worker worker_id coder coder_id labeler labeller judge reviewer "
_WHO += "annotated_by completed_by respondent respondent_id moderator"
_LABELISH = {"label", "labels", "class", "category", "target", "annotation"}
_NO_LABELS = word_set(
    "retweet verified deleted edited stickied locked archived pinned self hasimage image video bot favorited "
    "over spoiler original quarantine saved hidden gilded crosspostable indexable submitter mod brand contest "
    "possibly sensitive truncated agree agreement confidence count length fold"
)


def annotators(seen: Contents, draft: Draft) -> None:
    """See whether a post has a row for each annotator: one id, one content, several rows."""
    if any(draft.places.values()) or not (content := draft.corpus.get("text") or draft.corpus.get("image")):
        return
    who = next((found for found in columns_called(seen, _WHO) if found.kind == "values"), None)
    for item in columns_called(seen, IDS):
        if item.kind != "values" or item.name == content or sum(item.counts.values()) < len(item.cells):
            continue
        if len(item.counts) == len(item.cells) or not _one_content(seen, item, content):
            continue
        if who is None and not _disagree(seen, item):
            continue
        each = len(item.cells) / len(item.counts)
        draft.set(
            "annotators",
            {"item": item.name, **({"who": who.name} if who else {}), "label": {}},
            f"{len(item.counts):,} posts with {each:.3g} rows each, one for each annotator",
        )
        return


def _one_content(seen: Contents, item: FileColumn, content: str) -> bool:
    """Say whether rows of one post have one content."""
    texts = seen.columns[content]
    if texts.kind != "values":
        return False
    frame = pd.DataFrame({"item": item.values.to_pandas(), "text": texts.values.to_pandas().fillna("")})
    return bool((frame.groupby("item")["text"].nunique() == 1).all())


def _disagree(seen: Contents, item: FileColumn) -> bool:
    """Say whether rows of one post differ in what looks like an annotation."""
    for found in seen.columns.values():
        if found.kind == "values" and is_hinted(found) and (is_yes_no(found) or answers(found)):
            frame = pd.DataFrame({"item": item.values.to_pandas(), "value": found.values.to_pandas()})
            if (frame.groupby("item")["value"].nunique() > 1).any():
                return True
    return False


def labels(seen: Contents, draft: Draft) -> None:
    """Fill in the labels, where the layout has not said so; what looks like one and cannot be read is told."""
    if any(draft.places.values()):
        return
    free = [found for found in seen.columns.values() if not _is_taken(found, draft)]
    if "annotators" not in draft.corpus:
        free = _columns_of_annotators(free, draft)
    hinted = [found for found in free if is_hinted(found) and not {*found.words} & _NO_LABELS]
    odd = [found for found in hinted if not _take(found, draft) and {*found.words} & _LABELISH]
    if odd:
        some = "; ".join(f"{found.name!r} holds {plainly(found.counts, 4)}" for found in odd[:3])
        more = f"; and {len(odd) - 3} more" if len(odd) > 3 else ""
        draft.tell(f"columns that are called like labels, but may mean anything: {some}{more}")
    if not draft.labels:
        for found in free:
            if found not in hinted and not {*found.words} & _NO_LABELS and is_yes_no(found):
                _take(found, draft)
    if "annotators" in draft.corpus and not draft.corpus["annotators"]["label"]:
        draft.drop("annotators", "rows of one post seem to come from several annotators, but none holds their answers")


def _is_taken(found: FileColumn, draft: Draft) -> bool:
    """Say whether a column is something else already, or is called as something else."""
    named = [value for value in draft.corpus.values() if isinstance(value, str)]
    named += [value["column"] for value in draft.corpus.values() if isinstance(value, dict) and "column" in value]
    named += [draft.corpus.get("annotators", {}).get(key) for key in ("item", "who")]
    words = re.sub(r"\W+", "_", found.name.lower()).strip("_")
    others = f"{IDS} {' '.join(NAMES.values())} {_WHO}".split()
    return found.name in named or words in others or found.kind in ("nothing", "media", "objects")


def _take(found: FileColumn, draft: Draft) -> bool:
    """Take the labels that a column tells; say whether it tells any, or why not."""
    told = answers(found)
    if not told and len(found.said) == 1:
        draft.tell(
            f"column {found.name!r} says {next(iter(found.said))!r:.40} alone ({found.gaps:,} cells say nothing), so "
            "it is no label; write what the others are"
        )
        return True
    for answer in told:
        name = label_name(answer.label, draft.labels)
        rule: Any = {"column": found.name, **answer.rule} if answer.rule else found.name
        if not holds(found, rule, draft):
            continue
        if answer.doubt:
            draft.tell(answer.doubt)
        if "annotators" in draft.corpus:
            draft.corpus["annotators"]["label"][name] = rule
            draft.why[f"label {name}"] = answer.why
        else:
            draft.label(name, "labels", rule, answer.why)
    return bool(told)


def holds(found: FileColumn, rule: Any, draft: Draft) -> bool:
    """Say whether the reader takes the rule, and finds both yes and no."""
    options = LabelOptions(column=rule) if isinstance(rule, str) else LabelOptions.parse(rule, found.name)
    try:
        says = read_label(found.cells, options, "the file").says
    except WorkbenchError as error:
        draft.tell(str(error).removeprefix("the file: ").capitalize())
        return False
    return pc.any(says).as_py() is True and pc.all(says).as_py() is False


# ------------------------------------------------------------------------------------------- a column per annotator


def _columns_of_annotators(free: list[FileColumn], draft: Draft) -> list[FileColumn]:
    """Take columns that are called alike but for a number, with one kind of answers, as votes; return the others."""
    alike: dict[str, list[FileColumn]] = {}
    for found in free:
        stem = re.sub(r"\d+|(?<=[_\W])[a-fA-F]$", "#", found.name, count=1)
        if "#" in stem and found.kind == "values":
            alike.setdefault(stem, []).append(found)
    used: list[str] = []
    for stem, group in alike.items():
        together = FileColumn(stem.replace("#", " "), stack([found.cells.cast("string") for found in group]))
        told = [answer for answer in answers(together) if not {*answer.rule} & {"threshold", "contains"}]
        if len(group) < 2 or not told or not _judge_the_same(group):
            continue
        for answer in told:
            rule = answer.rule
            if not rule:
                yes, no = sides(together)
                rule = {"positive": yes, "negative": no}
            name = label_name(_subject(answer, together), draft.labels)
            columns = [found.name for found in group]
            draft.label(name, "votes", {"columns": columns, **rule}, f"{len(columns)} annotators, most of them decide")
        used += [found.name for found in group]
    return [found for found in free if found.name not in used]


def _subject(answer: LabelAnswer, together: FileColumn) -> str:
    """Return a label's name without what annotators are called."""
    people = {"annotator", "ann", "rater", "coder", "worker", "judge", "reviewer", "labeler", "a", "r", "by"}
    words = [word for word in answer.label.split("_") if word not in people]
    return " ".join(words) or "harmful"


def _judge_the_same(group: list[FileColumn]) -> bool:
    """Say whether columns answer one question: each has values of the others, and they agree more often than not."""
    values = [{value.lower() for value in found.counts} for found in group]
    if not all(one & set.union(*(other for n, other in enumerate(values) if n != at)) for at, one in enumerate(values)):
        return False
    cells = [plain(found.cells, found.name, "the file").to_pandas() for found in group]
    both = cells[0].notna() & cells[1].notna()
    return not both.any() or float(np.mean((cells[0] == cells[1])[both])) > 0.4
