"""The world's probabilities, against a plain list of all causes (`world_by_hand`) that shares no formula with it."""

from __future__ import annotations

import math
import re
import time
from functools import cache
from itertools import combinations, product

import numpy as np
import pytest
import world_by_hand as hand

from workbench.corpora.synthetic import causes as c
from workbench.corpora.synthetic.exact import Exact, LateFusionLimit, Truth, information_sets
from workbench.corpora.synthetic.world import Design, ShareOptions, World
from workbench.errors import WorkbenchError
from workbench.schema import MODALITIES, ROOT

FIELDS = tuple(c.FIELDS)
SUBSETS = [chosen for size in range(len(FIELDS) + 1) for chosen in combinations(FIELDS, size)]
SITE = Design()
STUDY = Design(paired=0.7, harm=0.25)  # as the quickstart samples
NO_PAIR = Design(ShareOptions(pair=0.0, text=0.3, image=0.2), paired=0.7, harm=0.25)
TEXT_ONLY = Design(ShareOptions(pair=0.0, text=0.3, image=0.0), paired=0.7, harm=0.25)
LESS = Design(ShareOptions(pair=0.2, text=0.1, image=0.4), 0.012, 0.05, 0.4, norms=0.3, after=0.6)
CLIPS = Design(paired=0.5, harm=0.3, modalities=("text", "video"))
STILL = Design(harm=0.2, modalities=("text", "image"), norms=0.0, after=0.0)
NAMED = {"site": SITE, "study": STUDY, "no-pair": NO_PAIR, "text-only": TEXT_ONLY}
NAMED |= {"less": LESS, "clips": CLIPS, "still": STILL}
DESIGNS = pytest.mark.parametrize("design", NAMED.values(), ids=NAMED)
PAIRED = [n for n, pattern in enumerate(c.PATTERNS) if "+" in pattern]


@cache
def made(design: Design) -> World:
    return World(design)


@cache
def truth(design: Design) -> Truth:
    return Truth(made(design))


def codes(names: tuple[str, ...], of: tuple[str, ...]) -> list[int]:
    return [of.index(name) for name in names]


# ------------------------------------------------------------------------------------------------------------ exact


def check(design: Design, information: tuple[str, ...]) -> None:
    found = hand.cases(design)
    key, exact = hand.observed(found, information), Exact(made(design), information)
    first = hand.posteriors(found, key)[1]
    latents = {axis: values[first] for axis, values in found.codes.items()}
    for codes, brute in hand.signalled(found, key, information):
        signals = {axis: np.full(len(first), code) for axis, code in codes.items()}
        np.testing.assert_allclose(
            exact.posterior(latents | signals), brute, rtol=0, atol=1e-12, err_msg=str(information)
        )


@DESIGNS
def test_exact_is_the_sum_over_all_causes(design):
    assert hand.cases(design).p.sum() == pytest.approx(1, abs=1e-12)
    for information in [*information_sets().values(), ("text", "engagement"), ("image", "author"), FIELDS]:
        check(design, information)


@pytest.mark.campaign
def test_exact_is_the_sum_over_all_causes_for_every_information_set():
    assert len(SUBSETS) == 128
    for information in SUBSETS:
        check(LESS, information)


@pytest.mark.parametrize("shown", ["", "image", "video"])
def test_exact_is_the_sum_over_all_causes_for_every_information_set_of_a_smaller_site(shown):
    """Together all sets but those of pictures and clips at once, on sites that have no more than one of the two."""
    site = LESS._replace(modalities=("text", *filter(None, [shown])), paired=0.4 if shown else None)
    for information in (chosen for chosen in SUBSETS if {"image", "video"} & {*chosen} == {*filter(None, [shown])}):
        check(site, information)


@DESIGNS
def test_late_fusion_is_the_mean_over_pairs_of_equal_posteriors(design):
    found = hand.cases(design)
    fused = LateFusionLimit(made(design)).posterior(found.codes)
    np.testing.assert_allclose(fused, hand.late_fusion(found), rtol=0, atol=1e-12)


