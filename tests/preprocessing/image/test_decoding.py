"""Reading pictures: what a viewer could see is read right, and what is not read says why."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from workbench.preprocessing.image.decoding import ImageOptions, Picture, decode

RNG = np.random.default_rng(0)
NOISE = Image.fromarray(RNG.integers(0, 256, (40, 56, 3), dtype=np.uint8))
BLOCKS = Image.fromarray(np.kron(RNG.integers(0, 256, (16, 20, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8)))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def moving(kind: str, frames: list[Image.Image]) -> bytes:
    return encoded(
        frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
    )


def grey(*levels: int) -> list[Image.Image]:
    return [Image.new("RGB", (16, 16), (level, level, level)) for level in levels]


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, depth: int, colour: int, packed: bytes, *more: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


# --------------------------------------------------------------------------------------------------- the real photos

BRIDGE = "1.png CMYK.jpg P.png aaa-orig.jpg blur-a-little.jpg high-saturation.jpg sharpen-a-little.jpg"
BRIDGE += " shrink-a-little.jpg shrink-a-lot.jpg square-256x256.jpg square-512x512.jpg"
OTHERS = "astronaut.png brick.png camera.png chelsea.png coins.png grass.png gravel.png horse.png hubble_deep_field.jpg"
OTHERS += " palette_color.png palette_gray.png rocket.jpg text.png truncated.jpg"
PHOTOS = [f"bridge/{name}" for name in BRIDGE.split()] + [f"skimage/{name}" for name in OTHERS.split()]


@pytest.mark.parametrize("name", PHOTOS)
def test_photo(workbench_data, name):
    data = (workbench_data / "photos" / name).read_bytes()
    picture = decode(data)
    if name == "skimage/truncated.jpg":
        assert picture.reason == "The JPEG file is cut short, so it was not read."
        return
    with Image.open(io.BytesIO(data)) as stored:
        width, height = stored.size  # none is turned by its EXIF, none large enough to be reduced
    # A few white pixels of the horse's edge are not quite opaque: no change on white, another reading on black.
    assert len(picture.variants) == (2 if name == "skimage/horse.png" else 1)
    for variant in picture.variants:
        assert variant.shape == (height, width, 3)
        assert variant.dtype == np.uint8
    assert picture.variants[0].std() > 5  # not one flat colour


def test_all_photos_are_listed(workbench_data):
    folder = workbench_data / "photos"
    found = {str(path.relative_to(folder)) for path in folder.rglob("*.*g")}
    assert found == set(PHOTOS)


def test_cmyk_photo_shows_the_same_bridge(workbench_data):
    cmyk, rgb = (
        decode((workbench_data / "photos/bridge" / name).read_bytes()).variants[0]
        for name in ("CMYK.jpg", "aaa-orig.jpg")
    )
    # An inverted reading would correlate negatively; the two files differ by their colour profiles only.
    assert np.corrcoef(cmyk.ravel(), rgb.ravel())[0, 1] > 0.9


# ------------------------------------------------------------------------------------------------------------- modes


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_modes_without_alpha_have_one_reading(mode):
    image = BLOCKS.convert(mode)
    picture = decode(encoded(image, "PNG"))
    assert [variant.tolist() for variant in picture.variants] == [np.array(image.convert("RGB")).tolist()]


def test_16_bit_grey_keeps_its_shades():
    values = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    (variant,) = decode(encoded(Image.fromarray(values), "PNG")).variants
    # 65535 / 255 = 257, so the n-th of 256 even steps is shade n; Pillow's convert makes all but the first white.
    assert variant[..., 0].ravel().tolist() == list(range(256))


def test_16_bit_grey_can_be_transparent():
    rows = b"".join(b"\0" + struct.pack(">4H", 0, 1000, 30000, 65535) for _ in range(2))
    picture = decode(png(4, 2, 16, 0, zlib.compress(rows), chunk(b"tRNS", struct.pack(">H", 1000))))
    raw, white, black = (variant[0, :, 0].tolist() for variant in picture.variants)
    # 1000 / 257 = 3.9 -> 4 and 30000 / 257 = 116.7 -> 117
    assert (raw, white, black) == ([0, 4, 117, 255], [0, 255, 117, 255], [0, 0, 117, 255])


def test_alpha_cannot_hide_content():
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[..., :3] = 200
    rgba[:4, :, 3] = 255
    rgba[4, :, 3] = 128
    raw, white, black = decode(encoded(Image.fromarray(rgba), "PNG")).variants
    assert (raw == 200).all()
    # 200 * 128/255 + 255 * 127/255 = 227.4 and 200 * 128/255 = 100.4
    assert (white[:, 0, 0] == [200] * 4 + [227] + [255] * 3).all()
    assert (black[:, 0, 0] == [200] * 4 + [100] + [0] * 3).all()


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBA"])
def test_full_alpha_adds_no_reading(mode):
    assert len(decode(encoded(BLOCKS.convert("RGBA").convert("LA" if mode == "LA" else "RGBA"), "PNG")).variants) == 1


def test_equal_composites_are_read_once():
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:4, :, 3] = 255
    # black where opaque, and black below: on black it looks as raw
    assert [int(variant[-1, 0, 0]) for variant in decode(encoded(Image.fromarray(rgba), "PNG")).variants] == [0, 255]


def test_composites_can_be_left_out():
    data = encoded(Image.new("RGBA", (4, 4), (1, 2, 3, 0)), "PNG")
    (variant,) = decode(data, ImageOptions(composites=False)).variants
    assert variant[0, 0].tolist() == [1, 2, 3]


def test_palette_with_transparency():
    image = BLOCKS.quantize(8)
    picture = decode(encoded(image, "PNG", transparency=0))
    hidden = np.array(image) == 0
    assert (picture.variants[1][hidden] == 255).all()
    assert (picture.variants[2][hidden] == 0).all()


# ------------------------------------------------------------------------------------------ orientation, movement, size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_exif_orientation(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(BLOCKS, kind, exif=exif)
    expected = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    (variant,) = decode(data).variants
    assert variant.tolist() == expected.tolist()
    assert variant.flags.c_contiguous
    assert variant.flags.writeable  # torch warns about arrays that are not


def test_broken_exif_does_not_hide_the_picture():
    data = encoded(NOISE, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 9)
    assert decode(data).variants[0].shape == (40, 56, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_frames_are_spread_over_an_animation(kind):
    levels = [0, 30, 60, 90, 120, 150, 180, 210, 240, 255]
    picture = decode(moving(kind, grey(*levels)))
    # ten frames shown equally long: the middles of four quarters are in the frames 1, 3, 6 and 8
    assert [int(variant[0, 0, 0]) for variant in picture.variants] == [30, 90, 180, 240]
    assert "4 of 10 frames read" in picture.notes


def test_a_moving_avif_is_read():
    picture = decode(moving("AVIF", grey(0, 120, 255)))
    assert [round(int(variant[0, 0, 0]) / 120) for variant in picture.variants] == [0, 1, 2]


def test_equal_frames_are_read_once():
    picture = decode(moving("PNG", [*grey(0, 50), *grey(0)]), ImageOptions(frames=3))
    assert [int(variant[0, 0, 0]) for variant in picture.variants] == [0, 50]


def test_too_many_frames_are_refused():
    one = encoded(Image.new("P", (1, 1)), "GIF")
    start = 13 + (3 << ((one[10] & 7) + 1))
    bomb = one[:-1] + one[start:-1] * 100_000 + b";"
    assert decode(bomb).reason == "The animation has too many or too large frames to be read; please send it as a clip."
    assert decode(moving("GIF", grey(0, 9, 99)), ImageOptions(max_animation_pixels=16 * 16 * 2)).reason
    assert decode(moving("GIF", grey(0, 9, 99)), ImageOptions(max_animation_frames=2)).reason


def test_large_pictures_are_read_smaller():
    large = BLOCKS.resize((400, 320))
    options = ImageOptions(reduce_side=64)
    (jpeg,), (lossless,) = (decode(encoded(large, kind), options).variants for kind in ("JPEG", "PNG"))
    assert jpeg.shape == (80, 100, 3)  # a quarter: an eighth would be 40 pixels
    assert lossless.shape == (64, 80, 3)  # a fifth
    assert decode(encoded(large, "PNG"), options).notes == ("read at 1/5 of its size",)
    assert decode(encoded(large, "JPEG"), ImageOptions(reduce_side=None)).variants[0].shape == (320, 400, 3)
    assert lossless[0, 0].tolist() == np.array(large)[:5, :5].mean((0, 1)).round().tolist()


# ------------------------------------------------------------------------------------------------------ what is refused


def test_a_small_file_of_100_megapixels():
    data = png(10_000, 10_000, 1, 0, zlib.compress(bytes(1251 * 10_000), 9))
    assert len(data) < 13_000
    assert decode(data).reason == "The picture claims 10000 x 10000 pixels; at most 64,000,000 are read."


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "The file is empty."),
        (b"just words", "This is a text file, which is not read; please send it as JPEG or PNG."),
        ("ümlaut ".encode() * 100, "This is a text file"),
        (b"<html><body>", "This is a web page"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "This is an SVG drawing"),
        (b"\0\0\0\x18ftypheic" + bytes(99), "This is a HEIC photo"),
        (b"\0\0\0\x18ftypisom" + bytes(99), "This is a video"),
        (b"%PDF-1.7", "This is a PDF document"),
        (encoded(NOISE, "TIFF"), "This is a TIFF picture"),
        (encoded(NOISE, "JPEG2000"), "This is a JPEG 2000 picture"),
        (bytes(range(256)), "This is no picture in a known format; JPEG, PNG, GIF, WEBP, BMP, AVIF are read."),
        (b"\xff\xd8\xff", "The JPEG file is damaged and cannot be read."),
        (png(20_000, 20_000, 8, 2, b""), "The PNG file claims far more pixels than the 64,000,000 that are read."),
        (png(60_000, 1, 1, 0, zlib.compress(bytes(7501))), "a side over 50 times the other is refused."),
        (png(1, 60_000, 1, 0, zlib.compress(bytes(120_000))), "a side over 50 times the other is refused."),
        (png(0, 5, 8, 2, b""), "The PNG file is damaged and cannot be read."),
    ],
)
def test_reasons(data, reason):
    picture = decode(data)
    assert picture.variants == ()
    assert reason in picture.reason
    assert picture.reason.endswith(".")


def test_formats_and_bytes_can_be_limited():
    assert (
        "This is GIF, which is not read" in decode(encoded(NOISE, "GIF"), ImageOptions(formats=("JPEG", "PNG"))).reason
    )
    assert decode(encoded(NOISE, "PNG"), ImageOptions(max_bytes=10)).reason.endswith("at most 10 are read.")


def test_how_much_longer_than_wide_a_picture_may_be_is_an_option():
    banner = encoded(Image.new("RGB", (30, 10), (9, 8, 7)), "PNG")
    assert decode(banner, ImageOptions(max_ratio=3)).variants
    assert "a side over 2.9 times the other is refused." in decode(banner, ImageOptions(max_ratio=2.9)).reason


def test_one_pixel_is_a_picture():
    (variant,) = decode(encoded(Image.new("RGB", (1, 1), (9, 8, 7)), "PNG")).variants
    assert variant.tolist() == [[[9, 8, 7]]]


def test_a_bad_checksum_is_damage():
    data = bytearray(encoded(NOISE, "PNG"))
    data[29] ^= 1  # the first byte of the header's CRC
    assert decode(bytes(data)).reason == "The PNG file is damaged and cannot be read."


def test_picture_holds_readings_or_a_reason():
    with pytest.raises(ValueError, match="either"):
        Picture(())
    with pytest.raises(ValueError, match="either"):
        Picture((np.zeros((1, 1, 3), np.uint8),), "why")


# ----------------------------------------------------------------------------------------------------------- cut short


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF"])
def test_a_file_cut_short_is_not_read(kind, share):
    data = encoded(BLOCKS, kind)
    assert decode(data[: int(len(data) * share)]).variants == ()


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_grey_padding_of_a_short_jpeg_is_no_content(share, subsampling):
    data = encoded(BLOCKS, "JPEG", subsampling=subsampling)
    cut = data[: int(len(data) * share)] + b"\xff\xd9"  # with an end marker libjpeg pads without an error
    with Image.open(io.BytesIO(cut)) as padded:
        assert padded.convert("RGB").getpixel((159, 127)) == (128, 128, 128)
    assert decode(cut).reason == "The JPEG file is cut short, so it was not read."


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_grey_picture_is_content(mode):
    assert decode(encoded(Image.new(mode, (64, 64), "#808080"), "JPEG")).variants[0][0, 0].tolist() == [128] * 3


@pytest.mark.parametrize("rows", [0, 1, 63, 127])
def test_black_padding_of_a_short_png_is_no_content(rows):
    lines = [b"\0" + line.tobytes() for line in np.array(BLOCKS)]
    short = png(160, 128, 8, 2, zlib.compress(b"".join(lines[:rows])))
    assert decode(short).reason == "The PNG file is cut short, so it was not read."


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_a_black_png_is_content(mode):
    assert decode(encoded(Image.new(mode, (13, 9)), "PNG")).variants[0].max() == 0


def test_a_black_interlaced_png_is_content_unless_short():
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 3, 8, 0, 0, 0, 1))
    # Adam7 passes of a 5 x 3 picture, width x rows: 1x1, 1x1, no rows, 2x1, 3x1, 2x2, 5x1; each row has a filter byte
    size = (1 + 1) + (1 + 1) + (1 + 2) + (1 + 3) + 2 * (1 + 2) + (1 + 5)
    whole, short = (
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(n))) + chunk(b"IEND", b"")
        for n in (size, size - 6)
    )
    assert decode(whole).variants[0].shape == (3, 5, 3)
    assert decode(short).variants == ()


# ------------------------------------------------------------------------------------------------ anything may be wrong

ANY = {
    "jpeg": encoded(NOISE, "JPEG"),
    "progressive": encoded(NOISE, "JPEG", progressive=True),
    "cmyk": encoded(NOISE.convert("CMYK"), "JPEG"),
    "mpo": encoded(NOISE, "MPO", save_all=True, append_images=[NOISE]),
    "png": encoded(NOISE, "PNG"),
    "palette": encoded(NOISE.quantize(16), "PNG", transparency=3),
    "apng": moving("PNG", grey(0, 9, 99, 255)),
    "gif": moving("GIF", grey(0, 9, 99, 255)),
    "webp": encoded(NOISE, "WEBP"),
    "webp-moving": moving("WEBP", grey(0, 9, 99, 255)),
    "bmp": encoded(NOISE, "BMP"),
    "avif": encoded(NOISE, "AVIF"),
    "avif-moving": moving("AVIF", grey(0, 9, 99)),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ANY)
def test_flipped_bytes_give_readings_or_a_reason(name):
    rng = np.random.default_rng(len(name))
    outcomes = set()
    for _ in range(300):
        data = np.frombuffer(ANY[name], np.uint8).copy()
        reach = len(data) if rng.random() < 0.5 else min(len(data), 150)  # headers break more interestingly
        where = rng.integers(0, reach, rng.choice([1, 1, 3, 20]))
        data[where] = rng.integers(0, 256, len(where))
        cut = len(data) if rng.random() < 0.8 else int(rng.integers(0, len(data)))
        picture = decode(data[:cut].tobytes())
        outcomes.add(picture.reason is None)
        assert all(variant.ndim == 3 and variant.dtype == np.uint8 for variant in picture.variants)
    assert False in outcomes  # the flips did break something


def test_threads_leave_warnings_and_padding_as_they_were(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as some library may have set it
    before = list(warnings.filters)
    cut = ANY["png"][: len(ANY["png"]) // 2]
    results: list[Picture] = []
    threads = [threading.Thread(target=lambda: results.extend(decode(cut) for _ in range(20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {result.reason for result in results} == {"The PNG file is cut short, so it was not read."}
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    assert warnings.filters == before


def test_warnings_of_the_decoder_stay_inside():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(png(9_500, 9_500, 1, 0, b""))  # Pillow warns of a decompression bomb from 89 megapixels on
        decode(encoded(NOISE.quantize(16), "PNG", transparency=bytes(16)))
        with pytest.raises(UserWarning, match="ours"):
            warnings.warn("ours", UserWarning, stacklevel=1)


def test_out_of_memory_is_not_the_pictures_fault(monkeypatch):
    def no_memory(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(Image, "open", no_memory)
    with pytest.raises(MemoryError):
        decode(ANY["png"])
