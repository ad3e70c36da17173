"""The world's probabilities, against a plain enumeration of its causes that shares no formula with the numpy code."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest

from workbench.corpora.synthetic import world as w
from workbench.schema import ROOT, WorkbenchError

FIELDS = tuple(w.FIELDS)
SUBSETS = [chosen for size in range(len(FIELDS) + 1) for chosen in combinations(FIELDS, size)]


class Spec(NamedTuple):
    """What a world is made from."""

    shares: tuple[float, float, float] = (0.5, 0.3, 0.2)
    prevalence: float = 0.03
    paired: float | None = None
    harm: float | None = None


SITE = Spec()
STUDY = Spec(paired=0.7, harm=0.25)  # as the quickstart samples
NO_PAIR = Spec((0.0, 0.3, 0.2), paired=0.7, harm=0.25)
TEXT_ONLY = Spec((0.0, 0.3, 0.0), paired=0.7, harm=0.25)
LESS = Spec((0.2, 0.1, 0.4), prevalence=0.012, paired=0.05, harm=0.4)
NAMED = {"site": SITE, "study": STUDY, "no-pair": NO_PAIR, "text-only": TEXT_ONLY, "less": LESS}
SPECS = pytest.mark.parametrize("spec", NAMED.values(), ids=NAMED)


@cache
def made(spec: Spec) -> w.World:
    return w.World(w.Shares(*spec.shares), *spec[1:])


# --------------------------------------------------------------------------------- the world again, by nested loops


class Case(NamedTuple):
    """One combination of all causes, and how probable it is in a sample."""

    p: float
    pattern: str
    region: str
    language: str
    trait: str
    intent: str
    scene: str
    utterance: str


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@cache
def label_chance(label: str, region: str, trait: str, intent: str, scene: str) -> float:
    """P(label | causes), from the sentences of the design."""
    match = made(SITE).matchings[w.LABELS.index(label)]
    logit = -7.0
    if trait == "prone":
        logit += 0.8 if label == "misinformation" else 0.4
    if w.TEXT_HARM.get(intent) == label:
        logit += 9.5
    if w.IMAGE_HARM.get(scene) == label:
        logit += 9.5
    if label == "abuse" and region == "isles" and intent == "custom":
        logit += 9.5
    for remark, at in zip(w.REMARKS, match, strict=True):
        if intent == remark and scene == w.MATCHABLE[at]:
            logit += 9.5
    return sigmoid(logit)


def contents(pattern: str, harmful: float, shares: tuple[float, float, float]) -> dict[tuple[str, str], float]:
    """P(intent, scene | pattern), where a share `harmful` of the posts is from harmful components."""
    calm = dict.fromkeys(w.TOPICS, 1 / 6.6) | {"banter": 0.5 / 6.6, "custom": 0.1 / 6.6}
    remarks, views = dict.fromkeys(w.REMARKS, 1 / 8), dict.fromkeys(w.VIEWS, 1 / 6)
    shapes = dict.fromkeys(w.MATCHABLE, 1 / 8)
    words, pictures = dict.fromkeys(w.TEXT_HARM, 1 / 8), dict.fromkeys(w.IMAGE_HARM, 1 / 8)
    nothing = {"absent": 1.0}
    rest = 1 - harmful
    if pattern == "text":
        parts = [(harmful, words, nothing), (0.85 * rest, calm, nothing), (0.15 * rest, remarks, nothing)]
    elif pattern == "image":
        parts = [(harmful, nothing, pictures), (0.85 * rest, nothing, views), (0.15 * rest, nothing, shapes)]
    else:
        pair, text, image = (share * harmful for share in shares)
        rest = 1 - 2 * pair - text - image  # half of the 64 pairs of the block are harmful for one of four labels
        parts = [(2 * pair, remarks, shapes), (text, words, views), (image, calm, pictures)]
        parts += [(0.8 * rest, calm, views), (0.1 * rest, remarks, views), (0.1 * rest, calm, shapes)]
    joint: dict[tuple[str, str], float] = defaultdict(float)
    for mass, some, others in parts:
        for intent, p in some.items():
            for scene, q in others.items():
                joint[intent, scene] += mass * p * q
    return joint


def mix(paired: float | None) -> dict[str, float]:
    if paired is None:
        return {"text": 0.8, "image": 0.1, "text+image": 0.1}
    return {"text": (1 - paired) * 8 / 9, "image": (1 - paired) / 9, "text+image": paired}


def any_label(case: Case) -> float:
    return 1 - math.prod(1 - label_chance(label, *case[2:3], *case[4:7]) for label in w.LABELS)


def enumerated(shares: tuple, patterns: dict[str, float], harmful: float) -> Iterator[Case]:
    for pattern, p in patterns.items():
        for (intent, scene), q in contents(pattern, harmful, shares).items():
            said = {intent: 1.0}
            if intent in ("insult", "banter"):
                shared = 0.3 if intent == "insult" else 0.4
                said = {intent: 1 - shared, "walnut": shared}
            for region, r in w.REGIONS.items():
                for language, s in zip(w.LANGUAGE_TAGS, w.LANGUAGES[region], strict=True):
                    for trait, t in (("ordinary", 0.9), ("prone", 0.1)):
                        for utterance, u in said.items():
                            mass = p * q * r * s * t * u
                            yield Case(mass, pattern, region, language, trait, intent, scene, utterance)


@cache
def cases(shares: tuple, paired: float | None, harm: float) -> tuple[Case, ...]:
    """All combinations of causes, with the share of harmful components at which `harm` of the posts have a label."""
    patterns = mix(paired)
    low, high = (sum(c.p * any_label(c) for c in enumerated(shares, patterns, at)) for at in (0.0, 0.2))
    return tuple(c for c in enumerated(shares, patterns, 0.2 * (harm - low) / (high - low)) if c.p > 0)


def sampled(spec: Spec) -> tuple[Case, ...]:
    return cases(spec.shares, spec.paired, spec.prevalence if spec.harm is None else spec.harm)


def latents_of(found: tuple[Case, ...]) -> dict[str, np.ndarray]:
    names = {"pattern": w.PATTERNS, "region": tuple(w.REGIONS), "language": w.LANGUAGE_TAGS, "intent": w.INTENTS}
    names |= {"scene": w.SCENES, "utterance": w.UTTERANCES}
    rows = {axis: np.array([values.index(getattr(c, axis)) for c in found]) for axis, values in names.items()}
    rows["author"] = np.array([int(c.trait == "prone") for c in found])
    return rows | {axis: np.zeros(len(found), int) for axis in ("period", "link", "obfuscation")}


def observed(case: Case, information: tuple[str, ...]) -> tuple:
    """What somebody sees who sees these fields of a post; its pattern is always seen."""
    seen = [case.pattern]
    if "text" in information and case.pattern != "image":
        seen += [case.utterance, case.language]
    if "image" in information and case.pattern != "text":
        seen += [case.scene]
    return (*seen, *(getattr(case, {"author": "trait"}.get(f, f)) for f in information if f not in ("text", "image")))


def posteriors(found: tuple[Case, ...], keys: list) -> np.ndarray:
    """P(label | key) of each case, (n_cases, n_labels), by adding up."""
    total, mass = defaultdict(float), defaultdict(float)
    for case, key in zip(found, keys, strict=True):
        total[key] += case.p
        for label in w.LABELS:
            mass[key, label] += case.p * label_chance(label, case.region, case.trait, case.intent, case.scene)
    return np.array([[mass[key, label] / total[key] for label in w.LABELS] for key in keys])


# ------------------------------------------------------------------------------------------------------------ exact


@SPECS
def test_exact_is_the_sum_over_all_causes(spec):
    found = sampled(spec)
    latents = latents_of(found)
    assert sum(case.p for case in found) == pytest.approx(1, abs=1e-12)
    for information in SUBSETS if spec == STUDY else SUBSETS[:8]:
        brute = posteriors(found, [observed(case, information) for case in found])
        np.testing.assert_allclose(made(spec).posterior(information, latents), brute, rtol=0, atol=1e-12)


@SPECS
def test_late_fusion_is_the_mean_over_pairs_of_equal_posteriors(spec):
    found = sampled(spec)
    text, image = (posteriors(found, [observed(c, (field,)) for c in found]) for field in ("text", "image"))
    signatures = np.hstack([text, image, [[w.PATTERNS.index(c.pattern)] for c in found]])
    alike: list[np.ndarray] = []
    keys = np.empty(len(found), int)
    for n, signature in enumerate(signatures):
        near = [m for m, other in enumerate(alike) if abs(other - signature).max() < 1e-10]
        keys[n] = near[0] if near else len(alike)
        alike += [] if near else [signature]
    brute = posteriors(found, keys.tolist())
    np.testing.assert_allclose(made(spec).late_fusion(latents_of(found)), brute, rtol=0, atol=1e-12)


@SPECS
def test_samples_have_the_asked_harm_and_pairs_and_weights_undo_them(spec):
    world, found = made(spec), sampled(spec)
    index = [(c.pattern, w.INTENTS.index(c.intent), w.SCENES.index(c.scene)) for c in found]
    weight = [world.weights[pattern][intent, scene] for pattern, intent, scene in index]
    prior = defaultdict(float)
    for case, key in zip(found, index, strict=True):
        prior[key] += case.p
    for (pattern, intent, scene), p in prior.items():
        assert world.patterns[pattern] * world.contents[pattern][intent, scene] == pytest.approx(p, abs=1e-13)
    # any function of the causes has the same mean at the site as, weighted, in the sample
    site = cases(spec.shares, None, spec.prevalence)
    for f in (lambda c: 1.0, any_label, lambda c: c.pattern == "image", lambda c: c.intent == "remark-3"):
        assert sum(c.p * g * f(c) for c, g in zip(found, weight, strict=True)) == pytest.approx(
            sum(c.p * f(c) for c in site), abs=1e-12
        )
    assert sum(c.p * any_label(c) for c in site) == pytest.approx(spec.prevalence, abs=1e-12)


@SPECS
def test_no_half_of_the_block_says_anything(spec):
    world = made(spec)
    remarks = [w.UTTERANCES.index(name) for name in w.REMARKS]
    shapes = [w.SCENES.index(name) for name in w.MATCHABLE]
    text, image = world.exact(("text",))["text+image"], world.exact(("image",))["text+image"]
    said = text[:, 0, 0, :, 0, 0, 0, 0, 0][:, :, remarks]  # (label, language, remark)
    shown = image[:, 0, 0, 0, 0, 0, 0, 0, :, 0][:, shapes]  # (label, scene)
    assert np.ptp(said, axis=(1, 2)).max() < 1e-14  # language is one of the things that say nothing here
    assert np.ptp(shown, axis=1).max() < 1e-14
    block = np.ix_([w.INTENTS.index(name) for name in w.REMARKS], shapes)
    assert np.ptp(world.weights["text+image"][block]) == 0  # whoever looks at weights learns nothing either
    table = world.label_table[:, 0, 0][:, block[0], block[1]]  # (label, remark, scene)
    assert ((table > 0.9).sum(1) == 1).all()  # one match for every shape
    assert ((table > 0.9).sum(2) == 1).all()  # and for every remark
    assert ((table > 0.9).sum(0) <= 1).all()  # no pair is the match of two labels, so half of the 64 are harmful
    assert table.min() < 0.001


def test_the_best_fitting_sum_of_two_halves_is_constant_over_the_block():
    from sklearn.linear_model import LogisticRegression

    match = made(SITE).matchings[0]
    pairs = [(i, s, y) for i in range(8) for s in range(8) for y in (0, 1)]
    halves = np.array([np.r_[np.eye(8)[i], np.eye(8)[s]] for i, s, _ in pairs])
    both = np.array([np.outer(np.eye(8)[i], np.eye(8)[s]).ravel() for i, s, _ in pairs])
    truth = [0.92 if match[i] == s else 0.001 for i, s, _ in pairs]
    weight = [p if y else 1 - p for p, (*_, y) in zip(truth, pairs, strict=True)]
    model, y = LogisticRegression(C=1e6, tol=1e-10, max_iter=2000), [y for *_, y in pairs]
    flat, sharp = (model.fit(x, y, weight).predict_proba(x)[:, 1] for x in (halves, both))
    assert flat == pytest.approx(np.full(128, (0.92 + 7 * 0.001) / 8), abs=1e-4)
    assert sharp == pytest.approx(np.array(truth), abs=1e-3)


# --------------------------------------------------------------------------------------------------------- sampling


@pytest.fixture(scope="module", params=["site", "study"])
def drawn(request):
    """200,000 posts of a world with their labels: (spec, latents, y)."""
    spec, rng = NAMED[request.param], np.random.default_rng(5)
    latents = made(spec).draw(200_000, rng)
    return spec, latents, rng.random((200_000, 4)) < made(spec).label_probabilities(latents)


def z_by_value(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How many standard errors the labels y are off, for each value of p with at least 25 positives expected."""
    value, cell = np.unique(np.round(p, 9), return_inverse=True)
    n = np.bincount(cell)
    off = np.bincount(cell, y) - n * value
    return (off / np.sqrt(np.maximum(n * value * (1 - value), 1e-9)))[n * value >= 25]


