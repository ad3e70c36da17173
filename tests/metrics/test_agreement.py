"""Agreement: the published worked examples, hand-computed cases, and soft scores that are plain ones on hard labels."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.metrics import agreement

# Fleiss 1971's form of table, 14 annotators, 10 subjects, 5 categories; the worked example of textbooks: kappa .210
FLEISS = [
    *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
    *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
]
# Krippendorff 2011, example C: 4 observers, 12 units, 5 values, gaps; nominal alpha .743
OBSERVERS = ["1 2 3 3 2 1 4 1 2 - - -", "1 2 3 3 2 2 4 1 2 5 - 3", "- 3 3 3 2 3 4 2 2 5 1 -", "1 2 3 3 2 4 4 1 2 5 1 -"]
UNITS = list(zip(*(row.split() for row in OBSERVERS), strict=True))
KRIPPENDORFF = [[unit.count(str(value)) for value in range(1, 6)] for unit in UNITS]


def test_the_worked_examples_of_the_papers():
    assert agreement.fleiss_kappa(FLEISS) == pytest.approx(0.210, abs=5e-4)
    assert agreement.krippendorff_alpha(KRIPPENDORFF) == pytest.approx(0.743, abs=5e-4)


def test_small_cases_by_hand():
    # three posts of two votes: agree, agree, differ: 2 of 3
    votes = [[2, 0], [0, 2], [1, 1]]
    assert agreement.raw_agreement(votes) == pytest.approx(2 / 3)
    # chance: half yes, half no: .5; kappa (2/3 - 1/2) / (1/2)
    assert agreement.fleiss_kappa(votes) == pytest.approx(1 / 3)
    # coincidences: yes-yes 2, no-no 2, yes-no 1 and 1; n 6: alpha = 1 - 5 * 2 / (36 - 18)
    assert agreement.krippendorff_alpha(votes) == pytest.approx(1 - 10 / 18)


def test_who_stands_alone_says_nothing_and_unanimity_everywhere_is_undefined():
    assert agreement.raw_agreement([[2, 0], [1, 0], [0, 1]]) == 1
    assert np.isnan(agreement.krippendorff_alpha([[3, 0], [2, 0]]))
    assert np.isnan(agreement.fleiss_kappa([[3, 0], [3, 0]]))
    for metric in (agreement.raw_agreement, agreement.fleiss_kappa, agreement.krippendorff_alpha):
        assert np.isnan(metric(np.zeros((0, 2))))
        assert np.isnan(metric([[1, 0]]))
        with pytest.raises(ValueError, match="0 or more"):
            metric([[-1, 2]])
    with pytest.raises(ValueError, match="krippendorff_alpha"):
        agreement.fleiss_kappa([[2, 0], [3, 0]])


def test_random_answers_agree_as_by_chance_and_alpha_takes_gaps():
    votes = np.random.default_rng(0).multinomial(3, [0.3, 0.7], size=20_000)
    assert agreement.krippendorff_alpha(votes) == pytest.approx(0, abs=0.01)
    assert agreement.fleiss_kappa(votes) == pytest.approx(0, abs=0.01)
    mixed = np.concatenate([votes, np.random.default_rng(1).multinomial(5, [0.3, 0.7], size=20_000)])
    assert agreement.krippendorff_alpha(mixed) == pytest.approx(0, abs=0.01)


def test_what_is_no_table_of_counts_is_refused():
    for counts in ([2, 1], [[[2, 1]]]):
        with pytest.raises(ValueError, match="0 or more"):
            agreement.raw_agreement(counts)


def test_three_categories_and_unequal_numbers_of_annotators_by_hand():
    counts = [[3, 0, 1], [0, 2, 0], [1, 1, 1], [0, 0, 1]]  # the last post has one annotator and says nothing
    # agreeing pairs of all: 3 of 6, 1 of 1, 0 of 3
    assert agreement.raw_agreement(counts) == pytest.approx((1 / 2 + 1 + 0) / 3)
    # pairs of one post count 1 / (annotators - 1) each: a-a 2, a-c 1, b-b 2, then half of a-b, a-c and b-c; both ways
    # a 2 + 1 + 1/2 + 1/2, b 2 + 1/2 + 1/2, c 1 + 1/2 + 1/2: 9 in all, 4 of them on the diagonal
    assert agreement.krippendorff_alpha(counts) == pytest.approx(1 - 8 * (9 - 4) / (81 - 16 - 9 - 4))
    # of six votes three are a, two b and one c; pairs that agree: 1 of 3 and 0 of 3
    chance = (9 + 4 + 1) / 36
    assert agreement.fleiss_kappa([[2, 1, 0], [1, 1, 1]]) == pytest.approx((1 / 6 - chance) / (1 - chance))


def test_votes_make_a_soft_label():
    np.testing.assert_array_equal(agreement.vote_share([[1, 0], [0, 2], [1, 3], [0, 0]]), [1, 0, 0.25, np.nan])
