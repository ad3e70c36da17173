"""Samples of the synthetic world: the same again, fresh everywhere, as asked, and streamed."""

from __future__ import annotations

import difflib
import hashlib
import io
import math
import re
import subprocess
import sys
import time
import tracemalloc
from collections import defaultdict
from datetime import UTC, datetime

import av
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image
from world_samples import ALL, DRIFT, INFORMATION, TAXONOMY, build, firsts, has, media_bytes, note, taxonomy, truth

from workbench.corpora import synthetic
from workbench.corpora.synthetic import CHUNK, SourceOptions, phrases
from workbench.corpora.synthetic.causes import PATTERNS
from workbench.errors import WorkbenchError
from workbench.schema import ROOT, corpus_schema, label_matrix

UNMOVED = {
    "text": "ab5f6a7f8d98a2a0",
    "community": "3c89265924590281",
    "language": "5a84ad40d28c3053",
    "region": "77c6cd36d0e2bc4d",
    "created_at": "e98f424a334c35bb",
    "group": "8dc8712164e7e771",
    "weight": "0446fec26d4cb838",
    "labels": "0480947504a8cbcd",
}
# ----------------------------------------------------------------------------------------------------------- schema


def test_columns_are_those_of_every_corpus(sample):
    assert sample.schema.names == [*corpus_schema(TAXONOMY).names, "truth"]
    for field in corpus_schema(TAXONOMY):
        assert sample.schema.field(field.name).type == field.type
    for name in ("post_id", "group", "weight", "author", "engagement", "community", "language", "region", "created_at"):
        assert sample[name].null_count == 0
    assert [field.name for field in sample.schema.field("truth").type] == list(INFORMATION)
    there = has(sample)
    pattern = ["+".join(name for name in there if there[name][n]) for n in range(len(sample))]
    assert set(pattern) == set(PATTERNS)
    assert (there["text"] & (there["image"] | there["video"])).mean() == pytest.approx(0.5, abs=0.03)
    assert there["video"].sum() == pytest.approx(there["image"].sum() * 3 / 8, rel=0.2)
    assert sample["split"].null_count == 4000
    assert len(set(sample["post_id"].to_pylist())) == 4000
    for data in media_bytes(sample.slice(0, 40), "image"):
        if data:
            picture = Image.open(io.BytesIO(data))
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (64, 64))
    kinds = set()
    for data in media_bytes(sample.slice(0, 400), "video"):
        if data:
            with av.open(io.BytesIO(data)) as file:
                frames = list(file.decode(video=0))
                kinds.add((file.format.name.split(",")[0], file.streams.video[0].codec_context.name))
                assert 8 <= len(frames) <= 20
                assert (frames[0].time, frames[0].width, frames[0].height) == (0, 64, 64)
                assert 1.2 < frames[-1].time < 4
    assert kinds == {("mov", "h264"), ("matroska", "vp8"), ("matroska", "vp9")}


def test_the_truth_is_a_probability_and_knows_more_with_more_to_see(sample):
    y = label_matrix(sample, TAXONOMY)[0]
    loss = {}
    for name in INFORMATION:
        p = truth(sample, name, TAXONOMY.names)
        assert 0 < p.min() <= p.max() < 1
        loss[name] = -np.log(np.where(y > 0, p, 1 - p)).mean()
    assert loss[ALL] < loss["text+image"] < loss["late-fusion"] < min(loss["text"], loss["image+video"])
    assert loss["image+video"] < loss["image"] < loss["video"] < loss["none"]
    assert loss["text"] < loss["none"]


def test_texts_labels_and_all_but_the_numbers_around_a_post_are_those_of_before_the_numbers():
    # Features are found by content: were a byte of a text another one, every store and every number would move. The
    # hashes were taken before author and engagement got numbers of a generator of their own.
    table = build(posts=2500, seed=3, modalities=["text"], oversample={"harm": 0.3})
    for name, digest in UNMOVED.items():
        assert hashlib.sha256(repr(table[name].to_pylist()).encode()).hexdigest()[:16] == digest, name


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
    for name in ("image", "video"):
        assert not set(media_bytes(one, name)) & set(media_bytes(other, name)) - {None}


