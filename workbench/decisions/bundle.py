"""A bundle on disk: `model/`, `moderator.json` with a hash manifest, `policy.yaml`, `README.md`, maybe
`unusual/` and `languages/`, and `memory.json` once somebody has measured what serving takes; loading runs no code.

The manifest covers everything that scores depend on. The policy stands beside it: staff may edit or replace it, and it
is checked by what it says. The README is for people. Nothing else may lie in the folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from workbench import artifacts, models
from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy

HEAD, MODEL, POLICY, README, MEMORY = "moderator.json", "model", "policy.yaml", "README.md", "memory.json"
DETECTOR = "unusual"  # on disk since the first version: there if a detector of unusual posts belongs to the bundle
LANGUAGES = "languages"  # there if the model reads some languages only
BUNDLE = artifacts.ArtifactType(
    "bundle", HEAD, "make the bundle again with `workbench run` or fetch it again", free=(POLICY, README, MEMORY)
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


class ServingMemory(BaseModel):
    """What a process of its own took at its peak to load a bundle and score as the server does, in MiB.

    device: `cpu`, `cuda` or `mps`, and hardware its name; baseline_mb: resident with Python and torch, before the
    bundle was loaded; host_mb: resident in the end; decoders_mb: of the processes beside it that decode clips;
    accelerator_mb: allocated on the device, None on the CPU. texts, with_media: posts of one call of the model.
    measured: the day, as ISO 8601 has it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    device: str
    hardware: str
    baseline_mb: float
    host_mb: float
    decoders_mb: float
    accelerator_mb: float | None
    texts: int
    with_media: int
    measured: str
    versions: dict[str, str]

    @property
    def words(self) -> str:
        """All of it, in a phrase that begins with the device."""
        added = f"{self.baseline_mb:,.0f} of Python and torch, {self.host_mb - self.baseline_mb:,.0f} of the model"
        parts = [f"on {self.device} {self.host_mb:,.0f} MiB at the peak ({added})"]
        parts += [f"{self.decoders_mb:,.0f} MiB of the processes that decode clips"] if self.decoders_mb else []
        parts += [f"{self.accelerator_mb:,.0f} MiB allocated there"] if self.accelerator_mb is not None else []
        batch = f"scoring {self.texts} texts at once and {self.with_media} posts with media"
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{', '.join(parts)}; {batch}; {self.measured}, {self.hardware}, {versions}"


def memory(folder: Path) -> dict[str, ServingMemory]:
    """Return device -> what serving a bundle takes there, as measured; empty where nobody has, or the file is torn."""
    found = {}
    for device, values in (artifacts.read_json(folder / MEMORY) or {}).items():
        try:
            found[device] = ServingMemory.model_validate(values)
        except ValidationError:
            continue  # of another version: as good as not measured
    return found


def remember(folder: Path, measured: ServingMemory) -> None:
    """Write what serving a bundle takes on a device into its folder, in the place of what stood there of it."""
    found = memory(folder) | {measured.device: measured}
    artifacts.write_json(folder / MEMORY, {device: one.model_dump(mode="json") for device, one in found.items()})
