"""Impossible times: planted ones are told, possible ones pass."""

from __future__ import annotations

import datetime as dt

from audited_posts import posts

from workbench.evidence.audit import times


def at(day: int, **author) -> dict:
    return {"created_at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=day), "author": author}


def kinds(train: list[dict], test: list[dict], **options) -> dict:
    found = times.look({"train": posts(*train), "test": posts(*test)}, **options)["time"]
    assert found["overlap"] == sum(bool(count) for count in found["kinds"].values())
    return {kind: count for kind, count in found["kinds"].items() if count}


def test_each_impossible_time_is_told_and_possible_ones_are_not():
    ann = [at(day, id="ann", account_age_days=100.0 + day, posts=day, prior_removals=0) for day in (0, 10, 20)]
    assert kinds(ann, [at(5, id="bob")]) == {}
    later = [at(day, id="ann", account_age_days=500.0, posts=9 - day // 10) for day in (0, 10, 20)]
    assert kinds(later, []) == {"account age that does not follow the calendar": 2, "author's posts become fewer": 2}
    assert kinds([at(0, account_age_days=-3.0)], [at(0, posts=1, prior_removals=2)]) == {
        "account opened after the post": 1,
        "more removals than posts": 1,
    }
    assert kinds([{"engagement": {"reports": -1}}], [at(10**5)]) == {"count below zero": 1, "posted in the future": 1}


def test_tests_that_are_not_later_are_told_where_later_ones_are_claimed():
    train, test = [at(0), at(10)], [at(5), at(11), at(10)]
    assert kinds(train, test) == {}
    assert kinds(train, test, later_tests=True) == {"test post before the last training post": 2}
    assert kinds(train, test[1:2], later_tests=True) == {}


def test_what_cannot_be_checked_is_none():
    found = times.look({"train": posts({}), "test": posts({})})["time"]
    assert found["of"] == 0
    assert set(found["kinds"].values()) == {None}


def test_limits_may_be_met_and_not_passed_and_every_fault_is_counted():
    def counts(**author) -> dict:
        return at(0, **author)

    train = [
        at(32),
        at(33),  # two days after now are for time zones
        counts(account_age_days=0.0, posts=0, prior_removals=0),
        counts(account_age_days=0.5),
        counts(account_age_days=-0.5),
        counts(posts=1, prior_removals=2),
        at(0) | {"engagement": {"reactions": 0, "reports": -1}},
    ]
    ann = [(0, 10.0, 5, 1), (1, 13.0, 5, None), (1, 13.0, 4, None), (1.5, 16.0, 3, None), (2.5, None, 3, None)]
    test = [at(day, id="ann", account_age_days=age, posts=n, prior_removals=gone) for day, age, n, gone in ann]
    test += [at(9, id="bob", account_age_days=1.0, posts=1)]
    sets = {"train": posts(*train), "validation": posts({}), "test": posts(*test)}
    found = times.look(sets, now=dt.datetime(2024, 1, 31, tzinfo=dt.UTC))["time"]
    assert found["kinds"] == {
        "posted in the future": 1,
        "account opened after the post": 1,
        "count below zero": 1,
        "more removals than posts": 1,
        "account age that does not follow the calendar": 1,  # three days older after half a day; two are slack
        "author's posts become fewer": 1,  # the two posts of one moment are in no order
        "author's prior reports become fewer": None,
        "author's prior removals become fewer": None,
    }
    assert (found["overlap"], found["of"], found["posts"]) == (6, 6, 5)
    assert found["examples"] == [
        {"content": "posted in the future (1 posts)", "posts": [["train", "p1"]]},
        {"content": "account opened after the post (1 posts)", "posts": [["train", "p4"]]},
        {"content": "count below zero (1 posts)", "posts": [["train", "p6"]]},
        {"content": "more removals than posts (1 posts)", "posts": [["train", "p5"]]},
        {"content": "account age that does not follow the calendar (1 posts)", "posts": [["test", "p3"]]},
    ]


def test_a_time_to_the_microsecond_in_a_far_year_is_read():
    far = {"created_at": dt.datetime(2300, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC)}
    assert kinds([far, at(0)], [at(1)]) == {"posted in the future": 1}


def test_what_only_some_posts_tell_is_checked_and_what_two_fields_tell_needs_both():
    later = "test post before the last training post"

    def told(train: list[dict], test: list[dict]) -> dict:
        return times.look({"train": posts(*train), "test": posts(*test)}, later_tests=True)["time"]["kinds"]

    assert told([{}, at(3)], [{}, at(2)])[later] == 1
    assert told([{}], [at(2)])[later] is None
    assert told([at(2)], [{}])[later] is None
    assert told([at(2, prior_removals=1)], [at(3)])["more removals than posts"] is None
    ages = [at(1, id="ann", account_age_days=1.0), at(2, id="bob", account_age_days=1.0), at(3, id="bob")]
    assert told([at(0)], ages)["account age that does not follow the calendar"] is None
