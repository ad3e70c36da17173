"""Which language: three that the synthetic world speaks and two more; nothing where there is too little to tell.

And which texts a model of English reads: those in English, whatever their slang, and those too short to tell.
"""

import subprocess
import sys

import pytest

from workbench.errors import WorkbenchError
from workbench.preprocessing.text.languages import ReadLanguages, language, primary


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


# ------------------------------------------------------------------------------------------------- what a model reads

WORDS = [
    "i",
    "am",
    "so",
    "tired",
    "of",
    "this",
    "lol",
    "u",
    "r",
    "you",
    "are",
    "a",
    "fool",
    "and",
    "gonna",
    "see",
    "my",
    "dog",
    "at",
    "the",
    "park",
    "tonight",
    "with",
    "all",
    "of",
    "us",
]


@pytest.fixture(scope="module")
def english():
    """A model of English whose training posts had a few words, each in five posts, and one word in four."""
    return ReadLanguages.learn(["en"], [" ".join(WORDS)] * 5 + ["Käsekuchen"] * 4)


@pytest.mark.parametrize(
    "text",
    [
        "I am so tired of this, and my dog is too",
        "u r gonna see lol",  # slang whose words are known
        "We went for a walk along the quiet river yesterday",  # words that it never saw, in sure English
        "kys",  # too short to tell
        "\U0001f600\U0001f600\U0001f600",
        "1234567890 :-)",
        "https://example.org/des-mots-en-francais-seulement @un_nom_francais",
        "y0u ar3 a f00l, 1 am t1red 0f th1s",  # English once its digits are read as letters
        "",
        None,
    ],
)
def test_what_is_english_or_too_short_to_tell_is_read(english, text):
    assert english.unread(text) is None
    assert english.unread(text, "en-GB") is english.unread(text, "EN_us") is english.unread(text, "und") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Tu es vraiment un imbécile, ferme-la", "it looks like French"),
        ("Halt endlich den Mund, du Trottel", "it looks like German"),
        ("Cállate ya, pedazo de idiota", "it looks like Spanish"),
        ("Ты просто дурак, замолчи", "it looks like Russian"),
        ("お前は本当に馬鹿だな", "it looks like Japanese"),
        ("滚开，你这个笨蛋", "it looks like Chinese"),
        ("اخرس أيها الأحمق", "it looks like Arabic"),
    ],
)
def test_another_language_is_not_judged_and_the_reason_says_which(english, text, why):
    assert english.unread(text) == f"this model reads English; not judged ({why})"
    assert english.unread(text, "en") is not None  # a wrong tag does not make it English


def test_a_declared_language_is_believed_where_it_is_not_read(english):
    told = "this model reads English; not judged (declared as Portuguese)"
    assert english.unread("I am so tired of this", "pt-BR") == english.unread(None, "pt") == told
    assert english.unread("hi", "xx-yy") == "this model reads English; not judged (declared as xx)"


@pytest.mark.parametrize("text", ["\ud800" * 50, "a" * 100_000, "e\u0300\u0316" * 1000, "x\x00y" * 20])
def test_a_strange_text_gets_some_answer(english, text):
    assert english.unread(text) is None or "not judged" in english.unread(text)


def test_a_word_vouches_once_five_posts_have_it(english):
    few = ReadLanguages.learn(["en"], ["Käsekuchen"] * 5)
    assert not english.marks[few.marks].any()
    assert few.marks.sum() == 1
    assert english.marks.sum() == len(set(WORDS))


def test_it_is_the_same_after_the_disk_and_a_changed_file_is_refused(english, tmp_path):
    english.save(tmp_path / "it")
    loaded = ReadLanguages.load(tmp_path / "it")
    assert (loaded.tags, loaded.digest, loaded.names) == (("en",), english.digest, "English")
    assert ReadLanguages(("en", "fr"), english.marks).names == "English and French"
    assert ReadLanguages(("fr",), english.marks).digest != english.digest
    path = tmp_path / "it" / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(WorkbenchError, match="sha256 differs"):
        ReadLanguages.load(tmp_path / "it")


@pytest.mark.parametrize(
    ("tag", "found"), [("en", "en"), (" PT_br", "pt"), ("eng", "en"), ("und", None), ("English", None), ("", None)]
)
def test_the_language_of_a_tag(tag, found):
    assert primary(tag) == found
