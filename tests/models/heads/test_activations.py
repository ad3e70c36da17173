"""What the hidden layer of a head ends in: an option of every head that has one, and the figure of what each does."""

import math
from typing import get_args

import numpy as np
import pytest
from quick_models import QUICK, TINY

from workbench import models
from workbench.models.heads.networks import ACTIVATIONS, COMPETING, activated
from workbench.models.heads.options import Activation

E = math.e
AT_ONE = {
    "relu": (0, 1),
    "leaky_relu": (-0.01, 1),
    "elu": (1 / E - 1, 1),
    "tanh": (-math.tanh(1), math.tanh(1)),
    "sigmoid": (1 / (1 + E), E / (1 + E)),
    "silu": (-1 / (1 + E), E / (1 + E)),
    "softmax": (1 / (1 + E * (COMPETING - 1)), E / (E + COMPETING - 1)),
}


def test_every_activation_is_what_its_name_says():
    assert set(get_args(Activation)) == set(ACTIVATIONS) == {*AT_ONE, "gelu"}
    for name, expected in AT_ONE.items():
        np.testing.assert_allclose(activated([name], np.array([-1.0, 1.0]))[name], expected, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", ["clip-concat", "clip-attention"])
def test_a_head_is_trained_and_saved_with_its_activation(world, name, tmp_path):
    options = {key: value for key, value in QUICK.items() if key in models.option_names(name)} | TINY.get(name, {})
    scores = {}
    for activation in ACTIVATIONS:
        model = models.create(
            name, options | {"activation": activation, "epochs": 1}, taxonomy=world.taxonomy, store=world.store
        )
        scores[activation] = model.fit(world.train, world.validation, seed=0).logits(world.test)
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=world.taxonomy, store=world.store)
    np.testing.assert_array_equal(again.logits(world.test), scores["softmax"])
    different = {np.round(values, 6).tobytes() for values in scores.values()}
    assert len(different) == len(ACTIVATIONS)


def test_swish_is_silu():
    assert models.parse("clip-cross", {"activation": "swish"}) == models.parse("clip-cross", {"activation": "silu"})
