"""`workbench migrate` on a finished study: tables in the terminal, as CSV and as a page, and what it refuses."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from finished_study import WORDS, finish, written
from typer.testing import CliRunner

from workbench import cli
from workbench.comparison.parts.migration import MATCHES
from workbench.studies import compare
from workbench.studies.config import StudyConfig
from workbench.studies.steps import migrate

ROWS = 120  # of the finished study


@pytest.fixture
def call():
    return lambda *arguments: CliRunner().invoke(cli.app, ["migrate", *map(str, arguments)])


@pytest.fixture
def vendors(study, tmp_path) -> StudyConfig:
    """A study with two recorded systems, one that scores and one that answers yes or no, and their finished runs."""
    values = json.loads(study.path.read_text())
    rows = ["post_id,abuse,says", *(f"p{n},{n / ROWS},{'yes' if n % 2 else 'no'}" for n in range(ROWS))]
    (tmp_path / "vendor.csv").write_text("\n".join(rows))
    recorded = {"path": str(tmp_path / "vendor.csv"), "modalities": ["text"]}
    answers = recorded | {"columns": {"abuse": "says"}, "decisions": {"yes": True, "no": False}}
    values["models"] += [
        {"name": "scores", "as": "vendor", "options": recorded | {"cost_per_call": 0.002}},
        {"name": "scores", "as": "answers", "options": answers},
    ]
    study.path.write_text(json.dumps(values | {"cost": {"price_per_hour": 3.6, "currency": "EUR"}}))
    study = StudyConfig.load(study.path)
    for name, folder in finish(study, ["a", "b", "vendor", "answers"]).items():
        _only_abuse(folder, name)
    return study


def _only_abuse(folder, name):
    """Leave scores of other labels out, and make those of the recorded systems what their file says."""
    table = pq.read_table(folder / "predictions.parquet")
    frame = table.to_pandas()
    number = frame["post_id"].str[1:].astype(int)
    if name in ("vendor", "answers"):
        frame[[name for name in frame if name.endswith(("nudity", "violence", "misinformation"))]] = np.nan
        prob = number / ROWS if name == "vendor" else (number % 2).astype(float)
        prob = prob.clip(1e-12, 1 - 1e-12)
        frame["logit_abuse"] = np.float32(np.log(prob) - np.log1p(-prob))
        frame["prob_abuse"] = 0.5 * prob  # calibrated: what it says in its own scale is another number
    made = type(table).from_pandas(frame, preserve_index=False).replace_schema_metadata(table.schema.metadata)
    pq.write_table(made, folder / "predictions.parquet")


def test_a_threshold_is_meant_in_the_scale_of_the_file(vendors, call, tmp_path):
    compare.recompare(vendors.path)
    out = tmp_path / "table.csv"
    shown = call(vendors.path, "--from", "vendor", "--to", "b", "--threshold", "abuse=0.5", "-o", out)
    assert shown.exit_code == 0, shown.output
    table = pd.read_csv(out)
    assert table["matched_by"].tolist()[1:] == [*MATCHES, "own"]
    test = pq.read_table(vendors.folder / "posts.parquet").to_pandas().query("split == 'test'")
    number = test["post_id"].str[1:].astype(int)
    assert table["flagged"][0] == pytest.approx((number >= ROWS / 2).mean())
    assert table["recall"][0] == pytest.approx((number >= ROWS / 2)[test["y_abuse"].astype(bool)].mean())
    assert table["posts"].unique().tolist() == [len(test)]
    assert table["cost_per_1000"][0] == 2
    assert table["chosen_on"].unique().tolist() == ["validation"]
    posts = pd.read_csv(tmp_path / "table-posts.csv")
    assert set(posts["matched_by"]) <= {*MATCHES, "own"}
    assert posts["text"].str.startswith(WORDS).all()
    theirs = posts["post_id"].str[1:].astype(int) >= ROWS / 2
    assert ((posts["theirs"] == "yes") == theirs).all()
    assert (posts["ours"] != posts["theirs"]).all()
    first = posts[posts["matched_by"] == "recall"]
    assert first[first["theirs"] == "yes"]["probability"].is_monotonic_increasing
    assert first[first["theirs"] == "no"]["probability"].is_monotonic_decreasing


def test_the_terminal_shows_a_few_posts_and_the_chosen_model_by_default(vendors, call):
    chosen = compare.recompare(vendors.path).chosen
    theirs = "vendor" if chosen != "vendor" else "answers"
    given = ["--threshold", "abuse=0.5", "--threshold", "abuse=0.6"] if theirs == "vendor" else []
    shown = call(vendors.path, "--from", theirs, *given)
    assert shown.exit_code == 0, shown.output
    for words in (f"minus {theirs}", "same recall", "as the study chose it", f"{chosen} passes", "EUR per 1,000 posts"):
        assert words in shown.output
    assert len([line for line in shown.output.splitlines() if line.startswith("  p")]) <= 4 * 5


def test_answers_of_yes_and_no_need_no_threshold(vendors, call):
    shown = call(vendors.path, "--from", "answers", "--to", "b")
    assert shown.exit_code == 0, shown.output
    assert "yes or no" in shown.output
    refused = call(vendors.path, "--from", "answers", "--to", "b", "--threshold", "abuse=0.7")
    assert refused.stderr == "error: answers answers yes or no, so it has no threshold; leave out --threshold\n"


def test_a_page_holds_all_posts_and_no_address(vendors, call, tmp_path):
    out = tmp_path / "page.html"
    assert call(vendors.path, "--from", "vendor", "--to", "b", "--threshold", "abuse=0.5", "-o", out).exit_code == 0
    page = out.read_text()
    assert "Which thresholds of b replace those of vendor?" in page
    assert "<h1>Study s: from vendor to b</h1>" in page
    assert "://" not in page
    posts = migrate._found(vendors, "vendor", ["abuse=0.5"], "b", "").replaced[0].matches[0].disagreed
    assert all(post.post_id in page for post in posts)


def test_a_model_of_ours_is_replaced_at_its_calibrated_probability(vendors):
    found = migrate._found(vendors, "a", ["abuse=0.5"], "b", "test")
    assert found.replaced[0].cut.kind == "prob"
    assert found.costs["a"] is None


def test_without_a_price_there_is_no_column_of_costs(study, tmp_path, call):
    written(tmp_path)
    finish(study, "ab")
    shown = call(study.path, "--from", "a", "--to", "b", "--threshold", "abuse=0.5")
    assert shown.exit_code == 0, shown.output
    assert "per 1,000 posts" not in shown.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from", "vendro", "--threshold", "abuse=0.5"], "unknown model 'vendro'; did you mean 'vendor'?"),
        (["--from", "vendor"], "name the thresholds in use at vendor, as in --threshold abuse=0.7"),
        (["--from", "vendor", "--threshold", "abuse"], "'abuse' is not of the form LABEL=THRESHOLD"),
        (["--from", "vendor", "--threshold", "abuse=nan"], "'abuse=nan' is not of the form LABEL=THRESHOLD"),
        (["--from", "vendor", "--threshold", "abuse=70"], "'abuse=70' is no probability from 0 to 1"),
        (["--from", "vendor", "--threshold", "abose=0.7"], "unknown label 'abose'; did you mean 'abuse'?"),
        (["--from", "vendor", "--threshold", "nudity=0.7"], "vendor has no scores of 'nudity' on 'test'"),
        (["--from", "vendor", "--threshold", "abuse=1"], "vendor at abuse=1 flags none of the"),
        (["--from", "vendor", "--threshold", "abuse=0"], "vendor at abuse=0 flags every one of the"),
        (["--from", "vendor", "--threshold", "abuse=0.7", "--test", "tset"], "unknown test set 'tset'"),
        (["--from", "vendor", "--threshold", "abuse=0.7", "--test", "validation"], "unknown test set 'validation'"),
        (["--from", "vendor", "--threshold", "abuse=0.7", "-o", "x.pdf"], "its name must end in .html or .csv"),
        (["--from", "vendor", "--threshold", "abuse=0.7", "--to", "vendor"], "vendor cannot replace itself"),
        (["--from", "vendor", "--threshold", "abuse=0.7", "--to", "c"], "c has no finished run"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(vendors, call, arguments, says):
    arguments = arguments if "--to" in arguments else [*arguments, "--to", "b"]
    shown = call(vendors.path, *arguments)
    assert shown.exit_code == 2
    assert says in shown.stderr
    assert shown.stderr.count("\n") == 1


def test_a_study_that_chose_the_one_to_be_replaced_asks_for_another(vendors, call, monkeypatch):
    monkeypatch.setattr(migrate.Comparison, "load", lambda folder: SimpleNamespace(chosen="vendor"))
    shown = call(vendors.path, "--from", "vendor", "--threshold", "abuse=0.5")
    assert "study 's' chose vendor itself; name the one that is to replace it with --to" in shown.stderr


def test_folds_have_no_one_threshold(vendors, call):
    values = json.loads(vendors.path.read_text()) | {"split": {"folds": 5}}
    vendors.path.write_text(json.dumps(values))
    shown = call(vendors.path, "--from", "vendor", "--threshold", "abuse=0.5")
    assert "tests its posts in 5 folds" in shown.stderr


def test_what_a_spreadsheet_would_run_is_written_as_text():
    lines = [*csv.reader(migrate._csv(pd.DataFrame({"text": ["=1+1", "plain", None], "n": [1, 2, 3]})).splitlines())]
    assert lines == [["text", "n"], ["'=1+1", "1"], ["plain", "2"], ["", "3"]]
