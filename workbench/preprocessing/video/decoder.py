"""An encoded clip to a few of its frames, within the process that decodes: the standard library and PyAV only.

A clip is read in two steps. First all its packets are listed with their times, which tells its true length; then only
what the chosen frames need is decoded: from the key frame before each to the frame itself, in the file's order, without
the frames on the way that no other is built on. PyAV: https://pyav.org

After damage nothing is used before the next key frame: what decoders put there is guessed from what came before.

Which frames are chosen is said in `video_sampling`. Open doubts: pixels that are not square, interlacing and an alpha
channel are ignored; HDR is not mapped to normal brightness (a note says so).
"""

from __future__ import annotations

import io
import math
import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from workbench.preprocessing.image.animation import sample
from workbench.preprocessing.video.sampling import MOST_PROBES, PROBES, THUMB, most_different, stretches

CODECS = {
    "h264": ("h264", "H.264"),
    "hevc": ("hevc", "H.265"),
    "av1": ("libdav1d,av1", "AV1"),
    "vp8": ("vp8", "VP8"),
    "vp9": ("vp9", "VP9"),
    "mpeg4": ("mpeg4", "MPEG-4"),
    "h263": ("h263", "H.263"),
    "mjpeg": ("mjpeg", "MJPEG"),
}
"""The codecs that are decoded at all: what a file calls them, the decoders for them, and their names for people."""
MAX_PACKETS = 500_000
HD = 720  # from so many lines on, players take untagged colours for BT.709, and more than one thread decodes
DAMAGED = "The clip file is damaged, and no picture of it can be read."


class Unread(Exception):
    """Carries the sentence that says why a clip is not read."""


# ----------------------------------------------------------------------------------------------------- opening a clip


