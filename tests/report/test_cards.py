"""Cards: the hub's library reads them back, their numbers are the comparison's, and gaps stay open to the eye."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from huggingface_hub import DatasetCard, ModelCard

from workbench.comparison.rows import Comparison
from workbench.comparison.run_files import Metrics
from workbench.report import cards


@pytest.fixture(scope="module")
def written(tmp_path_factory, comparison, runs):
    return cards.write(tmp_path_factory.mktemp("study"), Comparison.model_validate(comparison), runs)


def test_every_run_has_a_card_and_the_posts_have_one(written):
    assert sorted(path.name for path in written.iterdir()) == [
        "cross.md", "data.md", "pixels.md", "prior.md", "words.md"
    ]  # fmt: skip


def test_the_hub_reads_the_scores_of_the_comparison(written, comparison):
    card = ModelCard.load(written / "cross.md")
    found = {(one.metric_type, one.metric_args["label"]): one for one in card.data.eval_results}
    row = next(
        row
        for row in comparison["models"]
        if (row["model"], row["test"], row["view"], row["label"], row["metric"])
        == ("cross", "test", "paired", "abuse", "recall")
    )
    one = found["recall", "abuse"]
    assert (one.metric_value, one.metric_args["lo"], one.metric_args["n"]) == (row["value"], row["lo"], row["n"])
    assert card.data.model_name == "cross"
    assert {"content-moderation", "text", "image"} <= set(card.data.tags)


def test_numbers_at_the_site_stand_beside_those_of_the_sample_and_label_posts_are_called_so(small, tmp_path):
    weight = np.where(np.arange(small.N) % 2, 0.5, 2.0)
    runs = small.four(tmp_path, weight=weight)
    (tmp_path / "study").mkdir()
    comparison = small.compared(runs)
    text = (cards.write(tmp_path / "study", comparison, runs) / "cross.md").read_text(encoding="utf-8")
    (row,) = comparison.rows(model="cross", label="abuse", metric="recall_site")
    heads, *lines = (line.split(" | ") for line in text.splitlines() if line.startswith("| "))
    found = dict(zip(heads, next(line for line in lines if line[0] == "| abuse"), strict=True))
    assert found["recall at the site"] == f"{row.value:.3f} [{row.lo:.3f}, {row.hi:.3f}]"
    assert found["harmful"] == f"{row.positives}"
    assert next(line for line in lines if line[0] == "| mean over labels")[2].endswith(" label-posts")


def test_what_no_record_tells_stays_open(written):
    text = (written / "cross.md").read_text(encoding="utf-8")
    assert "- Licence of the weights: **not stated: fill in**" in text
    assert "- libraries: **not stated: fill in**" in text  # these runs record no versions
    assert "- commit: 0123456789abcdef, with uncommitted changes" in text


def test_a_card_says_what_is_removed_without_a_person(comparison, runs):
    asked = {"objective": {"precision": 0.9, "sure": 0.9}, "posts": 300, "harmful": 20}
    shares = {"precision": [0.93, 0.8, 0.98], "recall": [0.5, 0.4, 0.6], "few": False}
    able = {"chosen": asked | {"at": 0.87}, "test": {"flagged": 40, "sample": shares, "site": None}}
    none = {"chosen": asked | {"at": None, "why": "too few", "proven": 0.7}}
    removal = {"abuse": {"0": able, "1": able}, "violence": {"0": none, "1": none}}
    run = replace(runs[3], metrics=Metrics.model_validate({"removal": removal}))
    text = cards.model_card(Comparison.model_validate(comparison), run)
    assert "- abuse: Removal asks for precision of at least 0.9, sure to 90 %; all 2 trainings have a threshold" in text
    assert (
        "- violence: Removal asks for precision of at least 0.9, sure to 90 %; no threshold serves it, so nothing"
        in text
    )
    assert "A precision of 0.7 is proven, sure to 90 %." in text
    assert "| abuse | cross, seed 1 | 0.870 | 40 | 0.93 [0.80, 0.98] | 0.50 [0.40, 0.60] | – | – |" in text


def test_a_card_of_a_run_that_recorded_no_removal_says_so(written):
    said = (written / "cross.md").read_text(encoding="utf-8").split("## What it removes without a person")[1]
    assert "the run did not record it" in said.split("##")[0]


@pytest.mark.parametrize(("dirty", "words"), [(False, "nothing uncommitted"), (None, "state unknown")])
def test_a_card_says_whether_the_code_was_committed(comparison, runs, dirty, words):
    run = replace(runs[3], record=runs[3].record.model_copy(update={"dirty": dirty}))
    text = cards.model_card(Comparison.model_validate(comparison), run)
    assert f"- commit: 0123456789abcdef, {words}\n" in text


def test_the_data_card_counts_the_posts(written, runs):
    card = DatasetCard.load(written / "data.md")
    test = runs[0].sets["test"]
    n = sum(len(scores.post_id) for scores in runs[0].sets.values()) + 8000
    assert card.data.size_categories == ("1K<n<10K" if n < 10_000 else "10K<n<100K")
    known, yes = int(test.known[:, 0].sum()), int((test.y & test.known)[:, 0].sum())
    assert f"| abuse | test | {yes} | {known - yes} | {len(test.known) - known} |" in card.content
    assert "no run recorded it" in card.content  # what crosses the split
    assert card.content.count(cards.OPEN) >= 5


def test_a_card_of_a_model_that_is_gone_goes(tmp_path, comparison, runs):
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "old.md").write_text("old")
    place = cards.write(tmp_path, Comparison.model_validate(comparison), runs)
    assert not (place / "old.md").exists()


def test_hostile_names_stay_inside_the_folder(small, tmp_path):
    runs = [small.write(tmp_path, "../" + small.HOSTILE, small.good(), modalities=small.BOTH)]
    place = cards.write(tmp_path, small.compared(runs, pairs=[]), runs)
    assert len(list(place.iterdir())) == 2
    assert not list(tmp_path.glob("*.md"))
