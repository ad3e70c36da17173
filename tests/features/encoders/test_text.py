"""A tiny random BERT in the hub's format, read by the code that users' models go through."""

import json
import os

import numpy as np
import pyarrow as pa
import pytest
import torch
from random_transformer import write_transformer
from safetensors.torch import load_file, save_file

from workbench.errors import WorkbenchError
from workbench.features import FeatureStore, encoder_files
from workbench.features.encoders import load_encoder
from workbench.features.encoders.names import text_encoder
from workbench.features.encoders.text import padded, pooled

REAL = os.environ.get("WORKBENCH_TEXT_ENCODER")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_transformer(tmp_path_factory.mktemp("bert") / "bert")


def load(folder, pooling="mean", tokens=16):
    return load_encoder(f"transformer:{pooling}:{tokens}:{folder}")


def test_a_vector_is_the_mean_of_the_last_layer_or_its_first_token(folder):
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        hidden = model(**tokenizer("rude cats", return_tensors="pt")).last_hidden_state[0]
    for pooling, vector in (("mean", hidden.mean(dim=0)), ("cls", hidden[0])):
        found = load(folder, pooling).encode_text(["rude cats"])
        np.testing.assert_allclose(found.values[0], vector / vector.norm(), atol=1e-3)


def test_padding_counts_for_nothing():
    hidden = torch.tensor([[[1.0, 3.0], [3.0, 5.0], [100.0, 100.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert pooled(hidden, mask, "mean").tolist() == [[2.0, 4.0]]
    assert pooled(hidden, mask, "cls").tolist() == [[1.0, 3.0]]
    ids, mask = padded([[5, 6], [7]], pad=9)
    assert (ids.tolist(), mask.tolist()) == ([[5, 6], [7, 9]], [[1, 1], [1, 0]])


def test_neighbours_and_order_do_not_matter_and_the_absent_stay_absent(folder):
    encoder = load(folder)
    texts = ["rude cats", None, "", " \n", "word1 word2 word3 word4", "[SEP] [PAD] cats"]
    blocks = encoder.encode_text(texts)
    assert blocks.counts.tolist() == [1, 0, 0, 0, 1, 1]
    alone = [encoder.encode_text([text]).values for text in texts]
    np.testing.assert_allclose(np.concatenate(alone), blocks.values, atol=1e-3)


def test_a_long_text_has_windows_of_which_the_first_is_its_beginning(folder):
    encoder = load(folder, tokens=10)  # 8 words a window
    words = [f"word{i}" for i in range(20)]
    blocks = encoder.encode_text([" ".join(words)])
    assert blocks.counts.tolist() == [3]
    np.testing.assert_allclose(blocks.values[0], encoder.encode_text([" ".join(words[:8])]).values[0], atol=1e-3)
    np.testing.assert_allclose(blocks.values[2], encoder.encode_text([" ".join(words[12:])]).values[0], atol=1e-3)
    assert load(folder, tokens=4096).tokens.context == 64  # no more than the model has positions for


def test_the_identity_covers_weights_tokenizer_configuration_and_pooling(folder, tmp_path):
    same = write_transformer(tmp_path / "same")
    assert load(same).identity("text") == load(folder).identity("text")
    others = [write_transformer(tmp_path / "weights", seed=1), write_transformer(tmp_path / "words", words=["more"])]
    others.append(write_transformer(tmp_path / "config", layer_norm_eps=1e-5))
    found = [load(folder), load(folder, "cls"), load(folder, tokens=12), *map(load, others)]
    assert len({encoder.identity("text") for encoder in found}) == len(found)


def test_the_store_has_it_by_name_and_pictures_are_refused(folder):
    name, store = f"transformer:mean:16:{folder}", FeatureStore(None, "cpu")
    blocks = store.text(name, pa.table({"text": ["rude cats", None]}))
    assert blocks.counts.tolist() == [1, 0]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    with pytest.raises(WorkbenchError, match="reads text only"):
        store.image(name, pa.table({"image": pa.array([{"bytes": b"x", "path": None}], kind)}))
    assert {path.name for path in encoder_files(name)} >= {"config.json", "model.safetensors", "tokenizer.json"}


def test_memory_that_does_not_suffice_halves_the_batch(folder, monkeypatch):
    encoder = load(folder)
    texts = [f"word{i} cats" for i in range(8)]
    expected, real = encoder.encode_text(texts).values, encoder.towers.embed_texts

    def embed(rows):
        if len(rows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(rows)

    monkeypatch.setattr(encoder.towers, "embed_texts", embed)
    np.testing.assert_allclose(encoder.encode_text(texts).values, expected, atol=1e-3)


def broken(folder, kind):
    """Spoil a saved model in one way."""
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    if kind == "a layer is missing":
        save_file({k: v for k, v in weights.items() if "layer.0" not in k}, folder / "model.safetensors")
    elif kind == "a pickle":
        (folder / "model.safetensors").unlink()
        torch.save(weights, folder / "pytorch_model.bin")
    elif kind == "code":
        config["auto_map"] = {"AutoModel": "model.Model", "AutoConfig": "model.Config"}
        del config["model_type"]
        (folder / "model.py").write_text("raise SystemExit('ran')")
    elif kind == "a decoder":
        config["is_decoder"] = True
    elif kind == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    (folder / "config.json").write_text("{" if kind == "no JSON" else json.dumps(config))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("a layer is missing", "lacks .* of its weights"),
        ("a pickle", "cannot be loaded"),
        ("code", "cannot be loaded"),
        ("a decoder", "is no encoder"),
        ("no tokenizer", "tokenizer"),
        ("no JSON", "cannot be loaded"),
    ],
)
def test_a_model_of_no_use_is_one_sentence(tmp_path, kind, said):
    folder = write_transformer(tmp_path / "bert")
    broken(folder, kind)
    with pytest.raises(WorkbenchError, match=said) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["transformer:", "transformer:sum:16:a/b", "transformer:mean:x:a/b", "transformer:cls:9:"]
)
def test_a_name_that_is_no_transformer_is_told_how_to_write_it(name):
    with pytest.raises(WorkbenchError, match="transformer:mean:128:"):
        text_encoder(name)


@pytest.mark.skipif(not REAL, reason="WORKBENCH_TEXT_ENCODER names no folder with a pretrained text encoder")
def test_a_real_encoder_tells_like_from_unlike():
    texts = ["A cat sits on the mat.", "A kitten rests on the rug.", "Stock markets fell on Monday."]
    vectors = load(REAL, tokens=32).encode_text(texts).values
    like, unlike = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert like > unlike + 0.2


def test_the_recipe_that_saved_bundles_hold_does_not_follow_the_name_of_a_function():
    from tokenizers import Tokenizer, models

    from workbench.features.encoders.text import tokens_of

    backend = Tokenizer(models.WordLevel({"a": 0, "[PAD]": 1}, unk_token="a"))
    assert tokens_of(backend.to_str(), 1, 8).recipe["cleaning"] == "as_it_is"
