"""Models in the format of Hugging Face's hub: the folder that a name means, and every failure to have it in a sentence.

A name is a folder with a `config.json`, or `organisation/repository@revision`, best with a commit as the revision. A
repository is brought into the hub's local cache at one commit and read from there like any folder: safetensors only,
never its code. Whoever loads open_clip's repositories shares the checks here. Importing this needs no torch.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from workbench.errors import WorkbenchError
from workbench.schema import ROOT

log = logging.getLogger(__name__)
CONFIG = "config.json"
HUB = "hf-hub:"
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
PATTERNS = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")
COMMIT = 40  # hex digits
SUFFIXES = {".json", ".safetensors", ".txt", ".model", ".jinja"}  # a card's wording re-trains nothing
NEEDS = (CONFIG, "the weights (.safetensors)", "the tokenizer files")
FORMS = f"'organisation/repository@commit' or a folder with a {CONFIG}"


class Repository(NamedTuple):
    """Where a model comes from: a local folder, or a repository of the hub with its revision."""

    folder: Path | None
    where: str = ""
    revision: str | None = None


def locate(name: str, what: str) -> Repository:
    """Return what a name means; raises WorkbenchError for a name of neither kind and a folder without a model.

    >>> locate("an-organisation/a-bert@a1b2c3", "encoder")
    Repository(folder=None, where='an-organisation/a-bert', revision='a1b2c3')
    """
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise WorkbenchError(f"{what} {name!r} names nothing; write {FORMS}")
    given = Path(name).expanduser()
    for folder in (given, ROOT / given):
        if folder.is_dir():
            if not (folder / CONFIG).is_file():
                raise WorkbenchError(f"{what} {name!r} has no {CONFIG} in {folder}; write {FORMS}")
            return Repository(folder.resolve())
    repository = name.removeprefix(HUB)
    if not REPOSITORY.fullmatch(repository) or name.startswith((".", "~")):
        raise WorkbenchError(f"{what} {name!r} is neither a folder that is there nor a repository; write {FORMS}")
    where, _, revision = repository.partition("@")
    return Repository(None, where, revision or None)


def check(name: str, what: str) -> Repository:
    """Return what a name means; raises WorkbenchError for whatever can be seen to be wrong without loading it."""
    repository = locate(name, what)
    if repository.folder is None:
        require_cached(f"{what} {name!r}", repository.where, CONFIG, repository.revision)
    return repository


def files(name: str, what: str) -> list[Path]:
    """Return the local files whose content the model depends on, sorted; none where a repository's name pins it.

    Raises WorkbenchError as `check` does.
    """
    folder = check(name, what).folder
    if folder is None:
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())


def obtain(name: str, what: str) -> Path:
    """Return the folder with the model's files, from the local cache or downloaded; warns where nothing pins it.

    Raises WorkbenchError in one sentence where it cannot be had.
    """
    repository = check(name, what)
    if repository.folder is not None:
        return repository.folder
    from huggingface_hub import snapshot_download

    with explained(f"{what} {name!r}", repository):
        folder, commit = pinned(what, name, repository.where, repository.revision, CONFIG)
        snapshot_download(repository.where, revision=commit, allow_patterns=list(PATTERNS), ignore_patterns="*/*")
    return folder


@contextlib.contextmanager
def explained(subject: str, source: Repository, needs: tuple[str, ...] = NEEDS, step: str = "") -> Iterator[None]:
    """Raise WorkbenchError saying in one sentence why a model cannot be had or loaded, whatever is raised within.

    subject: such as "encoder 'NAME'"; needs: the files that a model is made of, its configuration first; step: what to
    do where the source is neither a folder nor a repository.
    """
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:  # open_clip, timm, transformers, safetensors, tokenizers and the hub raise a dozen kinds
        cause = " ".join(str(error).split())[:300] or type(error).__name__
        if source.folder is not None:
            step = f"check {' and '.join(needs)} in {source.folder}"
        elif not step:
            cause, step = _hub_cause(source, error, cause, f"it lacks {' or '.join(needs)}")
        if isinstance(error, json.JSONDecodeError):
            cause = f"{needs[0]} is not valid JSON ({cause})"
        raise WorkbenchError(f"{subject} cannot be loaded ({cause}); {step}") from error


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers from drawing a bar for the tensors that it reads."""
    from transformers.utils import logging as bars

    drawn = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            bars.enable_progress_bar()


def require_cached(subject: str, where: str, file: str, revision: str | None) -> None:
    """Raise WorkbenchError where the hub is switched off and the local cache lacks a repository's file."""
    import huggingface_hub

    cached = huggingface_hub.try_to_load_from_cache(where, file, revision=revision)
    if huggingface_hub.is_offline_mode() and not isinstance(cached, str):
        raise WorkbenchError(
            f"{subject} is not in the local cache, and HF_HUB_OFFLINE switches the hub off; "
            "unset that, or save the model in a folder and name it"
        )


def pinned(what: str, name: str, where: str, revision: str | None, file: str) -> tuple[Path, str]:
    """Return the local folder of a repository of the hub at one commit, with that file in it, and the commit.

    A name that may mean something else tomorrow is said in one line, with how to write it so that it does not.
    """
    from huggingface_hub import hf_hub_download

    folder = Path(hf_hub_download(where, file, revision=revision)).parent
    commit = folder.name  # `<cache>/models--organisation--repository/snapshots/<commit>/`
    if revision is None or len(revision) != COMMIT:
        fixed = f"{name.partition('@')[0]}@{commit}"
        log.warning("%s %r may change on the hub; write %r to pin it", what, name, fixed)
    return folder, commit


def _hub_cause(source: Repository, error: Exception, cause: str, lacks: str) -> tuple[str, str]:
    """Return why a repository could not be had, and what to do."""
    from huggingface_hub import errors, is_offline_mode

    if isinstance(error, errors.LocalEntryNotFoundError):
        if is_offline_mode():
            return "it is not whole in the local cache, and HF_HUB_OFFLINE switches the hub off", "unset that"
        return "the hub cannot be reached and the local cache does not have it", "check the network"
    if isinstance(error, errors.GatedRepoError):
        return "its owner lets only some people have it", f"ask for access on the hub's page of {source.where}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"the hub has no revision {source.revision!r} of it", "name a commit, a tag or a branch that is there"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the hub has no repository {source.where!r}, or hides it", "check the spelling, or log in to the hub"
    if isinstance(error, errors.EntryNotFoundError):
        return lacks, "name a repository that has them"
    return cause, "check the network, or save the model in a folder and name that"