def test_draws_follow_the_prior(drawn):
    spec, latents, _ = drawn
    expected = defaultdict(float)
    for case in sampled(spec):
        expected[case[1:4] + case[5:]] += case.p
    names = (w.PATTERNS, tuple(w.REGIONS), w.LANGUAGE_TAGS, w.INTENTS, w.SCENES, w.UTTERANCES)
    rows = np.stack([latents[name] for name in ("pattern", "region", "language", "intent", "scene", "utterance")], 1)
    seen, count = np.unique(rows, axis=0, return_counts=True)
    counts = {tuple(v[i] for v, i in zip(names, row, strict=True)): n for row, n in zip(seen, count, strict=True)}
    assert set(counts) <= set(expected)  # nothing that cannot be
    z = [(counts.get(key, 0) - 2e5 * p) / math.sqrt(2e5 * p * (1 - p)) for key, p in expected.items() if 2e5 * p > 20]
    assert len(z) > 300
    assert np.abs(z).max() < 5
    assert np.square(z).mean() == pytest.approx(1, abs=0.25)  # as often off as chance has it, no less and no more


def test_labels_of_draws_are_as_frequent_as_exact_says(drawn):
    spec, latents, y = drawn
    posterior = {information: made(spec).posterior(information, latents) for information in SUBSETS[:16]}
    posterior["late-fusion"] = made(spec).late_fusion(latents)
    for information, p in posterior.items():
        z = np.concatenate([z_by_value(p[:, k], y[:, k]) for k in range(4)])
        assert np.abs(z).max() < 4.5, information
    # ... and the labels are enough to see an error of a tenth
    assert np.abs(z_by_value(posterior["text",][:, 0] * 1.1, y[:, 0])).max() > 4.5


