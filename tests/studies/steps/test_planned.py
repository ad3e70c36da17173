"""Plans: what was chosen before the first scoring, what came later, and that each is told as what it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
from finished_study import PAIRS, finish, written

from workbench import corpora
from workbench.artifacts import read_json, write_json
from workbench.comparison.rows import Difference
from workbench.comparison.rows.plans import PlanRecord
from workbench.corpora import splits
from workbench.errors import WorkbenchError
from workbench.report import sections
from workbench.schema import Taxonomy
from workbench.studies import compare, worker
from workbench.studies.config import StudyConfig
from workbench.studies.plan import plan
from workbench.studies.steps import planned as plans
from workbench.studies.steps import prepare
from workbench.studies.steps.planned import StudyPlan


def planned(study: StudyConfig) -> dict:
    """Return what a study's present plan says of when, of which posts and what."""
    kept = read_json(study.folder / "plan.json")
    return {name: kept[name] for name in ("written", "posts", "compare")}


@pytest.mark.parametrize("change", ["digest", "reader"])
def test_a_plan_stays_where_the_same_posts_come_of_other_code(study, tmp_path, monkeypatch, change):
    finish(study, "abc")
    first = read_json(study.folder / "plan.json")
    if change == "digest":  # as of a generated corpus, whose digest tells of its code
        digest = corpora.digest
        monkeypatch.setattr(corpora, "digest", lambda *given: f"{digest(*given)[:8]} by other code")
    else:
        monkeypatch.setattr(corpora, "code", lambda config: "another reader")
    later = written(tmp_path, pairs=[["b", "c"]], metric="roc_auc")  # chosen after the results were seen
    finish(later, "ab")
    assert planned(study) == {name: first[name] for name in ("written", "posts", "compare")}
    found = compare.recompare(later.path)
    assert (found.names, found.made_from.planned) == (["a", "b", "c"], ())
    assert not [row for row in found.differences if row.primary]
    prose = sections.differences(found).prose
    assert prose.startswith("Metric and pairs changed on ")
    assert "What the study asks was not planned before anything was scored" in prose
    assert "asked for no comparison" not in prose


def differences(study: StudyConfig) -> dict[tuple[str, str], Difference]:
    return {row.pair: row for row in compare.recompare(study.path).differences if row.primary}


def test_the_family_is_the_planned_one_while_a_model_is_missing(study, tmp_path):
    study = written(tmp_path, pairs=[["a", "b"], ["a", "c"], ["a", "d"]], models="abcd")
    finish(study, "abc")
    found = differences(study)
    assert set(found) == {("a", "b"), ("a", "c")}
    low, high = sorted(found.values(), key=lambda row: row.p)
    assert low.p_holm == pytest.approx(min(1, 3 * low.p))  # of three that were planned, not of two that ran
    assert high.p_holm == pytest.approx(min(1, max(3 * low.p, 2 * high.p)))


def test_without_a_plan_nothing_is_said_to_have_been_planned(study, tmp_path):
    study = written(tmp_path, pairs=[["a", "b"], ["a", "c"], ["a", "d"]], models="abcd")
    finish(study, "abc")
    before = compare.recompare(study.path)
    assert before.made_from.planned == study.compare.pairs
    assert "was chosen before anything was scored" in sections.differences(before).prose
    (study.folder / "plan.json").unlink()
    found = compare.recompare(study.path)
    assert found.made_from.planned is None
    low = min((row for row in found.differences if row.primary), key=lambda row: row.p)
    assert low.p_holm == pytest.approx(min(1, 3 * low.p))  # of three that the study's file asks
    assert "no plan says that it stood there before anything was scored" in sections.differences(found).prose


def test_what_is_added_after_the_first_scoring_is_exploratory(study, tmp_path, capsys):
    finish(study, "abc")
    first = read_json(study.folder / "plan.json")
    assert first["compare"]["pairs"] == PAIRS
    assert set(differences(study)) == {("a", "b"), ("a", "c")}
    later = written(tmp_path, pairs=[["b", "c"]])
    prepare.prepare_study(later, plan(later)[0].inputs, {})
    assert planned(study) == {name: first[name] for name in ("written", "posts", "compare")}
    rows = {row.pair: row for row in compare.recompare(later.path).differences}
    assert rows["b", "c"].primary is False
    assert rows["b", "c"].p_holm is None
    assert rows["a", "b"].primary  # it was planned, and stays
    assert "Exploratory, since it was not planned: b and c." in capsys.readouterr().out
    assert differences(written(tmp_path, metric="roc_auc")) == {}  # nobody had planned to look at this


