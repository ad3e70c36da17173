"""Slices: values by hand and by fairlearn, planted differences found, chance passed, small slices refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame
from made_varied import SETTINGS as ASKED
from made_varied import told, varied
from scipy import stats
from sklearn.metrics import average_precision_score, precision_score, recall_score, roc_auc_score

from workbench.comparison.parts import bias, disagreement, slices
from workbench.comparison.predictions import Run, Scores
from workbench.comparison.rows.parts import Bias
from workbench.errors import WorkbenchError
from workbench.metrics.table import METRICS

SETTINGS = SimpleNamespace(test=("test",), slices=None, slice_resamples=200, resamples=200, alpha=0.05, few=20, seed=0)


def run(y, prob, *, by=None, identities=None, group=None, known=None, alias="one", votes=None) -> Run:
    """Return a run of one label; prob (S, n), flagged from .5 on."""
    prob, y = np.atleast_2d(prob)[:, :, None], np.asarray(y, bool)[:, None]
    n = len(y)
    with np.errstate(divide="ignore"):
        logit = np.log(prob) - np.log1p(-prob)
    scores = Scores(
        post_id=np.array([f"p{i:05d}" for i in range(n)]),
        group=np.array([f"p{i:05d}" for i in range(n)]) if group is None else group,
        weight=np.ones(n),
        paired=np.zeros(n, bool),
        y=y,
        known=np.ones((n, 1), bool) if known is None else known[:, None],
        logit=logit,
        prob=prob,
        exact={},
        slices=by or {},
        identities=identities or {},
        votes=None if votes is None else votes[:, None],
    )
    seeds = tuple(range(len(prob)))
    return Run(
        alias=alias,
        key="k",
        folder=Path(),
        taxonomy="t",
        labels=("abuse",),
        modalities=("text",),
        seeds=seeds,
        thresholds=np.full((len(prob), 1), 0.5),
        prevalence=np.array([0.1]),
        costs={},
        sets={"test": scores},
    )


def sliced(*runs: Run, **changed) -> list[dict]:
    return [row.model_dump() for row in slices.sliced(runs, SimpleNamespace(**{**vars(SETTINGS), **changed}))]


def world(n=2000, *, seed=0, rate=0.3):
    """Return y, scores and languages that have nothing to do with each other's slices."""
    rng = np.random.default_rng(seed)
    y = rng.random(n) < rate
    return y, 1 / (1 + np.exp(-(2 * y - 1 + rng.normal(size=n)))), rng.choice(["en", "de", "es"], n, p=[0.6, 0.3, 0.1])


def test_values_are_those_of_fairlearn_and_sklearn():
    y, prob, language = world()
    rows = {row["slice"]: row for row in sliced(run(y, prob, by={"language": language}))}
    flagged = prob >= 0.5
    metrics = {"recall": recall_score, "precision": precision_score}
    frame = MetricFrame(metrics=metrics, y_true=y, y_pred=flagged, sensitive_features=language)
    for name, row in rows.items():
        inside = language == name
        assert row["n"] == inside.sum()
        assert row["positives"] == y[inside].sum()
        for metric in metrics:
            assert row[metric]["value"] == pytest.approx(frame.by_group[metric][name], abs=1e-12)
        assert row["recall"]["rest"] == pytest.approx(recall_score(y[~inside], flagged[~inside]), abs=1e-12)
        assert row["roc_auc"]["value"] == pytest.approx(roc_auc_score(y[inside], prob[inside]), abs=1e-12)
        exact = average_precision_score(y[inside], prob[inside])
        assert row["average_precision"]["value"] == pytest.approx(exact, abs=1e-12)
        for metric in ("recall", "precision", "false_positive_rate", "roc_auc", "average_precision"):
            assert row[metric]["lo"] < row[metric]["value"] < row[metric]["hi"]
        delta = row["recall"]["value"] - row["recall"]["rest"]
        assert row["recall"]["delta"] == pytest.approx(delta, abs=1e-12)
        assert row["recall"]["delta_lo"] < delta < row["recall"]["delta_hi"]
    spread = max(row["recall"]["value"] for row in rows.values()) - min(row["recall"]["value"] for row in rows.values())
    assert frame.difference()["recall"] == pytest.approx(spread, abs=1e-12)


def test_a_slice_that_is_missed_comes_first_and_is_beyond_chance():
    y, prob, language = world()
    prob = np.where((language == "es") & y, prob * 0.4, prob)  # harmful posts in Spanish are seldom caught
    first, *others = sliced(run(y, prob, by={"language": language, "region": language}))
    assert (first["slice"], first["column"]) == ("es", "language")
    assert first["recall"]["delta"] < -0.5
    assert first["recall"]["p_holm"] < 0.001
    assert first["gap"] == pytest.approx(-first["recall"]["delta_hi"])
    assert first["false_positive_rate"]["p_holm"] > 0.05  # harmless posts are scored as elsewhere
    assert all(row["gap"] <= first["gap"] for row in others)


