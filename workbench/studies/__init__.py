"""Studies: a YAML file names corpus, split, seeds and models; each model is one run, one notebook, one folder.

A run folder holds `run.json` (written last, by rename), `metrics.json`, `predictions.parquet`, `executed.ipynb`,
`bundle/`, and `log.txt`; while a process works on it, also `running.json`. A folder without a readable `run.json` is
unfinished and nothing trusts it.
"""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path
from typing import Any

PLANNED, RUNNING, DONE = "planned", "running", "done"
FAILED, TIMEOUT, KERNEL_DIED, INTERRUPTED = "failed", "timeout", "kernel-died", "interrupted"
STATES = (PLANNED, RUNNING, DONE, FAILED, TIMEOUT, KERNEL_DIED, INTERRUPTED)


def write_text(path: Path, text: str) -> Path:
    """Write a file whole or not at all: to a temporary name beside it, flushed to the disk, then renamed.

    Raises OSError as the file system does; the old content, if any, then stays.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with open(draft, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return path


def write_json(path: Path, value: Any) -> Path:
    """Write a value as JSON, whole or not at all; NaN and infinity are refused with ValueError."""
    return write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file, or None where the file is missing, torn or no object; NaN is read as None."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda name: None)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def last_line(text: str) -> str:
    """Return the last line of a text that says something, without terminal colours, at most 500 characters."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""
