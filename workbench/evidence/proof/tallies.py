"""What was counted in chunks of simulated worlds, kept in a file, so that an interrupted proof goes on.

A chunk is a line of JSON, appended when its worlds are done. It is known by its setting, the options that it hangs on
and the code that made it: other options count apart, and an edit of that code starts the setting anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from workbench.artifacts import write_text
from workbench.errors import WorkbenchError
from workbench.schema import ROOT

FILE = ROOT / "data" / "cache" / "prove.jsonl"


class Key(NamedTuple):
    """What chunks belong to: a setting's name, digests of the options and of the code."""

    setting: str
    options: str
    code: str


class Tallies:
    """Chunks of counts by key, of those settings that are asked about; without a file nothing is kept.

    Raises WorkbenchError where the file cannot be read or written.
    """

    def __init__(self, path: Path | None, keys: Iterable[Key]) -> None:
        self.path, self._known = path, {key: {} for key in keys}
        if path is not None and path.exists():
            self._read(path)

    def known(self, key: Key) -> Mapping[tuple[int, int], Counter]:
        """Return the chunks of a key: (first world, the one after its last) -> counts."""
        return self._known[key]

    def add(self, key: Key, chunk: range, counts: Counter) -> None:
        """Keep a chunk."""
        self._known[key][chunk.start, chunk.stop] = counts
        if self.path is not None:
            line = {**key._asdict(), "worlds": [chunk.start, chunk.stop], "counts": _plain(counts)}
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            except OSError as error:
                raise WorkbenchError(
                    f"cannot keep counts in {self.path}: {error.strerror}; name another --out"
                ) from None

    def _read(self, path: Path) -> None:
        """Take what the file holds of these keys; rewrite it where lines are torn or of their earlier code."""
        try:
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        except (OSError, UnicodeDecodeError) as error:
            raise WorkbenchError(f"cannot read the counts in {path}: {error}; delete it to start anew") from None
        code, kept = {key.setting: key.code for key in self._known}, []
        for line in lines:
            chunk = _parsed(line)
            if chunk is None or chunk["code"] != code.get(chunk["setting"], chunk["code"]):
                continue
            kept.append(line)
            key = Key(*(chunk[name] for name in Key._fields))
            if key in self._known:
                self._known[key][tuple(chunk["worlds"])] = _counter(chunk["counts"])
        if kept != lines:
            write_text(path, "".join(kept))


def _parsed(line: str) -> dict[str, Any] | None:
    """Return a chunk, None of a line that a kill has torn."""
    try:
        return json.loads(line) if line.endswith("\n") else None
    except json.JSONDecodeError:
        return None


def _plain(counts: Counter) -> list[list[Any]]:
    return [
        [list(key) if isinstance(key, tuple) else key, int(n) if n == int(n) else float(n)] for key, n in counts.items()
    ]


def _counter(counts: list[list[Any]]) -> Counter:
    found: Counter = Counter()
    found.update({tuple(key) if isinstance(key, list) else key: n for key, n in counts})
    return found
