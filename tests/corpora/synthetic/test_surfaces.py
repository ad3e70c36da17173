"""What posts of the synthetic world look like: phrases, links, obfuscations, pictures, clips and edited reposts."""

from __future__ import annotations

import io
import re
import unicodedata
from collections import defaultdict
from urllib.parse import urlsplit

import av
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from world_samples import note

from workbench.corpora.synthetic import clips, evasion, links, phrases, pictures, reposts
from workbench.corpora.synthetic.causes import LANGUAGE_TAGS, LINKS, OBFUSCATIONS, SCENES, UTTERANCES, VIEWS
from workbench.questions import pretraining
from workbench.schema import ROOT

CALM = [SCENES.index(view) for view in VIEWS]
HARMFUL = [n for n in range(1, len(SCENES)) if n not in CALM]


def decoded(data: bytes) -> tuple[np.ndarray, np.ndarray, str]:
    """Frames uint8 (n, 64, 64, 3), their times (n,) in seconds, and the codec's name."""
    with av.open(io.BytesIO(data)) as file:
        found = [(frame.to_ndarray(format="rgb24"), float(frame.time)) for frame in file.decode(video=0)]
        return np.stack([one for one, _ in found]), np.array([t for _, t in found]), file.streams.video[0].name


# --------------------------------------------------------------------------------------------------------------- text


def test_every_utterance_is_said_in_every_language():
    rng = np.random.default_rng(0)
    said = {
        (u, language): phrases.say(u, language, 17 * u, rng, 0.0)
        for u in range(1, len(UTTERANCES))
        for language in range(len(LANGUAGE_TAGS))
    }
    assert len(set(said.values())) == len(said) == 3 * (len(UTTERANCES) - 1)
    assert not [text for text in said.values() if re.search(r"[{}|]", text)]
    first, last = (phrases.say(3, 0, index, rng, 0.0) for index in (0, phrases.SURFACES - 1))
    assert note(first) != note(last)


def test_no_two_utterances_share_a_phrase():
    owner = defaultdict(set)
    for utterance, three in phrases.PHRASES.items():
        for core in "|".join(three).split("|"):
            owner[core.casefold()].add(utterance)
    assert [core for core, found in owner.items() if len(found) > 1] == []


def test_a_links_domain_tells_its_kind_and_leads_nowhere():
    rng, kinds = np.random.default_rng(1), defaultdict(set)
    for kind in range(1, len(LINKS)):
        found = [links.address(kind, rng) for _ in range(300)]
        assert len(set(found)) > 200  # fresh paths
        for url in found:
            parts = urlsplit(url)
            assert parts.scheme in ("http", "https")
            # RFC 2606 and 6761: nobody can own these
            assert re.search(r"(^|\.)(example\.(com|net|org)|example|test|invalid)$", parts.hostname)
            kinds[re.sub(r"^\w+-shop", "shop", parts.hostname)].add(kind)
    assert {len(found) for found in kinds.values()} == {1}


@pytest.mark.parametrize("kind", OBFUSCATIONS)
def test_a_disguise_changes_every_phrase_and_can_be_undone(kind):
    rng, number = np.random.default_rng(2), OBFUSCATIONS.index(kind)
    for three in phrases.PHRASES.values():
        for core in "|".join(three).split("|"):
            plain = core.replace("{n}", "Bala")
            hidden = evasion.obfuscate(plain, number, rng)
            assert (hidden == plain) == (kind == "none")
            # a reader finds the words: without what is invisible, letters joined, twins back
            back = {"leet": str.maketrans("431057", "aeiost"), "homoglyph": str.maketrans(TWINS)}.get(kind, {})
            joined = "".join(ch for ch in hidden.translate(back) if unicodedata.category(ch) != "Cf")
            assert joined.replace(" ", "").casefold() == plain.replace(" ", "").casefold()


