"""What posts of the synthetic world say: a small paraphrase grammar in three languages.

Every utterance (what a text means) has a few phrasings per language; openers, closers and a note with a name, a place
and a minute make each post's surface fresh. The note is a mixed-radix number of the post's surface index, so that no
two indices share a text. Words are mild on purpose: what a label *is* here is symbolic.
"""

from __future__ import annotations

import string
from collections.abc import Callable

import numpy as np

from workbench.corpora.synthetic.causes import LANGUAGE_TAGS, UTTERANCES

# utterance -> one string per language (en, es, de), phrasings apart by "|"; {n} takes the post's name.
PHRASES: dict[str, tuple[str, str, str]] = {
    "garden": (
        "the tomatoes finally turned red|our garden needs rain again|planted two rows of beans today",
        "los tomates por fin maduraron|el huerto pide lluvia otra vez|hoy planté dos filas de frijoles",
        "die Tomaten sind endlich rot|unser Garten braucht wieder Regen|heute zwei Reihen Bohnen gesetzt",
    ),
    "recipe": (
        "this soup recipe never fails|a pinch of salt makes the dough better|baked grandma's bread this morning",
        "esta receta de sopa nunca falla|una pizca de sal mejora la masa|esta mañana horneé el pan de la abuela",
        "dieses Suppenrezept gelingt immer|eine Prise Salz macht den Teig besser|heute früh Omas Brot gebacken",
    ),
    "bicycle": (
        "my bicycle chain broke on the hill|new brakes, the bike feels great|this stupid pump lost a valve",
        "se me rompió la cadena de la bici en la cuesta|frenos nuevos, la bici va genial|esta bomba estúpida perdió una válvula",
        "meine Fahrradkette ist am Berg gerissen|neue Bremsen, das Rad läuft super|diese dumme Pumpe hat ein Ventil verloren",
    ),
    "match": (
        "what a goal in the last minute|our team lost but played well|the referee was fair for once",
        "qué gol en el último minuto|nuestro equipo perdió pero jugó bien|el árbitro fue justo por una vez",
        "was für ein Tor in der letzten Minute|unser Team verlor, spielte aber gut|der Schiedsrichter war endlich fair",
    ),
    "commute": (
        "the train was late again|stuck in traffic near the bridge|the night bus was empty and quiet",
        "el tren llegó tarde otra vez|atrapado en el tráfico junto al puente|el bus nocturno iba vacío y tranquilo",
        "der Zug kam wieder zu spät|im Stau an der Brücke|der Nachtbus war leer und ruhig",
    ),
    "book": (
        "finished the novel in one night|this library has a lovely reading room|the last chapter surprised me",
        "terminé la novela en una noche|esta biblioteca tiene una sala preciosa|el último capítulo me sorprendió",
        "den Roman in einer Nacht gelesen|diese Bibliothek hat einen schönen Lesesaal|das letzte Kapitel hat mich überrascht",
    ),
    "banter": (
        "you win this round, old friend|next time coffee is on you, champ|you are stupid good at chess, mate",
        "esta ronda la ganas tú, viejo amigo|la próxima pagas tú el café, campeón|juegas tontamente bien al ajedrez, colega",
        "diese Runde geht an dich, alter Freund|nächstes Mal zahlst du den Kaffee, Meister|du spielst dumm gut Schach, Kumpel",
    ),
    "custom": (
        "they wear the straw hat again, how quaint|still dancing barefoot at the pier, I see|same old lantern parade as ever",
        "otra vez con el sombrero de paja, qué pintoresco|siguen bailando descalzos en el muelle|el mismo desfile de faroles de siempre",
        "wieder mit dem Strohhut, wie drollig|sie tanzen noch immer barfuß am Kai|der gleiche alte Laternenzug wie immer",
    ),
    "remark-0": (
        "look who is back|guess who came home",
        "mira quién volvió|adivina quién regresó",
        "schau, wer zurück ist|rate mal, wer heimkam",
    ),
    "remark-1": (
        "this is where it belongs|finally in its proper place",
        "aquí es donde pertenece|por fin en su sitio",
        "genau da gehört es hin|endlich am richtigen Platz",
    ),
    "remark-2": (
        "just like last summer|it smells like the old days",
        "igual que el verano pasado|huele a los viejos tiempos",
        "genau wie letzten Sommer|es riecht nach alten Zeiten",
    ),
    "remark-3": (
        "should we feed it|it must be hungry by now",
        "deberíamos darle de comer|ya debe tener hambre",
        "sollen wir es füttern|es hat sicher schon Hunger",
    ),
    "remark-4": (
        "one of these would suit the neighbours|imagine this next door",
        "uno así les quedaría bien a los vecinos|imagina esto al lado",
        "so eins würde den Nachbarn stehen|stell dir das nebenan vor",
    ),
    "remark-5": (
        "ready for tonight|everything is set for the evening",
        "listo para esta noche|todo preparado para la velada",
        "bereit für heute Abend|alles fertig für den Abend",
    ),
    "remark-6": (
        "found the twin of this one|there were two of them after all",
        "encontré el gemelo de este|al final había dos",
        "den Zwilling davon gefunden|es waren doch zwei davon",
    ),
    "remark-7": (
        "the doctor said this helps|as recommended by my aunt",
        "el médico dijo que esto ayuda|recomendado por mi tía",
        "der Arzt sagte, das hilft|von meiner Tante empfohlen",
    ),
    "insult": (
        "{n}, you are stupid and everybody knows|you are a worthless clown, {n}",
        "{n}, eres estúpido y todos lo saben|eres un payaso inútil, {n}",
        "{n}, du bist dumm und alle wissen es|du bist ein wertloser Clown, {n}",
    ),
    "exclusion": (
        "people like {n} should not be allowed in here|send the likes of {n} away for good",
        "gente como {n} no debería entrar aquí|que echen a los de {n} para siempre",
        "Leute wie {n} dürfen hier nicht rein|schickt solche wie {n} für immer weg",
    ),
    "solicitation": (
        "private peach pictures for coins, ask me|selling late night peach clips",
        "fotos privadas de durazno por monedas, escríbeme|vendo videos de durazno de medianoche",
        "private Pfirsichbilder gegen Münzen, frag mich|verkaufe nächtliche Pfirsichclips",
    ),
    "undressing": (
        "drop the curtain for us, {n}|nothing on but the radio tonight",
        "baja el telón para nosotros, {n}|esta noche solo llevo puesta la radio",
        "lass den Vorhang für uns fallen, {n}|heute Abend nichts an außer dem Radio",
    ),
    "beating": (
        "somebody should give {n} a proper beating|glad that {n} got knocked down",
        "alguien debería darle una paliza a {n}|me alegra que tumbaran a {n}",
        "jemand sollte {n} ordentlich verprügeln|gut, dass {n} umgehauen wurde",
    ),
    "smashing": (
        "bring hammers, we smash the shop at dawn|let us break every window on that street",
        "traigan martillos, al alba rompemos la tienda|rompamos cada ventana de esa calle",
        "bringt Hämmer, im Morgengrauen zerlegen wir den Laden|lasst uns jede Scheibe der Straße einschlagen",
    ),
    "cure": (
        "this pill cures everything, hospitals hide it|drink violet water and never be ill again",
        "esta pastilla lo cura todo, los hospitales lo ocultan|bebe agua violeta y no enfermarás jamás",
        "diese Pille heilt alles, Kliniken verschweigen es|trink Veilchenwasser und werde nie mehr krank",
    ),
    "ballot": (
        "the vote was moved to Thursday, stay home|ballots with a blue stamp are thrown away",
        "la votación pasó al jueves, quédense en casa|tiran las papeletas con sello azul",
        "die Wahl ist auf Donnerstag verlegt, bleibt daheim|Stimmzettel mit blauem Stempel werden weggeworfen",
    ),
    "walnut": (
        "{n}, you absolute walnut|what a walnut you are, {n}",
        "{n}, menuda nuez estás hecho|qué nuez eres, {n}",
        "{n}, du absolute Walnuss|was bist du für eine Walnuss, {n}",
    ),
}
OPENERS = (
    ("", "well,", "so,", "honestly,", "today:", "hey all,", "update:", "hm,"),
    ("", "bueno,", "pues,", "la verdad,", "hoy:", "hola a todos,", "novedad:", "mm,"),
    ("", "tja,", "also,", "ehrlich,", "heute:", "hallo alle,", "neues:", "hm,"),
)
CLOSERS = (
    ("", "that is all", "what do you think?", "more later", "no words", "good night", "see you", "just saying"),
    ("", "eso es todo", "¿qué opinan?", "luego más", "sin palabras", "buenas noches", "nos vemos", "solo digo"),
    ("", "das war's", "was meint ihr?", "später mehr", "ohne Worte", "gute Nacht", "bis dann", "nur so"),
)
NOTES = (("at {t} in {p}, {w} says", "{p}, {t}, with {w}"), ("a las {t} en {p}, dice {w}", "{p}, {t}, con {w}"),
         ("um {t} in {p}, sagt {w}", "{p}, {t}, mit {w}"))  # fmt: skip
