"""Soft labels in every way that a model can learn: each learner, loss, class weight and member takes shares."""

import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from quick_models import build, hesitating
from random_backbone import write_backbone

from workbench import models
from workbench.features import FeatureStore
from workbench.features.encoders import load_encoder
from workbench.models.fit.options import LOSS_NUMBERS
from workbench.schema import Label, Taxonomy, label_matrix

STACKED = [{"name": "text-tfidf"}, {"name": "author-profile", "options": {"trees": 8, "leaf": 5}}]
WAYS = [
    ("text-tokens", {"network": "linear"}),
    ("text-tokens", {"network": "mean"}),
    ("text-tfidf", {"class_weight": "balanced"}),
    ("text-transformer", {"finetune": False, "epochs": 8}),
    ("author-profile", {"learner": "linear"}),
    ("author-profile", {"class_weight": {"abuse": 3}}),
    ("misinformation", {"learner": "boosting"}),
    ("clip-retrieval", {"space": "whitened", "k": 10}),
    ("late-fusion", {"members": STACKED}),
    ("ensemble", {"members": STACKED, "weights": None, "combine": "stack"}),
    ("ensemble", {"members": STACKED, "weights": None, "combine": "mean"}),
    ("per-group", {"base": "text-tfidf", "by": "region", "share": [0.0, 0.5, 1.0]}),
    ("picture-words", {"model": "text-hashing"}),
    ("text-clip", {"class_weight": "balanced"}),
    ("text-clip", {"upsample": 0.4}),
    *(("text-clip", {"loss": loss}) for loss in LOSS_NUMBERS),
]


def told_apart(world, name, **more):
    """Return how far a model puts the doubtful posts of the first label above the sure ones, trained soft and hard."""
    doubtful, sure = ((label_matrix(world.train, world.taxonomy)[0] == row).all(axis=1) for row in ([0, 1], [0, 0]))
    for kind in ("soft", "hard"):
        logits = world.fit(name, labels=kind, **more).logits(world.train)[:, 0]
        yield np.nanmean(logits[doubtful]) - np.nanmean(logits[sure])


@pytest.mark.parametrize(("name", "more"), WAYS)
def test_every_way_to_learn_takes_shares(world, name, more):
    if more.get("loss") == "softmax":
        labels = tuple(Label(name=label, title=label, definition=label) for label in world.taxonomy.names)
        world = replace(world, taxonomy=Taxonomy(labels=labels, exclusive=(world.taxonomy.names,)))
    world = replace(world, train=hesitating(world.train), validation=hesitating(world.validation))
    soft, hard = told_apart(world, name, **more)
    assert soft > hard


def test_a_backbone_is_tuned_towards_shares(taxonomy, table, tmp_path):
    """White pictures are a yes to all, grey ones to .45, black ones to .05."""
    grey, shares = {"yes": 255, "doubt": 120, "no": 0}, {"yes": 1.0, "doubt": 0.45, "no": 0.05}
    kinds = ["yes", "doubt", "no"] * 16
    posts = table([{"text": "words", "labels": {"abuse": kind == "yes"}} for kind in kinds], taxonomy)
    files = []
    for kind in kinds:
        file = io.BytesIO()
        Image.new("RGB", (40, 40), (grey[kind],) * 3).save(file, "PNG")
        files.append({"bytes": file.getvalue(), "path": None})
    column = posts.schema.get_field_index("image")
    posts = posts.set_column(column, "image", pa.array(files, posts["image"].type))
    kind = pa.struct({name: pa.float64() for name in taxonomy.names})
    posts = posts.append_column("soft", pa.array([{"abuse": shares[kind]} for kind in kinds], kind))
    store = FeatureStore(None, "cpu", load=load_encoder)
    options = {"encoder": f"timm:{write_backbone(tmp_path / 'backbone')}", "finetune": True, "epochs": 2}
    made = {}
    for labels in ("soft", "hard"):
        model = models.create("image-timm", {**options, "labels": labels}, taxonomy=taxonomy, store=store)
        made[labels] = model.fit(posts, posts, seed=0).logits(posts)[:, 0]
    assert made["soft"].mean() > made["hard"].mean()


def test_a_member_can_learn_what_most_say_beside_one_that_learns_shares(world):
    world = replace(world, train=hesitating(world.train), validation=hesitating(world.validation))
    members = [{"name": "text-tfidf", "options": {"labels": kind}} for kind in ("soft", "hard")]
    model = world.fit("ensemble", members=members, combine="mean", weights=[1, 1])
    soft, hard = (part.logits(world.train) for part in model.parts())
    assert not np.allclose(soft, hard, equal_nan=True)
    assert np.array_equal(hard, world.fit("text-tfidf", labels="hard").logits(world.train), equal_nan=True)


@pytest.mark.parametrize("name", ["text-tfidf", "text-clip", "author-profile"])
def test_a_label_that_most_deny_everywhere_is_learnt_from_its_shares(taxonomy, store, table, rows, tmp_path, name):
    world = build(taxonomy, store, table, rows, tmp_path)
    train = hesitating(world.train)
    denied = [{**row, "abuse": False} for row in train["labels"].to_pylist()]
    shares = [{"abuse": min(row["abuse"], 0.45), "nudity": None} for row in train["soft"].to_pylist()]
    for column, values in (("labels", denied), ("soft", shares)):
        at, kind = train.schema.get_field_index(column), train.schema.field(column)
        train = train.set_column(at, kind, pa.array(values, kind.type))
    soft = world.fit(name, train=train)
    hard = world.fit(name, train=train, labels="hard")
    assert (soft.trained[0], hard.trained[0]) == (True, False)
    assert np.nanstd(soft.logits(world.test)[:, 0]) > 0.1 > np.nanstd(hard.logits(world.test)[:, 0])
