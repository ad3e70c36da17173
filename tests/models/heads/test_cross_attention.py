"""Cross-attention: pairs of tokens are told from their parts, and what is not there is not looked at."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from workbench import models
from workbench.errors import WorkbenchError
from workbench.models.heads.cross_attention.network import CrossAttentionNetwork
from workbench.schema import label_matrix

DIM, EMBEDDINGS = 6, 4


def network(seed=0, dropout=0.0, **more):
    made = CrossAttentionNetwork(
        (DIM, DIM), 2, (8, 2, 1), hidden=16, dropout=dropout, generator=torch.Generator().manual_seed(seed), **more
    )
    for tower in made.towers:
        tower.matrix.copy_(torch.eye(DIM).expand(2, DIM, DIM))
    return made.eval()


def sides(n, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(n, EMBEDDINGS * DIM, generator=draw) for _ in range(2))


def test_slots_that_are_zero_and_sides_that_are_absent_do_not_count():
    net, (left, right) = network(), sides(5)
    present = torch.tensor([[True, True], [True, False], [False, True], [True, True], [True, True]])
    before = net((left, right), present)
    strange = right.clone()
    strange[1] = 100.0  # an absent side may hold anything
    torch.testing.assert_close(net((left, strange), present), before)
    short = right.clone()
    short[3, 2 * DIM :] = 0  # two of the four embeddings are not needed
    cut = net((left[3:4], short[3:4, : 2 * DIM]), present[3:4])  # rows that are shorter by those embeddings
    torch.testing.assert_close(net((left, short), present)[3:4], cut)
    assert (net((left, short), present)[3] - before[3]).abs().max() > 1e-4
    assert torch.isfinite(before).all()


def test_the_order_of_pieces_does_not_count_and_that_of_posts_neither():
    net, (left, right) = network(), sides(4)
    present = torch.ones(4, 2, dtype=torch.bool)
    mixed = right.unflatten(1, (EMBEDDINGS, DIM))[:, [0, 3, 1, 2]].flatten(1)
    torch.testing.assert_close(net((left, mixed), present), net((left, right), present))
    torch.testing.assert_close(net((left[[2]], right[[2]]), present[:1]), net((left, right), present)[[2]])


def test_frames_of_a_post_drop_the_same_units():
    net, (left, right) = network(dropout=0.5), sides(1)
    net.train()
    owner = torch.zeros(3, dtype=torch.long)
    out = net((left.repeat(3, 1), right.repeat(3, 1)), torch.ones(3, 2, dtype=torch.bool), owner)
    torch.testing.assert_close(out[1], out[0])


def test_harm_of_pairs_of_words_is_learnt(taxonomy, store, table):
    def posts(n, seed):
        draw = np.random.default_rng(seed)
        rows = []
        for _ in range(n):
            said, shown = draw.integers(0, 4, 2)
            fill = [" ".join(f"word{i}" for i in draw.integers(0, 20, 2)) for _ in range(2)]
            labels = {"abuse": bool(said == shown), "nudity": bool((said + 1) % 4 == shown)}
            rows.append({"text": f"{fill[0]} say{said}", "image": f"{fill[1]} show{shown}", "labels": labels})
        return table(rows, taxonomy)

    options = {"encoder": "words", "epochs": 25, "width": 32, "lr": 0.005, "batch_size": 64, "weight_decay": 0.1}
    model = models.create("clip-attention", options, taxonomy=taxonomy, store=store)
    model.fit(posts(600, 1), posts(150, 2), seed=0)
    test = posts(200, 3)
    y, _ = label_matrix(test, taxonomy)
    found = [average_precision_score(y[:, k], model.logits(test)[:, k]) for k in range(2)]
    # neither side alone says anything: P(label | side) is 1/4 whatever it is, so a sum of sides stays near .25
    assert min(found) > 0.8


def test_options_that_do_not_fit_together_are_refused():
    with pytest.raises(WorkbenchError, match="must divide width"):
        models.check("clip-attention", {"width": 30, "heads": 4})
    with pytest.raises(WorkbenchError, match="hidden layer"):
        models.check("clip-attention", {"head": "linear"})