def test_the_mean_over_seeds_stands_and_all_seeds_are_needed():
    y, prob, language = world(600)
    other = np.clip(prob + 0.2, 0.01, 0.99)
    both = {row["slice"]: row for row in sliced(run(y, np.stack([prob, other]), by={"language": language}))}
    for part, row in both.items():
        inside = (language == part) & y
        assert row["recall"]["value"] == pytest.approx(
            ((prob >= 0.5)[inside].mean() + (other >= 0.5)[inside].mean()) / 2
        )


def test_few_posts_get_no_p_and_nothing_is_said_of_an_absent_class():
    y, prob, _ = world(400)
    language = np.where(np.arange(400) < 30, "es", "en")
    y[:30] = np.arange(30) < 5
    rows = {row["slice"]: row for row in sliced(run(y, prob, by={"language": language}))}
    spanish = rows["es"]
    assert (spanish["few"], spanish["positives"]) == (True, 5)
    assert spanish["recall"]["p"] is None
    assert spanish["recall"]["p_holm"] is None
    assert spanish["false_positive_rate"]["p"] is not None  # 25 harmless posts are enough
    assert rows["en"]["recall"]["p"] is None  # the rest of it is too small
    assert spanish["average_precision"]["lo"] is None
    assert spanish["gap"] == spanish["false_positive_rate"]["delta_lo"]  # what is not tested does not count as worse
    assert spanish["average_precision"]["value"] is not None
    y[:30] = False
    spanish = {row["slice"]: row for row in sliced(run(y, prob, by={"language": language}))}["es"]
    assert spanish["recall"]["value"] is None
    assert spanish["roc_auc"]["value"] is None


def test_where_all_resamples_agree_an_interval_still_has_width():
    y, prob, language = world(400)
    prob = np.where(language == "es", 0.1, prob)  # nothing in Spanish is flagged
    row = {row["slice"]: row for row in sliced(run(y, prob, by={"language": language}))}["es"]
    rate = row["false_positive_rate"]
    assert rate["value"] == rate["lo"] == 0 < rate["hi"]
    assert rate["delta_lo"] < rate["delta"] < rate["delta_hi"]
    # Wilson's bound for none of n
    n, z = row["negatives"], stats.norm.isf(0.025)
    assert rate["hi"] == pytest.approx(z**2 / (n + z**2))


def test_p_is_fishers_for_single_posts_and_larger_for_repeats():
    flagged, inside = np.r_[np.ones(8), np.zeros(12), np.ones(30), np.zeros(150)], np.arange(200) < 20
    alone = slices.difference_p(flagged, inside, np.arange(200))
    law = stats.hypergeom(200, 38, 20)
    assert alone == pytest.approx(2 * law.sf(7))
    doubled = slices.difference_p(np.repeat(flagged, 2), np.repeat(inside, 2), np.repeat(np.arange(200), 2))
    assert doubled == pytest.approx(alone)  # each post twice in one group says no more than once
    assert slices.difference_p(np.zeros(10), np.arange(10) < 5, np.arange(10)) == 1


def test_by_chance_no_more_than_one_in_twenty_is_rejected():
    ps = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        codes = rng.integers(0, 120, 200)
        by_group = rng.random(120) < 0.15
        flagged = np.mean([by_group[codes] ^ (rng.random(200) < 0.05) for _ in range(3)], axis=0)
        ps.append(slices.difference_p(flagged, (rng.random(120) < 0.2)[codes], codes, seeds=3))
    # 150 trials at 5 %: 7.5 expected, more than 15 in one of 200 series
    assert np.sum(np.array(ps) < 0.05) <= 15


def test_columns_named_and_not_named():
    y, prob, language = world(300)
    length = np.random.default_rng(0).gamma(2, 60, 300)
    one = run(
        y, prob, by={"language": language, "functionality": language, "region": np.full(300, "")} | {"length": length}
    )
    assert {row["column"] for row in sliced(one)} == {"language", "length"}  # a column that says nothing has no slices
    assert {row["column"] for row in sliced(one, slices=("functionality",))} == {"functionality"}
    both = {row["column"] for row in sliced(one, slices=("standard", "functionality"))}
    assert both == {"language", "length", "functionality"}
    with pytest.raises(WorkbenchError, match=r"compare\.slices.*did you mean 'language'"):
        sliced(one, slices=("langage",))
    bands = {row["slice"] for row in sliced(one, slices=("length",))}
    assert bands <= {"40 or less", "over 40 to 140", "over 140 to 280", "over 280 to 1000", "over 1000"}
    assert len(bands) >= 4


