"""What a comparison says, section by section: the answer in words first, then every number it rests on.

Numbers come from `comparison.json`; only curves and the worst errors go back to the predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from matplotlib.figure import Figure

from workbench.metrics import classification, plots
from workbench.studies import gallery, read_json, wording
from workbench.studies.predictions import Run

MAIN = "test"
HEADLINE = ("precision", "recall", "f1", "false_positive_rate", "average_precision", "roc_auc")


@dataclass(frozen=True)
class Section:
    """A part of the report: prose, figures (drawn for a light or dark page), tables, and at most one ready fragment."""

    key: str
    title: str
    prose: str
    figures: dict[str, Callable[[str], Figure]] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    fragment: str = ""


def sections(comparison: dict[str, Any], runs: Sequence[Run], posts: pa.Table | None = None) -> list[Section]:
    """Return the report's sections; those that a comparison has nothing for are left out.

    posts: the corpus, for showing the worst errors; without it that section is left out.
    """
    found = [
        _answer(comparison),
        _values(comparison),
        _differences(comparison),
        *_labels(comparison, runs),
        _everything(comparison),
        *_further_tests(comparison),
        _ceilings(comparison),
        _errors(comparison, runs, posts),
        _provenance(comparison, runs),
    ]
    return [section for section in found if section is not None]


# ------------------------------------------------------------------------------------------------------- the sections


def _answer(comparison: dict) -> Section:
    """The question, answered in sentences."""
    return Section("answer", "The answer", " ".join(wording.answer(comparison)))


def _values(comparison: dict) -> Section:
    asked = comparison["compare"]
    rows = list(_rows(comparison, metric=asked["metric"], label=asked["label"], view=asked["view"]))
    what = f"{wording.metric(asked['metric'])}, {wording.label(asked['label'])}, {wording.view(asked['view'])}"
    prose = (
        f"{what[0].upper()}{what[1:]}. "
        "Dots are means over seeds on the same posts; bars say how far the value would move on other posts "
        f"({100 * (1 - asked['alpha']):g} %, bootstrap over groups of posts); the table has the seeds' own spread."
    )
    if any(row["ceiling"] is not None for row in rows):
        prose += " A tick is the best that any model could reach with what this one sees."
    figure = {"every model with its interval": lambda theme: plots.values(rows, theme=theme)}
    return Section("values", "How good is each model?", prose, figure, {"": _value_table(comparison, asked["view"])})


def _value_table(comparison: dict, view: str) -> pd.DataFrame:
    """One row per model: the compared metric with its company, the headline, the costs."""
    asked, lines = comparison["compare"], {}
    others = [name for name in (*HEADLINE, "precision_site") if name != asked["metric"]]
    for model in _models(comparison):
        found = {row["metric"]: row for row in _rows(comparison, model=model, label=asked["label"], view=view)}
        main = found.get(asked["metric"])  # precision at the site is one of several only where weights differ
        if main is None:
            continue
        share = main["value"] / main["ceiling"] if main["ceiling"] and main["value"] is not None else None
        lines[model] = {
            wording.metric(asked["metric"]): wording.interval(main),
            "of the best possible": wording.percent(share),
            "seeds' sd": wording.number(main["seed_sd"]),
            **{wording.column(name): wording.number(found[name]["value"]) for name in others if name in found},
            "coverage": wording.percent(main["coverage"]),
            "ms per post": wording.number(main["ms_per_post"], 2),
            "peak MB": wording.number(main["peak_mb"], 0),
        }
    return pd.DataFrame.from_dict(lines, orient="index")


def _differences(comparison: dict) -> Section | None:
    rows = comparison.get("differences") or []
    if not rows:
        return None
    sure = f"{100 * (1 - comparison['compare']['alpha']):g} %"
    prose = (
        f"{_family(comparison)} An interval that holds zero is no proof that two models are equal: the last column "
        f"says how large the difference is at most, with {sure} confidence."
    )
    table = pd.DataFrame(
        {
            "difference": wording.interval({**row, "value": row["delta"]}, signed=True),
            "p (Holm)": wording.p(row["p_holm"]) if row["primary"] else "exploratory",
            "at most": wording.number(row["equivalent_within"]),
        }
        for row in rows
    )
    table.index = [" − ".join(wording.sides(row)) for row in rows]
    figure = {"differences with intervals": lambda theme: plots.differences(rows, theme=theme)}
    return Section("differences", "Which differences are real?", prose, figure, {"": table})


def _family(comparison: dict) -> str:
    """What was asked beforehand and what is exploratory."""
    if any(row["primary"] for row in comparison["differences"]):
        return (
            "What has a p was chosen before anything was scored and is corrected for how many there are (Holm); p "
            "comes from swapping both models' scores of whole groups of posts at random. The rest is exploratory."
        )
    waits = "What the study asked waits for models that are not finished, and what is here is exploratory."
    return waits if comparison.get("missing") else "The study asked for no comparison, so all of this is exploratory."


def _labels(comparison: dict, runs: Sequence[Run]) -> Iterator[Section]:
    """Per label: confusion in numbers and words, headline, precision against recall."""
    asked, shown = comparison["compare"], _shown_models(comparison)
    for label in comparison["labels"]:
        rows = list(_rows(comparison, label=label, view=asked["view"], metric="recall"))
        if not rows or not rows[0]["positives"]:
            continue
        counts = {row["model"]: row["confusion"] for row in rows if row["model"] in shown and row["value"] is not None}
        one = rows[0]
        few = " Few positives: read with care." if one["few"] else ""
        prose = (
            f"{one['positives']} positives among {one['n']} posts ({wording.percent(one['prevalence'])}).{few} "
            "Each model flags at its own threshold, chosen on validation for the best F1."
        )
        if any(len(run.seeds) > 1 for run in runs):
            prose += " Counts are means over seeds; curves are those of the first seed."
        figures: dict[str, Callable[[str], Figure]] = {}
        if counts:
            figures["confusion matrices"] = lambda theme, c=counts, n=label: plots.confusion_matrices(
                c, label=n, theme=theme
            )
        curves, best = _curves(runs, shown, label, asked["view"])
        if curves:
            drawing = {"label": label, "prevalence": one["prevalence"], "ceiling": best}
            figures["precision against recall"] = lambda theme, c=curves, d=drawing: plots.pr_curves(
                c, **d, theme=theme
            )
        yield Section(
            f"label-{label}",
            f"{label.capitalize()}: what is caught, what is flagged",
            prose,
            figures,
            {"": _label_table(comparison, label)},
        )


def _label_table(comparison: dict, label: str) -> pd.DataFrame:
    asked, lines = comparison["compare"], {}
    for model in _models(comparison):
        found = {row["metric"]: row for row in _rows(comparison, model=model, label=label, view=asked["view"])}
        lines[model] = {wording.column(name): wording.interval(found[name]) for name in HEADLINE if name in found}
        best = found["average_precision"]["ceiling"]
        lines[model]["ceiling of AP"] = wording.number(best)
    return pd.DataFrame.from_dict(lines, orient="index")


def _curves(runs: Sequence[Run], shown: Sequence[str], label: str, view: str) -> tuple[dict, tuple | None]:
    """Precision against recall of the first seed of each shown model, and of the best possible with text and media."""
    curves, best = {}, None
    for run in (run for run in runs if run.alias in shown):
        scores, k = run.sets[MAIN], run.labels.index(label)
        rows = scores.known[:, k] & (scores.paired if view == "paired" else True)
        with np.errstate(divide="ignore"):
            unseen = np.log(run.prevalence[k]) - np.log1p(-run.prevalence[k])
        # logits, as probabilities of float32 tie near 1
        score = np.where(np.isnan(scores.logit[0, :, k]), unseen, scores.logit[0, :, k])
        if np.isnan(score[rows]).any() or not scores.y[rows, k].any():
            continue
        curves[run.alias] = classification.precision_recall_curve(scores.y[rows, k], score[rows])[:2]
        exact = scores.exact.get("text+image")
        if exact is not None and not np.isnan(exact[rows, k]).any():
            best = classification.precision_recall_curve(scores.y[rows, k], exact[rows, k])[:2]
    return curves, best


def _everything(comparison: dict) -> Section | None:
    other = "all" if comparison["compare"]["view"] == "paired" else "paired"
    table = _value_table(comparison, other)
    if table.empty:
        return None
    prose = (
        f"The same numbers on {wording.view(other)}. A post that a model cannot see counts with the model's training "
        "prevalence when posts are ranked and as not flagged in precision and recall; coverage says how many it sees."
    )
    return Section("all", f"And on {wording.view(other)}?", prose, {}, {"": table})


def _further_tests(comparison: dict) -> Iterator[Section]:
    """Further test sets: the harmful and the harmless half apart, since their mix is the set's and not a site's."""
    for test in (name for name in comparison["items"] if name != MAIN):
        lines: dict[tuple[str, str], dict[str, str]] = {}
        for label in comparison["labels"]:
            for model in _models(comparison):
                found = {r["metric"]: r for r in _rows(comparison, model=model, label=label, view="all", test=test)}
                if not found or not found["recall"]["n"]:
                    continue
                lines[label, model] = {
                    "harmful posts caught": wording.interval(found["recall"]),
                    "harmless posts passed": wording.interval(found["true_negative_rate"]),
                    "F1, mean of both classes": wording.interval(found["f1_macro"]),
                    "ROC AUC": wording.interval(found["roc_auc"]),
                    "posts": f"{found['recall']['n']} ({found['recall']['positives']} harmful)",
                }
        if lines:
            table = pd.DataFrame.from_dict(lines, orient="index")
            table.index = pd.MultiIndex.from_tuples(table.index)
            prose = (
                "The two halves stand apart: one number over both would depend on how many harmful posts the set holds."
            )
            yield Section(f"test-{test}", f"On {test}", prose, {}, {"": table})


def _ceilings(comparison: dict) -> Section | None:
    leaks, limits = comparison.get("leak_test") or [], comparison.get("late_fusion_limit") or []
    if not leaks:
        return None
    prose = f"Here the best possible score is known exactly. The leak test asks if any model beats it. {_leaks(leaks)}"
    table = pd.DataFrame(
        {
            "model": row["model"],
            "label": wording.label(row["label"]),
            "value": wording.number(row["value"]),
            "best possible": wording.number(row["ceiling"]),
            "difference": wording.interval({**row, "value": row["delta"]}, signed=True),
            "p (Holm)": wording.p(row["p_holm"]),
        }
        for row in leaks
    )
    tables = {"against the best possible": table.set_index(["model", "label"]).rename_axis([None, None])}
    if limits:
        names = [wording.label(row["label"]) for row in limits]
        limit = pd.DataFrame({"limit of late fusion": map(wording.interval, limits)}, index=names)
        tables["what fusing one text score and one picture score can reach"] = limit
    return Section("ceilings", "Is it too good to be true?", prose, {}, tables)


def _leaks(rows: list[dict]) -> str:
    """What the leak test found, in a sentence or two."""
    tripped = [f"{row['model']} ({wording.label(row['label'])})" for row in rows if row["tripped"]]
    few = sorted({wording.label(row["label"]) for row in rows if row["tripped"] is None})
    rest = f" Not tested, for lack of positives: {', '.join(few)}." if few else ""
    if tripped:
        who = ", ".join(tripped)
        return f"It is tripped by {who}: what is better than its inputs allow has seen something it should not.{rest}"
    if all(row["tripped"] is None for row in rows):
        return f"It says nothing here.{rest}"
    return f"No model is provably better than what its inputs allow, so nothing points to a leak.{rest}"


def _errors(comparison: dict, runs: Sequence[Run], posts: pa.Table | None) -> Section | None:
    best = _winner(comparison)
    run = next((run for run in runs if run.alias == best), None)
    if posts is None or run is None:
        return None
    misses, alarms = gallery.worst_errors(run)
    sides = {"Missed": misses, "Flagged, but harmless": alarms}
    fragment = "".join(
        f"<h3>{title}</h3>{gallery.gallery(posts, errors) if errors else '<p>None.</p>'}"
        for title, errors in sides.items()
    )
    prose = f"What {best} got most wrong on the test set. Pictures are blurred for good; texts open on a click."
    return Section("errors", "Where does the best model fail?", prose, fragment=fragment)


def _provenance(comparison: dict, runs: Sequence[Run]) -> Section:
    """Which run, code, data, machine stand behind the numbers."""
    lines = {}
    for run in runs:
        record = read_json(run.folder / "run.json") or {}
        commit = str(record.get("commit") or "unknown")[:10] + (" (changed)" if record.get("dirty") else "")
        lines[run.alias] = {
            "model": wording.plain(record.get("model")),
            "run": run.key,
            "device": wording.plain(", ".join(filter(None, (record.get("device"), record.get("dtype"))))),
            "seconds": wording.number(record.get("seconds"), 1),
            "trained on": wording.plain(record.get("n_train")),
            "seeds": ", ".join(map(str, run.seeds)),
            "commit": commit,
            "data": wording.plain(record.get("corpus_digest"))[:16],
        }
    items = {
        name: {"items": digest[:16], "runs that scored it": str(_scored(runs, name, digest))}
        for name, digest in comparison["items"].items()
    }
    prose = f"Every number above can be followed to a run folder under experiments/{comparison['study']}/."
    if comparison.get("missing"):
        prose += f" Missing: {', '.join('{model} ({state})'.format(**one) for one in comparison['missing'])}."
    tables = {
        "runs": pd.DataFrame.from_dict(lines, orient="index"),
        "test sets": pd.DataFrame.from_dict(items, orient="index"),
    }
    return Section("provenance", "Where do the numbers come from?", prose, {}, tables)


def _scored(runs: Sequence[Run], test: str, digest: str) -> int:
    """How many distinct runs of this study's folder, old ones included, have scored this very test set."""
    folders = {run.folder for run in runs}
    for path in (path for parent in {folder.parent for folder in folders} for path in parent.glob("*/metrics.json")):
        items = (read_json(path) or {}).get("items")
        folders |= {path.parent} if isinstance(items, dict) and items.get(test) == digest else set()
    return len(folders)


# ---------------------------------------------------------------------------------------------------------- selecting


def _rows(comparison: dict, *, test: str = MAIN, **wanted: str) -> Iterator[dict]:
    for row in comparison["models"]:
        if row["test"] == test and all(row[name] == value for name, value in wanted.items()):
            yield row


def _models(comparison: dict) -> list[str]:
    return list(dict.fromkeys(row["model"] for row in comparison["models"]))


def _winner(comparison: dict) -> str | None:
    """The model with the best value of the compared metric."""
    asked = comparison["compare"]
    row = wording.best(list(_rows(comparison, metric=asked["metric"], label=asked["label"], view=asked["view"])))
    return row["model"] if row else None


def _shown_models(comparison: dict) -> list[str]:
    """The models that per-label figures show: the best, the best unimodal, and those of the primary family."""
    family = [row[side] for row in comparison.get("differences") or [] if row["primary"] for side in ("a", "b")]
    return list(
        dict.fromkeys(name for name in (_winner(comparison), comparison.get("best_unimodal"), *family) if name)
    )[:4]
