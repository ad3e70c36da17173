"""Perceptual hashes: the stated edits stay near, other pictures do not, and the hash is ImageHash's."""

from __future__ import annotations

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageDraw

from workbench.evidence.audit.hashes import LOOSE, ImageHashes, agree, distances, near_pairs, thumbnail
from workbench.evidence.proof.planted import EDITS


def picture(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """Return blobs of many sizes, as smooth as photographs are."""
    rng = np.random.default_rng(seed)
    layers = [Image.fromarray(rng.integers(0, 256, (n, n, 3), np.uint8)).resize(size, 3) for n in (3, 6, 12, 24)]
    return Image.fromarray(np.mean([np.asarray(one, float) for one in layers], axis=0).astype(np.uint8))


def views(images: list[Image.Image]) -> ImageHashes:
    return ImageHashes.of(np.stack([thumbnail(np.asarray(image)) for image in images]), np.arange(len(images)))


@pytest.fixture(scope="module")
def originals() -> list[Image.Image]:
    return [picture(seed) for seed in range(500)]


@pytest.mark.parametrize("edit", EDITS)
def test_edits_stay_near_and_nothing_else_is(originals, edit):
    i, j, apart = near_pairs(views([*originals, *map(EDITS[edit], originals)]))
    assert (apart <= LOOSE).all()
    right = j - i == 500
    assert right.sum() >= 0.95 * 500
    assert len(set(i[~right]) | set(j[~right])) <= 0.01 * 1000


def test_cells_agree_under_a_logo_and_another_brightness_but_not_when_a_fifth_is_new():
    cells = np.random.default_rng(0).integers(40, 200, 256).astype(np.uint8)
    brighter, covered, other = (cells * 1.2 + 10).astype(np.uint8), cells.copy(), cells.copy()
    covered[:20], other[:52] = 255, 255
    even = np.full(256, 128, np.uint8)
    several = np.stack([cells, brighter, covered, other, even])
    assert agree(np.stack([cells] * 5), several).tolist() == [True, True, True, False, False]
    assert agree(several, np.stack([cells] * 5)).tolist() == [True, True, True, False, False]


def test_cells_agree_whichever_picture_is_first():
    rng = np.random.default_rng(1)
    cells = rng.integers(20, 236, (60, 256))
    faint = np.clip(0.55 * cells + 40 + rng.normal(0, 3.2, cells.shape), 0, 255)
    one, other = cells.astype(np.uint8), faint.astype(np.uint8)
    assert agree(one, other).tolist() == agree(other, one).tolist()


def test_drawings_on_the_same_ground_are_not_near():
    rng = np.random.default_rng(2)
    sketches = []
    for _ in range(150):
        image = Image.new("RGB", (128, 128), "white")
        for _ in range(4):
            points = [tuple(point) for point in rng.integers(24, 104, (5, 2)).tolist()]
            ImageDraw.Draw(image).line(points, fill="black", width=3)
        sketches.append(image)
    i, _, _ = near_pairs(views(sketches))
    assert len(i) == 0


def test_many_copies_of_one_picture_are_told_by_their_hashes_alone(originals, monkeypatch):
    monkeypatch.setattr("workbench.evidence.audit.hashes.agree", lambda a, b: np.zeros(len(a), bool))
    i, _, _ = near_pairs(views([originals[0]] * 40))
    assert len(i) == 40 * 39 / 2


def test_the_hash_is_that_of_imagehash(originals):
    theirs = imagehash.phash(originals[0], hash_size=16).hash.ravel()
    ours = np.unpackbits(views(originals[:1]).whole.view(np.uint8))
    assert (theirs != ours).sum() <= 2  # float32 against float64


def test_an_even_picture_has_no_hash():
    assert thumbnail(np.full((10, 20, 3), 200, np.uint8)) is None


def test_views_of_one_picture_are_no_pair_and_a_pair_is_told_once_with_its_least_distance():
    a, b = np.zeros(4, np.uint64), np.array([0, 0, 0, 7], np.uint64)
    whole = np.stack([a, a, b, b])
    cells = np.zeros((4, 256), np.uint8)
    i, j, apart = near_pairs(ImageHashes(whole, np.stack([a, b, b, b]), cells, np.array([0, 0, 1, 1])))
    assert (i.tolist(), j.tolist(), apart.tolist()) == ([0], [1], [0])
    assert distances(whole[:1], whole[2:3]).tolist() == [[3]]
