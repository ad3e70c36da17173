"""Early stopping, going on from where training was, and gradients in parts, on networks reckoned by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from workbench.device import Room
from workbench.errors import WorkbenchError
from workbench.models.fit.loop import Progress, copied, decayed, gradient, train_epochs
from workbench.models.fit.losses import cells, masked_bce, softmax


class Counter(nn.Module):
    """Its one weight is the number of the epoch it has learnt last."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def learn(self, epoch):
        self.weight.data.fill_(epoch)


def run(losses, epochs=9, patience=2, **more):
    network, values = Counter(), iter(losses)
    options = SimpleNamespace(epochs=epochs, patience=patience, lr=0.1)
    return network, train_epochs(network, options, network.learn, lambda: next(values), **more)


@pytest.mark.parametrize(
    ("losses", "epochs", "best"),
    [
        ([0.5, 0.4, 0.45, 0.41], 4, 2),  # two epochs without a gain
        ([0.5, 0.5, 0.5], 3, 1),  # the first of equal ones; no gain is none
        ([0.5, float("nan"), 0.4, 0.6, 0.7], 5, 3),  # a loss that is no number is no gain
        ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1], 9, 9),
    ],
)
def test_training_ends_without_a_gain_and_keeps_the_best_weights(losses, epochs, best):
    network, record = run(losses)
    assert record == {"epochs": epochs, "best_epoch": best, "loss": losses[best - 1]}
    assert network.weight.item() == best


def test_a_loss_that_never_is_a_number_is_one_sentence():
    with pytest.raises(WorkbenchError, match=r"training with lr 0\.1 diverged; lower `lr`"):
        run([float("nan")] * 2)


def test_training_goes_on_from_where_it_was_and_says_when_it_can_be_saved():
    seen, progress = [], Progress(best=0.45, weights=copied(Counter()))  # from before the first epoch
    network, record = run(
        [0.5, 0.4, 0.6, 0.7], progress=progress, saved=lambda: seen.append((list(progress.losses), progress.best))
    )
    assert record == {"epochs": 4, "best_epoch": 2, "loss": 0.4}
    assert seen == [([0.5], 0.45), ([0.5, 0.4], 0.4), ([0.5, 0.4, 0.6], 0.4)]  # no epoch follows the last
    half = Progress([0.5, 0.4], 0.4, 2, {"weight": torch.tensor([2.0])})
    again, resumed = run([0.6, 0.7], progress=half)
    assert resumed == record
    assert torch.equal(again.weight, network.weight)
    nothing, record = run([0.5, 0.6], progress=Progress(best=0.45, weights=copied(Counter())))
    assert (record["best_epoch"], record["loss"], nothing.weight.item()) == (0, 0.45, 0)


def test_kept_weights_do_not_change_with_the_network():
    network = Counter()
    kept = copied(network)
    network.learn(5)
    assert kept["weight"].item() == 0


@pytest.mark.parametrize("most", [12, 5, 1])
def test_the_gradient_is_that_of_the_whole_batch_whatever_the_parts(most, caplog):
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, 3, generator=draw), (torch.rand(20, 2, generator=draw) < 0.5).float()
    known = torch.rand(20, 2, generator=draw) < 0.6
    batch, network = torch.arange(3, 15), nn.Linear(3, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)

    def loss(rows):
        if len(rows) > most:
            masked_bce(network(x[rows[:1]]), y[rows[:1]], known[rows[:1]]).backward()  # a broken gradient is left
            raise torch.OutOfMemoryError("no room")
        return masked_bce(network(x[rows]), y[rows], known[rows])

    gradient(Room("post", 12), optimizer, batch, known, loss)
    found = [p.grad.clone() for p in network.parameters()]
    optimizer.zero_grad()
    masked_bce(network(x[batch]), y[batch], known[batch]).backward()
    for mine, p in zip(found, network.parameters(), strict=True):
        torch.testing.assert_close(mine, p.grad)
    assert ("do not fit" in caplog.text) is (most < 12)


def test_a_batch_in_which_nothing_is_known_has_no_gradient():
    network, x, known = nn.Linear(3, 1), torch.ones(4, 3), np.zeros((4, 1), bool)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)

    def loss(rows):
        return masked_bce(network(x[rows]), torch.ones(len(rows), 1), torch.from_numpy(known[rows]))

    gradient(Room("post", 2), optimizer, np.arange(4), known, loss)
    assert all((p.grad == 0).all() for p in network.parameters())


def test_matrices_decay_and_vectors_do_not():
    groups = decayed(nn.Linear(3, 2).parameters(), 0.3, lr=0.5)
    assert [([p.ndim for p in g["params"]], g["weight_decay"], g["lr"]) for g in groups] == [
        ([2], 0.3, 0.5),
        ([1], 0.0, 0.5),
    ]
    assert len(decayed([nn.Parameter(torch.zeros(2))], 0.3)) == 1


@pytest.mark.parametrize("sets", [(), ((0, 1),), ((0, 1), (2, 3))])
def test_parts_weigh_by_the_cells_of_the_loss_where_a_set_of_labels_is_one_answer(sets):
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(12, 3, generator=draw), torch.eye(5)[torch.randint(5, (12,), generator=draw)]
    known = torch.rand(12, 5, generator=draw) < 0.5
    known[:6] = True  # the first part knows more labels than the second, by another factor than it knows cells
    batch, network = torch.arange(12), nn.Linear(3, 5)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)

    def loss(rows):
        return softmax(network(x[rows]), y[rows], known[rows], exclusive=sets)

    gradient(Room("post", 6), optimizer, batch, cells(known, sets), loss)
    in_parts = [p.grad.clone() for p in network.parameters()]
    optimizer.zero_grad()
    loss(batch).backward()
    for mine, p in zip(in_parts, network.parameters(), strict=True):
        torch.testing.assert_close(mine, p.grad)
