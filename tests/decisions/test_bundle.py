"""A bundle on disk: whatever is not what was written is refused in one sentence, but staff may edit the policy."""

from __future__ import annotations

import json
import pickle
import shutil

import pytest
import yaml

from workbench.decisions import card
from workbench.decisions.moderator import Moderator
from workbench.errors import TaxonomyMismatch, WorkbenchError
from workbench.features.store import FeatureStore
from workbench.schema import Taxonomy


def load(folder, **more) -> Moderator:
    return Moderator.load(folder, store=FeatureStore(None, "cpu"), **more)


def refused(folder) -> str:
    with pytest.raises(WorkbenchError) as told:
        load(folder)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_what_a_bundle_holds(bundle):
    assert sorted(path.name for path in bundle.iterdir()) == ["README.md", "model", "moderator.json", "policy.yaml"]
    assert load(bundle).labels == Taxonomy.load().names


@pytest.mark.parametrize("name", ["model/model.json", "model/arrays.safetensors", "moderator.json"])
@pytest.mark.parametrize("harm", ["flipped", "cut", "gone"])
def test_a_damaged_file_is_refused(bundle, name, harm):
    path = bundle / name
    data = path.read_bytes()
    middle = len(data) // 2
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:middle] + (b"" if harm == "cut" else bytes([data[middle] ^ 1]) + data[middle + 1 :]))
    assert str(bundle) in refused(bundle)


def test_a_pickle_is_refused_before_anything_is_loaded(bundle):
    (bundle / "model" / "extra.pkl").write_bytes(pickle.dumps({"a": 1}))
    assert "can carry code" in refused(bundle)


def test_a_file_that_the_manifest_does_not_list_is_refused(bundle):
    (bundle / "model" / "extra.json").write_text("{}")
    assert "manifest does not list" in refused(bundle)


def test_a_link_in_the_place_of_a_file_is_refused(bundle, tmp_path):
    path = bundle / "model" / "arrays.safetensors"
    shutil.move(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert "not what its manifest lists" in refused(bundle)


def test_an_edited_head_is_refused(bundle):
    head = json.loads((bundle / "moderator.json").read_text())
    head["calibration"]["abuse"]["slope"] = 5.0
    (bundle / "moderator.json").write_text(json.dumps(head))
    assert "was changed after it was written" in refused(bundle)


def test_no_folder_is_no_bundle(tmp_path):
    assert "holds no bundle" in refused(tmp_path / "nothing")


def test_another_taxonomy_is_refused_with_both_names_and_the_way_out(bundle):
    own = Taxonomy.load()
    more = own.model_dump()
    more["labels"] = [*more["labels"], {"name": "spam", "title": "Spam", "definition": "Unasked-for advertising."}]
    other = Taxonomy.model_validate(more)
    with pytest.raises(TaxonomyMismatch, match="workbench run") as told:
        load(bundle, taxonomy=other)
    assert own.fingerprint in str(told.value)
    assert other.fingerprint in str(told.value)


def test_staff_may_edit_the_policy(bundle, words):
    path = bundle / "policy.yaml"
    values = yaml.safe_load(path.read_text())
    values["labels"]["abuse"] |= {"review_at": 0.01, "remove_at": None}
    values["version"] = 2
    path.write_text(yaml.safe_dump(values))
    again = load(bundle)
    assert again.policy.labels["abuse"].review_at == 0.01
    assert again.model_id == words.model_id
    assert again.policy.id != words.policy.id
    assert "set by hand" in card.show(bundle)


def test_a_policy_for_other_labels_is_refused(bundle):
    path = bundle / "policy.yaml"
    values = yaml.safe_load(path.read_text())
    del values["labels"]["abuse"]
    path.write_text(yaml.safe_dump(values))
    assert "no rule for label 'abuse'" in refused(bundle)


def test_saving_replaces_a_bundle_and_nothing_else(bundle, words, tmp_path):
    words.save(bundle)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(WorkbenchError, match="holds files that are no bundle"):
        words.save(tmp_path / "mine")


# ---------------------------------------------------------------------------------------------------------------- card


def test_the_card_says_what_matters(bundle, words):
    said = card.show(bundle)
    assert words.model_id in said
    assert words.policy.id in said
    for label, rule in words.policy.labels.items():
        assert f"| {label}" in said
        if rule.review_at is not None:
            assert f"{rule.review_at:.3f}" in said
        assert rule.says("remove") in said
    assert "files agree with the manifest" in said
    assert (bundle / "README.md").read_text() in said  # the same, written when the bundle was made


def test_a_card_of_a_damaged_bundle_is_refused(bundle):
    (bundle / "model" / "arrays.safetensors").write_bytes(b"")
    with pytest.raises(WorkbenchError, match="sha256 differs"):
        card.show(bundle)
