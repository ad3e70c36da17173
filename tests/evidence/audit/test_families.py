"""Families of near contents: which cross the split, how they are counted and which posts are shown."""

from __future__ import annotations

import numpy as np
from audited_posts import posts

from workbench.evidence.audit.families import ContentIndex, finding

NONE = np.zeros(0, np.int64)


def index(**keys: str) -> ContentIndex:
    """Return the contents of sets given as letters, a post each; a dot is a post without content."""
    return ContentIndex(
        {name: posts(*[{}] * len(letters)) for name, letters in keys.items()},
        {"text": {name: [None if one == "." else one for one in letters] for name, letters in keys.items()}},
    )


def found(contents: ContentIndex, *pairs: tuple[int, int, float]) -> dict:
    i, j, similarity = (np.array(part) for part in zip(*pairs, strict=True))
    return finding(contents, i, j, similarity, lambda a, b, pair: f"{a} {b} {similarity[pair]:g}")


def test_contents_are_numbered_as_they_are_met_and_know_where_they_stand():
    contents = index(test="a.b", train="bca", more="dda")
    assert len(contents) == 4
    assert contents.content.tolist() == [0, 1, 1, 2, 0, 3, 3, 0]
    assert contents.place.tolist() == [0, 0, 1, 1, 1, 2, 2, 2]
    assert contents.row.tolist() == [0, 2, 0, 1, 2, 0, 1, 2]
    assert contents.first.tolist() == [0, 1, 3, 5]
    assert contents.post(1) == ["test", "p2"]
    assert contents.cell(6, "post_id") == "p1"
    assert len(set(contents.kind.tolist())) == 4


def test_contents_cross_where_one_of_two_sets_was_fitted_on():
    contents = index(test="at", train="btx", validation="c", more="dx")  # t: train and test; x: train and more
    names = "atbxcd"

    def crossing(letter: str) -> str:
        row = contents.crosses[contents.kind[names.index(letter)]]
        return "".join(one for one in names if row[contents.kind[names.index(one)]])

    assert {letter: crossing(letter) for letter in names} == {
        "a": "tbxc",
        "t": "atbxcd",
        "b": "atxcd",
        "x": "atbxcd",
        "c": "atbxd",
        "d": "tbxc",
    }
    # positions: test a 0, t 1; train b 2, t 3, x 4; validation c 5; more d 6, x 7
    assert contents.ends(0, 3) == (0, 4)
    assert contents.ends(1, 5) == (3, 6)  # two test sets may share what they like
    assert contents.ends(2, 3) == (2, 7)  # both stand in train, which is no crossing
    assert contents.ends(4, 3) == (5, 4)


def test_families_are_counted_with_their_posts_and_the_largest_are_shown_by_their_nearest_pair():
    contents = index(train="abbcde", test="ABCCDf")  # a 0, b 1, c 2, d 3, e 4; A 5, B 6, C 7, D 8, f 9
    pairs = [(3, 9, 0.6), (0, 6, 0.9), (2, 8, 0.5), (0, 5, 0.9), (1, 7, 0.7), (3, 4, 1.0)]  # d and e are both in train
    leak = found(contents, *pairs)
    assert (leak["overlap"], leak["of"], leak["posts"]) == (4, 5, 11)
    assert leak["test_posts"] == 6
    assert leak["examples"] == [
        {"content": "1 8 0.7", "posts": [["train", "p1"], ["test", "p2"]]},
        {"content": "0 6 0.9", "posts": [["train", "p0"], ["test", "p0"]]},
        {"content": "3 10 0.5", "posts": [["train", "p3"], ["test", "p4"]]},
        {"content": "4 11 0.6", "posts": [["train", "p4"], ["test", "p5"]]},
    ]


def test_the_nearest_pair_of_a_family_is_shown_whichever_comes_first():
    leak = found(index(train="ab", test="AB"), (0, 2, 0.6), (0, 3, 0.7), (1, 3, 0.9))
    assert (leak["overlap"], leak["of"], leak["posts"]) == (1, 1, 4)
    assert [example["content"] for example in leak["examples"]] == ["1 3 0.9"]


def test_forty_families_are_shown_and_none_where_nothing_is_near():
    some, others = ("".join(map(chr, range(start, start + 41))) for start in (1000, 2000))
    leak = found(index(train=some, test=others), *[(k, 41 + k, 0.5) for k in range(41)])
    assert (leak["overlap"], len(leak["examples"])) == (41, 40)
    leak = finding(index(train="ab", test="AB"), NONE, NONE, np.zeros(0), str)
    assert leak == {"overlap": 0, "of": 4, "posts": 0, "test_posts": 0, "examples": []}
    assert finding(index(train="", test="."), NONE, NONE, np.zeros(0), str)["of"] == 0
