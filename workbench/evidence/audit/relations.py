"""What may leak, by name; what a study holds and what it accepts; and how a finding is told.

A finding is a mapping with `overlap` (how many things leak), `of` (how many were looked at), `posts` (how many posts
are concerned) and `examples`, a list of {"content": what it is, "posts": [[set, post_id], ...]}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from workbench.errors import WorkbenchError
from workbench.schema import Options

Relation = Literal[
    *("group", "text", "image", "video"),
    *("author", "near_text", "near_image", "near_video", "template", "still", "time", "shortcut"),
]
RELATIONS: tuple[Relation, ...] = get_args(Relation)
HELD: tuple[Relation, ...] = ("group", "text", "image", "video")
FITTED = ("train", "validation")
EXAMPLES, PAIRS = 5, 40
"""How many examples a finding has at most, and how many one of near contents, for each of which a look decides."""
NAMES = {
    "group": ("group", "groups"),
    "author": ("author", "authors"),
    "text": ("text", "texts"),
    "image": ("picture", "pictures"),
    "video": ("clip", "clips"),
    "near_text": ("near-duplicate text", "near-duplicate texts"),
    "near_image": ("near-duplicate picture", "near-duplicate pictures"),
    "near_video": ("near-duplicate clip", "near-duplicate clips"),
    "template": ("picture with other words", "pictures with other words"),
    "still": ("still of a clip", "stills of clips"),
    "time": ("impossible time", "impossible times"),
    "shortcut": ("shortcut", "shortcuts"),
}


class LeakFound(WorkbenchError):
    """The same content stands on both sides of a split, or another relation that a study holds was found."""


class LeakOptions(Options):
    """Which relations stop a study, and which overlaps it accepts."""

    allow: dict[Relation, str] = Field({}, description="Relation -> the reason why it may cross; the report prints it.")
    fail_on: tuple[Relation, ...] = Field(
        HELD, description=f"Relations that stop the study ({', '.join(RELATIONS)}); others are only reported."
    )
    later_tests: bool = Field(
        False, description="Whether the split claims that every test post is later than all training posts."
    )

    @field_validator("allow")
    @classmethod
    def _reasons_are_given(cls, allow: dict[str, str]) -> dict[str, str]:
        for relation, reason in allow.items():
            if len(reason.split()) < 3:
                raise ValueError(f"{relation} needs a reason of at least three words, for whoever reads the report")
        return allow


def hold(findings: Mapping[str, Mapping[str, Any]], options: LeakOptions) -> None:
    """Raise LeakFound, with a table of examples, where a relation of `options.fail_on` is found and not allowed.

    findings: a finding for every relation of `options.fail_on`.
    """
    held = [name for name in options.fail_on if name not in options.allow]
    leaks = {name: findings[name] for name in held if findings[name]["overlap"]}
    if leaks:
        what = ", ".join(f"{counted(name, leak['overlap'])} in {leak['posts']} posts" for name, leak in leaks.items())
        example = f"leaks: {{allow: {{{next(iter(leaks))}: the reason}}}}"
        raise LeakFound(
            f"posts leak across the split: {what}. Drop the repeats, give them one group, or accept them with a reason "
            f"that the report prints ({example}).\n{table(leaks)}"
        )


def counted(relation: str, n: int) -> str:
    """Return a number of contents in words.

    >>> counted("image", 2)
    '2 pictures'
    """
    return f"{n:,} {NAMES[relation][n != 1]}"


def table(findings: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the examples of what crosses as lines of text: the relation, where it stands, what it is."""
    rows = [("same", "where", "what")]
    for name, leak in findings.items():
        for example in leak["examples"][:EXAMPLES]:
            where = ", ".join(f"{split} {post_id}" for split, post_id in example["posts"])
            rows.append((NAMES[name][0], where, example["content"]))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows)


def quoted(text: str) -> str:
    """Return the start of a text in quotation marks.

    >>> quoted("short")
    "'short'"
    """
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
