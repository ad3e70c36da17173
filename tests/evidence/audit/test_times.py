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
