"""Samples of the synthetic world: the same again, fresh everywhere, and silent about labels but by their causes."""

from __future__ import annotations

import difflib
import io
import math
import re
import tracemalloc
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

from workbench.corpora import synthetic
from workbench.corpora.synthetic import CHUNK, SourceOptions, phrases, pictures
from workbench.corpora.synthetic.world import LABELS, LANGUAGE_TAGS, UTTERANCES
from workbench.schema import Label, Taxonomy, WorkbenchError, corpus_schema, label_matrix

TAXONOMY = Taxonomy.load()
INFORMATION = ("none", "text", "image", "text+image", "late-fusion")


def taxonomy(*names: str) -> Taxonomy:
    return Taxonomy(labels=tuple(Label(name=name, title=name, definition="...") for name in names))


def build(labels: Taxonomy = TAXONOMY, **options) -> pa.Table:
    return synthetic.build(SourceOptions.parse(options, "corpus"), labels)


@pytest.fixture(scope="module")
def sample() -> pa.Table:
    """6,000 posts with real pictures, half of them pairs and a quarter of them harmful."""
    return build(posts=6000, seed=3, oversample={"paired": 0.5, "harm": 0.25})


@pytest.fixture
def quick(monkeypatch):
    """Make the same posts with an empty picture each, which is most of the time."""
    monkeypatch.setattr(pictures, "draw", lambda *_: None)
    monkeypatch.setattr(pictures, "encode", lambda *_: b"\xff\xd8")


def image_bytes(table: pa.Table) -> list[bytes | None]:
    return pc.struct_field(table["image"], "bytes").to_pylist()


def truth(table: pa.Table, information: str, labels: tuple[str, ...] = LABELS) -> np.ndarray:
    return np.stack([pc.struct_field(table["truth"], [information, name]).to_numpy() for name in labels], 1)


def firsts(table: pa.Table) -> np.ndarray:
    """The row of the first post of every group, in order."""
    return np.sort(np.unique(table["group"].to_numpy(), return_index=True)[1])


def note(text: str) -> tuple[str, str, str]:
    """The minute, the place and the witness of a text."""
    minute, place = re.search(r"\d\d:\d\d", text)[0], re.search(r"\w+burg", text)[0]
    names = re.findall(r"\b(?:with|con|mit|dice|sagt) (\w+)|(\w+) says", text)
    return minute, place, "".join(names[0])


# ----------------------------------------------------------------------------------------------------------- schema


def test_columns_are_those_of_every_corpus(sample):
    assert sample.schema.names == [*corpus_schema(TAXONOMY).names, "truth"]
    for field in corpus_schema(TAXONOMY):
        assert sample.schema.field(field.name).type == field.type
    for name in ("post_id", "group", "weight", "author", "engagement", "community", "language", "region", "created_at"):
        assert sample[name].null_count == 0
    assert [field.name for field in sample.schema.field("truth").type] == list(INFORMATION)
    text, image = (np.array(sample[name].is_valid()) for name in ("text", "image"))
    assert (text | image).all()
    assert (text & image).mean() == pytest.approx(0.5, abs=0.03)
    assert sample["video"].null_count == sample["split"].null_count == 6000
    assert len(set(sample["post_id"].to_pylist())) == 6000
    for data in image_bytes(sample.slice(0, 40)):
        if data:
            picture = Image.open(io.BytesIO(data))
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (64, 64))


def test_the_truth_is_a_probability_and_knows_more_with_more_to_see(sample):
    y = label_matrix(sample, TAXONOMY)[0]
    loss = {}
    for name in INFORMATION:
        p = truth(sample, name, TAXONOMY.names)
        assert 0 < p.min() <= p.max() < 1
        loss[name] = -np.log(np.where(y > 0, p, 1 - p)).mean()
    assert loss["text+image"] < loss["late-fusion"] < min(loss["text"], loss["image"])
    assert max(loss["text"], loss["image"]) < loss["none"]


