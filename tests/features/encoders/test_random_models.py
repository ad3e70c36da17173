"""Untrained models of full size: written once, whole, with the shapes that they stand for."""

from __future__ import annotations

import json

import pytest
from transformers import BertConfig

from workbench.errors import WorkbenchError
from workbench.features.encoders import random_models
from workbench.features.encoders.random_models import write_full


def test_what_is_there_stays_and_what_was_interrupted_is_written_again(tmp_path):
    folder = tmp_path / "models"
    (folder / "draft" / "minilm").mkdir(parents=True)
    (folder / "draft" / "minilm" / "model.safetensors").write_bytes(b"half of it")
    made = write_full(folder, tiny=True)
    assert sorted(path.name for path in folder.iterdir()) == sorted(made)
    weights = {kind: path / "model.safetensors" for kind, path in made.items()}
    assert all(path.stat().st_size > 10_000 for path in weights.values())
    before = {kind: path.stat().st_mtime_ns for kind, path in weights.items()}
    assert write_full(folder, tiny=True) == made
    assert {kind: path.stat().st_mtime_ns for kind, path in weights.items()} == before


def test_the_vision_language_model_is_published_in_bfloat16_like_the_real_one(tmp_path):
    made = write_full(tmp_path, tiny=True)
    assert json.loads((made["qwen2-vl-2b"] / "config.json").read_text())["dtype"] == "bfloat16"


@pytest.mark.parametrize(("sizes", "millions"), [(random_models._MINILM, 22.7), (random_models._LARGE, 335.1)])
def test_full_sizes_are_those_of_the_models_they_are_named_for(sizes, millions):
    """22.7 and 335 million parameters are what the two models' pages say."""
    import torch
    from transformers import BertModel

    with torch.device("meta"):
        model = BertModel(BertConfig(vocab_size=30_522, **sizes))
    assert sum(weights.numel() for weights in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


def test_the_vision_language_model_has_two_billion_parameters():
    """The two files of Qwen2-VL-2B-Instruct hold 4.418 GB of bfloat16."""
    import torch
    from transformers import Qwen2VLForConditionalGeneration

    ids = {f"{mark}_id": number for number, mark in enumerate(random_models._QWEN_MARKS)}
    with torch.device("meta"):
        model = Qwen2VLForConditionalGeneration(random_models._qwen(random_models._QWEN, ids))
    assert sum(weights.numel() for weights in model.parameters()) * 2 / 1e9 == pytest.approx(4.418, abs=0.001)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbenchError, match=r"cannot write .*; name another folder"):
        write_full(tmp_path / "file", tiny=True)
