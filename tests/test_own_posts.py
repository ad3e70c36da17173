"""Every notebook that looks at posts or at a study runs on a one-label study of somebody's CSV, by plain papermill."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from by_papermill import papermill
from small_forum import forum

from workbench.schema import ROOT

LABELS = {"own": "rude", "default": "abuse"}  # labels that the checkout lacks, and one of those that it has
SETTINGS = {
    "01": {},
    "02": {"schemes": ["words"], "options": {"epochs": 1, "dim": 8}, "pairs": 20},
    "03": {"model": "text-tfidf"},
    "06": {"positives": 20, "losses": ["bce", "focal"], "balances": []},
    "11": {"embedding": "words", "options": {"seeds": [0], "budget": 40, "step": 20}, "resamples": 50, "rows": 20},
}
OF_A_STUDY = {"04": {}, "12": {"attacks": {"strengths": [1.0], "resamples": 100}, "most": 60}}
SELDOM = pytest.mark.campaign  # the label of the checkout, of which the suite looks at two notebooks


def written(folder: Path, kind: str) -> tuple[dict, Path]:
    """Return corpus and labels as notebooks take them, and a study of the same."""
    label = LABELS[kind]
    posts = forum(folder / "forum.csv")
    corpus = {"source": "files", "path": str(posts), "post_id": "nr", "text": "body", "labels": {label: "flag"}}
    own = {"taxonomy": [label]} if kind == "own" else {}
    study = {"question": "Which?", "corpus": corpus, **own, "models": [{"name": "text-tfidf"}, {"name": "prior"}]}
    study |= {"leaks": {"allow": {"near_text": "all of it is made up"}}}
    study |= {"compare": {"view": "all", "pairs": [["text-tfidf", "prior"]], "resamples": 100, "slice_resamples": 100}}
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return {"corpus": corpus, **own}, path


def run(folder: Path, number: str, values: dict) -> None:
    (notebook,) = (ROOT / "notebooks").glob(f"{number}-*.ipynb")
    given = [part for name, value in values.items() for part in ("-y", yaml.safe_dump({name: value}))]
    papermill(notebook, folder / "out.ipynb", *given)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["own", pytest.param("default", marks=SELDOM)])
@pytest.mark.parametrize("number", SETTINGS)
def test_a_notebook_of_posts_runs_on_somebodys_csv(tmp_path, number, kind):
    given, _ = written(tmp_path, kind)
    own = {"label": LABELS[kind]} if number in ("02", "06", "11") else {}
    own |= {"folder": str(tmp_path / "run")} if number == "03" else {}
    own |= {"out": str(tmp_path / "list.csv")} if number == "11" else {}
    run(tmp_path, number, {**given, **SETTINGS[number], **own})


@pytest.mark.long
@pytest.mark.parametrize("kind", ["default", pytest.param("own", marks=SELDOM)])
def test_the_notebooks_of_a_study_run_on_somebodys_csv(tmp_path, kind):
    _, study = written(tmp_path, kind)
    for number, values in OF_A_STUDY.items():
        run(tmp_path, number, {"study": str(study), **values})


def test_every_notebook_that_takes_posts_or_a_study_is_run():
    takes = [path for path in (ROOT / "notebooks").glob("*.ipynb") if "corpus: dict" in path.read_text("utf-8")]
    assert {path.name[:2] for path in takes} == set(SETTINGS)
    takes = [path for path in (ROOT / "notebooks").glob("*.ipynb") if "study: str" in path.read_text("utf-8")]
    assert {path.name[:2] for path in takes} == set(OF_A_STUDY)
