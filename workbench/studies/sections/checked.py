"""The checklist, as the report shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from workbench.studies import checklist as questions
from workbench.studies.predictions import Run
from workbench.studies.sections.section import Section
from workbench.studies.wording import summary


def checklist(comparison: dict, runs: Sequence[Run]) -> Section:
    """Each question with its answer and what shows it."""
    items = questions.answered(comparison, {run.alias: summary.facts(run.folder) for run in runs})
    counts = Counter(item.answer for item in items)
    said = ", ".join(
        f"{counts[answer]} {answer}"
        for answer in (questions.YES, questions.PARTLY, questions.NO, questions.UNKNOWN)
        if counts[answer]
    )
    prose = (
        f"What reviewers of such studies ask (after REFORMS and the NeurIPS checklist), answered from the records "
        f"alone: {said}. What no record can show is for a person to answer."
    )
    table = pd.DataFrame(
        {"answer": [item.answer for item in items], "what shows it": [item.evidence for item in items]},
        index=[item.question for item in items],
    )
    return Section("checklist", "Would a reviewer be content?", prose, {}, {"": table})
