"""Which column is what, labels apart: by its name and by what it holds, held to the reader's own functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from workbench.corpora.files import cells
from workbench.corpora.files.times import times
from workbench.errors import WorkbenchError
from workbench.studies.init.draft import Draft
from workbench.studies.init.look import Contents, FileColumn, plainly

_WHERE = "the file"
_FAMILIES = 20  # fewer cannot be divided fairly
IDS = (
    "post_id postid comment_id tweet_id message_id example_id rewire_id case_id item_id doc_id uid guid uuid id nr no "
)
IDS += "index key"
_TEXTS = (
    "text body comment_text comment tweet_text tweet content message post sentence transcription caption ocr selftext "
    "utterance response document test_case statement headline claim title "
    "question words beitrag kommentar nachricht texte texto mensaje commentaire testo"
)
NAMES = {
    "split": "split set partition subset fold data_split",
    "language": "language lang locale language_code",
    "author": "author user username user_name screen_name author_id user_id poster account",
    "created_at": "created_at created_utc created timestamp datetime date time posted_at published published_at",
    "community": "community subreddit forum channel board",
    "region": "region country",
    "group": "group thread thread_id conversation_id conversation conv_id family templ_id template cluster link_id",
    "weight": "weight sample_weight",
}
_SPLITS = {
    "train": "train training trn tr dev_train",
    "validation": "validation valid val dev develop development",
    "test": "test testing tst eval evaluation held_out holdout",
}
_DAYS = ("%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y")
_DAYS += ("%d-%m-%y", "%m-%d-%y", "%B %d, %Y", "%d %B %Y", "%d %b %Y", "%b %d, %Y", "%d-%b-%Y", "%d-%b-%y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_FORMS = ("%Y", "%Y%m%d", *(f"{day}{clock}" for day in _DAYS for clock in _CLOCKS))
_ENDINGS = {
    "image": (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"),
    "video": (".mp4", ".webm", ".mov", ".mkv", ".avi", ".m4v"),
}
_MEDIA = {"image": {"image", "img", "picture", "photo", "meme"}, "video": {"video", "clip"}}
_ADDRESS = re.compile(r"(?:https?:)?//", re.IGNORECASE)


def content(seen: Contents, draft: Draft) -> None:
    """Fill in which columns are pictures, clips and words, where the layout has not said so."""
    for kind in ("image", "video"):
        if kind not in draft.corpus:
            _media(seen, draft, kind)
    if "text" not in draft.corpus:
        _text(seen, draft)


def others(seen: Contents, draft: Draft) -> None:
    """Fill in which columns are ids, author, time and the like, where the layout has not said so."""
    if "post_id" not in draft.corpus and "annotators" not in draft.corpus:
        _post_id(seen, draft)
    for key, holds in _HOLDS.items():
        if key not in draft.corpus and key not in draft.skip:
            _first(seen, draft, key, holds)


def columns_called(seen: Contents, names: str) -> list[FileColumn]:
    """Return the columns called by one of the names, the first names first, also as the last step of nested ones."""
    order = names.split()
    ranked = []
    for found in seen.columns.values():
        for name in (found.name, found.name.rpartition(".")[2]):
            plain = re.sub(r"\W+", "_", name.strip().lower()).strip("_")
            snake = "_".join(FileColumn(name, found.cells).words)
            rank = min((order.index(form) for form in (plain, snake) if form in order), default=None)
            if rank is not None:
                ranked.append((rank + 0.5 * ("." in found.name), found))
                break
    return [found for _, found in sorted(ranked, key=lambda pair: pair[0])]


def _free(draft: Draft, name: str) -> bool:
    """Say whether no key names this column yet."""
    return name not in draft.taken


# ------------------------------------------------------------------------------------------------------------- content


def _text(seen: Contents, draft: Draft) -> None:
    def wordy(found: FileColumn) -> bool:
        spaced = sum(count for value, count in found.said.items() if " " in value)
        return found.kind == "values" and found.numbers is None and 2 * spaced > sum(found.said.values()) > 0

    named = [found for found in columns_called(seen, _TEXTS) if wordy(found) and _free(draft, found.name)]
    if named:
        others = [found.name for found in named[1:]]
        also = f"; {', '.join(map(repr, others[:3]))} may be text too" if others else ""
        draft.set("text", named[0].name, f"by its name; {named[0].length:.0f} characters on average{also}")
        return
    wide = [found for found in seen.columns.values() if wordy(found) and _free(draft, found.name)]
    wide = [found for found in wide if len(found.said) > 1 and found.length >= 10]
    if wide:
        best = max(wide, key=lambda found: found.length * len(found.said))
        draft.set("text", best.name, f"the column with most words; {best.length:.0f} characters on average")


def _media(seen: Contents, draft: Draft, kind: str) -> None:
    """Take the column whose cells are bytes, or names of files with such endings; addresses are told, not taken."""
    for found in seen.columns.values():
        words = {*found.words}
        if found.kind == "media" and (words & _MEDIA[kind] or kind == "image") and _free(draft, found.name):
            draft.set(kind, found.name, "bytes or paths of files")
            return
        if found.kind != "values":
            continue
        paths = [value for value in found.said if value.lower().endswith(_ENDINGS[kind]) and " " not in value.strip()]
        if not paths or 2 * len(paths) < len(found.said):
            continue
        if sum(bool(_ADDRESS.match(path)) for path in paths):
            draft.tell(
                f"column {found.name!r} holds addresses such as {paths[0]:.60}; nothing is fetched, so download the "
                f"files and name them in `{kind}`"
            )
            continue
        if take_paths(seen, draft, kind, found):
            return


def take_paths(seen: Contents, draft: Draft, kind: str, found: FileColumn) -> bool:
    """Take a column of paths if its files are there, and the folder that they start at; else say that none is."""
    sample = list(found.said)[:50]
    folder = next((folder for folder in _folders(seen.folder) if _there(folder, sample, _ENDINGS[kind])), None)
    if folder is None:
        draft.tell(
            f"column {found.name!r} names files such as {sample[0]!r:.60}, but none is below {seen.folder}; put "
            f"them there, or name their folder in `{kind}s`, to have {'pictures' if kind == 'image' else 'clips'}"
        )
        return False
    draft.set(kind, found.name, "names of files, which are there")
    if folder != seen.folder or len({path.parent for path, _ in seen.files}) > 1:
        draft.set(f"{kind}s", str(folder.resolve()), "where these files lie")
    return True


def _folders(top: Path) -> list[Path]:
    """Return where files may lie: the folder itself, and those inside it."""
    inside = [path for path in sorted(top.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    return [top, *inside[:50], *(deep for path in inside[:20] for deep in sorted(path.iterdir())[:50] if deep.is_dir())]


def _there(folder: Path, names: Sequence[str], endings: Sequence[str]) -> bool:
    with suppress(OSError, ValueError):
        forms = [name for name in names if not name.startswith(("/", ".."))]
        return any((folder / name).is_file() for name in forms) or any(
            (folder / f"{name}{ending}").is_file() for name in forms for ending in endings
        )
    return False


# ----------------------------------------------------------------------------------------------------------------- ids


def _post_id(seen: Contents, draft: Draft) -> None:
    """Take the first column called like an id whose values stand for one row each."""
    for found in columns_called(seen, IDS):
        if found.kind == "values" and _free(draft, found.name) and take_ids(seen, draft, found):
            return


def take_ids(seen: Contents, draft: Draft, found: FileColumn) -> bool:
    """Take a column as the posts' ids if each stands for one row, or for the same row again; else say why not."""
    try:
        cells.ids(found.cells, [None] * len(found.cells), _WHERE, found.name)
    except WorkbenchError as error:
        draft.tell(str(error).removeprefix(f"{_WHERE}: ").capitalize())
        return False
    repeated = sum(count - 1 for count in found.counts.values())
    empty = len(found.cells) - sum(found.counts.values())
    if empty:
        draft.tell(f"column {found.name!r} is empty in {empty:,} rows, so it was not taken as the posts' ids")
    elif repeated and not same_rows(seen, found.name):
        twice = next(value for value, count in found.counts.items() if count > 1)
        draft.tell(
            f"column {found.name!r} names {repeated:,} rows as an earlier one, such as {twice!r}, but they differ; "
            "rows are numbered instead"
        )
    else:
        again = f"{repeated:,} rows repeat an earlier one, and are merged"
        draft.set("post_id", found.name, again if repeated else "each value stands in one row")
        return True
    return False


