"""How a post comes back: unchanged, or with one small edit that leaves what it says and shows as it was.

Edits are drawn independently of every cause, so that none says anything about labels.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from workbench.corpora.synthetic import clips, phrases, pictures

UNCHANGED = 0.4  # of reposted texts, pictures and clips each
_MORE = phrases.WORDS["reposts"]


def text(original: str, language: int, rng: np.random.Generator) -> str:
    """Return a text as its repost says it: as it was, mistyped, in small letters, or with words before or after it."""
    kind = _kind(4, rng)
    if kind == 0:
        return original
    if kind == 1:
        return phrases.misspell(original, rng, 0.1)
    words = original.split(" ")
    if kind == 2:
        return " ".join(word if "://" in word else word.lower() for word in words)
    more = _MORE[language][rng.integers(len(_MORE[language]))].format(n=phrases.NAMES[rng.integers(len(phrases.NAMES))])
    return f"{more} {original}" if rng.random() < 0.5 else f"{original} {more}"


def picture(shown: Image.Image, data: bytes, rng: np.random.Generator) -> bytes:
    """Return a picture's file as its repost has it: as it was, saved anew, with its edge cut off, brighter or darker.

    shown: the picture before it was encoded to `data`.
    """
    kind = _kind(4, rng)
    if kind == 0:
        return data
    if kind == 2:
        left, top, right, bottom = rng.integers(0, 3, 4)
        side = pictures.SIDE
        shown = shown.crop((left, top, side - right, side - bottom)).resize((side, side), Image.Resampling.BILINEAR)
    if kind == 3:
        light = rng.choice([0.88, 0.94, 1.06, 1.12])
        shown = shown.point(lambda value: min(255, round(value * light)))
    return pictures.encode(shown, rng)


def clip(film: clips.Film, data: bytes, rng: np.random.Generator) -> bytes:
    """Return a clip's file as its repost has it: as it was, encoded anew, in another container, or without its end."""
    kind = _kind(4, rng)
    if kind == 0:
        return data
    other = ("webm" if data[4:8] == b"ftyp" else "mp4") if kind == 2 else None
    return clips.encode(clips.trim(film, rng) if kind == 3 else film, rng, other)


def _kind(kinds: int, rng: np.random.Generator) -> int:
    """0 (unchanged) or one of the other kinds, which are equally likely."""
    return 0 if rng.random() < UNCHANGED else int(rng.integers(1, kinds))
