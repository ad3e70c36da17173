"""What clips of the synthetic world show: a calm view, and the scene in a few frames somewhere in between.

A clip is two shots of drawings as in `pictures`, in which the object drifts: a calm view before and after, and the
scene for 2 to 4 consecutive frames and at least COVERAGE of the time. Which view that is, is nuisance (independent of
scene, labels and text), unless the scene is a calm view itself: then all frames show it. So a clip tells its scene and
no more. Frames have uneven times; the last is never of the scene, as files say least surely how long that one lasts.
Files are real MP4 (H.264) and WebM (VP8, VP9), by PyAV.
"""

from __future__ import annotations

import io
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np

from workbench.corpora.synthetic import pictures
from workbench.corpora.synthetic.causes import SCENES, VIEWS

COVERAGE = 0.13  # of the time at least shows the scene: twelve samples even by time cannot miss it
SECONDS = (2.0, 4.0)
FRAMES = (12, 18)
_MOST = 6.0  # pixels that an object drifts in a shot
_CLOCK = Fraction(1, 1000)


class Codec(NamedTuple):
    """How a clip is encoded; quality is the range of the codec's own scale, named by `scale`, lower is better."""

    container: str
    codec: str
    share: float
    scale: str
    quality: tuple[int, int]
    options: dict[str, str]


_QUICK = {"deadline": "realtime", "lag-in-frames": "0", "auto-alt-ref": "0"}
CODECS = (
    Codec("mp4", "libx264", 0.4, "qp", (16, 28), {"preset": "ultrafast", "tune": "zerolatency"}),
    Codec("webm", "libvpx", 0.5, "crf", (8, 24), {**_QUICK, "cpu-used": "-16", "b": "400k"}),
    Codec("webm", "libvpx-vp9", 0.1, "crf", (20, 36), {**_QUICK, "cpu-used": "8", "b": "0"}),
)


class Film(NamedTuple):
    """A clip before encoding: frames uint8 (n, SIDE, SIDE, 3), their times (n,) in milliseconds from the start.

    scene: its first frame, and the first one after it.
    """

    frames: np.ndarray
    times: np.ndarray
    scene: tuple[int, int]


def shoot(
    scene: int, rng: np.random.Generator, difficulty: float, *, frames: int | None = None, shows: int | None = None
) -> Film:
    """Return a fresh clip of a scene, before encoding.

    frames: how many it has, None for a draw from FRAMES; shows: how many of them show the scene, without COVERAGE.
    """
    calm = SCENES[scene] in VIEWS
    view = scene if calm else SCENES.index(VIEWS[rng.integers(len(VIEWS))])
    n, m = rng.integers(FRAMES[0], FRAMES[1] + 1), rng.integers(2, 5)
    n, m = frames or n, shows or m
    first = rng.integers(0, n - m)
    shown = slice(first, first + m)
    lasting = rng.uniform(0.4, 1.6, n)
    rest = lasting.sum() - lasting[shown].sum()
    if shows is None:  # longer where the scene would be too short to be seen
        lasting[shown] *= max(1.0, 1.05 * COVERAGE / (1 - COVERAGE) * rest / lasting[shown].sum())
    lasting *= 1000 * rng.uniform(*SECONDS) / lasting.sum()
    times = np.floor(np.cumsum(lasting) - lasting).astype(np.int64)
    frames = np.empty((n, pictures.SIDE, pictures.SIDE, 3), np.uint8)
    frames[:] = _shot(view, n, rng, difficulty)
    frames[shown] = _shot(scene, m, rng, difficulty)
    return Film(frames, times, (first, first + m))


def encode(film: Film, rng: np.random.Generator, container: str | None = None, **more: str) -> bytes:
    """Return a clip as the bytes of a file, MP4 or WebM as asked or drawn, its codec and quality drawn.

    more: further options of the codec, such as `g`, the most frames from one key frame to the next.
    """
    fitting = [codec for codec in CODECS if container in (None, codec.container)]
    share = np.array([codec.share for codec in fitting])
    chosen = fitting[rng.choice(len(fitting), p=share / share.sum())]
    quality = str(rng.integers(chosen.quality[0], chosen.quality[1] + 1))
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=chosen.container, options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream(chosen.codec, rate=10, options={**chosen.options, chosen.scale: quality, **more})
        stream.width = stream.height = pictures.SIDE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = stream.time_base = _CLOCK
        for pixels, time in zip(film.frames, film.times, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = int(time), _CLOCK
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return buffer.getvalue()


def trim(film: Film, rng: np.random.Generator) -> Film:
    """Return the clip with its end cut off, from somewhere after its scene and at most a third."""
    least = max(film.scene[1] + 1, int(np.ceil(len(film.times) * 2 / 3)))
    kept = int(rng.integers(least, len(film.times) + 1))
    return Film(film.frames[:kept], film.times[:kept], film.scene)


def _shot(scene: int, n: int, rng: np.random.Generator, difficulty: float) -> np.ndarray:
    """n frames (n, SIDE, SIDE, 3) in which a drawing's object drifts along a line, wholly inside the picture."""
    ground, ink, mask = pictures.parts(scene, rng, difficulty)
    there = mask.getbbox()
    ways = []
    for low, high in ((there[0], there[2]), (there[1], there[3])):  # right, down
        way = np.linspace(0, rng.uniform(-_MOST, _MOST), n).round().astype(int)
        ways.append(np.clip(way, -low, pictures.SIDE - high).tolist())
    shown, frames = {}, []
    for place in zip(*ways, strict=True):
        if place not in shown:
            frame = ground.copy()
            frame.paste(ink, place, mask)
            shown[place] = np.asarray(frame)
        frames.append(shown[place])
    return np.stack(frames)
