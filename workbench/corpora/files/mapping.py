"""Which column of somebody's table is what: the mapping that `files` and `hub` share, and the options of `files`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from workbench.corpora.files.annotators import AnnotatorOptions
from workbench.corpora.files.labels import LabelOptions
from workbench.corpora.files.values import MISSING
from workbench.corpora.files.votes import VoteOptions
from workbench.corpora.reading import Reading
from workbench.corpora.reading.columns import scalar_text
from workbench.errors import WorkbenchError, unknown_label
from workbench.schema import Options, Taxonomy

Split = Literal["train", "validation", "test"]


def named(text: str) -> dict[str, str]:
    """Return column names by field from `field=column,...`; raises WorkbenchError for what is no such list.

    A comma that no `field=` follows is part of what stands before it.

    >>> named("text=body, time_format=%B %d, %Y")
    {'text': 'body', 'time_format': '%B %d, %Y'}
    """
    columns = {}
    for part in filter(None, (part.strip() for part in re.split(r",(?=\s*[\w.]*\s*=)", text))):
        field, _, column = (side.strip() for side in part.partition("="))
        column = column.rstrip(", ") or column
        if not column:
            raise WorkbenchError(f"columns: {part!r} is not of the form FIELD=COLUMN, such as text=body")
        columns[field] = column
    return columns


class SplitColumn(Options):
    """The column with a corpus's own split."""

    column: str = Field(description="The column.")
    values: dict[str, Split] = Field({}, description="What its values mean, such as {dev: test}.")

    @field_validator("values", mode="before")
    @classmethod
    def _named_as_in_the_column(cls, values: Any) -> Any:
        return {scalar_text(value): split for value, split in values.items()} if isinstance(values, dict) else values


class SuiteColumns(Options):
    """What is known of the cases of a functional test, each in a column."""

    functionality: str | None = Field(None, description="Column with the kind of case: negation, counter-speech ...")
    target: str | None = Field(None, description="Column with whom a case is about.")
    case: str | None = Field(None, description="Column that cases which differ by a small edit have in common.")
    label: str | None = Field(None, description="Column with the label that a case is about; default: each label.")
    note: str | None = Field(None, description="Column with a remark on the functionality, for the reader.")
    by: tuple[str, ...] = Field((), description="Further columns to tell results by, such as the language.")

    @property
    def columns(self) -> dict[str, str]:
        """The column of each fact, as `comparison.facts` names facts."""
        named = {name: getattr(self, name) for name in SuiteColumns.model_fields if name != "by"}
        return {name: column for name, column in named.items() if column} | {f"by:{name}": name for name in self.by}