def test_weights_of_draws_add_up_to_the_site(drawn):
    _, latents, y = drawn
    weight = latents["weight"]
    for f, at_site in ((np.ones(len(weight)), 1.0), (y.any(1), 0.03), (latents["pattern"] == 2, 0.1)):
        error = np.std(weight * f) / math.sqrt(len(weight))
        assert np.mean(weight * f) == pytest.approx(at_site, abs=max(4 * error, 1e-12))


# --------------------------------------------------------------------------------------------------------- ceilings


def average_precision(spec: Spec, score: np.ndarray, view: str = "text+image") -> np.ndarray:
    """AP per label over the whole population of a pattern; scores that tie are in random order."""
    found = sampled(spec)
    rows = np.array([case.pattern == view for case in found])
    p = np.array([case.p for case in found])[rows]
    chance = np.array([[label_chance(k, c.region, c.trait, c.intent, c.scene) for k in w.LABELS] for c in found])[rows]
    values, inside = [], (np.arange(400) + 0.5) / 400  # how far into a tie
    for k in range(len(w.LABELS)):
        _, cell = np.unique(-np.round(score[rows, k], 10), return_inverse=True)
        hits, posts = np.bincount(cell, p * chance[:, k]), np.bincount(cell, p)
        before, above = np.cumsum(hits) - hits, np.cumsum(posts) - posts
        precision = (before[:, None] + inside * hits[:, None]) / (above[:, None] + inside * posts[:, None])
        values.append((hits * precision.mean(1)).sum() / hits.sum())
    return np.array(values)


