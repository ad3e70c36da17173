"""Shortcuts: fields that are the label are caught, honest ones pass."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from audited_posts import TAXONOMY, divided, posts
from sklearn.metrics import average_precision_score

from workbench.evidence.audit import shortcuts

SCORES = (
    [0.0584888, 0.0550211, 0.1027528, 0.1770077],
    [0.0639702, 0.0507228, 0.1844581, 0.2917195],
    [0.0038700, 0.0785878, 0.0785878, 0.3274798],
    [0.2350813, 0.2397462, 0.2350813, 0.2824329],
)


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


def test_every_field_is_read_as_it_stands():
    when = dt.datetime(1970, 1, 3, 18, tzinfo=dt.UTC)
    author = {"id": "ann", "account_age_days": 2.5, "posts": 3, "prior_reports": 4, "prior_removals": 5}
    first = {
        "post_id": "ab12-34c",
        "text": "Two  WORDS",
        "image": {"bytes": None, "path": "a/b/c.d.PNG"},
        "author": author,
    }
    first |= {"community": "home", "language": "en", "region": "de", "created_at": when}
    first |= {"engagement": {"reactions": 6, "reports": 7, "impressions": 8}}
    told, other = shortcuts._facts(posts(first, {"post_id": "noid"})).to_dict("records")
    assert told == {
        "age": 2.5,
        "posts": 3.0,
        "prior_reports": 4.0,
        "prior_removals": 5.0,
        "reactions": 6.0,
        "reports": 7.0,
        "impressions": 8.0,
        "text": 1.0,
        "image": 1.0,
        "video": 0.0,
        "community": "home",
        "language": "en",
        "region": "de",
        "author": "ann",
        "day": 2.75,
        "hour": 18,
        "weekday": 5,
        "characters": 9.0,
        "words": 2.0,
        "capitals": 6.0,
        "image_folder": "a/b",
        "image_ending": "png",
        "id_digits": 12.0,
        "id_letters": "ab",
        "id_length": 8.0,
    }
    assert (other["id_letters"], other["id_length"], other["characters"], other["text"]) == ("noid", 4.0, 0.0, 0.0)
    assert pd.isna([other["image_folder"], other["image_ending"]]).all()
    assert np.isnan([other[name] for name in ("age", "reactions", "day", "hour", "id_digits")]).all()


def test_a_baseline_is_judged_by_a_bootstrap_over_groups():
    rng = np.random.default_rng(0)
    y, group = rng.random(120) < 0.25, np.sort(rng.integers(0, 50, 120)) + 7
    score = np.round(y + rng.normal(size=120), 1)
    judged = shortcuts._judged(y, score, group, 3)
    chance, names, draws = np.random.default_rng(3), np.unique(group), []
    for _ in range(200):
        drawn = names[chance.integers(len(names), size=len(names))]
        rows = np.concatenate([np.flatnonzero(group == name) for name in drawn])
        draws.append(average_precision_score(y[rows], score[rows]))
    lower = np.quantile(draws, 0.01)
    assert judged == {
        "average_precision": pytest.approx(average_precision_score(y, score)),
        "lower": pytest.approx(lower),
        "prevalence": pytest.approx(y.mean()),
        "positives": y.sum(),
        "rescaled": pytest.approx((lower - y.mean()) / (1 - y.mean())),
        "shortcut": False,
    }
    few = shortcuts._judged(
        np.arange(9) == 0, -np.arange(9.0), np.arange(9), 0
    )  # draws without the positive do not count
    assert (few["lower"], few["rescaled"], few["shortcut"]) == (1.0, 1.0, True)


def test_half_of_the_way_to_perfect_is_too_good(monkeypatch):
    monkeypatch.setattr(shortcuts, "average_precision_score", lambda *given, **more: 0.75)
    y = np.arange(20) < 10
    assert shortcuts._judged(y, np.zeros(20), np.arange(20), 0)["shortcut"]
    monkeypatch.setattr(shortcuts, "average_precision_score", lambda *given, **more: 0.7499)
    assert not shortcuts._judged(y, np.zeros(20), np.arange(20), 0)["shortcut"]


def test_trees_on_numbers_and_on_smoothed_rates_of_categories():
    # the numbers change with the trees, their seed and how categories are encoded
    rng = np.random.default_rng(4)
    y = rng.random(300) < 0.3
    frame = pd.DataFrame({"hour": rng.normal(size=300) + y, "community": rng.choice(["a", "b", "c", None], 300)})
    frame["day"] = rng.normal(size=300)
    scores = shortcuts._scored(frame[:200], y[:200], frame[200:], 1)
    assert scores[:4] == pytest.approx(SCORES[0], rel=1e-5)
    assert shortcuts._scored(frame[:200], y[:200], frame[200:], 2)[:4] == pytest.approx(SCORES[1], rel=1e-5)

    def parts(name: str) -> tuple:
        return frame[[name]][:200], y[:200], frame[[name]][200:]

    assert shortcuts._scored(*parts("hour"), 1)[:4] == pytest.approx(SCORES[2], rel=1e-5)
    assert shortcuts._scored(*parts("community"), 1)[:4] == pytest.approx(SCORES[3], rel=1e-5)


def rows_of(positives: int, n: int, seed: int, **labels) -> list[dict]:
    """Return posts whose first ones are abuse in a place of their own, and nudity among `labels`."""
    return [
        {"group": f"{seed}-{k}", "community": "bad" if k < positives else "good", "post_id": "x",
         "labels": {"abuse": k < positives, **{name: k < count for name, count in labels.items()}}}
        for k in range(n)
    ]  # fmt: skip


def test_twenty_positives_on_either_side_are_enough_and_a_label_that_all_posts_have_is_left_out(monkeypatch):
    monkeypatch.setattr(shortcuts, "_scored", lambda train, y, test, seed: (test["community"] == "bad").to_numpy(float))

    def asked(train: list[dict], test: list[dict]) -> list[str]:
        found = shortcuts.look({"train": posts(*train), "test": posts(*test)}, TAXONOMY)["shortcut"]
        return [row["label"] for row in found["scores"]]

    assert asked(rows_of(20, 50, 0), rows_of(20, 50, 1)) == ["abuse"]
    assert asked(rows_of(19, 50, 0), rows_of(30, 50, 1)) == asked(rows_of(30, 50, 0), rows_of(19, 50, 1)) == []
    assert asked(rows_of(50, 50, 0), rows_of(30, 50, 1)) == asked(rows_of(30, 50, 0), rows_of(50, 50, 1)) == []


def test_shortcuts_are_told_the_surest_first_with_all_posts_of_their_labels(monkeypatch):
    other = TAXONOMY.names[1]
    monkeypatch.setattr(shortcuts, "_scored", lambda train, y, test, seed: (test.iloc[:, 0] == "bad").to_numpy(float))
    train, test = (posts(*rows_of(30, 80, seed, **{other: 33})) for seed in (0, 1))
    found = shortcuts.look({"train": train, "test": test}, TAXONOMY)["shortcut"]
    assert (found["overlap"], found["of"], found["posts"]) == (2, 2, 160)
    assert [row["fields"] for row in found["scores"]] == ["community"] * 2
    first, second = found["examples"]
    assert first == {
        "content": "community alone ranks abuse with average precision 1.00 (at least 1.00; a random order 0.38)",
        "posts": [],
    }
    assert second["content"].startswith(f"community alone ranks {other} with average precision 0.9")


def test_a_field_that_only_some_posts_tell_is_a_baseline():
    train = [row | {"community": "bad" if row["community"] == "bad" else None} for row in rows_of(30, 80, 0)]
    test = [row | {"group": None} for row in rows_of(30, 80, 1)]
    found = shortcuts.look({"train": posts(*train), "test": posts(*test)}, TAXONOMY)["shortcut"]
    assert [row["fields"] for row in found["scores"]] == ["community"]