def same_rows(seen: Contents, name: str) -> bool:
    """Say whether rows with one value of a column are equal in all others, and of one split."""
    import pandas as pd

    values = seen.columns[name].values.to_pandas()
    rows = values[values.duplicated(keep=False)].index.to_numpy()
    places = [split or "" for (_, split), count in zip(seen.files, seen.rows, strict=True) for _ in range(count)]
    held = [found.cells.take(pa.array(rows)).to_pylist() for found in seen.columns.values() if "." not in found.name]
    contents = [repr(row) for row in zip(*held, [places[row] for row in rows], strict=True)]
    frame = pd.DataFrame({"id": values[rows].to_numpy(), "content": contents})
    return not frame.drop_duplicates()["id"].duplicated().any()


# ------------------------------------------------------------------------------------------------------------ the rest


def _first(seen: Contents, draft: Draft, key: str, holds: Callable[[FileColumn, Draft], str | None]) -> None:
    for found in columns_called(seen, NAMES[key]):
        usable = found.kind == "values" or (
            key == "author" and found.kind == "objects" and found.name + ".id" in seen.columns
        )
        if usable and _free(draft, found.name):
            why = holds(found, draft)
            if why:
                if key not in draft.corpus:
                    draft.set(key, found.name, why)
                return


def _split(found: FileColumn, draft: Draft) -> str | None:
    """Take a column whose values all mean a split; another one is no split."""
    meaning = {word: split for split, words in _SPLITS.items() for word in words.split()}
    values = {value: meaning.get(re.sub(r"\W+", "_", value.lower())) for value in found.said}
    if not all(values.values()) or len(set(values.values())) < 2 or found.gaps > 0.5 * len(found.cells):
        return None
    odd = {value: split for value, split in values.items() if value != split}
    draft.set(
        "split", {"column": found.name, "values": odd} if odd else found.name, f"its values: {plainly(found.said)}"
    )
    return draft.why["split"]