@cache
def ceilings(spec: Spec) -> dict[str, np.ndarray]:
    world, latents = made(spec), latents_of(sampled(spec))
    scores = {name: world.posterior(fields, latents) for name, fields in w.information_sets().items()}
    scores["late-fusion"] = world.late_fusion(latents)
    return {name: average_precision(spec, score) for name, score in scores.items()}


def test_with_pair_only_harm_fusion_of_scores_stays_far_below_the_pair():
    best = {name: values.mean() for name, values in ceilings(STUDY).items()}
    assert best["none"] < best["image"] < best["text"] < best["late-fusion"] - 0.15
    assert best["late-fusion"] < best["text+image"] - 0.25


def test_without_pair_only_harm_late_fusion_can_do_all_that_the_pair_can():
    best = ceilings(NO_PAIR)
    np.testing.assert_allclose(best["late-fusion"], best["text+image"], atol=1e-9)
    assert best["late-fusion"].mean() > max(best["text"].mean(), best["image"].mean()) + 0.2


def test_with_harm_in_texts_only_a_picture_helps_with_the_ambiguous_word_alone():
    # A shape beside "walnut" tells that it is banter: insults come with views. So abuse gains a little, no other label.
    world, found = made(TEXT_ONLY), tuple(case for case in sampled(TEXT_ONLY) if case.pattern == "text+image")
    text, both = (world.posterior(fields, latents_of(found)) for fields in (("text",), ("text", "image")))
    differs = np.abs(text - both) > 1e-12
    assert {(found[n].utterance, w.LABELS[k]) for n, k in np.argwhere(differs)} == {("walnut", "abuse")}
    gain = ceilings(TEXT_ONLY)["text+image"] - ceilings(TEXT_ONLY)["text"]
    assert gain[1:] == pytest.approx(np.zeros(3), abs=1e-9)
    assert 0 < gain[0] < 0.005


