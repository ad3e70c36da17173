"""Which frames of a clip are read: arithmetic on times, packets and thumbnails, with the standard library alone.

How frames are spread over the time that they are shown says `image.animation`. This runs in the process that decodes
clips (`video_worker`), like `video_frames`, which says how they are decoded.

Open doubts: all three ways look at a bounded number of frames, so a scene that is shorter than the gaps between those
can be missed, and whoever knows the way can place it there. Key frames are where the file's encoder put them: many
files have one every few seconds only. Frames that differ most are found on thumbnails: a small thing in a corner may
not count, and a clip full of cuts can draw the frames away (half of them are therefore spread by time).
"""

from __future__ import annotations

from bisect import bisect_right

PROBES = 4
"""Adaptive sampling compares so many times as many frames as it keeps."""
MOST_PROBES = 96
"""And at most so many, unless more are kept."""
THUMB = 16
"""Frames are compared at so many pixels a side."""


def stretches(wanted: list[int], keys: list[int], place: list[int]) -> list[tuple[int, int]]:
    """Return the stretches of packets to decode, first and last: from the key frame before each wanted packet to it.

    `place`: the place of each packet in the order shown. A frame shown before the key frame it is stored behind may be
    built on earlier ones, so its stretch starts at the key frame before that.
    """
    spans: list[tuple[int, int]] = []
    for last in sorted(wanted):
        at = bisect_right(keys, last) - 1
        while at > 0 and place[keys[at]] > place[last]:
            at -= 1
        first = keys[at] if at >= 0 else 0
        while spans and first <= spans[-1][1]:
            first = min(first, spans.pop()[0])
        spans.append((first, last))
    return spans


def most_different(thumbs: list[bytes], kept: list[int], count: int) -> list[int]:
    """Return, in order, `kept` and whatever differs most from what is already taken, until there are `count`.

    thumbs: pixels of each frame, of equal length where the frames have one size; the difference of two is the sum of
    absolute differences. A frame that equals one already taken is never added. Farthest-point traversal: Gonzalez 1985,
    Clustering to minimize the maximum intercluster distance.

    >>> most_different([bytes([0]), bytes([0]), bytes([9]), bytes([5])], [0], 2)
    [0, 2]
    """
    taken = set(kept)
    far = [min((_difference(thumb, thumbs[at]) for at in kept), default=1) for thumb in thumbs]
    while len(taken) < min(count, len(thumbs)):
        new = max(range(len(thumbs)), key=lambda at: (far[at], -at))
        if far[new] <= 0:
            break
        taken.add(new)
        far = [min(old, _difference(thumb, thumbs[new])) for old, thumb in zip(far, thumbs, strict=True)]
    return sorted(taken)


def _difference(frame: bytes, other: bytes) -> int:
    return sum(abs(a - b) for a, b in zip(frame, other, strict=False))
