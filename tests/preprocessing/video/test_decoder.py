"""Which frames of a clip are read, and that the short way to them gives the same pixels as decoding everything."""

from __future__ import annotations

import io
from itertools import pairwise

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation, VideoReformatter
from made_clips import AV1, DEMUXERS, clip, numbered, rotten

from workbench.preprocessing.video import decoder
from workbench.preprocessing.video.decoder import sample, stretches
from workbench.preprocessing.video.reader import DEFAULT


def limits(kind: str = "mov", **options) -> dict:
    values = DEFAULT.model_copy(update=options).model_dump()
    return values | {"demuxer": kind, "seconds": 60, "threads": options.get("threads", 1)}


# ------------------------------------------------------------------------------------------------------------ sampling


def test_even_frames_are_sampled_in_the_middle_of_slices():
    # 24 frames, 12 slices of two: the middle of each is where its second frame starts
    assert sample([0.5] * 24, 12) == list(range(1, 24, 2))
    assert sample([1.0] * 9, 3) == [1, 4, 7]
    assert sample([1.0] * 10, 1) == [5]


@pytest.mark.parametrize("count", [1, 2, 12])
def test_few_frames_are_all_read(count):
    assert sample([0.0] * count, 12) == list(range(count))
    assert sample([1.0, 1e9, 0.0, 2.0][:count], 4) == list(range(min(count, 4)))


def test_time_counts_and_not_the_number_of_frames():
    # 30 frames in the first second, then 9 frames of a second each: slices of a second
    assert sample([1 / 30] * 30 + [1.0] * 9, 10) == [15, *range(30, 39)]


def test_a_long_hold_takes_one_slice_and_not_all():
    # Shown for an hour, the last of 24 frames would fill every slice; cut to a slice it leaves 11 to the 23 others.
    chosen = sample([1 / 12] * 23 + [3600.0], 12)
    assert len(chosen) == 12
    assert chosen[-1] == 23
    assert all(1 <= later - one <= 3 for one, later in pairwise(chosen))


def test_any_scene_of_a_slice_or_more_is_met():
    rng = np.random.default_rng(0)
    for _ in range(300):
        holds = rng.exponential(1, int(rng.integers(1, 60))) ** 3
        count = int(rng.integers(1, 20))
        chosen = sample(holds.tolist(), count)
        assert chosen == sorted(set(chosen))
        assert len(chosen) == min(count, len(holds))
        first = int(rng.integers(0, len(holds)))
        last = int(rng.integers(first, len(holds)))
        if holds[first : last + 1].sum() >= holds.sum() / count * 1.001:
            assert any(first <= place <= last for place in chosen)


def test_no_frame_is_shown_for_any_time():
    assert len(sample([0.0] * 30, 12)) <= 12  # and nothing is divided by zero


def test_stretches_start_at_key_frames_and_do_not_overlap():
    place = list(range(30))
    assert stretches([3, 4, 12, 25], [0, 10, 20], place) == [(0, 4), (10, 12), (20, 25)]
    assert stretches([7], [], place) == [(0, 7)]  # no key frame is marked
    assert stretches([2], [5], place) == [(0, 2)]  # nor is the first
    # packet 11 is shown before the key frame 10, so the way to it starts at the key frame before, with 3 on the way
    place[10], place[11] = 11, 10
    assert stretches([3, 10, 11], [0, 10], place) == [(0, 11)]
    assert stretches([3, 10], [0, 10], place) == [(0, 3), (10, 10)]


# ------------------------------------------------------------------------------------------------- the pixels are right


def noisy(count: int, size: tuple[int, int] = (64, 48), seed: int = 0) -> list[np.ndarray]:
    """Return numbered frames under noise, so that frames are built on one another."""
    rng = np.random.default_rng(seed)
    return [
        np.clip(frame + rng.integers(-14, 15, frame.shape), 0, 255).astype(np.uint8) for frame in numbered(count, size)
    ]


def in_full(data: bytes) -> dict[float, bytes]:
    """Return the pixels of all frames by their times, decoded one after the other by PyAV alone."""
    scaler, found = VideoReformatter(), {}
    how = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(video=0):
            rgb = scaler.reformat(frame, format="rgb24", interpolation=how, threads=1).to_ndarray()
            found[frame.time] = rgb.tobytes()
    return {round(time - min(found), 4): pixels for time, pixels in found.items()}


