"""Reading clips: the right frames of whole ones, and frames or one plain sentence for everything else."""

from __future__ import annotations

import io
import re
import time

import av
import numpy as np
import pytest
from made_clips import (
    clip,
    number,
    numbered,
    resized,
    turned,
    video_stream,
)
from sent_clips import PLAIN, SENT, SMALL, changed

from workbench.preprocessing.video.reader import Clip, VideoOptions, decode


def numbers(read: Clip) -> list[int]:
    return [number(frame) for frame in read.frames]


# ---------------------------------------------------------------------------------------------------- the real clips

TMK = "doorknob-hd-no-bar pattern-sd-grey-bar pattern-sd-with-large-logo-bar test-padded-dimensions"
REAL = {f"tmk/{name}.mp4": 12 for name in TMK.split()} | {
    "torchcodec/av1_video.mkv": 12,
    "torchcodec/bt709_full_range.mp4": 12,
    "torchcodec/h264_10bits.mp4": 12,
    "torchcodec/h265_video.mp4": 10,  # of ten
    "torchcodec/nasa_13013.mp4": 0,
}


@pytest.mark.parametrize("name", REAL)
def test_real_clip(workbench_data, name):
    read = decode((workbench_data / "video" / name).read_bytes())
    assert len(read.frames) == REAL[name]
    if not read.frames:
        assert read.reason == "The clip has 2 video tracks, and players choose one; please send it with one."
        return
    assert read.reason is None
    assert not any("damaged" in note for note in read.notes)
    assert list(read.times) == sorted(set(read.times))
    for frame in read.frames:
        assert frame.dtype == np.uint8
        assert frame.ndim == 3
        assert frame.shape[2] == 3
        assert min(frame.shape[:2]) <= 512
        assert frame.flags.c_contiguous
        assert frame.flags.writeable  # torch warns about arrays that are not
        assert frame.std() > 2  # not one flat colour


def test_all_real_clips_are_listed(workbench_data):
    folder = workbench_data / "video"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.m*")} == set(REAL)


def test_full_range_and_10_bit_have_their_contrast(workbench_data):
    # Read as if it were limited, full range is cut at both ends: hardly a value would lie beyond 16 to 235.
    full = decode((workbench_data / "video/torchcodec/bt709_full_range.mp4").read_bytes())
    deep = decode((workbench_data / "video/torchcodec/h264_10bits.mp4").read_bytes())
    for read in (full, deep):
        values = np.concatenate([frame.ravel() for frame in read.frames])
        assert 0 < (values == 0).mean() < 0.5
        assert values.max() > 240


# ------------------------------------------------------------------------------------------------ which frames are read


@pytest.mark.parametrize(
    "how", [{}, {"kind": "webm", "codec": "libvpx-vp9"}, {"kind": "webm", "codec": "libvpx"}, {"kind": "matroska"}]
)
def test_the_frames_shown_at_even_times_are_read(how):
    times = [at / 10 for at in range(36)]
    read = decode(clip(36, times, rate=10, **how))
    middles = list(range(1, 36, 3))  # of twelve slices of three frames
    assert numbers(read) == middles
    assert read.times == pytest.approx([at / 10 for at in middles], abs=0.002)
    assert read.notes == ("12 of 36 frames read",)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("how", [{}, {"kind": "webm", "codec": "libvpx"}])
def test_frames_of_a_variable_rate_are_chosen_by_time(seed, how):
    rng = np.random.default_rng(seed)
    holds = [
        *(rng.integers(20, 400, 40) / 1000),
        0.05,
        0.05,
    ]  # none fills a slice; the last is known
    times = [0, *np.cumsum(holds)]
    read = decode(clip(42, times[:-1], rate=20, **how))
    middles = (np.arange(12) + 0.5) * times[-1] / 12
    assert len(read.frames) == 12
    for one, middle in zip(numbers(read), middles, strict=True):
        assert times[one] - 0.005 <= middle <= times[one + 1] + 0.005
    assert read.times == pytest.approx([times[one] for one in numbers(read)], abs=0.002)


