"""The model card, line by line, for a bundle that is made up: nothing is fitted, and every number is given."""

from __future__ import annotations

import datetime as dt

import pytest

from workbench.decisions import card
from workbench.decisions.drawn import Drawn
from workbench.decisions.policy import LabelRule, Override, Policy
from workbench.metrics.calibration import IDENTITY, Line

SHARES = {"precision": [0.9, 0.8, 0.95], "recall": [0.5, 0.4, 0.6], "few": False}
SITE = {"precision": [0.7, 0.3, 0.9], "recall": None, "few": True}
DONE = {"at": 0.5, "flagged": 9, "caught": 8, "sample": SHARES, "site": SITE}


def head(**more) -> dict:
    labels = more.pop("labels", ["abuse", "spam", "nudity"])
    return {
        "model_id": "m-1",
        "model": "text-tfidf",
        "modalities": ["text", "image"],
        "labels": labels,
        "out_of_scope": ["violence"],
        "options": {"b": "x", "a": 1},
        "taxonomy": {"fingerprint": "f-1", "labels": [{"name": label} for label in labels]},
        "calibration": {label: Line(0.5, -1.0)._asdict() for label in labels},
        "prevalence": dict.fromkeys(labels) | {"abuse": 0.1234},
        "serving": {"abuse": 0.01},
        "drawn": {"abuse": Drawn(True, 0.1).saved},
        "card": {},
    } | more


def lines(of: dict, **more) -> list[str]:
    rules = {label: LabelRule(review_at=0.25, remove_at=None) for label in of["labels"]}
    return card.readme(of, Policy(name="house", date=dt.date(2026, 1, 1), labels=rules, **more)).split("\n")


def cells(rows: list[str], first: str) -> list[str]:
    """The cells of the one row of a table that starts with a cell."""
    (row,) = [row for row in rows if row.startswith(f"| {first} ")]
    return [cell.strip() for cell in row.strip("|").split(" |")]


