"""The code of this library as this process imported it: a file that is edited later is not what runs here.

Open doubt: a process that is started later, such as one that decodes clips, runs what its files hold then.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

OWN = __name__.partition(".")[0]
ROOT = Path(__file__).parents[2]
Source = tuple[bool, str]  # whether a module is a package, and its code
_IMPORTED: dict[str, Source | None] = {}
_REPLACED: list[str] = []


def read(root: Path, name: str) -> Source | None:
    """Return what the file of a module by its dotted name holds now; None where there is none."""
    base = root.joinpath(*name.split("."))
    for path in (base / "__init__.py", Path(f"{base}.py")):
        if path.is_file():
            return path.name == "__init__.py", path.read_text(encoding="utf-8-sig")
    return None


def edition() -> int:
    """Return how often a module was imported again, after which other code runs here."""
    return len(_REPLACED)


def running(name: str) -> Source | None:
    """Return the code of a module as it was when it was imported here; of one that was not, as it is now."""
    return _IMPORTED[name] if name in _IMPORTED else read(ROOT, name)


class _Recorder(importlib.abc.MetaPathFinder):
    """Reads a module of ours at the moment when it is looked for to be imported, and leaves finding it to others."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Take in the code of a module that is about to be imported, or imported again."""
        if name.partition(".")[0] == OWN:
            source, before = read(ROOT, name), _IMPORTED.get(name)
            _REPLACED.extend([name] if before not in (None, source) else [])
            _IMPORTED[name] = source


_IMPORTED |= {name: read(ROOT, name) for name in list(sys.modules) if name.partition(".")[0] == OWN}
sys.meta_path.insert(0, _Recorder())
