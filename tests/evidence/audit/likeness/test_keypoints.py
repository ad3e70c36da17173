"""Keypoints: edits that move what is shown are seen through, among many pictures too; other pictures are not near."""

from __future__ import annotations

import os
import random

import cv2
import numpy as np
import pytest
from PIL import Image

from workbench.evidence.audit import edits
from workbench.evidence.audit.likeness import keypoints
from workbench.evidence.audit.likeness.keypoints import PLACES, Alignment, Keypoints, alignment, near_pairs
from workbench.evidence.proof.planted import drawing

shared = pytest.mark.skipif("WORKBENCH_DATA" not in os.environ, reason="needs the shared data in WORKBENCH_DATA")


def picture(seed: int) -> Image.Image:
    return drawing(np.random.default_rng(seed))


EDITS = edits.MOVED | {name: edits.ENCODED[name] for name in ("mirrored", "half the size")}


def places(one: Keypoints, other: Keypoints) -> int:
    """Return in how many places two pictures agree, 0 where they are not near."""
    return (alignment(one, other) or Alignment(0, 0, 1)).places


def found(originals: list[Image.Image], edited: list[Image.Image]) -> tuple[float, int]:
    """Return the share of edited pictures named with their original among all, and how many other pairs are named."""
    pixels = [np.asarray(image.convert("RGB")) for image in [*originals, *edited]]
    views, n = [Keypoints.of(one) for one in pixels], len(originals)
    mirrored = [None] * n + [Keypoints.of(np.ascontiguousarray(one[:, ::-1])) for one in pixels[n:]]
    kind = np.repeat([0, 1], [n, len(edited)])
    i, j, agree, _ = near_pairs(views, mirrored, kind, ~np.eye(2, dtype=bool))
    assert (agree >= PLACES).all()
    assert (i < j).all()
    return sum(b - a == n for a, b in zip(i, j, strict=True)) / len(edited), int((j - i != n).sum())


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_picture_is_found_among_others_and_no_other_is_near(edit):
    originals = [picture(seed) for seed in range(40)]
    assert found(originals, [EDITS[edit](image) for image in originals[:12]]) == (1.0, 0)


def test_matches_are_those_of_opencv_that_are_near():
    one, other = (Keypoints.of(np.asarray(image)) for image in (picture(1), picture(1).rotate(5)))
    both = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(one.descriptors, other.descriptors)
    near = [(match.queryIdx, match.trainIdx) for match in both if match.distance <= keypoints.FARTHEST]
    assert list(zip(*(at.tolist() for at in keypoints.matches(one, other)), strict=True)) == near
    assert 100 < len(near) < len(both)
    single = Keypoints(one.places[:1], one.descriptors[:1])
    assert not len(keypoints.matches(single, single._replace(descriptors=255 - single.descriptors))[0])  # 256 bits


@shared
@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_meme_is_found_among_a_hundred(edit):
    folder = os.path.join(os.environ["WORKBENCH_DATA"], "propaganda_memes", "images")
    names = random.Random(0).sample(sorted(os.listdir(folder)), 100)
    originals = [Image.open(os.path.join(folder, name)).convert("RGB") for name in names]
    share, others = found(originals, [EDITS[edit](image) for image in originals[:15]])
    assert share >= (0.8 if edit == "in a screenshot" else 0.9)
    assert others <= 1


def test_pictures_without_corners_have_too_few_places():
    even = Keypoints.of(np.full((200, 200, 3), 128, np.uint8))
    assert even.places.shape == (0, 2)
    assert even.descriptors.shape == (0, 32)
    one = Keypoints.of(np.asarray(picture(0)))
    assert places(even, one) == places(one, even) == 0
    assert places(one, one) > 100
    i, *_ = near_pairs([even, one], [even, one], np.array([0, 1]), ~np.eye(2, dtype=bool))
    assert len(i) == 0
    assert all(len(part) == 0 for part in near_pairs([], [], np.zeros(0, int), np.ones((1, 1), bool)))


def test_only_kinds_that_cross_are_compared_and_a_picture_never_with_itself():
    one = Keypoints.of(np.asarray(picture(0)))
    alike = np.zeros(3, np.int64)
    assert len(near_pairs([one] * 3, [one] * 3, alike, np.zeros((1, 1), bool))[0]) == 0
    i, j, *_ = near_pairs([one] * 3, [None, None, one], alike, np.ones((1, 1), bool))
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == [(0, 2), (1, 2)]


def test_the_same_picture_much_larger_or_smaller_is_no_match_beyond_the_scales(monkeypatch):
    one, half = (Keypoints.of(np.asarray(image)) for image in (picture(3), EDITS["half the size"](picture(3))))
    assert places(half, one) >= PLACES
    monkeypatch.setattr(keypoints, "SCALES", (0.9, 1.1))
    assert places(half, one) == 0
