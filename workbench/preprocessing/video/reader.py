"""Encoded clips to pixel arrays: a few frames of a clip, or one sentence on why it was not read.

The input is hostile: the kind of file is told from its content, only two kinds are opened, and the decoder runs in a
process of its own (`video_pool`, `video_worker`) that is killed when it hangs, takes too much memory or crashes.
Which frames are read is said in `video_sampling`, and how in `video_frames`. Sound, subtitles and attachments are
never decoded.

A clip that is damaged on the way is read as far as it is whole, and a note says from where on it is not; so is a clip
that was cut short. A clip of which nothing can be shown, or of which players show different things, has a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from pydantic import Field

from workbench.preprocessing.image.decoding import Unreadable
from workbench.preprocessing.image.formats import sniff
from workbench.preprocessing.video import pool
from workbench.schema import Options

Demuxer = Literal["mov", "matroska"]
Sampling = Literal["time", "keyframe", "adaptive"]


class VideoOptions(Options):
    """What is read and how far; every field may change the frames, so all of them belong to an encoder's recipe."""

    demuxers: tuple[Demuxer, ...] = Field(
        get_args(Demuxer), description="The families of files that are opened at all."
    )
    max_bytes: int = Field(256 * 2**20, gt=0, le=2**31, description="Larger files are refused unread.")
    max_seconds: float = Field(
        14_400, gt=0, description="Of longer clips so many seconds from the start are looked at."
    )
    frames: int = Field(12, ge=1, le=64, description="At most so many frames are read.")
    sampling: Sampling = Field(
        "time",
        description="Which: evenly spread over the time (meets what is shown for at least the length over the frames); "
        "key frames only, evenly spread (cheapest: nothing is decoded on the way; sees what is between them only "
        "where the file's encoder put one); or, of four times as many (96 at most), half by time and half that differ "
        "most from those (meets shorter scenes that look different, decodes up to four times as much; a clip whose "
        "probes would cost more than `max_work` is read by time).",
    )
    max_pixels: int = Field(
        36_000_000, gt=0, le=100_000_000, description="Clips that claim larger frames are refused before decoding."
    )
    max_ratio: float = Field(50, ge=1, description="Refused if the longer side is more than this many times the other.")
    max_work: int = Field(
        12_000_000_000,
        gt=0,
        description="Pixels that may be decoded on the way to the frames; beyond it only key frames are read, if there "
        "are enough, and else the clip is refused.",
    )
    reduce_side: int | None = Field(
        512,
        ge=64,
        description="Frames are made smaller until the shorter side is at most this and the longer at most four times "
        "this; null reads them in full.",
    )
    timeout_seconds: float = Field(60, gt=0, le=3600, description="A clip that takes longer is given up.")
    memory_mb: int = Field(2048, ge=256, description="The address space of a decoding process, in MiB.")

    @property
    def recipe(self) -> dict[str, Any]:
        """The options as part of an encoder's recipe; what was the only way once is not said, so old vectors stay."""
        return self.model_dump(mode="json", exclude={"sampling"} if self.sampling == "time" else None)


DEFAULT = VideoOptions()


@dataclass(frozen=True, eq=False)
class Clip:
    """What one encoded clip shows: some of its frames, or the reason why there are none.

    `frames`: uint8 arrays (h, w, 3), upright, rows from the top, RGB, in the order shown; a frame equal to the one
    before it is left out. `times`: when each is first shown, in seconds from the first frame of the clip.
    `reason`: one sentence for staff, set exactly when there is no frame; `transient` if it may be gone next time, as
    when the time ran out or the system ended the decoder: such a reason is never stored. `notes`: what was done to the
    clip, and what is missing.
    """

    frames: tuple[np.ndarray, ...]
    times: tuple[float, ...] = ()
    reason: str | None = None
    notes: tuple[str, ...] = ()
    transient: bool = False

    def __post_init__(self) -> None:
        if bool(self.frames) == bool(self.reason) or len(self.frames) != len(self.times):
            raise ValueError("a clip has either frames, each with its time, or a reason")


def decode(data: bytes, options: VideoOptions = DEFAULT) -> Clip:
    """Return frames of an encoded clip, or the reason why it cannot be read.

    Never raises for any bytes; raises WorkbenchError where PyAV is not installed. Threads may call it together: as many
    clips as the machine has cores are decoded at a time, and the others wait.
    """
    try:
        demuxer = _accepted(data, options)
    except Unreadable as unread:
        return Clip((), (), str(unread))
    reason = ""
    for _ in range(2):  # a crash may be owed to the clip before, and so may a lack of memory: a fresh worker decides
        try:
            return _asked(data, demuxer, options)
        except pool.Crash:
            reason = "The clip file makes its reader fail, so it was not read."
        except MemoryError:
            reason = f"Reading the clip takes more than {options.memory_mb:,} MB of memory, so it was not read."
        except pool.TimeIsUp:
            reason = f"The clip was not read within {options.timeout_seconds:g} s; it is tried again next time."
            return Clip((), (), reason, transient=True)
        except pool.NotStarted:
            reason = "No reader of clips could be started on this machine; the clip is tried again next time."
            return Clip((), (), reason, transient=True)
    return Clip((), (), reason)


