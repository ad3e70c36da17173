"""Tiny random checkpoints of the hub's format, each made when first asked for, and quick options of models on them."""

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

from random_transformer import write_transformer

from workbench.features.encoders.random_models import write_vlm

TUNED = {"finetune": True, "epochs": 1, "batch_size": 16, "lr": 0.01, "max_tokens": 16}


@cache
def checkpoint(kind):
    """Return the folder of a checkpoint, `bert` or `vlm`; it goes when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="checkpoint-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str({"bert": write_transformer, "vlm": write_vlm}[kind](folder / kind))


def quick(name, file=None):
    """Return options with which a model of the hub, of prompts or of hashes is ready in a moment; None for others."""
    if name == "text-transformer":
        return {"encoder": checkpoint("bert"), **TUNED}
    if name == "vlm-prompt":  # pictures of the contract are words, so it looks at the text alone there
        return {"model": checkpoint("vlm"), "modalities": ["text"]}
    if name == "clip-zeroshot":
        return {"encoder": "words", "prompts": str(file), "scale": 5.0}
    return {"bits": 12, "epochs": 2} if name == "text-hashing" else None


def write_prompts(file, labels):
    """Write prompts in the fake encoder's words: a label's own word is harm, fillers are not."""
    sides = {label: {"harmful": [f"{label}word"], "benign": ["word1", "word2 word3"]} for label in labels}
    file.write_text(json.dumps({"templates": ["{}"], "labels": sides}))  # JSON is YAML
    return file
