"""A corpus from the Hugging Face hub, or from a folder in its format, under the same mapping as `files`.

A set on the hub is named with the commit it stands at, so that the same study reads the same rows next year. Data only:
`datasets` runs no code of a set. Pictures and clips stay encoded; the workbench's own readers decode them.

Without a network `datasets` takes whatever version it prepared last and only logs it; here each commit has a cache
folder of its own, so it can find no other.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from workbench import fingerprint
from workbench.corpora.files.mapped import Part, stacked, table_of
from workbench.corpora.files.mapping import Mapping, Split
from workbench.corpora.files.media import KINDS
from workbench.corpora.reading.columns import read_for
from workbench.errors import WorkbenchError, unknown
from workbench.schema import ROOT, Taxonomy

# What a set's own splits are often called.
_USUAL = {"train": "train", "validation": "validation", "valid": "validation", "dev": "validation", "test": "test"}
_SETTINGS = {"HF_HUB_ETAG_TIMEOUT": "10", "HF_HUB_DOWNLOAD_TIMEOUT": "30", "HF_HUB_DISABLE_TELEMETRY": "1"}
_SETTINGS |= {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "DATASETS_VERBOSITY": "error"}
_PATIENCE = 10  # seconds for the hub to answer at all


class SourceOptions(Mapping):
    """Which set, at which commit, and which of its columns is what."""

    name: str = Field(min_length=1, description="The set on the hub, `owner/set`, or a folder in the hub's format.")
    config: str | None = Field(None, description="Which of the set's configurations, where it has several.")
    revision: str | None = Field(None, description="The commit: 40 hex digits; none for a folder.")
    splits: dict[Split, str] | None = Field(
        None, description="Which of the set's splits is what, such as {train: train, test: dev}; slices are possible."
    )
    offline: bool = Field(False, description="Whether only what was downloaded before is used, as by HF_HUB_OFFLINE.")

    @model_validator(mode="after")
    def _split_is_said_once(self) -> Self:
        if self.splits and self.split:
            raise ValueError("`splits` already says the split; leave out `split`")
        return self


def digest(options: SourceOptions, taxonomy: Taxonomy, folder: Path = ROOT) -> str:
    """Return what the corpus depends on: mapping, labels, and the commit, or the bytes of a folder's files.

    Needs no network. Raises WorkbenchError for a set without a commit and for a folder that is not there.
    """
    mapping = options.model_dump(mode="json", exclude={"offline", "name"})
    where = _where(options)
    options.check(taxonomy, where)
    return fingerprint.of_json(
        {"mapping": mapping, "content": _content(options, folder), "taxonomy": taxonomy.fingerprint}
    )


def build(options: SourceOptions, taxonomy: Taxonomy, folder: Path = ROOT) -> pa.Table:
    """Return the set as one table.

    Raises WorkbenchError, besides what `files` raises it for, for a set, commit, configuration or split that is not
    there, or that cannot be reached.
    """
    where = _where(options)
    options.check(taxonomy, where)
    content = fingerprint.of_json(_content(options, folder))
    cache = folder / "data" / "cache" / "hub" / f"{re.sub('[^A-Za-z0-9.-]', '_', Path(options.name).name)}-{content}"
    home = _local(options, folder)
    for variable, setting in _SETTINGS.items():
        os.environ.setdefault(variable, setting)  # read when the libraries are imported, which is from here on
    top = home or _snapshot(options)
    # A path without bytes may lead to what came with the set only: its own files, or archives unpacked beside.
    folders = {kind.column: (top / (getattr(options, kind.folder) or ""), cache) for kind in KINDS}
    parts = []
    for split, data in _loaded(options, home, cache):
        table = _plain(data, options)
        parts.append(Part(table, data.column_names, len(data), split, f"{where}, split {data.split}", folders))
    return table_of(stacked(parts, options), options, taxonomy, where, parts)


# ------------------------------------------------------------------------------------------------------------ the set


def _where(options: SourceOptions) -> str:
    return f"set {options.name!r}"


def _local(options: SourceOptions, folder: Path) -> Path | None:
    path = folder / options.name
    return path if path.is_dir() else None


def _content(options: SourceOptions, folder: Path) -> list[Any]:
    """Return what tells the set's content: its name and commit, or its files by their bytes."""
    home = _local(options, folder)
    if home is not None:
        if options.revision:
            raise WorkbenchError(f"{_where(options)} is a folder, which has no commits; leave out `revision`")
        paths = sorted(path for path in home.rglob("*") if path.is_file() and not path.name.startswith("."))
        return [[path.relative_to(home).as_posix(), fingerprint.of_file(path)] for path in paths]
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", options.name):
        raise WorkbenchError(
            f"there is no folder {folder / options.name}, and a set on the hub is called owner/set; check `name`"
        )
    if not re.fullmatch("[0-9a-f]{40}", options.revision or ""):
        got = f"not {options.revision!r}, which may move" if options.revision else "which keeps a study repeatable"
        raise WorkbenchError(
            f"{_where(options)} needs `revision`, the 40 hex digits of a commit, {got}; "
            "the set's page shows them under Files, History"
        )
    return [options.name, options.revision]


