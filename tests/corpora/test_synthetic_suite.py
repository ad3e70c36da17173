"""The multimodal suite: truth from the world's table, one edit at a time, the same again by seed."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from workbench import corpora
from workbench.comparison import cases
from workbench.corpora import synthetic, synthetic_suite
from workbench.corpora.synthetic.causes import LABELS
from workbench.corpora.synthetic_suite import FAMILIES, SourceOptions
from workbench.errors import WorkbenchError
from workbench.preprocessing.video import reader
from workbench.schema import Label, Taxonomy

TAXONOMY = Taxonomy.load()
CASES = 8  # each label twice; of the pairs half are pictures, half clips
SETS = {
    "attack": ["plain_attack_h", "negation_nh", "counter_quote_nh", "mention_nh"],
    "identity": ["identity_h", "identity_swap_h", "identity_neutral_nh", "identity_neutral_nh"],
    "pair": ["pair_harm_h", "text_swap_nh", "image_swap_nh"],
    "frame": ["hidden_frame_h", "frame_removed_nh"],
}


@pytest.fixture(scope="module")
def table():
    return synthetic_suite.build(SourceOptions(cases=CASES), TAXONOMY)


@pytest.fixture(scope="module")
def by_case(table):
    """Contrast sets by family."""
    found = defaultdict(list)
    for row in table.to_pylist():
        found[row["meta"]["case"]].append(row)
    return {family: [rows for case, rows in found.items() if case.startswith(family)] for family in FAMILIES}


def test_every_set_has_its_functionalities_and_is_one_group(by_case):
    for family, names in SETS.items():
        assert len(by_case[family]) == CASES
        for rows in by_case[family]:
            assert [row["meta"]["functionality"] for row in rows] == names
            assert {row["group"] for row in rows} == {rows[0]["meta"]["case"]}
    assert len({row["post_id"] for sets in by_case.values() for rows in sets for row in rows}) == CASES * 13


def test_a_name_ends_in_what_the_world_says_of_the_post(by_case):
    for row in (row for sets in by_case.values() for rows in sets for row in rows):
        about, harmful = row["meta"], [name for name, holds in row["labels"].items() if holds]
        assert harmful == ([about["label"]] if about["functionality"].endswith("_h") else [])
    labels = Counter(rows[0]["meta"]["label"] for rows in by_case["pair"])
    assert labels == dict.fromkeys(LABELS, 2)


def test_in_a_pair_one_half_is_edited_and_the_other_is_byte_for_byte_the_same(by_case):
    kinds = Counter()
    for harm, text_swap, image_swap in by_case["pair"]:
        kind = "image" if harm["image"] else "video"
        kinds[kind] += 1
        assert harm["text"] == image_swap["text"] != text_swap["text"]
        assert harm[kind] == text_swap[kind] != image_swap[kind]
    assert kinds == {"image": 4, "video": 4}


def test_texts_of_a_set_keep_their_note_and_identities_only_change_places(by_case):
    for rows in by_case["attack"]:
        words = [set(row["text"].split()) for row in rows]
        assert len(set.intersection(*words)) >= 3  # the note: where, when, with whom
        assert len({row["text"] for row in rows}) == 4
    for one, other, *neutral in by_case["identity"]:
        groups = one["meta"]["target"], other["meta"]["target"]
        assert groups[0] != groups[1]
        assert one["text"].replace(*groups) == other["text"]
        assert neutral[0]["text"].replace(*groups) == neutral[1]["text"]


def test_a_clip_hides_its_scene_in_one_frame_and_is_calm_without_it(by_case):
    frames = reader.VideoOptions(frames=64)
    for hidden, removed in by_case["frame"][:3]:
        assert hidden["text"] == removed["text"]
        shown, calm = (
            np.stack(reader.decode(row["video"]["bytes"], frames).frames).astype(float) for row in (hidden, removed)
        )
        # a view that drifts changes little from frame to frame; the scene has other colours all over
        jumps = np.abs(np.diff(shown, axis=0)).mean(axis=(1, 2, 3)) > 20
        assert jumps.sum() in (1, 2)  # into the scene and out of it; it may be the first frame
        assert not (np.abs(np.diff(calm, axis=0)).mean(axis=(1, 2, 3)) > 20).any()


def test_the_same_seed_gives_the_same_suite_and_more_cases_begin_alike(table):
    again = synthetic_suite.build(SourceOptions(cases=3), TAXONOMY).to_pylist()
    first = {row["post_id"]: row for row in table.to_pylist()}
    assert all(first[row["post_id"]] == row for row in again)
    other = synthetic_suite.build(SourceOptions(cases=3, seed=1), TAXONOMY)
    assert set(other["text"].to_pylist()).isdisjoint(table["text"].to_pylist())


def test_it_is_a_corpus_source_that_tells_its_cases(tmp_path):
    config = {"source": "synthetic-suite", "cases": 1}
    loaded = corpora.load(config, TAXONOMY, cache=tmp_path)
    assert loaded.digest == corpora.digest(config, TAXONOMY)
    assert loaded.digest != corpora.digest({**config, "seed": 1}, TAXONOMY)
    assert set(loaded.table["split"].to_pylist()) == {"test"}
    told = cases.case_columns(loaded.table)
    assert set(told) == set(cases.CASES)
    assert told["note"].to_pylist().count("not in training") == 7  # of the texts all but the plain attack


def test_no_post_of_the_training_world_says_what_is_marked_as_new(table):
    said = " ".join(synthetic.build(synthetic.SourceOptions(posts=2000), TAXONOMY)["text"].drop_null().to_pylist())
    assert not [group for group in synthetic_suite.WORDS["groups"] if group in said]
    ways = [way for ways in synthetic_suite.WORDS["negations"].values() for way in ways]
    assert not [way for way in ways if way.replace("{n}, ", "").partition("{n}")[0] in said]


def test_labels_that_the_world_does_not_have_are_unknown_and_none_at_all_is_refused():
    label = {"title": "t", "definition": "d"}
    some = Taxonomy(labels=(Label(name="abuse", **label), Label(name="spam", **label)))
    rows = synthetic_suite.build(SourceOptions(cases=2), some).to_pylist()
    assert {row["labels"]["spam"] for row in rows} == {None}
    assert {row["meta"]["label"] for row in rows} == {"abuse"}
    with pytest.raises(WorkbenchError, match="has none of them"):
        synthetic_suite.build(SourceOptions(cases=1), Taxonomy(labels=(Label(name="spam", **label),)))
