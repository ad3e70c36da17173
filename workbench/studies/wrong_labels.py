"""Which labels of a study's posts to look at again: `evidence.noise` on its corpus, for a terminal or as a file."""

from __future__ import annotations

from pathlib import Path

from workbench import corpora
from workbench.evidence import noise
from workbench.schema import Taxonomy
from workbench.studies.config import StudyConfig, expand


def print_noise(path: Path, label: str, most: int, out: Path | None = None) -> None:
    """Print agreement and the surest suspects of one label of a study's corpus; with `out`, write all as CSV.

    Raises WorkbenchError for a corpus that cannot be loaded, an unknown label, or too few labelled texts.
    """
    study, taxonomy = StudyConfig.load(path), Taxonomy.load()
    table = corpora.load(expand(study.corpus, f"study {path}"), taxonomy).table
    votes = noise.votes_of(table, label)
    found = noise.suspected(table, taxonomy, label)
    if votes is not None:
        print(noise.agreement_line(noise.agreement_of(votes)))
    for line in noise.suspect_lines(found, label, most):
        print(line)
    if out is not None:
        found.to_csv(out, index=False)
        print(f"all of them: {out}", flush=True)
