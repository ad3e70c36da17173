"""How many frames of a clip must be looked at: recall against frames, by way of sampling, and what decoding costs.

Clips of the synthetic world in which a harmful scene fills one, two or five of many frames, and calm ones beside them.
One detector (a logistic regression on single frames, by the encoder that is named) is held fixed and a clip counts by
its highest frame, so that only what was sampled differs. The threshold is set on the calm clips under the same
sampling, so that more frames pay for their additional chances of a false alarm.

In real clips (`planted`) a second of another clip is set at a drawn place of a clip that runs on and on; what counts is
whether a frame of that second is read. What a model makes of it is not asked there.
"""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
from PIL import Image

from workbench.corpora.synthetic import clips
from workbench.corpora.synthetic.causes import IMAGE_HARM, SCENES, VIEWS
from workbench.errors import WorkbenchError
from workbench.features.encoders import load_encoder
from workbench.metrics.intervals import wilson
from workbench.preprocessing.video import reader

DIFFICULTY = 0.3
PACE, SIZE = 8, (160, 120)  # frames a second, and pixels, of clips in which a second of another is planted
CLIPS = (".mp4", ".mov", ".webm", ".mkv")
LEAST = 2.0  # seconds until the last change in a real clip; others are left out
Detector = Callable[[np.ndarray], np.ndarray]


def films(count: int, shows: int, *, frames: int, keys: int, seed: int) -> list[bytes]:
    """Return MP4 clips in which a harmful scene fills so many frames; 0 for calm ones.

    keys: the most frames from one key frame to the next, as the file's encoder was told.
    """
    made = []
    for n in range(count):
        rng = np.random.default_rng([seed, shows, n])
        names = list(IMAGE_HARM) if shows else list(VIEWS)
        scene = SCENES.index(names[rng.integers(len(names))])
        film = clips.shoot(scene, rng, DIFFICULTY, frames=frames, shows=shows or None)
        made.append(clips.encode(film, rng, "mp4", g=str(keys)))
    return made


def detector(encoder: str, *, scenes: int = 400, seed: int = 0) -> Detector:
    """Return the function from vectors of frames (n, d) to logits (n,) that tells harmful scenes from calm views."""
    from sklearn.linear_model import LogisticRegression

    files, harmful = [], []
    for n in range(scenes):
        rng = np.random.default_rng([seed, 999, n])
        names = list(IMAGE_HARM if n % 2 else VIEWS)
        film = clips.shoot(SCENES.index(names[rng.integers(len(names))]), rng, DIFFICULTY)
        file = io.BytesIO()
        Image.fromarray(film.frames[film.scene[0]]).save(file, "PNG")
        files.append(file.getvalue())
        harmful.append(n % 2)
    model = LogisticRegression(C=30.0, max_iter=2000).fit(load_encoder(encoder).encode_image(files).values, harmful)
    return model.decision_function


def highest(encoder: str, files: Sequence[bytes], judge: Detector) -> tuple[np.ndarray, float]:
    """Return each clip's highest logit (n,) under an encoder's sampling, and the mean number of frames read."""
    blocks = load_encoder(encoder).encode_video(files)
    return np.maximum.reduceat(judge(blocks.values), blocks.offsets[:-1]), float(blocks.counts.mean())


def recall(
    sets: dict[int, list[bytes]],
    judge: Detector,
    encoder: str,
    samplings: Sequence[str],
    frames: Sequence[int],
    fpr: float,
) -> list[dict[str, Any]]:
    """Return a row per sampling, number of frames and length of the scene: recall with its interval (Wilson, 95 %).

    sets: clips by how many frames show the scene; those of 0 are calm and set the threshold: at most a share `fpr` of
    them scores as high. `read` is the mean number of frames read of a calm clip.
    """
    rows = []
    for sampling in samplings:
        for most in frames:
            name = f"{encoder}?sampling={sampling}&frames={most}"
            calm, read = highest(name, sets[0], judge)
            threshold = np.sort(calm)[::-1][int(fpr * len(calm))]  # so many calm clips lie above it
            for shows in sorted(set(sets) - {0}):
                hits = highest(name, sets[shows], judge)[0] > threshold
                lo, hi = wilson(hits.sum(), len(hits))
                about = {"sampling": sampling, "frames": most, "scene": shows, "read": read, "n": len(hits)}
                rows.append({**about, "recall": float(hits.mean()), "lo": lo, "hi": hi})
    return rows