def test_what_the_world_has_no_table_for_stays_unknown():
    known = build(posts=200)
    more = build(taxonomy("spam", "violence", "abuse"), posts=200)
    assert [field.name for field in more.schema.field("labels").type] == ["spam", "violence", "abuse"]
    assert pc.struct_field(more["labels"], "spam").null_count == 200
    for name in ("violence", "abuse"):  # by name, whatever the order
        assert pc.struct_field(more["labels"], name).equals(pc.struct_field(known["labels"], name))
        assert (truth(more, "text", (name,)) == truth(known, "text", (name,))).all()
    assert {field.name for field in more.schema.field("truth").type.field("text").type} == {"violence", "abuse"}
    assert not label_matrix(more, taxonomy("spam", "violence", "abuse"))[1][:, 0].any()
    other = build(taxonomy("spam"), posts=20)
    assert "truth" not in other.column_names
    assert pc.struct_field(other["labels"], "spam").null_count == 20


# ------------------------------------------------------------------------------------------------------ determinism


def test_the_same_options_give_the_same_posts_and_another_seed_none_of_them():
    one, again, other = (build(posts=400, seed=seed) for seed in (7, 7, 8))
    assert one.equals(again)
    for name in ("post_id", "group", "text"):
        assert not set(one[name].drop_null().to_pylist()) & set(other[name].drop_null().to_pylist())
    assert not set(image_bytes(one)) & set(image_bytes(other)) - {None}


def test_a_smaller_sample_is_the_beginning_of_a_larger_one():
    large = build(posts=CHUNK + 900, reposts=0.5)
    for posts in (1, 333, CHUNK, CHUNK + 301):
        assert build(posts=posts, reposts=0.5).equals(large.slice(0, posts))


def test_difficulty_changes_what_posts_look_like_and_nothing_else():
    def cores(table):
        words = [
            re.escape(core).replace(r"\{n\}", "[A-Z][a-z]+") for three in phrases.PHRASES.values() for core in three
        ]
        pattern = re.compile("|".join(words).replace(r"\|", "|"))
        texts = [table["text"][int(row)].as_py() for row in firsts(table)]
        return np.mean([bool(pattern.search(text)) for text in texts if text])

    easy, hard = (build(posts=900, difficulty=value, oversample={"paired": 0.5}) for value in (0.0, 1.0))
    for name in set(easy.column_names) - {"text", "image"}:
        assert easy[name].equals(hard[name]), name
    assert cores(easy) == 1  # without typing errors, every text holds a phrase of the world
    assert 0.2 < cores(hard) < 0.6  # with an error in each fifth word (0.8 to the power of 3 or 4 longer words is 0.45)
    size = [np.mean([len(data) for data in image_bytes(table) if data]) for table in (easy, hard)]
    assert size[1] > 1.15 * size[0]  # clutter and grain cost bytes


def test_the_digest_tells_options_and_labels_apart():
    of = synthetic.digest
    base = of(SourceOptions(), TAXONOMY)
    assert base == of(SourceOptions(seed=7), TAXONOMY)
    others = [SourceOptions(seed=8), SourceOptions(shares={"pair": 0.4}), SourceOptions(oversample={"harm": 0.2})]
    assert len({base, *(of(options, TAXONOMY) for options in others), of(SourceOptions(), taxonomy("abuse"))}) == 5


# ----------------------------------------------------------------------------------------------------- fresh surfaces


def test_nothing_repeats_outside_a_family_in_30000_texts(quick):
    table = build(posts=30_000, oversample={"paired": 0.3, "harm": 0.2})
    owner: dict[str, str] = {}
    notes: dict[tuple, str] = {}
    for text, group in zip(table["text"].to_pylist(), table["group"].to_pylist(), strict=True):
        if text is not None:
            assert owner.setdefault(" ".join(text.casefold().split()), group) == group
    rows = firsts(table)
    for text, group in zip(table["text"].take(rows).to_pylist(), table["group"].take(rows).to_pylist(), strict=True):
        if text is not None:  # minute, place and witness together are a post's own: not even near repeats
            assert notes.setdefault(note(text), group) == group
    assert len(notes) > 20_000


