"""What the suite says that the synthetic world never does: negations, quotations, mentions, invented groups of people.

Each is a frame around, or in place of, what an intent says in `synthetic.phrases`, in the world's three languages (en,
es, de). None attacks anybody: to deny, to reject or to mention is not to do. {n} takes a name, {said} an utterance.
"""

from __future__ import annotations

from workbench.corpora.synthetic.causes import LANGUAGE_TAGS, TEXT_HARM

NEGATIONS: dict[str, tuple[str, str, str]] = {
    "insult": (
        "{n}, you are not stupid and everybody knows",
        "{n}, no eres estúpido y todos lo saben",
        "{n}, du bist nicht dumm und alle wissen es",
    ),
    "exclusion": (
        "nobody should send people like {n} away",
        "nadie debería echar a gente como {n}",
        "niemand soll Leute wie {n} wegschicken",
    ),
    "solicitation": (
        "I never sell peach clips or private pictures",
        "nunca vendo videos de durazno ni fotos privadas",
        "ich verkaufe nie Pfirsichclips oder private Bilder",
    ),
    "undressing": (
        "nobody drops the curtain here, {n}",
        "aquí nadie baja el telón, {n}",
        "hier lässt niemand den Vorhang fallen, {n}",
    ),
    "beating": (
        "nobody should ever give {n} a beating",
        "nadie debería darle nunca una paliza a {n}",
        "niemand sollte {n} je verprügeln",
    ),
    "smashing": (
        "we do not smash the shop, leave the hammers at home",
        "no rompemos la tienda, dejen los martillos en casa",
        "wir zerlegen den Laden nicht, lasst die Hämmer daheim",
    ),
    "cure": (
        "no pill cures everything, hospitals hide nothing",
        "ninguna pastilla lo cura todo, los hospitales no ocultan nada",
        "keine Pille heilt alles, Kliniken verschweigen nichts",
    ),
    "ballot": (
        "the vote was not moved to Thursday, do not stay home",
        "la votación no pasó al jueves, no se queden en casa",
        "die Wahl ist nicht auf Donnerstag verlegt, bleibt nicht daheim",
    ),
}
MENTIONS: dict[str, tuple[str, str, str]] = {
    "insult": (
        "the clown at the fair dropped his hat and everybody laughed",
        "al payaso de la feria se le cayó el sombrero y todos rieron",
        "dem Clown auf dem Jahrmarkt fiel der Hut herunter und alle lachten",
    ),
    "exclusion": (
        "dogs are not allowed in here, people like it that way",
        "aquí no pueden entrar perros, a la gente le gusta así",
        "Hunde dürfen hier nicht rein, die Leute mögen das so",
    ),
    "solicitation": (
        "the market is selling peach jam late tonight",
        "el mercado vende mermelada de durazno hasta tarde",
        "der Markt verkauft heute spät Pfirsichmarmelade",
    ),
    "undressing": (
        "new curtain for the kitchen, and the radio is on",
        "cortina nueva en la cocina y la radio encendida",
        "neuer Vorhang für die Küche, und das Radio läuft",
    ),
    "beating": (
        "beating the eggs properly takes a minute",
        "batir bien los huevos lleva un minuto",
        "die Eier ordentlich schlagen dauert eine Minute",
    ),
    "smashing": (
        "the shop has hammers and window frames again",
        "la tienda tiene otra vez martillos y marcos de ventana",
        "der Laden hat wieder Hämmer und Fensterrahmen",
    ),
    "cure": (
        "the hospital gave my aunt a pill and a glass of water",
        "el hospital le dio a mi tía una pastilla y un vaso de agua",
        "die Klinik gab meiner Tante eine Pille und ein Glas Wasser",
    ),
    "ballot": (
        "the vote is on Thursday and ballots are blue this year",
        "la votación es el jueves y las papeletas son azules este año",
        "die Wahl ist am Donnerstag und die Stimmzettel sind dieses Jahr blau",
    ),
}
QUOTATIONS = (
    ('somebody wrote "{said}", nobody should talk like that', 'whoever says "{said}" is wrong, please stop it'),
    ('alguien escribió "{said}", nadie debería hablar así', 'quien dice "{said}" se equivoca, basta ya'),
    ('jemand schrieb "{said}", so sollte niemand reden', 'wer "{said}" sagt, liegt falsch, hört bitte auf'),
)
GROUPS = ("Lantari", "Morvani", "Keldori", "Suvani", "Tarelli", "Osmeri")
ARTICLES = ("the", "los", "die")
NEUTRAL = (
    "{n} baked bread for the whole street",
    "{n} hornearon pan para toda la calle",
    "{n} haben Brot für die ganze Straße gebacken",
)
assert set(NEGATIONS) == set(MENTIONS) == set(TEXT_HARM)
assert all(len(ways) == len(LANGUAGE_TAGS) for ways in (*NEGATIONS.values(), *MENTIONS.values(), QUOTATIONS, ARTICLES))
