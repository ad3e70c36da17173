"""Near-duplicate pictures and clips, and templates: edits are found, other pictures pass."""

from __future__ import annotations

import os

import numpy as np
import pytest
from audited_posts import drawing, encoded, posts
from PIL import Image, ImageEnhance

from workbench.evidence.audit import near_media

shared = pytest.mark.skipif("WORKBENCH_DATA" not in os.environ, reason="needs the shared data in WORKBENCH_DATA")


def test_a_near_picture_with_near_or_no_words_is_a_duplicate_and_with_others_a_template():
    one, other, third = (drawing(seed) for seed in (1, 2, 3))
    again = [encoded(image, "JPEG", quality=60) for image in (one, other, third)]
    train = posts({"image": encoded(one), "text": "look at this"}, {"image": encoded(other), "text": "old words"},
                  {"image": encoded(third)}, {"image": encoded(Image.new("RGB", (64, 64), "red"))})  # fmt: skip
    words = ("Look at this!", "something else", "words on it")
    test = posts(*({"image": cell, "text": text} for cell, text in zip(again, words, strict=True)))
    found = near_media.look_images({"train": train, "test": test})
    assert (found["near_image"]["overlap"], found["near_image"]["posts"]) == (2, 4)
    assert (found["template"]["overlap"], found["template"]["posts"]) == (1, 2)
    assert found["near_image"]["not_compared"] == 1
    assert found["template"]["examples"][0]["posts"] == [["train", "p1"], ["test", "p1"]]


def test_pictures_of_the_same_bytes_are_exact_and_not_near():
    cell = encoded(drawing(1))
    assert near_media.look_images({"train": posts({"image": cell}), "test": posts({"image": cell})})["near_image"][
        "overlap"
    ] == 0  # fmt: skip


def test_half_of_the_frames_make_two_clips_near():
    frames = np.random.default_rng(0).integers(0, 2**63, (8, 4), np.uint64)
    rows = np.concatenate([frames[:4], frames[[0, 1, 4, 5, 6, 7]], frames[[3, 4, 5, 6, 7]]])
    i, j, share = near_media.near_clips(rows, np.repeat([0, 1, 2], [4, 6, 5]))
    assert list(zip(i.tolist(), j.tolist(), share.tolist(), strict=True)) == [(0, 1, 0.5), (1, 2, 0.8)]
    assert len(near_media.near_clips(rows[:0], np.zeros(0, np.int64))[0]) == 0
    i, j, share = near_media.near_clips(rows[:4], np.zeros(4, np.int64))  # one clip alone is near no other
    assert (len(i), i.dtype, j.dtype, share.dtype) == (0, np.int64, np.int64, np.float64)


@shared
def test_edits_of_one_photograph_are_one_family():
    folder = os.path.join(os.environ["WORKBENCH_DATA"], "photos", "bridge")
    files = sorted(name for name in os.listdir(folder) if name.endswith((".jpg", ".png")))
    rows = [{"image": {"bytes": None, "path": os.path.join(folder, name)}} for name in files]
    found = near_media.look_images({"train": posts(*rows[:4]), "test": posts(*rows[4:])})["near_image"]
    assert (found["overlap"], found["posts"]) == (1, len(files))


def test_brightness_alone_keeps_pictures_near_across_sets():
    cells = [encoded(ImageEnhance.Brightness(drawing(9)).enhance(by)) for by in (1.0, 1.2)]
    found = near_media.look_images({"train": posts({"image": cells[0]}), "test": posts({"image": cells[1]})})
    assert found["near_image"]["overlap"] == 1
