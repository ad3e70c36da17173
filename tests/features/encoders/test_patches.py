"""Pieces: the pooled vector stays what it was, patches and tokens stand beside it, what is not needed is zero."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from random_clip import CONFIG, write_encoder

from workbench.errors import WorkbenchError
from workbench.features import FeatureStore
from workbench.features.encoders import load_encoder
from workbench.features.encoders.patches import EMBEDDINGS, _runs

VIT = {**CONFIG["model_cfg"], "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16}}
VIT["vision_cfg"]["patch_size"] = 4  # a grid of 8 x 8 patches, averaged to 4 x 4


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("vit") / "vit", config={**CONFIG, "model_cfg": VIT})


def picture(seed):
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def embeddings(blocks, encoder):
    return blocks.values.reshape(len(blocks.values), EMBEDDINGS, encoder.dim)


@pytest.mark.parametrize("kind", ["resnet", "vit"])
def test_slot_zero_is_the_pooled_vector_and_the_others_are_unit_vectors_or_zero(kind, random_clip, vit):
    encoder = load_encoder(str(vit if kind == "vit" else random_clip))
    texts, pictures = ["cats", "the quick brown fox jumps over a lazy dog", None], [picture(0), b"no picture", None]
    read = embeddings(encoder.unpooled.encode_text(texts), encoder)
    np.testing.assert_allclose(read[:, 0], encoder.encode_text(texts).values, atol=1e-3)  # float16 of about one
    seen, whole = encoder.unpooled.encode_image(pictures), encoder.encode_image(pictures)
    assert seen.reasons == whole.reasons
    assert seen.offsets.tolist() == whole.offsets.tolist()
    np.testing.assert_allclose(embeddings(seen, encoder)[:1, 0], whole.values[:1], atol=1e-3)
    # the random ResNet ends in a grid of 1 x 1: one patch; the ViT has 64 patches, averaged to 16
    lengths = np.linalg.norm(embeddings(seen, encoder)[0], axis=1)
    used = 2 if kind == "resnet" else EMBEDDINGS
    np.testing.assert_allclose(lengths, [1.0] * used + [0.0] * (EMBEDDINGS - used), atol=1e-3)
    assert ((np.linalg.norm(read, axis=2) > 0.5) == (read != 0).any(axis=2)).all()
    assert len(encoder.unpooled.identity("image")) == 64
    assert encoder.unpooled.identity("image") != encoder.identity("image")


def test_a_text_does_not_depend_on_its_neighbours(random_clip):
    encoder = load_encoder(str(random_clip)).unpooled
    together = encoder.encode_text(["cats", "rude words about pictures of many people"])
    alone = encoder.encode_text(["cats"])
    np.testing.assert_allclose(together.values[0], alone.values[0], atol=1e-3)


def test_runs_are_means_of_consecutive_tokens():
    x = torch.arange(40.0).reshape(1, 40, 1).repeat(2, 1, 1)
    out = _runs(x, torch.tensor([32, 3]))
    # 32 tokens in 16 runs of two: means 0.5, 2.5, ...; three tokens stand by themselves and 13 runs are zero
    assert out[0, :, 0].tolist() == [0.5 + 2 * i for i in range(16)]
    assert out[1, :, 0].tolist() == [0.0, 1.0, 2.0] + [0.0] * 13


def test_the_store_keeps_pieces_apart_from_vectors(random_clip, tmp_path):
    import pyarrow as pa

    store = FeatureStore(tmp_path, "cpu")
    encoder = store.encoder(str(random_clip))
    table = pa.table({"text": ["cats", "dogs"]})
    first = store.text(encoder.unpooled, table)
    assert store.text(str(random_clip), table).dim == encoder.dim
    again = FeatureStore(tmp_path, "cpu").text(encoder.unpooled, table)
    assert np.array_equal(first.values, again.values)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2


def test_a_tower_that_gives_no_pieces_is_refused_in_one_sentence(tmp_path):
    text = {**CONFIG["model_cfg"]["text_cfg"], "no_causal_mask": True}
    folder = write_encoder(tmp_path / "free", config={**CONFIG, "model_cfg": {**CONFIG["model_cfg"], "text_cfg": text}})
    with pytest.raises(WorkbenchError, match="does not give patches and tokens"):
        _ = load_encoder(str(folder)).unpooled