def test_many_small_values_are_put_together_and_identities_may_overlap():
    y, prob, _ = world(300)
    community = np.array([f"c{i % 20:02d}" for i in range(300)])
    community[:150] = "c00"
    mentions = {"female": np.arange(300) < 100, "male": np.arange(300) < 150}
    rows = sliced(run(y, prob, by={"community": community}, identities=mentions))
    values = {row["slice"]: row["n"] for row in rows if row["column"] == "community"}
    assert len(values) == slices.MOST + 1
    assert sum(values.values()) == 300
    assert {row["slice"]: row["n"] for row in rows if row["column"] == "identity"} == {"female": 100, "male": 150}


def test_identities_can_be_asked_for_where_posts_mention_some():
    y, prob, language = world(300)
    by, mentions = {"language": language}, {"female": np.arange(300) < 100}
    rows = sliced(run(y, prob, by=by, identities=mentions), slices=("identity",))
    assert [(row["column"], row["slice"], row["n"]) for row in rows] == [("identity", "female", 100)]
    with pytest.raises(WorkbenchError, match=r"compare\.slices: unknown column 'identity'"):
        sliced(run(y, prob, by=by), slices=("identity",))


def test_unknown_labels_are_as_if_the_posts_were_absent():
    y, prob, language = world(400)
    known = np.arange(400) % 4 > 0
    some = sliced(run(y, prob, by={"language": language}, known=known))
    fewer = sliced(run(y[known], prob[known], by={"language": language[known]}))
    for a, b in zip(*(sorted(rows, key=lambda row: row["slice"]) for rows in (some, fewer)), strict=True):
        assert a["n"] == b["n"]
        for metric in ("recall", "precision", "false_positive_rate", "average_precision", "roc_auc"):
            assert a[metric]["value"] == pytest.approx(b[metric]["value"])
        assert a["recall"]["p"] == pytest.approx(b["recall"]["p"], nan_ok=True)


# ----------------------------------------------------------------------------------------------- bias, disagreement


def test_bias_finds_the_identity_whose_mention_raises_scores():
    y, prob, _ = world(3000)
    mentions = {"female": np.arange(3000) % 7 == 0, "male": np.arange(3000) % 5 == 0, "old": np.arange(3000) < 15}
    prob = np.where(mentions["female"], 1 - (1 - prob) * 0.1, prob)
    one = run(y, prob, identities=mentions)
    found = bias.biased([one], ["test"], SETTINGS).model_dump()
    first = found["identities"][0]
    assert first["identity"] == "female"
    assert first["bpsn_auc"]["hi"] < 0.8
    rows = {row["identity"]: row for row in found["identities"]}
    female = mentions["female"]
    chosen = (y & ~female) | (~y & female)
    assert first["bpsn_auc"]["value"] == pytest.approx(roc_auc_score(y[chosen], prob[chosen]), abs=1e-12)
    assert rows["male"]["bpsn_auc"]["lo"] > first["bpsn_auc"]["hi"]
    assert rows["old"]["few"]
    assert rows["old"]["bpsn_auc"]["lo"] is None
    assert found["identities"][-1]["identity"] == "old"
    (summary,) = found["summaries"]
    assert summary["identities"] == 2  # the few are left out
    assert summary["overall"] == pytest.approx(roc_auc_score(y, prob), abs=1e-12)
    assert summary["summary"]["lo"] < summary["summary"]["value"] < summary["summary"]["hi"] < summary["overall"]
    assert bias.biased([run(y, prob)], ["test"], SETTINGS) == Bias()


def test_scores_where_annotators_disagree_stand_beside_plain_ones():
    y, _, _ = world(900)
    votes = np.where(y[:, None], [3, 0], [0, 3])
    disputed = np.arange(900) % 3 == 0
    votes[disputed] = np.where(y[disputed, None], [2, 1], [1, 2])
    votes[0] = [1, 1]  # a tie: no majority
    prob = np.where(disputed, 0.45, np.where(y, 0.9, 0.1))  # says no where they differ
    (row,) = disagreement.disagreement([run(y, prob, votes=votes.astype(float))], SETTINGS)
    row = row.model_dump()
    assert (row["n"], row["disputed_n"]) == (899, 299)
    assert row["unanimous"]["value"] == 1
    assert row["disputed"]["value"] == pytest.approx(1 - y[disputed][1:].mean())
    share = np.where(disputed, np.where(y, 2, 1) / 3, y)[1:]
    p = prob[1:]
    expected = -(share * np.log(p) + (1 - share) * np.log(1 - p)).mean()
    assert row["soft_log_loss"]["value"] == pytest.approx(expected)
    assert row["log_loss"]["value"] == pytest.approx(-np.log(np.where(y[1:], p, 1 - p)).mean())
    assert row["average_precision"]["value"] == pytest.approx(average_precision_score(y[1:], p))
    two = np.repeat([1, 0], 899)
    soft = average_precision_score(two, np.r_[p, p], sample_weight=np.r_[share, 1 - share])
    assert row["soft_average_precision"]["value"] == pytest.approx(soft)
    assert disagreement.disagreement([run(y, prob)], SETTINGS) == []
    # a certain error costs what it does in every other table, and the interval of a loss is that of a loss
    prob[np.flatnonzero(y[1:])[0] + 1] = 0.0
    (row,) = disagreement.disagreement([run(y, prob, votes=votes.astype(float))], SETTINGS)
    assert row.log_loss.value == pytest.approx(METRICS["log_loss"](y[1:], prob[1:]))
    up, down = row.log_loss.hi / row.log_loss.value, row.log_loss.value / row.log_loss.lo
    assert up == pytest.approx(down)


