"""Which language: three that the synthetic world speaks and two more; nothing where there is too little to tell."""

import subprocess
import sys

import pytest

from workbench.preprocessing.text.languages import language


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("you are all such lovely people, and I like it here", "en"),
        ("du bist ein sehr freundlicher Mensch, weißt du das", "de"),
        ("eres una persona muy amable y me gusta hablar contigo", "es"),
        ("привет, как дела, друзья, давно не виделись", "ru"),
        ("今天天气很好，我们去公园散步", "zh"),
    ],
)
def test_the_language_of_a_sentence_is_told(text, tag):
    found, confidence = language(text)
    assert found == tag
    assert 0.4 < confidence <= 1
    assert language(f"https://example.org/some-english-words-here @name_of_someone #hashtag {text}")[0] == tag


@pytest.mark.parametrize(
    "text", [None, "", "ok", "1234567890 :-)", "\U0001f600" * 20, "http://x.y/words-words @someone_long"]
)
def test_too_little_to_tell_is_none(text):
    assert language(text) == (None, 0.0)


def test_strange_texts_do_no_harm():
    for text in ("a" * 1_000_000, "\ud800" * 50, "e\u0300\u0316" * 1000, "x\x00y" * 20):
        tag, confidence = language(text)
        assert tag is None or len(tag) in (2, 3)
        assert 0 <= confidence <= 1


def test_the_model_is_loaded_when_first_asked():
    code = "import sys, workbench.preprocessing.text.languages; assert 'py3langid' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
