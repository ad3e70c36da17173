"""What people do to a text, a picture or a clip before they post it again, and how much of that the gate sees through.

`tried` edits contents of one kind, each in every way, and counts how many the gate names with their originals: in
simulated worlds (`evidence.proof.planted`), and among a corpus's own posts, since it depends on these what is found:
drawings of few strokes have nothing that could be recognised once it is moved, and words that stand in every post
recognise none.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from workbench.evidence.attacks import clips, texts
from workbench.evidence.audit import exact
from workbench.preprocessing import media
from workbench.schema import INPUTS, declared

WORDS = 8  # a text of at least so many words is edited
OWN = 12  # contents of a corpus's own that are edited
Look = Callable[[Mapping[str, pa.Table]], dict[str, dict[str, Any]]]


# ---------------------------------------------------------------------------------------------------------------- texts


def _cut_off(words: list[str], rng: np.random.Generator) -> list[str]:
    return [*words[: round(2 * len(words) / 3)], "..."]


def _two_dropped(words: list[str], rng: np.random.Generator) -> list[str]:
    dropped = rng.choice(len(words), 2, replace=False)
    return [word for place, word in enumerate(words) if place not in dropped]


def _swapped(words: list[str], rng: np.random.Generator) -> list[str]:
    at = int(rng.integers(len(words) - 1))
    return [*words[:at], words[at + 1], words[at], *words[at + 2 :]]


def _one_more(words: list[str], rng: np.random.Generator) -> list[str]:
    at = int(rng.integers(len(words) + 1))
    return [*words[:at], "indeed", *words[at:]]


def _one_changed(words: list[str], rng: np.random.Generator) -> list[str]:
    at = int(rng.integers(len(words)))
    return [*words[:at], "indeed", *words[at + 1 :]]


REWRITES: dict[str, Callable[[list[str], np.random.Generator], list[str]]] = {
    "cut off after two thirds": _cut_off,
    "leet": lambda words, rng: texts.REWRITES["leet"](" ".join(words), 1.0, rng).split(),
    "spaced letters": lambda words, rng: texts.REWRITES["spaced"](" ".join(words), 1.0, rng).split(),
    "quoted": lambda words, rng: ["RT", "@somebody:", *words, "this", "is", "so", "wrong"],
    "pasted into another": lambda words, rng: [*rng.permutation(words[::-1]).tolist(), *words],
    "two words dropped": _two_dropped,
    "two neighbours swapped": _swapped,
    "a word more": _one_more,
    "a word changed": _one_changed,
}
"""What is done to a text of at least `WORDS` words, from its words to other words."""


# ------------------------------------------------------------------------------------------------------------- pictures


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Return the picture as it is after JPEG of a quality."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(data).convert("RGB")


def resized(image: Image.Image, factor: float) -> Image.Image:
    """Return the picture at another size, its shape kept."""
    return image.resize(tuple(max(1, round(factor * side)) for side in image.size))


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Return the picture without a share of each side."""
    width, height = image.size
    return image.crop((round(share * width), round(share * height), *(round((1 - share) * n) for n in (width, height))))


def under_logo(image: Image.Image, share: float) -> Image.Image:
    """Return the picture with a square of one colour over a share of it; where and which follows from the picture."""
    rng = np.random.default_rng(np.asarray(image)[0, 0])
    width, height = image.size
    side = min(round((share * width * height) ** 0.5), width, height)
    at = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
    edited = image.copy()
    edited.paste(tuple(rng.integers(0, 256, 3).tolist()), (*at, at[0] + side, at[1] + side))
    return edited


