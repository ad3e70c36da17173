"""A tunable encoder: the same vectors as the frozen one until it learns, and the frozen one never changes."""

import numpy as np
import torch
from random_clip import WORDS

from workbench.features.encoders import load_encoder
from workbench.features.encoders.trainable import depths


def test_before_training_it_gives_the_encoders_vectors_and_after_it_the_encoder_is_as_it_was(random_clip):
    encoder = load_encoder(str(random_clip))
    texts = ["cats", None, WORDS, "  "]
    before = encoder.encode_text(["cats", "rude dogs"]).values
    tunable = encoder.tunable()
    rows = tunable.texts(texts)
    assert [row is None for row in rows] == [False, True, False, True]
    vectors = tunable.embed_texts([rows[0], rows[2]])
    expected = encoder.encode_text(texts).first()[[0, 2]]
    np.testing.assert_allclose(vectors.detach().numpy(), expected, atol=1e-3)  # rounded to float16 there

    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    statistics = {name: value.clone() for name, value in tunable.model.named_buffers()}
    optimizer = torch.optim.SGD(tunable.model.parameters(), lr=0.1)
    (tunable.embed_texts([rows[0]]).sum() + tunable.embed_pictures(list(pixels)).sum()).backward()
    missing = [name for name, value in tunable.model.named_parameters() if value.grad is None]
    assert missing == ["logit_scale"]
    optimizer.step()
    for name, value in tunable.model.named_buffers():  # a batch norm's statistics are not those of the batch
        assert torch.equal(value, statistics[name]), name
    tuned = tunable.frozen()
    assert tuned.identity("text") != encoder.identity("text")
    assert np.abs(tuned.encode_text(["cats"]).values - before[:1]).max() > 1e-3
    assert np.array_equal(encoder.encode_text(["cats", "rude dogs"]).values, before)


def test_depth_counts_the_layers_above():
    names = ["visual.conv1.weight", "visual.transformer.resblocks.0.mlp.w", "visual.transformer.resblocks.1.mlp.w"]
    names += ["visual.ln_post.weight", "visual.proj", "token_embedding.weight", "transformer.resblocks.0.attn.w"]
    names += ["text_projection", "ln_final.weight", "visual.attnpool.positional_embedding"]
    # three stages below the visual projection, two below the text's, each tower counted by itself
    assert list(depths(names).values()) == [3, 2, 1, 0, 0, 2, 1, 0, 0, 0]