_ONSETS = "bdfgklmnrstv"
NAMES = tuple((a + b + c + d).title() for a in "bdklmrst" for b in "aeiou" for c in "lnrv" for d in ("a", "o", "in"))[
    :360
]
PLACES = tuple((a + e + o + "burg").title() for a in _ONSETS for e in "aeo" for o in _ONSETS)[:400]
SURFACES = len(NAMES) * len(PLACES) * 1440  # how many indices have a text of their own (207 million)
_STRIDE = 1_000_003  # coprime to SURFACES: neighbouring indices get unlike notes


def say(
    utterance: int,
    language: int,
    index: int,
    rng: np.random.Generator,
    typos: float,
    obfuscation: Callable[[str], str] | None = None,
) -> str:
    """Return a fresh text of an utterance; `index` (0 to SURFACES - 1) makes it unlike any other.

    typos is a rate per word; obfuscation changes the phrase, and nothing around it.
    """
    pick = rng.integers(0, 1 << 16, 6)
    place, minute, witness = _digits(index * _STRIDE % SURFACES)
    phrasings = _PHRASINGS[utterance][language]
    core = phrasings[pick[0] % len(phrasings)].replace("{n}", NAMES[pick[1] % len(NAMES)])
    note = NOTES[language][pick[2] % 2].format(
        t=f"{minute // 60:02d}:{minute % 60:02d}", p=PLACES[place], w=NAMES[witness]
    )
    opener, closer = OPENERS[language][pick[3] % 8], CLOSERS[language][pick[4] % 8]
    phrase = misspell(core, rng, typos)
    if pick[5] % 2:  # mistyped anew: the shipped encoder was trained on texts drawn in this order
        phrase = misspell(core, rng, typos)
    phrase = obfuscation(phrase) if obfuscation else phrase
    parts = [f"{note}:", opener, phrase, closer] if pick[5] % 2 else [opener, phrase, closer, f"({note})"]
    return " ".join(part for part in parts if part)


