"""The section on slices: the best model's worst ones first, then every slice of the shown models, folded by column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from workbench.comparison import addresses
from workbench.comparison.predictions import Run
from workbench.report import wording
from workbench.report.section import Section, addressed, shown_models, winner

SHOWN = 15
_TESTED = {"recall": -1, "false_positive_rate": 1}  # which way a difference hurts
_WORDS = {"author_age": "author's account age, days", "length": "length, characters", "identity": "mentions"}


def slices(comparison: dict, runs: Sequence[Run]) -> Section | None:
    """Return where the best model does worse than on the rest of the test posts; None without slices."""
    rows, best = comparison.get("slices") or [], winner(comparison)
    mine = [row for row in rows if row["model"] == best]
    if not mine:
        return None
    found = sorted(_findings(mine), key=lambda one: -one["loss"])
    alpha = comparison["compare"]["alpha"]
    shown = shown_models(comparison)
    every = {f"{_column(name)}: every slice": _full(rows, name, shown) for name in _columns(mine)}
    tables = {f"{best}, worst first": _worst(found[:SHOWN])} if found else {}
    return Section("slices", "Where does it do worse?", _prose(best, found, mine, alpha), {}, tables, folded=every)


def _findings(rows: Sequence[dict]) -> Iterator[dict]:
    """Yield a row per slice and tested rate that differs for the worse; loss: by how much, at least."""
    for row in rows:
        for rate, sign in _TESTED.items():
            one = row[rate]
            if one["p"] is not None and sign * one["delta"] > 0:
                nearer = one["delta_lo"] if sign > 0 else one["delta_hi"]
                yield {**row, **one, "rate": rate, "loss": sign * nearer}


def _prose(best: str, found: Sequence[dict], rows: Sequence[dict], alpha: float) -> str:
    """What was looked at and found, in a few sentences."""
    tests = sum(row[rate]["p"] is not None for row in rows for rate in _TESTED)
    sure = [one for one in found if one["p_holm"] is not None and one["p_holm"] < alpha]
    few = len({(row["column"], row["slice"], row["label"]) for row in rows if row["few"]})
    said = (
        f"{best} on every part of all test posts against the rest of them: {tests} comparisons of recall and false "
        "positive rate at its own thresholds, the p of each corrected for all of them (Holm)."
    )
    if sure:
        one = sure[0]
        said += (
            f" {len(sure)} {'is' if len(sure) == 1 else 'are'} worse beyond chance; most of all {_name(one)}: "
            f"{wording.metric(one['rate'])} {wording.number(one['value'])} against {wording.number(one['rest'])} "
            f"({wording.label(one['label'])})."
        )
    else:
        said += " None is worse beyond chance, which with small slices is no proof that all are served alike."
    said += " The order is by the difference that is sure, the nearer end of its interval."
    return said + (f" In {few} cases a slice has few positives and recall is not tested." if few else "")


def _worst(found: Sequence[dict]) -> pd.DataFrame:
    frame = _frame(
        [
            {
                "slice": _name(one),
                "label": wording.label(one["label"]),
                "rate": wording.column(one["rate"]),
                "there": wording.number(one["value"]),
                "elsewhere": wording.number(one["rest"]),
                "difference": _difference(one),
                "p (Holm)": wording.p(one["p_holm"]),
                "posts": wording.count(one["n"]),
                "positives": wording.count(one["positives"]),
            }
            for one in found
        ],
        ["slice"],
    )
    return addressed(frame, [f"{addresses.of_slice(one)}/{one['rate']}" for one in found], {"there": ""})


def _full(rows: Sequence[dict], column: str, shown: Sequence[str]) -> pd.DataFrame:
    """Every slice of one column, of the shown models."""
    chosen = [row for row in rows if row["column"] == column and row["model"] in shown]
    chosen.sort(key=lambda row: (row["label"], row["slice"], shown.index(row["model"])))
    frame = _frame(
        [
            {
                "label": wording.label(row["label"]),
                "slice": row["slice"],
                "model": row["model"],
                "posts": wording.count(row["n"]),
                "positives": f"{row['positives']:,}{' few' if row['few'] else ''}",
                **{wording.column(name): wording.interval(row[name]) for name in ("precision", "recall")},
                "recall, difference": _difference(row["recall"]),
                "p (Holm)": wording.p(row["recall"]["p_holm"]),
                wording.column("false_positive_rate"): wording.interval(row["false_positive_rate"]),
                "its difference": _difference(row["false_positive_rate"]),
                "its p (Holm)": wording.p(row["false_positive_rate"]["p_holm"]),
                **{wording.column(name): wording.interval(row[name]) for name in ("average_precision", "roc_auc")},
            }
            for row in chosen
        ],
        ["label", "slice", "model"],
    )
    cells = {wording.column(name): name for name in ("precision", *_TESTED, "average_precision", "roc_auc")}
    return addressed(frame, [addresses.of_slice(row) for row in chosen], cells)


def _frame(lines: list[dict], index: list[str]) -> pd.DataFrame:
    return pd.DataFrame(lines).set_index(index).rename_axis([None] * len(index))


def _difference(one: dict) -> str:
    return wording.interval({"value": one["delta"], "lo": one["delta_lo"], "hi": one["delta_hi"]}, signed=True)


def _columns(rows: Sequence[dict]) -> list[str]:
    return list(dict.fromkeys(row["column"] for row in sorted(rows, key=lambda row: row["column"])))


def _column(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " "))


def _name(row: dict) -> str:
    return f"{_column(row['column'])}: {row['slice'].replace('_', ' ')}"
