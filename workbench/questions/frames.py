"""How many frames of a clip must be looked at: recall against frames, by way of sampling, and what decoding costs.

Clips of the synthetic world in which a harmful scene fills one, two or five of many frames, and calm ones beside them.
One detector (a logistic regression on single frames, by the encoder that is named) is held fixed and a clip counts by
its highest frame, so that only what was sampled differs. The threshold is set on the calm clips under the same
sampling, so that more frames pay for their additional chances of a false alarm.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from workbench.corpora.synthetic import clips
from workbench.corpora.synthetic.causes import IMAGE_HARM, SCENES, VIEWS
from workbench.features.encoders import load_encoder
from workbench.metrics.intervals import wilson
from workbench.preprocessing.video import reader

DIFFICULTY = 0.3
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
