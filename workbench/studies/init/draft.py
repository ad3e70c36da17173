"""A study as it is guessed: the keys of its corpus with the reason for each, and what could not be told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy


@dataclass
class Draft:
    """What is known so far of a study.

    Attributes:
        corpus: keys of the corpus, without `source`; `labels`, `votes` and `annotators.label` are keyed by label.
        why: key, or `label NAME`, -> what the guess rests on.
        split, leaks: as in a study; models: entries of its models; pairs: what is compared.
        layout: the published layout that the file is in, if any.
        skip: keys that the layout leaves out on purpose; no_labels: columns that it says are none; open: what could not
            be told, as sentences.
    """

    corpus: dict[str, Any] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    split: dict[str, Any] = field(default_factory=dict)
    leaks: dict[str, Any] = field(default_factory=dict)
    models: list[dict[str, Any]] = field(default_factory=list)
    pairs: list[list[str]] = field(default_factory=list)
    layout: str | None = None
    skip: tuple[str, ...] = ()
    no_labels: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def tell(self, sentence: str) -> None:
        """Say once what could not be told, or was left out."""
        self.open += [] if sentence in self.open else [sentence]

    def set(self, key: str, value: Any, why: str) -> None:
        """Take a key of the corpus with the reason for it."""
        self.corpus[key], self.why[key] = value, why

    def drop(self, key: str, because: str) -> None:
        """Leave a key of the corpus out again, and say why."""
        del self.corpus[key]
        self.why.pop(key, None)
        self.tell(because)

    def label(self, name: str, origin: str, rule: Any, why: str) -> None:
        """Take a label, under `labels` or `votes`, with the reason for it."""
        self.corpus.setdefault(origin, {})[name] = rule
        self.why[f"label {name}"] = why

    @property
    def texts(self) -> list[str]:
        """The columns with the words."""
        given = self.corpus.get("text", [])
        return [given] if isinstance(given, str) else given

    @property
    def taken(self) -> set[str]:
        """The columns that some key names already, those of labels apart."""
        values = [*self.corpus.values(), *self.texts]
        values += [value.get("column", value.get("item")) for value in values if isinstance(value, dict)]
        values += [self.corpus.get("annotators", {}).get("who")]
        return {value for value in values if isinstance(value, str)}

    @property
    def places(self) -> dict[str, dict[str, Any]]:
        """The mappings that are keyed by label."""
        annotators = self.corpus.get("annotators", {})
        found = {name: self.corpus.get(name, {}) for name in ("labels", "votes")}
        return found | {"annotators": annotators.get("label", {})}

    @property
    def told(self) -> set[str]:
        """The columns that labels are read from."""
        rules = [rule for of_label in self.places.values() for rule in of_label.values()]
        named = [[rule] if isinstance(rule, str) else rule.get("columns") or [rule["column"]] for rule in rules]
        return {column for columns in named for column in columns}

    @property
    def labels(self) -> list[str]:
        """The names of all labels."""
        return [label for rules in self.places.values() for label in rules]

    def drop_label(self, name: str, because: str | None = None) -> None:
        """Leave a label out again, and say why."""
        for origin, rules in self.places.items():
            if rules.pop(name, None) is not None and not rules:
                del self.corpus[origin]
        self.why.pop(f"label {name}", None)
        if because:
            self.tell(because)

    def rename(self, old: str, new: str) -> None:
        """Call a label otherwise."""
        for rules in self.places.values():
            if old in rules:
                renamed = {new if label == old else label: rule for label, rule in rules.items()}
                rules.clear()
                rules.update(renamed)
        self.why = {f"label {new}" if key == f"label {old}" else key: why for key, why in self.why.items()}

    @property
    def own_labels(self) -> bool:
        """Whether the default taxonomy lacks some of the labels."""
        return bool(set(self.labels) - set(Taxonomy.load().names))

    def taxonomy(self) -> Taxonomy:
        """Return the default taxonomy where it has all labels, else one of them alone."""
        if not self.own_labels:
            return Taxonomy.load()
        listed = [{"name": name, "title": title(name), "definition": ""} for name in self.labels]
        return Taxonomy.parse({"labels": listed}, "the file's labels")


def title(label: str) -> str:
    """Return a label's name in plain words.

    >>> title("hate_speech")
    'Hate speech'
    """
    return label.replace("_", " ").capitalize()


def label_name(words: str, taken: list[str]) -> str:
    """Return what a taxonomy may call a label that people call so, another one where that is taken.

    >>> label_name("3. Hate Speech!", []), label_name("6", []), label_name("way", ["way"])
    ('hate_speech', 'label_6', 'way_2')
    """
    name = re.sub(r"[^a-z0-9]+", "_", _latin(words).lower()).strip("_")
    name = re.sub(r"^[0-9_]+(?=[a-z])", "", name)
    name = name if re.match("[a-z]", name) and name != "macro" else f"label_{name}".rstrip("_")
    number, own = 2, name
    while name in taken:
        name, number = f"{own}_{number}", number + 1
    return name


def _latin(words: str) -> str:
    from anyascii import anyascii

    return anyascii(words)


def checked_name(name: str) -> str:
    """Return a label's name; raise WorkbenchError for one that a taxonomy may not have."""
    if name != label_name(name, []):
        raise WorkbenchError(f"a label is called in small letters, digits and _, such as {label_name(name, [])}")
    return name
