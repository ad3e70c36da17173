"""Which column of a user's files is what: the options of the `files` source."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from workbench.corpora.files.labels import LabelOptions
from workbench.schema import Options

Split = Literal["train", "validation", "test"]


class SplitColumn(Options):
    """The column with a corpus's own split."""

    column: str = Field(description="The column.")
    values: dict[str, Split] = Field({}, description="What its values mean, such as {dev: test}.")


class SourceOptions(Options):
    """Which files, and which of their columns is what; a dot reaches into nested columns (`labels.abuse`)."""

    path: str | tuple[str, ...] | None = Field(
        None, description="A CSV, TSV, JSONL or Parquet file, several of them, or a folder in the Hateful Memes layout."
    )
    paths: dict[Split, str | tuple[str, ...]] | None = Field(None, description="Files per split, instead of `path`.")
    encoding: str = Field("utf-8", description="How the text files are encoded.")
    quotes: bool = Field(True, description='Whether CSV and TSV cells may be quoted by `"`.')
    post_id: str | None = Field(None, description="Column with the ids; without it they derive from row and content.")
    text: str | None = Field(None, description="Column with the words.")
    image: str | None = Field(None, description="Column with picture paths, or in Parquet bytes or {bytes, path}.")
    images: str | None = Field(None, description="Folder that picture paths start at; default: the folder of the file.")
    group: str | None = Field(None, description="Column with the repost family; default: same text and same picture.")
    author: str | None = Field(None, description="Column with the author's id, or a nested one with `id` and history.")
    community: str | None = Field(None, description="Column with where it was posted.")
    language: str | None = Field(None, description="Column with the BCP 47 tag.")
    region: str | None = Field(None, description="Column with the region.")
    created_at: str | None = Field(None, description="Column with ISO 8601 times, or seconds since 1970, in UTC.")
    weight: str | None = Field(None, description="Column with how many posts of the site a row stands for; default 1.")
    split: str | SplitColumn | None = Field(None, description="Column with the corpus's own split.")
    labels: dict[str, str | LabelOptions] = Field({}, description="Label -> column, or a rule on a column.")
    keep: tuple[str, ...] = Field((), description="Further columns, kept in `meta`; no model sees them.")

    @model_validator(mode="after")
    def _files_are_named_once(self) -> Self:
        if bool(self.path) == bool(self.paths):
            raise ValueError("give either `path` or `paths` (a file for each of train, validation, test)")
        if self.paths and self.split:
            raise ValueError("`paths` already says the split; leave out `split`")
        return self

    @property
    def name(self) -> str:
        """What a report calls the corpus: the name of its first file or of its folder."""
        first = self.path or next(iter(self.paths.values()))
        return Path(first if isinstance(first, str) else first[0]).stem

    @property
    def columns(self) -> list[str]:
        """All column names that the mapping mentions."""
        plain = [getattr(self, name) for name in _PLAIN]
        rules = [self.rule(label).column for label in self.labels]
        rules += [self.split_column.column] if self.split_column else []
        return list(dict.fromkeys(name for name in (*plain, *rules, *self.keep) if name))

    @property
    def split_column(self) -> SplitColumn | None:
        """The rule for the split column, however it was written."""
        return SplitColumn(column=self.split) if isinstance(self.split, str) else self.split

    def rule(self, label: str) -> LabelOptions:
        """The rule for a label, however it was written."""
        rule = self.labels[label]
        return LabelOptions(column=rule) if isinstance(rule, str) else rule


_PLAIN = ("post_id", "text", "image", "group", "author", "community", "language", "region", "created_at", "weight")
