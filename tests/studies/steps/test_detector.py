"""A study may ask for a detector of unusual posts: it goes into every bundle, and the policy asks it."""

from __future__ import annotations

import pytest

from workbench.decisions.moderator import Moderator
from workbench.errors import WorkbenchError
from workbench.features.store import FeatureStore
from workbench.schema import Taxonomy
from workbench.studies.config import StudyConfig
from workbench.studies.plan import plan
from workbench.studies.steps import training
from workbench.studies.steps.detector import detect

CORPUS = {"source": "synthetic", "posts": 1500, "seed": 4, "modalities": ["text"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector")
    store = FeatureStore(folder / "features", "cpu")
    material = training.prepare(CORPUS, {"validation": 0.3, "test": 0.2}, {}, Taxonomy.load())
    plain = training.moderate(training.fit("text-tfidf", {}, material, [0, 1], store), material)
    return folder, store, material, plain


def test_the_bundle_sends_what_is_unlike_the_training_posts_to_a_person(made):
    folder, store, material, plain = made
    ready = detect(plain, material, {"out_of_distribution": {"encoder": "tiny", "at": 0.98}}, store)
    training.save(folder / "run", ready, training.score(ready, material), material, store)
    loaded = Moderator.load(folder / "run/bundle/1", store=FeatureStore(None, "cpu"))
    assert loaded.policy.out_of_distribution_at == 0.98
    validation = material.sets["validation"]
    decided, before = loaded.decide(validation), plain[1].moderator.decide(validation)
    unlike = ["unlike the training posts" in str(one.reasons) for one in decided]
    assert 0 < sum(unlike) <= 0.03 * len(validation)
    for one, was, strange in zip(decided, before, unlike, strict=True):
        assert one.scores == was.scores
        assert one.action == ("review" if strange and was.action == "allow" else was.action)


def test_without_options_there_is_no_detector_and_scores_never_change(made):
    _, store, material, plain = made
    assert detect(plain, material, {}, store) == plain
    watched = detect(plain, material, {"out_of_distribution": {"encoder": "tiny"}}, store)
    assert [one.moderator.model_id for one in watched] == [one.moderator.model_id for one in plain]


def test_the_detectors_encoder_is_part_of_what_a_run_depends_on(tmp_path):
    study = tmp_path / "study.yaml"
    text = "question: Which one?\ncorpus: {source: synthetic, posts: 100}\nmodels: [{name: prior}]\n"
    study.write_text(f"{text}policy: {{out_of_distribution: {{encoder: tiny}}}}\n")
    (run,) = plan(StudyConfig.load(study))
    assert any(name.startswith("weights data/weights/tiny") for name in run.inputs)
    study.write_text(f"{text}policy: {{out_of_distribution: {{encoder: {tmp_path}/nowhere}}}}\n")
    with pytest.raises(WorkbenchError, match="nowhere"):
        plan(StudyConfig.load(study))


@pytest.mark.parametrize(("options", "said"), [({"at": 1.5}, "at"), ({"encodr": "tiny"}, "encodr")])
def test_options_that_are_none_are_refused_before_anything_runs(tmp_path, options, said):
    study = tmp_path / "study.yaml"
    study.write_text(
        "question: Which one?\ncorpus: {source: synthetic, posts: 100}\nmodels: [{name: prior}]\n"
        f"policy: {{out_of_distribution: {options}}}\n"
    )
    with pytest.raises(WorkbenchError, match=said):
        StudyConfig.load(study)
