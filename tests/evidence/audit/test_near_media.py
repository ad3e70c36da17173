"""Near-duplicate pictures and clips, and templates: edits are found, other pictures pass."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
from audited_posts import drawing, encoded, posts
from PIL import Image, ImageEnhance

from workbench.evidence.attacks import clips
from workbench.evidence.audit import near_media
from workbench.features import FeatureStore

shared = pytest.mark.skipif("WORKBENCH_DATA" not in os.environ, reason="needs the shared data in WORKBENCH_DATA")


def test_a_near_picture_with_near_or_no_words_is_a_duplicate_and_with_others_a_template():
    one, other, third = (drawing(seed) for seed in (1, 2, 3))
    again = [encoded(image, "JPEG", quality=60) for image in (one, other, third)]
    train = posts({"image": encoded(one), "text": "look at this"}, {"image": encoded(other), "text": "old words"},
                  {"image": encoded(third)}, {"image": encoded(Image.new("RGB", (64, 64), "red"))})  # fmt: skip
    words = ("Look at this!", "something else", "words on it")
    test = posts(*({"image": cell, "text": text} for cell, text in zip(again, words, strict=True)))
    found = near_media.look({"train": train, "test": test})
    assert (found["near_image"]["overlap"], found["near_image"]["posts"]) == (2, 4)
    assert (found["template"]["overlap"], found["template"]["posts"]) == (1, 2)
    assert found["near_image"]["not_compared"] == 1
    assert found["template"]["examples"][0]["posts"] == [["train", "p1"], ["test", "p1"]]


def test_pictures_of_the_same_bytes_are_exact_and_not_near():
    cell = encoded(drawing(1))
    assert near_media.look({"train": posts({"image": cell}), "test": posts({"image": cell})})["near_image"][
        "overlap"
    ] == 0  # fmt: skip


def shared_frames(frames: np.ndarray, owner: np.ndarray) -> list[tuple[int, int, float]]:
    """Return the pairs of clips that share frames, where a frame is near what is exactly the same."""
    same = (frames[:, None] == frames).all(axis=2) & (owner[:, None] != owner)
    views, others = np.nonzero(same)
    near = pd.DataFrame({"view": views, "other": owner[others]}).drop_duplicates()
    found = near_media._shared_frames(near, owner)
    return list(zip(found["i"].tolist(), found["j"].tolist(), found["nearness"].tolist(), strict=True))


def test_half_of_the_frames_make_two_clips_near():
    frames = np.random.default_rng(0).integers(0, 2**63, (8, 4), np.uint64)
    rows = np.concatenate([frames[:4], frames[[0, 1, 4, 5, 6, 7]], frames[[3, 4, 5, 6, 7]]])
    assert shared_frames(rows, np.repeat([0, 1, 2], [4, 6, 5])) == [(0, 1, 0.5), (1, 2, 0.8)]
    assert shared_frames(rows[:0], np.zeros(0, np.int64)) == []
    assert shared_frames(rows[:4], np.zeros(4, np.int64)) == []  # one clip alone is near no other


@shared
def test_edits_of_one_photograph_are_one_family():
    folder = os.path.join(os.environ["WORKBENCH_DATA"], "photos", "bridge")
    files = sorted(name for name in os.listdir(folder) if name.endswith((".jpg", ".png")))
    rows = [{"image": {"bytes": None, "path": os.path.join(folder, name)}} for name in files]
    found = near_media.look({"train": posts(*rows[:4]), "test": posts(*rows[4:])})["near_image"]
    assert (found["overlap"], found["posts"]) == (1, len(files))


def test_brightness_alone_keeps_pictures_near_across_sets():
    cells = [encoded(ImageEnhance.Brightness(drawing(9)).enhance(by)) for by in (1.0, 1.2)]
    found = near_media.look({"train": posts({"image": cells[0]}), "test": posts({"image": cells[1]})})
    assert found["near_image"]["overlap"] == 1


def test_families_of_pictures_are_told_by_their_files(tmp_path):
    one, other = drawing(1), drawing(2)
    one.save(tmp_path / "one.png")
    encoded_again = {"near": (0.9, 60), "nearest": (1.0, 95)}
    for name, (by, quality) in encoded_again.items():
        ImageEnhance.Brightness(one).enhance(by).save(tmp_path / f"{name}.jpg", "JPEG", quality=quality)
    train = posts({"image": {"bytes": None, "path": str(tmp_path / "one.png")}}, {"image": encoded(other)})
    test = [{"image": {"bytes": None, "path": str(tmp_path / f"{name}.jpg")}} for name in encoded_again]
    test += [{"image": encoded(other, "JPEG", quality=70)}, {"image": {"bytes": b"none", "path": None}}]
    done = []
    found = near_media.look({"train": train, "test": posts(*test)}, lambda *given: done.append(given))
    shown = [example["content"] for example in found["near_image"]["examples"]]
    assert shown == ["one.png ~ nearest.jpg: the same picture", "the same picture"]
    assert {name: (leak["overlap"], leak["posts"], leak["not_compared"]) for name, leak in found.items()} == {
        "near_image": (2, 5, 1),
        "template": (0, 0, 1),
        "near_video": (0, 0, 0),
        "still": (0, 0, 1),
    }
    assert done == [(6, 6)]


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        ("yes", "no", "template"),
        ("a", "b", "template"),
        ("yes", "", "near_image"),
        (None, "no", "near_image"),
        (None, None, "near_image"),
        ("yes", "Yes!", "near_image"),
    ],
)
def test_words_beside_a_picture_are_near_where_they_are_alike_or_one_has_none(one, other, name):
    cells = [encoded(drawing(3)), encoded(drawing(3), "JPEG", quality=80)]
    sets = {"train": posts({"image": cells[0], "text": one}), "test": posts({"image": cells[1], "text": other})}
    found = near_media.look(sets)
    assert {what: leak["overlap"] for what, leak in found.items()} == dict.fromkeys(found, 0) | {name: 1}


def test_without_pictures_and_clips_nothing_is_near():
    sets = {"train": posts({"text": "a"}), "test": posts({"text": "b"})}
    nothing = {"overlap": 0, "of": 0, "posts": 0, "test_posts": 0, "examples": [], "not_compared": 0}
    assert near_media.look(sets) == dict.fromkeys(("near_image", "template", "near_video", "still"), nothing)
    assert near_media.look_pictures(sets) == dict.fromkeys(("near_image", "template"), nothing)


def test_a_clip_that_was_cut_is_told_with_the_share_of_its_frames():
    frames = np.stack([np.asarray(drawing(seed)) for seed in range(6)])
    other = np.stack([np.asarray(drawing(seed)) for seed in range(20, 24)])
    films = [frames, frames[:4], other, np.full((3, 64, 64, 3), 90, np.uint8)]
    cells = [{"bytes": clips.write(film, np.arange(len(film) + 1) / 2), "path": None} for film in films]
    train = posts({"video": cells[0]}, {"video": cells[2]})
    found = near_media.look({"train": train, "test": posts({"video": cells[1]}, {"video": cells[3]})})["near_video"]
    assert (found["overlap"], found["of"], found["posts"], found["not_compared"]) == (1, 3, 2, 1)
    assert found["examples"] == [
        {"content": "100 % of the frames of one", "posts": [["train", "p0"], ["test", "p0"]]},
    ]


def test_progress_is_told_after_each_part_that_is_read(monkeypatch):
    monkeypatch.setitem(near_media._AT_ONCE, "image", 100)
    cells = [{"image": {"bytes": b"%d" % k, "path": None}} for k in range(203)]
    done = []
    near_media.look({"train": posts(*cells), "test": posts()}, lambda *given: done.append(given))
    assert done == [(100, 203), (200, 203), (203, 203)]


def test_parts_that_are_read_one_after_the_other_are_compared_together(monkeypatch):
    cells = [encoded(drawing(seed)) for seed in range(5)]
    again = [encoded(drawing(seed).transpose(Image.Transpose.FLIP_LEFT_RIGHT), "JPEG") for seed in range(5)]
    sets = {"train": posts(*({"image": cell} for cell in cells)), "test": posts(*({"image": cell} for cell in again))}
    whole = near_media.look(sets)
    assert whole["near_image"]["overlap"] == 5
    monkeypatch.setitem(near_media._AT_ONCE, "image", 3)
    assert near_media.look(sets) == whole


def test_a_second_look_reads_nothing_and_finds_the_same(tmp_path):
    frames = np.stack([np.asarray(drawing(seed)) for seed in range(6)])
    train = posts({"video": film(frames)}, {"image": encoded(drawing(7))}, {"image": encoded(drawing(8))})
    test = posts({"video": film(frames[:, :, ::-1])}, {"image": encoded(drawing(3))},
                 {"image": encoded(drawing(7).rotate(4))}, {"image": {"bytes": b"none", "path": None}})  # fmt: skip
    looks = []
    for _ in range(2):
        store = FeatureStore(tmp_path / "features")
        found = near_media.look({"train": train, "test": test}, store=store)
        looks.append((found, store.hits["computed"]))
    assert looks[0] == (looks[1][0], 10)  # seven contents, and the mirror images of those that are looked up
    assert looks[1][1] == 0
    assert [looks[0][0][name]["overlap"] for name in ("near_image", "near_video", "still")] == [1, 1, 1]


def test_clips_are_paired_as_a_plain_count_pairs_them():
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(12), rng.integers(1, 6, 12))
    frames = rng.integers(0, 2**63, (9, 4), np.uint64)[rng.integers(0, 9, len(owner))]
    found = {}
    for one in range(12):
        for other in range(one + 1, 12):
            a, b = frames[owner == one], frames[owner == other]
            same = (a[:, None] == b).all(axis=2)
            share = max(same.any(axis=1).mean(), same.any(axis=0).mean())
            if share >= 0.5:
                found[one, other] = float(share)
    assert {(i, j): share for i, j, share in shared_frames(frames, owner)} == pytest.approx(found)
    assert 0.5 in found.values()


def film(frames: np.ndarray) -> dict:
    return {"bytes": clips.write(frames, np.arange(len(frames) + 1) / 2), "path": None}


def test_a_clip_of_many_scenes_is_near_what_is_left_of_it():
    frames = np.stack([np.asarray(drawing(1000 + scene)) for scene in range(30) for _ in range(2)])
    for cut in (frames[6:], frames[20:], frames[:40]):
        found = near_media.look({"train": posts({"video": film(frames)}), "test": posts({"video": film(cut)})})
        assert (found["near_video"]["overlap"], found["near_video"]["posts"]) == (1, 2)


def test_a_still_of_a_clip_is_found_and_told_with_the_post_that_has_both_counted_once():
    frames = np.stack([np.asarray(drawing(seed)) for seed in range(6)])
    both = {"video": film(frames), "image": encoded(drawing(3), "JPEG", quality=90)}
    still = {"image": encoded(drawing(4), "JPEG", quality=90)}
    found = near_media.look({"train": posts(both), "test": posts(still, {"image": encoded(drawing(50))})})["still"]
    assert (found["overlap"], found["of"], found["posts"], found["test_posts"]) == (1, 3, 2, 1)
    assert found["examples"] == [{"content": "the same picture", "posts": [["test", "p0"], ["train", "p0"]]}]
    alone = near_media.look({"train": posts(both), "test": posts({"text": "nothing"})})["still"]
    assert alone["overlap"] == 0  # a post may show a still of its own clip


def test_words_of_any_post_of_a_picture_make_it_a_duplicate_whatever_comes_first():
    one, again = encoded(drawing(1)), encoded(drawing(1), "JPEG", quality=60)
    same, other = "the very same words stand here again today", "completely other statement number five"
    for texts in ((same, other), (other, same)):
        train = posts(*({"image": one, "text": text} for text in texts))
        found = near_media.look({"train": train, "test": posts({"image": again, "text": same})})
        assert (found["near_image"]["overlap"], found["template"]["overlap"]) == (1, 0)


def test_files_that_are_missing_are_not_compared():
    sets = {
        "train": posts({"image": {"bytes": None, "path": "/gone.png"}}),
        "test": posts({"video": {"bytes": b"x", "path": None}}),
    }
    assert {name: leak["not_compared"] for name, leak in near_media.look(sets).items()} == {
        "near_image": 1,
        "template": 1,
        "near_video": 1,
        "still": 2,
    }


def test_of_a_transparent_picture_what_nobody_sees_does_not_count():
    colours = np.asarray(drawing(1).resize((96, 96)))
    left, right = (np.zeros((96, 96, 1), np.uint8) for _ in range(2))
    left[20:70, 5:40], right[60:90, 50:95] = 255, 255
    cells = [encoded(Image.fromarray(np.concatenate([colours, alpha], axis=2), "RGBA")) for alpha in (left, right)]
    found = near_media.look({"train": posts({"image": cells[0]}), "test": posts({"image": cells[1]})})
    assert found["near_image"]["overlap"] == 0


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (2, 2), (600, 20), (31, 31)])
def test_pictures_of_any_shape_are_compared_or_not(size):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    cell = encoded(Image.fromarray(pixels))
    found = near_media.look({"train": posts({"image": cell}), "test": posts({"image": encoded(drawing(1))})})
    assert found["near_image"]["overlap"] == 0
