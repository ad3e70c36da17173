"""Tracing: a number leads back to its run and is computed again; what was tampered with is said to differ."""

from __future__ import annotations

import json
import shutil

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from workbench.comparison.predictions import load_run, sources
from workbench.comparison.rows import Comparison, MadeFrom
from workbench.errors import WorkbenchError
from workbench.fingerprint.inputs import of_inputs
from workbench.report import trace
from workbench.studies.config import StudyConfig

RECALL = "test/paired/abuse/cross/recall"
CORPUS = "{source: files, path: '${NO_SUCH_VARIABLE}/x.csv', text: text}"
TEXT = f"question: Does it win?\ncorpus: {CORPUS}\nmodels: [{{name: prior}}]\n"


@pytest.fixture
def study(small, tmp_path) -> StudyConfig:
    """A study of two runs with its comparison on disk, as `workbench compare` leaves it."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TEXT)
    folder = tmp_path / "tiny"
    folder.mkdir()
    inputs = {"notebook": "n1", "parameter seeds": [0], "weights data/weights/tiny-clip/tokenizer.json": "not it"}
    key = of_inputs(inputs)
    record = {"inputs": inputs, "key": key, "commit": "c0ffee", "dirty": True, "versions": {"torch": "2.10"}}
    run = small.write(folder, "cross", small.good(2), modalities=small.BOTH, record=record)
    run.folder.rename(folder / key)
    other = small.write(folder, "words", small.noise())
    runs = [load_run(folder / key), other]
    keyed = {"cross": key, "words": other.folder.name}
    made = MadeFrom(runs=keyed, ended={}, missing={}, stale={}, settings="", code="")
    told = {"sources": sources(runs), "made_from": made}
    comparison = small.compared(runs, pairs=[("cross", "words")]).model_copy(update=told)
    (folder / "comparison.json").write_text(json.dumps(comparison.plain()))
    return StudyConfig.load(path)


def by_what(study: StudyConfig, address: str = RECALL) -> dict[str, trace.Link]:
    return {link.what: link for link in chain(study, address)}


def chain(study: StudyConfig, address: str = RECALL) -> list[trace.Link]:
    return trace.chain(study.folder, study.corpus, study.taxonomy, address)


def test_the_chain_goes_from_the_number_to_the_run(study):
    found = by_what(study)
    assert found[RECALL].check == "agrees: computed again from the predictions"
    assert found["items"].check == found["predictions"].check == found["run"].check == "agrees"
    assert found["commit"].found == "c0ffee, with uncommitted changes"
    assert found["versions"].found == "torch 2.10"
    assert found["parameters"].found == "seeds = [0]"
    assert found["data"].check.startswith("unchecked")
    assert "NO_SUCH_VARIABLE" in found["data"].check
    assert found["weights"].check == "differs"  # that file's sha256 is no "not it"
    text = trace.shown(chain(study))
    assert text.splitlines()[0].startswith(f"{RECALL}: value ")
    assert "\n    commit: c0ffee" in text


def test_the_facts_of_the_posts_are_held_against_the_file_that_was_compared_on(study):
    assert by_what(study)["facts of the posts"].check == "unchecked"  # an earlier version kept no digest of the file
    path = study.folder / "comparison.json"
    comparison = json.loads(path.read_text())
    folders = [study.folder / key for key in comparison["made_from"]["runs"].values()]
    comparison["made_from"]["posts"] = load_run(folders[0]).facts
    path.write_text(json.dumps(comparison))
    found = by_what(study)["facts of the posts"]
    assert (found.found, found.check) == (f"posts.parquet, sha256 {load_run(folders[0]).facts}", "agrees")
    for folder in folders:
        table = pq.read_table(folder / "posts.parquet")
        flipped = pc.invert(table["y_abuse"])
        changed = table.set_column(table.column_names.index("y_abuse"), "y_abuse", flipped)
        pq.write_table(changed, folder / "posts.parquet")
    assert by_what(study)["facts of the posts"].check == "differs"


def test_a_difference_leads_to_both_runs_and_its_p_is_computed_again(study):
    address = "test/paired/macro/cross:words/average_precision"
    links = chain(study, address)
    assert [link.found.split()[0] for link in links if link.what == "run"] == ["cross", "words"]
    assert links[0].check.startswith("agrees")
    assert "p_holm" in links[0].found


def test_a_slice_is_computed_again_too(study):
    numbers = trace.located(Comparison.load(study.folder))
    address = next(one.address for one in numbers if one.table == "slices" and "/cross/" in one.address)
    links = chain(study, address)
    assert links[0].check == "agrees: computed again from the predictions"
    assert [link.found.split()[0] for link in links if link.what == "run"] == ["cross"]


def test_a_number_that_was_changed_differs(study):
    path = study.folder / "comparison.json"
    comparison = json.loads(path.read_text())
    row = next(row for row in comparison["models"] if row["id"] == RECALL)
    row["value"] = 0.999
    path.write_text(json.dumps(comparison))
    assert by_what(study)[RECALL].check.startswith("differs: computed again, value is ")


@pytest.mark.parametrize(("name", "to"), [("n", 50_000), ("positives", 9), ("few", True), ("seed_sd", 0.0001)])
def test_what_is_said_beside_a_number_is_checked_too(study, name, to):
    path = study.folder / "comparison.json"
    comparison = json.loads(path.read_text())
    next(row for row in comparison["models"] if row["id"] == RECALL)[name] = to
    path.write_text(json.dumps(comparison))
    assert by_what(study)[RECALL].check.startswith(f"differs: computed again, {name} is ")


def test_predictions_that_were_changed_or_lost_are_told(study):
    key = json.loads((study.folder / "comparison.json").read_text())["made_from"]["runs"]
    ours, theirs = (study.folder / key[name] / "predictions.parquet" for name in ("cross", "words"))
    before = ours.read_bytes()
    shutil.copy(theirs, ours)
    assert by_what(study)["predictions"].check == "differs"
    ours.unlink()
    found = by_what(study)
    assert found["predictions"].check == "differs"
    assert found[RECALL].check.startswith("unchecked: cannot read")
    ours.write_bytes(before)
    (ours.parent / "run.json").unlink()
    assert by_what(study)["run"].check == "differs"


def test_an_address_that_is_not_there_names_those_that_are(study):
    with pytest.raises(WorkbenchError, match=r"such as: .*test/paired/abuse/cross/recall"):
        chain(study, "test/paired/abuse/cross/recal")
    with pytest.raises(WorkbenchError, match="such as: test/paired/abuse/cross/precision, "):
        chain(study, "test/paired/abuse/cross")  # all numbers below it
    assert trace.studies_with(RECALL, study.folder.parent) == ["tiny"]
    assert trace.studies_with("no/such", study.folder.parent) == []
    (study.folder / "comparison.json").unlink()
    with pytest.raises(WorkbenchError, match=r"workbench run .*tiny\.yaml"):
        chain(study)


def test_every_number_has_an_address_of_its_own(small, runs):
    comparison = small.compared(runs)
    found = [number.address for number in trace.located(comparison)]
    assert len(set(found)) == len(found)
    tables = ("models", "differences", "late_fusion_limit", "leak_test")
    whole = [number.address for number in trace.located(comparison) if number.table in tables]
    assert whole == [row.id for table in tables for row in getattr(comparison, table)]
    assert "test/paired/abuse/cross/recall" in found
    assert "test/paired/macro/cross:best-unimodal/average_precision" in found
    assert "test/paired/macro/cross:ceiling/average_precision" in found
    assert "test/paired/macro/:late-fusion-limit/average_precision" in found
