"""Perceptual hashes: the stated edits stay near, other pictures do not, and the hash is ImageHash's."""

from __future__ import annotations

import io

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from workbench.evidence.audit.hashes import DISTANCE, distances, hashed, near_pairs, thumbnail


def picture(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """Return blobs of many sizes, as smooth as photographs are."""
    rng = np.random.default_rng(seed)
    layers = [Image.fromarray(rng.integers(0, 256, (n, n, 3), np.uint8)).resize(size, 3) for n in (3, 6, 12, 24)]
    return Image.fromarray(np.mean([np.asarray(one, float) for one in layers], axis=0).astype(np.uint8))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(data).convert("RGB")


def cropped(image: Image.Image, share: float) -> Image.Image:
    width, height = image.size
    return image.crop((round(share * width), round(share * height), *(round((1 - share) * n) for n in (width, height))))


EDITS = {
    "jpeg": lambda image: jpeg(image, 20),
    "half": lambda image: image.resize((48, 40)),
    "larger": lambda image: image.resize((144, 120)),
    "palette": lambda image: image.quantize(128).convert("RGB"),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    "crop 2 %": lambda image: cropped(image, 0.02),
    "crop 3 %": lambda image: cropped(image, 0.03),
}


def hashes(images: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    small = np.stack([thumbnail(np.asarray(image)) for image in images])
    return hashed(small[:, 0]), hashed(small[:, 1])


@pytest.fixture(scope="module")
def originals() -> list[Image.Image]:
    return [picture(seed) for seed in range(500)]


@pytest.mark.parametrize("edit", EDITS)
def test_edits_stay_near_and_nothing_else_is(originals, edit):
    both = [hashes(originals), hashes([EDITS[edit](image) for image in originals])]
    whole, inner = (np.concatenate(parts) for parts in zip(*both, strict=True))
    i, j, apart = near_pairs(whole, inner, np.arange(1000))
    assert (apart <= DISTANCE).all()
    right = j - i == 500
    assert right.sum() >= 0.95 * 500
    assert len(set(i[~right]) | set(j[~right])) <= 0.01 * 1000


def test_the_hash_is_that_of_imagehash(originals):
    theirs = imagehash.phash(originals[0], hash_size=16).hash.ravel()
    ours = np.unpackbits(hashes(originals[:1])[0].view(np.uint8))
    assert (theirs != ours).sum() <= 2  # float32 against float64


def test_an_even_picture_has_no_hash():
    assert thumbnail(np.full((10, 20, 3), 200, np.uint8)) is None


def test_views_of_one_picture_are_no_pair_and_a_pair_is_told_once_with_its_least_distance():
    a, b = np.zeros(4, np.uint64), np.array([0, 0, 0, 7], np.uint64)
    views = np.stack([a, a, b, b])
    i, j, apart = near_pairs(views, np.stack([a, b, b, b]), np.array([0, 0, 1, 1]))
    assert (i.tolist(), j.tolist(), apart.tolist()) == ([0], [1], [0])
    assert distances(views[:1], views[2:3]).tolist() == [[3]]
