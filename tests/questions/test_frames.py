"""How many frames are enough: clips show what they should, and recall is counted at the right threshold."""

import io

import av
import numpy as np
import pytest

from workbench.corpora.synthetic import clips
from workbench.corpora.synthetic.causes import SCENES
from workbench.questions import frames


@pytest.mark.parametrize("shows", [1, 2, 5])
def test_a_scene_fills_as_many_frames_as_asked(shows):
    film = clips.shoot(SCENES.index("cage"), np.random.default_rng(shows), 0.3, frames=20, shows=shows)
    assert len(film.frames) == len(film.times) == 20
    assert film.scene[1] - film.scene[0] == shows


def test_the_most_frames_between_key_frames_are_the_codec_s_to_keep():
    (data,) = frames.films(1, 2, frames=20, keys=5, seed=0)
    with av.open(io.BytesIO(data)) as file:
        keys = [at for at, packet in enumerate(p for p in file.demux(video=0) if p.size) if packet.is_keyframe]
    assert keys == [0, 5, 10, 15]


def test_recall_is_counted_above_the_threshold_of_calm_clips(monkeypatch):
    scores = {"calm": np.arange(20.0), "one": np.array([17.0, 17.5, 30.0, 2.0])}
    names = []

    def highest(name, files, judge):
        names.append(name)
        return scores[files], 7.5

    monkeypatch.setattr(frames, "highest", highest)
    rows = frames.recall({0: "calm", 1: "one"}, None, "tiny", ["time", "adaptive"], [4], 0.1)
    # two of twenty calm clips may lie above, so the threshold is 17; two of four lie above it
    assert [(row["sampling"], row["recall"], row["read"], row["n"]) for row in rows] == [
        ("time", 0.5, 7.5, 4),
        ("adaptive", 0.5, 7.5, 4),
    ]
    assert names[0] == "tiny?sampling=time&frames=4"
    assert all(row["lo"] < 0.5 < row["hi"] for row in rows)


def test_the_cost_has_a_row_for_every_choice():
    files = frames.films(2, 0, frames=12, keys=12, seed=0)
    rows = frames.cost(files, ["time", "keyframe"], [2, 4])
    assert [(row["sampling"], row["frames"]) for row in rows] == [(s, k) for s in ("time", "keyframe") for k in (2, 4)]
    assert all(row["ms"] > 0 for row in rows)
