"""Pictures and clips by content: a file named by the sha256 of its bytes, whole or not there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from workbench import fingerprint
from workbench.artifacts import sync, write_bytes, write_text
from workbench.errors import WorkbenchError
from workbench.schema import Post


def blobs_of(post: Post) -> dict[str, bytes]:
    """Return {modality: bytes} of what a post brings by value; the text as UTF-8, lone surrogates kept."""
    texts = {} if post.text is None else {"text": post.text.encode(errors="surrogatepass")}
    media = {"image": post.image, "video": post.video}
    return texts | {name: file.bytes for name, file in media.items() if file is not None and file.bytes is not None}


def keep_private(path: Path) -> None:
    """Shut all but the owner out of a file or folder that is there."""
    with contextlib.suppress(OSError):  # there is none, or it is another's
        mode = path.stat().st_mode
        if mode & 0o077:
            path.chmod(mode & ~0o077)


class Blobs:
    """Files `<folder>/<first two digits>/<sha256>`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def belong(self, records: str, *, used: bool) -> None:
        """Mark the folder as that of some records, by their id; raises WorkbenchError where it belongs to others.

        used: whether those records name any content. What no records name is removed, so a folder must never stand
        beside others than its own.
        """
        keep_private(self.folder)
        mark = self.folder.with_name(f"{self.folder.name}.of")
        advice = f"put back the database that they belong to, or move {self.folder} and {mark.name} away"
        try:
            found = mark.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            if not used and next(self.folder.glob("??/*"), None) is not None:
                raise WorkbenchError(
                    f"{self.folder} has pictures and clips, and these records name none; {advice}"
                ) from None
            with contextlib.suppress(OSError):  # who cannot write here cannot remove anything either
                self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_text(mark, f"{records}\n")
            return
        if found != records:
            raise WorkbenchError(f"{self.folder} has the pictures and clips of other records; {advice}")

    @staticmethod
    def id_of(data: bytes) -> str:
        """Return the id of a blob: the sha256 of its bytes."""
        return fingerprint.of_bytes(data)

    def put(self, data: bytes) -> None:
        """Keep bytes for good, once; raises WorkbenchError where the disk does not take them."""
        path = self.path(self.id_of(data))
        try:
            if path.is_file() and path.stat().st_size == len(data):
                return
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)  # whatever files in it allow, nobody else gets at them
            path.parent.mkdir(exist_ok=True)
            try:
                write_bytes(path, data)
            except FileNotFoundError:  # another process started and swept the draft: it sweeps once
                write_bytes(path, data)
            for folder in (self.folder, self.folder.parent):  # a new folder lasts once its own is on disk
                sync(folder)
        except OSError as error:
            raise WorkbenchError(
                f"cannot write to {self.folder}: {error.strerror or error}; make room or check its permissions"
            ) from None

    def get(self, blob: str) -> bytes | None:
        """Return a blob's bytes, None where there is no file or where it holds something else."""
        try:
            data = self.path(blob).read_bytes()
        except (OSError, ValueError):
            return None
        return data if self.id_of(data) == blob else None

    def has(self, blob: str) -> bool:
        return self.path(blob).is_file()

    def remove(self, blob: str) -> None:
        try:
            self.path(blob).unlink(missing_ok=True)
        except OSError as error:
            raise WorkbenchError(
                f"cannot remove blob {blob} from {self.folder}: {error.strerror}; check its permissions"
            ) from None

    def swept(self) -> Iterator[tuple[str, set[str]]]:
        """Yield the first two digits of ids with the ids kept under them, and remove drafts of interrupted writes."""
        for folder in sorted(path for path in self.folder.glob("??") if path.is_dir()):
            names = set(os.listdir(folder))
            drafts = {name for name in names if name.endswith(".tmp") or name.startswith(".tmp-")}
            for name in drafts:
                with contextlib.suppress(OSError):
                    (folder / name).unlink()
            yield folder.name, {name for name in names - drafts if len(name) == 64}

    def path(self, blob: str) -> Path:
        return self.folder / blob[:2] / blob
