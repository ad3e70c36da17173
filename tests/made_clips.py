"""Clips for tests, made here with PyAV: whole ones whose frames tell their number, and ones broken on purpose."""

from __future__ import annotations

import contextlib
import io
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

CLOCK = Fraction(1, 1000)
AV1 = next((name for name in ("libsvtav1", "libaom-av1") if name in av.codecs_available), "")
_LEVELS = (16, 72, 128, 184, 240)
DEMUXERS = {"mp4": "mov", "mov": "mov", "webm": "matroska", "matroska": "matroska"}


def colour(number: int) -> tuple[int, int, int]:
    """Return the colour that tells a frame's number, 0 to 124: three digits to base 5."""
    return tuple(_LEVELS[number // 5**digit % 5] for digit in range(3))


def number(frame: np.ndarray) -> int:
    """Return the number that a frame (h, w, 3) of a numbered clip tells."""
    mean = frame.reshape(-1, 3).mean(0)
    digits = [int(np.abs(np.array(_LEVELS) - value).argmin()) for value in mean]
    return sum(digit * 5**at for at, digit in enumerate(digits))


def numbered(count: int, size: tuple[int, int] = (64, 48), start: int = 0) -> list[np.ndarray]:
    """Return frames (h, w, 3) of one colour each, which tells the frame's number; `size` is width, height."""
    return [np.full((size[1], size[0], 3), colour((start + at) % 125), np.uint8) for at in range(count)]


@contextlib.contextmanager
def same_scheduling() -> Iterator[None]:
    """Leave the calling thread's scheduling as it was.

    SVT-AV1, where it may (as root), makes its caller a real-time thread; whatever that starts later inherits it, and
    two busy ones of the kind leave two cores to nobody else.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def clip(
    frames: Iterable[np.ndarray] | int = 24,
    times: Sequence[float] | None = None,
    *,
    kind: str = "mp4",
    codec: str = "libx264",
    rate: int = 12,
    pixels: str = "yuv420p",
    path: Path | None = None,
    **options: str,
) -> bytes:
    """Return an encoded clip; `times` are seconds, else `rate` frames a second; options of the codec, or `mux_...`.

    `path`: where to write it meanwhile, which `mux_movflags="faststart"` needs.
    """
    frames = numbered(frames) if isinstance(frames, int) else list(frames)
    times = [at / rate for at in range(len(frames))] if times is None else times
    file = io.BytesIO() if path is None else str(path)
    muxing = {name.removeprefix("mux_"): options.pop(name) for name in list(options) if name.startswith("mux_")}
    with same_scheduling(), av.open(file, "w", format=kind, options=muxing) as container:
        stream = video_stream(container, frames[0].shape, codec, rate, pixels, options)
        encode(container, stream, frames, times)
    return file.getvalue() if path is None else Path(path).read_bytes()


def video_stream(container, shape, codec="libx264", rate=12, pixels="yuv420p", options=None):
    """Add a video stream to a container that is written."""
    stream = container.add_stream(codec, rate=rate, options=options or {})
    stream.height, stream.width, stream.pix_fmt = shape[0], shape[1], pixels
    stream.codec_context.time_base = CLOCK
    return stream


def encode(container, stream, frames: Iterable[np.ndarray], times: Iterable[float]) -> None:
    """Encode frames into a stream, each shown from a time in seconds on."""
    for picture, time in zip(frames, times, strict=True):
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts, frame.time_base = round(time / CLOCK), CLOCK
        for packet in stream.encode(frame):
            container.mux(packet)
    for packet in stream.encode():
        container.mux(packet)


# ---------------------------------------------------------------------------------------------------- parts of a file


def box(data: bytes, name: bytes, fields: int = 0) -> int:
    """Return where the content of an MP4's first box of that name starts."""
    return data.index(name) + 4 + fields


def patched(data: bytes, at: int, new: bytes) -> bytes:
    """Return the data with other bytes at a place."""
    return data[:at] + new + data[at + len(new) :]


def turned(data: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """Return an MP4 with another display matrix in its track header (version 0)."""
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    return patched(data, box(data, b"tkhd", 40), matrix)


def lying_duration(data: bytes, seconds: int) -> bytes:
    """Return an MP4 that claims another length in all of its headers (version 0)."""
    for name, at in ((b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16)):
        place = box(data, name, at)
        scale = struct.unpack(">I", data[place - 4 : place])[0] if name != b"tkhd" else 1000
        data = patched(data, place, struct.pack(">I", min(2**32 - 1, seconds * scale)))
    return data


def sized(data: bytes, width: int, height: int) -> bytes:
    """Return an H.264 MP4 that claims another size in its sample description."""
    return patched(data, box(data, b"avc1", 24), struct.pack(">HH", width, height))


def without_times(data: bytes) -> bytes:
    """Return an MP4 all of whose frames are shown for no time: 0 or endless frames a second."""
    data = data.replace(b"ctts", b"free").replace(b"edts", b"free")
    count = struct.unpack(">I", data[box(data, b"stts", 4) : box(data, b"stts", 8)])[0]
    for entry in range(count):
        data = patched(data, box(data, b"stts", 12 + 8 * entry), bytes(4))
    return data


def rotten(data: bytes, share: float, seed: int = 0, every: int = 40) -> bytes:
    """Return the data with one byte in every so many changed in the media data, from a share of it on to its end."""
    start = box(data, b"mdat") if b"mdat" in data else 500
    (length,) = struct.unpack(">I", data[start - 8 : start - 4]) if b"mdat" in data else (len(data) - 492,)
    end = start - 8 + length if b"mdat" in data else len(data)
    rng = np.random.default_rng(seed)
    changed = bytearray(data)
    for at in range(start + int((end - start) * share), end, every):
        changed[at] = int(rng.integers(0, 256))
    return bytes(changed)


# ---------------------------------------------------------------------------------------------------------- odd files


@cache
def sound(kind: str = "mp4", codec: str = "aac") -> bytes:
    """Return a file that holds sound alone."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        hum(container, sound_stream(container, codec))
    return file.getvalue()


def sound_stream(container, codec: str = "aac"):
    """Add a sound stream to a container that is written."""
    stream = container.add_stream(codec, rate=48000)
    stream.layout = "mono"
    return stream


def hum(container, stream) -> None:
    """Encode a second of sound into a stream."""
    tone = (np.sin(np.arange(960) / 7) * 9000).astype(np.int16)[None]
    for at in range(50):
        frame = av.AudioFrame.from_ndarray(tone, "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 960 * at, Fraction(1, 48000)
        for packet in stream.encode(frame):
            container.mux(packet)
    for packet in stream.encode():
        container.mux(packet)


def with_sound(cover: bool = False) -> bytes:
    """Return a clip that has sound too; or sound with a cover picture, which is a video track of its own kind."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        codec = {"codec": "png", "pixels": "rgb24"} if cover else {}
        pictures, sounds = video_stream(container, (48, 64, 3), **codec), sound_stream(container)
        if cover:
            pictures.disposition = Disposition.attached_pic
        count = 1 if cover else 24
        encode(container, pictures, numbered(count), [at / 12 for at in range(count)])
        hum(container, sounds)
    return file.getvalue()


def two_tracks() -> bytes:
    """Return a clip with two video tracks."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        streams = [video_stream(container, (48, 64, 3)) for _ in range(2)]
        for at, stream in enumerate(streams):
            encode(container, stream, numbered(12, start=12 * at), [at / 12 for at in range(12)])
    return file.getvalue()


def with_attachment() -> bytes:
    """Return a Matroska clip that brings a file along."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        container.add_attachment("run.sh", "text/plain", b"#!/bin/sh\necho hello\n" * 1000)
        stream = video_stream(container, (48, 64, 3))
        encode(container, stream, numbered(24), [at / 12 for at in range(24)])
    return file.getvalue()


def resized() -> bytes:
    """Return a clip whose frames become larger on the way: 12 of 64 x 48 pixels, then 12 of 128 x 96."""
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        small = video_stream(container, (48, 64, 3), "libvpx")
        encode(container, small, numbered(12), [at / 12 for at in range(12)])
        later = io.BytesIO(clip(numbered(12, (128, 96), 12), kind="webm", codec="libvpx"))
        with av.open(later) as second:
            for packet in second.demux(video=0):
                if packet.size:
                    packet.pts, packet.dts, packet.stream = packet.pts + 1000, packet.dts + 1000, small
                    container.mux(packet)
    return file.getvalue()


def animation(kind: str) -> bytes:
    """Return a moving picture: GIF, PNG or WEBP."""
    from PIL import Image

    file = io.BytesIO()
    first, *rest = (Image.fromarray(frame) for frame in numbered(5))
    first.save(file, kind, save_all=True, append_images=rest)
    return file.getvalue()
