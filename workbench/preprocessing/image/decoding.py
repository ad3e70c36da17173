"""Encoded pictures to pixel arrays: every way a viewer could see the picture, or one sentence on why it was not read.

The input is hostile: sizes are checked before anything is decoded, the format is told from the content and never from a
name, and whatever the parsers raise becomes a reason. Only Pillow decodes (https://pillow.readthedocs.io).

A picture that is cut short is *unread*, not partly read. Pillow can only hand over the decoded part by a process-wide
switch that pads the rest with grey and does not say where the padding starts; padding is not content, and a progressive
file has no decoded "part" at all. A reason leads to human review, which is safe; a half-seen picture could be allowed.
Where a well-formed end follows too little data, the JPEG and PNG readers pad without a word: `_padded` finds that.

Open doubts: colour profiles are ignored; only a few frames of an animation are looked at; a progressive JPEG that lost
its later scans is read as the blurred picture that a browser shows.
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageFile
from pydantic import Field

from workbench.preprocessing.image.animation import gif_frames, holds, sample, shown
from workbench.preprocessing.image.formats import sniff
from workbench.schema import Options

Format = Literal["JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF"]
_CAN_MOVE = ("PNG", "GIF", "WEBP", "AVIF")
_ORIENTATION = 0x0112  # the EXIF tag


class ImageOptions(Options):
    """What is read and how far; every field may change the variants, so all of them belong to an encoder's recipe."""

    formats: tuple[Format, ...] = Field(get_args(Format), description="The file formats that are decoded at all.")
    max_bytes: int = Field(32 * 2**20, gt=0, description="Larger files are refused unread.")
    max_pixels: int = Field(
        64_000_000, gt=0, le=170_000_000, description="Pictures that claim more pixels are refused before decoding."
    )
    max_ratio: float = Field(50, ge=1, description="Refused if the longer side is more than this many times the other.")
    frames: int = Field(
        4, ge=1, le=64, description="At most so many frames of an animation, at evenly spaced times, are read."
    )
    max_animation_frames: int = Field(2000, ge=1, description="Longer animations are refused.")
    max_animation_pixels: int = Field(200_000_000, gt=0, description="Limit on the frames times the pixels of a frame.")
    composites: bool = Field(True, description="Whether a transparent picture is also read on white and on black.")
    reduce_side: int | None = Field(
        1024,
        ge=64,
        description="Pictures at least twice this on both sides are read at 1/2, 1/3 ... of their size (JPEGs at 1/2, "
        "1/4 or 1/8, which spares most of the decoding), no side smaller than this; null reads all in full.",
    )


DEFAULT = ImageOptions()


@dataclass(frozen=True, eq=False)
class Picture:
    """What one encoded picture shows: its variants, or the reason why there are none.

    `variants`: uint8 arrays (h, w, 3), rows from the top, RGB; the first is the raw one, which training uses.
    `numbers`: for each, 0 for the colours as they are stored, in all frames of an animation, else another ground.
    `reason`: one sentence for staff, set exactly when there is no variant. `notes`: what was done to the picture.
    """

    variants: tuple[np.ndarray, ...]
    reason: str | None = None
    notes: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.variants) == bool(self.reason):
            raise ValueError("a picture has either variants or a reason")


class Unreadable(Exception):
    """Carries the sentence that says why a picture or a clip is not read."""


def decode(data: bytes, options: ImageOptions = DEFAULT) -> Picture:
    """Return the variants of an encoded picture, or the reason why it cannot be read.

    Never raises for any bytes, except MemoryError when the machine has too little left for a picture within the limits
    (about 20 bytes a pixel at most); that says nothing about the picture, so it must not be stored as its reason.
    """
    kind = "picture"
    try:
        kind = _accepted(data, options)
        with _pillow.guarded():
            return _read(data, kind, options)
    except Unreadable as unread:
        return Picture((), str(unread))
    except Image.DecompressionBombError:
        return Picture((), f"The {kind} file claims far more pixels than the {options.max_pixels:,} that are read.")
    except MemoryError:
        raise
    except Exception as error:  # a parser of hostile bytes raises anything: SyntaxError, KeyError, struct.error ...
        cut = isinstance(error, EOFError) or "truncated" in str(error).lower()
        state = "is cut short, so it was not read" if cut else "is damaged and cannot be read"
        return Picture((), f"The {kind} file {state}.")


