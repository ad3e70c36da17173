"""A small world in which every model of the table is made and trained in a moment."""

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from checkpoints import quick, write_prompts

from workbench import models
from workbench.models import MODELS

LEARN_NOTHING = {
    "scores": "reads its scores from a file",
    "clip-zeroshot": "compares posts with prompts",
    "vlm-prompt": "asks a model that others have trained",
    "image-opennsfw": "asks a model that others have trained",
}
# Models that need nothing but the installation; those of an extra have tests of their own on a stand-in for it.
SHIPPED = [name for name in MODELS if models.extra(name) is None]
UNTRAINED = ("prior", *LEARN_NOTHING)  # nothing of posts and labels, or no more than counts
LEARNING = [name for name in MODELS if name not in UNTRAINED]
ON_CHECKPOINTS = ("text-transformer", "vlm-prompt")  # which read a model of the hub, not the fake encoder
WITH_ENCODER = [name for name in LEARNING if "encoder" in models.option_names(name) and name not in ON_CHECKPOINTS]
WORDLESS = {
    "prior": "looks at no post",
    "scores": "reads its scores from a file",
    "author-profile": "reads numbers about the author",
    "image-clip": "reads pictures",
    "image-timm": "reads pictures",
    "image-opennsfw": "reads pictures",
    "video-clip": "reads clips",
}
WITH_TEXT = [name for name in MODELS if name not in WORDLESS]  # models that read the words of a text
PAIRS = ["late-fusion", "clip-concat", "clip-cross", "clip-align", "clip-attention", "clip-finetune", "clip-retrieval"]
# Models that see pictures or clips by the store's vectors; the contract test holds the list to what models say.
BY_VECTORS = ["image-clip", "video-clip", "image-timm", *PAIRS, "ensemble", "clip-zeroshot"]
TINY = {
    "clip-attention": {"width": 16, "heads": 2, "hidden": 32, "lr": 0.01},
    "clip-finetune": {"tune_epochs": 2, "tower_lr": 0.01, "tune_batch": 16},
    "clip-retrieval": {"hidden": 32},
}
QUICK = {"encoder": "words", "epochs": 8, "batch_size": 16, "lr": 0.02, "dropout": 0.1, "weight_decay": 0.0}
QUICK |= {"head": "mlp"}  # which the seed changes; test_frozen.py is about those that validation chooses


def options(name, scores_file=None):
    """Options with which a model trains in a moment on the fake encoder."""
    if name in ("prior", "text-tfidf", "text-vectors"):
        return {}
    if name == "scores":
        return {"path": str(scores_file), "modalities": ["text"]}
    if (chosen := quick(name, scores_file and scores_file.with_name("prompts.yaml"))) is not None:
        return chosen
    if name == "late-fusion":
        members = [{"name": f"{half}-clip", "options": QUICK} for half in ("text", "image", "video")]
        return {"encoder": "words", "members": members}
    if name == "author-profile":
        return {"trees": 8, "leaf": 5}
    if name == "misinformation":
        return {"trees": 8, "leaf": 5, "folds": 2}
    if name == "ensemble":
        members = [*({"name": f"{half}-clip", "options": QUICK} for half in ("text", "image")), "author-profile"]
        # The mean, as late-fusion stacks by the same code.
        return {"encoder": "words", "members": members, "combine": "mean", "weights": [2.0, 1.0, 1.0]}
    if name == "per-group":
        return {"base": {"name": "text-clip", "options": QUICK}, "min_posts": 20, "min_positives": 3, "share": 0.5}
    if name == "picture-words":  # its pictures hold words in plain bytes, which no reader of pictures reads
        return {"ocr": False}
    if name == "image-timm":
        return {"encoder": "words", "head": {key: value for key, value in QUICK.items() if key != "encoder"}}
    return {k: v for k, v in QUICK.items() if k in models.option_names(name)} | TINY.get(name, {})


@dataclass
class World:
    """Train, validation and test tables, and how to make and fit a model for them."""

    taxonomy: object
    store: object
    train: pa.Table
    validation: pa.Table
    test: pa.Table
    scores_file: object

    def make(self, name, **more):
        chosen = options(name, self.scores_file) | more
        return models.create(name, chosen, taxonomy=self.taxonomy, store=self.store)

    def fit(self, name, seed=0, train=None, **more):
        return self.make(name, **more).fit(self.train if train is None else train, self.validation, seed=seed)


def hesitating(table):
    """Return a table in which some said the first label of posts with the second one alone, and few of all others.

    Their shares of .45 and of .05 are both a no to most.
    """
    first, second = table.schema.field("labels").type.names[:2]
    shares = [{first: 1.0 if row[first] else 0.45 if row[second] else 0.05} for row in table["labels"].to_pylist()]
    kind = pa.struct({name: pa.float64() for name in table.schema.field("labels").type.names})
    return table.append_column("soft", pa.array(shares, kind))


def build(taxonomy, store, table, rows, folder):
    tables = [table(rows(n, taxonomy, seed, clips=True), taxonomy) for n, seed in ((120, 1), (40, 2), (30, 3))]
    file = folder / "scores.jsonl"
    draw = np.random.default_rng(0)
    with open(file, "w") as lines:
        for name in tables[2]["post_id"].to_pylist():
            print(json.dumps({"post_id": name, **{label: draw.random() for label in taxonomy.names}}), file=lines)
    write_prompts(folder / "prompts.yaml", taxonomy.names)
    return World(taxonomy, store, *tables, file)
