"""Tokens of any scheme of `preprocessing.text.tokenizers`, and a small model over them that learns in seconds on a CPU.

The model is one of three, so that a scheme can be judged apart from what reads its tokens: `linear`, a logistic
regression on tf-idf of the tokens; `mean`, the mean of learned embeddings; `conv`, embeddings and convolutions, the
only one that sees the order of the tokens. The two bags see as much of the order as their tokens hold.

The networks read rows of at most `length` tokens. A longer text becomes several windows as for an encoder (`starts`);
the first is trained on, the highest is the score. The linear model counts the whole text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from workbench.features.encoders.forward.windows import starts
from workbench.models.fit.options import VARIANTS, TargetOptions
from workbench.models.fit.targets import fit_shares, target_matrix
from workbench.models.text.variants import WordModel, read_words, write_words
from workbench.preprocessing.text import tokenizers
from workbench.preprocessing.text.cleaning import TextOptions
from workbench.preprocessing.text.tokenizers import UNKNOWN, Tokenizer, TokenOptions
from workbench.schema import Options

TOKENS = "tokens.json"


class TokensOptions(TargetOptions, TokenOptions):
    """The tokens, what reads them, and how that is trained."""

    network: Literal["linear", "mean", "conv"] = Field(
        "conv", description="What reads the tokens: a linear model, the mean of embeddings, or convolutions over them."
    )
    length: int = Field(256, ge=16, le=8192, description="Tokens of a row; a longer text is read in several.")
    dim: int = Field(48, ge=1, le=1024, description="Length of an embedding.")
    width: Literal[3, 5, 7] = Field(3, description="Tokens that one convolution sees.")
    depth: int = Field(2, ge=1, le=4, description="Convolutions on top of each other; together width^depth tokens.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of embeddings and pooled values dropped in training.")
    epochs: int = Field(12, ge=1, le=1000, description="Most passes over the training posts.")
    lr: float = Field(0.01, gt=0, le=1, description="Learning rate of AdamW.")
    weight_decay: float = Field(0.1, ge=0, description="Weight decay of AdamW (per step it is multiplied by lr).")
    batch_size: int = Field(32, ge=1, description="Posts per step.")
    patience: int = Field(2, ge=1, description="Epochs without a better validation loss before training stops.")
    C: float = Field(3.0, gt=0, description="Inverse strength of the linear model's L2 penalty.")
    text: TextOptions = Field(TextOptions(lower=True), description="How a text is cleaned before it is cut.")
    variants: bool = VARIANTS


class TokensClassifier(WordModel):
    """A linear model, a bag of embeddings or a small convolutional network over the tokens of a text."""

    options_class = TokensOptions
    options: TokensOptions
    search: ClassVar[dict[str, tuple]] = {
        "scheme": ("words", "phrases", "bpe", "characters"),
        "network": ("linear", "mean", "conv"),
        "lr": (0.003, 0.01, 0.03),
        "C": (0.3, 1.0, 3.0, 10.0),
    }

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.linear = self.options.network == "linear"
        self.seeded = not self.linear
        self.tokenizer: Tokenizer | None = None
        self.network: Any = None
        self.idf = np.zeros(0)
        self.weights, self.bias = np.zeros((0, len(self.taxonomy.names))), np.zeros(len(self.taxonomy.names))

    @classmethod
    def files(cls, options: TokensOptions) -> list[Path]:
        return tokenizers.files(options)

    # ------------------------------------------------------------------------------------------------ fit and score

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        texts, y, known = self._learn_from(train)
        self.tokenizer, self.network = Tokenizer(self.options).fit(texts), None
        ids = self._encoded(texts)
        if self.linear:
            self._fit_linear(ids, y, known)
        elif self.trained.any():
            self._fit_network(ids, y, known, validation, seed)
        self.record["tokens"] = self.tokenizer.size

    def _fit_linear(self, ids: list[np.ndarray], y: np.ndarray, known: np.ndarray) -> None:
        counts = tokenizers.counts(ids, self.tokenizer.size)
        self.idf = np.log((1 + len(ids)) / (1 + np.bincount(counts.indices, minlength=counts.shape[1]))) + 1
        x = self._weighted(counts)
        self.weights, self.bias = np.zeros((x.shape[1], y.shape[1])), np.zeros(y.shape[1])
        for k in np.flatnonzero(self.trained):
            some = known[:, k]
            model = LogisticRegression(C=self.options.C, solver="liblinear", random_state=0, max_iter=10_000)
            fit_shares(model, x[some], y[some, k])
            self.weights[:, k], self.bias[k] = model.coef_[0], model.intercept_[0]
        counted = x.data.nbytes + x.indices.nbytes + x.indptr.nbytes
        self.record = {"memory": {"parameters": self.weights.nbytes, "counts": counted}}

    def _fit_network(
        self, ids: list[np.ndarray], y: np.ndarray, known: np.ndarray, validation: pa.Table, seed: int
    ) -> None:
        import torch

        from workbench.models.text.tokens import network

        generator = torch.Generator().manual_seed(seed)
        self.network = network.TokenNetwork(self.tokenizer.size, y.shape[1], self.options, generator)
        raw, z, z_known = self._said(validation, target_matrix)
        watched = self._encoded(self._cleaned(raw))
        length = self.options.length
        train, watched = (
            network.TextExamples([row[:length] for row in some], truth, there & self.trained)
            for some, truth, there in ((ids, y, known), (watched, z, z_known))
        )
        self.record = network.fit(self.network, train, watched, self.options, generator)

    def _scored(self, texts: list[str]) -> np.ndarray:
        """Return logits (n_texts, n_labels) of cleaned texts; 0 where nothing was learnt."""
        if not self.linear and self.network is None:
            return np.zeros((len(texts), len(self.bias)))
        ids = self._encoded(texts)
        if self.linear:
            return self._weighted(tokenizers.counts(ids, self.tokenizer.size)) @ self.weights + self.bias
        from workbench.models.text.tokens import network

        length = self.options.length
        rows = [[row[at : at + length] for at in starts(len(row), length)[0]] for row in ids]
        firsts = np.cumsum([0, *map(len, rows)])[:-1]
        scores = network.score(self.network, [window for some in rows for window in some])
        return np.maximum.reduceat(scores, firsts, axis=0)

    def _weighted(self, counts: sparse.csr_array) -> sparse.csr_array:
        counts.data = (1 + np.log(counts.data)) * self.idf[counts.indices]
        return normalize(counts) if counts.shape[0] else counts

    def _encoded(self, texts: list[str]) -> list[np.ndarray]:
        """Return each text's ids; a text of which cleaning leaves nothing is one unknown token."""
        return [ids if len(ids) else np.array([UNKNOWN], np.int32) for ids in self.tokenizer.encode(texts)]

    # ---------------------------------------------------------------------------------------------------------- disk

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        if self.linear:
            return {}, {"idf": self.idf, "weights": self.weights, "bias": self.bias}
        if self.network is None:
            return {"network": False}, {}
        from workbench.models.fit.loop import weights_of

        return {"network": True}, weights_of(self.network, "network.")

    def _save_parts(self, folder: Path) -> None:
        super()._save_parts(folder)
        write_words(folder / TOKENS, self.tokenizer.state())

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        super()._restore(state, arrays, folder)
        self.tokenizer = Tokenizer(self.options).restore(read_words(folder / TOKENS))
        if state.get("network"):
            from workbench.models.fit.loop import take_weights
            from workbench.models.text.tokens import network

            self.network = network.TokenNetwork(self.tokenizer.size, len(self.taxonomy.names), self.options)
            take_weights(self.network, arrays, "network.")
