"""Files of other people's countries: which code page short texts are in."""

from __future__ import annotations

import pytest

from workbench.corpora.reading.code_pages import latin
from workbench.corpora.reading.text import coding

TEXTS = {
    "cp1252": [
        *("à demain, très cher ami", "c'est déjà là", "où êtes-vous ?", "ça va être drôle", "l’été", "perché è così"),
        *("città più bella", "Straße über größer", "¿qué pasó, señor?", "mañana", "não é possível", "blåbær og fløde"),
    ],
    "cp1250": [
        *("zażółć gęślą jaźń", "dziękuję bardzo, cześć", "mężczyzna był", "příliš žluťoučký kůň", "řeka teče"),
        *("děkuji, že jsi přišel", "őrült tükörfúró gép", "čaša žuči"),
    ],
    "cp1254": ["şimdi çok iyi değil", "ağır işçi", "güneş doğdu, ışık"],
    "cp1257": ["ąžuolas ir šviesa, ėmė", "ūdens un zeme, ķīlis"],
}
GREEK, RUSSIAN = "καλημέρα σε όλους", "привет, как дела у тебя"


@pytest.mark.parametrize(("page", "text"), [(page, text) for page, texts in TEXTS.items() for text in texts])
def test_the_page_of_a_line_is_that_of_its_alphabet(page, text):
    found = latin(text.encode(page))
    assert text.encode(page).decode(found) == text


@pytest.mark.parametrize("text", [GREEK.encode("cp1253"), RUSSIAN.encode("cp1251"), "日本語の文".encode("cp932")])
def test_other_scripts_are_not_latin(text):
    assert latin(text) is None


def test_an_accent_alone_is_western(tmp_path):
    assert latin("à".encode("cp1252")) == "cp1252"
    assert latin(b"plain") == "cp1252"


@pytest.mark.parametrize(
    ("text", "page"),
    [("à demain\nvoilà, déjà", "cp1252"), ("mężczyzna\nżółw", "cp1250"), (RUSSIAN, "cp1251"), (GREEK, "cp1253")],
)
def test_a_file_is_read_in_the_page_that_its_letters_tell_and_says_so(tmp_path, text, page):
    path = tmp_path / "posts.csv"
    path.write_bytes(("id,text\n" + "\n".join(f"{n},{line}" for n, line in enumerate(text.split("\n")))).encode(page))
    found = coding(path, None)
    assert text.encode(page).decode(found.name) == text
    assert f"was read as {found.name}" in found.note
