"""Studies: a YAML file names corpus, split, seeds and models; each model is one run, one notebook, one folder.

A study's folder holds `plan.json`, what was to be compared before the first scoring, `posts.parquet`, the facts of its
posts (`posts-<digest>.parquet`: of posts that it had before), a folder for each run and what these give together:
`comparison.json`, `report.html`, `cards/`.

A run folder holds `run.json` (written last, by rename), `metrics.json`, `predictions.parquet`, `executed.ipynb`,
`bundle/`, `log.txt`, and `code.patch` where its code was not its commit's; while a process works on it, also
`running.json`. A folder without a readable `run.json` is unfinished and nothing trusts it.
"""

from __future__ import annotations

import re

PLANNED, RUNNING, DONE = "planned", "running", "done"
FAILED, TIMEOUT, KERNEL_DIED, INTERRUPTED = "failed", "timeout", "kernel-died", "interrupted"


def last_line(text: str) -> str:
    """Return the last line of a text that says something, without terminal colours, at most 500 characters."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""
