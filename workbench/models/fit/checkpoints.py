"""Training that survives a kill: what it needs to go on, in one file that is there whole or not at all.

A checkpoint is a safetensors file with a line of JSON in its header; nothing pickled. While training runs there is
`<key>/running.safetensors`; when it is done, `<key>/done.safetensors` takes its place and is found by the next fit of
the same key. Of what is done, or was left unfinished for a week, what was used longest ago is deleted once all take
more than `KEEP` bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from workbench.artifacts import sweep_drafts, trim, writing
from workbench.errors import WorkbenchError

KEEP = 4 * 2**30  # bytes of finished and abandoned training
ABANDONED = 7 * 86_400  # seconds after which training that wrote no checkpoint is taken for given up
RUNNING, DONE, LOCK = "running.safetensors", "done.safetensors", ".lock"
Tensors = dict[str, torch.Tensor]


class Checkpoints:
    """The checkpoints of one training in `root / key`; root None keeps none."""

    def __init__(self, root: Path | None, key: str) -> None:
        self.root, self.folder = root, None if root is None else root / key

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Let others that train the same wait, as this waits for them: who comes second finds what is done."""
        if self.folder is None:
            yield
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from None
        with FileLock(self.folder / LOCK):
            yield

    def running(self) -> tuple[Tensors, dict[str, Any]] | None:
        """Return tensors and state of training that was interrupted, or None."""
        return self._read(RUNNING)

    def done(self) -> tuple[Tensors, dict[str, Any]] | None:
        """Return tensors and state of training that was finished, or None; it counts as used now."""
        saved = self._read(DONE)
        if saved is not None:
            with contextlib.suppress(OSError):
                os.utime(self.folder / DONE)
        return saved

    def save(self, tensors: Tensors, state: dict[str, Any]) -> None:
        """Write where training is, in the place of the checkpoint before."""
        self._write(RUNNING, tensors, state)

    def finish(self, tensors: Tensors, state: dict[str, Any]) -> None:
        """Write the outcome, drop the running checkpoint, and delete what was used longest ago beyond `KEEP`."""
        if self.folder is None:
            return
        self._write(DONE, tensors, state)
        (self.folder / RUNNING).unlink(missing_ok=True)
        trim((folder for folder in self.root.iterdir() if not _may_run(folder)), KEEP, spare=self.folder)

    def _write(self, name: str, tensors: Tensors, state: dict[str, Any]) -> None:
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            sweep_drafts(self.folder)
            tidy = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
            with writing(self.folder / name) as draft:
                save_file(tidy, draft, metadata={"state": json.dumps(state)})
        except (OSError, SafetensorError) as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: Exception) -> WorkbenchError:
        return WorkbenchError(f"cannot save the checkpoint in {self.folder}: {error}; free the disk")

    def _read(self, name: str) -> tuple[Tensors, dict[str, Any]] | None:
        """Return a file's content; None where there is none, or none that can be read: then training starts afresh."""
        if self.folder is None or not (self.folder / name).is_file():
            return None
        try:
            with safe_open(self.folder / name, "pt") as file:
                state = json.loads(file.metadata()["state"])
                return {key: file.get_tensor(key) for key in file.keys()}, state  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            return None


def _may_run(folder: Path) -> bool:
    """Say whether training may go on in a folder: it is not done, and wrote something within a week."""
    try:
        return not (folder / DONE).exists() and time.time() - folder.stat().st_mtime < ABANDONED
    except OSError:
        return True