def _times(found: FileColumn, draft: Draft) -> str | None:
    """Take a column that is read as times, by the first form that suits all of it."""
    for form in (None, *_FORMS):
        try:
            read = times(found.cells, _WHERE, form, found.name)
        except WorkbenchError:
            continue
        if read.null_count == len(read):
            return None
        if form:
            draft.set("created_at", found.name, "times, as all of its values are written")
            _time_format(found, form, draft)
        return "times, as all of its values are written"
    some = next(iter(found.said), "")
    draft.tell(f"column {found.name!r} holds {some!r:.40}, which is no time in a known form; see `time_format`")
    return None


def _time_format(found: FileColumn, form: str, draft: Draft) -> None:
    """Take how times are written; where day and month could change places, say so with a value that both read."""
    places = {"%d": "%m", "%m": "%d"}
    other = re.sub("%[dm]", lambda match: places[match[0]], form)
    if other == form or not {"%d", "%m"} <= {*re.findall("%[a-z]", form)} or not _reads_as(found, other):
        draft.set("time_format", form, "all values are written so")
        return
    some = next((value for value in found.said if len({*re.findall(r"\d+", value)[:2]}) > 1), next(iter(found.said)))
    draft.set("time_format", form, f"unsure: {other} would read every value too")
    draft.tell(
        f"the times in {found.name!r} may be {form} or {other} (no day is above 12: {some!r} is either); {form} was "
        "taken: correct `time_format` where it is the other, or leave out `created_at`"
    )


def _reads_as(found: FileColumn, form: str) -> bool:
    with suppress(WorkbenchError):
        return times(found.cells, _WHERE, form, found.name) is not None
    return False


def _language(found: FileColumn, draft: Draft) -> str | None:
    few = len(found.said) <= 200 and found.numbers is None
    return f"its values: {plainly(found.said)}" if few and found.said else None


def _author(found: FileColumn, draft: Draft) -> str | None:
    with suppress(WorkbenchError):
        cells.author(found.cells, found.name, _WHERE)
        return f"{len(found.said):,} people" if found.kind == "values" else "who posted"
    return None


def _group(found: FileColumn, draft: Draft) -> str | None:
    several = _FAMILIES <= len(found.said) < 0.98 * sum(found.said.values())
    return f"{len(found.said):,} families of posts, none of which crosses the split" if several else None


def _weight(found: FileColumn, draft: Draft) -> str | None:
    with suppress(WorkbenchError):
        cells.weights(found.cells, len(found.cells), _WHERE, found.name)
        return "how many posts a row stands for" if found.numbers else None
    return None


_HOLDS: dict[str, Callable[[FileColumn, Draft], str | None]] = {
    "split": _split,
    "language": _language,
    "author": _author,
    "created_at": _times,
    "community": _language,
    "region": _language,
    "group": _group,
    "weight": _weight,
}
