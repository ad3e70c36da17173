"""Metadata of posts: every column as it stands, names taken apart, sizes from files' heads."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from audited_posts import drawing, encoded, posts

from workbench.evidence.audit.metadata import metadata

WHEN = dt.datetime(1970, 1, 3, 18, 31, 7, 250, tzinfo=dt.UTC)
PICTURE = encoded(drawing(1).resize((50, 40)))
TOLD = {
    "author's age": 2.5,
    "author's posts": 3.0,
    "author's reports before": 4.0,
    "author's removals before": 5.0,
    "reactions": 6.0,
    "reports": 7.0,
    "impressions": 8.0,
    "has a text": 1.0,
    "has a picture": 1.0,
    "has a clip": 1.0,
    "community": "home",
    "language": "en",
    "region": "de",
    "author": "ann",
    "day": (WHEN - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)).total_seconds() / 86_400,
    "weekday": 5.0,
    "hour": 18.0,
    "minute": 31.0,
    "second": 7.0,
    "microsecond": 250.0,
    "characters": 9.0,
    "words": 2.0,
    "capitals": 6.0,
    "post id: letters": "ab",
    "post id: words": "ab c",
    "post id: number": 12.0,
    "post id: digits": 12.0,
    "post id: last mark": "c",
    "post id: last two marks": "5c",
    "post id: length": 9.0,
    "picture's file: folder": "b",
    "picture's file: folder above": "a",
    "picture's file: ending": "png",
    "picture's file: letters": "Cat",
    "picture's file: words": "Cat d",
    "picture's file: number": 7.0,
    "picture's file: digits": 7.0,
    "picture's file: last mark": "d",
    "picture's file: last two marks": ".d",
    "picture's file: length": 8.0,
    "picture's file: bytes": len(PICTURE["bytes"]),
    "picture's file: width": 50.0,
    "picture's file: height": 40.0,
    "clip's file: letters": "clip",
    "clip's file: words": "clip",
    "clip's file: last mark": "p",
    "clip's file: last two marks": "ip",
    "clip's file: length": 4.0,
    "clip's file: bytes": 5.0,
    "row": 0.0,
}


def test_every_column_is_read_as_it_stands(tmp_path):
    author = {"id": "ann", "account_age_days": 2.5, "posts": 3, "prior_reports": 4, "prior_removals": 5}
    first = {
        "post_id": "ab12-345c",
        "text": "Two  WORDS",
        "image": PICTURE | {"path": "a/b/Cat_07.d.PNG"},
        "video": {"bytes": b"12345", "path": "clip"},
        "author": author,
    }
    first |= {"community": "home", "language": "en", "region": "de", "created_at": WHEN}
    first |= {"engagement": {"reactions": 6, "reports": 7, "impressions": 8}}
    told, other = metadata(posts(first, {"post_id": "noid"})).to_dict("records")
    nameless = (
        "clip's file: folder",
        "clip's file: folder above",
        "clip's file: ending",
        "clip's file: number",
        "clip's file: digits",
    )
    assert {name: value for name, value in told.items() if name not in nameless} == TOLD
    assert pd.isna([told[name] for name in nameless]).all()
    assert (other["post id: letters"], other["post id: length"], other["characters"], other["row"]) == (
        "noid",
        4,
        0,
        0.5,
    )
    unknown = [name for name in other if ("file" in name or name in ("community", "author", "day", "second"))]
    assert len(unknown) > 20
    assert pd.isna([other[name] for name in unknown]).all()


def test_files_that_are_missing_or_no_picture_have_no_size(tmp_path):
    cells = [{"bytes": None, "path": str(tmp_path / "gone.png")}, {"bytes": b"none", "path": None}]
    frame = metadata(posts(*({"image": cell} for cell in cells)))
    assert np.isnan(frame["picture's file: width"]).all()
    assert frame["picture's file: bytes"].isna().tolist() == [True, False]


def test_no_posts_have_columns_all_the_same():
    assert len(metadata(posts())) == 0
    assert metadata(posts()).columns.tolist() == metadata(posts({"text": "a"})).columns.tolist()


def test_times_and_numbers_of_any_size_are_read():
    far = [dt.datetime(year, 12, 31, 23, 59, 58, tzinfo=dt.UTC) for year in (1, 2026, 9999)]
    frame = metadata(posts(*({"created_at": time, "engagement": {"reactions": 2**60 + 1}} for time in far)))
    assert frame["second"].tolist() == [58.0] * 3
    assert frame["weekday"].tolist() == [time.weekday() for time in far]
    assert np.diff(frame["day"]).min() > 700_000
    assert frame["reactions"].tolist() == [2.0**60] * 3


def test_long_numbers_end_in_their_last_digits():
    names = ["1234567890123456789", "a_07.b8", "x9", "none"]
    frame = metadata(posts(*({"post_id": name} for name in names)))
    np.testing.assert_array_equal(frame["post id: digits"], [89, 7, 9, np.nan])
    assert frame["post id: number"][0] == pytest.approx(1234567890123456789)
