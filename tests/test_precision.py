"""One model, two machines: scores on a GPU, or in half precision, stay within a stated distance of the CPU's.

The tolerances are in probability, for the same trained model: 1e-4 where both compute in float32; where the encoder
computes in bfloat16, 0.01 for 99 of 100 probabilities and 0.04 for all (eight bits of mantissa move an embedding by up
to 0.4 %; measured: 0.006 for 99 of 100, and, depending on how torch lays out the same sums, 0.016 to 0.027 at most of
2,500). Metrics hardly move: average precision by less than 0.005.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench import device as devices
from workbench import models
from workbench.features import encoders
from workbench.features.store import FeatureStore
from workbench.metrics.classification import average_precision
from workbench.schema import Taxonomy, inputs, label_matrix
from workbench.studies.steps import training

TOLERANCE = {torch.float32: (1e-4, 1e-4), torch.bfloat16: (0.01, 0.04)}  # for 99 of 100 and for all


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A clip-cross trained on the CPU: its bundle, its posts and their probabilities there."""
    taxonomy = Taxonomy.load()
    corpus = {"source": "synthetic", "posts": 2500, "oversample": {"paired": 0.8, "harm": 0.3}}
    material = training.prepare(corpus, {"by": "group"}, {}, taxonomy)
    model = training.fit("clip-cross", {"encoder": "tiny"}, material, [0], FeatureStore(None, "cpu"))[0].model
    bundle = tmp_path_factory.mktemp("bundle") / "0"
    model.save(bundle)
    return bundle, material.sets["test"], probabilities(model, material.sets["test"])


def probabilities(model, table):
    return 1 / (1 + np.exp(-model.logits(inputs(table)).astype(np.float64)))


def hold(trained, store, tolerance):
    bundle, table, expected = trained
    taxonomy = Taxonomy.load()
    found = probabilities(models.load(bundle, taxonomy=taxonomy, store=store), table)
    apart = np.abs(found - expected)
    assert np.quantile(apart, 0.99) <= tolerance[0]
    assert apart.max() <= tolerance[1]
    y, _ = label_matrix(table, taxonomy)
    for k in range(len(taxonomy.names)):
        ours, theirs = (average_precision(y[:, k], p[:, k]) for p in (found, expected))
        assert abs(ours - theirs) <= 0.005
    return found


def test_half_precision_on_the_cpu_stays_close(trained, monkeypatch):
    """The path that a GPU takes, forced onto the CPU, where it is slow but the same."""
    monkeypatch.setattr(devices, "dtype", lambda where: torch.bfloat16)
    encoders.forget()
    found = hold(trained, FeatureStore(None, "cpu"), TOLERANCE[torch.bfloat16])
    assert not np.array_equal(found, trained[2])  # it did compute in half precision
    encoders.forget()


@pytest.mark.gpu
def test_a_gpu_gives_the_cpus_scores(trained):
    where = devices.device("cuda")
    hold(trained, FeatureStore(None, where), TOLERANCE[devices.dtype(where)])
    assert devices.peak_memory_mb(where)["cuda"] > 0