@DESIGNS
def test_samples_have_the_asked_harm_and_pairs_and_weights_undo_them(design):
    world, sample, site = made(design), hand.cells(design), hand.cells(design, site=True)
    weight = {}
    for (t, pattern, intent, scene), p in sample.items():
        at = t, c.PATTERNS.index(pattern), c.INTENTS.index(intent), c.SCENES.index(scene)
        assert world.periods[t] * world.patterns[at[:2]] * world.contents[at] == pytest.approx(p, abs=1e-13)
        weight[t, pattern, intent, scene] = world.weights[at]
    # any function of the causes has the same mean at the site as, weighted, in the sample
    for f in (lambda *_: 1.0, lambda t, p, i, s: hand.any_label(t, i, s, design.norms), lambda t, p, i, s: p == "text"):
        assert sum(p * weight[cell] * f(*cell) for cell, p in sample.items()) == pytest.approx(
            sum(p * f(*cell) for cell, p in site.items()), abs=1e-12
        )
    harmful = sum(p * hand.any_label(t, i, s, design.norms) for (t, _, i, s), p in site.items())
    assert harmful == pytest.approx(design.prevalence, abs=1e-12)
    if design.paired:
        assert sum(p for (_, pattern, *_), p in sample.items() if "+" in pattern) == pytest.approx(design.paired)


def grid(**values: list[int]) -> dict[str, np.ndarray]:
    """Latents of every combination of the given codes; the other axes are 0."""
    rows = np.array(list(product(*values.values())))
    nothing = {axis: np.zeros(len(rows), int) for axis in (*c.AXES, *c.SIGNALS)}
    return nothing | {name: rows[:, n] for n, name in enumerate(values)}


@DESIGNS
def test_no_half_of_the_block_says_anything(design):
    world = made(design)
    there = [n for n in PAIRED if set(c.PATTERNS[n].split("+")) <= set(design.modalities)]
    remarks = codes(c.REMARKS, c.UTTERANCES)
    shapes = codes(c.MATCHABLE, c.SCENES)
    # a link may say something, the same beside any remark; language and obfuscation say nothing here
    said = grid(pattern=there, period=[0, 1], link=[0, 1, 2, 3], reports=[0, 1, 2], utterance=remarks)
    said = {axis: np.repeat(values, 15) for axis, values in said.items()}
    said["language"], said["obfuscation"] = np.indices((3, 5)).reshape(2, -1)[:, np.arange(len(said["link"])) % 15]
    shown = grid(pattern=there, period=[0, 1], reports=[0, 1, 2], scene=shapes)
    for more in ((), ("engagement",)):
        text = Exact(world, ("text", *more)).posterior(said).reshape(len(there), 2, 4, 3, -1, 4)
        vision = Exact(world, ("image", "video", *more)).posterior(shown).reshape(len(there), 2, 3, -1, 4)
        assert np.ptp(text, axis=4).max() < 1e-14
        assert np.ptp(vision, axis=3).max() < 1e-14
    block = np.ix_(codes(c.REMARKS, c.INTENTS), shapes)
    for n in there:
        assert np.ptp(world.weights[0, n][block]) == 0  # whoever looks at weights learns nothing either
    for table in (c.links().swapaxes(0, 1), c.obfuscations()):
        assert np.ptp(table[codes(c.REMARKS, c.INTENTS)], axis=0).max() == 0


def test_the_block_is_a_matching():
    remarks, shapes = codes(c.REMARKS, c.INTENTS), codes(c.MATCHABLE, c.SCENES)
    table = made(SITE).label_table[:, 0, 0, 0][:, *np.ix_(remarks, shapes)]  # (label, remark, scene)
    assert ((table > 0.9).sum(1) == 1).all()  # one match for every shape
    assert ((table > 0.9).sum(2) == 1).all()  # and for every remark
    assert ((table > 0.9).sum(0) <= 1).all()  # no pair is the match of two labels, so half of the 64 are harmful
    assert table.min() < 0.001


def test_a_clips_scene_has_the_terms_of_a_picture_and_none_below_a_calm_view():
    table = made(SITE).label_table
    calm = codes(c.VIEWS, c.SCENES)
    for scene in calm:
        assert (table[..., scene] == table[..., calm[0]]).all()
    assert (table >= table[..., [calm[0]]]).all()  # so that the maximum over frames is the scene's
    world = made(STUDY)
    np.testing.assert_array_equal(world.contents[:, 3], world.contents[:, 4])  # text+image, text+video
    np.testing.assert_array_equal(world.contents[:, 1], world.contents[:, 2])


