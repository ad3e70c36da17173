"""Near-duplicates, templates, times, shortcuts and neighbours: planted ones are found, clean posts pass."""

from __future__ import annotations

import datetime as dt
import io
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from code_tree import Tree
from PIL import Image, ImageEnhance

from workbench import corpora
from workbench.corpora import splits
from workbench.evidence import audit
from workbench.evidence.audit import looking, near_media, near_text, neighbours, shortcuts, times
from workbench.fingerprint import closure
from workbench.schema import Taxonomy, corpus_schema

TAXONOMY = Taxonomy.load()
SCHEMA = corpus_schema(TAXONOMY)
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen"
COVID, CONVERSATIONS, EMOJI = "constraint_covid/Constraint_", "convabuse/ConvAbuseEMNLP", "hatemoji/build_"
shared = pytest.mark.skipif("WORKBENCH_DATA" not in os.environ, reason="needs the shared data in WORKBENCH_DATA")


def posts(*rows: dict) -> pa.Table:
    filled = [{"post_id": f"p{k}", "group": f"g{k}", **row} for k, row in enumerate(rows)]
    return pa.Table.from_pylist([{**dict.fromkeys(SCHEMA.names), **row} for row in filled], schema=SCHEMA)


def divided(config: dict, **split) -> dict[str, pa.Table]:
    table = corpora.load(config, TAXONOMY).table
    part = splits.assign(table, TAXONOMY, splits.SplitOptions(**split))
    return {name: table.filter(pa.array(part == name)) for name in splits.SPLITS}


def drawing(seed: int) -> Image.Image:
    """Return blobs of many sizes; without any detail a hash would be made of rounding."""
    rng = np.random.default_rng(seed)
    layers = [Image.fromarray(rng.integers(0, 256, (n, n, 3), np.uint8)).resize((64, 64), 3) for n in (3, 6, 12, 24)]
    return Image.fromarray(np.mean([np.asarray(one, float) for one in layers], axis=0).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options) -> dict:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return {"bytes": data.getvalue(), "path": None}


# ----------------------------------------------------------------------------------------------------------- texts


def test_a_near_text_is_told_with_both_posts_and_exact_ones_are_not_counted_again():
    same = "the very same words stand here"
    train = posts({"text": LONG}, {"text": same})
    test = posts({"text": LONG.upper().replace("SIX", "other")}, {"text": same}, {"text": "\U0001f600"})
    found = near_text.look({"train": train, "test": test})["near_text"]
    assert (found["overlap"], found["of"], found["posts"], found["left_out"]) == (1, 2, 2, 0)
    assert found["examples"][0]["posts"] == [["train", "p0"], ["test", "p0"]]
    assert found["examples"][0]["content"].endswith("(0.93)")  # 54 of 57 and 59 letters


def test_near_texts_form_families_and_two_test_sets_may_share_them():
    thanks = "thank you all so very much"
    train = posts({"text": thanks}, {"text": f"{thanks}!"}, {"text": f"{thanks} :)"})
    test = posts({"text": thanks.upper()}, {"text": f"{thanks.upper()}."})
    more = posts({"text": f"{thanks.title()}?"})
    found = near_text.look({"train": train, "test": test, "more": more})["near_text"]
    assert (found["overlap"], found["posts"]) == (1, 6)
    alone = near_text.look({"train": posts({"text": "other"}), "test": test, "more": more})
    assert alone["near_text"]["overlap"] == 0


def test_the_synthetic_world_says_the_same_sentence_with_another_place_and_name():
    sets = divided({"source": "synthetic", "posts": 2000, "seed": 3, "modalities": ["text"]})
    found = near_text.look(sets)["near_text"]
    assert 0 < found["posts"] < 0.2 * 2000
    assert all("~" in example["content"] for example in found["examples"])


@shared
@pytest.mark.parametrize(
    ("train", "test", "column", "exact", "near"),
    [
        (f"{COVID}Train_masked.csv", f"{COVID}Val_masked.csv", "tweet", 2, 234),
        (f"{CONVERSATIONS}train.csv", f"{CONVERSATIONS}valid.csv", "user", 111, 4),
        (f"{EMOJI}train.csv", f"{EMOJI}validation.csv", "text", 2, 247),
    ],
)
def test_what_is_known_to_cross_published_splits_is_found(train, test, column, exact, near):
    folder = os.environ["WORKBENCH_DATA"]
    paths = {"train": f"{folder}/{train}", "test": f"{folder}/{test}"}
    table = corpora.load({"source": "files", "paths": paths, "text": column}, TAXONOMY).table
    sets = {name: table.filter(pc.equal(table["split"], name)) for name in paths}
    assert audit.overlap(sets)["text"]["overlap"] == exact
    assert near_text.look(sets)["near_text"]["overlap"] == near


