"""Which tokens? Schemes side by side: what they cost, what they find, and which claims about them hold.

Every scheme of `preprocessing.text.tokenizers` is read by a linear model and by a small network (`text-tokens`). Times
are those of the processor, all threads together, so that a busy machine does not change them much. Memory in training
is counted tensor by tensor (`models.tokens.network.Kept`: parameters, gradients, the optimizer's state and what the
largest batch keeps for the gradient; for the linear model its weights and the count matrix): it is exact and the same
everywhere, but leaves out the temporary results of single operations and the libraries themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench import models
from workbench.comparison.options import MAIN, VALIDATION
from workbench.errors import WorkbenchError, unknown
from workbench.metrics import intervals
from workbench.metrics.plots.curves import Dot
from workbench.metrics.ranking import Ranking
from workbench.preprocessing.text import tokenizers
from workbench.preprocessing.text.cleaning import clean
from workbench.questions import context_pairs
from workbench.schema import declared, inputs, label_matrix
from workbench.studies.steps.training import Material

MODEL = "text-tokens"
NETWORKS = ("linear", "conv")
SCHEMES: dict[str, dict[str, Any]] = {
    "bytes": {"scheme": "bytes"},
    "2-3 characters": {"scheme": "characters"},
    "8-character chunks": {"scheme": "chunks"},
    "words": {"scheme": "words"},
    "2-4 words": {"scheme": "phrases"},
    "2-4 words, overlapping": {"scheme": "overlapping"},
    "bpe 500": {"scheme": "bpe", "size": 500},
    "bpe 2000": {"scheme": "bpe", "size": 2000},
    "bpe 8000": {"scheme": "bpe", "size": 8000},
    "clip": {"scheme": "clip"},
    "tiny": {"scheme": "tiny"},
    "tiktoken": {"scheme": "tiktoken"},
}
RESAMPLES = 500
EDGE = 0.05  # two costs within 5 % of each other count as the same
SPARSE = 0.95  # share of zeros from which a matrix is called sparse here
RIGHT, WRONG, BOTH, NONE = "confirmed", "refuted", "mixed", "not measured"


@dataclass(frozen=True)
class Measured:
    """One scheme read by one network: `row` is its line of the table, `samples` its AP and the resamples of it."""

    scheme: str
    network: str
    row: dict[str, float]
    samples: np.ndarray


def asked(names: Sequence[str], encodings: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the options of each scheme that is asked for: `names`, or all, and tiktoken's whose files are named.

    encodings: one of tiktoken's -> its file on this machine. Raises WorkbenchError for a name that is not in `SCHEMES`.
    """
    if wrong := [name for name in names if name not in SCHEMES]:
        raise WorkbenchError(unknown("scheme", wrong[0], SCHEMES))
    files = {
        f"tiktoken {name}": {"scheme": "tiktoken", "encoding": name, "file": encodings[name]} for name in encodings
    }
    return {name: SCHEMES[name] for name in names or SCHEMES} | files


def available(
    names: Sequence[str], options: Mapping[str, Any] | None = None, encodings: Mapping[str, str] | None = None
) -> tuple[dict[str, dict], dict[str, str]]:
    """Return the options of each scheme that this machine has, and for the others the sentence that says what lacks.

    Without names it is about all of `SCHEMES`; encodings: see `asked`, which says what raises.
    """
    there, lacking = {}, {}
    for name, scheme in asked(names, encodings or {}).items():
        chosen = {**(options or {}), **scheme}
        models.parse(MODEL, chosen)
        try:
            models.check(MODEL, chosen)
        except WorkbenchError as error:
            lacking[name] = str(error)
        else:
            there[name] = chosen
    return there, lacking


def widths(lengths: Sequence[int], options: Mapping[str, Any] | None = None) -> dict[str, dict]:
    """Return the options of words as embeddings of several lengths; a linear model has none, so `conv` alone reads."""
    return {f"words, {length} wide": {**(options or {}), "scheme": "words", "dim": length} for length in lengths}


def measure(
    material: Material, schemes: Mapping[str, dict], label: str, *, seeds: Sequence[int], pairs: int, networks=NETWORKS
) -> list[Measured]:
    """Train and time every scheme with every network; the table of it is `summary`.

    label: whose AP on test is taken, as the mean over seeds; pairs: how many pairs of sentences the context test has
    for training; as many test.
    """
    material.column(label)
    runs = []
    context_pairs.trained({"epochs": 1}, 8, label, material.taxonomy, 0)  # what is loaded at first use is no one's cost
    for name, options in schemes.items():
        cut = tokens(material.sets["train"], options)
        for network in networks:
            chosen = {**options, "network": network}
            row, samples = _trained(material, chosen, label, seeds)
            model = context_pairs.trained(chosen, pairs, label, material.taxonomy, seeds[0])
            ranked = context_pairs.ranked(model, context_pairs.pairs(pairs, "test", seeds[0]), label)
            runs.append(Measured(name, network, {**cut, **row, **ranked}, samples))
    return runs


