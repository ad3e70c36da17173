"""The walk "Add a corpus" of CONTRIBUTING.md, done as it is written, on a copy of the repository."""

from __future__ import annotations

import pytest
from walks import comparison, copied, in_order, steps, walked

from workbench.schema import ROOT


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    return copied(tmp_path_factory.mktemp("walk") / "house")


@pytest.mark.slow
def test_the_walk_gives_two_comparisons_of_one_corpus(house):
    said = walked(house, "Add a corpus")
    assert len(said) == 4
    first, second = (comparison(house, study) for study in ("forum", "forum-database"))
    assert first["text-tfidf"]["value"] > 0.95  # rude words are easily told
    assert first["prior"]["value"] < 0.6  # the share of abuse among the judged posts is about 0.45
    assert first["text-tfidf"]["n"] == first["prior"]["n"] > 60
    # The database holds what the file held: the same posts, labels and split, so the same number.
    assert second["text-tfidf"]["value"] == first["text-tfidf"]["value"]
    for study in ("forum", "forum-database"):
        assert (house / "experiments" / study / "report.html").stat().st_size > 10_000
    assert not (ROOT / "workbench" / "corpora" / "forum.py").exists()


def test_the_module_of_the_walk_is_short_and_in_order(tmp_path):
    (module,) = [step for step in steps("Add a corpus") if "class SourceOptions" in step.code]
    in_order(module, tmp_path)
