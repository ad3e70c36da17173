"""Perceptual hashes: the stated edits stay near, other pictures do not, and the hash is ImageHash's."""

from __future__ import annotations

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageDraw

from workbench.evidence.audit.edits import ENCODED
from workbench.evidence.audit.likeness import hashes
from workbench.evidence.audit.likeness.hashes import LOOSE, ImageHashes, agree, distances, hashed, near_views, thumbnail


def near_pairs(views: ImageHashes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of pictures that are near, i < j, and the fewest bits in which their views differ."""
    best, n = {}, len(views.owner)
    for a, b, apart, _ in near_views(views, np.ones(n, bool), np.arange(n), np.zeros(n, int), np.ones((1, 1), bool)):
        for one, other, bits in zip(views.owner[a].tolist(), views.owner[b].tolist(), apart.tolist(), strict=True):
            pair = (min(one, other), max(one, other))
            best[pair] = min(bits, best.get(pair, bits))
    rows = np.array([(*pair, best[pair]) for pair in sorted(best)], np.int64).reshape(-1, 3)
    return tuple(rows.T)


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


@pytest.mark.parametrize("edit", ENCODED)
def test_edits_stay_near_and_nothing_else_is(originals, edit):
    i, j, apart = near_pairs(views([*originals, *map(ENCODED[edit], originals)]))
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
    monkeypatch.setattr("workbench.evidence.audit.likeness.hashes.agree", lambda a, b: np.zeros(len(a), bool))
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
    i, j, apart = near_pairs(ImageHashes(whole, np.stack([a, b, b, b])[:, None], whole, cells, np.array([0, 0, 1, 1])))
    assert (i.tolist(), j.tolist(), apart.tolist()) == ([0], [1], [0])
    assert distances(whole[:1], whole[2:3]).tolist() == [[3]]


# ------------------------------------------------------------------------------------------------- by plain definition


def plain_alike(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fit y by a line of x four times, each to the nine tenths that fit best; return which cells are at most 6 off."""
    x, y, fitted = x.astype(float), y.astype(float), np.ones(len(x), bool)
    for _ in range(4):
        even = not np.ptp(x[fitted])
        slope, height = (0, y[fitted].mean()) if even else np.polyfit(x[fitted], y[fitted], 1)
        off = np.abs(y - slope * x - height)
        fitted = off <= np.quantile(off, 0.9)
    return (off <= 6) & (0.5 < slope < 2)


def plain_agree(x: np.ndarray, y: np.ndarray) -> bool:
    same = plain_alike(x, y) & plain_alike(y, x)
    stands = [cells.astype(float) for cells in (x, y)]
    stands = np.any([np.abs(cells - np.median(cells)) > 6 for cells in stands], axis=0)
    return bool(same.mean() >= 0.9 and (same & stands).sum() >= 0.65 * stands.sum())


def cell_pairs(n: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """Return cells of pictures and of the same ones with another contrast, noise and a part laid over."""
    rng = np.random.default_rng(5)
    x = rng.integers(20, 236, (n, 256)) * (rng.random((n, 256)) < rng.choice([0.1, 0.5, 1], (n, 1)))
    y = (
        rng.uniform(0.45, 2.1, (n, 1)) * x
        + rng.normal(0, rng.uniform(0, 4, (n, 1)), x.shape)
        + rng.integers(0, 30, (n, 1))
    )
    covered = rng.random((n, 256)) < rng.uniform(0, 0.15, (n, 1))
    y = np.where(covered, rng.integers(0, 256, (n, 1)), y)
    return x.astype(np.uint8), np.clip(y, 0, 255).astype(np.uint8)


def test_which_cells_agree_is_what_a_plain_fit_says():
    x, y = (cells.astype(np.float32) for cells in cell_pairs())
    plain = np.array([plain_alike(*pair) for pair in zip(x, y, strict=True)])
    assert 0.2 < plain.mean() < 0.8
    assert (hashes._alike(x, y) != plain).sum() <= 3  # float32 against float64


def test_which_pictures_agree_is_what_a_plain_count_says_block_by_block(monkeypatch):
    monkeypatch.setattr(hashes, "_PAIRS", 7)
    x, y = cell_pairs()
    plain = [plain_agree(*pair) for pair in zip(x, y, strict=True)]
    assert 0.1 < np.mean(plain) < 0.9
    assert agree(x, y).tolist() == plain


def test_half_and_twice_the_contrast_agree_in_no_cell_and_six_levels_off_is_still_the_same():
    ramp = np.tile(np.r_[-50:0, 1:51], (1, 1)).astype(np.float32)
    for bent in (ramp * 2, ramp / 2):
        assert not hashes._alike(ramp, bent).any()
    assert hashes._alike(ramp, ramp * 1.5).all()
    off = ramp + np.where(np.isin(ramp, [-40, 40, 20]), 6, np.where(np.isin(ramp, [-20]), 6.25, 0)).astype(np.float32)
    # those off are symmetric, so that the rest still has the mean 0
    assert np.flatnonzero(~hashes._alike(ramp, off)).tolist() == [30]


def test_nine_tenths_of_the_cells_and_of_those_that_stand_out_two_thirds_must_agree():
    ramp = np.tile(np.arange(100, 200), (3, 1)).astype(np.uint8)
    other = ramp.copy()
    other[1, :20:2], other[2, :22:2] = 250, 250
    assert agree(ramp, other).tolist() == [True, True, False]
    ground = np.full((3, 100), 100, np.uint8)
    ground[:, :20] = np.arange(120, 220, 5)
    ground[:, 20:23] = 106  # stands no more out than noise does
    other = ground.copy()
    other[1, :14:2], other[2, :16:2] = 100, 100
    assert agree(ground, other).tolist() == [True, True, False]  # 13 of 20, which is .65, and 12


def test_pairs_are_those_of_comparing_every_view_with_every_other(monkeypatch):
    monkeypatch.setattr(hashes, "_BLOCK", 5)
    monkeypatch.setattr(hashes, "agree", lambda a, b: a[:, 0] == b[:, 0])
    rng = np.random.default_rng(3)
    n, owner = 40, np.sort(rng.integers(0, 24, 40))
    base = rng.integers(0, 2, (4, 256))
    sides = []
    for _ in range(2):
        flips = np.array([rng.permutation(256) < k for k in rng.choice([0, 8, 16, 24, 32, 40, 60], n)])
        sides.append(base[rng.integers(0, 4, n)] ^ flips)
    kinds = rng.integers(0, 3, (n, 256)).astype(np.uint8)
    whole, inner = (np.packbits(bits.astype(bool), axis=1).view(np.uint64) for bits in sides)
    least: dict[tuple[int, int], int] = {}
    for a in range(n):
        for b in range(n):
            pair = tuple(sorted((int(owner[a]), int(owner[b]))))
            apart, within = ((sides[0][a] != side[b]).sum() for side in sides)
            limits = (64 if kinds[a, 0] == kinds[b, 0] else 32, 32)
            near = [int(bits) for bits, most in zip((apart, within), limits, strict=True) if bits <= most]
            if owner[a] != owner[b] and near:
                least[pair] = min(least.get(pair, 999), *near)
    far = rng.integers(0, 2**63, (n, 4), np.uint64)
    i, j, apart = near_pairs(ImageHashes(whole, inner[:, None], far, kinds, owner))
    assert dict(zip(zip(i.tolist(), j.tolist(), strict=True), apart.tolist(), strict=True)) == least
    assert {32, 64} <= set(least.values())
    assert len(set(least.values())) > 5


def test_a_distance_at_its_limit_is_near_and_one_bit_more_is_not(monkeypatch):
    def pairs(bits: int, cells_agree: bool) -> int:
        monkeypatch.setattr(hashes, "agree", lambda a, b: np.full(len(a), cells_agree))
        flipped = np.packbits(np.arange(256) < bits).view(np.uint64)
        sides = np.stack([np.zeros(4, np.uint64), flipped])
        far = np.packbits(np.array([np.arange(256) % 2, np.arange(256) % 4 > 1]), axis=1).view(np.uint64)
        i, j, apart = near_pairs(ImageHashes(sides, far[:, None], far, np.zeros((2, 256), np.uint8), np.arange(2)))
        assert (i.tolist(), j.tolist(), apart.tolist()) in (([0], [1], [bits]), ([], [], []))
        return len(i)

    assert (pairs(32, False), pairs(33, False), pairs(64, True), pairs(65, True)) == (1, 0, 1, 0)


def test_without_pictures_there_is_no_pair():
    empty = np.zeros((0, 4), np.uint64)
    assert [
        len(part)
        for part in near_pairs(
            ImageHashes(empty, empty[:, None], empty, np.zeros((0, 256), np.uint8), np.zeros(0, int))
        )
    ] == [0] * 3


def test_a_view_is_the_mean_of_its_cells_and_the_hashes_of_all_thumbnails():
    small = np.random.default_rng(0).uniform(0, 255, (3, 3, 64, 64)).astype(np.float32)
    small[0, 0, :4, :4], small[0, 0, 4:8, :4], small[0, 0, :4, 4:8], small[0, 0, :4, 8:12] = 300, -5, 0.2, 255.8
    seen = ImageHashes.of(small, np.array([4, 4, 9]))
    for view in range(3):
        for row, column in ((0, 0), (0, 1), (1, 0), (0, 2), (3, 7), (15, 15)):
            mean = small[view, 0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].mean()
            assert seen.cells[view, 16 * row + column] == np.clip(np.round(mean), 0, 255)
    assert seen.cells[0, [0, 1, 2, 16]].tolist() == [255, 0, 255, 0]
    assert seen.cells.shape == (3, 256)
    parts = {0: seen.whole, 1: seen.inner[:, 0], 2: seen.inner[:, 1]}
    for side, part in parts.items():
        assert (part == np.concatenate([hashed(small[view : view + 1, side]) for view in range(3)])).all()
    assert (hashed(np.zeros((2, 64, 64), np.float32)) == 0).all()  # no frequency is above the median of all


def test_a_thumbnail_is_the_whole_picture_and_that_without_three_and_six_hundredths_of_each_side():
    pixels = np.asarray(picture(1, (200, 100)))
    grey = Image.fromarray(pixels).convert("L")
    for at, box in enumerate(((0, 0, 200, 100), (6, 3, 194, 97), (12, 6, 188, 94))):
        small = np.asarray(grey.resize((64, 64), Image.Resampling.LANCZOS, box=box), np.float32)
        assert (thumbnail(pixels)[at] == small).all()


def test_a_picture_is_even_below_two_levels_of_deviation_over_the_whole_of_it():
    board = np.indices((64, 64)).sum(axis=0)[..., None] % 2 * np.ones(3, int)
    assert [thumbnail((100 + by * board).astype(np.uint8)) is None for by in (2, 4, 6)] == [True, False, False]
    framed = np.full((128, 128, 3), 100, np.uint8)
    framed[[0, 1, -2, -1]] = 255
    assert thumbnail(framed) is not None


def test_a_mirror_image_is_near():
    images = [picture(seed) for seed in range(30)]
    i, j, _ = near_pairs(views([*images, *(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in images[:10])]))
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == [(k, 30 + k) for k in range(10)]