def tokens(train: pa.Table, options: dict[str, Any]) -> dict[str, float]:
    """Return what a scheme makes of the training texts, before any model.

    vocabulary: ids, that is, rows of the table; published: those of a vocabulary made elsewhere, else NaN; tokens, p95:
    tokens per post, mean and 95th percentile; unknown: share of the tokens without an id; zeros: share of zero entries
    of the matrix of counts (posts, ids); width: numbers of an embedding; table MB: of float32 embeddings.
    """
    parsed = models.parse(MODEL, options)
    texts = [clean(text, parsed.text) for text in train["text"].filter(pa.array(declared(train)["text"])).to_pylist()]
    tokenizer = tokenizers.Tokenizer(parsed).fit(texts)
    ids = tokenizer.encode(texts)
    length = np.array([len(row) for row in ids])
    counts = tokenizers.counts(ids, tokenizer.size)
    return {
        "vocabulary": tokenizer.size,
        "published": np.nan if tokenizer.published is None else tokenizer.published,
        "tokens": float(length.mean()),
        "p95": float(np.quantile(length, 0.95)),
        "unknown": float((np.concatenate(ids) == tokenizers.UNKNOWN).mean()),
        "zeros": 1 - counts.nnz / (counts.shape[0] * counts.shape[1]),
        "width": parsed.dim,
        "table MB": tokenizer.size * parsed.dim * 4 / 1e6,
    }


def _trained(
    material: Material, options: dict[str, Any], label: str, seeds: Sequence[int]
) -> tuple[dict[str, float], np.ndarray]:
    test, k = material.sets[MAIN], material.taxonomy.names.index(label)
    y, known = (array[:, k] for array in label_matrix(test, material.taxonomy))
    codes, groups = intervals.group_codes(test["group"].to_pylist())
    rankings, fits, reads, cuts, memory = [], [], [], [], 0.0
    for seed in seeds:
        model = models.create(MODEL, options, taxonomy=material.taxonomy, store=None)
        fits.append(_seconds(lambda: model.fit(material.sets["train"], material.sets[VALIDATION], seed=seed)))  # noqa: B023
        logits = model.logits(inputs(test))[:, k]
        usable = known & ~np.isnan(logits)
        rankings.append(Ranking.build(y > 0.5, logits, codes, groups, known=usable))
        reads.append(_seconds(lambda: model.logits(inputs(test))))  # noqa: B023
        texts = [clean(text or "", model.options.text) for text in test["text"].to_pylist()]
        cuts.append(_seconds(lambda: model.tokenizer.encode(texts)))  # noqa: B023
        memory = sum(model.record["memory"].values()) / 1e6
    mean = lambda W: np.mean([ranking.average_precision(W) for ranking in rankings], axis=0)  # noqa: E731
    samples = intervals.bootstrap(mean, groups, RESAMPLES, seed=0, rows=rankings[0].rows)
    lo, hi = intervals.value_interval(samples)
    per, train = len(test) / 1000, len(material.sets["train"]) / 1000
    times = {"fit s": np.mean(fits) / train, "read ms": 1000 * min(reads) / per, "cut ms": 1000 * min(cuts) / per}
    return {"training MB": memory, **times, "AP": float(samples[0]), "AP lo": lo, "AP hi": hi}, samples


def _seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def summary(runs: Sequence[Measured]) -> pd.DataFrame:
    """Return the table, one row per scheme and network.

    Beside what `tokens` and `context_pairs.ranked` say: training MB; fit s, read ms, cut ms: processor time per 1,000
    posts to train, to score from raw text, and the part of it that cutting takes; AP with its interval.
    """
    frame = pd.DataFrame([run.row for run in runs])
    frame.index = pd.MultiIndex.from_tuples([(run.scheme, run.network) for run in runs], names=["tokens", "read by"])
    return frame


def bars(runs: Sequence[Measured], label: str, network: str) -> list[Dot]:
    """Return rows for `plots.values`: AP of each scheme with one network, the shortest sequences first."""
    some = sorted((run for run in runs if run.network == network), key=lambda run: run.row["tokens"])
    return [
        Dot(
            f"{run.scheme} ({run.row['tokens']:.0f} a post)",
            label,
            "all",
            "average_precision",
            *(run.row[name] for name in ("AP", "AP lo", "AP hi")),
        )
        for run in some
    ]


# --------------------------------------------------------------------------------------------------------- the claims


def claims(runs: Sequence[Measured]) -> pd.DataFrame:
    """Return each claim with its verdict and the numbers that it rests on; without its schemes it is not measured."""
    by = {(run.scheme, run.network): run for run in runs}
    rows = [
        _cost(by, "multi-word tokens shorten sequences", "tokens", "tokens a post", less=True),
        _faster(by),
        _cost(by, "multi-word tokens enlarge the embedding table", "table MB", "MB", less=False),
        _cost(by, "multi-word tokens enlarge training memory", "training MB", "MB", less=False),
        _sparse(by),
        _context(by),
        _worth(by),
        _more(by, "overlapping tokens find more than those side by side", "2-4 words, overlapping", "2-4 words"),
        _more(by, "wider embeddings find more", *_widest_first(by)),
    ]
    return pd.DataFrame(rows, columns=["claim", "verdict", "numbers"]).set_index("claim")


