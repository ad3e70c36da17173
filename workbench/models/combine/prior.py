"""What a model has to beat: the share of training posts with each label, whatever the post."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from workbench.models import Classifier, Prediction


class Prior(Classifier):
    """The smoothed training prevalence of each label, for every post, as it looks at none of them."""

    modalities = ()
    seeded = False
    learns = False

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        self.trained = np.zeros_like(self.trained)  # all that is known is the constant

    def _predict(self, posts: pa.Table) -> Prediction:
        return Prediction(np.zeros((len(posts), len(self.constants)), np.float32), np.ones(len(posts), bool))
