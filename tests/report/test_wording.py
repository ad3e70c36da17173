"""Numbers as people read them, and sentences that must follow from their numbers, each by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from workbench.comparison.rows import Comparison
from workbench.report import wording

Row = SimpleNamespace


def test_numbers_as_people_read_them():
    assert [wording.number(value) for value in (None, 0.0, 0.12349, 1)] == ["–", "0.000", "0.123", "1.000"]
    assert wording.number(12.5, 0) == "12"
    assert [wording.count(value) for value in (None, 0, 1234567.0)] == ["–", "0", "1,234,567"]
    assert [wording.percent(value) for value in (None, 0.0, 0.1234, 1.0)] == ["–", "0.0 %", "12.3 %", "100.0 %"]
    assert [wording.p(value) for value in (None, 0.0001, 0.001, 0.0432, 1.0)] == [
        "–",
        "< 0.001",
        "0.001",
        "0.043",
        "1.000",
    ]
    assert [wording.plain(value) for value in (None, "", 0, "x", False)] == ["–", "–", "0", "x", "False"]
    assert wording.metric("false_positive_rate") == "harmless posts flagged (false positive rate)"
    assert wording.metric("recall") == "recall"


@pytest.mark.parametrize(
    ("found", "sign", "expected"),
    [
        ({"value": 0.5, "lo": 0.4, "hi": 0.6, "few": False}, "", "0.500 [0.400, 0.600]"),
        ({"value": 0.5, "lo": 0.4, "hi": 0.6, "few": True}, "", "0.500 [0.400, 0.600] few"),
        ({"value": 0.1, "lo": -0.05, "hi": 0.25}, "+", "+0.100 [-0.050, +0.250]"),
        ({"value": -0.1, "lo": -0.2, "hi": -0.05}, "+", "-0.100 [-0.200, -0.050]"),
        ({"value": 0.5, "lo": None, "hi": None, "few": True}, "", "0.500 few"),
        ({"value": None, "lo": None, "hi": None, "few": True}, "+", "–"),
    ],
)
def test_an_interval_stands_beside_its_value(found, sign, expected):
    assert wording.span(**found, sign=sign) == expected


def asked(*, metric: str = "average_precision", models=(), differences=(), alpha: float = 0.05, **more) -> Comparison:
    """Return a comparison with just what the sentences look at."""
    place = {"test": "test", "view": "paired", "label": "macro", "metric": metric}
    rows = [
        {"lo": None, "hi": None, "ceiling": None, "few": False, "coverage": 1.0} | place | model for model in models
    ]
    settings = Row(metric=metric, label="macro", view="paired", alpha=alpha, test=("test",))
    tables = {"leak_test": [], "missing": [], "stale": []} | more | {"models": rows}
    about = {"chosen": tables.pop("chosen", None), "peers": {"test": tables.pop("peers", ())}}
    tables |= {"differences": [place | {"few": False} | one for one in differences]}
    found = {name: [Row(**row) for row in rows] for name, rows in tables.items()}
    return Comparison.model_construct(compare=settings, **about, **found)


def primary(a: str, b: str, delta: float | None, p: float | None, **more) -> dict:
    margin = {"lo": None, "hi": None, "equivalent_within": 0.08, "primary": True, "pair": [a, b], "recipes": False}
    margin["verdict"] = "undecided" if p is None or p >= 0.05 else "better"
    return {"a": a, "b": b, "delta": delta, "p_holm": p} | margin | more


def said(comparison: Comparison) -> list[str]:
    return list(wording.answer(comparison))


def test_the_model_chosen_on_validation_is_best_where_tests_show_it_and_has_a_value_only_then():
    models = [{"model": "a", "value": 0.7}, {"model": "b", "value": 0.6, "lo": 0.5, "hi": 0.7, "ceiling": 0.8}]
    first, second = said(asked(models=models, chosen="b"))
    assert first == (
        "On posts with text and media, b, chosen on validation, is best: average precision 0.600 [0.500, 0.700] (mean "
        "over labels)."
    )
    assert second == (
        "That is 75.0 % of what the world's exact probabilities with the same inputs reach on these posts (0.800)."
    )  # 0.6 / 0.8
    (only,) = said(asked(models=[*models, {"model": "c", "value": 0.1}], chosen="b", peers=("a",)))
    assert only == (
        "On posts with text and media no model is shown to be best: b, which validation would choose, is not shown to "
        "be better than a; every other model is worse than b."
    )


def test_of_a_rate_that_should_be_low_the_lowest_is_best():
    models = [{"model": "a", "value": 0.4}, {"model": "b", "value": 0.1}, {"model": "c", "value": None}]
    (only,) = said(asked(metric="false_positive_rate", models=models, chosen="b"))
    assert "b, chosen on validation, is best" in only
    assert only.endswith("(mean over labels, of which less is better).")


def test_of_a_loss_the_best_possible_is_told_as_a_number():
    models = [{"model": "a", "value": 0.12, "lo": 0.1, "hi": 0.15, "ceiling": 0.0912}]
    first, second = said(asked(metric="brier", models=models, chosen="a"))
    assert "a, chosen on validation, was compared with nothing: Brier score 0.1200 [0.1000, 0.1500]" in first
    # a share of it would grow as the model gets better
    assert second == "On these posts the world's exact probabilities with the same inputs have 0.0912."


@pytest.mark.parametrize(
    ("metric", "delta", "p", "words"),
    [
        ("average_precision", 0.1, 0.01, "a beats b by 0.100, p = 0.010 after correction."),
        ("average_precision", -0.1, 0.0001, "a is worse than b by 0.100, p < 0.001 after correction."),
        ("false_positive_rate", -0.1, 0.01, "a beats b by 0.100, p = 0.010 after correction."),
        ("false_positive_rate", 0.1, 0.01, "a is worse than b by 0.100, p = 0.010 after correction."),
        ("brier", -0.1, 0.01, "a beats b by 0.1000, p = 0.010 after correction."),
        ("precision_site", 0.1, 0.01, "a beats b by 0.100, p = 0.010 after correction."),
        # the level itself is not below the level
        (
            "roc_auc",
            0.1,
            0.05,
            "a against b: +0.100, no difference is shown (p = 0.050); with 95 % confidence it is at most 0.080.",
        ),
        (
            "roc_auc",
            0.1,
            None,
            "a against b: +0.100, which could not be tested; with 95 % confidence it is at most 0.080.",
        ),
        (
            "brier",
            0.1,
            0.5,
            "a against b: +0.1000 (less is better), no difference is shown (p = 0.500); with 95 % confidence it is at "
            "most 0.0800.",
        ),
        ("roc_auc", None, None, "Between a and b nothing can be said: a value is undefined."),
    ],
)
def test_a_verdict_has_the_sign_and_p_of_its_row(metric, delta, p, words):
    models = [{"model": "a", "value": 0.5}]
    assert said(asked(metric=metric, models=models, differences=[primary("a", "b", delta, p)]))[1] == words


@pytest.mark.parametrize(("positives", "why"), [(0, "none of 40 test posts are"), (40, "all of 40 test posts are")])
def test_where_all_posts_say_the_same_nothing_can_be_said_and_why(positives, why):
    row = primary("a", "b", None, None, label="abuse", n=40, positives=positives)
    words = said(asked(metric="roc_auc", models=[{"model": "a", "value": 0.5}], differences=[row]))[1]
    assert words == f"Between a and b nothing can be said: {why} harmful."


@pytest.mark.parametrize(("metric", "delta", "lo", "hi"), [("brier", -0.1, -0.25, -0.05), ("f1", 0.1, 0.05, 0.25)])
def test_by_how_much_a_model_is_ahead_is_told_without_a_sign(metric, delta, lo, hi):
    models = [{"model": "a", "value": 0.5}]
    verdict = said(asked(metric=metric, models=models, differences=[primary("a", "b", delta, 0.01, lo=lo, hi=hi)]))[1]
    numbers = {"brier": "0.1000 [0.0500, 0.2500]", "f1": "0.100 [0.050, 0.250]"}[metric]
    assert verdict == f"a beats b by {numbers}, p = 0.010 after correction."


def test_a_verdict_without_a_margin_does_not_make_one_up():
    one = primary("a", "b", 0.1, 0.5, equivalent_within=None)
    (_, verdict) = said(asked(models=[{"model": "a", "value": 0.5}], differences=[one]))
    assert verdict == "a against b: +0.100, no difference is shown (p = 0.500)."


def test_the_level_is_the_studys_own():
    row = primary("a", "b", 0.1, 0.02, verdict="undecided")
    one = asked(models=[{"model": "a", "value": 0.5}], differences=[row], alpha=0.01)
    assert said(one)[1].endswith("no difference is shown (p = 0.020); with 99 % confidence it is at most 0.080.")


def test_the_best_unimodal_model_is_marked_on_its_side():
    for pair, words in (
        (["a", "best-unimodal"], "a beats b (best unimodal) by"),
        (["best-unimodal", "b"], "a (best unimodal) beats b by"),
        (["a", "b"], "a beats b by"),
    ):
        one = primary("a", "b", 0.1, 0.01, pair=pair)
        assert said(asked(models=[{"model": "a", "value": 0.5}], differences=[one]))[1].startswith(words)
    same = primary("a", "a", 0.0, 1.0, pair=["a", "best-unimodal"])
    assert "a is itself the best unimodal" in said(asked(models=[{"model": "a", "value": 0.5}], differences=[same]))[1]


def test_exploratory_differences_are_no_answer():
    one = primary("a", "b", 0.1, None, primary=False)
    assert len(said(asked(models=[{"model": "a", "value": 0.5}], differences=[one]))) == 1


def test_doubts_are_said():
    leaks = [{"model": "a", "tripped": True}, {"model": "b", "tripped": None}, {"model": "a", "tripped": True}]
    missing = [{"model": "late", "state": "timeout"}, {"model": "slow", "state": "failed"}]
    models = [{"model": "a", "value": 0.5, "few": True}]
    _, few, leak, gone = said(asked(models=models, leak_test=leaks, missing=missing))
    assert few.startswith("Some label has few positives")
    assert leak == "Do not trust this yet: a scores better than its inputs allow, which points to a leak."
    assert gone == "Not compared, because their runs are not finished: late, slow."
    leaks.append({"model": "c", "tripped": True})
    assert "a, c score better than their inputs allow" in said(asked(models=models, leak_test=leaks))[2]


def test_a_model_that_scored_only_some_of_the_posts_is_named_and_what_the_others_count_as():
    models = [{"model": "a", "value": 0.5}, {"model": "b", "value": 0.4, "coverage": 0.5}]
    how = "the others count with the share of harm in training when posts are ranked, and as not flagged."
    assert said(asked(models=models))[-1] == f"b scored 50.0 % of these posts; {how}"
    models[0]["coverage"] = 0.99999  # rounded it would be all
    assert said(asked(models=models))[-1] == f"a scored 99.9 %, b scored 50.0 % of these posts; {how}"


def test_posts_of_all_labels_together_are_no_posts():
    assert [wording.harmful("abuse", n) for n in (1, 1540)] == ["1 harmful post", "1,540 harmful posts"]
    assert wording.harmful("macro", 605) == "605 label-posts"


def test_runs_that_are_out_of_date_are_named():
    stale = [{"model": "a", "reasons": ["module changed"]}, {"model": "b", "reasons": []}]
    (_, sentence) = said(asked(models=[{"model": "a", "value": 0.5}], stale=stale))
    assert sentence.startswith("Out of date, since code, options, data or libraries have changed: a, b; run the study")
    assert len(said(asked(models=[{"model": "a", "value": 0.5}], stale=[]))) == 1


def test_nothing_defined_is_said_and_hides_nothing_else():
    models = [{"model": "a", "value": None, "few": True}]
    first, gone = said(asked(models=models, missing=[{"model": "b", "state": "failed"}]))
    assert first.startswith("No model has a value of average precision on posts with text and media")
    assert "not finished: b" in gone
