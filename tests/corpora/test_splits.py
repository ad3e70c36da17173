"""Splits: no group crosses, rare labels are everywhere, and neither row order nor chance decides."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from posts_to_divide import TAXONOMY, posts

from workbench.corpora.splits import SPLITS, SplitOptions, _numbered, assign, divide
from workbench.errors import WorkbenchError
from workbench.evidence import audit


def split(table: pa.Table, **options) -> np.ndarray:
    return assign(table, TAXONOMY, SplitOptions(**options))


def overlap(table: pa.Table, found: np.ndarray) -> dict:
    return audit.overlap({name: table.filter(pa.array(found == name)) for name in SPLITS})


def shares(found: np.ndarray, where: np.ndarray | slice = slice(None)) -> list[float]:
    return [float((found[where] == name).mean()) for name in SPLITS]


def test_shares_and_strata_are_kept():
    rng = np.random.default_rng(0)
    abuse = (rng.random(4000) < 0.02).tolist()
    pictures = (rng.random(4000) < 0.2).tolist()
    found = split(posts(list(range(4000)), abuse=abuse, pictures=pictures))
    assert shares(found) == pytest.approx([0.6, 0.15, 0.25], abs=0.001)
    # about 80 positives, about 16 of them with a picture: each split gets its share to within a post per stratum
    for where in (np.array(abuse), np.array(pictures), np.array(abuse) & np.array(pictures)):
        assert shares(found, where) == pytest.approx([0.6, 0.15, 0.25], abs=2 / where.sum())


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from([True, False, None])), min_size=60, max_size=150),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_groups_stay_whole_and_row_order_says_nothing(rows, seed, random):
    rows += [(group, None) for group in range(31)]
    table = posts([group for group, _ in rows], abuse=[label for _, label in rows])
    found = split(table, seed=seed)
    assert overlap(table, found)["group"] == {"overlap": 0, "of": 31, "posts": 0, "not_compared": 0, "examples": []}
    order = list(range(len(rows)))
    random.shuffle(order)
    assert split(table.take(order), seed=seed).tolist() == found[order].tolist()


def test_the_seed_changes_the_split():
    table = posts(list(range(200)))
    first, second, again = (split(table, seed=seed).tolist() for seed in (0, 1, 0))
    assert first == again
    assert first != second
    # a post's place is chance: 200 posts agree by chance on .6^2 + .15^2 + .25^2 = 45 % of their places
    assert 0.3 < np.mean([a == b for a, b in zip(first, second, strict=True)]) < 0.6


def test_three_positives_reach_training_and_test():
    abuse = [True] * 3 + [False] * 97
    found = split(posts(list(range(100)), abuse=abuse))
    # shares of 3 posts are 1.8, .45 and .75: the first goes to train, then train lacks .8 and test .75, then test
    assert sorted(found[:3]) == ["test", "train", "train"]
    assert shares(found) == pytest.approx([0.6, 0.15, 0.25], abs=0.011)


def test_many_lonely_strata_do_not_all_go_to_training():
    # 16 combinations of four labels, three posts each; what one stratum lacks the next makes up for
    table = posts(list(range(48)))
    labels = [{name: bool(row % 16 >> bit & 1) for bit, name in enumerate(TAXONOMY.names)} for row in range(48)]
    at = table.column_names.index("labels")
    table = table.set_column(at, "labels", pa.array(labels, table["labels"].type))
    assert shares(split(table)) == pytest.approx([0.6, 0.15, 0.25], abs=0.03)


def test_a_large_group_goes_to_training_and_the_rest_evens_out():
    groups = ["giant"] * 50 + list(range(50))
    found = split(posts(groups))
    assert set(found[:50]) == {"train"}
    assert shares(found) == pytest.approx([0.6, 0.15, 0.25], abs=0.01)


def test_what_cannot_be_divided_is_said():
    with pytest.raises(WorkbenchError, match="no post is left for validation: 9 posts in 1 groups"):
        split(posts(["one"] * 9))
    with pytest.raises(WorkbenchError, match="2 posts have no group"):
        split(posts([None, None, "a"]))
    with pytest.raises(WorkbenchError, match="leave nothing for training"):
        SplitOptions.parse({"validation": 0.5, "test": 0.5}, "split")


def test_by_author():
    authors = [f"a{row % 20}" for row in range(200)] + [None] * 20
    table = posts(list(range(220)), authors=authors)
    found = split(table, by="author")
    told = overlap(table, found)
    assert told["author"] == {"overlap": 0, "of": 20, "posts": 0, "not_compared": 0, "examples": []}
    assert shares(found) == pytest.approx([0.6, 0.15, 0.25], abs=0.05)
    by_group = overlap(table, split(table))["author"]
    assert by_group["overlap"] > 15  # ten posts each, spread at random
    assert by_group["posts"] == 10 * by_group["overlap"]
    with pytest.raises(WorkbenchError, match="no post names its author"):
        split(posts(list(range(9))), by="author")


def test_own_splits_are_kept_and_training_gives_up_validation():
    own = ["train"] * 100 + ["test"] * 40
    groups = [row // 2 for row in range(100)] + list(range(1000, 1040))
    table = posts(groups, own=own)
    found = split(table)
    assert set(found[100:]) == {"test"}
    assert (found[:100] == "validation").sum() in (14, 16)  # .15 of 100 in whole pairs
    assert overlap(table, found)["group"]["overlap"] == 0


def test_complete_own_splits_are_untouched_and_their_leaks_counted():
    own = ["train"] * 6 + ["validation"] * 3 + ["test"] * 3
    table = posts([0, 1, 2, 3, 4, 5, 0, 1, 8, 0, 10, 11], own=own)
    found = split(table)
    assert found.tolist() == own
    assert overlap(table, found)["group"]["overlap"] == 2  # groups 0 and 1
    assert [one["content"] for one in overlap(table, found)["group"]["examples"]] == ["0", "1"]
    assert split(table, by="column").tolist() == own


def test_train_and_validation_without_test():
    found = split(posts(list(range(100)), own=["train"] * 80 + ["validation"] * 20))
    assert set(found[80:]) == {"validation"}
    assert (found[:80] == "test").sum() == 20  # a quarter of the 80 training rows


def test_rows_without_a_split_follow_their_group_or_are_dealt_out():
    own = ["test"] * 10 + [None] * 110
    groups = [row % 10 for row in range(20)] + list(range(100, 200))
    found = split(posts(groups, own=own))
    assert set(found[:20]) == {"test"}
    assert shares(found, slice(20, None)) == pytest.approx([0.6, 0.15, 0.25], abs=0.01)
    with pytest.raises(WorkbenchError, match="110 of 120 posts have no split of their own"):
        split(posts(groups, own=own), by="column")


def test_a_hundred_thousand_posts_take_bounded_time():
    rng = np.random.default_rng(0)
    table = posts(list(range(100_000)), abuse=(rng.random(100_000) < 0.02).tolist())
    start = time.process_time()
    found = split(table)
    assert time.process_time() - start < 15  # under a second on an idle core; a million take about eight
    assert shares(found) == pytest.approx([0.6, 0.15, 0.25], abs=1e-4)


# ------------------------------------------------------------------------------------ held-out communities, later times


def dated(days: list, **given) -> pa.Table:
    """Return posts made so many days after a date, None where nobody knows."""
    table = posts(given.pop("groups", list(range(len(days)))), **given)
    moments = [None if day is None else day * 86_400_000_000 for day in days]
    kind = table.schema.field("created_at").type
    place = table.schema.get_field_index("created_at")
    return table.set_column(place, table.schema.field(place), pa.array(moments, pa.int64()).cast(kind))


def test_by_time_the_past_trains_and_the_latest_test():
    days = list(np.random.default_rng(0).permutation(100))
    found = split(dated(days), by="time", validation=0.2, test=0.3)
    for row, day in enumerate(days):
        assert found[row] == ("train" if day < 50 else "validation" if day < 70 else "test")


def test_posts_of_one_moment_stay_together_on_the_earlier_side():
    found = split(dated([0, 0, 0, 0, 1, 1, 2, 2, 3, 3]), by="time", validation=0.2, test=0.3)
    # half of ten posts is the fifth, on day 1, so all of day 1 trains; seven tenths fall on day 2
    assert found.tolist() == [*["train"] * 6, *["validation"] * 2, *["test"] * 2]
    with pytest.raises(WorkbenchError, match="no post is left for validation"):
        split(dated([0] * 5 + [1] * 5), by="time", validation=0.2, test=0.2)


def test_a_family_on_both_sides_of_the_cut_stays_where_it_came_first():
    groups = [0, 1, 2, 3, 4, 5, 0, 7, 5, 0]
    table = dated(list(range(10)), groups=groups, authors=["a"] * 10)
    found = split(table, by="time", validation=0.2, test=0.3)
    # five train, two validate, three test; family 0 came first in train, so its later posts are in no set; nor is
    # the test post of family 5, which came first in validation
    assert found.tolist() == [*["train"] * 5, "validation", "dropped", "test", "dropped", "dropped"]
    assert overlap(table, found)["group"]["overlap"] == 0
    assert overlap(table, found)["author"]["overlap"] == 1  # authors may cross, and are counted


def test_authors_may_be_kept_apart_too():
    authors = ["a", "b", None, "c", None, "d", "e", "a", "f", None]
    found = split(
        dated(list(range(10)), authors=authors), by="time", validation=0.2, test=0.3, apart=("group", "author")
    )
    assert found[7] == "dropped"  # the author of the first post; posts of nobody are no author's
    assert (found == "dropped").sum() == 1


def test_whole_communities_are_held_out():
    names = np.random.default_rng(0).integers(0, 40, 2000)
    table = posts([f"g{row // 2}" for row in range(2000)])
    table = table.set_column(
        table.schema.get_field_index("community"), "community", pa.array([f"c{one}" for one in names])
    )
    found = split(table, by="community")
    for one in range(40):
        assert len(set(found[names == one]) - {"dropped"}) == 1
    assert shares(found)[0] > 0.4
    assert overlap(table, found)["group"]["overlap"] == 0
    # what is dropped are exactly posts whose family also stands in an earlier set
    order = {name: place for place, name in enumerate(SPLITS)}
    for row in np.flatnonzero(found == "dropped"):
        assert found[row ^ 1] in order


def test_what_time_and_community_need_is_told():
    with pytest.raises(WorkbenchError, match="1 of 10 posts do not say when"):
        split(dated([*range(9), None]), by="time")
    with pytest.raises(WorkbenchError, match="no post names its community"):
        split(posts(list(range(10))), by="community")
    with pytest.raises(WorkbenchError, match="have a split of their own"):
        split(dated(list(range(10)), own=["train"] * 10), by="time")


def test_the_same_flags_have_the_same_number():
    flags = np.random.default_rng(0).random((500, 20)) < 0.1
    numbers = _numbered(flags)
    assert {*numbers} == {*range(len({*map(tuple, flags)}))}
    assert len({*zip(numbers, map(tuple, flags), strict=True)}) == len({*numbers})


def test_a_fault_in_a_further_test_set_says_in_which(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("text,y\n" + "".join(f"post {n},{n % 2}\n" for n in range(20)))
    corpus, other = (
        {"source": "files", "path": str(tmp_path / f"{name}.csv"), "text": column, "labels": {"abuse": "y"}}
        for name, column in (("a", "text"), ("b", "txt"))
    )
    with pytest.raises(WorkbenchError, match=r"^tests\.other: .*column 'txt'; did you mean 'text'"):
        divide(corpus, {}, {"other": other}, TAXONOMY)
    with pytest.raises(WorkbenchError, match=r"^(?!tests).*column 'txt'"):
        divide(other, {}, {"other": corpus}, TAXONOMY)