@shared
def test_pairs_of_opposite_labels_that_cross_the_published_split_are_found_once_they_are_groups(tmp_path):
    parts = {"train": "train", "test": "validation"}
    for name, file in parts.items():
        frame = pd.read_csv(f"{os.environ['WORKBENCH_DATA']}/{EMOJI}{file}.csv")
        frame["pair"] = [
            str(sorted((one, other))) for one, other in zip(frame["entry_id"], frame["matched_id"], strict=False)
        ]
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    paths = {name: str(tmp_path / f"{name}.csv") for name in parts}
    table = corpora.load({"source": "files", "paths": paths, "text": "text", "group": "pair"}, TAXONOMY).table
    sets = {name: table.filter(pc.equal(table["split"], name)) for name in parts}
    assert audit.overlap(sets)["group"]["overlap"] == 461


@shared
@pytest.mark.parametrize(("path", "column"), [("edos/edos_train_dev.csv", "text")])
def test_real_clean_posts_raise_no_alarm(path, column):
    config = {"source": "files", "path": f"{os.environ['WORKBENCH_DATA']}/{path}", "text": column}
    assert near_text.look(divided(config))["near_text"]["posts"] <= 0.01 * 16_000


# ------------------------------------------------------------------------------------------------ pictures and clips


def test_a_near_picture_with_near_or_no_words_is_a_duplicate_and_with_others_a_template():
    one, other, third = (drawing(seed) for seed in (1, 2, 3))
    again = [encoded(image, "JPEG", quality=60) for image in (one, other, third)]
    train = posts({"image": encoded(one), "text": "look at this"}, {"image": encoded(other), "text": "old words"},
                  {"image": encoded(third)}, {"image": encoded(Image.new("RGB", (64, 64), "red"))})  # fmt: skip
    words = ("Look at this!", "something else", "words on it")
    test = posts(*({"image": cell, "text": text} for cell, text in zip(again, words, strict=True)))
    found = near_media.look_images({"train": train, "test": test})
    assert (found["near_image"]["overlap"], found["near_image"]["posts"]) == (2, 4)
    assert (found["template"]["overlap"], found["template"]["posts"]) == (1, 2)
    assert found["near_image"]["not_compared"] == 1
    assert found["template"]["examples"][0]["posts"] == [["train", "p1"], ["test", "p1"]]


def test_pictures_of_the_same_bytes_are_exact_and_not_near():
    cell = encoded(drawing(1))
    assert near_media.look_images({"train": posts({"image": cell}), "test": posts({"image": cell})})["near_image"][
        "overlap"
    ] == 0  # fmt: skip


def test_half_of_the_frames_make_two_clips_near():
    frames = np.random.default_rng(0).integers(0, 2**63, (8, 4), np.uint64)
    rows = np.concatenate([frames[:4], frames[[0, 1, 4, 5, 6, 7]], frames[[3, 4, 5, 6, 7]]])
    i, j, share = near_media.near_clips(rows, np.repeat([0, 1, 2], [4, 6, 5]))
    assert list(zip(i.tolist(), j.tolist(), share.tolist(), strict=True)) == [(0, 1, 0.5), (1, 2, 0.8)]
    assert len(near_media.near_clips(rows[:0], np.zeros(0, np.int64))[0]) == 0
    i, j, share = near_media.near_clips(rows[:4], np.zeros(4, np.int64))  # one clip alone is near no other
    assert (len(i), i.dtype, j.dtype, share.dtype) == (0, np.int64, np.int64, np.float64)


@shared
def test_edits_of_one_photograph_are_one_family():
    folder = os.path.join(os.environ["WORKBENCH_DATA"], "photos", "bridge")
    files = sorted(name for name in os.listdir(folder) if name.endswith((".jpg", ".png")))
    rows = [{"image": {"bytes": None, "path": os.path.join(folder, name)}} for name in files]
    found = near_media.look_images({"train": posts(*rows[:4]), "test": posts(*rows[4:])})["near_image"]
    assert (found["overlap"], found["posts"]) == (1, len(files))


# -------------------------------------------------------------------------------------------------------------- times