def test_samples_of_two_seeds_share_no_note(quick):
    def notes(seed: int) -> set:
        table = build(posts=2000, seed=seed)
        return {note(text) for text in table["text"].take(firsts(table)).to_pylist() if text}

    found = [notes(seed) for seed in (7, 8, 9)]
    assert len(set.union(*found)) == sum(map(len, found))


def test_pictures_are_alike_inside_a_family_only(sample):
    shown = [
        (data, group) for data, group in zip(image_bytes(sample), sample["group"].to_pylist(), strict=True) if data
    ]
    small = np.stack([np.asarray(Image.open(io.BytesIO(data)).reduce(4), np.float32).ravel() for data, _ in shown])
    group = np.array([group for _, group in shown])
    square = (small**2).sum(1)
    apart = np.sqrt(np.maximum(square[:, None] + square - 2 * small @ small.T, 0) / small.shape[1])  # grey levels
    family = group[:, None] == group
    assert apart[~family].min() > 10
    assert apart[family].max() < 8
    assert len({data for data, _ in shown}) > len(set(group))  # some reposts are encoded again


def test_a_family_shares_its_causes_and_each_post_has_its_own_author(quick):
    table = build(posts=12_000, reposts=0.3, oversample={"harm": 0.4})
    groups = defaultdict(list)
    for n, row in enumerate(table.select(["text", "group", "language", "region", "author", "labels"]).to_pylist()):
        groups[row["group"]].append((n, row))
    sizes = np.bincount([len(rows) for rows in groups.values()])
    assert len(sizes) == 4  # one to three posts
    assert 1 - sizes[1] / sizes.sum() == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / sizes.sum()))
    assert sizes[2] == pytest.approx(sizes[3], rel=0.15)
    edited, same_author, same_trait, moved = [], [], [], []
    for rows in groups.values():
        first = rows[0][0]
        assert [n for n, _ in rows] == list(range(first, first + len(rows)))
        assert first // CHUNK == rows[-1][0] // CHUNK  # none crosses the edge of a chunk
        for _, row in rows[1:]:
            assert all(row[name] == rows[0][1][name] for name in ("language", "region"))
            same_author.append(row["author"]["id"] == rows[0][1]["author"]["id"])
            same_trait.append(row["author"]["id"][1] == rows[0][1]["author"]["id"][1])
            moved.append(row["labels"] != rows[0][1]["labels"])
            if row["text"] is not None:
                edited.append(row["text"] != rows[0][1]["text"])
                assert difflib.SequenceMatcher(None, row["text"], rows[0][1]["text"]).ratio() > 0.8
    assert 0.3 < np.mean(edited) < 0.55  # half get a tenth of their longer words mistyped
    assert np.mean(same_author) < 0.01
    assert np.mean(same_trait) == pytest.approx(0.9**2 + 0.1**2, abs=0.03)
    assert 0 < np.mean(moved) < 0.01  # labels move with the trait alone: 0.4 posts x 0.18 x 0.03 = 0.002


def test_an_authors_numbers_stay_and_tell_the_trait_only(quick):
    table = build(posts=12_000)
    people = defaultdict(set)
    for author in table["author"].to_pylist():
        people[author["id"]].add(tuple(author.values()))
    assert all(len(found) == 1 for found in people.values())
    prone = np.array([name[1] == "p" for name in pc.struct_field(table["author"], "id").to_pylist()])
    assert prone.mean() == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / 12_000))
    reports = pc.struct_field(table["author"], "prior_reports").to_numpy()
    assert reports[prone].mean() > 2 * reports[~prone].mean()
    when = table["created_at"].to_numpy()
    assert (np.diff(when) >= np.timedelta64(0)).all()