def test_a_plan_may_change_until_something_is_scored_and_for_other_posts(study, tmp_path):
    sets, _, _ = splits.divide(study.corpus, study.split, study.tests, Taxonomy.load())
    study.folder.mkdir()
    prepare.prepare_study(study, plan(study)[0].inputs, sets)
    changed = written(tmp_path, pairs=[["b", "c"]])
    finish(changed, "abc")
    assert read_json(study.folder / "plan.json")["compare"]["pairs"] == [["b", "c"]]
    other = written(tmp_path, validation=0.2)
    sets, _, _ = splits.divide(other.corpus, other.split, other.tests, Taxonomy.load())
    prepare.prepare_study(other, plan(other)[0].inputs, sets)
    assert read_json(study.folder / "plan.json")["compare"]["pairs"] == PAIRS  # nothing has scored these posts


def test_a_plan_stays_where_a_study_comes_back_to_posts_that_were_scored(study, tmp_path):
    folders = finish(study, "abc")
    first = read_json(study.folder / "plan.json")
    other = written(tmp_path, pairs=[["a", "b"]], validation=0.2)
    finish(other, "abc")
    assert read_json(study.folder / "plan.json")["compare"]["pairs"] == [["a", "b"]]
    back = written(tmp_path, pairs=[["b", "c"]])  # chosen after the results of the first posts were seen
    sets, _, _ = splits.divide(back.corpus, back.split, back.tests, Taxonomy.load())
    prepare.prepare_study(back, plan(back)[0].inputs, sets)
    assert planned(study) == {name: first[name] for name in ("written", "posts", "compare")}
    assert set(differences(back)) == {("a", "b"), ("a", "c")}
    assert all(folder.is_dir() for folder in folders.values())


def test_a_plan_that_was_deleted_is_not_written_again_once_something_was_scored(study):
    finish(study, "abc")
    (study.folder / "plan.json").unlink()
    prepare.prepare_study(study, plan(study)[0].inputs, {})
    assert not (study.folder / "plan.json").exists()
    assert compare.recompare(study.path).made_from.planned is None


def test_without_a_plan_a_missing_model_counts_in_the_family_too(study):
    finish(study, "ab")
    (study.folder / "plan.json").unlink()
    (row,) = (row for row in compare.recompare(study.path).differences if row.pair == ("a", "b"))
    assert row.p_holm == pytest.approx(min(1, 2 * row.p))  # of the two that the study asks for


def test_a_half_finished_study_is_read_without_its_unimodal_models(study, tmp_path):
    study = written(tmp_path, pairs=[["a", "best-unimodal"], ["a", "b"]], models="abc")
    finish(study, "ab", modalities=())
    assert set(differences(study)) == {("a", "b")}
    finish(study, "c", modalities=())
    with pytest.raises(WorkbenchError, match="no model with one modality"):  # it is whole, and the pair cannot be
        compare.recompare(study.path)
    assert set(differences(written(tmp_path, pairs=[["a", "b"]]))) == {("a", "b")}  # planned, and asked no more


# ------------------------------------------------------------------------------------------------- what came after it


def record(study: StudyConfig) -> PlanRecord | None:
    return compare.recompare(study.path).made_from.plan


@pytest.fixture
def clock(monkeypatch) -> list[str]:
    """The time as plans see it: the last of these."""
    times = ["2026-03-01T10:00:00+00:00"]
    monkeypatch.setattr(plans, "_now", lambda: times[-1])
    monkeypatch.setattr(worker, "now", lambda: times[-1])
    return times


