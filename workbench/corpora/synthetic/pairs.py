"""Unlabelled pairs of the synthetic world, for training an encoder: (picture, caption) and (text, paraphrase).

Seeds are disjoint from every corpus by construction: the third number that seeds a corpus is 2, that of these is 1. Who
trains on these pairs has seen the world's causes, though none of its labels: the encoder's card says so.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from workbench.corpora.synthetic import phrases, pictures
from workbench.corpora.synthetic.causes import LANGUAGE_TAGS, SCENES, UTTERANCES

_CAPTIONS, _NOUNS = phrases.WORDS["captions"], [nouns.split() for nouns in phrases.WORDS["nouns"]]
assert all(len(nouns) == len(SCENES) - 1 for nouns in _NOUNS)


class Pairs(NamedTuple):
    """n pictures with captions and n texts with paraphrases; scene and utterance tell what each shows or means."""

    images: list[bytes]
    captions: list[str]
    texts: list[str]
    paraphrases: list[str]
    scene: np.ndarray
    utterance: np.ndarray


def pairs(n: int, seed: int, difficulty: float = 0.5) -> Pairs:
    """Return n of each kind of pair, scenes and utterances equally frequent, JPEG bytes as in a corpus."""
    rng = np.random.default_rng([seed, n, 1])
    scene, utterance = rng.integers(1, len(SCENES), n), rng.integers(1, len(UTTERANCES), n)
    images = [pictures.encode(pictures.draw(s, rng, difficulty), rng) for s in scene]
    captions = []
    for s in scene:
        language, form = int(rng.integers(len(LANGUAGE_TAGS))), int(rng.integers(4))
        captions.append(_CAPTIONS[language][form].format(n=_NOUNS[language][s - 1]))
    index = rng.integers(0, phrases.SURFACES, (2, n))
    language = rng.integers(0, len(LANGUAGE_TAGS), (2, n))
    texts, paraphrases = (
        [phrases.say(*what, rng, 0.2 * difficulty) for what in zip(utterance, language[side], index[side], strict=True)]
        for side in (0, 1)
    )
    return Pairs(images, captions, texts, paraphrases, scene, utterance)
