"""The three ways to choose frames: what each meets, what it costs, and that bad clips end as well as by time."""

from __future__ import annotations

import re

import numpy as np
import pytest
from made_clips import clip, number, numbered
from sent_clips import DAMAGED, SENT, SMALL, changed

from workbench.errors import WorkbenchError
from workbench.preprocessing.video import decoder
from workbench.preprocessing.video.reader import DEFAULT, VideoOptions, decode
from workbench.preprocessing.video.sampling import most_different

OTHERS = ("keyframe", "adaptive")


def flashes(places: dict[int, int], count: int = 60, **how: str) -> bytes:
    """Return a clip of one still picture, with other pictures at some places."""
    still, *others = (np.full((48, 64, 3), shade, np.uint8) for shade in (120, *places.values()))
    shown = dict(zip(places, others, strict=True))
    return clip([shown.get(at, still) for at in range(count)], **how)


def test_the_most_different_are_added_to_what_is_kept():
    thumbs = [bytes([value]) for value in (0, 0, 100, 104, 50, 0)]
    # from 0 the farthest is 104, then 50 (50 away from 0, 54 from 104); 100 and 0 are near what is taken
    assert most_different(thumbs, [0], 2) == [0, 3]
    assert most_different(thumbs, [0], 3) == [0, 3, 4]
    assert most_different(thumbs, [0], 6) == [0, 2, 3, 4]  # what equals one taken is never added
    assert most_different([], [], 3) == []


def test_key_frames_are_read_and_nothing_else_is_decoded(monkeypatch):
    data = clip(60, g="10", **{"x264-params": "scenecut=0"})
    read = decode(data, VideoOptions(sampling="keyframe"))
    assert [number(frame) for frame in read.frames] == [0, 10, 20, 30, 40, 50]
    assert [number(frame) for frame in decode(data, VideoOptions(sampling="keyframe", frames=2)).frames] == [10, 40]
    asked = []
    plain = decoder._Reading._frames
    monkeypatch.setattr(decoder._Reading, "_frames", lambda *a: asked.append(a[1:3]) or plain(*a))
    limits = DEFAULT.model_copy(update={"sampling": "keyframe"}).model_dump()
    decoder.read(data, limits | {"demuxer": "mov", "seconds": 60, "threads": 1})
    assert [last - first for first, last in asked] == [0] * 6


@pytest.mark.parametrize("place", [7, 27, 57])
def test_a_flash_between_even_times_is_met_by_what_differs(place):
    data = flashes({place: 250, place + 1: 250, place + 2: 250})
    bright = {
        sampling: any(frame.mean() > 200 for frame in decode(data, VideoOptions(sampling=sampling, frames=6)).frames)
        for sampling in ("time", "adaptive")
    }
    # Six even slices of ten frames look at frames 5, 15, ... or one before; 24 probes of 2.5 frames meet any three.
    assert bright == {"time": False, "adaptive": True}


def test_adaptive_sampling_keeps_order_number_and_the_even_half():
    data = clip(60)
    read = decode(data, VideoOptions(sampling="adaptive", frames=8))
    assert len(read.frames) == 8
    assert read.notes == ("8 of 60 frames read",)
    shown = [number(frame) for frame in read.frames]
    assert shown == sorted(set(shown))
    assert all(any(low <= at < low + 15 for at in shown) for low in range(0, 60, 15))  # four are spread evenly
    still = decode(flashes({}), VideoOptions(sampling="adaptive", frames=8))
    assert len(still.frames) == 1


def test_probes_that_cost_too_much_leave_sampling_by_time():
    # one key frame: by time the 37th frame is the last that is decoded, of eight probes it is the 46th
    data = clip(numbered(48, (64, 48)), g="48", **{"x264-params": "scenecut=0"})
    tight = VideoOptions(sampling="adaptive", frames=2, max_work=64 * 48 * 40)
    read, even = decode(data, tight), decode(data, VideoOptions(frames=2, max_work=64 * 48 * 40))
    assert [number(frame) for frame in read.frames] == [number(frame) for frame in even.frames]
    assert "long: no more frames were compared than are read" in read.notes


def test_sampling_by_time_is_told_by_old_fingerprints_and_others_are_not():
    assert "sampling" not in DEFAULT.recipe
    assert {VideoOptions(sampling=name).recipe["sampling"] for name in OTHERS} == set(OTHERS)
    with pytest.raises(WorkbenchError, match="sampling"):
        VideoOptions.parse({"sampling": "often"}, "clip")


@pytest.mark.parametrize("sampling", OTHERS)
@pytest.mark.parametrize("name", SENT)
def test_whatever_is_sent_ends_as_by_time(name, sampling):
    data, *expected = SENT[name]
    data = data if isinstance(data, bytes) else data()
    read = decode(data, VideoOptions(sampling=sampling))
    assert not read.transient
    if len(expected) == 1:
        assert read.reason.startswith(expected[0])
    elif name == "bit rot" and sampling == "keyframe":
        assert read.frames or read.reason == DAMAGED
    else:
        assert read.reason is None
        assert 0 < len(read.frames) <= 12
        assert list(read.times) == sorted(read.times)


@pytest.mark.parametrize("sampling", OTHERS)
def test_every_real_clip_is_read_as_by_time(workbench_data, sampling):
    paths = sorted(path for path in (workbench_data / "video").rglob("*") if path.suffix in (".mp4", ".mkv", ".webm"))
    assert paths
    for path in paths:
        data = path.read_bytes()
        patient = {"timeout_seconds": 600}  # the machine may be busy
        even, read = (decode(data, VideoOptions(sampling=way, **patient)) for way in ("time", sampling))
        assert (read.reason, bool(read.frames)) == (even.reason, bool(even.frames)), path.name
        assert len(read.frames) <= 12


@pytest.mark.parametrize("sampling", OTHERS)
@pytest.mark.parametrize("name", ["mp4", "vp8"])
@pytest.mark.parametrize("rounds", [40, pytest.param(400, marks=pytest.mark.campaign)])
def test_random_damage_ends_in_frames_or_a_sentence(name, rounds, sampling):
    rng, data = np.random.default_rng(rounds), clip(8, **SMALL[name])
    options = VideoOptions(timeout_seconds=120, sampling=sampling)
    for _ in range(rounds):
        read = decode(changed(data, rng), options)
        assert not read.transient, read.reason
        assert read.reason is None or re.fullmatch(r"[A-Z][^\n]*\.", read.reason)
        assert len(read.frames) <= 12