def at(day: int, **author) -> dict:
    return {"created_at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=day), "author": author}


def kinds(train: list[dict], test: list[dict], **options) -> dict:
    found = times.look({"train": posts(*train), "test": posts(*test)}, **options)["time"]
    assert found["overlap"] == sum(bool(count) for count in found["kinds"].values())
    return {kind: count for kind, count in found["kinds"].items() if count}


def test_each_impossible_time_is_told_and_possible_ones_are_not():
    ann = [at(day, id="ann", account_age_days=100.0 + day, posts=day, prior_removals=0) for day in (0, 10, 20)]
    assert kinds(ann, [at(5, id="bob")]) == {}
    later = [at(day, id="ann", account_age_days=500.0, posts=9 - day // 10) for day in (0, 10, 20)]
    assert kinds(later, []) == {"account age that does not follow the calendar": 2, "author's posts become fewer": 2}
    assert kinds([at(0, account_age_days=-3.0)], [at(0, posts=1, prior_removals=2)]) == {
        "account opened after the post": 1,
        "more removals than posts": 1,
    }
    assert kinds([{"engagement": {"reports": -1}}], [at(10**5)]) == {"count below zero": 1, "posted in the future": 1}


def test_tests_that_are_not_later_are_told_where_later_ones_are_claimed():
    train, test = [at(0), at(10)], [at(5), at(11), at(10)]
    assert kinds(train, test) == {}
    assert kinds(train, test, later_tests=True) == {"test post before the last training post": 2}
    assert kinds(train, test[1:2], later_tests=True) == {}


def test_what_cannot_be_checked_is_none():
    found = times.look({"train": posts({}), "test": posts({})})["time"]
    assert found["of"] == 0
    assert set(found["kinds"].values()) == {None}


# ---------------------------------------------------------------------------------------------------------- shortcuts


def labelled(n: int, seed: int, leak: bool) -> pa.Table:
    rng, rows = np.random.default_rng(seed), []
    for k in range(n):
        harmful = bool(rng.random() < 0.2)
        place = f"place-{rng.integers(6)}" if not leak else ("bad" if harmful else "good") + f"-{rng.integers(3)}"
        rows.append({"post_id": f"x{rng.integers(10**9)}", "group": f"{seed}-{k}", "community": place,
                     "text": "word " * int(rng.integers(1, 30)), "labels": {"abuse": harmful}})  # fmt: skip
    return posts(*rows)


@pytest.mark.parametrize("leak", [True, False])
def test_a_community_that_is_the_label_is_caught_and_an_honest_one_is_not(leak):
    found = shortcuts.look({"train": labelled(900, 0, leak), "test": labelled(500, 1, leak)}, TAXONOMY)["shortcut"]
    assert found["of"] >= 3
    assert [row["fields"] for row in found["scores"] if row["shortcut"]] == (["community"] if leak else [])
    assert (found["overlap"], found["posts"]) == ((1, 500) if leak else (0, 0))


def test_the_lower_end_of_a_shortcut_is_over_groups_of_posts(monkeypatch):
    monkeypatch.setattr(shortcuts, "DRAWS", 50)
    base = labelled(80, 1, False)
    copies = pa.concat_tables([base] * 10)
    alone = copies.set_column(
        copies.column_names.index("group"), "group", pa.array([str(n) for n in range(len(copies))])
    )
    train, below = labelled(300, 0, False), {}
    for name, test in {"groups": copies, "alone": alone}.items():
        rows = shortcuts.look({"train": train, "test": test}, TAXONOMY)["shortcut"]["scores"]
        assert all(row["lower"] < row["average_precision"] for row in rows)
        below[name] = sum(row["average_precision"] - row["lower"] for row in rows)
    # ten copies of a post are one post: were they ten, the interval would be narrower by the root of ten
    assert below["groups"] > 2 * below["alone"] > 0


def test_the_synthetic_world_has_no_shortcut():
    sets = divided(
        {"source": "synthetic", "posts": 4000, "seed": 5, "modalities": ["text"], "oversample": {"harm": 0.3}}
    )
    found = shortcuts.look(sets, TAXONOMY)["shortcut"]
    assert found["of"] > 10
    assert found["overlap"] == 0


# --------------------------------------------------------------------------------------------------------- neighbours


def test_the_nearest_training_post_is_named_and_what_has_no_vector_has_none():
    train = np.array([[1.0, 0], [0, 1], [np.nan, 0]])
    found = neighbours.nearest(train, np.array([[0, 5.0], [1, 1], [0, 0]]))
    assert found.nearest.tolist()[::2] == [1, -1]
    assert found.counted == 2
    assert found.cosine[:2] == pytest.approx([1, 2**-0.5])
    told = found.told([["a", "b", "c"], ["x", "y", "z"]])
    assert told["closest"][0] == (1.0, "x", "b")
    assert told["n"] == 2


# ---------------------------------------------------------------------------------------------------- asked for once


def test_a_finding_is_kept_by_what_it_depends_on(tmp_path):
    sets = {"train": posts({"text": LONG}), "test": posts({"text": LONG + " more"})}
    first = audit.look(sets, TAXONOMY, ["near_text", "group"], key={"data": 1}, cache=tmp_path)
    assert list(first) == ["near_text"]
    assert first["near_text"]["overlap"] == 1
    empty = {name: posts() for name in sets}
    assert audit.look(empty, TAXONOMY, ["near_text"], key={"data": 1}, cache=tmp_path) == first
    (file,) = tmp_path.iterdir()
    file.write_text('{"near_te')  # torn: looked for again, and kept again
    assert audit.look(sets, TAXONOMY, ["near_text"], key={"data": 1}, cache=tmp_path) == first
    assert audit.look(empty, TAXONOMY, ["near_text"], key={"data": 1}, cache=tmp_path) == first
    assert audit.look(empty, TAXONOMY, ["near_text"], key={"data": 2}, cache=tmp_path)["near_text"]["overlap"] == 0


@pytest.mark.parametrize(
    ("module", "old", "new", "anew"),
    [
        ("corpora.splits", "part == name", "part != name", ["near_image", "near_text"]),
        ("corpora.synthetic.phrases", "import numpy as np", "import numpy as np\n\nBIG = 1", []),
        ("corpora.synthetic.pictures", "rng.integers(45, 93)", "rng.integers(45, 99)", ["near_image", "near_text"]),
        ("corpora.files.reading", "csv.reader(", "csv.DictReader(", ["near_image", "near_text"]),
        ("preprocessing.image.decoding", "frames: int = Field(4", "frames: int = Field(5", ["near_image", "near_text"]),
        ("evidence.audit.text_reuse", "PART = 4, 0.8", "PART = 4, 0.9", ["near_image", "near_text"]),
        ("evidence.audit.hashes", "DISTANCE, LOOSE = 32, 64", "DISTANCE, LOOSE = 30, 64", ["near_image"]),
    ],
)
def test_findings_are_as_old_as_the_code_that_made_and_divided_the_posts(monkeypatch, module, old, new, anew):
    def keys():
        key = audit.depends({"corpus": "d"}, {}, TAXONOMY)
        return {name: {"key": key, **looking.made_by(name)} for name in ("near_image", "near_text")}

    tree = Tree()
    before = keys()
    library = tree.edit(module, old, new).library()
    monkeypatch.setattr(closure, "_here", lambda: library)
    after = keys()
    assert [name for name in before if before[name] != after[name]] == anew


def test_findings_that_nobody_asks_for_any_more_are_trimmed(tmp_path, monkeypatch):
    sets = {"train": posts({"text": LONG}), "test": posts({"text": LONG + " more"})}
    monkeypatch.setattr(looking, "KEEP", 1000)
    for number in range(9):
        audit.look(sets, TAXONOMY, ["near_text"], key={"data": number}, cache=tmp_path)
        audit.look(sets, TAXONOMY, ["near_text"], key={"data": 0}, cache=tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000


def test_what_a_study_names_stops_it():
    found = audit.look({"train": posts({"text": LONG}), "test": posts({"text": LONG + " x"})}, TAXONOMY, ["near_text"])
    with pytest.raises(audit.LeakFound, match="1 near-duplicate text in 2 posts"):
        audit.hold(found, audit.LeakOptions(fail_on=("near_text",)))
    audit.hold(found, audit.LeakOptions(fail_on=("near_text",), allow={"near_text": "kept as it was published"}))


def test_brightness_alone_keeps_pictures_near_across_sets():
    cells = [encoded(ImageEnhance.Brightness(drawing(9)).enhance(by)) for by in (1.0, 1.2)]
    found = near_media.look_images({"train": posts({"image": cells[0]}), "test": posts({"image": cells[1]})})
    assert found["near_image"]["overlap"] == 1