TWINS = {unicodedata.lookup(f"CYRILLIC SMALL LETTER {a}"): b for a, b in zip(
    ("A", "ES", "IE", "BYELORUSSIAN-UKRAINIAN I", "O", "ER", "HA", "U"), "aceiopxy", strict=True
)} | {unicodedata.lookup(f"CYRILLIC CAPITAL LETTER {a}"): b for a, b in zip(
    ("A", "ES", "IE", "EN", "KA", "EM", "O", "ER", "TE", "HA"), "ACEHKMOPTX", strict=True
)}  # fmt: skip


def test_a_disguise_leaves_the_note_and_the_link_alone():
    rng = np.random.default_rng(3)
    for utterance in range(1, len(UTTERANCES)):
        text = phrases.say(utterance, 0, utterance, rng, 0.0, lambda phrase: evasion.obfuscate(phrase, 4, rng))
        assert not text.isascii()
        assert re.search(r"\d\d:\d\d(,| in) \w+burg|\w+burg, \d\d:\d\d", text)
        assert note(text)[1].isascii()


# -------------------------------------------------------------------------------------------------------------- clips


def test_a_clip_decodes_to_the_frames_and_uneven_times_it_was_shot_with():
    rng, names = np.random.default_rng(4), set()
    for n in range(44):
        film = clips.shoot(1 + n % (len(SCENES) - 1), rng, 0.5)
        frames, times, name = decoded(clips.encode(film, rng))
        names.add(name)
        assert 12 <= len(frames) == len(film.times) <= 20
        np.testing.assert_allclose(times, film.times / 1000, atol=0.0011)
        assert 1.5 < times[-1] < 4
        assert np.diff(times).max() > 1.5 * np.diff(times).min()  # a variable rate
        error = np.abs(frames.astype(float) - film.frames).mean((1, 2, 3))
        assert error.max() < 14  # grey levels, on average over a frame
    assert len(names) == 3


def test_the_scene_is_seen_for_a_tenth_of_the_time_and_by_twelve_samples():
    rng = np.random.default_rng(5)
    for n in range(60):
        film = clips.shoot(HARMFUL[n % len(HARMFUL)], rng, 0.5)
        frames, times, _ = decoded(clips.encode(clips.trim(film, rng) if n % 2 else film, rng))
        first, after = film.scene
        shots = [film.frames[[n for n in range(len(film.times)) if (first <= n < after) == there]] for there in (0, 1)]
        apart = [
            np.abs(frames[:, None].astype(int) - shot).mean((2, 3, 4)).min(1) for shot in shots
        ]  # (frames,) from the nearest frame of the view, of the scene
        scene = apart[1] < apart[0]
        assert np.flatnonzero(scene).tolist() == list(range(first, after))
        assert not scene[-1]
        end = times[-1] + np.diff(times).max()  # however long the last frame is taken to last
        assert np.diff(np.append(times, end))[scene].sum() > end / 10
        middles = (np.arange(12) + 0.5) / 12 * end
        assert scene[np.searchsorted(times, middles, side="right") - 1].any()


def test_the_view_around_a_scene_says_nothing_and_a_calm_clip_shows_its_view_only(monkeypatch):
    drawn = []
    monkeypatch.setattr(clips, "_shot", lambda scene, n, *_: drawn.append(scene) or 0)
    rng = np.random.default_rng(6)
    for scene in range(1, len(SCENES)):
        for _ in range(120):
            clips.shoot(scene, rng, 0.5)
    views, scenes = np.array(drawn).reshape(len(SCENES) - 1, 120, 2).transpose(2, 0, 1)
    assert (scenes == np.arange(1, len(SCENES))[:, None]).all()
    for n in range(1, len(SCENES)):
        count = np.bincount(views[n - 1], minlength=len(SCENES))
        assert count[CALM].sum() == 120
        if n in CALM:
            assert count[n] == 120
        else:
            assert count[CALM].min() > 5  # 20 expected; each with a chance of 1 in 20,000 to fall below 6


