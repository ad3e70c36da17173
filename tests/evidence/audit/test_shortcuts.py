"""Shortcuts: fields that are the label are caught, honest ones pass."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from audited_posts import TAXONOMY, divided, posts

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
