"""Which columns are labels: by name and values, a column for each annotator, or a row for each."""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.corpora.files.labels import LabelOptions, read_label
from workbench.corpora.files.values import NO, YES
from workbench.corpora.reading.written import elements_in
from workbench.errors import WorkbenchError
from workbench.studies.init.answers import LabelAnswer, answers, is_hinted, is_yes_no, separator, sides
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
    content = [*draft.texts, *(draft.corpus[kind] for kind in ("image",) if kind in draft.corpus)]
    if any(draft.places.values()) or not content:
        return
    who = next((found for found in columns_called(seen, _WHO) if found.kind == "values"), None)
    for item in columns_called(seen, IDS):
        if item.kind != "values" or item.name in content or sum(item.counts.values()) < len(item.cells):
            continue
        if len(item.counts) == len(item.cells) or not _one_content(seen, item, content[0]):
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
    free = [found for found in seen.columns.values() if not is_taken(found, draft)]
    if "annotators" not in draft.corpus:
        free = _votes_in_cells(_columns_of_annotators(free, draft), draft)
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


def is_taken(found: FileColumn, draft: Draft) -> bool:
    """Say whether a column is something else already, or is called as something else."""
    words = re.sub(r"\W+", "_", found.name.lower()).strip("_")
    others = f"{IDS} {' '.join(NAMES.values())} {_WHO}".split()
    return (
        found.name in {*draft.taken, *draft.no_labels}
        or words in others
        or found.kind in ("nothing", "media", "objects")
    )


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


# -------------------------------------------------------------------- a column, or a part of a cell, per annotator


def _columns_of_annotators(free: list[FileColumn], draft: Draft) -> list[FileColumn]:
    """Take columns that are called alike but for a number, with one kind of answers, as votes; return the others."""
    alike: dict[str, list[FileColumn]] = {}
    for found in free:
        stem = _stem(found.name)
        if "#" in stem and found.kind == "values":
            alike.setdefault(stem, []).append(found)
    degrees = _one_of_several([stem for stem, group in alike.items() if len(group) > 1], draft)
    people, used = {stem.partition("#")[0] for stem in degrees}, [found for stem in degrees for found in alike[stem]]
    for stem, group in alike.items():
        judges = len(group) > 1 and stem not in degrees and _judge_the_same(group)
        if judges and _take_votes(group, re.sub(r"[#.]", " ", stem), f"{len(group)} annotators", draft):
            people.add(stem.partition("#")[0])
            used += group
    left = [found for found in free if found not in used]
    odd = [found for found in left if "#" in _stem(found.name) and _stem(found.name).partition("#")[0] in people]
    if odd:
        draft.tell(f"columns of annotators that were left out: {', '.join(repr(found.name) for found in odd[:4])}")
    return [found for found in left if found not in odd]


def _stem(name: str) -> str:
    """Return a name without the number or letter of an annotator."""
    return re.sub(r"\d+|(?<=[_\W])[a-fA-F]$", "#", name, count=1)


def _one_of_several(stems: list[str], draft: Draft) -> list[str]:
    """Return those of stems that differ in a last number: each is one answer of several, which no column says alone."""
    kinds: dict[str, list[str]] = {}
    for stem in stems:
        if match := re.fullmatch(r"(.*#.*?[._ ])(-?\d+)", stem):
            kinds.setdefault(match[1], []).append(match[2])
    for kind, numbers in kinds.items():
        if len(numbers) > 1:
            draft.tell(
                f"columns called {kind.replace('#', '1')!r} and a number ({', '.join(numbers)}) hold one answer of "
                "several each: say which are for a label and which against in `votes: {LABEL: {yes: [...], no: [...]}}`"
            )
    return [f"{kind}{number}" for kind, numbers in kinds.items() if len(numbers) > 1 for number in numbers]


def _answers(found: FileColumn) -> tuple[list[list[str]], str | None]:
    """Return the answers in each cell, and what parts them: several of one cell are a list, or have a mark between."""
    if found.kind == "lists":
        return [[str(value) for value in row or () if value is not None] for row in found.cells.to_pylist()], None
    given = [cell or "" for cell in found.values.to_pylist()]
    mark = separator([*found.said])
    cells = [elements_in(cell, mark) for cell in given]
    alone = {cell[0] for cell in cells if len(cell) == 1}
    parts = {part for cell in cells if len(cell) > 1 for part in cell}
    again = any(len(cell) > len({*cell}) for cell in cells)
    if parts and not (parts & alone or again or parts <= {*YES, *NO}):  # words with such marks in them
        return [[cell] if cell else [] for cell in given], None
    return cells, mark


def _votes_in_cells(free: list[FileColumn], draft: Draft) -> list[FileColumn]:
    """Take columns whose cells hold the answers of several annotators (`0, 1, 1`) as votes; return the others."""
    left = []
    for found in free:
        several = [cell for cell in _answers(found)[0] if len(cell) > 1] if found.kind in ("values", "lists") else []
        again = sum(len(cell) > len({*cell}) for cell in several)
        votes = several and 3 * again >= len(several) and not {*found.words} & _NO_LABELS
        if not (votes and _take_votes([found], found.name, "answers of several annotators in a cell", draft)):
            left.append(found)
    return left


def _take_votes(group: list[FileColumn], name: str, who: str, draft: Draft) -> bool:
    """Take the labels that annotators' answers in a group of columns tell as votes; say whether they tell any."""
    cells, marks = zip(*map(_answers, group), strict=True)
    together = FileColumn(name, pa.chunked_array([pa.array(list(chain(*chain(*cells))), pa.string())]))
    told = [answer for answer in answers(together) if not {*answer.rule} & {"threshold", "contains"}]
    used = {*marks} - {None}
    if len(used) > 1:
        return False
    parted = {"separator": used.pop()} if used - {","} else {}
    for answer in told:
        rule = answer.rule
        if not rule:
            yes, no = sides(together)
            rule = {"positive": yes, "negative": no}
        label = label_name(_subject(answer, together), draft.labels)
        why = f"{who}, most of them decide; their answers: {plainly(together.counts)}"
        draft.label(label, "votes", {"columns": [found.name for found in group], **parted, **rule}, why)
    return bool(told)


def _subject(answer: LabelAnswer, together: FileColumn) -> str:
    """Return a label's name without what annotators are called."""
    people = {"annotator", "ann", "rater", "coder", "worker", "judge", "reviewer", "labeler", "a", "r", "by"}
    words = [word for word in answer.label.split("_") if word not in people]
    return " ".join(words) or "harmful"


def _judge_the_same(group: list[FileColumn]) -> bool:
    """Say whether columns answer one question: each has values of the others, and they agree more often than not."""
    cells = [_answers(found)[0] for found in group]
    values = [{value.lower() for cell in column for value in cell} for column in cells]
    if not all(one & set.union(*(other for n, other in enumerate(values) if n != at)) for at, one in enumerate(values)):
        return False
    both = [(first, second) for first, second in zip(*cells[:2], strict=True) if first and second]
    return not both or sum(first == second for first, second in both) > 0.4 * len(both)
