"""Which groups of people a text mentions, by whole words of a list that policy staff edit: `data/identities.yaml`.

A mention says nothing about what is said of the group; it is what bias metrics compare by (`metrics.bias`). Texts are
cleaned (NFC, entities undone) and lower-cased first. Open doubts: a word has other meanings ("black coffee", "straight
on"), which the list cannot tell apart; obfuscated spellings are not undone; words are matched in every language at
once.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, Field, model_validator

from workbench.errors import WorkbenchError
from workbench.preprocessing.text.cleaning import TextOptions, clean
from workbench.schema import ROOT, Options, read_yaml

FILE = ROOT / "data" / "identities.yaml"
_CLEANING = TextOptions(lower=True)


def _terms(terms: tuple[str, ...]) -> tuple[str, ...]:
    for term in terms:
        if clean(term, _CLEANING) != term or not re.search(r"\w", term):
            raise ValueError(
                f"the term {term!r} must be lower-case words with single spaces, as texts are after cleaning"
            )
    return terms


class Identities(Options):
    """The identities that are looked for, and the words of each by language."""

    version: str = Field(description="When the list was last changed.")
    identities: dict[str, dict[str, Annotated[tuple[str, ...], AfterValidator(_terms)]]] = Field(
        description="Identity -> language -> its words and phrases, lower-case."
    )

    @model_validator(mode="after")
    def _none_is_empty(self) -> Self:
        for name, languages in self.identities.items():
            if not any(languages.values()):
                raise ValueError(f"identity {name!r} has no term; give it one or delete it")
        return self

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read the list from a file, `data/identities.yaml` by default; raise WorkbenchError for what is wrong."""
        path = Path(path or FILE)
        if not path.is_file():
            raise WorkbenchError(f"the list of identities {path} is missing; restore it or name another file")
        return cls.parse(read_yaml(path), str(path))

    def terms(self, name: str) -> list[str]:
        """Return the terms of an identity in every language, the longest first."""
        return sorted({term for terms in self.identities[name].values() for term in terms}, key=lambda t: (-len(t), t))

    def mentions(self, texts: pa.ChunkedArray) -> pa.Array:
        """Return, per text (n,), the list of identities it mentions, in the order of the file; null without a text."""
        # words apart by single spaces, so that no pattern needs to know what a letter is in every language
        read = pa.array(
            [None if value is None else _spaced(clean(value, _CLEANING)) for value in texts.to_pylist()], pa.string()
        )
        patterns = {name: "|".join(re.escape(_spaced(term)) for term in self.terms(name)) for name in self.identities}
        hits = {name: pc.match_substring_regex(read, pattern).to_pylist() for name, pattern in patterns.items()}
        mentioned = [
            [name for name, hit in hits.items() if hit[row]] if present else None
            for row, present in enumerate(read.is_valid().to_pylist())
        ]
        return pa.array(mentioned, pa.list_(pa.string()))


def _spaced(text: str) -> str:
    """Return the words of a text between single spaces; what is no letter, digit or underscore parts words."""
    words = " ".join(re.findall(r"\w+", text))
    return f" {words} "
