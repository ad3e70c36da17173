"""A guessed study as YAML: a comment for each guess, and above all what could not be told."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from workbench.studies.init.draft import Draft

_WIDTH = 120
_ORDER = (
    *("path", "paths", "encoding", "quotes", "post_id", "annotators", "text", "image", "images", "video", "videos"),
    *("group", "author", "community", "language", "region", "created_at", "time_format", "weight", "split"),
    *("missing", "keep", "labels", "votes"),
)


def as_yaml(draft: Draft, name: str, told: list[str]) -> str:
    """Return the study's YAML; told: what was noticed when the file was read."""
    labels = draft.labels
    lines = [*_above(draft, told)]
    what = f"{', '.join(labels[:3])}{' and others' if len(labels) > 3 else ''}" if labels else "what is harmful"
    lines.append(f"question: {_flow(f'Which model finds {what} in {name}?')}")
    lines += ["corpus:", "  source: files", *_corpus(draft)]
    if draft.own_labels:
        lines += _line("taxonomy", labels, "the labels that this study decides about")
    if draft.split:
        own = {"split", "paths"} & {*draft.corpus}
        why = "what the file does not divide" if own else "posts that say the same stay together"
        lines += _line("split", draft.split, why)
    lines += _line("leaks", draft.leaks, "what may stand on both sides of the split") if draft.leaks else []
    lines += ["seeds: [0]", "models:", *(line for model in draft.models for line in _model(model))]
    compare = {"metric": "average_precision", "label": labels[0] if len(labels) == 1 else "macro", "view": "all"}
    if kept := draft.corpus.get("keep"):
        compare["slices"] = ["standard", *kept]
    lines += _line("compare", compare | {"pairs": draft.pairs}, None)
    return "\n".join(lines) + "\n"


def _above(draft: Draft, told: list[str]) -> Iterator[str]:
    known = f"; the file is in the layout of {draft.layout}" if draft.layout else ""
    first = f"Guessed by `workbench init`{known}. Each comment says what a guess rests on; change what is wrong."
    yield from textwrap.wrap(first, _WIDTH, initial_indent="# ", subsequent_indent="# ")
    if draft.open or told:
        yield "# What could not be told, or was left out:"
    for sentence in [*told, *draft.open]:
        yield from textwrap.wrap(
            " ".join(sentence.split()), _WIDTH, initial_indent="# - ", subsequent_indent="#   ", break_long_words=False
        )


def _corpus(draft: Draft) -> Iterator[str]:
    for key in sorted(draft.corpus, key=_ORDER.index):
        value = draft.corpus[key]
        if key in ("labels", "votes"):
            yield f"  {key}:"
            yield from _labels(draft, value, "    ")
        elif key == "annotators":
            yield from _line(key, None, draft.why.get(key), "  ")
            for inner in ("item", "who"):
                yield from _line(inner, value[inner], None, "    ") if inner in value else []
            yield "    label:"
            yield from _labels(draft, value["label"], "      ")
        else:
            yield from _line(key, value, draft.why.get(key), "  ")
    if not draft.labels:
        yield "  labels: {}  # no column was taken as a label: name one, as in `toxic: COLUMN`, before this runs"


def _labels(draft: Draft, rules: dict[str, Any], indent: str) -> Iterator[str]:
    """Yield the rule of each label; a reason that several of them have is written once."""
    before = None
    for label, rule in rules.items():
        why = draft.why.get(f"label {label}")
        yield from _line(label, rule, "likewise" if why == before else why, indent)
        before = why


def _line(key: str, value: Any, why: str | None, indent: str = "") -> Iterator[str]:
    """Yield a key with its value, and why: behind it where that fits, else above."""
    line = f"{indent}{key}:" + ("" if value is None else f" {_flow(value)}")
    why = why and " ".join(why.split())
    if why and len(f"{line}  # {why}") > _WIDTH:
        for part in textwrap.wrap(why, _WIDTH - len(indent) - 2, break_long_words=False):
            yield f"{indent}# {part}"
        why = None
    yield f"{line}  # {why}" if why else line


def _model(model: dict[str, Any]) -> Iterator[str]:
    entry = {key: value for key, value in model.items() if key != "why"}
    yield f"  - {_flow(entry)}" + (f"  # {model['why']}" if "why" in model else "")


def _flow(value: Any) -> str:
    """Return a value in one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()


def study_name(given: Path) -> str:
    """Return what a study may be called after a file or folder.

    >>> study_name(Path("my posts (1).csv.gz"))
    'my-posts-1'
    """
    from workbench.corpora.reading import FORMATS
    from workbench.studies.init.draft import label_name

    stem = given.name.removesuffix(".gz")
    stem = (
        stem if given.is_dir() else stem.removesuffix(next((end for end in FORMATS if stem.lower().endswith(end)), ""))
    )
    return label_name(stem, []).replace("_", "-")
