"""A study's functional tests: from a corpus's `meta` to predictions, to the comparison, to the report."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_runs import LABELS, World
from made_varied import varied

from workbench.comparison import cases, facts
from workbench.comparison.compare import CompareOptions, compare
from workbench.comparison.parts import suites
from workbench.comparison.predictions import Scores, load_run
from workbench.corpora import files
from workbench.errors import WorkbenchError
from workbench.report.sections.suites import suites as sections_of

N = 40


def told(run, cases: dict[str, np.ndarray], split: str):
    """Return a run of whose posts one set's are also told what their cases are."""
    path = run.folder / "posts.parquet"
    table = pq.read_table(path)
    there = np.array(table["split"].to_pylist()) == split
    rows = [int(post.removeprefix("p")) for post in table["post_id"].to_pylist()]
    for name, values in cases.items():
        column = pa.array(np.where(there, values[rows], None).tolist(), pa.string())
        table = table.append_column(f"suite_{name}", column)
    pq.write_table(table, path)
    return load_run(run.folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two runs on a world of which the set `cases` is a suite about abuse and violence: one flags all, one nothing."""
    world = World(N)
    world.split = np.where(np.arange(N) % 4 == 0, "validation", np.where(np.arange(N) < 20, "test", "cases"))
    world.y[20:] = np.array([[1, 0], [0, 1], [0, 0], [0, 0], [1, 1]] * 4)
    facts = {
        "functionality": np.array([f"kind-{n % 5}" for n in range(N)]),
        "case": np.array([f"set-{n // 2}" for n in range(N)]),
        "target": np.array(["north", None] * (N // 2)),
        "note": np.array(["new", ""] * (N // 2)),
    }
    place = tmp_path_factory.mktemp("suite")
    every = world.write(place, "flags-all", np.full((1, N, 2), 3.0), exact=False)
    nothing = world.write(place, "flags-nothing", np.full((2, N, 2), np.nan), exact=False)
    return world, facts, [told(run, facts, "cases") for run in (every, nothing)]


def of(rows: list[dict], model: str, label: str) -> dict:
    (found,) = [row for row in rows if (row["model"], row["label"]) == (model, label)]
    return found


def test_each_label_is_a_suite_of_its_own_with_its_halves_apart(made):
    world, _, runs = made
    assert runs[0].sets["test"].suite == {}
    rows = [row.model_dump() for row in suites.tested(runs, ["test", "cases"], alpha=0.05, few=20)]
    assert {row["test"] for row in rows} == {"cases"}
    assert [(row["label"], row["model"]) for row in rows] == [
        (label, model) for label in LABELS for model in ("flags-all", "flags-nothing")
    ]
    cases = np.flatnonzero(world.split == "cases")
    for k, label in enumerate(LABELS):
        harmful = world.y[cases, k].sum()
        for model, right in (("flags-all", (1.0, 0.0)), ("flags-nothing", (0.0, 1.0))):
            halves = of(rows, model, label)["halves"]
            assert [half["n"] for half in halves] == [harmful, len(cases) - harmful, len(cases)]
            assert (halves[0]["value"], halves[1]["value"]) == right
    assert of(rows, "flags-all", "abuse")["unseen"] == 0
    assert of(rows, "flags-nothing", "abuse")["unseen"] == len(cases)  # not seen is not flagged, and counted


def test_where_a_case_says_its_label_that_one_is_asked(made, tmp_path):
    world, facts, _ = made
    about = np.array([LABELS[n % 2] for n in range(N)])
    about[21] = "no label of ours"
    run = told(world.write(tmp_path, "all", np.full((1, N, 2), 3.0), exact=False), {**facts, "label": about}, "cases")
    (row,) = [row.model_dump() for row in suites.tested([run], ["cases"], alpha=0.05, few=20)]
    cases = [n for n in np.flatnonzero(world.split == "cases") if n != 21]
    assert row["label"] == suites.OWN
    assert row["halves"][-1]["n"] == len(cases)
    assert row["halves"][0]["n"] == sum(world.y[n, n % 2] for n in cases)


def test_the_report_has_a_section_for_each_suite(made):
    _, _, runs = made
    settings = CompareOptions(view="all", pairs=[], resamples=100)
    comparison = compare("tiny", "Does it?", runs, settings)
    assert comparison.suites[0].halves[0].value in (0.0, 1.0)
    first, second = sections_of(comparison)
    assert (first.key, second.key) == ("suite-cases-abuse", "suite-cases-violence")
    halves = first.tables["both halves"]
    assert halves.loc["flags-all", "harmful cases caught"].startswith("100.0 % [")
    assert halves.loc["flags-all", "harmless cases passed"].startswith("0.0 % [0, ")
    assert "contrast sets right as a whole" in " ".join(halves.columns)
    parts = first.tables["each functionality"]
    assert parts.loc[("kind-2", "to pass"), "cases"] == "3 few"  # posts 22, 27 and 37; 32 validates
    assert first.tables["whom the cases are about"].index.get_level_values(0).unique().tolist() == ["north"]
    assert "flags-nothing (15)" in first.prose
    for theme in ("light", "dark"):
        assert next(iter(first.figures.values()))(theme).axes
    assert list(sections_of(comparison.model_copy(update={"suites": ()}))) == []


def test_what_a_corpus_tells_of_its_cases_reaches_the_facts(small, tmp_path):
    given = small.material()
    meta = pa.array([{"functionality": f"kind-{n}", "target_ident": None, "votes": n} for n in range(5)])
    given.sets["cases"] = small.table(small.TEST, "d").append_column("meta", meta)
    facts.write(tmp_path / "posts.parquet", given.sets, small.TAXONOMY)
    found = facts.read(tmp_path / "posts.parquet").sets
    assert {name: values.tolist() for name, values in found["cases"].suite.items()} == {
        "functionality": [f"kind-{n}" for n in range(5)]  # no case has a target
    }
    assert found["test"].suite == {}  # a set that is no suite


def test_a_suite_and_its_contrast_sets_are_told_by_any_columns(small, tmp_path):
    lines = ["id\tpost\tlang\tpair\tgold"]
    lines += [f"{n}\tword {n}\t{('en', 'de', 'en', 'de', '')[n % 5]}\t{n // 2}\t{n % 2}" for n in range(40)]
    (tmp_path / "cases.tsv").write_text("\n".join(lines) + "\n")
    mapping = {"path": str(tmp_path / "cases.tsv"), "post_id": "id", "text": "post", "labels": {"abuse": "gold"}}
    mapping["suite"] = {"case": "pair", "by": ["lang"]}
    posts = files.build(files.SourceOptions.parse(mapping, "corpus"), small.TAXONOMY, tmp_path)
    facts.write(tmp_path / "posts.parquet", small.material().sets | {"cases": posts}, small.TAXONOMY)
    told_of = facts.read(tmp_path / "posts.parquet").sets["cases"]
    assert set(told_of.suite) == {"case", "by:lang"}
    assert not [name for name in told_of.slices if name.startswith("suite")]
    flagged = told_of.y.copy()
    flagged[told_of.post_id == "3", 0] = False  # a harmful German case, the second of pair 1
    scores = Scores(**vars(told_of), logit=np.where(flagged, 1.0, -1.0)[None], prob=np.where(flagged, 0.9, 0.1)[None])
    run = replace(varied()[1], labels=small.LABELS, thresholds=np.full((1, 2), 0.5), sets={"cases": scores})
    (row,) = suites.tested([run], ["cases"], alpha=0.05, few=3)
    assert (row.functionalities, row.targets) == ((), ())
    by = {(part.name, part.gold): (part.n, part.right) for part in row.by["lang"]}
    assert by == {
        ("en", "harmless"): (8, 8.0),
        ("en", "harmful"): (8, 8.0),
        ("de", "harmless"): (8, 8.0),
        ("de", "harmful"): (8, 7.0),
    }
    assert (row.contrast.n, row.contrast.right) == (20, 19.0)
    assert row.address("by:lang", row.by["lang"][0]) == "suite/cases/abuse/by:lang/en/harmless"
    assert set(row.kinds) == {"halves", "functionalities", "targets", "by:lang"}
    (section,) = sections_of(SimpleNamespace(suites=(row,)))
    assert list(section.tables) == ["both halves", "by lang"]
    assert section.figures == {}


def test_a_column_with_too_many_values_is_no_way_to_tell_a_suite_by(small, tmp_path):
    meta = pa.array([{"suite_by:nr": str(n)} for n in range(201)])
    with pytest.raises(WorkbenchError, match=r"suite\.by: the column 'nr' has 201 different values, more than the 200"):
        cases.case_columns(pa.table({"meta": meta}))


def test_a_suite_maps_columns_of_words_and_only_facts_that_there_are(small, tmp_path):
    (tmp_path / "cases.jsonl").write_text('{"t": "a", "kind": ["x"]}\n')
    options = {"path": str(tmp_path / "cases.jsonl"), "text": "t"}
    given = files.SourceOptions.parse(options | {"suite": {"functionality": "kind"}}, "corpus")
    with pytest.raises(WorkbenchError, match="suite: column 'kind' holds list"):
        files.build(given, small.TAXONOMY, tmp_path)
    with pytest.raises(WorkbenchError, match="unknown key 'functionalities'; did you mean 'functionality'"):
        files.SourceOptions.parse(options | {"suite": {"functionalities": "kind"}}, "corpus")
