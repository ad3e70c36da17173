"""Strict JSON, bodies checked without repeating them, events, and what the schema says of a visible text."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime

import pytest
from stand_in import LABELS

from workbench.schema import Media, visible
from workbench.serving.api.payloads import BASE64, Put, checked, schema_of, to_event, to_post, visible_pattern
from workbench.serving.api.problems import ProblemError
from workbench.serving.api.strict_json import parse

SECRET = "do-not-repeat-me"


def test_json_is_read_as_it_is():
    assert parse(b'{"a": [1, 2.5, "\\u00e9\\ud83d\\ude00", null, true]}') == {"a": [1, 2.5, "é😀", None, True]}
    assert parse(b'{"\\ud800a": "x\\udfff"}') == {"\ufffda": "x\ufffd"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": 1} {"b": 2}', "not JSON"),
        (b"\xff{}", "not UTF-8"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a": NaN}', "NaN or Infinity"),
        (b'{"a": -Infinity}', "NaN or Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b"1" * 10_000, "too long"),
        (b'{"a": 1, "a": 2}', "key twice"),
        (b'{"a": {"b": 1, "b": 1}}', "key twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 50_000, "nested too deeply"),
        (b'{"a": "\x00"}', "not JSON"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_is_not_json_is_refused(body, said):
    with pytest.raises(ProblemError, match=said) as problem:
        parse(body)
    assert problem.value.status == 400


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "the body must be an object"),
        (None, "the body must be an object"),
        ({}, "features is missing"),
        ({"features": SECRET}, "features must be an object"),
        ({"features": {}, SECRET: 1}, "the body has a key that is not known"),
        ({"features": {SECRET: 1}}, "features has a key that is not known"),
        ({"features": {"text": 5}}, "features.text: must be a string"),
        ({"features": {"text": [SECRET]}}, "features.text: must be a string"),
        ({"features": {"image": {"path": "/etc/passwd"}}}, "features.image.id is missing"),
        ({"features": {"image": {"bytes": "eA==", "path": SECRET}}}, "features.image has a key that is not known"),
        ({"features": {"image": {"id": SECRET}}}, "features.image.id: String should match"),
        ({"features": {"author": {"posts": True}}}, "features.author.posts: Input should be a valid integer"),
        ({"features": {"author": {"posts": "7"}}}, "features.author.posts: Input should be a valid integer"),
        ({"features": {"author": {"posts": 10**30}}}, "features.author.posts: Input should be less than"),
        ({"features": {"author": {"posts": -1}}}, "features.author.posts: Input should be greater than"),
        ({"features": {"author": {"account_age_days": float("inf")}}}, "finite number"),
        ({"features": {"created_at": 1700000000}}, "features.created_at: must be a time as RFC 3339 writes it"),
        ({"features": {"created_at": "2026-01-31"}}, "RFC 3339"),
        ({"features": {"created_at": "2026-01-31T12:00:00"}}, "RFC 3339"),
        ({"features": {"created_at": "2026-02-30T12:00:00Z"}}, "a time that there is"),
        ({"features": {"created_at": "0001-01-01T00:00:00+23:00"}}, "a time that there is"),
        ({"features": {"community": SECRET * 50}}, "features.community: String should have at most 256"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_wrong_body_is_told_where_and_not_repeated(value, said):
    with pytest.raises(ProblemError, match=said) as problem:
        checked(Put, value)
    assert problem.value.status == 422
    assert SECRET not in str(problem.value)
    assert "\n" not in str(problem.value)


def test_many_faults_are_not_all_listed():
    with pytest.raises(ProblemError, match=r"; and 4 more$"):
        checked(
            Put, {"features": dict.fromkeys(("text", "image", "video", "author", "community", "region"), 1) | {"x": 1}}
        )


def posted(features, needs=("text", "image", "video"), kept=()):
    return to_post(
        "p1", checked(Put, {"features": features}), needs, lambda name, content: dict(kept).get((name, content))
    )


def test_a_body_becomes_a_post():
    features = {
        "text": "a\x00b",
        "image": base64.b64encode(b"picture").decode(),
        "video": "",
        "author": {"id": "a", "posts": 7.0, "account_age_days": 3},
        "engagement": {"reports": 1},
        "community": None,
        "created_at": "2026-01-31T12:00:00.5+01:00",
    }
    post = posted(features)
    assert (post.text, post.image.bytes, post.video.bytes, post.community) == ("a\x00b", b"picture", b"", None)
    assert (post.author.posts, post.author.account_age_days, post.engagement.reports) == (7, 3.0, 1)
    assert post.created_at == datetime(2026, 1, 31, 11, 0, 0, 500_000, tzinfo=UTC)


def test_contents_by_id():
    stored = Media(path="content:" + "d" * 64 + ":7")
    kept = {("text", "a" * 64): "é", ("image", "b" * 64): b"picture", ("video", "d" * 64): stored}
    post = posted({"text": {"id": "a" * 64}, "image": {"id": "b" * 64}, "video": {"id": "d" * 64}}, kept=kept)
    assert (post.text, post.image.bytes, post.video) == ("é", b"picture", stored)
    with pytest.raises(ProblemError, match=r"features\.image: no content of this id is kept") as problem:
        posted({"image": {"id": "c" * 64}}, kept=kept)
    assert problem.value.status == 404


@pytest.mark.parametrize("encoded", ["a", "ab=", "data:image/png;base64,eA==", "e A==", "eA==\n", "eA", "e-_=", "é"])
def test_what_is_no_base64_is_refused(encoded):
    assert not re.search(BASE64, encoded.removesuffix("\n") + ("!" if encoded.endswith("\n") else ""))
    with pytest.raises(ProblemError, match=r"features.image: must be base64"):
        posted({"image": encoded})


@pytest.mark.parametrize(
    ("features", "needs", "missing"),
    [
        ({}, ("text", "image", "video"), "features.text or features.image or features.video"),
        ({"text": " \t\u200b"}, ("text", "image", "video"), "a visible character"),
        ({"text": "words"}, ("image",), "features.image"),
        ({"text": "", "image": None}, ("text",), "features.text"),
    ],
)
def test_a_post_brings_what_its_service_needs(features, needs, missing):
    with pytest.raises(ProblemError, match=missing) as problem:
        posted(features, needs)
    assert problem.value.status == 422


def test_the_schema_and_the_code_agree_on_what_is_visible():
    pattern = re.compile(visible_pattern())
    codes = [*range(0x3000), *range(0xFE00, 0x10000), *range(0xE0000, 0xE0200), 0x1F600]
    differ = [code for code in codes if bool(pattern.search(chr(code))) != visible(chr(code))]
    assert differ == []
    assert not pattern.search("")


def test_the_schemas_have_the_limits_that_are_checked():
    schemas = schema_of(Put)
    assert set(schemas["Features"]["properties"]) == {
        *("text", "image", "video", "author", "engagement", "community", "language", "region", "created_at")
    }
    assert schemas["AuthorIn"]["properties"]["posts"]["anyOf"][0] == {"maximum": 2**53, "minimum": 0, "type": "integer"}
    assert schemas["Features"]["additionalProperties"] is False
    assert "path" not in json.dumps(schemas)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ({"kind": "report", "value": {"reason": "spam"}}, {"reason": "spam"}),
        ({"kind": "report"}, {}),
        ({"kind": "impression", "value": {"count": 12}}, {"count": 12}),
        ({"kind": "removal", "value": {"labels": ["abuse"]}}, {"labels": ["abuse"]}),
        ({"kind": "appeal", "value": {"decision": "upheld"}}, {"decision": "upheld"}),
        ({"kind": "label", "value": {"abuse": True, "nudity": None}}, {"abuse": True, "nudity": None}),
    ],
    ids=lambda value: str(value)[:30],
)
def test_events(body, value):
    at = "2026-01-31T12:00:00Z"
    found = to_event({**body, "at": at, "by": "m-1"}, LABELS)
    assert found == {"kind": body["kind"], "at": datetime(2026, 1, 31, 12, tzinfo=UTC), "value": value} | {
        "by": "m-1",
        "key": None,
    }
    assert to_event({**body, "idempotency_key": "k-1"}, LABELS) == found | {"at": None, "by": None, "key": "k-1"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "kind must be one of: report"),
        ({"kind": ["report"]}, "kind must be one of: report"),
        ({"kind": SECRET}, "kind must be one of: report"),
        ({"kind": "label"}, "value is missing"),
        ({"kind": "label", "value": {SECRET: True}}, "labels must be among: abuse"),
        ({"kind": "label", "value": {"abuse": "yes"}}, "should be a valid boolean"),
        ({"kind": "removal", "value": {"labels": [SECRET]}}, "labels must be among: abuse"),
        ({"kind": "appeal", "value": {"decision": SECRET}}, "'upheld' or 'overturned'"),
        ({"kind": "report"}, "a report needs by .who. or idempotency_key, so that it is counted once"),
        ({"kind": "report", "by": None}, "a report needs by"),
        ({"kind": "report", "at": "now"}, "RFC 3339"),
        ({"kind": "reaction", "value": {"count": -1}}, "greater than or equal to 0"),
        ({"kind": "report", "value": {"labels": []}}, "value has a key that is not known"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_event_is_told_why(body, said):
    with pytest.raises(ProblemError, match=said) as problem:
        to_event(body, LABELS)
    assert problem.value.status == 422
    assert SECRET not in str(problem.value)
