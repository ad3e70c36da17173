"""The leak gate: content that stands on both sides of a split makes a test score a memory test, so a study stops there.

Every run looks for what is exactly the same (`overlap`) and stops at the relations that its study holds (`hold`; by
default the same `group`, words, picture and clip). What takes longer is looked for once per study and is reported, or
held too where `fail_on` names it: near-duplicate texts, pictures and clips, meme templates, impossible times, and
models of metadata alone that score too well (`look`).

A study that accepts an overlap says so and why, `leaks: {allow: {text: "the published split is kept"}}`; the report
prints the reason.
"""

from workbench.evidence.audit.exact import overlap
from workbench.evidence.audit.looking import LOOKS, depends, look, seen_through
from workbench.evidence.audit.relations import (
    HELD,
    RELATIONS,
    LeakFound,
    LeakOptions,
    Relation,
    counted,
    hold,
    table,
)

__all__ = [
    "HELD",
    "LOOKS",
    "RELATIONS",
    "LeakFound",
    "LeakOptions",
    "Relation",
    "counted",
    "depends",
    "hold",
    "look",
    "overlap",
    "seen_through",
    "table",
]
