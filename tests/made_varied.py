"""Runs in memory that hold everything a comparison can meet at once, and rows told in a few numbers.

Groups of several posts, one of sixty; unequal weights; unknown labels; a label that one model has no score of; posts
that a model cannot see; scores that tie; models of one, two and three seeds; truth, slices, identities, votes, a suite.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from workbench.comparison.options import CompareOptions
from workbench.comparison.predictions import Run, Scores

LABELS = ("abuse", "violence", "spam")
SETTINGS = CompareOptions(
    pairs=[("cross", "best-unimodal"), ("cross", "prior"), ("pixels", "words")],
    resamples=100,
    slice_resamples=100,
    margin=0.02,
    alpha=0.1,
    few=25,
    seed=5,
).model_copy(update={"draws": 300})


def _set(name: str, n: int, seed: int) -> dict[str, Any]:
    """Return the facts of one set of n posts, and `latent` (n, 2): what its halves tell of abuse."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 2))
    score = np.stack([latent.sum(1), latent[:, 0] - 0.5 * latent[:, 1], latent[:, 1]], axis=1)
    y, known = rng.random((n, 3)) < 1 / (1 + np.exp(1.6 - 1.5 * score)), rng.random((n, 3)) < 0.95
    paired = rng.random(n) < 0.7
    group = np.array([f"g{one:03d}" for one in rng.integers(n // 2, size=n)])
    group[-60:], paired[-60:] = "whole family", False
    if name == "test":  # exactly as many harmless posts as `recall_at_fpr_0.01` needs
        harmless = np.flatnonzero(~y[:, 0] & known[:, 0])
        known[harmless[500:], 0] = False
    logistic = lambda x: np.round(1 / (1 + np.exp(1.6 - x)), 2)  # noqa: E731
    halves = {"text": score * 0.9 + latent[:, :1] * 0.3, "image": score * 0.6}
    exact = {half: logistic(of) for half, of in halves.items()} | {"text+image": logistic(1.5 * score)}
    exact |= {"late-fusion": (exact["text"] + exact["image"]) / 2, "none": np.full((n, 3), 0.3)}
    exact["text"][np.flatnonzero(known[:, 2] & paired)[3], 2] = np.nan  # a gap that counts, so that spam has no ceiling
    exact["text"][np.flatnonzero(~known[:, 1])[:2], 1] = np.nan  # and gaps that do not
    votes = np.full((n, 3, 2), np.nan)
    votes[:, 0] = rng.multinomial(5, [0.5, 0.5], size=n)
    votes[:, 0] = np.where(y[:, :1], votes[:, 0].max(1)[:, None], votes[:, 0].min(1)[:, None])
    votes[:, 0, 1] = np.maximum(5 - votes[:, 0, 0] - (np.arange(n) % 7 == 0), 0)  # now and then a tie, of four
    votes[::11, 0] = [[1, 0]]
    votes[3::11, 0] = [[2, 0]]
    votes[5::13, 0] = np.nan
    language, community = rng.choice(["en", "es", ""], p=[0.6, 0.3, 0.1], size=n), rng.integers(14, size=n)
    return {
        "post_id": np.array([f"p{i:05d}" for i in range(n)]),
        "group": group,
        "weight": rng.choice([1.0, 2.5, 7.0], size=n),
        "paired": paired,
        "y": y & known,
        "known": known,
        "exact": exact,
        "slices": {
            "language": language,
            "community": np.array([f"c{one:02d}" for one in community]),
            "length": np.where(rng.random(n) < 0.1, np.nan, rng.integers(1, 400, size=n)),
        },
        "identities": {"gay": rng.random(n) < 0.4, "muslim": latent[:, 0] > 0.5, "never": (~y & known).all(1)},
        "votes": votes,
        "latent": latent,
        "score": score,
    }


def _suite(of: dict[str, Any], n: int) -> dict[str, np.ndarray]:
    at = np.arange(n)
    return {
        "functionality": np.array([("slur", "negation", "counter", "")[i % 4] for i in at]),
        "target": np.array([("women", "", "muslims")[i % 3] for i in at]),
        "case": np.array([f"case {i // 3}" for i in at]),
        "note": np.array([("of a slur", "of a negation", "of a quote", "")[i % 4] for i in at]),
    }


@cache
def sets() -> dict[str, dict[str, Any]]:
    """Return the facts of the sets of posts by name."""
    found = {"test": _set("test", 740, 1), "validation": _set("validation", 200, 2), "cases": _set("cases", 130, 3)}
    found["cases"] |= {"suite": _suite(found["cases"], 130), "identities": {}}
    return found


def _run(alias: str, modalities: tuple[str, ...], strength: float, seeds: int, threshold: float, **more: Any) -> Run:
    scores = {}
    for number, (name, facts) in enumerate(sets().items()):
        rng, score = np.random.default_rng([number, seeds, len(alias)]), facts["score"]
        logit = np.round(strength * (score[None] + rng.normal(size=(seeds, *score.shape))) - 1, 1)
        if modalities == ("image",):
            logit[:, ~facts["paired"] & (np.arange(len(score)) % 3 == 0)] = np.nan
        logit[:, 4 :: 90 + len(alias)] = np.nan
        rest = {key: value for key, value in facts.items() if key not in ("latent", "score")}
        with np.errstate(invalid="ignore"):
            scores[name] = Scores(**rest, logit=logit, prob=1 / (1 + np.exp(-logit)))
    thresholds = threshold + 0.05 * np.arange(seeds)[:, None] + np.array([0, 0.02, 0.04])
    given = {"prevalence": np.array([0.2, 0.25, 0.3]), "thresholds": thresholds} | more
    there = np.unique(scores["test"].prob[~np.isnan(scores["test"].prob)])  # a threshold is some post's probability
    nearest = np.vectorize(lambda cut: np.nan if np.isnan(cut) else there[np.abs(there - cut).argmin()])
    given["thresholds"] = nearest(given["thresholds"])
    costs = {"ms_per_post": 2.0 * seeds, "peak_mb": 300.0, "fit_seconds": 7.0, "parameters": 11}
    about = {"key": f"key-{alias}", "folder": Path(), "taxonomy": "t", "labels": LABELS, "columns": modalities}
    numbers = tuple(range(3, 3 + seeds))
    return Run(alias=alias, modalities=modalities, seeds=numbers, costs=costs, sets=scores, **about, **given)


@cache
def varied() -> list[Run]:
    """Return four runs: one that sees nothing, two of one half each, and one of both."""
    half = np.array([[0.4, 0.45, np.nan], [0.45, 0.4, 0.4]])  # no threshold of spam under the first seed
    return [
        _run("prior", (), 0.0, 1, 0.5),
        _run("words", ("text",), 1.0, 1, 0.4, prevalence=np.array([0.2, 0.25, np.nan])),
        _run("pixels", ("image",), 0.7, 2, 0.4, thresholds=half),
        _run("cross", ("text", "image"), 1.4, 3, 0.45),
    ]


# ------------------------------------------------------------------------------------------------ rows in a few numbers


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _flat(inner, name)
    else:
        yield name, value


def told(rows: Iterable[Any]) -> dict[str, float]:
    """Return each field of rows as one number that any change of a value moves: sums weighed by the row's place.

    An undefined number counts as a number of its own, a text as the checksum of its letters.
    """
    sums: dict[str, float] = {}
    for n, row in enumerate(rows):
        for i, (name, value) in enumerate(_flat(row if isinstance(row, dict) else row.model_dump())):
            number = zlib.crc32(value.encode()) % 1000 / 1000 if isinstance(value, str) else value
            number = -0.7 if number is None else float(number)
            sums[name] = sums.get(name, 0.0) + number * (1 + math.sin(1 + n + 0.1 * i))
    return {name: float(f"{value:.8g}") for name, value in sums.items()}
