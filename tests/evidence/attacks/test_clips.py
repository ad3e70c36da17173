"""Attacks on clips, frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.evidence.attacks import clips

TIMES = np.array([0, 0.2, 0.5, 1.0])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def film(n: int = 3, height: int = 32, width: int = 48) -> np.ndarray:
    shades = np.linspace(40, 220, n).astype(np.uint8)
    return np.broadcast_to(shades[:, None, None, None], (n, height, width, 3)).copy()


def test_a_clip_plays_up_to_four_times_as_fast():
    frames, times = clips.speed(film(), TIMES, 0.5, rng())
    assert (frames == film()).all()
    assert times == pytest.approx(TIMES / 2.5)


def test_black_is_put_before_and_after_it():
    frames, times = clips.padding(film(), TIMES, 0.5, rng())  # 40 % of the whole, so a third of a second each
    assert frames[:, 0, 0, 0].tolist() == [0, 40, 130, 220, 0]
    assert times == pytest.approx([0, 1 / 3, 1 / 3 + 0.2, 1 / 3 + 0.5, 4 / 3, 5 / 3])


def test_one_white_frame_stands_anywhere_and_what_follows_comes_later():
    places = set()
    for seed in range(30):
        frames, times = clips.flash(film(), TIMES, 0.4, rng(seed))
        (at,) = np.flatnonzero((frames == 255).all(axis=(1, 2, 3))).tolist()
        places.add(at)
        assert (np.delete(frames, at, axis=0) == film()).all()
        assert times == pytest.approx([*TIMES[: at + 1], *(TIMES[at:] + 0.2)])
    assert places == {0, 1, 2, 3}


def test_frames_come_back_at_their_millisecond_and_the_last_lasts_as_long_as_the_others():
    frames, times = clips.read(clips.write(film(4), np.array([0, 0.2, 0.5, 0.75, 3.0])))
    assert frames.shape == (4, 32, 48, 3)
    assert np.abs(frames[:, 16, 24, 0].astype(int) - film(4)[:, 0, 0, 0]).max() <= 3
    assert times == pytest.approx([0, 0.2, 0.5, 0.75, 1.0], abs=1e-9)
    late = clips.read(clips.write(film(2), np.array([0.5, 2.0, 3.0])))
    assert late[1] == pytest.approx([0, 1.5, 3.0], abs=1e-9)
    alone = clips.read(clips.write(film(1), np.array([0.0, 5.0])))
    assert alone[1] == pytest.approx([0, 1.0])
    assert len(clips.read(clips.write(film(200), np.arange(201) / 10))[0]) == 64


def test_frames_of_one_moment_follow_each_other_by_a_millisecond():
    _, times = clips.read(clips.write(film(5), np.array([0, 0, 0, 0.001, 0.5, 1.0])))
    assert times[:-1] == pytest.approx([0, 0.001, 0.002, 0.003, 0.5], abs=1e-9)


@pytest.mark.parametrize(("height", "width", "shape"), [(33, 49, (32, 48)), (34, 38, (34, 38)), (16, 17, (16, 16))])
def test_an_odd_side_loses_one_pixel(height, width, shape):
    frames = film(2, height, width)
    frames[:, :, : width // 2] = 0
    seen, _ = clips.read(clips.write(frames, np.array([0, 0.1, 0.2])))
    assert seen.shape[1:3] == shape
    assert seen[0, :, : width // 2 - 2].max() < 30