def size(data: bytes, options: ImageOptions = DEFAULT) -> tuple[int, int] | None:
    """Return the width and height in pixels that an encoded picture claims; None where such a file is not read.

    Nothing is decoded. Raises MemoryError only.
    """
    try:
        with _pillow.guarded():
            return _opened(data, _accepted(data, options), options).size
    except MemoryError:
        raise
    except Exception:  # as in `decode`
        return None


# ------------------------------------------------------------------------------------------------ before any decoding


def _accepted(data: bytes, options: ImageOptions) -> str:
    """Return the format of an acceptable file; raise Unreadable with the reason for any other."""
    if not data:
        raise Unreadable("The file is empty.")
    if len(data) > options.max_bytes:
        raise Unreadable(f"The file has {len(data):,} bytes; at most {options.max_bytes:,} are read.")
    kind = sniff(data)
    if kind in options.formats:
        return kind
    if kind is None:
        raise Unreadable(f"This is no picture in a known format; {', '.join(options.formats)} are read.")
    raise Unreadable(f"This is {kind}, which is not read; please send it as {' or '.join(options.formats[:2])}.")


def _check_size(size: tuple[int, int], options: ImageOptions) -> None:
    """Raise Unreadable when a picture's claimed size (width, height) is beyond the limits."""
    width, height = size
    if width * height > options.max_pixels:
        raise Unreadable(f"The picture claims {width} x {height} pixels; at most {options.max_pixels:,} are read.")
    if max(size) > options.max_ratio * min(size):
        limit = f"a side over {options.max_ratio:g} times the other is refused"
        raise Unreadable(f"The picture is {width} x {height} pixels; {limit}.")


# ----------------------------------------------------------------------------------------------------------- decoding


def _opened(data: bytes, kind: str, options: ImageOptions) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=["JPEG", "MPO"] if kind == "JPEG" else [kind])
    _check_size(image.size, options)
    return image


def _read(data: bytes, kind: str, options: ImageOptions) -> Picture:
    image = _opened(data, kind, options)
    notes = []
    full = image.size
    if kind == "JPEG" and options.reduce_side:
        image.draft(None, (options.reduce_side, options.reduce_side))
    chosen, total = _chosen_frames(image, data, kind, options)
    views: list[tuple[int, np.ndarray]] = []
    for number in range(chosen[-1] + 1):  # one by one: a GIF frame may enlarge the canvas, which is checked at once
        if number:
            image.seek(number)
            _check_size(image.size, options)
        if number in chosen or number == 0:
            image.load()
            if number == 0 and _padded(data, kind, image):
                raise Unreadable(f"The {kind} file is cut short, so it was not read.")
        if number in chosen:
            views += enumerate(_views(image, notes, options))
    numbers, variants = [], []
    for number, view in sorted(views, key=lambda pair: pair[0]):  # those on other grounds behind all frames
        if not any(np.array_equal(view, variant) for variant in variants):
            numbers.append(number)
            variants.append(view)
    notes += [f"{len(chosen)} of {total} frames read"] if total > 1 else []
    scale = round(full[0] / variants[0].shape[1])
    notes += [f"read at 1/{scale} of its size"] if scale > 1 else []
    turn = _turn(image, notes)
    upright = tuple(np.ascontiguousarray(turn(variant)) for variant in variants)
    return Picture(upright, None, tuple(dict.fromkeys(notes)), tuple(numbers))


def _chosen_frames(image: Image.Image, data: bytes, kind: str, options: ImageOptions) -> tuple[list[int], int]:
    """Return the numbers of the frames to read, spread over the time that they are shown, and how many there are."""
    if kind not in _CAN_MOVE:
        return [0], 1
    if kind == "GIF" and gif_frames(data, options.max_animation_frames) > options.max_animation_frames:
        total = options.max_animation_frames + 1  # Pillow would parse every frame to count them
    else:
        total = getattr(image, "n_frames", 1)
    pixels = total * image.size[0] * image.size[1]
    if total > 1 and (total > options.max_animation_frames or pixels > options.max_animation_pixels):
        raise Unreadable("The animation has too many or too large frames to be read; please send it as a clip.")
    told = holds(data, kind, total) if total > options.frames else None
    if told is None and total > options.frames:  # only decoding tells
        told = shown([_loaded(image, number).info.get("duration", 0) for number in range(total)])
        image.seek(0)
    return (list(range(total)) if told is None else sample(told, options.frames)), total


def _loaded(image: Image.Image, number: int) -> Image.Image:
    image.seek(number)
    image.load()
    return image


