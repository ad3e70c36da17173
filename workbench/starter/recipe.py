"""What a starter is made of: sets of posts with their licences, the model, what the threshold is chosen for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator

from workbench.decisions.objective import Objective
from workbench.schema import ROOT, Options, read_yaml

DEFAULT = ROOT / "data" / "starter.yaml"


class Origin(Options):
    """Where a file comes from if it is not at hand."""

    url: str = Field(pattern="^https://", description="Its address, at a commit that stays.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="What is there; anything else is refused.")


class PostSet(Options):
    """One published set of posts."""

    title: str = Field(description="What it is, in a few words.")
    by: str = Field(description="Who made it and where it was published: the attribution.")
    licence: str = Field(description="As its publishers state it.")
    files: dict[str, Origin | None] = Field(
        min_length=1, description="Paths below data/ or $WORKBENCH_DATA, each with where it comes from otherwise."
    )
    corpus: dict[str, Any] = Field(description="Which column is what, as in a study's corpus `files`.")
    splits: tuple[str, ...] = Field((), description="Only posts of these of its own splits; none named: all.")
    pair: str | None = Field(None, description="Column with the id of the post's other half; halves stay together.")
    most: int | None = Field(None, ge=1, description="At most so many posts, drawn by chance; null: all.")
    spans: str | None = Field(
        None,
        description="Column with the places of the characters that harm: a post is harmful, and the same post without "
        "them is harmless.",
    )


class Recipe(Options):
    """How a starter is made."""

    name: str = Field(description="What its policy is called.")
    purpose: str = Field(description="What it is for, and what not, in a sentence.")
    label: str = Field(description="The label that it learns; the taxonomy's others are out of scope.")
    languages: tuple[str, ...] = Field(min_length=1, description="The languages of its posts, BCP 47.")
    model: str = Field("text-hashing", description="The model, by its name.")
    options: dict[str, Any] = Field({}, description="The model's options.")
    posts: int = Field(ge=1, description="Training posts of each set and class; where a set has fewer, repeated.")
    validation: float = Field(0.15, gt=0, lt=1, description="Share of each set's posts that validates.")
    seed: int = Field(0, ge=0, description="Draws and training begin here.")
    review: Objective = Field(description="What the threshold for review is chosen for; nothing is removed.")
    sets: dict[str, PostSet] = Field(min_length=2, description="What it learns from.")
    unseen: dict[str, PostSet] = Field({}, description="What it is measured on and never learns from.")

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not name.replace("-", "").isalnum():
            raise ValueError(f"{name!r} must be letters, digits and hyphens")
        return name

    @classmethod
    def load(cls, path: Path = DEFAULT) -> Self:
        """Read and check a recipe; raises WorkbenchError for what is wrong with it."""
        return cls.parse(read_yaml(path), f"recipe {path}")
