"""What the workbench talks about: the taxonomy of labels, a post, a decision, and the columns of a corpus.

A corpus is an Arrow table; `Post` is one row of its inputs as a request brings it. An unknown label is not a negative:
label matrices `y` always come with a mask `known`.
"""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import re
from collections.abc import Container, Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from workbench.errors import TaxonomyMismatch, WorkbenchError, explain, slug, unknown
from workbench.strict_yaml import read_yaml

ROOT = Path(__file__).resolve().parent.parent
MODALITIES = ("text", "image", "video")

OLD_NAMES = {
    "readings": "variants",
    "unusual": "out_of_distribution",
    "unusual_at": "out_of_distribution_at",
    "unusual_in": "out_of_distribution_in",
    "sketchy": "suspicious",
    "crossing": "overlap",
    "learnable": "trained",
    "sight": "vision",
}
"""What earlier versions called keys of policies, lists, bundles and records; those go on working, studies are told."""


def with_new_names(values: Any, fields: Container[str]) -> Any:
    """Return a mapping with keys of `fields` for those of earlier versions; raises ValueError where both are."""
    if not isinstance(values, dict) or OLD_NAMES.keys().isdisjoint(values):
        return values
    old = {key for key in OLD_NAMES.keys() & values.keys() if key not in fields and OLD_NAMES[key] in fields}
    if twice := sorted(key for key in old if OLD_NAMES[key] in values):
        raise ValueError(f"{twice[0]!r} is now {OLD_NAMES[twice[0]]!r}, and both are given; leave {twice[0]!r} out")
    return {OLD_NAMES[key] if key in old else key: value for key, value in values.items()}


class Options(BaseModel):
    """A frozen set of options that refuses unknown keys; each field says in a sentence what it does."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _read_old_names(cls, values: Any) -> Any:
        return with_new_names(values, cls.model_fields)

    @classmethod
    def parse(cls, values: dict[str, Any] | None, where: str) -> Self:
        """Return the options, or raise WorkbenchError naming `where`, the key, its value and what is accepted."""
        try:
            return cls.model_validate({} if values is None else values)
        except ValidationError as error:
            raise WorkbenchError(f"{where}: {explain(error, cls)}") from None


# ---------------------------------------------------------------------------------------------------------- taxonomy


class Label(Options):
    """One kind of harm; by its name alone, people read the name."""

    name: str = Field(description="The identifier used in columns and files.")
    title: str = Field(description="What a report calls it; the name in plain words, if not given.")
    definition: str = Field("", description="One sentence that policy staff can apply.")
    urgency: int = Field(0, description="Higher is handled first.")
    deadline_hours: float = Field(24, gt=0, description="Hours from post to decision.")
    mode: Literal["proactive", "reactive"] = Field("proactive", description="Scored at once, or on a signal.")

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, values: Any) -> Any:
        values = {"name": values} if isinstance(values, str) else values
        if isinstance(values, dict) and isinstance(name := values.get("name"), str):
            return {"title": name.replace("_", " ").capitalize(), **values}
        return values

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if name in _TAKEN:
            raise ValueError(f"a label cannot be called {name!r}, {_TAKEN[name]}; choose another")
        if not re.fullmatch("[a-z][a-z0-9_]*", name):
            raise ValueError(f"a label's name has small letters, digits and _ only, as in {slug(name)}")
        return name


_TAKEN = {
    "macro": "the name of the mean over labels",
    "default": "the name of what a policy asks for all labels",
    "out_of_distribution": "the name of what a policy asks beside labels",
}


class Taxonomy(Options):
    """The ordered labels and the sets of labels that exclude each other."""

    labels: tuple[Label, ...] = Field(min_length=1, description="In the order of every label matrix.")
    exclusive: tuple[tuple[str, ...], ...] = Field((), description="Sets of labels of which at most one holds.")
    wording: str = Field("", description="Version of titles and definitions; not part of the fingerprint.")

    @model_validator(mode="after")
    def _names_are_consistent(self) -> Self:
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"label names repeat: {', '.join(self.names)}")
        for name in (name for group in self.exclusive for name in group):
            if name not in self.names:
                raise ValueError(unknown("label in `exclusive`", name, self.names))
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The label names, in order."""
        return tuple(label.name for label in self.labels)

    @property
    def reactive(self) -> tuple[str, ...]:
        """The labels that act on a signal."""
        return tuple(label.name for label in self.labels if label.mode == "reactive")

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits over names, order and exclusive sets."""
        core = {"names": self.names, "exclusive": sorted(sorted(group) for group in self.exclusive)}
        return hashlib.sha256(json.dumps(core).encode()).hexdigest()[:12]

    def check(self, fingerprint: str, what: str, labels: Iterable[str] = ()) -> None:
        """Raise TaxonomyMismatch when an artefact was made for another taxonomy, that of `labels` if they are told."""
        if fingerprint != self.fingerprint:
            theirs = f" ({', '.join(labels)})" if labels else ""
            raise TaxonomyMismatch(
                f"{what} was made for taxonomy {fingerprint}{theirs}, but {', '.join(self.names)} is taxonomy "
                f"{self.fingerprint}; take one of these labels, or train it again with `workbench run STUDY --all`"
            )

    @classmethod
    def load(cls, given: Path | str | list | dict | None = None, where: str = "taxonomy") -> Self:
        """Return the labels of a file, or those given themselves; where nothing is given those of `data/taxonomy.yaml`.

        given: a path (see `located`), the labels' names, or what such a file holds. Raises WorkbenchError in `where`.

        >>> Taxonomy.load(["spam", "hate_speech"]).labels[1].title
        'Hate speech'
        """
        if isinstance(given, list | dict) and given:
            return cls.parse(given if isinstance(given, dict) else {"labels": given}, where)
        path = located(expand(str(given), where)) if given else ROOT / "data" / "taxonomy.yaml"
        return cls.parse(read_yaml(path), f"taxonomy {path}")


def located(path: str) -> Path:
    """Return where a path leads: a relative one is meant from the working directory, else from the repository."""
    given = Path(path).expanduser()
    return given.resolve() if given.exists() or given.is_absolute() else (ROOT / given).resolve()


# ------------------------------------------------------------------------------------------------- posts and decisions


class Media(Options):
    """A picture or a clip, as bytes or as a path."""

    bytes: builtins.bytes | None = Field(None, description="The encoded file.")
    path: str | None = Field(None, description="Where the file lies; used when there are no bytes.")


class Author(Options):
    """Who posted, as known when the post was scored."""

    id: str | None = Field(None, description="A stable pseudonym.")
    account_age_days: float | None = Field(None, description="Days since the account was opened.")
    posts: int | None = Field(None, description="Posts before this one.")
    prior_reports: int | None = Field(None, description="Reports of earlier posts.")
    prior_removals: int | None = Field(None, description="Earlier posts that were removed.")


class Engagement(Options):
    """Reactions to the post when it was scored, never later."""

    reactions: int | None = Field(None, description="Reactions so far.")
    reports: int | None = Field(None, description="Reports so far.")
    impressions: int | None = Field(None, description="Views so far.")


class Post(Options):
    """One row of a corpus's inputs, for one request; it has at least one modality."""

    post_id: str = Field(min_length=1, description="The site's own identifier.")
    text: str | None = Field(None, description="The words, unchanged.")
    image: Media | None = Field(None, description="A picture.")
    video: Media | None = Field(None, description="A clip.")
    author: Author | None = Field(None, description="Who posted.")
    engagement: Engagement | None = Field(None, description="Reactions so far.")
    community: str | None = Field(None, description="Where it was posted.")
    language: str | None = Field(None, description="A BCP 47 tag, if known.")
    region: str | None = Field(None, description="The author's or the community's region, if known.")
    created_at: datetime | None = Field(None, description="When it was posted.")

    @model_validator(mode="after")
    def _has_a_modality(self) -> Self:
        media = (medium for medium in (self.image, self.video) if medium)
        if not (visible(self.text) or any(medium.bytes is not None or medium.path for medium in media)):
            raise ValueError("a post needs at least one of text, image and video")
        return self


