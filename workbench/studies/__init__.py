"""Studies: a YAML file names corpus, split, seeds and models; each model is one run, one notebook, one folder.

A run folder holds `run.json` (written last, by rename), `metrics.json`, `predictions.parquet`, `executed.ipynb`,
`bundle/`, and `log.txt`; while a process works on it, also `running.json`. A folder without a readable `run.json` is
unfinished and nothing trusts it.
"""

from __future__ import annotations

import re

PLANNED, RUNNING, DONE = "planned", "running", "done"
FAILED, TIMEOUT, KERNEL_DIED, INTERRUPTED = "failed", "timeout", "kernel-died", "interrupted"
STATES = (PLANNED, RUNNING, DONE, FAILED, TIMEOUT, KERNEL_DIED, INTERRUPTED)


def last_line(text: str) -> str:
    """Return the last line of a text that says something, without terminal colours, at most 500 characters."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""
