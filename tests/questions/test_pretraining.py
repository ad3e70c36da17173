"""Training the tiny encoder, in a rehearsal of seconds, and what the shipped one can read."""

from __future__ import annotations

import io
import json

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from workbench.corpora.synthetic.pairs import pairs
from workbench.questions import pretraining
from workbench.schema import ROOT

SHIPPED = ROOT / "data" / "weights" / "tiny-clip"


@pytest.fixture(scope="module")
def few():
    """96 pairs of each kind."""
    return pairs(96, seed=31)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, few):
    """A folder with tokenizer, configuration and weights after twelve steps, the model and its losses."""
    folder = tmp_path_factory.mktemp("encoder")
    size = pretraining.train_tokenizer([*few.captions, *few.texts, *few.paraphrases], folder, size=600)
    model = pretraining.new_clip(folder, size, seed=1)
    losses: list[float] = []
    pretraining.train_clip(model, pretraining.tensors(few, folder), steps=12, batch=32, seed=2, report=losses.append)
    pretraining.save_clip(model, folder)
    return folder, model, losses


def test_pairs_are_repeatable_and_mean_what_they_say(few):
    again = pairs(96, seed=31)
    assert again.images == few.images
    assert again.texts == few.texts
    assert set(pairs(96, seed=32).texts).isdisjoint(few.texts)
    assert all(text != other for text, other in zip(few.texts, few.paraphrases, strict=True))
    assert few.scene.min() >= 1  # "absent" is nothing to draw or say
    assert few.utterance.min() >= 1
    assert len(few.images) == len(few.captions) == 96


def test_a_few_steps_reduce_the_loss_and_are_repeatable(trained, few):
    folder, model, losses = trained
    assert len(losses) == 12
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.3
    before = torch.get_rng_state()
    size = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]["vocab_size"]
    again = pretraining.new_clip(folder, size, seed=1)
    assert torch.equal(before, torch.get_rng_state())  # nobody else's random numbers move
    repeated: list[float] = []
    pretraining.train_clip(again, pretraining.tensors(few, folder), steps=12, batch=32, seed=2, report=repeated.append)
    assert repeated == pytest.approx(losses, abs=1e-4)
    assert not model.training


@torch.inference_mode()
def test_saved_weights_come_back_through_open_clip(trained, few):
    folder, model, _ = trained
    loaded = open_clip.create_model(f"local-dir:{folder}").eval()
    data = pretraining.tensors(few, folder)
    images = pretraining.normalised(data["images"][:16])
    for old, new in (
        (model.encode_image(images), loaded.encode_image(images)),
        (model.encode_text(data["texts"][:16]), loaded.encode_text(data["texts"][:16])),
    ):
        assert torch.nn.functional.cosine_similarity(old, new).min() > 0.9999  # weights went through half precision
    assert torch.equal(pretraining.load_clip(folder).encode_image(images), loaded.encode_image(images))
    # open_clip's own preprocessing of the file gives what training saw
    preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")[2]
    seen = torch.stack([preprocess(Image.open(io.BytesIO(data))) for data in few.images[:4]])
    assert torch.allclose(seen, images[:4], atol=1e-5)


@pytest.mark.parametrize("which", ["trained", "shipped"])
def test_padding_is_zero_and_the_end_is_the_highest_id(trained, which):
    folder = trained[0] if which == "trained" else SHIPPED
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    tokenize = open_clip.get_tokenizer(f"local-dir:{folder}")
    ids = tokenize(["", "the train was late again", "word " * 500, "Straße, ¿qué? 🙂 中文"])
    end = config["vocab_size"] - 1
    assert config["vocab_size"] == len(tokenize.tokenizer) <= (600 if which == "trained" else 8192)
    assert ids.shape == (4, pretraining.CONTEXT)
    assert ids.max() == end
    for row in ids.tolist():
        at = row.index(end)
        assert row[0] == 1  # the start
        assert row.count(end) == 1  # pooled at argmax: once, and also where a text is cut off
        assert 0 not in row[: at + 1]
        assert set(row[at + 1 :]) <= {0}
    assert ids[2, -1] == end
    assert tokenize.tokenizer.decode(ids[3].tolist(), skip_special_tokens=True).strip() == "straße, ¿qué? 🙂 中文"


@torch.inference_mode()
def test_short_texts_need_only_the_positions_they_have():
    model, tokenize = pretraining.load_clip(SHIPPED), open_clip.get_tokenizer(f"local-dir:{SHIPPED}")
    for texts in (["", "hm"], pairs(30, seed=33).texts, ["word " * 500, "so, look who is back"]):
        ids = tokenize(texts)
        assert torch.allclose(pretraining.text_embeddings(model, ids), model.encode_text(ids), atol=1e-5)


def test_the_contrastive_loss_of_known_rows():
    same = torch.eye(4)
    scale = torch.tensor(np.log(10.0))
    # matching rows score 10, others 0: -log(e^10 / (e^10 + 3)) both ways
    assert pretraining.contrastive(same, 5 * same, scale).item() == pytest.approx(np.log1p(3 * np.exp(-10)), rel=1e-3)
    # nothing tells rows apart: log 4
    assert pretraining.contrastive(torch.ones(4, 4), same, scale).item() == pytest.approx(np.log(4), rel=1e-5)


def test_the_shipped_encoder_is_small_and_holds_plain_tensors():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 10_000_000
    assert {path.suffix for path in SHIPPED.iterdir()} <= {".json", ".safetensors", ".md"}


def test_the_shipped_encoder_reads_fresh_surfaces_and_an_untrained_one_does_not(tmp_path):
    fresh = pairs(1000, seed=77)
    config = json.loads((SHIPPED / "open_clip_config.json").read_text())
    untrained = pretraining.new_clip(tmp_path, config["model_cfg"]["text_cfg"]["vocab_size"], seed=3)
    errors = pretraining.recognition_error(pretraining.load_clip(SHIPPED), fresh, SHIPPED)
    random = pretraining.recognition_error(untrained, fresh, SHIPPED)
    assert errors["image"] <= 0.02
    assert errors["text"] <= 0.02
    assert random["image"] > 0.3
    assert random["text"] > 0.1


def test_the_card_tells_the_errors_and_what_the_encoder_has_seen(tmp_path):
    pretraining.write_card(tmp_path, {"image": 0.0123, "text": 0.0}, {"pairs": 9, "steps": 8})
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    for words in ("pictures 1.23%, texts 0.00%", "pairs 9, steps 8", "seen the world's causes"):
        assert words in card