def read(data: Any, limits: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """Return what is said of an encoded clip, and the pixels of its frames; raise Unread with the reason for any other.

    With several threads damage shows at another place from time to time, so a damaged clip is read again with one.
    """
    facts, pixels = _read(data, limits)
    if facts.pop("damaged") and limits["threads"] > 1:
        facts, pixels = _read(data, limits | {"threads": 1})
        facts.pop("damaged")
    return facts, pixels


def _read(data: Any, limits: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    import av

    options = {
        "codec_whitelist": ",".join(decoders for decoders, _ in CODECS.values()),
        "protocol_whitelist": "file",
        "max_streams": "64",
        "max_pixels": str(limits["max_pixels"]),
        "threads": "1",
    }
    form = {"format": limits["demuxer"], "metadata_errors": "replace", "buffer_size": 2**16}
    try:
        container = av.open(_File(data), "r", options=options, io_open=_refuse, **form)
    except MemoryError:
        raise
    except Exception:  # whatever the parser of a hostile file raises
        raise Unread(DAMAGED) from None
    with container:
        return _Reading(container, limits).read()


def _refuse(*_: Any) -> None:
    """Open no other file: called where a clip names one."""
    raise PermissionError


class _File:
    """Bytes as a file that is read without copying all of them."""

    def __init__(self, data: Any) -> None:
        self._data, self._at = memoryview(data), 0

    def read(self, count: int) -> bytes:
        piece = bytes(self._data[self._at : self._at + count])
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + (0, self._at, len(self._data))[whence]
        if at < 0:
            raise ValueError("before the start")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at


def _track(container: Any, limits: dict[str, Any]) -> Any:
    from av.stream import Disposition

    tracks = [track for track in container.streams.video if not track.disposition & Disposition.attached_pic]
    if not tracks:
        sound = ", only sound" if container.streams.audio else ""
        raise Unread(f"The file holds no moving pictures{sound}.")
    if len(tracks) > 1:
        raise Unread(f"The clip has {len(tracks)} video tracks, and players choose one; please send it with one.")
    codec = tracks[0].codec_context
    name = codec.codec.canonical_name if codec else "something unknown or encrypted"
    if name not in CODECS:
        choices = ", ".join(title for _, title in CODECS.values())
        raise Unread(f"The clip's pictures are coded as {name}; {choices} are read.")
    width, height = codec.width, codec.height
    if width * height > limits["max_pixels"]:
        raise Unread(f"The clip claims {width} x {height} pixels; at most {limits['max_pixels']:,} are read.")
    if max(width, height) > limits["max_ratio"] * min(width, height) > 0:
        refused = f"a side over {limits['max_ratio']:g} times the other is refused"
        raise Unread(f"The clip is {width} x {height} pixels; {refused}.")
    return tracks[0]


# ------------------------------------------------------------------------------------------------------ reading a clip


class _Reading:
    """One opened clip: its packets with their times, and the frames read of it."""

    def __init__(self, container: Any, limits: dict[str, Any]) -> None:
        from av.video.reformatter import Interpolation, VideoReformatter

        self.limits = limits
        self.notes: list[str] = []
        self.track = _track(container, limits)
        self.codec = self.track.codec_context
        name = self.codec.codec.canonical_name
        self.codec.options = {"max_pixels": str(limits["max_pixels"])}
        self.codec.thread_type = "AUTO"
        self.codec.thread_count = limits["threads"] if min(self.codec.width, self.codec.height) >= HD else 1
        self.scaler, self.thumber = VideoReformatter(), VideoReformatter()
        exact = Interpolation.ACCURATE_RND | Interpolation.BITEXACT
        self.ways = {True: Interpolation.AREA | exact, False: Interpolation.BILINEAR | exact}
        self.skips = name in ("h264", "hevc")  # the decoders that can be told frame by frame
        self.bad: set[int] = set()  # the damaged packets
        self.cut = False  # whether the file ends in damage
        self.packets = self._packets(container)
        self.order: list[int] = []  # the packets as they are shown
        self.times: list[float] = []  # when, in seconds from the first
        self.length = 0.0  # of the whole, in seconds
        self._time(container)
        self.frames: dict[int, tuple[dict[str, Any], bytes]] = {}  # by place in the order shown
        self.thumbs: dict[int, bytes] = {}  # likewise, for comparing

    def _packets(self, container: Any) -> list[Any]:
        """Return the track's packets in the file's order, as many as can be found."""
        from av.stream import Discard

        for stream in container.streams:
            if stream is not self.track:
                stream.discard = Discard.all
        packets = []
        try:
            for count, packet in enumerate(container.demux(self.track)):
                if packet.size:
                    packets.append(packet)
                if count > MAX_PACKETS:
                    raise Unread(f"The clip has more than {MAX_PACKETS:,} frames; please send a shorter one.")
        except (MemoryError, Unread):
            raise
        except Exception:
            self.cut = True
        if not packets:
            raise Unread(DAMAGED)
        return packets

    def _time(self, container: Any) -> None:
        """Find the order in which the packets are shown, when, and for how long in all."""
        packets, base = self.packets, float(self.track.time_base or 0)
        stamps = [packet.dts if packet.pts is None else packet.pts for packet in packets]
        shown = [at for at, packet in enumerate(packets) if not packet.is_discard] or list(range(len(packets)))
        known = [stamps[at] for at in shown if stamps[at] is not None]
        if len(known) == len(shown) and base > 0 and (len(shown) == 1 or min(known) < max(known)):
            self.order = sorted(shown, key=lambda at: (stamps[at], at))
            self.times = [(stamps[at] - stamps[self.order[0]]) * base for at in self.order]
            last = float(packets[self.order[-1]].duration or 0) * base
        else:
            rate = float(self.track.guessed_rate or 0)
            rate = rate if 1 <= rate <= 240 else 25.0
            self.order, self.times, last = shown, [place / rate for place in range(len(shown))], 1 / rate
            self.notes.append("the file gives no times: its frames are taken as evenly spaced")
        end = self.times[-1]
        self.length = end + (last if last > 0 else end / max(1, len(self.times) - 1))
        claimed = (container.duration or 0) / 1e6
        if claimed > 1.05 * self.length + 0.5:
            self.notes.append(f"the file claims {claimed:,.1f} s, and {self.length:,.1f} s were found")
        self.place = [-1] * len(packets)
        for place, at in enumerate(self.order):
            self.place[at] = place
        for place, packet in zip(self.place, packets, strict=True):
            packet.pts = place  # frames carry it through the decoder

    def read(self) -> tuple[dict[str, Any], list[bytes]]:
        """Return what is said of the clip, and the pixels of its frames."""
        times, until = self.times, self.limits["max_seconds"]
        count = bisect_right(times, until)
        if count < len(times):
            self.notes.append(f"only the first {until:,.0f} s of {self.length:,.0f} s were looked at")
        self.keys = [at for at, packet in enumerate(self.packets) if packet.is_keyframe]
        chosen = self._chosen(count)
        self._decode(self._stretches(chosen), chosen)
        missing = [place for place in chosen if place not in self.frames]
        through = [(0, max((self.order[place] for place in missing), default=0))]
        if missing and not self.bad and self._work(through) <= self.limits["max_work"]:
            self._decode(through, missing)  # a key frame was none: read on from the start
        if not self.frames:
            self._any()
        if self.limits["sampling"] == "adaptive":
            chosen = self._thin(chosen, count)
        return self._said(chosen)

    def _chosen(self, count: int) -> list[int]:
        """Return which of the first so many frames shown are decoded to be kept, or to be compared."""
        most = self.limits["frames"]
        if self.limits["sampling"] == "keyframe":
            places = sorted(self.place[at] for at in self.keys if 0 <= self.place[at] < count) or [0]
            return self._affordable([places[at] for at in sample(self._holds(places, count), most)])
        even = self._affordable(sample(self._holds(list(range(count)), count), most))
        if self.limits["sampling"] == "time":
            return even
        held = 3 * math.prod(self._size(max(1, self.codec.width), max(1, self.codec.height)))
        room = int(self.limits["memory_mb"] * 2**20 / 4 // max(1, held))  # a quarter of the memory holds the probes
        probes = sample(self._holds(list(range(count)), count), max(most, min(PROBES * most, MOST_PROBES, room)))
        if self._work(self._stretches(probes)) <= self.limits["max_work"]:
            return probes
        self.notes.append("long: no more frames were compared than are read")
        return even

    def _holds(self, places: list[int], count: int) -> list[float]:
        """Return for how long each of some of the first so many frames is shown if only those are."""
        end = self.times[count] if count < len(self.times) else self.length
        starts = [self.times[place] for place in places]
        return [until - start for start, until in zip(starts, [*starts[1:], end], strict=True)]

    def _thin(self, chosen: list[int], count: int) -> list[int]:
        """Keep half of the frames by even times, and for the rest those that differ most from what is kept.

        Returns the places of those, and of the chosen ones that could not be read.
        """
        missing = [place for place in chosen if place not in self.frames]
        places, most = sorted(self.frames), self.limits["frames"]
        even = [places[at] for at in sample(self._holds(places, count), max(1, most // 2))]
        kept = most_different([self.thumbs[place] for place in places], [places.index(at) for at in even], most)
        self.frames = {places[at]: self.frames[places[at]] for at in kept}
        return sorted([*self.frames, *missing])

    def _stretches(self, places: list[int]) -> list[tuple[int, int]]:
        return stretches([self.order[place] for place in places], self.keys, self.place)

    def _work(self, spans: list[tuple[int, int]]) -> int:
        return sum(last - first + 1 for first, last in spans) * max(1, self.codec.width * self.codec.height)

    def _affordable(self, chosen: list[int]) -> list[int]:
        """Return the chosen frames, or the key frames before them where the way to the chosen ones is too long."""
        limit = self.limits["max_work"]
        if self._work(self._stretches(chosen)) <= limit:
            return chosen
        near = sorted({self.place[first] for place in chosen for first, _ in self._stretches([place])} - {-1})
        if 2 * len(near) < len(chosen) or self._work(self._stretches(near)) > limit:
            raise Unread("The clip takes too long to read; please send it shorter, smaller or with more key frames.")
        self.notes.append("long: read at the key frames before the even times")
        return near

    # ---------------------------------------------------------------------------------------------------- decoding

    def _decode(self, spans: list[tuple[int, int]], chosen: list[int]) -> None:
        """Decode stretches of packets and keep the chosen frames that come out whole."""
        for first, last in spans:
            here = [place for place in sorted(chosen) if first <= self.order[place] <= last]
            ahead, held, held_at = list(here), None, -1
            for at, frame in self._frames(first, last, set(here)):
                while ahead and at >= ahead[0]:
                    place = ahead.pop(0)
                    if place < at and held is not None and held_at <= place:
                        self._keep(place, held)  # it has no frame of its own
                if frame is not None and at in here:
                    self.frames.pop(at, None)
                    self._keep(at, frame)
                held, held_at = frame, at
            if self.codec.is_open:
                self.codec.flush_buffers()
            for place in here:
                if self._spoiled(self.order[place]):
                    self.frames.pop(place, None)

    def _frames(self, first: int, last: int, wanted: set[int]) -> Iterator[tuple[float, Any]]:
        """Yield the frames of a stretch of packets with their places in the order shown, and at its end (inf, None)."""
        for at in range(first, last + 2):
            packet = self.packets[at] if at <= last else None  # None: whatever the decoder still holds
            try:
                if packet is not None and self.skips:
                    self.codec.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
                frames = self.codec.decode(packet)
            except MemoryError:
                raise
            except Exception:
                frames = []
                self._mark(min(at, last), first)
            for frame in frames:
                place = -1 if frame.pts is None else frame.pts
                if frame.is_corrupt:
                    self._mark(self.order[place] if place >= 0 else min(at, last), first)
                yield place, frame
        yield math.inf, None

    def _mark(self, packet: int, first: int) -> None:
        """Note that a packet is damaged, unless all it lacks was stored before the stretch's key frame."""
        if self.place[packet] >= self.place[first]:
            self.bad.add(packet)

    def _spoiled(self, packet: int) -> bool:
        """Say whether a packet is damaged, or one between the key frame before it and it."""
        key = bisect_right(self.keys, packet) - 1
        return any((self.keys[key] if key >= 0 else 0) <= bad <= packet for bad in self.bad)

    def _any(self) -> None:
        """Look for a key frame that can be read, where none of the chosen frames could."""
        for at in self.keys[: 4 * self.limits["frames"]]:
            if self.place[at] >= 0 and at not in self.bad:
                self._decode([(at, at)], [self.place[at]])
            if self.frames:
                return
        raise Unread(DAMAGED)

    def _keep(self, place: int, frame: Any) -> None:
        if place in self.frames:
            return
        self.frames[place] = self._shrunk(frame)
        if self.limits["sampling"] == "adaptive":
            how = {"format": "rgb24", "interpolation": self.ways[True], "threads": 1}
            plane = self.thumber.reformat(frame, THUMB, THUMB, **how).planes[0]
            pixels, step = bytes(plane), plane.line_size
            self.thumbs[place] = b"".join(pixels[at : at + 3 * THUMB] for at in range(0, step * THUMB, step))

    def _size(self, width: int, height: int) -> tuple[int, int]:
        side = self.limits["reduce_side"]
        scale = min(1.0, side / min(width, height), 4 * side / max(width, height)) if side else 1.0
        return max(1, round(width * scale)), max(1, round(height * scale))

    def _shrunk(self, frame: Any) -> tuple[dict[str, Any], bytes]:
        """Return a frame's facts and its pixels as RGB, made smaller if it is large."""
        width, height = frame.width, frame.height
        size = self._size(width, height)
        smaller = size != (width, height)
        if smaller:
            self.notes.append(f"read at {size[0]} x {size[1]} of {width} x {height} pixels")
        if frame.color_trc in (16, 18):  # PQ and HLG, ITU-R BT.2100
            self.notes.append("HDR: its brightness is read as if it were normal")
        colours = 1 if frame.colorspace == 2 and min(width, height) >= HD else None  # 1: BT.709, 2: not told
        how = {"format": "rgb24", "interpolation": self.ways[smaller], "src_colorspace": colours, "threads": 1}
        plane = self.scaler.reformat(frame, *size, **how).planes[0]
        row, step = 3 * size[0], plane.line_size
        pixels = bytes(memoryview(plane)[: step * size[1]])
        if step != row:
            pixels = b"".join([pixels[at : at + row] for at in range(0, step * size[1], step)])
        turn = next((bytes(side) for side in frame.side_data if side.type.name == "DISPLAYMATRIX"), None)
        return {"size": size, "turn": struct.unpack("=9i", turn[:36]) if turn else None}, pixels

    def _said(self, chosen: list[int]) -> tuple[dict[str, Any], list[bytes]]:
        """Return the answer: the frames in order, without those equal to the one before."""
        facts, pixels = [], []
        for place, (about, content) in sorted(self.frames.items(), key=lambda item: item[0]):
            if not facts or content != pixels[-1] or about["size"] != facts[-1]["size"]:
                facts.append(about | {"time": round(self.times[place], 6)})
                pixels.append(content)
        notes = [f"{len(facts)} of {len(self.order)} frames read"] if len(facts) < len(self.order) else []
        places = [self.place[at] for at in self.bad] + [place for place in chosen if place not in self.frames]
        damage = [self.times[place] for place in places if place >= 0] + [self.length] * self.cut
        if damage:
            read = f"{len(self.frames)} of {len(chosen)} wanted frames read"
            notes.insert(0, f"damaged after {min(damage):,.1f} s; {read}")
        return {"frames": facts, "notes": list(dict.fromkeys(notes + self.notes)), "damaged": bool(damage)}, pixels
