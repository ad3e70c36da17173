"""Tokens and what reads them: masking by hand, windows, order seen or not, memory counted by hand."""

import numpy as np
import pytest
import torch

from workbench import models
from workbench.errors import WorkbenchError
from workbench.models.text import tokens
from workbench.models.text.tokens import network

QUICK = {"dim": 8, "epochs": 3, "batch_size": 16, "lr": 0.02, "weight_decay": 0.0}


def rude(n, seed, taxonomy, table):
    """Posts of four words of twenty; a third of them have `abuseword` too, which is the label."""
    rng = np.random.default_rng(seed)
    posts = []
    for number in range(n):
        words, holds = [f"word{i}" for i in rng.integers(20, size=4)], number % 3 == 0
        text = " ".join(rng.permutation([*words, "abuseword"]) if holds else words)
        posts.append({"text": text, "labels": {"abuse": holds, "nudity": bool(rng.random() < 0.5)}})
    return table(posts, taxonomy)


@pytest.fixture
def made(taxonomy, table):
    train, held_out = rude(90, 1, taxonomy, table), rude(30, 2, taxonomy, table)

    def make(**options):
        model = models.create("text-tokens", {**QUICK, **options}, taxonomy=taxonomy, store=None)
        return model.fit(train, held_out, seed=0)

    return make


def shape(**changed):
    return tokens.TokensOptions.parse({**QUICK, "dropout": 0.0, **changed}, "options")


def test_the_mean_of_embeddings_by_hand():
    net = network.TokenNetwork(4, 1, shape(network="mean", dim=1), torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        net.table.copy_(torch.tensor([[100.0], [0.0], [2.0], [4.0]]))  # padding's row must not matter
        net.output.weight.fill_(3.0)
        net.output.bias.fill_(1.0)
        # (2 + 4) / 2 * 3 + 1 = 10, whatever the padding; 4 * 3 + 1 = 13.
        assert net(torch.tensor([[2, 3, 0, 0], [3, 0, 0, 0]])).tolist() == [[10.0], [13.0]]


def test_a_convolution_is_that_of_its_definition():
    net = network.TokenNetwork(5, 1, shape(network="conv", dim=2, depth=1), torch.Generator().manual_seed(0))
    x, layer = torch.randn((1, 4, 2), generator=torch.Generator().manual_seed(1)), net.layers[0]
    wide = torch.nn.functional.pad(x, (0, 0, 1, 1))
    by_hand = torch.stack([layer(wide[0, i : i + 3].reshape(-1)) for i in range(4)])
    torch.testing.assert_close(net._convolved(x, layer, 1)[0], by_hand)


@pytest.mark.parametrize("kind", ["mean", "conv"])
def test_padding_changes_no_score(kind):
    net = network.TokenNetwork(30, 2, shape(network=kind), torch.Generator().manual_seed(0))
    rows = [np.arange(2, 2 + n, dtype=np.int32) for n in (1, 3, 27, 5, 1)]
    together = network.score(net, rows)
    alone = np.concatenate([network.score(net, [row]) for row in rows])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


def test_only_convolutions_see_the_order():
    row = np.array([2, 3, 4, 5], np.int32)
    gap = {}
    for kind in ("mean", "conv"):
        net = network.TokenNetwork(6, 1, shape(network=kind), torch.Generator().manual_seed(0))
        first, second = network.score(net, [row, row[::-1].copy()])
        gap[kind] = abs(float(first[0] - second[0]))
    assert gap["mean"] < 1e-6 < 1e-4 < gap["conv"]


def test_batches_hold_neighbours_in_length_and_stay_within_their_size():
    length = np.array([1, 2, 2, 9, 10])
    order = np.arange(5)
    assert [b.tolist() for b in network.batches(order, length, 2)] == [[0, 1], [2, 3], [4]]
    # Padded to the longest: 3 rows of 2 are 6 tokens, a fourth of 9 would make 36; a row of 9 exceeds 8 by itself.
    assert [b.tolist() for b in network.batches(order, length, 5, tokens=8)] == [[0, 1, 2], [3], [4]]


def test_abuse_behind_the_first_window_is_found(made, taxonomy, table):
    model = made(scheme="words", network="mean", length=16, epochs=20, dropout=0.0)
    filler = "word1 word2 word3 word4 " * 20
    texts = [filler, f"{filler} abuseword abuseword abuseword abuseword {filler}", ""]
    low, high, none = model.logits(table([{"text": text} for text in texts], taxonomy))[:, 0]
    assert high > low + 0.5
    assert np.isnan(none)


@pytest.mark.parametrize("kind", ["linear", "mean"])
@pytest.mark.parametrize("scheme", ["words", "bpe"])
def test_every_network_learns_saves_and_loads(made, taxonomy, table, kind, scheme, tmp_path):
    model = made(scheme=scheme, network=kind, epochs=30)
    test = rude(60, 3, taxonomy, table)
    logits = model.logits(test)
    marked = np.arange(60) % 3 == 0
    assert (logits[marked, 0][:, None] > logits[~marked, 0][None, :]).mean() > 0.95
    assert model.seeded == (kind != "linear")
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=None)
    assert np.array_equal(again.logits(test), logits, equal_nan=True)


def test_odd_texts_get_a_score(made, taxonomy, table):
    texts = ["&nbsp;x", "&nbsp;", "\u200b.", "a" * 50_000, "\ufffd", "<pad> <end>"]
    posts = table([{"text": text} for text in texts], taxonomy)
    for kind in ("linear", "conv"):
        assert np.isfinite(made(scheme="bytes", network=kind).logits(posts)).all()


def test_memory_in_training_by_hand(made):
    model = made(scheme="words", network="mean", dim=8)
    memory = model.record["memory"]
    # The table, and a head of 8 weights and a bias for each of two labels, four bytes each.
    parameters = 4 * (model.tokenizer.size * 8 + 2 * 8 + 2)
    assert memory["parameters"] == memory["gradients"] == parameters
    # AdamW keeps two moments of every weight, and a count of steps for each of three tensors.
    assert memory["optimizer"] == 2 * parameters + 3 * 4
    assert memory["activations"] > 0


def test_a_bad_option_is_one_sentence():
    for options, said in (({"scheme": "word"}, "scheme"), ({"width": 4}, "width"), ({"size": 3}, "size")):
        with pytest.raises(WorkbenchError, match=said) as caught:
            models.check("text-tokens", options)
        assert "\n" not in str(caught.value)


def test_a_rate_that_diverges_says_so(made):
    with pytest.raises(WorkbenchError, match="diverged"):
        made(network="mean", lr=1.0, weight_decay=1e30)