class Reason(Options):
    """Why a decision is what it is."""

    kind: Literal["label", "link", "reports", "unread", "rule", "sample"] = Field(description="What spoke.")
    label: str | None = Field(None, description="The label concerned.")
    score: float | None = Field(None, description="Its confidence, 0 to 1.")
    threshold: float | None = Field(None, description="The threshold it met.")
    detail: str | None = Field(None, description="One plain sentence.")


class Decision(Options):
    """What happens to a post, and why."""

    post_id: str = Field(description="The post.")
    action: Literal["allow", "review", "remove", "wait"] = Field(
        description="What is done; wait: nothing was looked at, since the service acts on a signal and there is none."
    )
    scores: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(description="Confidence per label, 0 to 1.")
    reasons: tuple[Reason, ...] = Field((), description="What led to the action.")
    unread: tuple[str, ...] = Field((), description="Modalities that are there but could not be decoded.")
    unseen: tuple[str, ...] = Field((), description="Modalities that are there but outside the model's.")
    due_at: datetime | None = Field(None, description="When a person must have looked.")
    model_id: str = Field(description="Which model scored it.")
    policy_id: str = Field(description="Which policy decided.")

    @model_validator(mode="after")
    def _nothing_unread_is_allowed(self) -> Self:
        if self.unread and self.action == "allow":
            raise ValueError(f"content that could not be read ({', '.join(self.unread)}) cannot be allowed")
        if self.scores and self.action == "wait":
            raise ValueError("a post that waits for a signal has no scores")
        return self


# ------------------------------------------------------------------------------------------------ corpora, as tables

_ARROW = {str: pa.string(), builtins.bytes: pa.binary(), float: pa.float64(), int: pa.int64()}


def _struct(kind: type[Options]) -> pa.StructType:
    return pa.struct({name: _ARROW[get_args(field.annotation)[0]] for name, field in kind.model_fields.items()})