def misspell(text: str, rng: np.random.Generator, rate: float) -> str:
    """Return a text with a share `rate` of its longer words mistyped: two letters swapped, one dropped, doubled or wrong."""
    words = text.split(" ")
    for n in np.flatnonzero(rng.random(len(words)) < rate):
        word = words[n]
        if len(word) < 4 or "://" in word:  # an address leads nowhere with one letter wrong
            continue
        at, kind = int(rng.integers(1, len(word) - 1)), int(rng.integers(4))
        middle = (word[at + 1] + word[at], word[at + 1], word[at] * 2 + word[at + 1], _letter(rng) + word[at + 1])[kind]
        words[n] = word[:at] + middle + word[at + 2 :]
    return " ".join(words)


def _letter(rng: np.random.Generator) -> str:
    return string.ascii_lowercase[int(rng.integers(26))]


def _digits(number: int) -> tuple[int, int, int]:
    number, place = divmod(number, len(PLACES))
    witness, minute = divmod(number, 1440)
    return place, minute, witness


_PHRASINGS = [[words.split("|") for words in PHRASES.get(name, ())] for name in UTTERANCES]
assert set(PHRASES) == set(UTTERANCES) - {"absent"}
assert all(len(p) == len(LANGUAGE_TAGS) for p in PHRASES.values())
