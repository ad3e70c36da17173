"""What is sent as a clip, and what must come of it; small clips of each codec, and how they are damaged at random."""

import numpy as np
from made_clips import (
    AV1,
    animation,
    box,
    clip,
    lying_duration,
    numbered,
    patched,
    resized,
    rotten,
    sized,
    sound,
    two_tracks,
    with_attachment,
    with_sound,
    without_times,
)

PLAIN = clip()

NO_INDEX = "The clip file is cut short or was never finished: it has no index; please send it again."
DAMAGED = "The clip file is damaged, and no picture of it can be read."
SENT_AS = "which is not read; please send it as MP4 or WebM."
DEEP = {"pixels": "yuv420p10le"}


def cut(share: float, **how: str) -> bytes:
    data = clip(100, g="10", **how)
    return data[: int(len(data) * share)]


UNKNOWN = "The clip's pictures are coded as something unknown or encrypted"
PLAYLIST = f"This is a playlist, which names other files, {SENT_AS}"
SOUND = "The file holds no moving pictures, only sound."

# What is sent: how many frames come of it, and what a note says; or how its reason begins.
SENT = {
    "zero bytes": (b"", "The file is empty."),
    "header only": (PLAIN[:40], NO_INDEX),
    "no moov": (PLAIN[: box(PLAIN, b"mdat") + 99], NO_INDEX),
    "moov cut": (PLAIN[:-300], DAMAGED),
    "cut in fragments": (lambda: cut(0.6, mux_movflags="frag_keyframe+empty_moov"), 12, ""),
    "cut WebM": (lambda: cut(0.6, kind="webm", codec="libvpx"), 12, "the file claims 8.3 s, and"),
    "bit rot": (lambda: rotten(clip(100, g="10"), 0.5, every=10), None, "damaged after"),
    "all rotten": (lambda: rotten(PLAIN, 0, every=2), DAMAGED),
    "sound only": (sound, SOUND),
    "WebM with sound only": (lambda: sound("webm", "libopus"), SOUND),
    "cover only": (lambda: with_sound(cover=True), SOUND),
    "with sound": (with_sound, 12, ""),
    "two tracks": (two_tracks, "The clip has 2 video tracks, and players choose one"),
    "attachment": (with_attachment, 12, ""),
    "one frame": (lambda: clip(1), 1, ""),
    "0 frames a second": (lambda: without_times(PLAIN), 12, "the file gives no times"),
    "times below 0": (lambda: clip(24, [at / 12 - 1 for at in range(24)]), 12, ""),
    "starts late": (lambda: clip(24, [at / 12 + 1000 for at in range(24)]), 12, ""),
    "interlaced": (lambda: clip(24, flags="+ildct+ilme", **{"x264-params": "interlaced=1"}), 12, ""),
    "10 bit": (lambda: clip(24, **DEEP), 12, ""),
    "HDR": (lambda: clip(24, **DEEP, color_trc="smpte2084", color_primaries="bt2020"), 12, "HDR: its brightness"),
    "alpha": (lambda: clip(24, kind="webm", codec="libvpx-vp9", pixels="yuva420p"), 12, ""),
    "odd size": (lambda: clip(numbered(24, (63, 47)), kind="webm", codec="libvpx-vp9"), 12, ""),
    "one pixel": (lambda: clip(numbered(2, (1, 1)), pixels="yuv444p"), 2, ""),
    "grows on the way": (resized, 12, ""),
    "an hour": (lambda: clip(numbered(3600, (16, 16)), list(range(3600))), 12, "12 of 3600 frames read"),
    "held for an hour": (lambda: clip(24, [*(at / 12 for at in range(23)), 3600]), 12, ""),
    "lying duration": (lambda: lying_duration(PLAIN, 10**6), 12, ""),
    "lying short duration": (lambda: lying_duration(PLAIN, 0), 12, ""),
    "lying size": (lambda: sized(PLAIN, 60_000, 60_000), 12, ""),
    "unknown codec": (PLAIN.replace(b"avc1", b"xxxx"), UNKNOWN),
    "encrypted": (PLAIN.replace(b"avc1", b"encv"), UNKNOWN),
    "codec not read": (lambda: clip(24, kind="matroska", codec="ffv1"), "The clip's pictures are coded as ffv1; H.264"),
    "data elsewhere": (lambda: patched(PLAIN, box(PLAIN, b"url "), bytes(4)), 12, ""),
    "HLS": (b"#EXTM3U\n#EXT-X-VERSION:3\nhttp://example.org/1.ts\n", PLAYLIST),
    "HLS behind an MP4 head": (PLAIN[:32] + b"#EXTM3U\nfile:///etc/passwd\n", NO_INDEX),
    "HLS named moov": (PLAIN[:32] + b"#EXTM3U\nfile:///etc/passwd\nmoov", DAMAGED),
    "concat": (b"ffconcat version 1.0\nfile '/etc/passwd'\n", PLAYLIST),
    "metadata": (b";FFMETADATA1\ntitle=x\n", f"This is a text file, {SENT_AS}"),
    "text": (b"just words", f"This is a text file, {SENT_AS}"),
    "SVG": (b"<svg/>", f"This is an SVG drawing, {SENT_AS}"),
    "GIF": (lambda: animation("GIF"), "This is a GIF picture; please send it as a picture."),
    "moving PNG": (lambda: animation("PNG"), "This is a PNG picture; please send it as a picture."),
    "moving WebP": (lambda: animation("WEBP"), "This is a WEBP picture; please send it as a picture."),
    "AVI": (lambda: clip(24, kind="avi"), f"This is an AVI file, {SENT_AS}"),
    "MPEG-TS": (lambda: clip(24, kind="mpegts"), f"This is an MPEG transport stream, {SENT_AS}"),
    "Flash": (lambda: clip(24, kind="flv"), f"This is a Flash video, {SENT_AS}"),
    "zeros": (bytes(9999), "This is no clip in a known format; please send it as MP4 or WebM."),
    "WebM head alone": (b"\x1a\x45\xdf\xa3" + bytes(999), DAMAGED),
}


# Small clips, for damage at random.
SMALL = {
    "mp4": {},
    "fragments": {"g": "4", "mux_movflags": "frag_keyframe+empty_moov"},
    "vp9": {"kind": "webm", "codec": "libvpx-vp9"},
    "vp8": {"kind": "webm", "codec": "libvpx"},
    "hevc": {"codec": "libx265", "x265-params": "log-level=none"},
    "av1": {"codec": AV1},
    "mpeg4": {"codec": "mpeg4"},
}


def changed(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with some bytes changed, and now and then cut, doubled or with a piece left out."""
    values = np.frombuffer(data, np.uint8).copy()
    places = rng.integers(0, len(values), int(rng.choice([1, 2, 5, 20, 100])))
    values[places] = rng.choice([0, 1, 0x7F, 0xFF, int(rng.integers(0, 256))], len(places))
    whole, (one, other) = values.tobytes(), sorted(int(at) for at in rng.integers(0, len(data), 2))
    parts = [whole, whole, whole, whole[:other], whole[:one] + whole[other:], whole[:other] + whole[one:]]
    return parts[rng.integers(0, 6)]
