"""Every model in the table keeps the contract of `workbench.models`: on the disk, and by name."""

import subprocess
import sys

import numpy as np
import pytest
from checkpoints import checkpoint
from quick_models import SHIPPED, WITH_ENCODER

from workbench import models
from workbench.errors import TaxonomyMismatch, WorkbenchError
from workbench.models import MODELS

# --------------------------------------------------------------------------------------------------------------- disk


@pytest.mark.parametrize("name", SHIPPED)
def test_a_saved_model_gives_bit_equal_scores(world, name, tmp_path):
    model = world.fit(name)
    for _ in range(2):  # a second save takes the place of the first
        model.save(tmp_path / "model")
    if world.scores_file.exists():
        world.scores_file.unlink()
        world.scores_file.with_name("prompts.yaml").unlink()
    again = models.load(tmp_path / "model", taxonomy=world.taxonomy, store=world.store)
    assert np.array_equal(again.logits(world.test), model.logits(world.test), equal_nan=True)
    assert (again.name, again.options, again.modalities, again.record) == (
        model.name,
        model.options,
        model.modalities,
        model.record,
    )
    again.save(tmp_path / "copy")
    files = {f.relative_to(tmp_path / "model"): f.read_bytes() for f in (tmp_path / "model").rglob("*") if f.is_file()}
    assert {path.suffix for path in files} <= {".json", ".safetensors"}
    assert files == {path: (tmp_path / "copy" / path).read_bytes() for path in files}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "model"]  # no temporary folder is left


@pytest.mark.parametrize("name", MODELS)
def test_options_that_say_little_are_read_too(name):
    """A member's options are saved as somebody wrote them, which may be none: those of a fusion, for one."""
    assert models.of_earlier(name, {}) == {}
    nested = {"members": [{"name": name}], "combine": "mean"}
    assert models.of_earlier("ensemble", nested)["members"] == [{"name": name, "options": {}}]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_changed_file_is_refused(world, name, tmp_path):
    folder = tmp_path / "model"
    world.fit(name).save(folder)
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        middle = len(whole) // 2
        for damaged in (whole[:middle], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], b""):
            path.write_bytes(damaged)
            with pytest.raises(WorkbenchError, match=r"sha256|not the head"):
                models.load(folder, taxonomy=world.taxonomy, store=world.store)
        path.unlink()
        with pytest.raises(WorkbenchError, match=r"lacks|holds no model"):
            models.load(folder, taxonomy=world.taxonomy, store=world.store)
        path.write_bytes(whole)
    models.load(folder, taxonomy=world.taxonomy, store=world.store)


@pytest.mark.parametrize("name", SHIPPED)
def test_another_taxonomys_model_is_refused(world, name, tmp_path, new_taxonomy):
    world.fit(name).save(tmp_path / "model")
    with pytest.raises(TaxonomyMismatch, match="train it again"):
        models.load(tmp_path / "model", taxonomy=new_taxonomy("nudity", "abuse"), store=world.store)


@pytest.mark.parametrize("name", WITH_ENCODER)
def test_another_encoder_under_the_same_name_is_refused(world, name, tmp_path, store_of):
    world.fit(name).save(tmp_path / "model")
    with pytest.raises(WorkbenchError, match="another encoder than 'words'"):
        models.load(tmp_path / "model", taxonomy=world.taxonomy, store=store_of(version=2))
    # The number format depends on the device: what a GPU trained in bfloat16 must serve on a CPU.
    models.load(tmp_path / "model", taxonomy=world.taxonomy, store=store_of(dtype="bfloat16"))


# ------------------------------------------------------------------------------------------------------------ the table


@pytest.mark.parametrize("name", MODELS)
def test_unknown_options_are_refused_with_the_choices(name):
    with pytest.raises(WorkbenchError, match=r"unknown key 'hiden'") as caught:
        models.check(name, {"hiden": 3})
    assert "\n" not in str(caught.value)


def test_an_unknown_model_is_refused_with_the_nearest_name():
    for call in (models.check, models.artefacts, models.entries):
        with pytest.raises(WorkbenchError, match="did you mean 'clip-cross'"):
            call("clip-cros", {})


@pytest.mark.parametrize("name", SHIPPED)
def test_an_untrained_model_says_so(world, name, tmp_path):
    for call in (lambda model: model.logits(world.test), lambda model: model.save(tmp_path / "m")):
        with pytest.raises(WorkbenchError, match="not trained yet"):
            call(world.make(name))


def test_modules_and_artefacts_include_those_of_members(tmp_path):
    members = {"members": ["text-tfidf", {"name": "scores", "options": {"path": str(tmp_path / "s.csv")}}]}
    names = ("late-fusion", "text-tfidf", "scores")
    assert models.entries("late-fusion", members) == [models.MODELS[name] for name in names]
    assert models.artefacts("late-fusion", members) == [tmp_path / "s.csv"]
    assert models.artefacts("prior") == []
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"x")
    assert models.artefacts("late-fusion", {"encoder": f"ViT-B-32@{weights}"}) == [weights]


def test_names_and_options_are_known_without_torch():
    code = (
        "import sys; from workbench import models\n"
        f"needed = {{'scores': {{'path': 'x.csv'}}, 'text-transformer': {{'encoder': {checkpoint('bert')!r}}}, "
        f"'vlm-prompt': {{'model': {checkpoint('vlm')!r}}}}}\n"
        "for name in models.MODELS:\n"
        "    if models.extra(name) is None: models.check(name, needed.get(name))\n"
        "models.entries('late-fusion'); assert not {'torch', 'open_clip', 'datasets'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
