"""Folds for out-of-fold scores: whole groups, even sizes."""

import numpy as np

from workbench.models.fit.out_of_fold import folds, held_out


def test_folds_keep_groups_whole_and_sizes_even(table, taxonomy):
    groups = ["a"] * 5 + ["b"] * 3 + [f"c{n}" for n in range(10)] + [None, None]
    train = table([{"group": group} for group in groups], taxonomy)
    fold = folds(train, 4, seed=0)
    assert len({fold[n] for n in range(5)}) == len({fold[n] for n in range(5, 8)}) == 1
    assert np.bincount(fold).max() - np.bincount(fold).min() <= 3
    assert (fold != folds(train, 4, seed=1)).any()
    assert folds(train.slice(0, 5), 4, seed=0).tolist() == [0] * 5  # one group, one fold


def test_no_post_is_scored_by_a_model_that_has_seen_its_group(table, rows, taxonomy):
    train = table(rows(40, taxonomy, 1), taxonomy)
    fold, seen = folds(train, 4, seed=0), []

    class Spy:
        """A model that remembers the groups it was fitted on and says how many of those it scores it knows."""

        def fit(self, part, validation, *, seed):
            self.groups = set(part["group"].to_pylist())
            seen.append(len(part))
            return self

        def logits(self, part):
            known = [group in self.groups for group in part["group"].to_pylist()]
            return np.repeat(np.array(known, dtype=np.float32)[:, None], 2, axis=1)

    Spy.taxonomy = taxonomy
    scores = held_out(lambda: [Spy()], train, train.slice(0, 0), fold, seed=0)
    assert scores.shape == (1, 40, 2)
    assert not scores.any()
    assert seen == [30] * 4
