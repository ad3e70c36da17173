"""Names of models in the hub's format: what they mean, what they pin, and every failure in one sentence."""

import json
import logging
import shutil

import pytest
from huggingface_hub import constants, errors
from random_clip import write_hub
from random_transformer import write_transformer

from workbench.errors import WorkbenchError
from workbench.features.encoders import hub as repositories
from workbench.features.encoders.hub import Repository, check, files, locate, obtain

OLD, NEW, BARE = "a" * 40, "b" * 40, "c" * 40
NAME = "an-organisation/a-bert"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny random BERT."""
    return write_transformer(tmp_path_factory.mktemp("bert") / "bert")


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
    """A cache with that BERT at one commit, another at a second, and a third without weights."""
    new = write_transformer(tmp_path / "new", seed=1)
    bare = shutil.copytree(new, tmp_path / "bare")
    (bare / "model.safetensors").unlink()
    cache = write_hub(tmp_path / "hub", NAME, {OLD: folder, NEW: new, BARE: bare}, main=NEW)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    return cache


def test_a_name_is_a_folder_where_there_is_one_else_a_repository(folder, monkeypatch):
    assert locate(str(folder), "encoder") == Repository(folder.resolve())
    assert locate(NAME, "encoder") == Repository(None, NAME, None)
    assert locate(f"hf-hub:{NAME}@{OLD}", "encoder") == Repository(None, NAME, OLD)
    monkeypatch.chdir(folder.parent.parent)
    assert locate(f"{folder.parent.name}/bert", "encoder") == Repository(folder.resolve())


@pytest.mark.parametrize("name", ["", "  ", "bert", "./no/folder", "/no/folder", "a/b/c", "a b/c", "a\0/b"])
def test_a_name_of_neither_kind_is_told_what_to_write(name):
    with pytest.raises(WorkbenchError, match="organisation/repository@commit") as caught:
        check(name, "encoder")
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_model_is_told_so(tmp_path):
    with pytest.raises(WorkbenchError, match=r"has no config.json"):
        check(str(tmp_path), "encoder")


def test_a_folder_is_watched_file_by_file_and_a_commit_is_not(folder, hub):
    names = [path.name for path in files(str(folder), "encoder")]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(names)
    assert files(f"{NAME}@{OLD}", "encoder") == []


def test_a_commit_is_had_as_it_is_and_a_branch_with_a_warning(hub, folder, caplog):
    old = obtain(f"{NAME}@{OLD}", "encoder")
    assert (old / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert caplog.records == []
    with caplog.at_level(logging.WARNING):
        assert obtain(f"{NAME}@main", "encoder").name == NEW
    assert caplog.messages == [f"encoder '{NAME}@main' may change on the hub; write '{NAME}@{NEW}' to pin it"]


def test_what_the_cache_lacks_is_one_sentence_while_the_hub_is_off(hub):
    for name in ("an-organisation/another", f"{NAME}@{'d' * 40}"):
        with pytest.raises(WorkbenchError, match="is not in the local cache, and HF_HUB_OFFLINE switches") as caught:
            check(name, "model")
        assert str(caught.value).startswith(f"model '{name}'")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.LocalEntryNotFoundError("x"), "HF_HUB_OFFLINE switches the hub off"),
        (json.JSONDecodeError("x", "", 0), "config.json is not valid JSON"),
        (ValueError("some\nlines"), r"\(some lines\); check the network"),
        (ValueError(""), r"\(ValueError\)"),
    ],
)
def test_every_failure_is_one_sentence(error, said):
    explained = repositories.explained(f"encoder {NAME!r}", locate(NAME, "encoder"))
    with pytest.raises(WorkbenchError, match=said) as caught, explained:
        raise error
    assert "\n" not in str(caught.value)
