"""Near-duplicate texts: planted ones and those of published splits are found, clean posts pass."""

from __future__ import annotations

import os

import pandas as pd
import pyarrow.compute as pc
import pytest
from audited_posts import LONG, TAXONOMY, divided, posts

from workbench import corpora
from workbench.evidence import audit
from workbench.evidence.audit import near_text
from workbench.evidence.audit.families import ContentIndex
from workbench.evidence.audit.likeness import text_reuse

COVID, CONVERSATIONS, EMOJI = "constraint_covid/Constraint_", "convabuse/ConvAbuseEMNLP", "hatemoji/build_"
shared = pytest.mark.skipif("WORKBENCH_DATA" not in os.environ, reason="needs the shared data in WORKBENCH_DATA")


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


def test_texts_of_the_same_letters_are_paired_once_for_every_combination_of_sets():
    words = "thank you all so very much"
    sets = {
        "train": posts({"text": words}, {"text": f"{words}!"}, {"text": LONG}, {"text": "ok"}),
        "validation": posts({"text": f"{words}?"}, {"text": LONG.replace("six", "sax")}),
        "test": posts({"text": f"{words} :)"}, {"text": f"{words} :("}, {"text": f"and so {LONG} it is"}),
    }
    texts = ContentIndex.of(sets, "text")
    letters = [text_reuse.letters(texts.cell(at, "text")) for at in texts.first.tolist()]
    pairs = near_text.near(texts, letters)
    # train 0 thank, 1 thank!, 2 long, 3 ok; validation 4 thank?, 5 sax; test 6 thank :), 7 thank :(, 8 and so long
    told = dict(zip(zip(pairs.i.tolist(), pairs.j.tolist(), strict=True), pairs.similarity.tolist(), strict=True))
    same = [(0, 4), (1, 4), (0, 6), (1, 6), (0, 7), (4, 6), (4, 7)]  # 0, 4 and 6 stand for their sets
    # a letter of 57 is another; of 65 letters 57 are the same; both
    near = {(2, 5): 56 / 57, (2, 8): 2 * 57 / (57 + 65), (5, 8): 2 * 56 / (57 + 65)}
    assert told == pytest.approx(dict.fromkeys(same, 1) | near)
    found = near_text.look(sets)["near_text"]
    assert (found["overlap"], found["of"], found["posts"]) == (2, 2, 8)
    assert near_text.look({"train": posts({}), "test": posts({"text": "ok"})})["near_text"] == {
        "overlap": 0,
        "of": 0,
        "posts": 0,
        "examples": [],
        "test_posts": 0,
        "left_out": 0,
        "not_compared": 1,
    }
