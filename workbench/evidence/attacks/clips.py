"""Ways to change a clip so that people still see the same and a model that looks at few frames may not.

A clip here is frames uint8 (n, h, w, 3) and their times in seconds, of which the last is when it ends (n + 1,). It is
read by `preprocessing.video` in its guarded process, MOST frames at most, and written as MP4 (H.264).
Open doubt: of a clip with more than MOST frames those between are lost, which is a change that no attack asked for.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np

from workbench.preprocessing.video import reader

MOST = 64
_CLOCK = Fraction(1, 1000)
Shown = tuple[np.ndarray, np.ndarray]  # frames and times
Cut = Callable[[np.ndarray, np.ndarray, float, np.random.Generator], Shown]


def speed(frames: np.ndarray, times: np.ndarray, strength: float, rng: np.random.Generator) -> Shown:
    """Play it up to four times as fast."""
    return frames, times / (1 + 3 * strength)


def padding(frames: np.ndarray, times: np.ndarray, strength: float, rng: np.random.Generator) -> Shown:
    """Put black before and after it, up to 80 % of the whole."""
    share = 0.8 * strength
    more = times[-1] * share / (1 - share) / 2
    black = np.zeros_like(frames[:1])
    return np.concatenate([black, frames, black]), np.concatenate([[0.0], times + more, [times[-1] + 2 * more]])


def flash(frames: np.ndarray, times: np.ndarray, strength: float, rng: np.random.Generator) -> Shown:
    """Put one white frame somewhere, which lasts up to half as long as the clip; what follows comes later."""
    at, lasts = int(rng.integers(0, len(frames) + 1)), 0.5 * strength * times[-1]
    white = np.full_like(frames[:1], 255)
    later = np.concatenate([times[: at + 1], times[at:] + lasts])
    return np.concatenate([frames[:at], white, frames[at:]]), later


CUTS: dict[str, Cut] = {"speed": speed, "padding": padding, "flash": flash}


def read(data: bytes) -> Shown | None:
    """Return the frames of a clip (n, h, w, 3) and their times with its end (n + 1,), None where it cannot be read.

    What file and reader do not say is how long the last frame lasts: as long as the others do in the mean.
    """
    clip = reader.decode(data, reader.VideoOptions(frames=MOST))
    if not clip.frames:
        return None
    times = np.asarray(clip.times) - clip.times[0]
    last = times[-1] / (len(times) - 1) if len(times) > 1 else 1.0
    return np.stack(clip.frames), np.append(times, times[-1] + last)


def write(frames: np.ndarray, times: np.ndarray) -> bytes:
    """Return an MP4 file of frames and times; sides of an odd number of pixels lose one, as H.264 asks."""
    height, width = (max(2, side // 2 * 2) for side in frames.shape[1:3])
    frames = frames[:, :height, :width]
    milliseconds = np.round(1000 * times).astype(np.int64)
    milliseconds = np.maximum.accumulate(milliseconds - np.arange(len(times))) + np.arange(len(times))  # all differ
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as file:
        options = {"preset": "ultrafast", "tune": "zerolatency", "qp": "18"}
        stream = file.add_stream("libx264", rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = stream.time_base = _CLOCK
        for pixels, moment, lasts in zip(frames, milliseconds.tolist(), np.diff(milliseconds).tolist(), strict=False):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = moment, _CLOCK
            for packet in stream.encode(frame):  # one a frame, as the encoder holds none back
                packet.duration = lasts
                file.mux(packet)
        file.mux(stream.encode())
    return buffer.getvalue()