def test_p_counts_groups_and_never_more_than_the_posts():
    ask = lambda flagged, inside, codes: slices.difference_p(  # noqa: E731
        np.array(flagged, float), np.array(inside, bool), np.array(codes)
    )
    inside = [1, 1, 1, 0, 0, 0]
    assert ask([1, 1, 1, 0, 0, 0], inside, range(6)) == pytest.approx(0.1)  # 2 of the 20 ways to flag three of six
    assert ask([1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]) == 1.0  # two groups, one inside
    assert ask([1, 0, 1, 0], [1, 1, 0, 0], range(4)) == 1.0  # twice the smaller tail is 5/3
    assert ask([0, 0, 0, 0], [1, 1, 0, 0], range(4)) == 1.0
    # in each pair one post is flagged, so that groups hardly vary; they are worth no more than their posts
    flagged, pairs = np.array([1, 0] * 10), np.repeat(np.arange(10), 2)
    first = np.arange(20) % 2 == 0
    assert ask(flagged, first, pairs) == pytest.approx(2 / 184756)
    # two seeds may halve the variance, so that the same posts count twice at the most
    assert slices.difference_p(flagged * 1.0, first, pairs, 2) == pytest.approx(2 * stats.hypergeom(40, 20, 20).pmf(20))


def test_exactly_as_many_positives_as_few_are_enough():
    y, inside = np.arange(120) % 3 == 0, np.arange(120) < 60  # twenty positives on either side
    prob = np.random.default_rng(2).random(120)
    by = {"language": np.where(inside, "es", "en")}
    rows = sliced(run(y, prob, by=by))
    assert all(row["recall"]["p"] is not None and row["average_precision"]["lo"] is not None for row in rows)
    assert {row["few"] for row in rows} == {False}
    rows = sliced(run(y & (np.arange(120) > 0), prob, by=by))
    (es,) = [row for row in rows if row["slice"] == "es"]
    assert (es["recall"]["p"], es["average_precision"]["lo"], es["few"]) == (None, None, True)
    assert es["average_precision"]["value"] is not None


# what `told` says of all rows; another interval, another draw of groups or another test changes it
# fmt: off
ROWS = {"model": 49.460637, "label": 134.76637, "n": 32623.601, "positives": 7881.0235, "negatives": 24583.037, "few":
    208.3876, "column": 198.44661, "slice": 147.20942, "prevalence": 71.536037, "average_precision.value": 94.015361,
    "average_precision.lo": -116.44069, "average_precision.hi": -103.68447, "roc_auc.value": 147.00395, "roc_auc.lo":
    -97.764413, "roc_auc.hi": -90.996736, "precision.value": 86.845697, "precision.lo": 55.671564, "precision.hi":
    120.91043, "recall.value": 140.21914, "recall.lo": 103.06193, "recall.hi": 165.69725, "recall.rest": 152.9386,
    "recall.delta": -25.791489, "recall.delta_lo": -67.568172, "recall.delta_hi": 9.3515155, "recall.p": -95.925512,
    "recall.p_holm": -68.060172, "false_positive_rate.value": 85.876919, "false_positive_rate.lo": 70.491744,
    "false_positive_rate.hi": 102.48318, "false_positive_rate.rest": 85.019814, "false_positive_rate.delta":
    -17.161547, "false_positive_rate.delta_lo": -35.272467, "false_positive_rate.delta_hi": 0.094976255,
    "false_positive_rate.p": 111.4558, "false_positive_rate.p_holm": 203.07635, "gap": -46.87272}
# fmt: on


def test_every_field_of_every_row_is_as_it_was():
    rows = slices.sliced(varied(), ASKED.model_copy(update={"seed": 0}))
    assert len(rows) == 4 * 3 * len(list(slices.slices_of(varied()[0].sets["test"])))
    assert {row.test for row in rows} == {"test"}
    assert told(row.model_dump(exclude={"test"}) for row in rows) == pytest.approx(ROWS, rel=2e-7)
