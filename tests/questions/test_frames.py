"""How many frames are enough: clips show what they should, and recall is counted at the right threshold."""

import io

import av
import numpy as np
import pytest

from workbench.corpora.synthetic import clips
from workbench.corpora.synthetic.causes import SCENES
from workbench.errors import WorkbenchError
from workbench.preprocessing.video import reader
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


@pytest.fixture
def folder(tmp_path):
    """Two clips of three seconds, dark and light, one of a second, and one that is none."""
    for name, shade, seconds in (("dark", 20, 3), ("light", 220, 3), ("short", 220, 1)):
        base = np.full((seconds * frames.PACE, 120, 160, 3), shade, np.uint8)
        for n, frame in enumerate(base):
            frame[:, 5 * n : 5 * n + 20] = 120  # something moves, for a still is read once
        (tmp_path / f"{name}.mp4").write_bytes(frames.planted(base, base, seconds, 0))
    (tmp_path / "none.mp4").write_bytes(b"nothing")
    return tmp_path


def test_a_second_of_another_clip_stands_where_it_was_planted(folder):
    films, missing = frames.footage(str(folder))
    assert list(films) == ["dark.mp4", "light.mp4"]
    assert [row["clip"] for row in missing] == ["none.mp4", "short.mp4"]
    assert missing[1]["why"] == "moves for under 2 s"
    data = frames.planted(films["dark.mp4"], films["light.mp4"], 5, 16)
    clip = reader.decode(data, reader.VideoOptions(frames=40))
    bright = [time for time, frame in zip(clip.times, clip.frames, strict=True) if frame.mean() > 120]
    assert len(clip.frames) == 40
    assert bright == pytest.approx(np.arange(2, 3, 1 / frames.PACE))
    (folder / "light.mp4").unlink()
    with pytest.raises(WorkbenchError, match="has 1 clips"):
        frames.footage(str(folder))


def test_a_planted_second_is_met_where_a_frame_of_it_is_read(folder, monkeypatch):
    films, _ = frames.footage(str(folder))
    found = frames.met(films, [4, 20], ["time"], [2, 12], places=3)
    assert found["n"].tolist() == [6] * 4  # each in the other one, at three places
    assert found.loc[(found["seconds"] == 4) & (found["frames"] == 12), "share"].item() == 1  # a frame each third of it
    assert found["share"].between(found["lo"], found["hi"]).all()
    assert (found["ms"] > 0).all()
    monkeypatch.setattr(frames, "planted", lambda base, scene, seconds, at: at)
    # Frames at 1 s and 9.875 s alone: seconds from frames 1 to 8 on meet the first, from 72 to 79 on the other.
    monkeypatch.setattr(frames.reader, "decode", lambda at, options: type("Clip", (), {"times": [1.0, 9.875]}))
    starts = [0, 1, 8, 9, 71, 72, 79]
    draws = type("Draws", (), {"integers": lambda self, low, high, size: np.array(starts)})
    monkeypatch.setattr(frames.np.random, "default_rng", lambda seed: draws())
    assert frames.met(films, [20], ["time"], [2], places=7)["share"].item() == 4 / 7
