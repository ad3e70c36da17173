"""Does a model see who is meant? Pairs of sentences with one rude word: about a person (abuse), about a thing (none).

In half of the pairs the two sentences have the *same* words: "you are stupid and the lock is fine" against "you are
fine and the lock is stupid". Whatever weighs single words gives both the same score, so it ranks half of them rightly
and no more. In the other half only the rude word is the same ("you are stupid" against "the lock is stupid"); there the
words beside it give the answer away, and a bag of words may well get it right.

Sentences to train on and to test with come from different frames; subjects and adjectives are the same, else nothing
could be known about them. English only, and mild on purpose: what is tested is the use of order, not vocabulary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from workbench import models
from workbench.metrics.intervals import wilson
from workbench.schema import Taxonomy, corpus_schema

KINDS = ("same words", "other words")
PEOPLE = ("you are", "he is", "my neighbour is", "you guys were", "she was")
THINGS = ("the lock is", "this printer is", "my old shoes are", "the weather was", "these boxes were")
RUDE = ("stupid", "useless", "pathetic", "worthless", "disgusting")
KIND = ("fine", "great", "ready", "new", "lovely")
FRAMES = {  # split -> frames of two clauses, frames of one
    "train": (("{} and {}", "well , {} but {}", "today {} , {}", "{} ; also {}"), ("{}", "well , {}", "{} today")),
    "test": (("{} while {}", "honestly {} , and then {}", "{} . really , {}"), ("honestly {}", "{} , really")),
}
TIE = 1e-6  # logits closer than this are one score in another order of adding up


class ContextPairs(NamedTuple):
    """Sentence pairs: the abusive and the harmless one of each (n_pairs,), and its kind."""

    abusive: list[str]
    harmless: list[str]
    kind: np.ndarray


def pairs(n: int, split: str, seed: int) -> ContextPairs:
    """Return n pairs from the frames of `train` or `test`, the two kinds in turn."""
    rng = np.random.default_rng([seed, split == "test"])
    two, single = FRAMES[split]
    cases = ContextPairs([], [], np.array([KINDS[i % 2] for i in range(n)]))
    for kind in cases.kind:
        person, thing, rude, kind_word = (str(rng.choice(words)) for words in (PEOPLE, THINGS, RUDE, KIND))
        if kind == KINDS[0]:
            frame, order = str(rng.choice(two)), rng.permutation(2)
            for texts, of_person, of_thing in ((cases.abusive, rude, kind_word), (cases.harmless, kind_word, rude)):
                clauses = (f"{person} {of_person}", f"{thing} {of_thing}")
                texts.append(frame.format(*(clauses[i] for i in order)))
        else:
            frame = str(rng.choice(single))
            cases.abusive.append(frame.format(f"{person} {rude}"))
            cases.harmless.append(frame.format(f"{thing} {rude}"))
    return cases


def table(cases: ContextPairs, label: str, taxonomy: Taxonomy) -> pa.Table:
    """Return the sentences as a corpus in which only `label` is known, a pair being a group.

    Every pair brings two kind sentences too, harmless about a person and about a thing, so that a person alone is no
    abuse.
    """
    rng = np.random.default_rng(len(cases.abusive))
    rows: list[dict[str, Any]] = []
    for number, (abusive, harmless) in enumerate(zip(cases.abusive, cases.harmless, strict=True)):
        kind = [f"{rng.choice(subjects)} {rng.choice(KIND)}" for subjects in (PEOPLE, THINGS)]
        for place, (text, holds) in enumerate([(abusive, True), (harmless, False), *((text, False) for text in kind)]):
            labels = {name: holds if name == label else None for name in taxonomy.names}
            ids = {"post_id": f"{number}-{place}", "group": f"{number}"}
            rows.append({**ids, "text": text, "weight": 1.0, "labels": labels})
    return pa.Table.from_pylist(rows, schema=corpus_schema(taxonomy))


def ranked(model: models.Classifier, cases: ContextPairs, label: str) -> dict[str, float]:
    """Return the share of pairs of each kind whose abusive sentence scores higher, ties half, with Wilson's interval.

    Keys: the kinds, and for each its bounds, as in "same words lo" and "same words hi".
    """
    k, schema = model.taxonomy.names.index(label), corpus_schema(model.taxonomy)
    high, low = (
        model.logits(pa.Table.from_pylist([{"text": text} for text in texts], schema=schema))[:, k]
        for texts in (cases.abusive, cases.harmless)
    )
    right = np.where(np.abs(high - low) < TIE, 0.5, high > low)
    out: dict[str, float] = {}
    for kind in KINDS:
        some = right[cases.kind == kind]
        lo, hi = wilson(some.sum(), len(some))
        out |= {kind: float(some.mean()), f"{kind} lo": lo, f"{kind} hi": hi}
    return out


def trained(options: dict[str, Any], n: int, label: str, taxonomy: Taxonomy, seed: int) -> models.Classifier:
    """Return a `text-tokens` trained on n pairs from the training frames; a quarter as many more stop it."""
    train, held_out = (table(pairs(size, "train", s), label, taxonomy) for size, s in ((n, seed), (n // 4, seed + 1)))
    model = models.create("text-tokens", options, taxonomy=taxonomy, store=None)
    return model.fit(train, held_out, seed=seed)
