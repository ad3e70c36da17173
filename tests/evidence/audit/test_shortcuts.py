"""Shortcuts: fields that are the label are caught, honest ones pass."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from audited_posts import TAXONOMY, divided, encoded, posts
from PIL import Image
from sklearn.metrics import average_precision_score

from workbench.evidence.audit import shortcuts


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
    rng = np.random.default_rng(0)
    y = rng.random(80) < 0.3
    score = np.where(rng.random(80) < 0.9, y, ~y).astype(float)
    y, score = np.tile(y, 10), np.tile(score, 10)
    value = average_precision_score(y, score)
    groups, alone = (value - shortcuts.lower(y, score, of, 0) for of in (np.tile(np.arange(80), 10), np.arange(800)))
    # ten copies of a post are one post: were they ten, the interval would be narrower by the root of ten
    assert groups > 2 * alone > 0


def test_the_synthetic_world_has_no_shortcut():
    sets = divided(
        {"source": "synthetic", "posts": 4000, "seed": 5, "modalities": ["text"], "oversample": {"harm": 0.3}}
    )
    found = shortcuts.look(sets, TAXONOMY)["shortcut"]
    assert found["of"] > 10
    assert found["overlap"] == 0


def planted(n: int, seed: int, kind: str, *, shuffled: bool = False) -> pa.Table:
    """Return posts whose label one kind of metadata tells; shuffled: it tells another label that nobody has."""
    rng, rows = np.random.default_rng(seed), []
    for k in range(n):
        harmful = bool(rng.random() < 0.2)
        told = bool(rng.random() < 0.2) if shuffled else harmful
        here, there, mark = (int(rng.integers(2)) for _ in range(3))
        second = 2 * int(rng.integers(30)) + (told if kind == "second" else mark)
        width = 40 + 2 * int(rng.integers(9)) + (told if kind == "width" else mark)
        name = {True: "ham", False: "egg"}[told] if kind == "file name" else "img"
        rows.append({
            "post_id": f"x{rng.integers(10**6)}" + ("ab"[told] if kind == "post id" else ""),
            "group": f"{seed}-{k}",
            "community": f"c{here}",
            "language": f"l{here ^ told if kind == 'pair' else there}",
            "created_at": dt.datetime(2026, 1, 1, 12, 30, second, tzinfo=dt.UTC) + dt.timedelta(int(rng.integers(300))),
            "image": encoded(Image.new("L", (width, 30))) | {"path": f"pictures/{name}_{rng.integers(10**6)}.png"},
            "labels": {"abuse": harmful},
        })  # fmt: skip
    rows = sorted(rows, key=lambda row: row["labels"]["abuse"]) if kind == "row" else rows
    return posts(*rows)


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("width", ["picture's file: width"]),
        ("pair", ["community and language"]),
        ("file name", ["picture's file: letters", "picture's file: words"]),
        ("post id", ["post id: words", "post id: last mark", "post id: last two marks"]),
        ("second", ["second"]),
        ("row", ["row"]),
        ("nothing", []),
    ],
)
def test_what_tells_the_label_outright_is_named_and_nothing_else(kind, named):
    sets = {"train": planted(700, 0, kind), "test": planted(400, 1, kind)}
    found = shortcuts.look(sets, TAXONOMY)["shortcut"]
    assert [row["fields"] for row in found["scores"] if row["shortcut"]] == named
    assert (found["overlap"], found["posts"]) == (len(named), 400 if named else 0)
    assert found["of"] > 100
    for row in found["scores"]:
        assert {"lower", "validated"} <= row.keys() if row["shortcut"] else row["average_precision"] < 1


def test_of_shuffled_labels_no_column_of_a_wide_file_tells():
    named = 0
    for seed in range(20):
        train, test = (planted(300, 2 * seed + side, "pair", shuffled=True) for side in (0, 1))
        named += shortcuts.look({"train": train, "test": test}, TAXONOMY)["shortcut"]["overlap"] > 0
    assert named <= 1


def test_the_lower_end_is_a_bootstrap_over_groups():
    rng = np.random.default_rng(0)
    y, group = rng.random(120) < 0.25, np.sort(rng.integers(0, 50, 120)) + 7
    score = np.round(y + rng.normal(size=120), 1)
    chance, names, draws = np.random.default_rng(3), np.unique(group), []
    for _ in range(200):
        drawn = names[chance.integers(len(names), size=len(names))]
        rows = np.concatenate([np.flatnonzero(group == name) for name in drawn])
        draws.append(average_precision_score(y[rows], score[rows]))
    assert shortcuts.lower(y, score, group, 3) == pytest.approx(np.quantile(draws, 0.01))
    # draws without the positive do not count
    assert shortcuts.lower(np.arange(9) == 0, -np.arange(9.0), np.arange(9), 0) == 1.0


def sides(*values: list) -> shortcuts.BothSides:
    return shortcuts.BothSides(*map(np.array, values))


def test_half_of_the_way_to_perfect_is_too_good_within_train_and_on_test_and_at_its_lower_end(monkeypatch):
    y = np.arange(40) < 20
    question = shortcuts._Question(sides(y, y), sides(np.arange(40), np.arange(40)), 0)
    cells = sides(np.zeros(40, int), np.zeros(40, int))
    for value, within, low, expected in (
        (0.75, 0.75, 0.75, True),
        (0.7499, 1, 1, False),
        (1, 0.7499, 1, False),
        (1, 1, 0.7499, False),
    ):
        given = iter((value, within))
        monkeypatch.setattr(shortcuts, "average_precision_score", lambda *_, given=given: next(given))
        monkeypatch.setattr(shortcuts, "lower", lambda *_, low=low: low)
        assert question.ask(cells)["shortcut"] is expected


def test_a_post_scores_the_share_of_its_cell_among_other_folds_and_all_of_train():
    y = np.array([1, 1, 0, 0, 0, 1, 0, 0], bool)
    question = shortcuts._Question(sides(y, y), sides(np.arange(8), np.arange(8)), 0)
    question.fold = np.array([0, 1, 2, 3, 4, 0, 1, 2])
    cells = np.array([1, 1, 1, 1, 2, 2, 2, 2])
    of_folds, learnt = question._rates(cells)
    share = 3 / 8
    assert learnt == pytest.approx([share, (2 + share) / 5, (1 + share) / 5])
    assert of_folds[1] == pytest.approx([(1 + share) / 4] * 2 + [(2 + share) / 4] * 2 + [(2 + share) / 5])
    assert of_folds[2] == pytest.approx([share / 4, (1 + share) / 4, (1 + share) / 4, (1 + share) / 5, (1 + share) / 4])
    assert of_folds.shape == (3, shortcuts.FOLDS)


def test_a_family_is_in_one_fold():
    y = np.arange(60) % 2 == 0
    group = np.repeat(np.arange(20), 3)
    question = shortcuts._Question(sides(y, y), sides(group, group), 0)
    assert all(len(set(question.fold[group == one])) == 1 for one in range(20))
    assert np.bincount(question.fold).tolist() == [12] * 5


def test_cells_are_values_or_ranges_and_unknown_ones_are_apart():
    few = pd.Series([3.0, 1.0, np.nan, 3.0]), pd.Series([0.0, 1.0, 2.0, 9.0, np.nan])
    assert [side.tolist() for side in shortcuts._ranges(*few, np.zeros(4, bool))] == [[2, 1, 0, 2], [1, 1, 1, 2, 0]]
    many = pd.Series(np.arange(650.0)), pd.Series([-1.0, 700.0])
    train, test = shortcuts._ranges(*many, np.zeros(650, bool))
    assert (np.unique(train).tolist(), test.tolist()) == (list(range(1, 33)), [1, 32])
    assert np.bincount(train)[1:].min() >= 20
    names = pd.Series(["a", None, "b", "a"], dtype=object), pd.Series(["b", "c", None], dtype=object)
    assert [side.tolist() for side in shortcuts._levels(*names)] == [[1, 0, 2, 1], [2, 3, 0]]
    assert [side.tolist() for side in shortcuts._crossed(sides([0, 1, 1], [1, 0, 2]), sides([0, 2, 0], [2, 0, 2]))] == [
        [0, 2, 1],
        [2, 0, 3],
    ]


def rows_of(positives: int, n: int, seed: int, **labels) -> list[dict]:
    """Return posts whose first ones are abuse in a place of their own, and nudity among `labels`."""
    return [
        {"group": f"{seed}-{k}", "community": "bad" if k < positives else "good", "post_id": "x",
         "labels": {"abuse": k < positives, **{name: k < count for name, count in labels.items()}}}
        for k in range(n)
    ]  # fmt: skip


def caught(found: dict) -> list[tuple[str, str]]:
    return [(row["fields"], row["label"]) for row in found["scores"] if row["shortcut"]]


def test_twenty_positives_on_either_side_are_enough_and_a_label_that_all_posts_have_is_left_out():
    def asked(train: list[dict], test: list[dict]) -> set[str]:
        found = shortcuts.look({"train": posts(*train), "test": posts(*test)}, TAXONOMY)["shortcut"]
        return {row["label"] for row in found["scores"]}

    assert asked(rows_of(20, 50, 0), rows_of(20, 50, 1)) == {"abuse"}
    assert asked(rows_of(19, 50, 0), rows_of(30, 50, 1)) == asked(rows_of(30, 50, 0), rows_of(19, 50, 1)) == set()
    assert asked(rows_of(50, 50, 0), rows_of(30, 50, 1)) == asked(rows_of(30, 50, 0), rows_of(50, 50, 1)) == set()


def test_shortcuts_are_told_the_surest_first_with_all_posts_of_their_labels():
    other = TAXONOMY.names[1]
    train, test = (posts(*np.random.default_rng(0).permutation(rows_of(30, 80, s, **{other: 33}))) for s in (0, 1))
    found = shortcuts.look({"train": train, "test": test}, TAXONOMY)["shortcut"]
    assert (found["overlap"], found["posts"]) == (2, 80)
    assert caught(found) == [("community", TAXONOMY.names[0]), ("community", other)]
    first, second = found["examples"]
    assert first == {
        "content": "community alone tells of abuse with average precision 1.00 (at least 1.00; a random order 0.38)",
        "posts": [],
    }
    assert second["content"].startswith(f"community alone tells of {other} with average precision 0.9")


def test_a_column_that_only_some_posts_fill_is_asked():
    train = [row | {"community": "bad" if row["community"] == "bad" else None} for row in rows_of(30, 80, 0)]
    test = [row | {"group": None} for row in rows_of(30, 80, 1)]
    found = shortcuts.look({"train": posts(*train), "test": posts(*test)}, TAXONOMY)["shortcut"]
    assert ("community", "abuse") in caught(found)


def numbered(n: int, seed: int, prevalence: float) -> pa.Table:
    """Return posts of a rare label that one value of a number among many tells."""
    rng, rows = np.random.default_rng(seed), []
    for k in range(n):
        harmful = bool(rng.random() < prevalence)
        age = 500.0 if harmful else float(rng.integers(1000))
        rows.append({"group": f"{seed}-{k}", "author": {"account_age_days": age}, "labels": {"abuse": harmful}})
    return posts(*rows)


def test_what_tells_a_rare_label_by_one_value_of_a_number_is_named():
    found = shortcuts.look({"train": numbered(4000, 0, 0.015), "test": numbered(2500, 1, 0.015)}, TAXONOMY)["shortcut"]
    assert caught(found) == [("author's age", "abuse")]


@pytest.mark.parametrize(
    "path", ["{set}/{label}/{n}.png", "{label}/{n}/img.png", "C:\\d\\{label}\\{n}.png", "img_{label}_{n}.png"]
)
def test_a_label_in_a_path_is_named_wherever_it_stands(path):
    def some(name: str, n: int, seed: int) -> pa.Table:
        rng, rows = np.random.default_rng(seed), []
        for k in range(n):
            harmful = bool(rng.random() < 0.2)
            at = path.format(set=name, label="hate" if harmful else "none", n=rng.integers(10**6))
            cell = {"bytes": b"none", "path": at}
            rows.append({"post_id": "x", "group": f"{seed}-{k}", "image": cell, "labels": {"abuse": harmful}})
        return posts(*rows)

    found = shortcuts.look({"train": some("train", 500, 0), "test": some("test", 300, 1)}, TAXONOMY)["shortcut"]
    assert {name.partition(":")[0] for name, _ in caught(found)} == {"picture's file"}


def test_a_pair_is_named_only_where_it_tells_more_than_either_column():
    def some(n: int, seed: int) -> pa.Table:
        rng, rows = np.random.default_rng(seed), []
        for k in range(n):
            harmful = bool(rng.random() < 0.2)
            bad = rng.random() < (0.85 if harmful else 0.075)
            rows.append({"post_id": f"x{rng.integers(10**6)}", "group": f"{seed}-{k}",
                         "community": "bad" if bad else "good", "language": f"l{rng.integers(9)}",
                         "region": f"r{rng.integers(9)}", "labels": {"abuse": harmful}})  # fmt: skip
        return posts(*rows)

    for seed in range(3):
        found = shortcuts.look({"train": some(1500, seed), "test": some(800, 10 + seed)}, TAXONOMY)["shortcut"]
        assert not [name for name, _ in caught(found) if " and " in name]


def test_few_negatives_or_few_groups_are_too_few():
    def asked(n_negative: int, groups: int) -> int:
        rows = [{"group": f"g{k % groups}", "labels": {"abuse": k >= n_negative}} for k in range(120)]
        return shortcuts.look({"train": posts(*rows), "test": posts(*rows)}, TAXONOMY)["shortcut"]["of"]

    assert asked(20, 120) > 0
    assert asked(19, 120) == asked(60, 12) == 0