def delete(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        shutil.rmtree(folder)


def test_order_defaults_that_are_written_out_and_other_resampling_change_nothing(study, tmp_path, clock):
    finish(study, "abc")
    clock.append("2026-03-05T10:00:00+00:00")
    values = json.loads(study.path.read_text())
    values["compare"] |= {"pairs": [["c", "a"], ["a", "b"]], "alpha": 0.05, "resamples": 120}
    study.path.write_text(json.dumps(values))
    later = StudyConfig.load(study.path)
    assert set(differences(later)) == {("c", "a"), ("a", "b")}  # turned round as it is asked now
    assert record(later) == PlanRecord(written=clock[0])
    assert record(later).first
    assert record(later).words == ""


@pytest.mark.parametrize(
    ("changed", "what", "family"),
    [
        ({"metric": "roc_auc"}, ("metric",), 0),
        ({"view": "paired"}, ("view",), 0),
        ({"label": "abuse"}, ("label",), 0),
        ({"pairs": [*PAIRS, ["b", "c"]]}, ("pairs",), 2),
        ({"margin": 0.2, "alpha": 0.1}, ("alpha", "margin"), 2),
        ({"pairs": PAIRS[:1]}, (), 2),  # what was planned stays, asked or not
    ],
)
def test_what_is_asked_later_is_told_with_the_day_it_was_first_seen(study, clock, capsys, changed, what, family):
    finish(study, "abc")
    values = json.loads(study.path.read_text())
    values["compare"] |= changed
    study.path.write_text(json.dumps(values))
    later = StudyConfig.load(study.path)
    clock.append("2026-03-05T10:00:00+00:00")
    inputs = plan(later)[0].inputs
    runs = [run for run in plan(later) if run.state == "done"]
    noticed = plans.notice(study.folder, inputs, later.compare, runs)
    clock.append("2026-03-09T10:00:00+00:00")  # seen again, and kept as it was first seen
    assert plans.notice(study.folder, inputs, later.compare, runs) == noticed == StudyPlan.read(study.folder)
    assert noticed.record(later.compare) == PlanRecord(written=clock[0], changed=clock[1] if what else None, what=what)
    assert len(noticed.family(later.compare)) == family
    # back to what was planned: nothing is changed any more, and the file still tells
    assert noticed.record(study.compare) == PlanRecord(written=clock[0])
    assert len(noticed.later) == bool(what)


def test_the_terminal_says_what_changed_and_when(study, tmp_path, clock, capsys):
    finish(study, "abc")
    clock.append("2026-03-05T10:00:00+00:00")
    compare.recompare(written(tmp_path, metric="roc_auc").path)
    said = capsys.readouterr().out
    assert "Metric changed on 2026-03-05, after scores were seen; the plan is of 2026-03-01.\n" in said
    assert "Exploratory, since it was not planned: a and b, a and c.\n" in said
    (study.folder / "plan.json").unlink()
    compare.recompare(study.path)
    assert "No plan.json says what was planned before these posts were scored." in capsys.readouterr().out


def test_a_further_test_set_is_no_first_scoring_of_the_one_that_was_scored(study, tmp_path, clock):
    finish(study, "abc")
    (tmp_path / "more.jsonl").write_text('{"id": "q1", "text": "more", "abuse": 1}\n')
    values = json.loads(study.path.read_text())
    more = values["corpus"] | {"path": str(tmp_path / "more.jsonl")}
    values |= {"tests": {"more": more}, "compare": values["compare"] | {"pairs": [["b", "c"]]}}
    study.path.write_text(json.dumps(values))
    clock.append("2026-03-05T10:00:00+00:00")
    later = StudyConfig.load(study.path)
    plans.begin(study.folder, plan(later)[0].inputs, later.compare)
    assert planned(study)["written"] == clock[0]
    assert planned(study)["compare"]["pairs"] == PAIRS


def test_a_corpus_that_is_divided_anew_after_it_was_scored_is_explored(study, tmp_path, clock):
    finish(study, "abc")
    clock.append("2026-03-05T10:00:00+00:00")
    other = written(tmp_path, validation=0.2)
    finish(other, "abc")
    assert differences(other) == {}
    assert record(other) == PlanRecord(written=clock[1], changed=clock[1], what=("test set",))
    # on data that nobody has scored it is a plan like any other
    fresh = written(tmp_path)
    with (tmp_path / "posts.jsonl").open("a") as file:
        file.write('{"id": "p500", "text": "a man of another day", "abuse": 0}\n')
    finish(fresh, "abc")
    assert record(fresh) == PlanRecord(written=clock[1])
    assert len(differences(fresh)) == 2


def test_deleted_results_make_a_new_first_scoring_and_the_earlier_one_is_told(study, tmp_path, clock, capsys):
    folders = finish(study, "abc")
    compare.recompare(study.path)
    clock.append("2026-03-05T10:00:00+00:00")
    delete(folders)
    folders = finish(study, "abc")  # nothing else is asked: it was still planned before anything was scored
    assert record(study) == PlanRecord(written=clock[0], before=(clock[0],))
    assert record(study).first
    told = "These posts had been scored before, and the results were deleted: first on 2026-03-01."
    assert f"{told}\n" in capsys.readouterr().out

    clock.append("2026-03-07T10:00:00+00:00")
    delete(folders)
    later = written(tmp_path, pairs=[["b", "c"]])
    finish(later, "abc")
    found = record(later)
    assert found == PlanRecord(written=clock[2], before=(clock[0], clock[1]))
    assert not found.first
    assert found.words == (
        "These posts had been scored before, and the results were deleted: first on 2026-03-01, 2026-03-05. "
        "What was planned for them on 2026-03-07 was planned after that."
    )
    assert set(differences(later)) == {("b", "c")}  # planned anew, which is not before anything was scored


def test_plans_of_earlier_versions_are_read(study, clock):
    finish(study, "abc")
    values = read_json(study.folder / "plan.json")
    block = {name: values["compare"][name] for name in ("metric", "label", "view", "pairs")}
    older = {"written": values["written"], "posts": values["posts"], **block, "others": []}
    write_json(study.folder / "plan.json", older)
    assert set(differences(study)) == {("a", "b"), ("a", "c")}
    assert record(study) == PlanRecord(written=clock[0])


def of_sets(tmp_path: Path, compared: list[str] | str = "test", posts: int = 60) -> StudyConfig:
    """Return the study with four further test sets, each in a file of another format."""
    study = written(tmp_path)
    rows = [{"id": f"x{n}", "text": f"a man of day {n}", "abuse": n % 4 == 1} for n in range(posts)]
    table = pa.Table.from_pylist(rows)
    (tmp_path / "b.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    csv.write_csv(table, tmp_path / "a.csv")
    csv.write_csv(table, tmp_path / "c.tsv", csv.WriteOptions(delimiter="\t", quoting_style="none"))
    pq.write_table(table, tmp_path / "d.parquet")
    values = json.loads(study.path.read_text())
    mapped = {"source": "files", "post_id": "id", "text": "text", "labels": {"abuse": "abuse"}}
    files = {"comma": "a.csv", "lines": "b.jsonl", "tabs": "c.tsv", "columns": "d.parquet"}
    values["tests"] = {name: mapped | {"path": str(tmp_path / file)} for name, file in files.items()}
    values["compare"]["test"] = compared
    study.path.write_text(json.dumps(values))
    return StudyConfig.load(study.path)


EVERY = ["test", "comma", "lines", "tabs", "columns"]


def primary(study: StudyConfig) -> set[tuple[str, str]]:
    return {(row.test, row.pair) for row in compare.recompare(study.path).differences if row.primary}


def test_sets_in_different_files_are_one_family(study, tmp_path):
    study = of_sets(tmp_path, EVERY)
    finish(study, "abc")
    found = compare.recompare(study.path)
    rows = [row for row in found.differences if row.primary]
    assert {(row.test, row.pair) for row in rows} == {(test, tuple(pair)) for test in EVERY for pair in PAIRS}
    lowest = min(rows, key=lambda row: row.p)
    assert lowest.p_holm == pytest.approx(min(1, 10 * lowest.p))  # two pairs on five sets
    assert found.made_from.tests == tuple(EVERY)
    assert "chosen before anything was scored" in sections.differences(found).prose
    (table,) = (section.tables[""] for section in sections.sections(found, []) if section.key == "transfer")
    assert table.shape == (3, 5)


def test_a_set_that_is_named_after_the_first_scoring_is_exploratory(study, tmp_path, capsys):
    study = of_sets(tmp_path, ["test", "comma"])
    finish(study, "abc")
    before = primary(study)
    assert before == {(test, tuple(pair)) for test in ("test", "comma") for pair in PAIRS}
    later = of_sets(tmp_path, ["test", "comma", "lines"])
    assert primary(later) == before
    said = capsys.readouterr().out
    assert "Test sets changed on " in said
    assert "Exploratory, since it was not planned: all on lines." in said
    fewer = of_sets(tmp_path, "lines")  # what was planned stays in the family, and is shown
    assert primary(fewer) == before
    assert compare.recompare(fewer.path).tests == ("lines", "test", "comma")


def test_a_set_whose_posts_changed_after_the_first_scoring_is_exploratory(study, tmp_path, capsys):
    finish(of_sets(tmp_path, ["test", "comma"]), "abc")
    other = of_sets(tmp_path, ["test", "comma"], posts=59)
    finish(other, "abc")
    assert primary(other) == {("test", tuple(pair)) for pair in PAIRS}
    assert "Posts of comma changed on " in capsys.readouterr().out


def test_the_order_of_sets_is_no_change(study, tmp_path):
    finish(of_sets(tmp_path, ["test", "comma"]), "abc")
    turned = of_sets(tmp_path, ["comma", "test"])
    assert len(primary(turned)) == 4
    assert compare.recompare(turned.path).made_from.plan.what == ()


def test_an_unknown_set_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(WorkbenchError, match=r"compare\.test: unknown test set 'coma'; did you mean 'comma'\?"):
        of_sets(tmp_path, ["test", "coma"])