def test_norms_are_as_strong_as_asked():
    none, half, full = (World(Design(norms=norms)).label_table for norms in (0.0, 0.5, 1.0))
    assert (none == none[:, :1]).all()  # every region the same
    differs = {(label, region, intent) for label, region, intent, _ in c.NORMS}
    for k, r, i in np.ndindex(len(c.LABELS), len(c.REGIONS), len(c.INTENTS)):
        named = c.LABELS[k], tuple(c.REGIONS)[r], c.INTENTS[i]
        assert (full[k, r, :, :, i] != none[k, r, :, :, i]).any() == (named in differs)
    isles, custom = tuple(c.REGIONS).index("isles"), c.INTENTS.index("custom")
    at = (0, isles, 0, 0, custom, 0)
    assert none[at] < half[at] < full[at]
    # a region's norm is in the ceilings through the field `region`, and through the language a little
    latents = grid(pattern=[0], region=[0, 2], utterance=[c.UTTERANCES.index("custom")])
    elsewhere, there = Exact(made(SITE), ("text", "region")).posterior(latents)[:, 0]
    assert elsewhere < 0.01 < 0.9 < there
    assert np.ptp(Exact(World(Design(norms=0.0)), ("text", "region")).posterior(latents)[:, 0]) < 1e-12


def test_after_the_drift_there_are_more_clips_and_a_new_spam():
    world = made(SITE)
    clips = [n for n, pattern in enumerate(c.PATTERNS) if "video" in pattern]
    assert world.patterns[1, clips].sum() == pytest.approx(2 * world.patterns[0, clips].sum())
    spam, short = codes(c.SPAM, c.INTENTS), c.LINKS.index("short")
    assert world.contents[1, 0, spam].sum() > 1.8 * world.contents[0, 0, spam].sum()
    assert (c.links()[1, spam, short] > 3 * c.links()[0, spam, short]).all()
    assert (World(Design(after=0.0)).periods == [1, 0]).all()


def test_all_tables_are_ready_in_two_seconds_and_small():
    world = World(STUDY)
    took = []
    for _ in range(3):
        start = time.process_time()
        found = Truth(world)
        took.append(time.process_time() - start)
    assert len(found.tables) == 16
    assert min(took) < 2
    masses = [table.masses for table in found.tables.values() if isinstance(table, Exact)]
    assert sum(part.nbytes for mass in masses for part in mass.values()) < 50e6


def test_the_best_fitting_sum_of_two_halves_is_constant_over_the_block():
    from sklearn.linear_model import LogisticRegression

    match = made(SITE).matchings[0]
    pairs = [(i, s, y) for i in range(8) for s in range(8) for y in (0, 1)]
    halves = np.array([np.r_[np.eye(8)[i], np.eye(8)[s]] for i, s, _ in pairs])
    both = np.array([np.outer(np.eye(8)[i], np.eye(8)[s]).ravel() for i, s, _ in pairs])
    chance = [0.92 if match[i] == s else 0.001 for i, s, _ in pairs]
    weight = [p if y else 1 - p for p, (*_, y) in zip(chance, pairs, strict=True)]
    model, y = LogisticRegression(C=1e6, tol=1e-10, max_iter=2000), [y for *_, y in pairs]
    flat, sharp = (model.fit(x, y, weight).predict_proba(x)[:, 1] for x in (halves, both))
    assert flat == pytest.approx(np.full(128, (0.92 + 7 * 0.001) / 8), abs=1e-4)
    assert sharp == pytest.approx(np.array(chance), abs=1e-3)


# --------------------------------------------------------------------------------------------------------- sampling


@pytest.fixture(scope="module", params=["site", "study", "less"])
def drawn(request):
    """200,000 posts of a world with their labels: (design, latents, y)."""
    design, rng = NAMED[request.param], np.random.default_rng(5)
    latents = made(design).draw(200_000, rng)
    y = rng.random((200_000, 4)) < made(design).label_probabilities(latents)
    return design, latents | made(design).draw_signals(y[:, 3], rng.random((2, 200_000))), y