# ------------------------------------------------------------------------------------------------ labels and weights


@pytest.mark.parametrize(
    ("oversample", "harm", "paired"),
    [({}, 0.03, 0.1), ({"paired": 0.7, "harm": 0.25}, 0.25, 0.7)],
    ids=["site", "study"],
)
def test_harm_and_pairs_are_as_frequent_as_asked_and_weights_give_the_site(quick, oversample, harm, paired):
    table = build(posts=30_000, prevalence=0.03, oversample=oversample)
    table = table.take(firsts(table))  # independent posts
    n, weight, any_label = len(table), table["weight"].to_numpy(), label_matrix(table, TAXONOMY)[0].any(1)
    pair = np.array(table["text"].is_valid()) & np.array(table["image"].is_valid())
    assert any_label.mean() == pytest.approx(harm, abs=4 * math.sqrt(harm * (1 - harm) / n))
    assert pair.mean() == pytest.approx(paired, abs=4 * math.sqrt(paired * (1 - paired) / n))
    for f, at_site in ((any_label, 0.03), (pair, 0.1), (~pair, 0.9)):
        assert (weight * f).mean() == pytest.approx(at_site, abs=4 * np.std(weight * f) / math.sqrt(n))


def test_labels_of_posts_are_as_frequent_as_their_truth_says(quick):
    table = build(posts=30_000, oversample={"paired": 0.6, "harm": 0.3}, reposts=0.2)
    first = np.zeros(len(table), bool)
    first[firsts(table)] = True
    last = np.r_[first[1:], True] & ~first  # of the reposts, one of each family: posts of a family are not independent
    y = label_matrix(table, taxonomy(*LABELS))[0]
    for information in INFORMATION:
        for rows in (first, last):
            for k in range(4):
                p = truth(table, information)[rows, k]
                value, cell = np.unique(np.round(p, 6), return_inverse=True)
                n, hits = np.bincount(cell), np.bincount(cell, y[rows, k])
                z = (hits - n * value) / np.sqrt(n * value * (1 - value))
                assert np.abs(z[n * value > 20]).max() < 4.2, (information, LABELS[k])


def scores_against(residual: np.ndarray, variance: np.ndarray, x: np.ndarray) -> np.ndarray:
    """How many standard errors (n_labels,) the residuals (n_posts, n_labels) lean towards an observation (n_posts,)."""
    x = (x - x.mean()) / x.std()
    return x @ residual / np.sqrt(np.square(x) @ variance)


def observations(table: pa.Table) -> dict[str, dict[str, np.ndarray]]:
    """What can be seen of posts beside their causes, by what it is seen on: the site, the text or the picture."""
    texts = [text or "" for text in table["text"].to_pylist()]
    images = [data or b"" for data in image_bytes(table)]
    _, of, size = np.unique(table["group"].to_numpy(), return_inverse=True, return_counts=True)
    order, seconds = np.arange(len(table)), table["created_at"].to_numpy().astype("datetime64[s]").astype(np.int64)
    number = np.array([int(name[2:]) for name in pc.struct_field(table["author"], "id").to_pylist()])
    site = {name: pc.struct_field(table["engagement"], name).to_numpy() for name in ("reactions", "impressions")}
    site |= {"reported": pc.struct_field(table["engagement"], "reports").to_numpy() > 0}
    site |= {f"in {name}": np.array(table["community"]) == name for name in synthetic.COMMUNITIES}
    site |= {"author": number, "odd author": number % 2, "order": order, "odd order": order % 2}
    site |= {"family": size[of], "wait": seconds - 37 * order}
    text = {"letters": [len(text) for text in texts], "capitals": [sum(map(str.isupper, text)) for text in texts]}
    text |= {"minute": [int((re.findall(r"(\d\d):\d\d", text) or [12])[0]) for text in texts]}
    text |= {"note first": [bool(re.search(r"\d\d:\d\d.*:", text)) for text in texts]}
    image = {"bytes": [len(data) for data in images]}
    image |= {"quality": [sum(data[25:89]) for data in images]}  # the first table of quantisation
    return {"none": site, "text": text, "image": image}


