"""What a study asks of its posts is held against them before any model starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from small_forum import forum

from workbench.errors import WorkbenchError
from workbench.studies import plan, run
from workbench.studies.config import StudyConfig
from workbench.studies.steps import prepare, training


def study(folder: Path, **changes: object) -> StudyConfig:
    """Return a study of a small forum with some keys changed; keys of `corpus` are changed one by one."""
    corpus = {"source": "files", "path": str(forum(folder / "forum.csv", posts=90)), "post_id": "nr", "text": "body"}
    corpus |= {"labels": {"abuse": "flag"}, **changes.pop("corpus", {})}
    values = {"question": "Which?", "models": [{"name": "text-tfidf"}], "compare": {"view": "all"}, **changes}
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**values, "corpus": corpus}), encoding="utf-8")
    return StudyConfig.load(path)


def hold(config: StudyConfig) -> None:
    allowed = {"allow": {"near_text": "all of it is made up"}}
    prepare.answerable(config, training.prepare(config.corpus, config.split, config.tests, config.taxonomy, allowed))


ALL_RUDE = {"labels": {"abuse": {"column": "flag", "positive": ["0", "1"]}}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"corpus": {"labels": {}}}, "none of 54 train posts says yes or no to abuse, nudity, violence or misinfor"),
        ({"taxonomy": ["spam"], "corpus": {"labels": {}}}, "as in `labels: {spam: COLUMN}`"),
        ({"compare": {"view": "all", "label": "nudity"}}, "says yes or no to nudity; name the column"),
        ({"corpus": ALL_RUDE}, "train needs posts of both kinds of abuse, nudity, violence or misinformation, and has"),
        ({"corpus": ALL_RUDE}, "abuse: 54 yes, 0 no"),
        ({"compare": {"view": "paired"}}, "compare.view is paired, but none of 22 test posts has text and a picture"),
        ({"compare": {}}, "write `view: all` under `compare`"),
    ],
)
def test_posts_that_cannot_answer_stop_a_study_in_a_sentence(tmp_path, changes, said):
    with pytest.raises(WorkbenchError) as caught:
        hold(study(tmp_path, **changes))
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"study {tmp_path / 'mine.yaml'}: ")
    assert "\n" not in str(caught.value)


def test_a_further_test_set_without_labels_is_named(tmp_path):
    other = {"source": "files", "path": str(forum(tmp_path / "other.csv", 20, 2)), "post_id": "nr", "text": "body"}
    with pytest.raises(WorkbenchError, match=r"none of 20 other posts says .* under `labels` of `tests.other`"):
        hold(study(tmp_path, tests={"other": other}))


def test_what_can_be_answered_is_no_fault(tmp_path):
    hold(study(tmp_path))
    hold(study(tmp_path, compare={"view": "all", "label": "abuse"}))


def test_models_that_learn_nothing_need_nothing_to_learn_from(tmp_path):
    config = study(tmp_path, models=[{"name": "prior"}], corpus=ALL_RUDE)
    hold(config)
    with pytest.raises(WorkbenchError, match="validation needs posts of both kinds"):
        hold(study(tmp_path, models=[{"name": "prior"}], corpus=ALL_RUDE, compare={"view": "all", "pairs": BEST}))


BEST = [["prior", "best-unimodal"]]


def test_a_study_that_cannot_answer_starts_no_run(tmp_path):
    config = study(tmp_path, corpus={"labels": {}}, leaks={"allow": {"near_text": "all of it is made up"}})
    with pytest.raises(WorkbenchError, match="none of 54 train posts"):
        run.run_study(config.path)
    assert not list(config.folder.glob("*/run.json"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"corpus": {"text": "bdy"}}, "forum.csv: unknown column 'bdy'"),
        ({"corpus": {"labels": {"race": "flag"}}}, "unknown label 'race'"),
        ({"tests": {"x": {"source": "files", "path": "none.csv", "text": "t"}}}, "tests.x: there is no file"),
    ],
)
def test_a_fault_of_the_corpus_is_told_as_no_models(tmp_path, changes, said):
    with pytest.raises(WorkbenchError) as caught:
        plan.plan(study(tmp_path, **changes))
    assert said in str(caught.value)
    assert "text-tfidf" not in str(caught.value)


def test_scores_of_other_posts_are_told_before_any_model_starts(tmp_path):
    vendor = tmp_path / "vendor.csv"
    vendor.write_text("post_id,abuse\nx1,0.5\nx2,0.25\n", encoding="utf-8")
    models = [{"name": "text-tfidf"}, {"name": "scores", "as": "vendor", "options": {"path": str(vendor)}}]
    asked = study(tmp_path, models=models, leaks={"allow": {"near_text": "all of it is made up"}})
    with pytest.raises(WorkbenchError, match=r"mine\.yaml, model 'vendor': .*none of its 2 ids"):
        run.run_study(asked.path)
    assert not list(asked.folder.glob("*/run.json"))