def test_a_short_scene_at_any_place_is_met():
    for start in range(0, 45, 3):  # five of fifty frames, a tenth of the time
        frames = [*numbered(1) * start, *numbered(1, start=124) * 5, *numbered(1) * (45 - start)]
        assert 124 in numbers(decode(clip(frames, rate=12)))


def test_equal_frames_are_kept_once():
    still = decode(clip(numbered(1) * 30, codec="libx264", qp="0"))
    assert (len(still.frames), still.times) == (1, (pytest.approx(1 / 12, abs=0.01),))
    assert still.notes == ("1 of 30 frames read",)


def test_options_change_what_is_read():
    assert numbers(decode(PLAIN, VideoOptions(frames=3))) == [4, 12, 20]
    assert numbers(decode(PLAIN, VideoOptions(frames=64))) == list(range(24))
    first = decode(PLAIN, VideoOptions(max_seconds=0.99))
    assert numbers(first) == list(range(12))
    assert "only the first 1 s of 2 s were looked at" in first.notes
    large = clip(numbered(2, (640, 320)))
    assert decode(large, VideoOptions(reduce_side=64)).frames[0].shape == (64, 128, 3)
    assert decode(large, VideoOptions(reduce_side=64)).notes == ("read at 128 x 64 of 640 x 320 pixels",)
    assert decode(clip(numbered(2, (640, 32))), VideoOptions(reduce_side=64)).frames[0].shape == (13, 256, 3)
    assert decode(large, VideoOptions(reduce_side=None)).frames[0].shape == (320, 640, 3)
    assert "MP4 or QuickTime" in decode(PLAIN, VideoOptions(demuxers=("matroska",))).reason
    assert decode(PLAIN, VideoOptions(max_bytes=100)).reason.endswith("at most 100 are read.")


# ---------------------------------------------------------------------------------------------- upright and in colour


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((1, 0, 0, 1), lambda a: a),
        ((-1, 0, 0, 1), lambda a: a[:, ::-1]),
        ((-1, 0, 0, -1), lambda a: a[::-1, ::-1]),
        ((1, 0, 0, -1), lambda a: a[::-1]),
        ((0, 1, 1, 0), lambda a: a.swapaxes(0, 1)),
        ((0, 1, -1, 0), lambda a: np.rot90(a, -1)),  # a phone held upright: a quarter turn to the right
        ((0, -1, -1, 0), lambda a: np.rot90(a, 2).swapaxes(0, 1)),
        ((0, -1, 1, 0), np.rot90),
    ],
)
def test_a_turned_clip_is_read_upright(matrix, upright):
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:24, :32], frame[:24, 32:], frame[24:, :32] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    data = clip([frame] * 2)
    (stored,), (turned_,) = decode(data).frames, decode(turned(data, *matrix)).frames
    assert turned_.tolist() == upright(stored).tolist()
    assert ("set upright by its rotation" in decode(turned(data, *matrix)).notes) == (matrix != (1, 0, 0, 1))


def test_colours_follow_the_file_and_untagged_ones_the_size():
    # Y, U, V = 81, 90, 240 is pure red by BT.601; by BT.709 its green is
    # 1.164 (81 - 16) - 0.213 (90 - 128) - 0.533 (240 - 128) = 24
    def green(height: int, **options: str) -> int:
        return int(decode(yuv_clip((81, 90, 240), (2 * height, height), **options)).frames[0][5, 5, 1])

    assert green(64) <= 2
    assert green(64, colorspace="bt709") == pytest.approx(24, abs=3)
    assert green(720) == pytest.approx(24, abs=3)
    assert green(720, colorspace="smpte170m") <= 2