def test_another_process_makes_the_same_bytes():
    code = (
        "import hashlib, io, pyarrow as pa\n"
        "from workbench.corpora import synthetic\n"
        "from workbench.schema import Taxonomy\n"
        "options = synthetic.SourceOptions(posts=150, oversample={'paired': 0.8}, reposts=0.5)\n"
        "rows = synthetic.build(options, Taxonomy.load()).to_pylist()\n"
        "print(hashlib.sha256(repr(rows).encode()).hexdigest())"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    rows = build(posts=150, oversample={"paired": 0.8}, reposts=0.5).to_pylist()
    assert found.stdout.strip() == hashlib.sha256(repr(rows).encode()).hexdigest()


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

    easy, hard = (build(posts=900, difficulty=value, oversample={"harm": 0.4}) for value in (0.0, 1.0))
    for name in set(easy.column_names) - {"text", "image", "video"}:
        assert easy[name].equals(hard[name]), name
    # without typing errors, all texts hold a phrase of the world but the few that are obfuscated
    assert 0.95 < cores(easy) < 1
    assert 0.2 < cores(hard) < 0.6  # with an error in each fifth word (0.8 to the power of 3 or 4 longer words is 0.45)
    size = [np.mean([len(data) for data in media_bytes(table, "image") if data]) for table in (easy, hard)]
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
    posts = zip(media_bytes(sample, "image"), sample["group"].to_pylist(), strict=True)
    shown = [(data, group) for data, group in posts if data]
    small = np.stack([np.asarray(Image.open(io.BytesIO(data)).reduce(4), np.float32).ravel() for data, _ in shown])
    group = np.array([group for _, group in shown])
    square = (small**2).sum(1)
    apart = np.sqrt(np.maximum(square[:, None] + square - 2 * small @ small.T, 0) / small.shape[1])  # grey levels
    family = group[:, None] == group
    other = apart[family & ~np.eye(len(group), dtype=bool)]
    assert np.quantile(apart[~family], 0.001) > 35
    assert other.max() < 35  # where the edge is cut off
    assert np.median(other) < 5
    assert len({data for data, _ in shown}) > len(set(group))  # some reposts are encoded again


def test_a_family_shares_its_causes_and_each_post_has_its_own_author(quick):
    table = build(posts=12_000, reposts=0.3, oversample={"harm": 0.4})
    groups = defaultdict(list)
    columns = ["text", "group", "language", "region", "author", "labels", "created_at"]
    for n, row in enumerate(table.select(columns).to_pylist()):
        groups[row["group"]].append((n, row))
    sizes = np.bincount([len(rows) for rows in groups.values()])
    assert len(sizes) == 4  # one to three posts
    assert 1 - sizes[1] / sizes.sum() == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / sizes.sum()))
    assert sizes[2] == pytest.approx(sizes[3], rel=0.15)
    drift = datetime(2025, 10, 1, tzinfo=UTC)
    edited, longer, same_author, same_trait, moved = [], [], [], [], []
    for rows in groups.values():
        first = rows[0][0]
        assert [n for n, _ in rows] == list(range(first, first + len(rows)))
        assert first // CHUNK == rows[-1][0] // CHUNK  # none crosses the edge of a chunk
        for _, row in rows[1:]:
            assert all(row[name] == rows[0][1][name] for name in ("language", "region"))
            assert (row["created_at"] < drift) == (rows[0][1]["created_at"] < drift)
            assert 0 <= (row["created_at"] - rows[0][1]["created_at"]).days < 14
            same_author.append(row["author"]["id"] == rows[0][1]["author"]["id"])
            same_trait.append(row["author"]["id"][1] == rows[0][1]["author"]["id"][1])
            moved.append(row["labels"] != rows[0][1]["labels"])
            if row["text"] is not None:
                edited.append(row["text"] != rows[0][1]["text"])
                longer.append(len(row["text"]) > len(rows[0][1]["text"]) + 4)
                assert difflib.SequenceMatcher(None, row["text"].lower(), rows[0][1]["text"].lower()).ratio() > 0.8
    assert 0.4 < np.mean(edited) < 0.6  # 0.6 are edited; of those mistyped, half have no word that is
    assert np.mean(longer) == pytest.approx(0.2, abs=0.04)
    assert np.mean(same_author) < 0.01
    assert np.mean(same_trait) == pytest.approx(0.9**2 + 0.1**2, abs=0.03)
    assert 0 < np.mean(moved) < 0.01  # labels move with the trait alone: 0.4 posts x 0.18 x 0.03 = 0.002


