"""From a mapping to a study that runs: what does not hold when the posts are read is left out, and said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench import corpora
from workbench.corpora import counts
from workbench.corpora.splits import SPLITS, SplitOptions, assign
from workbench.errors import WorkbenchError
from workbench.schema import ROOT
from workbench.studies.init import kept
from workbench.studies.init.draft import Draft
from workbench.studies.init.look import Contents

if TYPE_CHECKING:
    import pyarrow as pa

_FEW = 2_000  # posts, below which more of them are for testing
_OTHER_PICTURE = "the same words with another picture make another post, and the same picture with other words"
_ALIKE = "written differently, and alike only after cleaning"


def place(seen: Contents, draft: Draft) -> None:
    """Say which files the corpus is in, by the split that their names say; those without any label are left out."""
    split: dict[str, Any] = {}
    for path, part in seen.files:
        full = path.resolve()
        split.setdefault(part, []).append(str(full.relative_to(ROOT)) if full.is_relative_to(ROOT) else str(full))
    plain = {part: files[0] if len(files) == 1 else files for part, files in split.items()}
    why = {"encoding": "as you said", "quotes": "a quoted cell has several lines"}
    for key, value in seen.how.model_dump(exclude_none=True).items():
        draft.set(key, value, why[key])
    if None in plain:
        draft.corpus = {"path": plain[None], **draft.corpus}
        return
    draft.corpus = {"paths": plain, **draft.corpus}
    draft.why["paths"] = "the split that the files' names say"
    if "split" in draft.corpus:
        draft.drop("split", "the files' names say the split; the column that says one too was left out")


def without_labels(seen: Contents, draft: Draft) -> Contents:
    """Return the contents without files in which no label is told, as test files of competitions."""
    names = draft.told
    content = [*draft.texts, *(draft.corpus[key] for key in ("image", "video") if key in draft.corpus)]
    bare = []
    for at, (path, _) in enumerate(seen.files):
        told = [[*seen.slices(name)][at].null_count < seen.rows[at] for name in names if name in seen.columns]
        there = [[*seen.slices(name)][at].null_count < seen.rows[at] for name in content]
        if len(seen.files) > 1 and not (any(told) and any(there)):
            bare.append(path)
    if not names or not bare or len(bare) == len(seen.files):
        return seen
    listed = ", ".join(path.name for path in bare)
    draft.tell(f"{listed} left out: no post with its label is in there; join the labels to have it")
    return seen.without(bare)


def settle(seen: Contents, draft: Draft) -> dict[str, pa.Table]:
    """Read the posts as a run would, divide them, leave out what then leaks or says nothing; return the sets.

    Raises WorkbenchError where the posts cannot be read by what is mapped.
    """
    corpus = {"source": "files", **draft.corpus}
    table = corpora.load(corpus, draft.taxonomy()).table
    for label, told in counts.of_labels({"all": table}, draft.taxonomy())["all"].items():
        if label in draft.labels and not (told["yes"] and told["no"]):
            draft.drop_label(label, f"label {label} left out: {counts.said(told)}")
    if not draft.labels:
        return {}
    kept.narrow(table, seen, draft)
    shares = {"validation": 0.2, "test": 0.3} if len(table) < _FEW else {"validation": 0.15, "test": 0.25}
    draft.split = {"by": "group", **shares}
    return _without_leaks(seen, draft)


def _without_leaks(seen: Contents, draft: Draft) -> dict[str, pa.Table]:
    """Divide the posts; families and splits of the file's own that the same content crosses are left out first."""
    from workbench.evidence import audit

    table = corpora.load({"source": "files", **draft.corpus}, draft.taxonomy()).table
    try:
        part = assign(table, draft.taxonomy(), SplitOptions.parse(draft.split, "split"))
    except WorkbenchError as error:
        if "group" in draft.corpus:
            draft.drop("group", f"by the families of {draft.corpus['group']!r} {error}; so they were left out")
            return _without_leaks(seen, draft)
        draft.tell(f"the posts cannot be divided yet: {error}")
        return {}
    sets = {name: table.filter(part == name) for name in SPLITS}
    found = audit.overlap(sets)
    leaks = {name: found[name] for name in audit.HELD if found[name]["overlap"]}
    both = "image" in draft.corpus and "text" in draft.corpus
    whole = {name: leak for name, leak in leaks.items() if not (both and name in ("text", "image"))}
    said = ", ".join(audit.counted(name, leak["overlap"]) for name, leak in whole.items())
    if whole and "group" in draft.corpus:
        name = draft.corpus["group"]
        draft.drop(
            "group", f"{said} stand in several families of {name!r}, so posts are grouped by what they say instead"
        )
        return _without_leaks(seen, draft)
    if whole and ("split" in draft.corpus or "paths" in draft.corpus):
        _without_own_split(draft, said)
        return _without_leaks(seen, draft)
    if leaks:
        draft.leaks = {"allow": {name: _ALIKE if name in whole else _OTHER_PICTURE for name in leaks}}
    return sets


def _without_own_split(draft: Draft, said: str) -> None:
    keep = "to keep it as published, map it again and say why in `leaks: {allow: ...}`"
    if "split" in draft.corpus:
        draft.drop("split", f"the file's own split was left out: {said} stand on both sides of it; {keep}")
        return
    files = [
        file for some in draft.corpus.pop("paths").values() for file in ([some] if isinstance(some, str) else some)
    ]
    draft.why.pop("paths", None)
    draft.corpus = {"path": files, **draft.corpus}
    draft.tell(f"the files were put together and divided anew: {said} stand on both sides of their split; {keep}")