def yuv_clip(value: tuple[int, int, int], size: tuple[int, int], **options: str) -> bytes:
    """Return a clip of two frames, made from one Y, U, V value."""
    width, height = size
    planes = np.concatenate(
        [np.full(width * height // share, part) for share, part in zip((1, 4, 4), value, strict=True)]
    )
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = video_stream(container, (height, width, 3), options={"qp": "0", **options})
        for at in range(2):
            frame = av.VideoFrame.from_ndarray(planes.astype(np.uint8).reshape(-1, width), "yuv420p")
            frame.pts = at * 80
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


# -------------------------------------------------------------------------------------------- whatever else is sent


@pytest.mark.parametrize("name", SENT)
def test_whatever_is_sent_ends_in_frames_or_a_sentence(name):
    data, *expected = SENT[name]
    data = data if isinstance(data, bytes) else data()
    started = time.monotonic()
    read = decode(data)
    assert time.monotonic() - started < 120  # it takes a few milliseconds; the machine may be busy
    assert not read.transient
    if len(expected) == 1:
        assert read.reason.startswith(expected[0])
        assert re.fullmatch(r"[A-Z][^\n]*\.", read.reason)
        return
    assert read.reason is None
    assert len(read.frames) == expected[0] or (expected[0] is None and 0 < len(read.frames) < 12)
    assert any(note.startswith(expected[1]) for note in (*read.notes, ""))
    assert numbers(read) == sorted(numbers(read)) or name in ("an hour", "cut WebM", "0 frames a second", "one pixel")


def test_frames_may_change_their_size_on_the_way():
    assert [frame.shape for frame in decode(resized()).frames] == [(48, 64, 3)] * 6 + [(96, 128, 3)] * 6


def test_a_file_cut_behind_its_index_is_read_as_far_as_it_goes(tmp_path):
    data = clip(100, g="10", mux_movflags="faststart", path=tmp_path / "whole.mp4")
    read = decode(data[: len(data) * 2 // 3])
    assert len(read.frames) == 12
    assert numbers(read) == sorted(numbers(read))
    assert any(note.startswith("the file claims 8.3 s, and ") for note in read.notes)


def test_8k_is_read_and_more_is_not():
    quick = {"preset": "ultrafast", "x264-params": "rc-lookahead=0:sync-lookahead=0:threads=1"}
    frames = decode(yuv_clip((81, 90, 240), (7680, 4320), **quick))
    assert [frame.shape for frame in frames.frames] == [(512, 910, 3)]
    assert frames.notes == ("1 of 2 frames read", "read at 910 x 512 of 7680 x 4320 pixels")
    reason = decode(PLAIN, VideoOptions(max_pixels=64 * 48 - 1)).reason
    assert reason == "The clip claims 64 x 48 pixels; at most 3,071 are read."
    assert decode(PLAIN, VideoOptions(max_pixels=64 * 48)).frames
    reason = decode(clip(numbered(2, (2048, 32)))).reason
    assert reason == "The clip is 2048 x 32 pixels; a side over 50 times the other is refused."
    reason = decode(PLAIN, VideoOptions(max_ratio=1.3)).reason  # 64 by 48 are 4 by 3
    assert reason == "The clip is 64 x 48 pixels; a side over 1.3 times the other is refused."
    assert decode(PLAIN, VideoOptions(max_ratio=1.34)).frames


def test_a_clip_has_frames_or_a_reason():
    frame = np.zeros((1, 1, 3), np.uint8)
    for wrong in [((),), ((frame,), (0.0,), "why"), ((frame,), ())]:
        with pytest.raises(ValueError, match="a clip has either"):
            Clip(*wrong)


# ----------------------------------------------------------------------------------------------------------- at random


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("rounds", [200, pytest.param(1500, marks=pytest.mark.campaign)])
def test_random_damage_ends_in_frames_or_a_sentence(name, rounds):
    rng, data = np.random.default_rng(rounds), clip(8, **SMALL[name])
    options = VideoOptions(timeout_seconds=120)
    outcomes = set()
    for _ in range(rounds):
        read = decode(changed(data, rng), options)
        outcomes.add(read.reason is None)
        assert not read.transient, read.reason
        assert read.reason is None or re.fullmatch(r"[A-Z][^\n]*\.", read.reason)
        assert all(frame.dtype == np.uint8 and frame.shape[2] == 3 and frame.size for frame in read.frames)
        assert len(read.frames) <= 12
    assert outcomes == {True, False}  # some were broken, and some were not