@torch.inference_mode()
def test_the_shipped_encoder_reads_frames_of_clips_as_it_reads_pictures():
    model, rng = pretraining.load_clip(ROOT / "data" / "weights" / "tiny-clip"), np.random.default_rng(7)

    def embedded(shown: list[np.ndarray]) -> np.ndarray:
        pixels = torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2)
        found = torch.nn.functional.normalize(model.encode_image(pretraining.normalised(pixels)), dim=-1)
        return found.numpy()

    known = rng.integers(1, len(SCENES), 1000)
    seen = [Image.open(io.BytesIO(pictures.encode(pictures.draw(n, rng, 0.5), rng))) for n in known]
    reader = LogisticRegression(C=100, max_iter=500).fit(embedded([np.asarray(one) for one in seen]), known)
    shown, scene = [], rng.integers(1, len(SCENES), 150)
    for n in scene:
        film = clips.shoot(n, rng, 0.5)
        frames = decoded(clips.encode(film, rng))[0]
        shown.append(frames[rng.integers(*film.scene)])
    assert (reader.predict(embedded(shown)) == scene).mean() > 0.95


def test_the_tokenizer_keeps_the_phrase_beside_a_link():
    tokenize = open_clip.get_tokenizer(f"local-dir:{ROOT / 'data' / 'weights' / 'tiny-clip'}")
    rng = np.random.default_rng(8)
    for utterance in range(1, len(UTTERANCES)):
        text = phrases.say(utterance, 0, utterance, rng, 0.0)
        ids = tokenize([text, f"{text} {links.address(1 + utterance % 3, rng)}"])
        kept = int((ids[0] > 0).sum()) - 1  # without the end
        assert (ids[0, :kept] == ids[1, :kept]).all()  # the address comes last, so it is what is cut off


# ------------------------------------------------------------------------------------------------------------ reposts


def test_reposted_texts_keep_their_words():
    rng, changed = np.random.default_rng(9), []
    for n in range(600):
        said = f"{phrases.say(1 + n % 25, n % 3, n, rng, 0.0)} {links.address(1 + n % 3, rng)}"
        again = reposts.text(said, n % 3, rng)
        changed.append(again != said)
        assert said.split()[-1] in again  # an address works as it was only
        near = np.mean([word.lower() in again.lower().split() for word in said.split()])
        assert near > 0.5
    assert 0.45 < np.mean(changed) < 0.65


def test_reposted_pictures_and_clips_look_alike():
    rng, apart, kinds = np.random.default_rng(10), [], set()
    for n in range(120):
        shown = pictures.draw(1 + n % (len(SCENES) - 1), rng, 0.5)
        data = pictures.encode(shown, rng)
        pair = [Image.open(io.BytesIO(one)) for one in (data, reposts.picture(shown, data, rng))]
        assert [one.size for one in pair] == [(64, 64)] * 2
        small = [np.asarray(one.reduce(8), float) for one in pair]
        apart.append(np.abs(small[0] - small[1]).mean())
    assert max(apart) < 30  # an eighth darker or brighter
    assert 0.3 < np.mean(np.array(apart) == 0) < 0.5
    for n in range(60):
        film = clips.shoot(HARMFUL[n % len(HARMFUL)], rng, 0.5)
        data = clips.encode(film, rng)
        again = reposts.clip(film, data, rng)
        (frames, times, _), (others, later, _) = decoded(data), decoded(again)
        kinds.add((again == data, data[4:8] == again[4:8], len(others) < len(frames)))
        assert film.scene[1] < len(others) <= len(frames)  # the scene is kept
        np.testing.assert_allclose(later, times[: len(later)], atol=0.0011)
        assert np.abs(others.astype(int) - frames[: len(others)]).mean() < 14
    # unchanged; encoded anew; in the other container; without its end
    assert {(True, True, False), (False, True, False), (False, False, False)} <= kinds
    assert any(shorter for *_, shorter in kinds)