By = Mapping[tuple[str, str], Measured]


def _compared(part: float, whole: float, less: bool) -> str:
    """Say whether `part` is below (`less`) or above `whole`; within `EDGE` it is neither."""
    ratio = part / whole if less else whole / part
    return RIGHT if ratio < 1 - EDGE else WRONG if ratio > 1 / (1 - EDGE) else BOTH


def _cost(by: By, claim: str, column: str, unit: str, *, less: bool) -> tuple[str, str, str]:
    if not {("2-4 words", "conv"), ("words", "conv")} <= set(by):
        return claim, NONE, ""
    part, whole = (by[name, "conv"].row[column] for name in ("2-4 words", "words"))
    return claim, _compared(part, whole, less), f"2-4 words {part:.3g} {unit}, words {whole:.3g}"


def _faster(by: By) -> tuple[str, str, str]:
    """Whole inference decides; where only the network is faster and cutting eats it up, the claim is mixed."""
    claim = "multi-word tokens speed inference"
    if not {("2-4 words", "conv"), ("words", "conv")} <= set(by):
        return claim, NONE, ""
    part, whole = (by[name, "conv"].row for name in ("2-4 words", "words"))
    all_of_it = _compared(part["read ms"], whole["read ms"], True)
    network = _compared(part["read ms"] - part["cut ms"], whole["read ms"] - whole["cut ms"], True)
    parts = [
        f"{name} {row['read ms']:.0f} ms per 1,000 posts, {row['cut ms']:.0f} of them cutting"
        for name, row in (("2-4 words", part), ("words", whole))
    ]
    return claim, all_of_it if all_of_it == network else BOTH, "; ".join(parts)


def _sparse(by: By) -> tuple[str, str, str]:
    """Sparse at all, and sparser than words; the first alone is mixed."""
    claim = "character n-grams are sparse, more so than words"
    rows = {name: run.row for (name, _), run in by.items()}
    if not {"2-3 characters", "words"} <= set(rows):
        return claim, NONE, ""
    part, whole = rows["2-3 characters"], rows["words"]
    verdict = WRONG if part["zeros"] < SPARSE else RIGHT if part["zeros"] > whole["zeros"] else BOTH
    numbers = [f"{row['zeros']:.2%} zeros in {row['vocabulary']:.0f} columns" for row in (part, whole)]
    return claim, verdict, "2-3 characters {}; words {}".format(*numbers)


def _context(by: By) -> tuple[str, str, str]:
    """The network has to rank more pairs of the same words rightly than the bag of words, beyond both intervals."""
    claim, kind = "context tells what the word cannot (pairs of the same words)", context_pairs.KINDS[0]
    if not {("words", "conv"), ("words", "linear")} <= set(by):
        return claim, NONE, ""
    seen, bag = by["words", "conv"].row, by["words", "linear"].row
    apart = seen[f"{kind} lo"] > bag[f"{kind} hi"]
    verdict = RIGHT if apart else WRONG if seen[kind] <= bag[kind] else BOTH
    some = [run for run in by.values() if run.scheme in ("words", "2-4 words")]
    return claim, verdict, ", ".join(f"{run.scheme} by {run.network} {run.row[kind]:.0%}" for run in some)


def _worth(by: By) -> tuple[str, str, str]:
    """On the posts themselves: AP of the network less that of the bag, both on words, over the same resamples."""
    claim = "context is worth more than the word (AP on the posts)"
    if not {("words", "conv"), ("words", "linear")} <= set(by):
        return claim, NONE, ""
    verdict, gain = _gain(by["words", "conv"], by["words", "linear"])
    return claim, verdict, f"AP of words by conv less by linear {gain}"


def _more(by: By, claim: str, a: str = "", b: str = "") -> tuple[str, str, str]:
    """AP of one scheme less that of another, both read by the network."""
    if a == b or not {(a, "conv"), (b, "conv")} <= set(by):
        return claim, NONE, ""
    verdict, gain = _gain(by[a, "conv"], by[b, "conv"])
    return claim, verdict, f"AP of {a} less {b} {gain}"


def _widest_first(by: By) -> list[str]:
    """Return the widest and the narrowest of the schemes of `widths`."""
    lengths = {run.row["width"]: name for (name, _), run in by.items() if name.endswith(" wide")}
    return [lengths[max(lengths)], lengths[min(lengths)]] if lengths else []


def _gain(run: Measured, other: Measured) -> tuple[str, str]:
    """Return the verdict on more AP, and the difference with its interval over the same resamples."""
    a, b = run.samples, other.samples
    lo, hi = intervals.difference_interval(a, b)
    return RIGHT if lo > 0 else WRONG if hi < 0 else BOTH, f"{a[0] - b[0]:+.3f} [{lo:+.3f}, {hi:+.3f}]"
