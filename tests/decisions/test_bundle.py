"""A bundle on disk: whatever is not what was written is refused in one sentence, but staff may edit the policy."""

from __future__ import annotations

import json
import pickle
import shutil

import pytest
import yaml

from workbench.decisions import card
from workbench.decisions.moderator import Moderator
from workbench.decisions.objective import Chosen
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


def test_the_card_tells_the_sample_from_the_site(words, tmp_path):
    some = {"precision": [0.9, 0.8, 0.95], "recall": [0.5, 0.4, 0.6], "few": False}
    site = {"precision": [0.7, 0.3, 0.9], "recall": None, "few": True}
    done = {"at": 0.5, "flagged": 9, "caught": 8, "sample": some, "site": site}
    facts = {"n": 100, "unscored": 0, "positives": 20, "average_precision": 0.8}
    labels = {label: facts | {"review": done} for label in words.labels}
    words.described({"measured": {"test": labels}}).save(tmp_path / "told")
    sample, apart = card.show(tmp_path / "told").split("## Measured on test")[1:]
    assert "0.90 [0.80, 0.95]" in sample
    assert "0.70" not in sample
    assert apart.startswith(", by the site's own mix of posts")
    assert "0.70 [0.30, 0.90] few" in apart
    # as bundles had it first: no site, and intervals of independent posts
    old = {"at": 0.5, "precision": 0.9, "precision_interval": [0.8, 0.95], "recall": None, "recall_interval": None}
    words.described({"measured": {"test": {label: facts | {"review": old} for label in words.labels}}}).save(
        tmp_path / "old"
    )
    assert "0.90 [0.80, 0.95]" in card.show(tmp_path / "old")
    assert "## Measured on test, by" not in card.show(tmp_path / "old")


def test_the_card_says_that_nothing_is_removed_and_what_is_proven(words, tmp_path):
    about = {"objective": {"precision": 0.9, "sure": 0.9}, "at": None, "posts": 300, "harmful": 20, "why": "too few"}
    chosen = Chosen.model_validate(about | {"proven": 0.7, "seen": 0.92, "needed": 5000})
    rule = words.policy.labels["abuse"].model_copy(update={"remove_at": None, "remove_for": chosen})
    labels = {**words.policy.labels, "abuse": rule}
    words.with_policy(words.policy.model_copy(update={"labels": labels})).save(tmp_path / "none")
    said = card.show(tmp_path / "none")
    assert "abuse, remove: precision of at least 0.9, sure to 90 %: nothing is removed; no threshold qualifies" in said
    assert "A precision of 0.7 is proven, sure to 90 %" in said
    assert "about 5,000 labelled groups" in said


def test_a_card_of_a_damaged_bundle_is_refused(bundle):
    (bundle / "model" / "arrays.safetensors").write_bytes(b"")
    with pytest.raises(WorkbenchError, match="sha256 differs"):
        card.show(bundle)
