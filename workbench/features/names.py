"""Which encoder a name means, and which local files it is made of; needs no torch.

Three kinds of name: `tiny` (the encoder that ships), a folder in open_clip's `local-dir:` layout, and an open_clip
architecture with its weights after an `@`. `hf-hub:organisation/repository` works where there is a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.schema import ROOT, WorkbenchError

TINY = ROOT / "data" / "weights" / "tiny-clip"
CONFIG = "open_clip_config.json"
_SUFFIXES = {".json", ".safetensors", ".txt", ".model", ".bin", ".pt", ".pth"}  # a card's wording re-trains nothing
FORMS = f"'tiny', a folder with an {CONFIG}, or an open_clip name with weights such as 'ViT-B-32@openai'"


@dataclass(frozen=True)
class Source:
    """Where an encoder comes from: its kind, the folder or architecture, and for an architecture its weights."""

    kind: Literal["folder", "architecture", "hub"]
    where: str
    weights: str | None = None


def parse(name: str) -> Source:
    """Return the source that a name means; raises WorkbenchError where the name is empty or its folder is missing.

    >>> parse("ViT-B-32@openai")
    Source(kind='architecture', where='ViT-B-32', weights='openai')
    """
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise WorkbenchError(f"an encoder needs a name, not {name!r}; write {FORMS}")
    if name == "tiny":
        return Source("folder", str(_folder(TINY, "the encoder 'tiny' (notebooks/00 trains it)")))
    if name.startswith("hf-hub:"):
        return Source("hub", name)
    path = name.removeprefix("local-dir:")
    if path != name or Path(path).expanduser().is_dir() or ("@" not in name and ("/" in name or "\\" in name)):
        return Source("folder", str(_folder(_locate(path), f"the encoder {name!r}")))
    architecture, at, weights = name.partition("@")
    if at and not weights:
        raise WorkbenchError(f"encoder {name!r} names no weights after its '@'; write {FORMS}")
    if weights and _locate(weights).is_file():
        weights = str(_locate(weights))
    return Source("architecture", architecture, weights or None)


def encoder_files(name: str) -> list[Path]:
    """Return the local files whose content the encoder depends on, sorted; none where its name pins it (a tag)."""
    source = parse(name)
    if source.kind == "folder":
        return sorted(path for path in Path(source.where).iterdir() if path.suffix in _SUFFIXES and path.is_file())
    return [Path(source.weights)] if source.weights and Path(source.weights).is_file() else []


def _locate(path: str) -> Path:
    """A relative path is meant from the working directory, else from the repository."""
    given = Path(path).expanduser()
    return given.resolve() if given.exists() or given.is_absolute() else (ROOT / given).resolve()


def _folder(path: Path, what: str) -> Path:
    if not path.is_dir():
        raise WorkbenchError(f"{what} has no folder {path}; write {FORMS}")
    if not (path / CONFIG).is_file():
        raise WorkbenchError(f"{what} has no {CONFIG} in {path}; save it there, or write {FORMS}")
    return path
