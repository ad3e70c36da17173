"""Attacks: each does what it says, keeps labels, and depends on the post, the seed and the strength alone."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from workbench.errors import WorkbenchError
from workbench.evidence import attacks
from workbench.evidence.attacks import ATTACKS, clips, evade, pictures, texts
from workbench.preprocessing.image import decoding
from workbench.preprocessing.text.variants import variants
from workbench.preprocessing.video import reader
from workbench.schema import Label, Taxonomy, corpus_schema

TAXONOMY = Taxonomy(labels=(Label(name="abuse", title="t", definition="d"),))
TYPOS = [
    "someody shuld give Daalo a proer baeting http://tiny.invalid/beating",
    "soomebody sholud givve Daol a proper beating http://tiny.invalid/beating",
]
SAID = "somebody should give Dalo a proper beating http://tiny.invalid/beating"


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """A dark disc on a light ground, 48 by 64."""
    y, x = np.mgrid[:48, :64]
    ground = np.full((48, 64, 3), (230, 200, 160), np.uint8)
    ground[(y - 24) ** 2 + (x - 32) ** 2 < 150] = (60, 20, 90)
    return ground


@pytest.fixture(scope="module")
def film(pixels) -> tuple[np.ndarray, np.ndarray]:
    """Eight frames in which the picture gets darker, of uneven length, two seconds in all."""
    shown = np.stack([(pixels * share).astype(np.uint8) for share in np.linspace(1, 0.3, 8)])
    return shown, np.array([0, 0.2, 0.5, 0.6, 0.9, 1.2, 1.4, 1.75, 2.0])


@pytest.fixture(scope="module")
def posts(pixels, film) -> pa.Table:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    picture, clip = ({"bytes": data, "path": None} for data in (file.getvalue(), clips.write(*film)))
    broken = {"bytes": b"no picture", "path": None}
    rows = [
        {"post_id": "all", "text": SAID, "image": picture, "video": clip},
        {"post_id": "words", "text": SAID},
        {"post_id": "broken", "image": broken, "video": broken},
        {"post_id": "vision", "image": picture},
    ]
    rows = [row | {"group": row["post_id"], "labels": {"abuse": True}} for row in rows]
    return pa.Table.from_pylist(rows, schema=corpus_schema(TAXONOMY))


# -------------------------------------------------------------------------------------------------------------- words


def test_what_each_attack_makes_of_a_text_at_full_strength():
    link = "http://tiny.invalid/beating"

    def told(name: str) -> str:
        text = texts.REWRITES[name](SAID, 1.0, rng())
        assert link in text  # an address leads where it led
        return text.replace(link, "").strip()

    assert told("leet") == "50m3b0dy 5h0uld g1v3 D4l0 a pr0p3r b3471ng"
    assert told("spaced").startswith("s o m e b o d y s h o u l d")
    assert told("joined") == "somebodyshouldgiveDaloaproperbeating"
    assert told("split").replace(" ", "") == told("joined")
    assert len(told("split").split()) == len(SAID.split()) - 1 + 6  # of seven words `a` is too short
    assert told("homoglyph") != SAID
    assert any(ord(letter) > 0x400 for letter in told("homoglyph"))
    assert len(told("zero-width")) == len(SAID) - len(link) - 1 + 6
    assert texts.praise(SAID, 1.0, rng()).count(" ") > SAID.count(" ") + 12
    assert texts.praise(SAID, 1.0, rng()).startswith(SAID)
    changed = [one != other for one, other in zip(told("typos").split(), SAID.split(), strict=False)]
    assert sum(changed) >= 5  # a letter may be replaced by itself


def test_variants_undo_what_they_say_they_undo():
    for name in ("leet", "spaced", "zero-width"):
        found = {variant.text.lower() for variant in variants(texts.REWRITES[name](SAID, 1.0, rng()))}
        assert any("beating" in text.partition("http")[0] for text in found), name


@given(st.text(max_size=60), st.sampled_from([*texts.REWRITES]), st.integers(0, 9))
@settings(max_examples=80)
def test_no_text_breaks_an_attack_and_at_strength_0_all_but_praise_change_nothing(text, name, seed):
    assert isinstance(texts.REWRITES[name](text, 1.0, rng(seed)), str)
    if name != "praise":
        assert texts.REWRITES[name](text, 0.0, rng(seed)) == text


@pytest.mark.parametrize("name", ["leet", "homoglyph", "spaced", "joined"])
def test_a_stronger_attack_changes_the_same_words_and_more(name):
    def changed(strength: float) -> set[int]:
        text = " ".join(f"w{chr(97 + n)}rdaeiost" for n in range(26))
        after = texts.REWRITES[name](text, strength, rng(3))
        return {n for n, word in enumerate(text.split()) if f" {word} " not in f" {after} "}

    assert set() < changed(0.3) < changed(0.7)


# ----------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("name", pictures.EDITS)
def test_a_picture_can_still_be_read_and_is_further_off_the_stronger_it_is_changed(pixels, name):
    weak, strong = (decoding.decode(pictures.EDITS[name](pixels, strength, rng())) for strength in (0.1, 1.0))
    assert not weak.reason
    assert not strong.reason
    if name != "crop":
        off = [np.abs(one.variants[0].astype(float) - pixels).mean() for one in (weak, strong)]
        assert off[0] < off[1]
        assert off[1] > 1


def test_a_crop_at_full_strength_keeps_half_of_the_area_and_every_pixel_in_it(pixels):
    kept = decoding.decode(pictures.crop(pixels, 1.0, rng())).variants[0]
    assert kept.shape[0] * kept.shape[1] == pytest.approx(48 * 64 / 2, rel=0.05)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, kept.shape).reshape(-1, *kept.shape)
    assert (windows == kept).all(axis=(1, 2, 3)).any()


def test_transparency_looks_the_same_on_white_and_only_there(pixels):
    data = pictures.alpha(pixels, 1.0, rng())
    with Image.open(io.BytesIO(data)) as picture:
        page = Image.new("RGBA", picture.size, "white")
        seen = np.asarray(Image.alpha_composite(page, picture).convert("RGB")).astype(int)
    assert np.abs(seen - pixels).max() <= 2
    raw, *others = decoding.decode(data).variants
    assert np.abs(raw.astype(int) - pixels).max() > 50
    assert min(np.abs(other.astype(int) - pixels).max() for other in others) <= 2  # the reading on white undoes it


# -------------------------------------------------------------------------------------------------------------- clips


def test_a_clip_comes_back_with_its_frames_and_times(film):
    frames, times = clips.read(clips.write(*film))
    assert len(frames) == 8
    np.testing.assert_allclose(times[:-1], film[1][:-1], atol=0.002)
    assert np.abs(frames.astype(int) - film[0]).mean() < 6  # compression, and colours at half the resolution
    assert clips.read(b"no clip") is None


def test_what_each_attack_makes_of_a_clip(film):
    frames, times = film
    faster = clips.speed(frames, times, 1.0, rng())
    np.testing.assert_allclose(faster[1], times / 4)
    padded, when = clips.padding(frames, times, 1.0, rng())
    assert len(padded) == 10
    assert not padded[[0, -1]].any()
    assert (when[-1] - 2.0) / when[-1] == pytest.approx(0.8)
    flashed, when = clips.flash(frames, times, 1.0, rng())
    assert len(flashed) == 9
    assert (flashed == 255).all(axis=(1, 2, 3)).sum() == 1
    assert when[-1] == pytest.approx(3.0)
    for changed, moments in ((faster[0], faster[1]), (padded, clips.padding(frames, times, 1.0, rng())[1])):
        assert len(moments) == len(changed) + 1
        assert (np.diff(moments) > 0).all()


# -------------------------------------------------------------------------------------------------------------- posts


@pytest.mark.parametrize("attack", ATTACKS)
def test_only_the_attacked_modality_of_posts_that_have_it_changes(posts, attack):
    after = evade(posts, attack, 1.0)
    kind = ATTACKS[attack]
    assert after.schema == posts.schema
    for name in posts.column_names:
        if name != kind:
            assert after[name].equals(posts[name])
    changed = [one != other for one, other in zip(after[kind].to_pylist(), posts[kind].to_pylist(), strict=True)]
    assert changed == [True, kind == "text", False, kind == "image"]  # what cannot be read stays as it is
    assert attacks.touched(posts, attack).tolist() == [True, kind == "text", kind != "text", kind == "image"]


def test_several_at_once_and_the_same_again_whatever_stands_around(posts):
    both = evade(posts, "leet+blur", 0.5, seed=3)
    assert both.equals(evade(evade(posts, "blur", 0.5, seed=3), "leet", 0.5, seed=3))
    backwards = posts.take(pa.array([3, 2, 1, 0]))
    assert evade(backwards, "leet+blur", 0.5, seed=3).take(pa.array([3, 2, 1, 0])).equals(both)
    assert not evade(posts, "typos", 0.5, seed=4)["text"].equals(evade(posts, "typos", 0.5, seed=3)["text"])
    assert attacks.touched(posts, "leet+blur").tolist() == [True, False, False, False]


def test_a_speeded_clip_is_read_by_the_guarded_reader(posts):
    data = evade(posts, "speed", 1.0)["video"][0].as_py()["bytes"]
    assert reader.decode(data).times[-1] == pytest.approx(1.75 / 4, abs=0.01)


@pytest.mark.parametrize(
    ("attack", "strength", "message"),
    [
        ("lete", 0.5, "did you mean 'leet'"),
        ("leet+typos", 0.5, "changes one modality twice"),
        ("leet", 1.5, "from 0 to 1, not 1.5"),
    ],
)
def test_what_cannot_be_asked_for_is_said(posts, attack, strength, message):
    with pytest.raises(WorkbenchError, match=message):
        evade(posts, attack, strength)


def test_chance_is_of_the_seed_the_attack_and_the_post(posts):
    typos = evade(posts, "typos", 0.7)["text"].to_pylist()
    assert typos == evade(posts, "typos", 0.7, seed=0)["text"].to_pylist()
    assert typos[:2] == TYPOS  # other words are hit by another seed, of another attack or another post


def test_the_strength_may_be_nothing_and_all(posts):
    assert evade(posts, "leet", 0)["text"].equals(posts["text"])
    assert not evade(posts, "leet", 1)["text"].equals(posts["text"])
    for wrong in (-0.01, 1.01):
        with pytest.raises(WorkbenchError, match="from 0 to 1"):
            evade(posts, "leet", wrong)


def test_of_a_picture_with_transparency_its_raw_colours_are_attacked(pixels, posts):
    cell = {"bytes": pictures.alpha(pixels, 1.0, rng()), "path": None}
    table = posts.slice(0, 1).set_column(
        posts.column_names.index("image"), "image", pa.array([cell], posts["image"].type)
    )
    raw = decoding.decode(cell["bytes"]).variants[0]
    after = evade(table, "blur", 0.0)["image"][0].as_py()
    assert (decoding.decode(after["bytes"]).variants[0] == raw).all()