def _snapshot(options: SourceOptions) -> Path:
    """Return where the hub's library keeps the files of a commit."""
    from huggingface_hub import constants

    return (
        Path(constants.HF_HUB_CACHE) / f"datasets--{options.name.replace('/', '--')}" / "snapshots" / options.revision
    )


def _loaded(options: SourceOptions, home: Path | None, cache: Path) -> list[tuple[Split | None, Any]]:
    """Return each split's place and its `datasets.Dataset`, whose pictures and clips are not decoded."""
    import datasets

    offline = _is_offline(options)
    reached = home is not None or not (offline or not _reachable())
    arguments = {"name": options.config, "revision": options.revision, "cache_dir": str(cache)}
    arguments["download_config"] = datasets.DownloadConfig(max_retries=1)
    if options.splits:
        arguments["split"] = list(options.splits.values())
    try:
        with _cut_off(not reached):
            loaded = datasets.load_dataset(str(home or options.name), **arguments)
    except Exception as error:
        raise WorkbenchError(_sentence(error, options, reached, offline)) from None
    if options.splits:
        return list(zip(options.splits, loaded, strict=True))
    if len(loaded) == 1:
        return [(None, data) for data in loaded.values()]  # one split is none
    for split in loaded:
        if split not in _USUAL:
            meant = unknown("split", split, _USUAL)
            raise WorkbenchError(f"{_where(options)}: {meant}; say in `splits` which is train, validation and test")
    return [(_USUAL[split], data) for split, data in loaded.items()]


def _sentence(error: Exception, options: SourceOptions, reached: bool, offline: bool) -> str:
    """Return what a user can do about a set that was not loaded."""
    if not reached:
        off = "is switched off (HF_HUB_OFFLINE or `offline`)" if offline else "cannot be reached"
        return (
            f"{_where(options)} at {options.revision[:12]} was not loaded before, and the hub {off}; "
            "load it once with a network, or name a folder that holds it"
        )
    message = " ".join(str(error).split())[:300].rstrip(".")
    return f"{_where(options)} cannot be loaded: {message}; check `name`, `revision`, `config` and `splits`"


# ------------------------------------------------------------------------------------------------------------ the hub


def _is_offline(options: SourceOptions) -> bool:
    """Say whether anybody switched the network off, before or after the libraries were imported."""
    import datasets

    envs = (os.environ.get(name, "").upper() for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"))
    return options.offline or datasets.config.HF_HUB_OFFLINE or any(env in ("1", "ON", "YES", "TRUE") for env in envs)


def _reachable() -> bool:
    """Say whether the hub answers at all; the library itself would try six times, half a minute or more."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
    except Exception:  # whatever a session raises without a network
        return False
    return True


@contextlib.contextmanager
def _cut_off(offline: bool) -> Iterator[None]:
    """Keep the libraries from any request; they read their switch at import, which may be long ago."""
    import datasets
    from huggingface_hub import constants

    before = [(module, module.HF_HUB_OFFLINE) for module in (datasets.config, constants)]
    for module, value in before:
        module.HF_HUB_OFFLINE = value or offline
    try:
        yield
    finally:
        for module, value in before:
            module.HF_HUB_OFFLINE = value


# ---------------------------------------------------------------------------------------------------------- its columns


def _plain(data: Any, mapping: Mapping) -> pa.Table:
    """Return the mapped columns of a `datasets.Dataset` as stored, class labels by their names."""
    wanted = {form for name in mapping.columns for form in read_for(name)}
    table = data.with_format("arrow")[:] if data._indices is not None else data.data.table
    table = table.select([name for name in table.column_names if name in wanted])
    for place, name in enumerate(table.column_names):
        table = table.set_column(place, name, _named(table[name], data.features[name]))
    return table.replace_schema_metadata(None)


def _named(cells: pa.ChunkedArray, feature: Any) -> pa.ChunkedArray:
    """Return a column of class numbers, or of lists of them, as names; -1, which hides a test set's labels, as null."""
    inner = getattr(feature, "feature", feature)
    names = getattr(inner, "names", None)
    if not names or inner._type != "ClassLabel":
        return cells
    if inner is feature:
        return pc.take(pa.array(names), pc.if_else(pc.less(cells, 0), None, cells))
    lists = [row and [names[code] for code in row if code >= 0] for row in cells.to_pylist()]
    return pa.chunked_array([pa.array(lists, pa.list_(pa.string()))])
