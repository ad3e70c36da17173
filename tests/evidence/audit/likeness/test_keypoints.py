"""Keypoints: edits that move what is shown are seen through, among many pictures too; other pictures are not near."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from workbench.evidence.audit.likeness import keypoints
from workbench.evidence.audit.likeness.keypoints import PLACES, Keypoints, near_pairs, places

shared = pytest.mark.skipif("WORKBENCH_DATA" not in os.environ, reason="needs the shared data in WORKBENCH_DATA")


def picture(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Return shapes with corners on a ground of blobs, as many as a photograph has."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(60, 200, (6, 6, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y, dx, dy = rng.integers(0, size[0]), rng.integers(0, size[1]), *rng.integers(6, 40, 2)
        draw.rectangle((x, y, x + dx, y + dy), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def cropped(image: Image.Image, share: float) -> Image.Image:
    width, height = image.size
    return image.crop(
        tuple(round(n) for n in (share * width, share * height, (1 - share) * width, (1 - share) * height))
    )


def captioned(image: Image.Image) -> Image.Image:
    width, height = image.size
    page = Image.new("RGB", (width, height + height // 4), "white")
    page.paste(image, (0, height // 4))
    ImageDraw.Draw(page).text((8, 8), "WHEN YOU SEE IT\nAGAIN AND AGAIN", fill="black", font_size=max(12, height // 14))
    return page


def screenshot(image: Image.Image) -> Image.Image:
    page, rng = Image.new("RGB", (900, 1600), (245, 245, 248)), random.Random(image.size[0])
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, 900, 110), fill=(30, 60, 120))
    for line in (*range(150, 380, 40), *range(1250, 1550, 40)):
        words = " ".join(rng.choice(("hello", "people", "what", "this", "today", "share", "never")) for _ in range(8))
        draw.text((40, line), words, fill=(20, 20, 20), font_size=28)
    scale = min(800 / image.size[0], 800 / image.size[1])
    page.paste(image.resize(tuple(round(scale * side) for side in image.size)), (50, 400))
    return page


EDITS = {
    "mirrored": ImageOps.mirror,
    "cropped by a tenth": lambda image: cropped(image, 0.1),
    "turned by 3 degrees": lambda image: image.rotate(3, Image.Resampling.BICUBIC),
    "framed": lambda image: ImageOps.expand(image, round(0.1 * max(image.size)), (250, 250, 250)),
    "captioned": captioned,
    "in a screenshot": screenshot,
    "half the size": lambda image: image.resize(tuple(side // 2 for side in image.size)),
}


def found(originals: list[Image.Image], edited: list[Image.Image]) -> tuple[float, int]:
    """Return the share of edited pictures named with their original among all, and how many other pairs are named."""
    pixels = [np.asarray(image.convert("RGB")) for image in [*originals, *edited]]
    views, n = [Keypoints.of(one) for one in pixels], len(originals)
    mirrored = [None] * n + [Keypoints.of(np.ascontiguousarray(one[:, ::-1])) for one in pixels[n:]]
    kind = np.repeat([0, 1], [n, len(edited)])
    i, j, agree = near_pairs(views, mirrored, kind, ~np.eye(2, dtype=bool))
    assert (agree >= PLACES).all()
    assert (i < j).all()
    return sum(b - a == n for a, b in zip(i, j, strict=True)) / len(edited), int((j - i != n).sum())


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_picture_is_found_among_others_and_no_other_is_near(edit):
    originals = [picture(seed) for seed in range(40)]
    assert found(originals, [EDITS[edit](image) for image in originals[:12]]) == (1.0, 0)


@shared
@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_meme_is_found_among_hundreds(edit):
    folder = os.path.join(os.environ["WORKBENCH_DATA"], "propaganda_memes", "images")
    names = random.Random(0).sample(sorted(os.listdir(folder)), 200)
    originals = [Image.open(os.path.join(folder, name)).convert("RGB") for name in names]
    share, others = found(originals, [EDITS[edit](image) for image in originals[:25]])
    assert share >= (0.8 if edit == "in a screenshot" else 0.9)
    assert others <= 2


def test_pictures_without_corners_have_too_few_places():
    even = Keypoints.of(np.full((200, 200, 3), 128, np.uint8))
    assert even.places.shape == (0, 2)
    assert even.descriptors.shape == (0, 32)
    one = Keypoints.of(np.asarray(picture(0)))
    assert places(even, one) == places(one, even) == 0
    assert places(one, one) > 100
    i, _, _ = near_pairs([even, one], [even, one], np.array([0, 1]), ~np.eye(2, dtype=bool))
    assert len(i) == 0
    assert all(len(part) == 0 for part in near_pairs([], [], np.zeros(0, int), np.ones((1, 1), bool)))


def test_only_kinds_that_cross_are_compared_and_a_picture_never_with_itself():
    one = Keypoints.of(np.asarray(picture(0)))
    alike = np.zeros(3, np.int64)
    assert len(near_pairs([one] * 3, [one] * 3, alike, np.zeros((1, 1), bool))[0]) == 0
    i, j, _ = near_pairs([one] * 3, [None, None, one], alike, np.ones((1, 1), bool))
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == [(0, 2), (1, 2)]


def test_the_same_picture_much_larger_or_smaller_is_no_match_beyond_the_scales(monkeypatch):
    one, half = (Keypoints.of(np.asarray(image)) for image in (picture(3), EDITS["half the size"](picture(3))))
    assert places(half, one) >= PLACES
    monkeypatch.setattr(keypoints, "SCALES", (0.9, 1.1))
    assert places(half, one) == 0