def cost(files: Sequence[bytes], samplings: Sequence[str], frames: Sequence[int]) -> list[dict[str, Any]]:
    """Return the milliseconds of decoding a clip, by sampling and number of frames: the median over clips."""
    reader.decode(files[0])  # starts the process that decodes
    rows = []
    for sampling in samplings:
        for most in frames:
            options, spent = reader.VideoOptions(sampling=sampling, frames=most), []
            for data in files:
                began = time.perf_counter()
                reader.decode(data, options)
                spent.append(1000 * (time.perf_counter() - began))
            rows.append({"sampling": sampling, "frames": most, "ms": float(np.median(spent))})
    return rows


# --------------------------------------------------------------------------------------------------------- real clips


def footage(folder: str) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Return the frames uint8 (n, height, width, 3) of each clip of a folder, at `PACE` and `SIZE`, and what is not.

    A clip that cannot be read, or moves for less than `LEAST`, is left out and listed with the reason. Raises
    WorkbenchError where fewer than two are left, as a second of one is planted in another.
    """
    films, missing = {}, []
    for path in sorted(path for path in Path(folder).expanduser().rglob("*") if path.suffix.lower() in CLIPS):
        clip = reader.decode(path.read_bytes(), reader.VideoOptions(frames=64))
        lasts = clip.times[-1] if clip.frames else 0.0
        if clip.reason is not None or lasts < LEAST:
            missing.append({"clip": path.name, "why": clip.reason or f"moves for under {LEAST:g} s"})
            continue
        small = [np.asarray(Image.fromarray(frame).resize(SIZE)) for frame in clip.frames]
        shown = np.searchsorted(clip.times, np.arange(0, lasts, 1 / PACE), side="right") - 1
        films[path.name] = np.stack([small[at] for at in np.maximum(shown, 0)])
    if len(films) < 2:
        raise WorkbenchError(
            f"{folder} has {len(films)} clips of {LEAST:g} seconds or more that can be read, and two are needed; name "
            f"a folder with more ({', '.join(CLIPS)})"
        )
    return films, missing


def planted(base: np.ndarray, scene: np.ndarray, seconds: int, at: int) -> bytes:
    """Return an MP4 that shows `base` over and over for so many seconds, and from frame `at` on a second of `scene`.

    base, scene: frames uint8 (n, height, width, 3) as `footage` has them. Key frames are where the encoder puts them.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=PACE, options={"preset": "veryfast", "crf": "28"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.thread_count = 1
        for n in range(seconds * PACE):
            pixels = scene[(n - at) % len(scene)] if at <= n < at + PACE else base[n % len(base)]
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode())
    return buffer.getvalue()


def met(
    films: dict[str, np.ndarray],
    lengths: Sequence[int],
    samplings: Sequence[str],
    frames: Sequence[int],
    *,
    places: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Return a row per length in seconds, sampling and number of frames: how many planted seconds are met.

    Each clip stands in each other one, at so many drawn places. share: of the clips in which a frame of the planted
    second is read, with its Wilson interval; ms: median of decoding.
    """
    rows = []
    for seconds in lengths:
        rng = np.random.default_rng([seed, seconds])
        made = []
        for base, scene in itertools.permutations(films.values(), 2):
            for at in rng.integers(0, (seconds - 1) * PACE, places).tolist():
                made.append((planted(base, scene, seconds, at), at / PACE))
        for sampling, most in itertools.product(samplings, frames):
            options, hits, spent = reader.VideoOptions(sampling=sampling, frames=most), 0, []
            for data, start in made:
                began = time.perf_counter()
                times = np.array(reader.decode(data, options).times)
                spent.append(1000 * (time.perf_counter() - began))
                hits += bool(((times >= start - 1e-3) & (times < start + 1 - 1e-3)).any())
            lo, hi = wilson(hits, len(made))
            about = {"seconds": seconds, "sampling": sampling, "frames": most, "n": len(made)}
            rows.append({**about, "share": hits / len(made), "lo": lo, "hi": hi, "ms": float(np.median(spent))})
    return pd.DataFrame(rows)
