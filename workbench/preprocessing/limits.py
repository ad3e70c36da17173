"""How much of a text, a picture or a clip is read, and in which formats: what API, documents and demo say of it.

Everything comes from the options that the readers go by, so nothing can be said that is not done.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from workbench.preprocessing.image.decoding import DEFAULT as PICTURES
from workbench.preprocessing.image.decoding import ImageOptions
from workbench.preprocessing.text.cleaning import DEFAULT as TEXTS
from workbench.preprocessing.text.cleaning import TextOptions
from workbench.preprocessing.video.reader import DEFAULT as CLIPS
from workbench.preprocessing.video.reader import VideoOptions
from workbench.schema import Options

MIB = 2**20
_FILES = {"mov": ("MP4", "QuickTime"), "matroska": ("WebM", "Matroska")}


class ContentLimits(Options):
    """What is read of a content of one kind; null: that kind has no such limit."""

    formats: tuple[str, ...] = Field(description="What is read at all; other files are unread and go to a person.")
    bytes: int | None = Field(None, description="Size of the largest file that is read.")
    pixels: int | None = Field(None, description="Of the largest picture, or frame of a clip, that is read.")
    ratio: float | None = Field(None, description="How many times the shorter side the longer one may be.")
    frames: int | None = Field(None, description="Frames of an animation or a clip that are looked at.")
    seconds: float | None = Field(None, description="Of longer clips so many seconds from the start are looked at.")
    decoding_seconds: float | None = Field(None, description="A clip that takes longer to decode is given up.")
    characters: int | None = Field(None, description="Of longer texts so many from the start are read.")

    @classmethod
    def of_text(cls, options: TextOptions = TEXTS) -> ContentLimits:
        return cls(formats=("UTF-8",), characters=options.max_chars)

    @classmethod
    def of_image(cls, options: ImageOptions = PICTURES) -> ContentLimits:
        sizes = {"bytes": options.max_bytes, "pixels": options.max_pixels, "ratio": options.max_ratio}
        return cls(formats=options.formats, frames=options.frames, **sizes)

    @classmethod
    def of_video(cls, options: VideoOptions = CLIPS) -> ContentLimits:
        sizes = {"bytes": options.max_bytes, "pixels": options.max_pixels, "ratio": options.max_ratio}
        times = {"seconds": options.max_seconds, "decoding_seconds": options.timeout_seconds}
        formats = tuple(name for demuxer in options.demuxers for name in _FILES[demuxer])
        return cls(formats=formats, frames=options.frames, **sizes, **times)

    def within(self, most: int) -> ContentLimits:
        """Return the limits of files that cannot be larger than so many bytes; a text has none of its own."""
        return self if self.bytes is None else self.model_copy(update={"bytes": min(self.bytes, most)})

    def __str__(self) -> str:
        """The limits in a phrase, the formats first."""
        if self.characters is not None:
            return f"{self.formats[0]}; of longer texts the first {self.characters:,} characters are read"
        parts = [", ".join(self.formats)]
        if self.bytes is not None and self.pixels is not None:
            parts.append(
                f"up to {self.bytes / MIB:,.4g} MiB and {self.pixels:,} pixels" + " a frame" * bool(self.seconds)
            )
        if self.ratio is not None:
            parts.append(f"sides of at most {self.ratio:g} to 1")
        if self.seconds is not None:
            parts.append(f"the first {self.seconds:,g} s and at most {self.frames} frames are looked at")
        elif self.frames is not None:
            parts.append(f"at most {self.frames} frames of an animation are looked at")
        return "; ".join(parts)


def stated(clips: Sequence[VideoOptions] = ()) -> dict[str, ContentLimits]:
    """Return the limits by modality; of clips that several readers look at, the strictest of each kind.

    >>> stated()["image"].frames
    4
    """
    each = [ContentLimits.of_video(options) for options in clips or (CLIPS,)]
    numbers = [name for name in ContentLimits.model_fields if name != "formats"]
    least = {name: min(values) for name in numbers if None not in (values := [getattr(one, name) for one in each])}
    formats = tuple(name for name in each[0].formats if all(name in one.formats for one in each))
    video = ContentLimits(formats=formats, **least)
    return {"text": ContentLimits.of_text(), "image": ContentLimits.of_image(), "video": video}


def file_bytes(body: int) -> int:
    """Return how large a file fits into so many bytes of base64."""
    return body * 3 // 4