OPEN_GOP = {"g": "10", "x264-params": "open-gop=1:bframes=3:b-adapt=0:scenecut=0"}
CODED = {
    "h264": {},
    "h264 short": {"g": "7"},
    "h264 open": OPEN_GOP | {"kind": "matroska"},
    "hevc open": {"codec": "libx265", "x265-params": "keyint=10:open-gop=1:bframes=4:log-level=none"},
    "av1": {"codec": AV1},
    "vp8": {"codec": "libvpx", "kind": "webm", "g": "9", "auto-alt-ref": "1", "lag-in-frames": "8"},
    "vp9": {"codec": "libvpx-vp9", "kind": "webm", "g": "9", "auto-alt-ref": "1", "lag-in-frames": "8"},
    "mpeg4": {"codec": "mpeg4", "bf": "2"},
    "mjpeg": {"codec": "mjpeg", "kind": "mov", "pixels": "yuvj420p"},
    "h263": {"codec": "h263", "kind": "mov", "size": (176, 144), "rate": 30},
}


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize("frames", [3, 12, 64])
def test_frames_are_those_of_decoding_everything(name, frames):
    how = dict(CODED[name])
    data = clip(noisy(64, how.pop("size", (64, 48))), **how)
    whole = in_full(data)
    kind = DEMUXERS[how.get("kind", "mp4")]
    said, pixels = decoder.read(data, limits(kind, frames=frames, reduce_side=None))
    assert len(pixels) == min(frames, len(whole))
    assert not any("damaged" in note for note in said["notes"])
    for about, content in zip(said["frames"], pixels, strict=True):
        assert content == whole[round(about["time"], 4)]


def test_threads_change_no_pixel(monkeypatch):
    monkeypatch.setattr(decoder, "HD", 16)  # so that small frames are decoded by several threads too
    for data in (clip(noisy(64)), rotten(clip(noisy(64), g="10"), 0.5)):
        one, four = (decoder.read(data, limits(threads=threads)) for threads in (1, 4))
        assert one == four


def test_only_what_is_needed_is_decoded(monkeypatch):
    data = clip(noisy(120), g="10", **{"x264-params": "scenecut=0"})
    fed = []
    plain = decoder._Reading._frames
    monkeypatch.setattr(
        decoder._Reading,
        "_frames",
        lambda self, first, last, wanted: fed.append(last - first + 1) or plain(self, first, last, wanted),
    )
    decoder.read(data, limits(frames=3))
    # three slices of 40: frames 20, 60 and 100 are key frames, or at most the last of ten after one
    assert len(fed) == 3
    assert sum(fed) <= 30


def test_a_way_that_is_too_long_ends_at_key_frames():
    data = clip(noisy(120), g="30", **{"x264-params": "scenecut=0"})
    frames = 120 * 64 * 48
    exact, _ = decoder.read(data, limits(frames=4))
    near, _ = decoder.read(data, limits(frames=4, max_work=frames // 20))
    assert [round(about["time"], 2) for about in exact["frames"]] != [0.0, 2.5, 5.0, 7.5]
    assert [round(about["time"], 2) for about in near["frames"]] == [0.0, 2.5, 5.0, 7.5]
    assert "long: read at the key frames before the even times" in near["notes"]
    with pytest.raises(decoder.Unread, match="too long to read"):
        decoder.read(data, limits(frames=12, max_work=frames // 20))  # four key frames for twelve slices


def test_nothing_but_what_is_whole_is_kept_after_damage():
    for seed in range(20):
        data = clip(noisy(60, seed=seed), g="10")
        whole = in_full(data)
        said, pixels = decoder.read(rotten(data, 0.5, seed), limits(reduce_side=None))
        assert said["notes"][0].startswith("damaged after ")
        assert 4 <= len(pixels) < 12
        for about, content in zip(said["frames"], pixels, strict=True):
            assert content == whole[round(about["time"], 4)]


def test_a_file_is_read_in_pieces():
    file = decoder._File(memoryview(b"0123456789"))
    assert (file.read(4), file.tell()) == (b"0123", 4)
    assert (file.seek(-2, io.SEEK_END), file.read(9), file.read(9)) == (8, b"89", b"")
    assert (file.seek(1), file.seek(2, io.SEEK_CUR), file.read(1)) == (1, 3, b"3")
    with pytest.raises(ValueError, match="before the start"):
        file.seek(-1)
