"""A model that reads some languages: a text in another one has no score, is unread, and goes to a person."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from workbench.decisions.moderator import Moderator
from workbench.errors import WorkbenchError
from workbench.preprocessing.text.languages import ReadLanguages
from workbench.schema import Media, Post, Taxonomy, as_table

LABELS = Taxonomy.load().names
FRENCH = "Tu es vraiment un imbécile, ferme-la maintenant"


@pytest.fixture(scope="module")
def english(posts):
    return ReadLanguages.learn(["en"], posts["text"].slice(0, 500).drop_null().to_pylist())


def test_a_text_in_another_language_has_no_score_and_a_person_looks_whatever_the_policy_lets_pass(words, english):
    reading = words.with_languages(english)
    same, foreign, tagged = (
        Post(post_id="p", text="our garden needs rain again"),
        Post(post_id="q", text=FRENCH),
        Post(post_id="r", text="our garden needs rain again", language="fr"),
    )
    (known,), (decided, declared) = reading.assess([same]), reading.decide([foreign, tagged])
    assert known.scores == words.assess([same])[0].scores
    for decision in (decided, declared):
        assert (decision.action, decision.unread, decision.scores) == ("review", ("text",), {})
        assert decision.reasons[0].detail.startswith("The text could not be read: this model reads English; not judged")
    assert words.decide([foreign])[0].unread == ()
    table = as_table([same, foreign])
    assert np.isnan(reading.probabilities(table)).any(axis=1).tolist() == [False, True]  # as a study scores


def test_what_else_a_post_brings_is_still_scored(vision, english):
    picture = Media(bytes=_drawn_picture())
    post = Post(post_id="p", text=f"{FRENCH} https://bank.com@evil.example/x", image=picture)
    (found,) = vision.with_languages(english).assess([post])
    assert list(found.unread) == ["text"]
    assert set(found.scores) == set(LABELS)
    assert found.scores == vision.assess([Post(post_id="p", image=picture)])[0].scores
    assert found.links  # which are read in any language


def test_the_languages_are_part_of_the_model_and_of_the_bundle(words, english, tmp_path):
    reading = words.with_languages(english)
    assert reading.model_id != words.model_id
    reading.save(tmp_path / "bundle")
    loaded = Moderator.load(tmp_path / "bundle")
    assert loaded.model_id == reading.model_id
    assert loaded.languages.digest == english.digest
    assert loaded.decide([Post(post_id="q", text=FRENCH)])[0].unread == ("text",)
    assert "It reads English: a text that is declared" in (tmp_path / "bundle" / "README.md").read_text()
    (tmp_path / "bundle" / "languages" / "model.json").unlink()
    with pytest.raises(WorkbenchError, match=r"lacks 'languages/model\.json'"):
        Moderator.load(tmp_path / "bundle")


def _drawn_picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (30, 120, 200)).save(file, "PNG")
    return file.getvalue()
