"""Steps that change a text's words: stop words, stems, hashtags, emoji, long runs of a letter.

All are linear in the text's length. Masks such as [URL], addresses, e-mail addresses and names of people and
communities (@name, u/name, r/name) stay as they are: "the" within https://a.example/the/of is no word of the sentence.

Sources: stems by the Snowball algorithms (`snowballstemmer`), names of emoji by the Unicode CLDR (`emoji`); the stop
words are articles, pronouns, prepositions, auxiliaries and conjunctions of three languages, written for this module.
Negations ("not", "no", "nicht") are no stop words here: they turn a sentence's meaning round.
Open doubt: an address without scheme and path is known by five endings (`the.com`), for "is" and "it" are endings too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import Any, Literal

StopLanguage = Literal["en", "es", "de"]
StemLanguage = Literal["da", "de", "en", "es", "fi", "fr", "hu", "it", "nl", "no", "pt", "ro", "ru", "sv", "tr"]
_STEMMERS = {
    "da": "danish", "de": "german", "en": "english", "es": "spanish", "fi": "finnish", "fr": "french",
    "hu": "hungarian", "it": "italian", "nl": "dutch", "no": "norwegian", "pt": "portuguese", "ro": "romanian",
    "ru": "russian", "sv": "swedish", "tr": "turkish",
}  # fmt: skip
LONG = 64  # characters; what is longer is no word of any language, and some stemmers take more than linear time

_EN = """
a about after again all also am an and any are as at be because been before being between both but by can could did
do does doing down during each few for from further had has have having he her here hers herself him himself his how
i i'd i'll i'm i've if in into is it it's its itself just me more most my myself of off on once only or other our
ours ourselves out over own same she should so some such than that that's the their theirs them themselves then
there these they they're this those through to too under until up very was we we're were what when where which while
who whom why will with would you you're you've your yours yourself yourselves
"""
_ES = """
a al algo ante antes aquel aquella aquello aqui aquí asi así aun aún aunque cada como cómo con cual cuál cuando
cuándo de del desde donde dónde dos el él ella ellas ellos en entre era eran eres es esa ese eso esta está están
estaba estar este esto estos estas estoy fue fueron ha han has hasta hay he la las le les lo los me mi mí mis mucho
muy nos nosotros o os otra otro para pero poco por porque pues que qué quien quién se sea ser si sí sido sin sobre
sois somos son soy su sus también tan te tiene tienen todo toda todos todas tu tú tus un una unas uno unos usted
ustedes vosotros y ya yo
"""
_DE = """
aber alle allem allen aller alles als also am an auch auf aus bei beim bin bis bist da damit dann das dass dein
deine deinem deinen deiner dem den denn der des dich die dies diese diesem diesen dieser dieses dir doch dort du
durch ein eine einem einen einer eines er es etwas euch euer eure für gegen hab habe haben hat hatte hatten hier hin
hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in indem ins ist ja jede jedem jeden jeder jedes jener jetzt
kann können könnte man mehr mein meine meinem meinen meiner mich mir mit muss nach noch nun nur ob oder ohne sehr
sein seine seinem seinen seiner seit sich sie sind so solche soll sollte sondern um und uns unser unsere unter vom
von vor war waren warst was weil weiter welche wenn werde werden wer wie wieder will wir wird wirst wo wollen
während würde würden über zu zum zur zwar zwischen
"""
STOP_WORDS: dict[str, frozenset[str]] = {
    "en": frozenset(_EN.split()),
    "es": frozenset(_ES.split()),
    "de": frozenset(_DE.split()),
}

ADDRESS = re.compile(r"(?:https?://|\bwww\.)\S+", re.IGNORECASE)
# What is no word: masks, addresses (also without a scheme), e-mail addresses, names of people and communities. Each
# begins where none of its characters stands before, so that long runs of them are looked at once.
_NO_WORDS = re.compile(
    rf"(\[(?:URL|USER)\]|{ADDRESS.pattern}|(?<![\w.+-])[\w.+-]++@[\w-]+(?:\.[\w-]+)+"
    r"|(?<![\w.-])(?:[\w-]+\.)++(?:[^\W\d_]{2,}(?::\d+)?/\S*|(?:com|edu|gov|net|org)(?![\w-]))"
    r"|(?<![\w@/.])(?:@\w+|/?[ur]/[\w-]+))",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
# A word that stands alone: neither a hashtag nor a part of one, nor of a name such as to_2.
_ALONE = re.compile(r"(?<![\w#])[^\W\d_]++(?:['’][^\W\d_]++)*+(?!\w)")
# One emoji with what may follow it: variation, skin, joined ones, tags; flags; keycaps.
_ONE = "[\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001f1e5\U0001f200-\U0001faff][\ufe0f\U0001f3fb-\U0001f3ff]{0,2}"
_EMOJI = re.compile(
    f"{_ONE}(?:\u200d{_ONE}){{0,6}}[\U000e0020-\U000e007f]{{0,8}}|[\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]\ufe0f?\u20e3"
)
_HASHTAG = re.compile(r"(?<![\w#&/])#(\w+)")
# The words of a hashtag; a capital that begins a word is no part of the capitals before it.
_PARTS = re.compile(r"[A-ZÀ-ÖØ-Þ]+(?![a-zß-öø-ÿ])|[A-ZÀ-ÖØ-Þ]?[^\W\d_A-ZÀ-ÖØ-Þ]+|\d+|[A-ZÀ-ÖØ-Þ]")


def each(text: str, change: Callable[[str], str]) -> str:
    """Return a text with `change` applied to every word; what is no word stays.

    >>> each("[URL] Don't! www.so.example", str.upper)
    "[URL] DON'T! www.so.example"
    """
    return _in_prose(text, lambda part: _WORD.sub(lambda match: change(match[0]), part))


def without_stop_words(text: str, languages: tuple[str, ...]) -> str:
    """Return a text without the function words of some languages, whatever their case; hashtags stay whole.

    >>> without_stop_words("You are not the problem, #me_too: https://a.example/the/of", ("en",))
    '  not  problem, #me_too: https://a.example/the/of'
    """
    dropped = frozenset().union(*(STOP_WORDS[language] for language in languages))

    def word(match: re.Match) -> str:
        return "" if match[0].lower().replace("’", "'") in dropped else match[0]

    return _in_prose(text, lambda part: _ALONE.sub(word, part))


def stems(text: str, language: str) -> str:
    """Return a text whose words are lower-cased and cut to their stems.

    >>> stems("Running dogs", "en")
    'run dog'
    """
    return each(text, lambda word: _stem(word.lower(), language))


@lru_cache(maxsize=200_000)
def _stem(word: str, language: str) -> str:
    return word if len(word) > LONG else _stemmer(language).stemWord(word)


@cache
def _stemmer(language: str) -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer(_STEMMERS[language])


def shorten_runs(text: str, most: int) -> str:
    """Return a text in which no letter stands more than `most` times in a row.

    >>> shorten_runs("sooooo cool 1000", 2)
    'soo cool 1000'
    """
    runs = re.compile(rf"([^\W\d_])\1{{{most},}}")
    return _in_prose(text, lambda part: runs.sub(lambda run: run[1] * most, part))


def split_hashtags(text: str) -> str:
    """Return a text whose hashtags are words: cut at capitals, digits and underscores.

    >>> split_hashtags("#StopTheNoise now, #abc_def1 and #USAToday")
    'Stop The Noise now, abc def 1 and USA Today'
    """
    split = partial(_HASHTAG.sub, lambda tag: " ".join(_PARTS.findall(tag[1]) or [tag[1]]))
    return _in_prose(text, split)


def prose(text: str) -> str:
    """Return a text without what is no word: masks, addresses, names.

    >>> prose("see https://a.example/the, @bob")
    'see  '
    """
    return "".join(_NO_WORDS.split(text)[::2])


def _in_prose(text: str, change: Callable[[str], str]) -> str:
    """Return a text with `change` applied between what is no word."""
    pieces = _NO_WORDS.split(text)  # every second one is no word
    return "".join(piece if number % 2 else change(piece) for number, piece in enumerate(pieces))


def without_emoji(text: str, named: bool) -> str:
    """Return a text without emoji, or with their English names in their place.

    >>> without_emoji("well\\U0001f44d done", named=True)
    'well thumbs up  done'
    """
    if text.isascii():
        return text
    return _EMOJI.sub(lambda match: _emoji(match[0], named), text)


@lru_cache(maxsize=10_000)
def _emoji(symbol: str, named: bool) -> str:
    """Return what stands for one emoji, in spaces; the characters themselves where they are none."""
    import emoji

    if not named:
        left = emoji.replace_emoji(symbol, "")
        return left if left == symbol else f" {left} "
    name = emoji.demojize(symbol, delimiters=(" ", " "))
    return name if name == symbol else name.replace("_", " ").replace("-", " ")
