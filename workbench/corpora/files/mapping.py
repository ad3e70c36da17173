"""Which column of somebody's table is what: the mapping that `files` and `hub` share, and the options of `files`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from workbench.corpora.files.labels import LabelOptions
from workbench.corpora.files.votes import VoteOptions
from workbench.errors import WorkbenchError, unknown
from workbench.schema import Options, Taxonomy

Split = Literal["train", "validation", "test"]


class SplitColumn(Options):
    """The column with a corpus's own split."""

    column: str = Field(description="The column.")
    values: dict[str, Split] = Field({}, description="What its values mean, such as {dev: test}.")


class Mapping(Options):
    """Which column is what; a dot reaches into nested columns (`labels.abuse`)."""

    post_id: str | None = Field(None, description="Column with the ids; without it they derive from row and content.")
    text: str | None = Field(None, description="Column with the words.")
    image: str | None = Field(None, description="Column with picture paths, or in Parquet bytes or {bytes, path}.")
    video: str | None = Field(None, description="Column with clips, in the same ways.")
    images: str | None = Field(None, description="Folder that picture paths start at; default: where the corpus lies.")
    videos: str | None = Field(None, description="Folder that clip paths start at; default: where the corpus lies.")
    group: str | None = Field(None, description="Column with the repost family; default: same text, picture and clip.")
    author: str | None = Field(None, description="Column with the author's id, or a nested one with `id` and history.")
    community: str | None = Field(None, description="Column with where it was posted.")
    language: str | None = Field(None, description="Column with the BCP 47 tag.")
    region: str | None = Field(None, description="Column with the region.")
    created_at: str | None = Field(None, description="Column with ISO 8601 times, or seconds since 1970, in UTC.")
    time_format: str | None = Field(
        None, description="How the times are written where not so, as strptime has it: `%B %d, %Y` for May 1, 2026."
    )
    weight: str | None = Field(None, description="Column with how many posts of the site a row stands for; default 1.")
    split: str | SplitColumn | None = Field(None, description="Column with the corpus's own split.")
    labels: dict[str, str | LabelOptions] = Field({}, description="Label -> column, or a rule on a column.")
    votes: dict[str, VoteOptions] = Field(
        {}, description="Label -> what several annotators said; most of them decide, counts are kept in `meta`."
    )
    keep: tuple[str, ...] = Field((), description="Further columns, kept in `meta`; no model sees them.")

    @model_validator(mode="after")
    def _media_are_told_apart(self) -> Self:
        if self.image and self.image == self.video:
            raise ValueError(f"`image` and `video` both name column {self.image!r}; a column is one or the other")
        return self

    @model_validator(mode="after")
    def _a_format_is_that_of_a_column(self) -> Self:
        if self.time_format and not self.created_at:
            raise ValueError("`time_format` says how the column `created_at` is written; name that column too")
        return self

    @model_validator(mode="after")
    def _labels_are_read_once(self) -> Self:
        twice = sorted(set(self.labels) & set(self.votes))
        if twice:
            raise ValueError(f"label {twice[0]!r} stands under both `labels` and `votes`; keep one")
        return self

    @property
    def columns(self) -> list[str]:
        """All column names that the mapping mentions."""
        plain = [getattr(self, name) for name in _PLAIN]
        rules = [self.rule(label).column for label in self.labels]
        rules += [name for rule in self.votes.values() for name in rule.names]
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

    def check(self, taxonomy: Taxonomy, where: str) -> None:
        """Raise WorkbenchError for a label outside the taxonomy and for a mapping without content."""
        for label in (*self.labels, *self.votes):
            if label not in taxonomy.names:
                raise WorkbenchError(f"{where}: {unknown('label', label, taxonomy.names)}")
        if not (self.text or self.image or self.video):
            raise WorkbenchError(
                f"{where} maps none of `text`, `image` and `video`; name the column of at least one of them"
            )


class SourceOptions(Mapping):
    """Which files, and which of their columns is what."""

    path: str | tuple[str, ...] | None = Field(
        None, description="A CSV, TSV, JSONL or Parquet file, several of them, or a folder in the Hateful Memes layout."
    )
    paths: dict[Split, str | tuple[str, ...]] | None = Field(None, description="Files per split, instead of `path`.")
    encoding: str = Field("utf-8", description="How the text files are encoded.")
    quotes: bool = Field(True, description='Whether CSV and TSV cells may be quoted by `"`.')

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


_PLAIN = (
    *("post_id", "text", "image", "video", "group", "author", "community", "language", "region"),
    *("created_at", "weight"),
)