def test_an_authors_numbers_follow_the_calendar(quick):
    table = build(posts=12_000)
    day = table["created_at"].to_numpy().astype("datetime64[s]").astype(float) / 86_400
    people = defaultdict(list)
    for now, author in sorted(zip(day, table["author"].to_pylist(), strict=True), key=lambda item: item[0]):
        people[author["id"]].append((now - author["account_age_days"], author))
    several = [found for found in people.values() if len(found) > 1]
    assert len(several) > 400
    for found in several:
        assert np.ptp([opened for opened, _ in found]) <= 0.1 + 1e-6  # ages are told to a tenth of a day
        for name in ("posts", "prior_reports", "prior_removals"):
            assert len({author[name] is None for _, author in found}) == 1  # a person has one record
            assert (np.diff([author[name] or 0 for _, author in found]) >= 0).all()
    author = table["author"]
    posts, removals, reports = (
        pc.fill_null(pc.struct_field(author, name), 0).to_numpy()
        for name in ("posts", "prior_removals", "prior_reports")
    )
    assert (removals <= posts).all()
    assert (reports <= 3 * (posts + 1)).all()
    prone = np.array([name[1] == "p" for name in pc.struct_field(author, "id").to_pylist()])
    assert prone.mean() == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / 12_000))
    age = pc.struct_field(author, "account_age_days").to_numpy()
    assert np.median(age[prone]) < np.median(age[~prone])


def test_after_the_drift_date_there_are_more_clips(quick):
    table = build(posts=40_000, reposts=0)
    when = table["created_at"].to_numpy().astype("datetime64[D]")
    assert (when.min(), when.max()) == (np.datetime64("2025-01-01"), np.datetime64("2025-12-31"))
    assert np.ptp(np.bincount(when.astype("datetime64[M]").astype(int))[-12:]) < 0.2 * len(table) / 12
    after, clip = when >= DRIFT, has(table)["video"]
    assert after.mean() == pytest.approx(92 / 365, abs=0.01)
    assert (clip[after].mean(), clip[~after].mean()) == pytest.approx((0.08, 0.04), abs=0.008)
    never = build(posts=40_000, reposts=0, drift=None)
    assert has(never)["video"].mean() == pytest.approx(0.04, abs=0.005)
    assert np.ptp(never["created_at"].to_numpy()) > np.timedelta64(360, "D")


def test_a_site_without_media_has_none():
    table = build(posts=3000, modalities=["text"])
    assert table["text"].null_count == 0
    assert table["image"].null_count == table["video"].null_count == 3000
    assert (table["weight"].to_numpy() == 1).all()
    assert truth(table, "text") == pytest.approx(truth(table, ALL))
    start = time.process_time()
    build(posts=6000, modalities=["text"])
    assert 6000 / (time.process_time() - start) > 1667  # a hundred thousand a minute, on one core


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


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"posts": 0}, ["posts", "greater than or equal to 1", "got 0"]),
        ({"seed": 2**32}, ["seed", "less than 4294967296"]),
        ({"shares": {"pairs": 0.5}}, ["shares: unknown key 'pairs'", "did you mean 'pair'"]),
        ({"oversample": {"harm": 0.95}}, ["`oversample.harm` is 0.95", "choose a share in between"]),
        ({"modalities": []}, ["modalities", "at least 1 item"]),
        ({"modalities": ["text", "sound"]}, ["modalities", "sound"]),
        ({"modalities": ["image"], "oversample": {"paired": 0.5}}, ["`oversample.paired` is 0.5", "leave it out"]),
        ({"norms": 1.5}, ["norms", "less than or equal to 1", "got 1.5"]),
        ({"drift": "soon"}, ["drift", "date"]),
        ({"prevalence": 0.001}, ["`prevalence` is 0.001", "between 0.0061"]),
    ],
)
def test_what_cannot_be_is_one_sentence(options, words):
    with pytest.raises(WorkbenchError) as error:
        build(**{"posts": 10} | options)
    assert "\n" not in str(error.value)
    for part in words:
        assert part in str(error.value)
