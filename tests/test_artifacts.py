"""A model folder is whole or refused, and nothing in it can run."""

import json
import os

import numpy as np
import pytest

from workbench import artifacts
from workbench.errors import WorkbenchError

ARRAYS = {"weights": np.arange(6.0).reshape(2, 3), "flags": np.array([True, False])}


@pytest.fixture
def folder(tmp_path):
    artifacts.write_model(tmp_path / "model", {"model": "x"}, ARRAYS, lambda new: (new / "more.json").write_text("{}"))
    return tmp_path / "model"


def test_what_is_written_comes_back_with_its_types(folder):
    head, arrays = artifacts.read_model(folder)
    assert head["model"] == "x"
    assert {name: array.dtype for name, array in arrays.items()} == {"weights": np.float64, "flags": np.bool_}
    assert all((arrays[name] == ARRAYS[name]).all() for name in ARRAYS)
    assert set(head["files"]) == {"arrays.safetensors", "more.json"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.pkl", "can carry code"),
        ("weights.PT", "can carry code"),
        ("sub/arrays.npz", "can carry code"),
        ("extra.json", "does not list"),
        (".hidden", "does not list"),
        ("code.py", "does not list"),
    ],
)
def test_a_file_that_does_not_belong_there_is_refused(folder, name, said):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"\x80\x04.")
    with pytest.raises(WorkbenchError, match=said) as caught:
        artifacts.read_model(folder)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pickle_in_the_manifest_is_refused_all_the_same(folder):
    (folder / "state.pkl").write_bytes(b"\x80\x04.")
    resealed(folder, files=artifacts.hashes(folder, artifacts.MODEL))
    with pytest.raises(WorkbenchError, match="can carry code"):
        artifacts.read_model(folder)


def test_a_link_is_refused(folder, tmp_path):
    (tmp_path / "elsewhere.json").write_text("{}")
    (folder / "more.json").unlink()
    (folder / "more.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(WorkbenchError, match="not what its manifest lists"):
        artifacts.read_model(folder)


def test_a_safetensors_file_that_was_cut_short_before_sealing_is_refused(folder):
    path = folder / artifacts.ARRAYS
    path.write_bytes(path.read_bytes()[:-8])
    resealed(folder, files=artifacts.hashes(folder, artifacts.MODEL))
    with pytest.raises(WorkbenchError, match="no readable safetensors file"):
        artifacts.read_model(folder)


def test_a_model_without_arrays_is_refused(folder):
    (folder / artifacts.ARRAYS).unlink()
    resealed(folder, files=artifacts.hashes(folder, artifacts.MODEL))
    with pytest.raises(WorkbenchError, match=f"lists no '{artifacts.ARRAYS}'"):
        artifacts.read_model(folder)


def test_a_later_format_is_named(folder):
    resealed(folder, format=9)
    with pytest.raises(WorkbenchError, match="format 9, this workbench reads 1"):
        artifacts.read_model(folder)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "null", '{"sha256": 1}', '{"sha256": "x", "files": {}, "format": 1}']
)
def test_a_head_that_is_none_is_refused(folder, content):
    (folder / artifacts.MODEL.head).write_text(content)
    with pytest.raises(WorkbenchError, match=r"not the head|was changed"):
        artifacts.read_model(folder)


def test_other_files_are_never_written_over(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WorkbenchError, match="no model; name a folder that is new or empty"):
        artifacts.write_model(tmp_path, {}, ARRAYS)
    with pytest.raises(WorkbenchError, match="no model"):
        artifacts.write_model(tmp_path / "notes.txt", {}, ARRAYS)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_failed_save_leaves_the_earlier_model(folder):
    def fail(new):
        raise OSError(28, "No space left on device")

    before = artifacts.read_model(folder)[0]
    with pytest.raises(WorkbenchError, match="No space left on device"):
        artifacts.write_model(folder, {"model": "y"}, ARRAYS, fail)
    assert artifacts.read_model(folder)[0] == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def resealed(folder, **changed):
    """Write the head again with its digest right, as somebody who may write the folder could."""
    head = json.loads((folder / artifacts.MODEL.head).read_text())
    body = {**{key: value for key, value in head.items() if key != "sha256"}, **changed}
    (folder / artifacts.MODEL.head).write_text(json.dumps({**body, "sha256": artifacts.digest(body)}))


def test_what_was_used_longest_ago_goes_first_and_folders_are_as_young_as_their_files(tmp_path):
    for number, name in enumerate(("old", "young", "spared")):
        path = tmp_path / name if name != "young" else tmp_path / "young" / "file"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (number + (name == "young") * 9, number + (name == "young") * 9))
    os.utime(tmp_path / "young", (0, 0))
    artifacts.trim([*tmp_path.iterdir(), tmp_path / "gone"], 200, spare=tmp_path / "spared")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spared", "young"]
