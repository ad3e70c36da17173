"""A bundle on disk: `model/`, `moderator.json` with a hash manifest, `policy.yaml`, `README.md`, maybe
`unusual/` and `languages/`; loading runs no code.

The manifest covers everything that scores depend on. The policy stands beside it: staff may edit or replace it, and it
is checked by what it says. The README is for people. Nothing else may lie in the folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench import artifacts, models
from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy

HEAD, MODEL, POLICY, README = "moderator.json", "model", "policy.yaml", "README.md"
DETECTOR = "unusual"  # on disk since the first version: there if a detector of unusual posts belongs to the bundle
LANGUAGES = "languages"  # there if the model reads some languages only
BUNDLE = artifacts.ArtifactType(
    "bundle", HEAD, "make the bundle again with `workbench run` or fetch it again", free=(POLICY, README)
)


def read(folder: Path | str) -> dict[str, Any]:
    """Return the head of a bundle after holding every file against its manifest; raise WorkbenchError otherwise."""
    return artifacts.read(folder, BUNDLE)


def missing(folder: Path | str) -> str:
    """Return in a sentence which extra a bundle's model needs that is not installed; empty where there is none.

    Raises WorkbenchError for a damaged or changed folder.
    """
    head = read(folder)
    if models.extra(head["model"]) is None:
        return ""
    try:
        models.artefacts(head["model"], head["options"])
    except WorkbenchError as error:
        return str(error)
    return ""


def model_digest(folder: Path) -> str:
    """Return the digest of a saved model: its head's, which covers every file of it."""
    return json.loads((folder / "model.json").read_text(encoding="utf-8"))["sha256"]


def taxonomy(head: dict[str, Any], folder: Path, given: Taxonomy | None) -> Taxonomy:
    """Return the taxonomy to use: the one given, if the bundle was made for it, else the bundle's own."""
    values = {name: value for name, value in head["taxonomy"].items() if name != "fingerprint"}
    own = Taxonomy.parse(values, f"the taxonomy of the bundle in {folder}")
    if given is None:
        return own
    given.check(own.fingerprint, f"the bundle in {folder}", own.names)
    return given