def z_by_value(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How many standard errors the labels y are off, for each value of p with at least 25 of either kind expected."""
    value, cell = np.unique(np.round(p, 9), return_inverse=True)
    n = np.bincount(cell)
    off = np.bincount(cell, y) - n * value
    enough = n * np.minimum(value, 1 - value) >= 25
    return (off / np.sqrt(np.maximum(n * value * (1 - value), 1e-9)))[enough]


def numbered(latents: dict[str, np.ndarray], axes: tuple[str, ...]) -> np.ndarray:
    return np.ravel_multi_index([latents[axis] for axis in axes], [hand.SIZES[axis] for axis in axes])


def test_draws_follow_the_prior(drawn):
    design, latents, _ = drawn
    found, z = hand.cases(design), []
    what = ("pattern", "period", "intent", "scene")
    for axes in (
        (*what, "utterance"),
        ("region", "language", "author"),
        ("period", "intent", "link"),
        ("intent", "obfuscation", "utterance"),
        ("region", "intent", "scene", "reports"),
        ("period", "region", "author", "link", "obfuscation"),
    ):
        kind, at = np.unique(numbered(found.codes, axes), return_inverse=True)
        p = np.bincount(at.ravel(), found.p)
        seen = numbered(latents, axes)
        assert np.isin(seen, kind).all()  # nothing that cannot be
        count = np.bincount(np.searchsorted(kind, seen), minlength=len(kind))
        z += ((count - 2e5 * p) / np.sqrt(2e5 * p * (1 - p)))[2e5 * p > 20].tolist()
    assert len(z) > 300
    assert np.abs(z).max() < 5
    assert np.square(z).mean() == pytest.approx(1, abs=0.25)  # as often off as chance has it, no less and no more


def test_labels_of_draws_are_as_frequent_as_exact_says(drawn):
    design, latents, y = drawn
    posterior = truth(design).of(latents)
    for more in (("text", "engagement"), FIELDS):
        posterior["+".join(more)] = Exact(made(design), more).posterior(latents)
    assert len(posterior) == 18
    for information, p in posterior.items():
        z = np.concatenate([z_by_value(p[:, k], y[:, k]) for k in range(4)])
        assert np.abs(z).max() < 4.5, information
    # ... and the labels are enough to see an error of a tenth
    assert np.abs(z_by_value(posterior["text"][:, 0] * 0.9, y[:, 0])).max() > 4.5


def test_weights_of_draws_add_up_to_the_site(drawn):
    design, latents, y = drawn
    weight, paired = latents["weight"], np.isin(latents["pattern"], PAIRED)
    for f, at_site in ((np.ones(len(weight)), 1.0), (y.any(1), design.prevalence), (paired, 0.11)):
        error = np.std(weight * f) / math.sqrt(len(weight))
        assert np.mean(weight * f) == pytest.approx(at_site, abs=max(4 * error, 1e-12))


# --------------------------------------------------------------------------------------------------------- ceilings


@cache
def contents_of(design: Design) -> hand.Cases:
    """The combinations of what text and vision show, with the causes that show nowhere summed out."""
    found = hand.cases(design)
    axes = ("pattern", "period", "language", "link", "obfuscation", "intent", "scene", "utterance")
    _, first, of = np.unique(numbered(found.codes, axes), return_index=True, return_inverse=True)
    p = np.bincount(of.ravel(), found.p)
    chance = np.stack([np.bincount(of.ravel(), found.p * column) / p for column in found.chance.T], 1)
    return hand.Cases(p, {axis: values[first] for axis, values in found.codes.items()}, chance)


def average_precision(found: hand.Cases, score: np.ndarray) -> np.ndarray:
    """AP per label over the whole population of paired posts; scores that tie are in random order."""
    rows = np.isin(found.codes["pattern"], PAIRED)
    p, chance = found.p[rows], found.chance[rows]
    values, inside = [], (np.arange(400) + 0.5) / 400  # how far into a tie
    for k in range(len(c.LABELS)):
        _, cell = np.unique(-np.round(score[rows, k], 10), return_inverse=True)
        hits, posts = np.bincount(cell.ravel(), p * chance[:, k]), np.bincount(cell.ravel(), p)
        before, above = np.cumsum(hits) - hits, np.cumsum(posts) - posts
        precision = (before[:, None] + inside * hits[:, None]) / (above[:, None] + inside * posts[:, None])
        values.append((hits * precision.mean(1)).sum() / hits.sum())
    return np.array(values)


@cache
def ceilings(design: Design) -> dict[str, np.ndarray]:
    """By what is seen of contents alone: the population has no authors, reactions and regions."""
    found, tables = contents_of(design), truth(design).tables
    seen = (*information_sets(), "late-fusion")
    return {name: average_precision(found, tables[name].posterior(found.codes)) for name in seen}


def test_with_pair_only_harm_fusion_of_scores_stays_far_below_the_pair():
    best = {name: values.mean() for name, values in ceilings(STUDY).items()}
    assert best["none"] < best["video"] < best["image"] < best["image+video"] < best["text"]
    assert best["text"] < best["late-fusion"] - 0.15
    assert best["late-fusion"] < best["text+image+video"] - 0.2
    assert best["text"] < best["text+video"] < best["text+image"] < best["text+image+video"]


def test_without_pair_only_harm_late_fusion_can_do_all_that_the_pair_can():
    best = ceilings(NO_PAIR)
    np.testing.assert_allclose(best["late-fusion"], best["text+image+video"], atol=1e-9)
    assert best["late-fusion"].mean() > max(best["text"].mean(), best["image+video"].mean()) + 0.2


def test_with_harm_in_texts_only_a_picture_helps_with_the_ambiguous_word_alone():
    # A shape beside "walnut" tells that it is banter: insults come with views. So abuse gains a little, no other label.
    world, found = made(TEXT_ONLY), contents_of(TEXT_ONLY)
    text, both = (Exact(world, fields).posterior(found.codes) for fields in (("text",), MODALITIES))
    rows, labels = np.nonzero((np.abs(text - both) > 1e-12) & np.isin(found.codes["pattern"], PAIRED)[:, None])
    assert {c.UTTERANCES[n] for n in np.unique(found.codes["utterance"][rows])} == {"walnut"}
    assert {c.LABELS[k] for k in np.unique(labels)} == {"abuse"}
    gain = ceilings(TEXT_ONLY)["text+image+video"] - ceilings(TEXT_ONLY)["text"]
    assert gain[1:] == pytest.approx(np.zeros(3), abs=1e-9)
    assert 0 < gain[0] < 0.005


def test_links_and_disguises_tell_insults_from_banter():
    found = hand.cases(SITE)
    walnut = {axis: values[:1] * 0 for axis, values in found.codes.items()}
    walnut["utterance"] = np.array([c.UTTERANCES.index("walnut")])
    exact = Exact(made(SITE), ("text",))
    plain = exact.posterior(walnut)[0, 0]
    for axis, value in (("link", c.LINKS.index("short")), ("obfuscation", 1)):
        assert exact.posterior(walnut | {axis: np.array([value])})[0, 0] > 5 * plain


def test_the_card_states_these_ceilings():
    card = (ROOT / "data" / "cards" / "synthetic.md").read_text(encoding="utf-8")
    study, site = ceilings(STUDY), ceilings(SITE)
    for name in study:
        row = re.search(rf"^\| {re.escape(name)} \|.*$", card, re.MULTILINE)[0]
        assert [float(cell) for cell in row.split("|")[2:4]] == pytest.approx(
            [study[name].mean(), site[name].mean()], abs=0.00051
        )


# ----------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("design", "words"),
    [
        (Design(prevalence=1e-4), ["`prevalence` is 0.0001", "between 0.00"]),
        (Design(harm=0.9), ["`oversample.harm` is 0.9", "choose a share"]),
        (
            Design(ShareOptions(pair=0, text=0, image=0), paired=0.9, harm=0.25),
            ["`oversample.harm` is 0.25", "and 0.09"],
        ),  # a tenth is alone
        (Design(ShareOptions(pair=1, text=1, image=1), prevalence=0.45), ["`prevalence` is 0.45"]),
        (Design(paired=0.5, modalities=("text",)), ["`oversample.paired` is 0.5", "`modalities`", "leave it out"]),
    ],
)
def test_a_share_out_of_reach_is_one_sentence(design, words):
    with pytest.raises(WorkbenchError) as error:
        World(design)
    message = str(error.value)
    assert "\n" not in message
    assert not re.search(r"\. [A-Z]", message)
    for part in words:
        assert part in message


def test_an_unknown_field_is_named():
    with pytest.raises(WorkbenchError, match="unknown field 'txt'; did you mean 'text'"):
        Exact(made(SITE), ("txt",))