def test_the_card_states_these_ceilings():
    card = (ROOT / "data" / "cards" / "synthetic.md").read_text(encoding="utf-8")
    for name, values in ceilings(STUDY).items():
        row = re.search(rf"^\| {re.escape(name)} \|.*$", card, re.MULTILINE)[0]
        assert [float(cell) for cell in row.split("|")[2:4]] == pytest.approx(
            [values.mean(), ceilings(SITE)[name].mean()], abs=0.00051
        )


# ----------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (Spec(prevalence=1e-4), ["`prevalence` is 0.0001", "between 0.0060"]),
        (Spec(harm=0.9), ["`oversample.harm` is 0.9", "choose a share"]),
        (Spec((0, 0, 0), paired=0.9, harm=0.25), ["`oversample.harm` is 0.25", "and 0.09"]),  # a tenth has no pair
        (Spec((1, 1, 1), prevalence=0.45), ["`prevalence` is 0.45"]),
    ],
)
def test_a_share_of_harm_out_of_reach_is_one_sentence(spec, words):
    with pytest.raises(WorkbenchError) as error:
        w.World(w.Shares(*spec.shares), *spec[1:])
    message = str(error.value)
    assert "\n" not in message
    assert not re.search(r"\. [A-Z]", message)
    for part in words:
        assert part in message


def test_an_unknown_field_is_named():
    with pytest.raises(WorkbenchError, match="unknown field 'txt'; did you mean 'text'"):
        made(SITE).exact(("txt",))
