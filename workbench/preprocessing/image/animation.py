"""Which frames to look at by how long each is shown, which is read from an animated picture without decoding it.

Sources: GIF89a, section 23; PNG 3, section 11.3.6 (fcTL); the WebP container (ANMF). Browsers show what claims ten
milliseconds or less for a hundred, and so does this.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

_SHORTEST, _INSTEAD = 10.0, 100.0  # milliseconds


def sample(holds: list[float], count: int) -> list[int]:
    """Return which frames to read, at most `count`, given how long each is shown: those in the middle of equal slices.

    A frame that is shown for longer than a slice counts as one slice, so that a picture held for an hour leaves the
    other slices to the rest of the clip; whatever is shown for at least a slice is met.
    """
    if len(holds) <= count:
        return list(range(len(holds)))
    slice_ = _slice(holds, count)
    ends = list(accumulate(min(hold, slice_) for hold in holds))
    return sorted({bisect_right(ends, (at + 0.5) * ends[-1] / count, hi=len(ends) - 1) for at in range(count)})


def _slice(holds: list[float], count: int) -> float:
    """Return the length c of a slice where every hold counts for at most c: the sum of min(hold, c) is count * c."""
    rest, longest = sum(holds), sorted(holds, reverse=True)
    for above in range(count):  # if so many holds are cut to c, the others fill the remaining slices
        if longest[above] <= rest / (count - above):
            return rest / (count - above)
        rest -= longest[above]
    return longest[count - 1]


def holds(data: bytes, kind: str, total: int) -> list[float] | None:
    """Return for how many milliseconds each of `total` frames is shown, None for a kind whose file does not tell."""
    told = {"GIF": _gif, "PNG": _png, "WEBP": _webp}.get(kind)
    if told is None:
        return None
    try:
        found = [float(hold) for hold in told(data)][:total]
    except (struct.error, IndexError):
        found = []
    return shown(found + [0.0] * (total - len(found)))


def shown(told: list[float]) -> list[float]:
    """Return how long viewers show frames for what a file tells of each."""
    return [hold if hold > _SHORTEST else _INSTEAD for hold in told]


def gif_frames(data: bytes, limit: int) -> int:
    """Count the frames of a GIF by walking its blocks, to just above the limit."""
    return sum(1 for _, _ in zip(_gif(data), range(limit + 1), strict=False))


def _gif(data: bytes) -> Iterator[float]:
    """Yield the delay that stands before each image (GIF89a specification, appendix B)."""
    at, delay = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0), 0.0
    while at + 10 < len(data):
        if data[at] == 0x2C:
            yield delay
            delay, flags = 0.0, data[at + 9]
            at += 11 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
        elif data[at] == 0x21:
            if data[at + 1] == 0xF9:
                delay = 10.0 * struct.unpack("<H", data[at + 4 : at + 6])[0]
            at += 2
        else:
            return
        while at < len(data) and data[at]:
            at += data[at] + 1
        at += 1


def _png(data: bytes) -> Iterator[float]:
    """Yield the delay of each frame; a picture before the first of them is for viewers that show no animation."""
    at, first = 8, True
    while at + 8 <= len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        if name == b"fcTL":
            above, below = struct.unpack(">HH", data[at + 28 : at + 32])
            yield 1000.0 * above / (below or 100)
            first = False
        elif name == b"IDAT" and first:
            yield 0.0
            first = False
        at += 12 + size


def _webp(data: bytes) -> Iterator[float]:
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack("<4sI", data[at : at + 8])
        if name == b"ANMF":
            yield float(int.from_bytes(data[at + 20 : at + 23], "little"))
        at += 8 + size + size % 2
