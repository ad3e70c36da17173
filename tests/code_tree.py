"""This library's code as it would be after some edits, for digests of code; nothing of it is ever imported."""

from __future__ import annotations

from pathlib import Path

from workbench.fingerprint.closure import Library
from workbench.schema import ROOT

PACKAGE = "workbench"


class Edited(Library):
    """The library with some modules replaced, by dotted name; None: that there is none."""

    def __init__(self, root: Path, changes: dict[str, tuple[bool, str] | None]) -> None:
        super().__init__(root)
        self.changes = changes

    def source(self, name: str) -> tuple[bool, str] | None:
        return self.changes[name] if name in self.changes else super().source(name)


class Tree:
    """The package in `folder` (default this one), or the modules given alone; names go without the package's."""

    def __init__(self, folder: Path = ROOT, modules: dict[str, str] | None = None) -> None:
        self.folder, self.changes = folder, {}
        for name, source in (modules or {}).items():
            self.write(name, source, any(other.startswith(f"{name}.") for other in modules))

    def read(self, name: str) -> str:
        """The code of a module as it is now."""
        return self.library().source(f"{PACKAGE}.{name}")[1]

    def write(self, name: str, source: str | None, package: bool | None = None) -> None:
        """Replace a module, add one, or with None take it away."""
        dotted = f"{PACKAGE}.{name}"
        if package is None:
            package = (self.library().source(dotted) or [False])[0]
        self.changes[dotted] = None if source is None else (package, source)

    def edit(self, name: str, old: str, new: str) -> Tree:
        """Replace what stands in a module, which must be there."""
        source = self.read(name)
        assert old in source, f"{name} has no {old!r}"
        self.write(name, source.replace(old, new))
        return self

    def library(self) -> Library:
        """The code as it is now."""
        return Edited(self.folder, dict(self.changes))

    def names(self) -> list[str]:
        """The modules of the package, without its name."""
        paths = (path.relative_to(self.folder).with_suffix("") for path in (self.folder / PACKAGE).rglob("*.py"))
        return sorted({".".join(path.parts[1:]).removesuffix(".__init__") for path in paths} - {"", "__init__"})
