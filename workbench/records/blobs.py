"""Pictures and clips by content: a file named by the sha256 of its bytes, whole or not there."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from workbench import fingerprint
from workbench.errors import WorkbenchError
from workbench.schema import Post

_TEMPORARY = ".tmp-"


def contents_of(post: Post) -> dict[str, bytes]:
    """Return {modality: bytes} of what a post brings by value; the text as UTF-8, lone surrogates kept."""
    found = {} if post.text is None else {"text": post.text.encode(errors="surrogatepass")}
    media = {"image": post.image, "video": post.video}
    return found | {name: one.bytes for name, one in media.items() if one is not None and one.bytes is not None}


class Contents:
    """Files `<folder>/<first two digits>/<sha256>`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def id_of(data: bytes) -> str:
        """Return the id of a content: the sha256 of its bytes."""
        return fingerprint.of_bytes(data)

    def put(self, data: bytes) -> None:
        """Keep bytes for good, once; raises WorkbenchError where the disk does not take them."""
        path = self.path(self.id_of(data))
        try:
            if path.is_file() and path.stat().st_size == len(data):
                os.utime(path)  # whoever sweeps sees that it is wanted again
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(path, data)
        except OSError as error:
            raise WorkbenchError(
                f"cannot write to {self.folder}: {error.strerror or error}; make room or check its permissions"
            ) from None

    def _write(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}")
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        for folder in (path.parent, self.folder, self.folder.parent):  # a new name lasts once its folder is on disk
            _sync(folder)

    def get(self, content: str) -> bytes | None:
        """Return a content's bytes, None where there is no file or where it holds something else."""
        try:
            data = self.path(content).read_bytes()
        except (OSError, ValueError):
            return None
        return data if self.id_of(data) == content else None

    def has(self, content: str) -> bool:
        """Say whether there is a file of a content."""
        return self.path(content).is_file()

    def remove(self, content: str) -> None:
        """Remove a content's file, if there is one."""
        try:
            self.path(content).unlink(missing_ok=True)
        except OSError as error:
            raise WorkbenchError(
                f"cannot remove content {content} from {self.folder}: {error.strerror}; check its permissions"
            ) from None

    def older_than(self, seconds: float) -> Iterator[str]:
        """Yield the ids of files not wanted for so long, and remove what interrupted writes left."""
        before = time.time() - seconds
        for path in self.folder.glob("??/*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime > before:
                    continue
                if path.name.startswith(_TEMPORARY):
                    path.unlink()
                else:
                    yield path.name

    def path(self, content: str) -> Path:
        """Return where a content's file is, if it is kept."""
        return self.folder / content[:2] / content


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