def captioned(image: Image.Image) -> Image.Image:
    """Return the picture under a white bar with words, a quarter as high as it is."""
    width, height = image.size
    page = Image.new("RGB", (width, height + height // 4), "white")
    page.paste(image, (0, height // 4))
    ImageDraw.Draw(page).text((8, 8), "WHEN YOU SEE IT\nAGAIN AND AGAIN", fill="black", font_size=max(12, height // 14))
    return page


def in_screenshot(image: Image.Image) -> Image.Image:
    """Return a tall page of a telephone that shows the picture between a bar and lines of words."""
    page, rng = Image.new("RGB", (900, 1600), (245, 245, 248)), np.random.default_rng(image.size[0])
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, 900, 110), fill=(30, 60, 120))
    for line in (*range(150, 380, 40), *range(1250, 1550, 40)):
        words = rng.choice(("hello", "people", "what", "this", "today", "share", "never"), 8)
        draw.text((40, line), " ".join(words), fill=(20, 20, 20), font_size=28)
    scale = min(800 / side for side in image.size)
    page.paste(image.resize(tuple(max(1, round(scale * side)) for side in image.size)), (50, 400))
    return page


ENCODED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 50": lambda image: jpeg(image, 50),
    "JPEG 20": lambda image: jpeg(image, 20),
    "half the size": lambda image: resized(image, 0.5),
    "1.5 times the size": lambda image: resized(image, 1.5),
    "palette": lambda image: image.quantize(128, Image.Quantize.FASTOCTREE).convert("RGB"),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    "crop 3 %": lambda image: cropped(image, 0.03),
    "mirrored": ImageOps.mirror,
    "logo 1 %": lambda image: under_logo(image, 0.01),
    "logo 4 %": lambda image: under_logo(image, 0.04),
    "logo 2 % and JPEG 50": lambda image: jpeg(under_logo(image, 0.02), 50),
}
"""What leaves a picture of any size where it was."""

MOVED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "crop 10 %": lambda image: cropped(image, 0.1),
    "turned by 3 degrees": lambda image: image.rotate(3, Image.Resampling.BICUBIC),
    "framed": lambda image: ImageOps.expand(image, round(0.1 * max(image.size)), (250, 250, 250)),
    "captioned above": captioned,
    "in a screenshot": in_screenshot,
}
"""What moves what a picture shows, which needs something to recognise in it."""


# ---------------------------------------------------------------------------------------------------------------- clips

CUTS: dict[str, Callable[[np.ndarray, np.ndarray], clips.Shown]] = {
    "another encoding": lambda frames, times: (frames, times),
    "its end cut off": lambda frames, times: _first(frames, times, len(frames) - len(frames) // 3),
    "its start cut off": lambda frames, times: _from(frames, times, len(frames) // 3),
    "twice as fast": lambda frames, times: (frames, times / 2),
    "darker": lambda frames, times: ((0.8 * frames).astype(np.uint8), times),
    "mirrored": lambda frames, times: (frames[:, :, ::-1], times),
    "crop 5 %": lambda frames, times: (np.stack([_cropped(frame, 0.05) for frame in frames]), times),
}
"""What is done to a clip, from its frames (n, h, w, 3) and times (n + 1,) to others."""


def _first(frames: np.ndarray, times: np.ndarray, n: int) -> clips.Shown:
    return frames[:n], times[: n + 1]


def _from(frames: np.ndarray, times: np.ndarray, n: int) -> clips.Shown:
    return frames[n:], times[n:] - times[n]


def _cropped(frame: np.ndarray, share: float) -> np.ndarray:
    return np.asarray(cropped(Image.fromarray(frame), share))


# ------------------------------------------------------------------------------------------------------ what is tried

KINDS = {
    "text": ("text", "text", "near_text", REWRITES),
    "picture": ("image", "image", "near_image", ENCODED | MOVED),
    "clip": ("video", "video", "near_video", CUTS),
    "still": ("video", "image", "still", {"a picture of a clip": None}),
}
"""What is edited: in which column it stands, in which what is made of it, how the gate calls that, the edits."""


def tried(
    kind: str, cells: Sequence[Any], look: Look, rng: np.random.Generator, edits: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield for each edit of a kind of content of how many of the contents the gate names the edited one.

    look: from sets to findings. Originals are posts of train, edited ones of test. What cannot be read does not count,
    nor what an edit leaves exactly as it was, as leet does with letters that it does not know.
    """
    column, becomes, relation, every = KINDS[kind]
    shown = [_shown(column, cell) for cell in cells]
    train = posts(column, [cell for cell, one in zip(cells, shown, strict=True) if one is not None])
    known = set(exact.keys_of(train, column))
    for name, edit in (every if edits is None else edits).items():
        test = posts(becomes, [_edited(kind, one, edit, rng) for one in shown if one is not None])
        test = test.filter(pa.array([key not in known for key in exact.keys_of(test, becomes)], pa.bool_()))
        yield {"edit": name, "found": look({"train": train, "test": test})[relation]["test_posts"], "of": len(test)}


def _shown(column: str, cell: Any) -> Any:
    """Return what a content shows: its words, its first picture, its frames and times; None where it cannot be read."""
    if column == "text":
        return cell.split()
    if column == "image":
        variants = media.picture(cell).variants
        return Image.fromarray(variants[0]) if variants else None
    try:
        return clips.read(media.content(cell, "video"))
    except OSError:
        return None


def _edited(kind: str, shown: Any, edit: Any, rng: np.random.Generator) -> Any:
    if kind == "text":
        return " ".join(edit(shown, rng))
    if kind == "picture":
        return picture(edit(shown))
    frames, times = shown
    if kind == "still":
        return picture(Image.fromarray(frames[len(frames) // 2]))
    return {"bytes": clips.write(*edit(frames, times)), "path": None}


def picture(image: Image.Image) -> dict[str, Any]:
    """Return a cell of a column of pictures."""
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=1)
    return {"bytes": data.getvalue(), "path": None}


def posts(column: str, cells: Sequence[Any]) -> pa.Table:
    """Return posts that have one column, each of a family of its own."""
    schema = INPUTS.append(pa.field("group", pa.string()))
    own = ({"post_id": f"p{k}", "group": f"g{k}", column: cell} for k, cell in enumerate(cells))
    return pa.Table.from_pylist([{**dict.fromkeys(schema.names), **row} for row in own], schema=schema)


def own(
    sets: Mapping[str, pa.Table],
    look: Look,
    relations: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return for each relation what `tried` yields of up to `OWN` contents of train, drawn by chance.

    Only texts of `WORDS` words and media that can be read are drawn. progress: called with how many edits are tried.
    """
    rng = np.random.default_rng(0)
    asked = {kind: parts for kind, parts in KINDS.items() if parts[2] in relations}
    done, total = 0, sum(len(parts[3]) for parts in asked.values())
    rows: dict[str, list[dict[str, Any]]] = {}
    for kind, (column, _, relation, _) in asked.items():
        cells = _drawn(sets["train"], column, rng)
        rows[relation] = []
        for row in tried(kind, cells, look, rng) if cells else ():
            rows[relation].append(row)
            done += 1
            if progress:
                progress(done, total)
    return rows


def _drawn(train: pa.Table, column: str, rng: np.random.Generator) -> list[Any]:
    """Return up to `OWN` different contents of a column that can be edited."""
    cells: dict[Any, Any] = {}
    for row in rng.permutation(np.flatnonzero(declared(train)[column])).tolist():
        cell = train[column][row].as_py()
        shown = _shown(column, cell)
        if shown is not None and (column != "text" or len(shown) >= WORDS):
            cells.setdefault(cell if column == "text" else media.content(cell, column), cell)
        if len(cells) == OWN:
            break
    return list(cells.values())
