"""Clips in the gallery: a row of blurred frames with their times, nothing of what cannot be read."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pyarrow as pa
from made_clips import clip, number
from PIL import Image

from workbench.report import gallery
from workbench.schema import Taxonomy, corpus_schema

SCHEMA = corpus_schema(Taxonomy.load())


def posts(*clips: bytes | None) -> pa.Table:
    rows = [{"post_id": f"p{n}", "video": data and {"bytes": data, "path": None}} for n, data in enumerate(clips)]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def frames(fragment: str) -> list[np.ndarray]:
    data = re.findall(r"base64,([A-Za-z0-9+/=]+)", fragment)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in data]


def test_a_clip_is_a_row_of_its_frames_in_order():
    found = gallery.clips(posts(None, b"no clip", clip(24)), 5, frames=4)
    shown = frames(found)
    assert found.count('class="gallery"') == 1
    numbers = [number(one) for one in shown]
    assert len(numbers) == 4
    assert numbers == sorted(numbers)
    assert numbers[0] < 3 < 20 < numbers[-1]
    assert re.findall(r"<p>([\d.]+) s</p>", found) == sorted(re.findall(r"<p>([\d.]+) s</p>", found))
    assert all(one.shape == (gallery.SIDE, gallery.SIDE, 3) for one in shown)


def test_short_clips_and_no_clips():
    assert len(frames(gallery.clips(posts(clip(1)), 5))) == 1
    assert gallery.clips(posts(None, b"words"), 5) == ""
    assert gallery.clips(posts(clip(2), clip(2)), 1).count('class="gallery"') == 1