class Mapping(Options):
    """Which column is what; a dot reaches into nested columns (`labels.abuse`).

    `answers[status=submitted]` is a list without the elements whose `status` is another, be it a field of theirs or a
    list beside it, called `answers.status`.
    """

    post_id: str | None = Field(None, description="Column with the ids; without it they derive from row and content.")
    text: str | tuple[str, ...] | None = Field(
        None, description="Column with the words, or several, such as a title and a body, whose words stand in lines."
    )
    image: str | None = Field(None, description="Column with picture paths, or in Parquet bytes or {bytes, path}.")
    video: str | None = Field(None, description="Column with clips, in the same ways.")
    images: str | None = Field(None, description="Folder that picture paths start at; default: where the corpus lies.")
    videos: str | None = Field(None, description="Folder that clip paths start at; default: where the corpus lies.")
    group: str | None = Field(None, description="Column with the repost family; default: same text, picture and clip.")
    author: str | None = Field(None, description="Column with the author's id, or a nested one with `id` and history.")
    community: str | None = Field(None, description="Column with where it was posted.")
    language: str | None = Field(None, description="Column with the BCP 47 tag.")
    region: str | None = Field(None, description="Column with the region.")
    created_at: str | None = Field(None, description="Column with ISO 8601 times, or since 1970, in UTC.")
    time_format: str | None = Field(
        None, description="How the times are written where not so, as strptime has it: `%B %d, %Y` for May 1, 2026."
    )
    weight: str | None = Field(None, description="Column with how many posts of the site a row stands for; default 1.")
    split: str | SplitColumn | None = Field(None, description="Column with the corpus's own split.")
    labels: dict[str, str | LabelOptions] = Field({}, description="Label -> column, or a rule on a column.")
    votes: dict[str, VoteOptions] = Field(
        {}, description="Label -> what several annotators said; most of them decide, counts are kept in `meta`."
    )
    annotators: AnnotatorOptions | None = Field(
        None, description="For one row per annotator and post: who said what; rows of a post become one, with votes."
    )
    missing: tuple[str, ...] = Field(
        MISSING,
        description="Words that stand for nothing, in any case of letters: unknown in labels, votes, groups, authors, "
        "times, media and the like, unless a rule names them; never in post texts and ids, where a title, say, alone "
        "is left of a text of several columns.",
    )
    keep: tuple[str, ...] = Field((), description="Further columns, kept in `meta`; no model sees them.")
    suite: SuiteColumns | None = Field(
        None, description="What is known of the cases of a functional test; default: kept columns of the same names."
    )

    @model_validator(mode="after")
    def _columns_go_together(self) -> Self:
        if self.image and self.image == self.video:
            raise ValueError(f"`image` and `video` both name column {self.image!r}; a column is one or the other")
        if self.time_format and not self.created_at:
            raise ValueError("`time_format` says how the column `created_at` is written; name that column too")
        origins = {"labels": self.labels, "votes": self.votes}
        origins |= {"annotators": self.annotators.label} if self.annotators else {}
        for label in (label for labels in origins.values() for label in labels):
            both = [f"`{origin}`" for origin, labels in origins.items() if label in labels]
            if len(both) > 1:
                raise ValueError(f"label {label!r} stands under both {' and '.join(both)}; keep one")
        return self

    @property
    def columns(self) -> list[str]:
        """All column names that the mapping mentions."""
        plain = [self.post_id, *self.texts, self.image, self.video, self.group, self.author, self.community]
        plain += [self.language, self.region, self.created_at, self.weight]
        rules = [self.rule(label).column for label in self.labels]
        rules += [name for rule in self.votes.values() for name in rule.names]
        rules += self.annotators.names if self.annotators else ()
        rules += [self.split_column.column] if self.split_column else []
        rules += self.suite.columns.values() if self.suite else ()
        return list(dict.fromkeys(name for name in (*plain, *rules, *self.keep) if name))

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns with the words."""
        return (self.text,) if isinstance(self.text, str) else self.text or ()

    @property
    def split_column(self) -> SplitColumn | None:
        """The rule for the split column, however it was written."""
        return SplitColumn(column=self.split) if isinstance(self.split, str) else self.split

    def rule(self, label: str) -> LabelOptions:
        """The rule for a label, however it was written."""
        rule = self.labels[label]
        return LabelOptions(column=rule) if isinstance(rule, str) else rule

    def check(self, taxonomy: Taxonomy, where: str) -> None:
        """Raise WorkbenchError for a label outside the taxonomy and for a mapping without content."""
        for label in (*self.labels, *self.votes, *(self.annotators.label if self.annotators else ())):
            if label not in taxonomy.names:
                raise WorkbenchError(f"{where}: {unknown_label(label, taxonomy.names)}")
        if not (self.text or self.image or self.video):
            raise WorkbenchError(
                f"{where} maps none of `text`, `image` and `video`; name the column of at least one of them"
            )


class SourceOptions(Mapping, Reading):
    """Which files, how they are read, and which of their columns is what."""

    path: str | tuple[str, ...] | None = Field(
        None,
        description="A CSV, TSV, JSON, JSONL, Parquet or .xlsx file, also as .gz, several of them, or a folder in "
        "the Hateful Memes layout.",
    )
    paths: dict[Split, str | tuple[str, ...]] | None = Field(None, description="Files per split, instead of `path`.")

    @model_validator(mode="after")
    def _files_are_named_once(self) -> Self:
        if bool(self.path) == bool(self.paths):
            raise ValueError("give either `path` or `paths` (a file for each of train, validation, test)")
        if self.paths and self.split:
            raise ValueError("`paths` already says the split; leave out `split`")
        return self

    @property
    def reading(self) -> Reading:
        """How the files are read."""
        return Reading(**{name: getattr(self, name) for name in Reading.model_fields})

    @property
    def name(self) -> str:
        """What errors call the corpus: the name of its first file or of its folder."""
        first = self.path or next(iter(self.paths.values()))
        return Path(first if isinstance(first, str) else first[0]).stem
