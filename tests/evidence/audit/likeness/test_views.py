"""What pictures and clips are compared by comes out of the feature store as it was made."""

from __future__ import annotations

import numpy as np
from audited_posts import drawing, encoded, posts
from PIL import Image

from workbench.evidence.attacks import clips
from workbench.evidence.audit.likeness import hashes, views
from workbench.evidence.audit.likeness.keypoints import Keypoints
from workbench.evidence.audit.likeness.views import ViewEncoder, Views
from workbench.features import FeatureStore
from workbench.fingerprint import closure

CLEAR = Image.new("RGBA", (96, 96), (90, 20, 200, 0))  # what nobody sees is neither white nor black
CLEAR.paste(drawing(1).convert("RGBA").resize((60, 60)), (20, 20))


def seen(column: str, cells: list, mirrored: bool = False) -> Views:
    store = FeatureStore(None)
    blocks = getattr(store, column)(ViewEncoder(mirrored), posts(*({column: cell} for cell in cells)))
    return Views.of(blocks, 10 * np.arange(1, len(cells) + 1), moving=column == "video")


def test_hashes_and_keypoints_are_those_of_the_pixels():
    pictures = [drawing(1), Image.new("RGB", (80, 80), "red"), drawing(2)]
    found = seen("image", [encoded(picture) for picture in pictures])
    assert found.hashes.owner.tolist() == [10, 30]  # an even picture has no view
    pixels = [np.asarray(pictures[k]) for k in (0, 2)]
    expected = hashes.ImageHashes.of(np.stack([hashes.thumbnail(one) for one in pixels]), found.hashes.owner)
    for name, part in expected._asdict().items():
        assert np.array_equal(getattr(found.hashes, name), part), name
    assert (found.at.tolist(), found.key.tolist()) == ([0, 1], [0, 1])
    for points, one in zip(found.keypoints, pixels, strict=True):
        assert len(points.places) > 50
        assert np.array_equal(points.places, Keypoints.of(one).places.astype(np.float16))
        assert np.array_equal(points.descriptors, Keypoints.of(one).descriptors)


def test_mirror_images_have_the_keypoints_of_the_mirrored_pixels_and_the_same_hashes():
    cell = encoded(drawing(1))
    plain, back = seen("image", [cell]), seen("image", [cell], mirrored=True)
    mirrored = Keypoints.of(np.ascontiguousarray(np.asarray(drawing(1))[:, ::-1]))
    assert np.array_equal(back.keypoints[0].descriptors, mirrored.descriptors)
    assert not np.array_equal(back.keypoints[0].descriptors, plain.keypoints[0].descriptors)
    assert np.array_equal(back.hashes.whole, plain.hashes.whole)


def test_a_transparent_picture_has_a_view_on_each_ground_and_a_clip_where_it_changes():
    assert seen("image", [encoded(CLEAR)]).hashes.owner.tolist() == [10, 10]
    scenes = np.repeat(np.stack([np.asarray(drawing(seed)) for seed in (1, 2)]), 5, axis=0).copy()
    scenes[:, 0, 0, 0] = 20 * np.arange(10)  # frames that are equal are left out when a clip is read
    clip = {"bytes": clips.write(scenes, np.arange(11) / 5), "path": None}
    found = seen("video", [clip, {"bytes": b"none", "path": None}])
    assert set(found.hashes.owner.tolist()) == {10}
    assert len(found.key) > len(found.keypoints) == len(found.at) == 2
    assert (found.key[found.at].tolist(), found.key[0], found.key[-1]) == ([0, 1], 0, 1)
    assert np.all(np.diff(found.key) >= 0)


def test_joined_views_keep_which_keypoints_stand_for_which():
    one, two = seen("image", [encoded(drawing(1)), encoded(CLEAR)]), seen("image", [encoded(drawing(3))])
    both = Views.join(
        [one, two, Views.of(FeatureStore(None).image(ViewEncoder(False), posts()), np.zeros(0, int), False)]
    )
    assert both.at.tolist() == [0, 1, 2, 3]
    assert both.key.tolist() == [0, 1, 2, 3]
    assert both.hashes.owner.tolist() == [10, 20, 20, 10]
    assert np.array_equal(both.keypoints[3].places, two.keypoints[0].places)


def test_views_are_known_by_the_code_that_makes_them():
    plain, back = (ViewEncoder(mirrored) for mirrored in (False, True))
    assert len({one.identity(kind) for one in (plain, back) for kind in ("image", "video")}) == 4
    entries = [f"{entry.__module__}:{entry.__qualname__}" for entry in plain.entries("image")]
    made = closure.Library().closure(*entries)
    assert {f"{views.__package__}.keypoints:Keypoints.of", f"{views.__package__}.hashes:thumbnail"} <= set(
        made.definitions
    )
    assert plain.depends("image")["libraries"].keys() >= {"cv2", "PIL", "numpy"}
