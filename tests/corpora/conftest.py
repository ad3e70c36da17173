"""What tests of corpora share."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from world_samples import build

from workbench.corpora.synthetic import clips, pictures


@pytest.fixture(scope="session")
def sample() -> pa.Table:
    """4,000 posts with real pictures and clips, half of them pairs and a quarter of them harmful."""
    return build(posts=4000, seed=3, oversample={"paired": 0.5, "harm": 0.25})


@pytest.fixture
def quick(monkeypatch):
    """Make the same posts with an empty picture or clip each, which is most of the time."""
    dark = Image.new("RGB", (2, 2))
    film = clips.Film(np.zeros((12, 2, 2, 3), np.uint8), 200 * np.arange(12), (3, 6))
    monkeypatch.setattr(pictures, "draw", lambda *_: dark)
    monkeypatch.setattr(pictures, "encode", lambda *_: b"\xff\xd8")
    monkeypatch.setattr(clips, "shoot", lambda *_: film)
    monkeypatch.setattr(clips, "encode", lambda *_: b"\x1a\x45\xdf\xa3")