INPUTS = pa.schema(
    {
        "post_id": pa.string(),
        "text": pa.string(),
        "image": _struct(Media),
        "video": _struct(Media),
        "author": _struct(Author),
        "engagement": _struct(Engagement),
        "community": pa.string(),
        "language": pa.string(),
        "region": pa.string(),
        "created_at": pa.timestamp("us", tz="UTC"),
    }
)


def corpus_schema(taxonomy: Taxonomy) -> pa.Schema:
    """Return the columns every corpus has: the inputs, then group, split, weight and labels.

    A corpus may add `meta` (a struct of its source's own columns) and `truth` (a struct: information set -> struct of
    label -> exact probability).
    """
    labels = pa.struct({name: pa.bool_() for name in taxonomy.names})
    fields = {"group": pa.string(), "split": pa.string(), "weight": pa.float64(), "labels": labels}
    return pa.schema([*INPUTS, *pa.schema(fields)])


def as_table(posts: Iterable[Post]) -> pa.Table:
    """Return posts as a table of `INPUTS`; a lone half of a surrogate pair, which UTF-8 cannot hold, becomes U+FFFD."""
    return pa.Table.from_pylist([_sound(post.model_dump()) for post in posts], schema=INPUTS)


def _sound(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sound(item) for key, item in value.items()}
    if isinstance(value, str) and any("\ud800" <= mark <= "\udfff" for mark in value):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def inputs(table: pa.Table) -> pa.Table:
    """Return the columns a model may see, and no others."""
    return table.select(INPUTS.names)


def label_matrix(table: pa.Table, taxonomy: Taxonomy) -> tuple[np.ndarray, np.ndarray]:
    """Return `y (n_posts, n_labels)` float32 of 0 or 1 (0 where unknown) and `known`, bool of the same shape."""
    kind = table.schema.field("labels").type
    missing = [name for name in taxonomy.names if kind.get_field_index(name) < 0]
    if missing:
        have = ", ".join(field.name for field in kind)
        raise WorkbenchError(f"the corpus has no column for label {missing[0]!r} (it has {have}); load it again")
    columns = [pc.struct_field(table["labels"], name).combine_chunks() for name in taxonomy.names]
    known = np.stack([column.is_valid().to_numpy(zero_copy_only=False) for column in columns], axis=1)
    y = np.stack([column.fill_null(False).to_numpy(zero_copy_only=False) for column in columns], axis=1)
    return y.astype(np.float32), known


# A character that leaves a mark on a page: no white space, control, zero-width or direction character, no filler.
_MARK = (
    r"[^\s\p{Cc}\p{Cf}\p{Z}\x{034f}\x{115f}\x{1160}\x{17b4}\x{17b5}"
    r"\x{180b}-\x{180f}\x{3164}\x{fe00}-\x{fe0f}\x{ffa0}]"
)


def visible(text: str | None) -> bool:
    """Return whether a text has any character that leaves a mark on a page."""
    if text and any("!" <= mark <= "~" for mark in text[:100]):
        return True  # as nearly always; asking Arrow takes a third of a millisecond
    return bool(text) and pc.match_substring_regex(pa.scalar(text.encode(errors="replace").decode()), _MARK).as_py()


def declared(table: pa.Table) -> dict[str, np.ndarray]:
    """Return, per modality, which posts (n_posts,) bring it: text with a visible character, media with bytes or a path.

    Media of zero bytes are declared: they are there and cannot be read.
    """
    flags = {"text": pc.fill_null(pc.match_substring_regex(table["text"], _MARK), False).to_numpy()}
    for name in ("image", "video"):
        given = pc.is_valid(pc.struct_field(table[name], "bytes"))
        named = pc.not_equal(pc.struct_field(table[name], "path"), "")
        flags[name] = pc.or_(pc.fill_null(given, False), pc.fill_null(named, False)).to_numpy()
    return flags


def paired(table: pa.Table) -> np.ndarray:
    """Return which posts (n_posts,) bring text and a picture or clip."""
    has = declared(table)
    return has["text"] & (has["image"] | has["video"])


def expand(value: Any, where: str) -> Any:
    """Return a value with `${NAME}` in its strings replaced by environment variables, at any depth.

    Raises WorkbenchError naming a variable that is not set.
    """
    if isinstance(value, dict):
        return {key: expand(item, where) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [expand(item, where) for item in value]
    if not isinstance(value, str):
        return value
    for name in re.findall(r"\$\{(\w+)\}", value):
        if not os.environ.get(name):
            raise WorkbenchError(
                f"{where} uses ${{{name}}}, but the environment variable {name} is not set; "
                "set it to the folder that holds the data sets (the README says where to get them)"
            )
        value = value.replace(f"${{{name}}}", os.environ[name])
    return value


def options_text(options: dict[str, Any]) -> str:
    """Return options as text, `name=value`; "as by default" where there are none."""
    return ", ".join(f"{name}={value}" for name, value in options.items()) or "as by default"
