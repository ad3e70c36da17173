"""Whitening, hiding sides, early stopping: each shown on numbers made for it."""

import numpy as np
import pytest
import torch

from workbench.errors import WorkbenchError
from workbench.models.heads.networks import Dropout, Head, Projection
from workbench.models.heads.options import HeadOptions
from workbench.models.heads.training import Examples, fit_head, hidden, score, whitening


def examples(n, seed=0, shift=0.0):
    draw = np.random.default_rng(seed)
    x = torch.tensor(draw.normal(size=(n, 6)), dtype=torch.float32)
    y = (x[:, :2] + shift > 0).float()
    return Examples((x,), torch.ones(n, 1, dtype=torch.bool), y, torch.ones(n, 2, dtype=torch.bool))


def head(seed=0, **changed):
    sizes = {"hidden": 8, "dropout": 0.0} | changed
    return Head((6,), 2, **sizes, generator=torch.Generator().manual_seed(seed))


def test_whitening_evens_out_directions_and_bounds_the_small_ones():
    draw = np.random.default_rng(0)
    rotation = np.linalg.qr(draw.normal(size=(4, 4)))[0]
    deviations = np.array([10.0, 1.0, 1.0, 0.0])
    x = (draw.normal(size=(50_000, 4)) * deviations) @ rotation.T + 3
    mean, matrix = whitening(x.astype(np.float32))
    np.testing.assert_allclose(mean, 3, atol=0.2)
    after = ((x - mean) @ matrix @ rotation).std(axis=0)
    # The mean variance is 102 / 4 = 25.5, a tenth of it (2.55) is added: 10 / sqrt(102.55), 1 / sqrt(3.55), 0.
    np.testing.assert_allclose(after, [0.987, 0.531, 0.531, 0.0], atol=0.01)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)


def test_whitening_of_few_or_no_vectors_is_finite():
    mean, matrix = whitening(np.zeros((0, 3), np.float32))
    assert mean.tolist() == [0, 0, 0]
    assert (matrix == np.eye(3)).all()
    for x in (np.ones((1, 3), np.float32), np.random.default_rng(0).normal(size=(2, 3))):
        assert all(np.isfinite(part).all() for part in whitening(x))