def leanings(table: pa.Table, information: str, planted: float = 0.0) -> dict[str, float]:
    """How many standard errors each observation leans towards any label; `planted` adds harm to it, in deviations."""
    first, p = firsts(table), truth(table, information)[firsts(table)]
    y, found = label_matrix(table, taxonomy(*LABELS))[0][first], {}
    for name, values in observations(table)[information].items():
        x = np.asarray(values, float)[first]
        found[name] = np.abs(scores_against(y - p, p * (1 - p), x + planted * x.std() * y.any(1))).max()
    return found


def test_nothing_but_the_causes_says_anything_about_labels(sample, quick):
    many = build(posts=30_000, seed=4, oversample={"paired": 0.5, "harm": 0.25})
    for table, information in ((many, "none"), (many, "text"), (sample, "image")):
        assert {name: z for name, z in leanings(table, information).items() if z > 4} == {}
        assert min(leanings(table, information, planted=0.5).values()) > 4  # so much would be noticed


# -------------------------------------------------------------------------------------------------------- streaming


def test_a_stream_holds_one_batch(quick):
    stream = synthetic.stream(SourceOptions(posts=100_000_000), TAXONOMY)  # starts at once, however long
    held, arrow = [], []
    assert next(stream).num_rows == CHUNK
    tracemalloc.start()
    try:
        for _ in range(4):
            batch = next(stream)
            assert batch.num_rows == CHUNK
            del batch
            held.append(tracemalloc.get_traced_memory()[0])
            arrow.append(pa.total_allocated_bytes())
    finally:
        tracemalloc.stop()
    assert held[-1] - held[0] < 2**19  # a batch of texts alone takes more
    assert arrow[-1] - arrow[0] < 2**19


def test_batches_are_the_table():
    options = SourceOptions(posts=CHUNK + 50)
    batches = list(synthetic.stream(options, TAXONOMY))
    assert [batch.num_rows for batch in batches] == [CHUNK, 50]
    assert pa.Table.from_batches(batches).equals(synthetic.build(options, TAXONOMY))


# ---------------------------------------------------------------------------------------------------------- surfaces


def test_every_utterance_is_said_in_every_language():
    rng = np.random.default_rng(0)
    said = {
        (u, language): phrases.say(u, language, 17 * u, rng, 0.0)
        for u in range(1, len(UTTERANCES))
        for language in range(len(LANGUAGE_TAGS))
    }
    assert len(set(said.values())) == len(said) == 3 * (len(UTTERANCES) - 1)
    assert not [text for text in said.values() if re.search(r"[{}|]", text)]
    first, last = (phrases.say(3, 0, index, rng, 0.0) for index in (0, phrases.SURFACES - 1))
    assert note(first) != note(last)


def test_no_two_utterances_share_a_phrase():
    owner = defaultdict(set)
    for utterance, three in phrases.PHRASES.items():
        for core in "|".join(three).split("|"):
            owner[core.casefold()].add(utterance)
    assert [core for core, found in owner.items() if len(found) > 1] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"posts": 0}, ["posts", "greater than or equal to 1", "got 0"]),
        ({"seed": 2**32}, ["seed", "less than 4294967296"]),
        ({"shares": {"pairs": 0.5}}, ["shares: unknown key 'pairs'", "did you mean 'pair'"]),
        ({"oversample": {"harm": 0.95}}, ["`oversample.harm` is 0.95", "choose a share in between"]),
        ({"prevalence": 0.001}, ["`prevalence` is 0.001", "between 0.0060"]),
    ],
)
def test_what_cannot_be_is_one_sentence(options, words):
    with pytest.raises(WorkbenchError) as error:
        build(**{"posts": 10} | options)
    assert "\n" not in str(error.value)
    for part in words:
        assert part in str(error.value)