def _views(image: Image.Image, notes: list[str], options: ImageOptions) -> list[np.ndarray]:
    """Return the raw colours of a loaded frame and, where some is transparent, how it looks on white and on black."""
    if image.mode.startswith("I"):
        colours, alpha = _from_16_bit(image)
        notes.append("16-bit grey scaled to 8 bits")
    elif image.has_transparency_data:
        full = image.convert("RGBA")
        colours, alpha = full.convert("RGB"), full.getchannel("A")
    else:
        colours, alpha = image.convert("RGB"), None
    factor = max(1, min(colours.size) // options.reduce_side) if options.reduce_side else 1
    views = [np.array(colours.reduce(factor))]
    if alpha is None or alpha.getextrema()[0] == 255 or not options.composites:
        return views
    notes.append("transparent: also read on white and on black")
    for background in ("white", "black"):
        below = Image.new("RGB", colours.size, background)
        below.paste(colours, mask=alpha)
        views.append(np.array(below.reduce(factor)))
    return views


def _from_16_bit(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return 16-bit grey as RGB and its alpha, if any; Pillow's own conversion turns every value above 255 white."""
    values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
    colours = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    hidden = image.info.get("transparency")
    if not isinstance(hidden, int):
        return colours, None
    return colours, Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8))


def _turn(image: Image.Image, notes: list[str]) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that sets pixels (h, w, 3) upright by the file's EXIF orientation (TIFF 6.0, tag 274)."""
    turns = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: np.rot90,
    }
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # broken EXIF does not hide the picture: viewers show it as stored
        orientation = None
        notes.append("the orientation could not be read")
    if orientation in turns:
        notes.append("set upright by its EXIF orientation")
    return turns.get(orientation, lambda a: a)


# ------------------------------------------------------------------------------ files that end well but hold too little


def _padded(data: bytes, kind: str, image: Image.Image) -> bool:
    """Say whether the end of a decoded picture is the decoder's padding, because the file held too little for it.

    The cheap look at the last pixels comes first: padding is flat mid-grey in a JPEG and zero in a PNG.
    """
    width, height = image.size
    if kind == "JPEG":
        corner = image.crop((max(0, width - 8), max(0, height - 8), width, height)).tobytes()
        return not corner.strip(b"\x80") and _scan_is_short(data, image)
    if kind == "PNG":
        return not image.crop((0, height - 1, width, height)).tobytes().strip(b"\0") and _rows_are_short(data)
    return False


def _scan_is_short(data: bytes, image: Image.Image) -> bool:
    """Say whether a JPEG's scan stops early: bytes put before its end marker fill the gap, else they do nothing."""
    end = data.find(b"\xff\xd9", _scan_start(data))
    if end < 0:
        return False
    longer = Image.open(io.BytesIO(data[:end] + b"\x5a\xa5\x13\x37" * 64 + data[end:]), formats=["JPEG", "MPO"])
    longer.draft(None, image.size)
    return longer.tobytes() != image.tobytes()


def _scan_start(data: bytes) -> int:
    """Return where the first scan's data begins: behind the SOS segment, past any thumbnail in the headers."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        if data[at + 1] == 0xDA:
            return at + 2 + length
        at += 2 + length
    return 0


def _rows_are_short(data: bytes) -> bool:
    """Say whether a PNG's compressed rows end before its last one (PNG specification 3, sections 7 and 8)."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    missing = 0
    for left, top, right, down in passes if interlaced else [(0, 0, 1, 1)]:
        columns, rows = -((left - width) // right), -((top - height) // down)
        missing += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
    inflate, at = zlib.decompressobj(), 8
    while missing > 0 and not inflate.eof and at + 8 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            piece = data[at + 8 : at + 8 + length]
            while piece and missing > 0:
                missing -= len(inflate.decompress(piece, 2**20))
                piece = inflate.unconsumed_tail
        at += 12 + length
    return missing > 0


# --------------------------------------------------------------------------------------- Pillow's process-wide switches


class _Guard:
    """Keeps Pillow's warnings silent and its grey padding off while at least one thread decodes.

    Both are process-wide, so the first to enter sets them and the last to leave restores them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._catch: warnings.catch_warnings | None = None
        self._padding = False

    @contextmanager
    def guarded(self) -> Iterator[None]:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._catch = warnings.catch_warnings()
                self._catch.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\b")
                self._padding, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    ImageFile.LOAD_TRUNCATED_IMAGES = self._padding
                    self._catch.__exit__(None, None, None)


_pillow = _Guard()