def test_the_weights_of_the_best_epoch_are_kept_and_training_stops():
    train, validation = examples(200), examples(200, seed=1)
    options = HeadOptions(epochs=50, patience=3, lr=0.05, weight_decay=0.0, batch_size=50)
    wrong = validation._replace(y=1 - validation.y)  # the better the fit, the worse: the first epoch is the best
    network = head()
    record = fit_head(network, train, wrong, options, torch.Generator().manual_seed(0))
    assert (record["epochs"], record["best_epoch"]) == (4, 1)
    again = head()
    fit_head(again, train, wrong, options.model_copy(update={"epochs": 1}), torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_without_known_validation_labels_the_training_loss_decides():
    train = examples(100)
    silent = train._replace(known=torch.zeros_like(train.known))
    records = []
    for validation in (None, silent):
        options = HeadOptions(epochs=5, lr=0.01, weight_decay=0.0)
        records.append(fit_head(head(), train, validation, options, torch.Generator().manual_seed(0)))
    assert records[0] == records[1]
    assert records[0]["best_epoch"] == 5


@pytest.mark.parametrize("weight", [None, [3.0, 0.5], "balanced"])
@pytest.mark.parametrize("loss", ["bce", "focal", "asymmetric"])
def test_a_share_is_learnt_as_its_votes_are_also_where_classes_weigh_unlike(loss, weight):
    posts = examples(12)._replace(y=torch.randint(5, (12, 2), generator=torch.Generator().manual_seed(1)) / 4)
    votes = examples(48)._replace(
        sides=(posts.sides[0].repeat_interleave(4, dim=0),),
        y=(torch.arange(4).repeat(12)[:, None] < 4 * posts.y.repeat_interleave(4, dim=0)).float(),
    )
    options = HeadOptions(loss=loss, epochs=5, lr=0.05, weight_decay=0.0, batch_size=48)
    made = []
    for train in (posts, votes):
        network = head(hidden=0)
        fit_head(network, train, None, options, torch.Generator().manual_seed(0), class_weight=weight)
        made.append(score(network, posts.sides, posts.present))
    assert torch.allclose(*made, atol=1e-3)


def test_a_diverging_training_says_what_to_lower():
    train = examples(50)
    train = train._replace(sides=(train.sides[0] * float("inf"),))
    with pytest.raises(WorkbenchError, match=r"lr 0\.005 diverged; lower `lr`"):
        fit_head(head(), train, None, HeadOptions(), torch.Generator().manual_seed(0))


def test_at_most_one_side_of_a_whole_post_is_hidden():
    present = torch.tensor([[True, True], [True, False], [False, True]]).repeat(10_000, 1)
    left = hidden(present, (0.1, 0.3), torch.Generator().manual_seed(0))
    assert (left[1::3] == present[1::3]).all()
    assert (left[2::3] == present[2::3]).all()
    whole = left[0::3]
    assert whole.any(dim=1).all()
    shares = 1 - whole.float().mean(dim=0)
    np.testing.assert_allclose(shares, [0.1, 0.3], atol=0.02)  # four standard errors of a share in 10,000 are 0.018
    assert hidden(present, (0.0, 0.0), torch.Generator()) is present


def test_a_side_is_hidden_in_all_rows_of_a_post():
    count = torch.tensor([1, 3, 2]).repeat(1000)
    owner = torch.repeat_interleave(count)
    present = torch.ones(len(owner), 2, dtype=torch.bool)
    left = hidden(present, (0.2, 0.2), torch.Generator().manual_seed(0), owner)
    first = left[count.cumsum(0) - count]  # of each post its first row
    assert (left == first[owner]).all()
    assert 0.3 < 1 - first.all(dim=1).float().mean() < 0.5


def test_dropout_keeps_the_mean_and_rests_outside_training():
    drop = Dropout(0.25, torch.Generator().manual_seed(0))
    x = torch.ones(100, 1000)
    out = drop(x)
    torch.testing.assert_close(out.unique(), torch.tensor([0.0, 4 / 3]))
    assert abs(out.mean().item() - 1) < 0.01
    assert drop.eval()(x) is x


def test_an_absent_side_is_replaced_whatever_its_row_holds_and_is_no_zero():
    network = Head(
        (3, 3), 2, hidden=4, dropout=0.0, fusion=("cross", 4, "softmax"), generator=torch.Generator().manual_seed(0)
    ).eval()
    x = torch.randn(1, 3, generator=torch.Generator().manual_seed(0))
    present = torch.tensor([[True, False]])
    absent = network((x, torch.full((1, 3), 7.0)), present)
    assert torch.equal(absent, network((x, torch.zeros(1, 3)), present))
    assert not torch.allclose(absent, network((x, torch.zeros(1, 3)), torch.tensor([[True, True]])))


@pytest.mark.parametrize(("fusion", "width"), [("cross", 25), ("align", 5), (None, 0)])
def test_the_fusion_is_the_product_of_the_projections(fusion, width):
    plan = (fusion, 5, "linear") if fusion else None
    network = Head((3, 2), 1, hidden=0, dropout=0.0, fusion=plan, generator=torch.Generator().manual_seed(0)).eval()
    assert network.output.in_features == 3 + 2 + 2 + width
    draw = torch.Generator().manual_seed(1)
    a, b = torch.randn(4, 3, generator=draw), torch.randn(4, 2, generator=draw)
    fused = network._fused([a, b])
    if fusion is None:
        assert fused == []
        return
    left, right = (project.linear(x) for project, x in zip(network.projections, (a, b), strict=True))
    expected = torch.einsum("ni,nj->nij", left, right).flatten(1) if fusion == "cross" else left * right
    torch.testing.assert_close(fused[0], expected)


def test_a_softmax_projection_is_a_scaled_distribution():
    out = Projection(3, 16, "softmax", torch.Generator().manual_seed(0))(torch.arange(15.0).view(5, 3) / 10)
    torch.testing.assert_close(out.sum(dim=1), torch.full((5,), 4.0))  # sqrt(16)
    assert (out > 0).all()


def test_rows_and_posts_that_do_not_fit_are_worked_on_in_parts(monkeypatch, caplog):
    train, network = examples(50), head()
    whole, plain = score(network, train.sides, train.present), network.forward

    def forward(sides, present, owner=None):
        if len(present) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(sides, present, owner)

    monkeypatch.setattr(network, "forward", forward)
    torch.testing.assert_close(score(network, train.sides, train.present), whole)
    assert network.room.at_once == 12  # 50, 25, 12
    options = HeadOptions(epochs=1, batch_size=32)
    assert fit_head(network, train, None, options, torch.Generator().manual_seed(0))["at_once"] == 16
    assert "32 posts at once do not fit into the memory; from here on 16" in caplog.text