def _asked(data: bytes, demuxer: str, options: VideoOptions) -> Clip:
    limits = dict(options) | {"demuxer": demuxer, "seconds": options.timeout_seconds}
    largest = 4 * options.reduce_side**2 if options.reduce_side else options.max_pixels
    with pool.pool().borrowed() as (worker, threads):
        reply, pixels = worker.ask(limits | {"threads": threads}, data, 3 * largest * options.frames)
        if "memory" in reply:
            raise MemoryError
        if "reason" in reply:
            return Clip((), (), reply["reason"])
        try:
            return _clip(reply, pixels)
        except (LookupError, TypeError, ValueError):  # a worker taken over by what it read
            raise pool.Crash from None


def _clip(reply: dict[str, Any], pixels: bytearray) -> Clip:
    frames, notes, at = [], list(reply["notes"]), 0
    for about in reply["frames"]:
        width, height = about["size"]
        frame = np.frombuffer(pixels, np.uint8, 3 * width * height, at).reshape(height, width, 3)
        frames.append(np.ascontiguousarray(_upright(frame, about["turn"], notes)))
        at += frame.nbytes
    return Clip(
        tuple(frames), tuple(float(about["time"]) for about in reply["frames"]), None, tuple(dict.fromkeys(notes))
    )


def _upright(frame: np.ndarray, matrix: list[int] | None, notes: list[str]) -> np.ndarray:
    """Return a frame (h, w, 3) as a display matrix a, b, u, c, d, ... shows it (ISO/IEC 14496-12, section 6.2.2).

    The point (x, y) goes to (a x + c y, b x + d y), with y downwards: c < 0 < b is a quarter turn to the right.
    """
    if matrix is None:
        return frame
    a, b, _, c, d = matrix[:5]
    if abs(a) + abs(d) < abs(b) + abs(c):
        frame, across, down = frame.swapaxes(0, 1), c, b
    else:
        across, down = a, d
    if min(abs(a) + abs(d), abs(b) + abs(c)) * 50 > abs(across) + abs(down):
        notes.append("its rotation is no quarter turn: shown to the nearest")
    if across < 0 or down < 0 or across == c:
        notes.append("set upright by its rotation")
    return frame[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


# ------------------------------------------------------------------------------------------------ before any decoding

_PICTURES = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF")
_OTHERS = {
    b"OggS": "an Ogg file",
    b"FLV": "a Flash video",
    b"\x30\x26\xb2\x75": "a Windows Media file",
    b"\0\0\1\xba": "an MPEG program stream",
    b"\0\0\1\xb3": "an MPEG video stream",
    b"ID3": "a sound file",
    b"fLaC": "a sound file",
    b"#EXTM3U": "a playlist, which names other files",
    b"ffconcat": "a playlist, which names other files",
}
_MOV_STARTS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


def _accepted(data: bytes, options: VideoOptions) -> str:
    """Return the demuxer for an acceptable file; raise Unreadable with the reason for any other."""
    if not data:
        raise Unreadable("The file is empty.")
    if len(data) > options.max_bytes:
        raise Unreadable(f"The file has {len(data):,} bytes; at most {options.max_bytes:,} are read.")
    kind = _kind(data)
    if kind in _PICTURES:
        raise Unreadable(f"This is a {kind} picture; please send it as a picture.")
    if kind not in options.demuxers:
        named = {"mov": "an MP4 or QuickTime file", "matroska": "a WebM or Matroska file"}.get(kind, kind)
        raise Unreadable(
            f"This is {named}, which is not read; please send it as MP4 or WebM."
            if named
            else "This is no clip in a known format; please send it as MP4 or WebM."
        )
    if kind == "mov" and b"moov" not in data:
        raise Unreadable("The clip file is cut short or was never finished: it has no index; please send it again.")
    return kind


def _kind(data: bytes) -> str | None:
    """Return what the first bytes tell: a demuxer, a picture format, another kind in words, or None if unknown."""
    head = bytes(data[:512])
    if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"WAVE"):
        return "an AVI file" if head[8:11] == b"AVI" else "a sound file"
    if head[:1] == b"\x47" and head[188:189] == b"\x47" and head[376:377] == b"\x47":
        return "an MPEG transport stream"
    detected = next((kind for start, kind in _OTHERS.items() if head.startswith(start)), None) or sniff(data)
    if detected == "a video":
        return "matroska" if head[:4] == b"\x1a\x45\xdf\xa3" else "mov"
    return "mov" if detected is None and head[4:8] in _MOV_STARTS else detected
