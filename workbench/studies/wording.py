"""Numbers as people read them, and the answer of a comparison as sentences that its numbers carry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workbench.metrics.plots import WORDS


def metric(name: str) -> str:
    """Return what a metric is called in prose."""
    return WORDS.get(name, name.replace("_", " "))


def label(name: str) -> str:
    """Return what a label, or the mean over labels, is called in prose."""
    return "mean over labels" if name == "macro" else name


def view(name: str) -> str:
    """Return what a view is called in prose."""
    return {"paired": "posts with text and media", "all": "all posts"}[name]


def number(value: float | None, digits: int = 3) -> str:
    """Return a number, or a dash where it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """Return a share in per cent, or a dash where it is undefined."""
    return "–" if value is None else f"{100 * value:.1f} %"


def p(value: float | None) -> str:
    """Return a p-value, or a dash where there is none."""
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def interval(row: dict[str, Any], *, signed: bool = False) -> str:
    """Return `value [lo, hi]` of a row of a comparison, marked `few` where few positives carry it."""
    if row["value"] is None:
        return "–"
    sign = "+" if signed else ""
    bounds = "" if row["lo"] is None else f" [{row['lo']:{sign}.3f}, {row['hi']:{sign}.3f}]"
    return f"{row['value']:{sign}.3f}{bounds}{' few' if row.get('few') else ''}"


def answer(comparison: dict[str, Any]) -> Iterator[str]:
    """Yield the sentences that answer a study's question; each follows from one row of the comparison."""
    asked = comparison["compare"]
    place = ("test", asked["view"], asked["label"], asked["metric"])
    rows = [row for row in comparison["models"] if (row["test"], row["view"], row["label"], row["metric"]) == place]
    scored = [row for row in rows if row["value"] is not None]
    what, where = metric(asked["metric"]), view(asked["view"])
    if not scored:
        yield f"There is no value of {what} on {where}: no label has positives and negatives."
        return
    best = max(scored, key=lambda row: row["value"])
    yield f"On {where}, {best['model']} is best: {what} {interval(best)} ({label(asked['label'])})."
    if best["ceiling"]:
        share = percent(best["value"] / best["ceiling"])
        yield f"That is {share} of the best that its inputs allow ({best['ceiling']:.3f})."
    for row in (row for row in comparison.get("differences") or [] if row["primary"]):
        yield _verdict(row, asked["alpha"])
    if any(row["few"] for row in scored):
        yield "Some label has few positives in the test set, so these numbers are uncertain beyond their intervals."
    tripped = sorted({row["model"] for row in comparison.get("leak_test") or [] if row["tripped"]})
    if tripped:
        names = ", ".join(tripped)
        yield f"Do not trust this yet: {names} scores better than its inputs allow, which points to a leak."
    if comparison.get("missing"):
        names = ", ".join(one["model"] for one in comparison["missing"])
        yield f"Not compared, because their runs are not finished: {names}."


def _verdict(row: dict[str, Any], alpha: float) -> str:
    """One sentence on one primary difference."""
    against = f"{row['b']} (the best unimodal model)" if row["pair"][1] == "best-unimodal" else row["b"]
    size = interval({**row, "value": row["delta"]}, signed=True)
    if row["delta"] is None:
        return f"Between {row['a']} and {against} nothing can be said: a value is undefined."
    if row["p_holm"] is not None and row["p_holm"] < alpha:
        how = "beats" if row["delta"] > 0 else "is worse than"
        return f"{row['a']} {how} {against} by {size}, p {_of(row['p_holm'])} after correction."
    return (
        f"{row['a']} against {against}: {size}, no difference is shown (p {_of(row['p_holm'])}); "
        f"it is surely smaller than {row['equivalent_within']:.3f}."
    )


def _of(value: float | None) -> str:
    text = p(value)
    return text if text.startswith("<") else f"= {text}"