@pytest.mark.parametrize(
    ("names", "said"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c"), (list("abcd"), "a, b, c and d")],
)
def test_names_are_listed_as_people_do(names, said):
    assert card._listed(names) == said


def test_a_table_lines_up():
    assert list(card.table(("a", "long"), [("xyz", 1), ("p|q", "")])) == [
        "| a    | long |",
        "|------|------|",
        "| xyz  | 1    |",
        "| p\\|q |      |",
    ]


def test_what_a_model_is_and_looks_at():
    said = lines(head(), unseen="allow")
    assert said[0] == "# m-1"
    assert said[2] == "A `text-tfidf` that looks at text and image and decides about "
    assert said[3].startswith("abuse, spam and nudity, under policy `house@1-")
    assert said[3].endswith("` of 2026-01-01.")
    assert said[4] == "It says nothing about violence: no training post has it."
    assert said[5].endswith("content that it does not look at is let through.")
    bare = lines(head(labels=[], modalities=[], out_of_scope=[], prevalence={}, drawn={}))
    assert bare[2] == "A `text-tfidf` that looks at nothing of a post and decides about "
    assert bare[3].startswith("no label, under policy")
    assert bare[4].endswith("content that it does not look at is sent to a person.")


def test_a_model_of_no_posts_is_neither_calibrated_nor_chosen():
    said = "\n".join(lines(head(labels=["abuse"], prevalence={"abuse": None}, drawn={}, card={})))
    assert "It says nothing about violence.\n" in said
    assert "They are not calibrated" in said
    assert "calibrated on validation" not in said
    assert "They were chosen on no posts:" in said
    assert "on validation flatters it" not in said


def test_thresholds_and_overrides():
    there = Override(region="X", labels={"abuse": LabelRule(review_at=0.1, remove_at=None)})
    said = lines(head(), overrides=(there,))
    assert cells(said[: said.index("## Probabilities")], "abuse") == ["abuse", "0.250", "–"]
    assert "- abuse, review: set by hand." in said
    assert "- abuse, remove: never." in said
    assert "- Other thresholds hold for region X." in said


def test_labels_that_act_on_a_signal_are_said_to_wait_for_a_person():
    rules = {label: LabelRule(review_at=0.2, remove_at=at) for label, at in {"abuse": 0.9, "spam": 0.9}.items()}
    slow = head(labels=["abuse", "spam"])
    slow["taxonomy"]["labels"][0]["mode"] = "reactive"
    said = {
        reactive: card.readme(slow, Policy(name="house", date=dt.date(2026, 1, 1), labels=rules, reactive=reactive))
        for reactive in ("review", "remove")
    }
    goes = "Of abuse nothing is removed before a person has looked"
    assert {reactive: goes in text for reactive, text in said.items()} == {"review": True, "remove": False}


def test_what_was_measured_in_the_sample_and_at_the_site():
    facts = {"n": 1000, "unscored": 0, "positives": 200, "average_precision": 0.8}
    old = {"at": 0.5, "precision": 0.9, "precision_interval": [0.8, 0.95], "recall": None, "recall_interval": None}
    labels = {
        "abuse": facts | {"review": DONE, "remove": DONE | {"site": None}},
        "spam": facts | {"unscored": 1234, "review": old},
        "nudity": facts | {"average_precision": None},
    }
    said = lines(head(card={"measured": {"test": labels}}))
    sample, site = said.index("## Measured on test"), said.index("## Measured on test, by the site's own mix of posts")
    sure = "0.90 [0.80, 0.95]"
    rows = said[sample:site]
    assert cells(rows, "abuse") == ["abuse", "1,000", "200", "0.800", *[sure, "0.50 [0.40, 0.60]"] * 2]
    assert cells(rows, "spam") == ["spam", "1,000 (+1,234 unscored)", "200", "0.800", sure, "–", "–", "–"]
    assert cells(rows, "nudity") == ["nudity", "1,000", "200", "–", "–", "–", "–", "–"]
    rows = said[site : said.index("## Probabilities")]
    assert cells(rows, "abuse") == ["abuse", "1,000", "200", "–", "0.70 [0.30, 0.90] few", "–", "–", "–"]
    assert cells(rows, "spam")[4:] == cells(rows, "nudity")[4:] == ["–"] * 4
    plain = lines(head(card={"measured": {"test": dict.fromkeys(labels, facts | {"review": old})}}))
    assert "## Measured on test" in plain
    assert "## Measured on test, by the site's own mix of posts" not in plain


def test_where_probabilities_hold_and_what_leads_elsewhere():
    drawn = {"abuse": Drawn(False, 0.05, Line(2.0, 1.0)).saved, "spam": Drawn(True, 0.2).saved}

    def told(**more):
        said = lines(head(drawn=drawn, **more))
        return said[said.index("## Probabilities") : said.index("## Made from")]

    line, moved = Line(0.5, -1.0).words, Line(2.0, 1.0).words
    plain = told()
    assert cells(plain, "abuse") == ["abuse", "12 %", "1 %", line]
    assert cells(plain, "nudity") == ["nudity", "–", "–", line]
    assert "Validation was drawn by more than abuse, so no ratio of shares leads to the site;" in plain
    assert not any("by the weights of validation" in one for one in plain)
    site = told(at_site=True)
    assert cells(site, "abuse") == ["abuse", "12 %", "5 %", f"{line}, then {moved}"]
    assert cells(site, "spam") == ["spam", "–", "20 %", f"{line}, then {IDENTITY.words}"]
    assert cells(site, "nudity") == ["nudity", "–", "–", line]
    assert any("by the weights of validation" in one for one in site)
    assert not any("drawn by more than" in one for one in site)
    drawn.clear()
    assert not any("drawn by more than" in one for one in told())


def test_what_a_bundle_was_made_from():
    about = {"made": "today", "seed": 0, "posts": {"train": 1234, "test": 5}, "digests": {"b": "2", "a": "1"}}
    said = lines(head(card=about | {"device": "cpu", "peak_mb": {"gpu": 1500.4, "cpu": 3}}))
    assert cells(said, "options")[1] == "a: 1, b: x"
    assert cells(said, "made")[1] == "today"
    assert cells(said, "posts")[1] == "test 5, train 1,234"
    assert cells(said, "seed")[1] == "0"
    assert cells(said, "data")[1] == "a 1, b 2"
    assert cells(said, "computed on")[1] == "cpu"
    assert cells(said, "peak memory in training")[1] == "cpu 3 MB, gpu 1,500 MB"
    assert cells(said, "taxonomy")[1] == "f-1 (abuse, spam, nudity)"
    bare = lines(head())
    assert {cells(bare, name)[1] for name in ("made", "posts", "seed", "data", "computed on")} == {"not recorded"}
