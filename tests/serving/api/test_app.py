"""The API in one process: every bad request is one plain sentence, every good one an answer on record."""

from __future__ import annotations

import base64
import json

import pytest
from fastapi.testclient import TestClient
from stand_in import LABELS, until

from workbench.errors import WorkbenchError
from workbench.serving.api.app import create_app
from workbench.serving.api.samples import PIXEL
from workbench.serving.engine import Busy

JSON = {"content-type": "application/json"}
ROOMY = {"limits": {f"{what}_{rate}": 10**9 for what in ("author", "copies") for rate in ("per_minute", "burst")}}
SECRET = "do-not-repeat-me"


@pytest.fixture
def client(engine):
    return TestClient(create_app(engine), raise_server_exceptions=False)


def put(client, features, service="text", post_id="p1"):
    return client.put(f"/v1/moderate/{service}/{post_id}", content=json.dumps({"features": features}), headers=JSON)


def refused(response, status, said=""):
    """Hold a refusal to its form: the status, one sentence, the id of the header, and nothing of the request."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error", "id"}
    assert said in body["error"]
    assert "\n" not in body["error"]
    assert body["id"] == response.headers["x-request-id"]
    assert SECRET not in response.text
    assert "Traceback" not in response.text


# ------------------------------------------------------------------------------------------------------- good requests


def test_an_answer_has_the_documented_form(client):
    answer = put(client, {"text": "harm"}).json()
    assert answer["results"] == [{"label": label, "confidence": 0.95 if label == "abuse" else 0.05} for label in LABELS]
    assert (answer["post_id"], answer["service"], answer["stored"]) == ("p1", "text", False)
    assert answer["decision"]["action"] == "remove"
    assert answer["decision"]["reasons"][0]["label"] == "abuse"
    assert (answer["model"], answer["policy"]) == (answer["decision"]["model_id"], answer["decision"]["policy_id"])
    assert set(answer["features"]) == {"text"}


def test_put_get_delete(client):
    first, second = (put(client, {"text": "harm"}).json() for _ in range(2))
    assert second == {**first, "stored": True}
    assert client.get("/v1/moderate/text/p1").json() == second
    refused(client.get("/v1/moderate/post/p1"), 404)  # each service has its own
    assert client.delete("/v1/moderate/text/p1").status_code == 204
    refused(client.get("/v1/moderate/text/p1"), 404, "PUT the post")
    refused(client.delete("/v1/moderate/text/p1"), 404)
    assert put(client, {"text": "harm"}).json()["stored"] is False


def test_what_cannot_be_read_is_reviewed_and_has_no_confidence(client):
    answer = put(client, {"image": base64.b64encode(b"no picture").decode()}, "image").json()
    assert answer["decision"]["action"] == "review"
    assert answer["decision"]["unread"] == ["image"]
    assert [one["confidence"] for one in answer["results"]] == [None] * len(LABELS)
    empty = put(client, {"image": ""}, "image", "p2").json()
    assert empty["decision"]["action"] == "review"


def test_contents_go_by_id_too(client, stand_in):
    first = put(client, {"image": PIXEL}, "image").json()
    picture = first["features"]["image"]
    second = put(client, {"image": {"id": picture}}, "image").json()
    assert second["stored"] is True  # it is the same post, however its picture is named
    other = put(client, {"image": {"id": picture}, "text": "harm"}, "post").json()
    assert other["decision"]["action"] == "remove"
    about = client.get(f"/v1/features/{picture}").json()
    assert about["kinds"] == ["image"]
    assert about["bytes"] == len(base64.b64decode(PIXEL))
    assert set(about["hits"]) >= {"memory", "disk", "computed"}
    refused(put(client, {"image": {"id": "0" * 64}}, "image"), 404, "no content of this id is kept")
    for name in ("0" * 64, "x", "..%2f..%2fetc", "A" * 64):
        refused(client.get(f"/v1/features/{name}"), 404, "no content of this id")


def test_events_are_kept_once(client, engine):
    event = {"kind": "label", "at": "2026-01-31T12:00:00Z", "value": {"abuse": True}, "by": "m-1"}
    first, second = (client.post("/v1/posts/p1/events", json=event).json() for _ in range(2))
    assert first == {"post_id": "p1", "kind": "label", "at": "2026-01-31T12:00:00Z", "new": True}
    assert second == {**first, "new": False}
    (kept,) = engine.records.events("p1")
    assert (kept.value, kept.by) == ({"abuse": True}, "m-1")
    refused(client.post("/v1/posts/p1/events", json={"kind": SECRET}), 422, "kind must be one of")
    refused(client.post("/v1/posts/p1/events", content=b" " * 70_000, headers=JSON), 413)


@pytest.mark.parametrize(
    ("path", "post_id"),
    [
        ("a%20b", "a b"),
        ("%E2%82%AC%F0%9F%98%80", "€😀"),
        ("t3_1abc", "t3_1abc"),
        ("%2e%2e", ".."),
        ("a%3Fb%23c%25", "a?b#c%"),
        ("x" * 256, "x" * 256),
        ("e%CC%81", "e\u0301"),  # not the same as the composed letter
    ],
    ids=lambda value: value[:20],
)
def test_post_ids_come_back_as_they_went_in(client, path, post_id):
    assert put(client, {"text": "x"}, post_id=path).json()["post_id"] == post_id
    assert client.get(f"/v1/moderate/text/{path}").json()["post_id"] == post_id


# -------------------------------------------------------------------------------------------------------- bad requests


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("%00", 422),
        ("a%00b", 422),
        ("a%0Ab", 422),
        ("%7F", 422),
        ("a%2Fb", 422),
        ("a/b", 422),
        ("%FF", 422),
        ("%ED%A0%80", 422),  # half of a surrogate pair
        ("x" * 257, 422),
        ("", 422),
    ],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_post_ids_that_are_refused(client, path, status, method):
    body = {"content": b'{"features": {"text": "x"}}', "headers": JSON} if method == "PUT" else {}
    refused(client.request(method, f"/v1/moderate/text/{path}", **body), status, "post id")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json; charset=latin-1"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ({"content-type": "Application/JSON; charset=UTF-8"}, 200),
    ],
    ids=str,
)
def test_kinds_of_bodies(client, headers, status):
    answer = client.put("/v1/moderate/text/p1", content=b'{"features": {"text": "x"}}', headers=headers)
    assert answer.status_code == status
    if status != 200:
        refused(answer, status)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff\xfe", 400),
        (b'{"features": {"text": "x"}', 400),
        (b'{"features": {"text": NaN}}', 400),
        (b'{"features": {"author": {"account_age_days": 1e400}}}', 400),
        (b'{"features": {"text": "a", "text": "b"}}', 400),
        (b'{"features": ' + b"[" * 200_000, 400),
        (b'{"features": {"author": ' + b'{"a":' * 500 + b"1" + b"}" * 502, 422),
        (b"[]", 422),
        (b"null", 422),
        (b'"do-not-repeat-me \\ud800"', 422),
        (b"{}", 422),
        (b'{"features": null}', 422),
        (b'{"features": {}}', 422),
        (b'{"features": {"text": ""}}', 422),
        (b'{"features": {"text": "\\u200b\\n"}}', 422),
        (b'{"features": {"text": {"path": "/etc/passwd"}}}', 422),
        (b'{"features": {"do-not-repeat-me\\udfff": 1}}', 422),
        (b'{"features": {"text": "x", "author": {"id": ["do-not-repeat-me"]}}}', 422),
        (b'{"features": {"text": "x", "image": "do-not-repeat-me"}}', 422),
        (b'{"features": {"text": "x", "language": 7}}', 422),
        (b'{"features": {"text": "\\ud83d harm \\u0000"}}', 200),
    ],
    ids=lambda value: str(value)[:45],
)
def test_bodies(client, body, status):
    answer = client.put("/v1/moderate/text/p1", content=body, headers=JSON)
    if status == 200:
        assert answer.json()["decision"]["action"] == "remove"
    else:
        refused(answer, status)


def test_a_large_picture_is_read(make_engine):
    client = TestClient(create_app(make_engine({"image": {"limits": {"body_mb": 48}}})))
    answer = put(client, {"image": base64.b64encode(b"x" * 20_000_000).decode()}, "image")
    assert (answer.status_code, answer.json()["decision"]["unread"]) == (200, ["image"])


def test_a_megabyte_of_text_is_scored(client):
    assert put(client, {"text": "harm " * 200_000}).json()["decision"]["action"] == "remove"


def test_a_service_that_is_not_there(client):
    for method in ("PUT", "GET", "DELETE"):
        refused(client.request(method, f"/v1/moderate/{SECRET}/p1"), 404, "the services are: text, image")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/moderate/text/p1", "DELETE, GET, HEAD, PUT"),
        ("/v1/posts/p1/events", "POST"),
        ("/v1/services", "GET, HEAD"),
        ("/healthz", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "TRACE", "MADEUP"])
def test_methods_that_a_path_does_not_take(client, path, allowed, method):
    answer = client.request(method, path)
    refused(answer, 405, allowed)
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "path", ["/v1/", "/v1/nothing", "/v1/moderate/text", "/v1/posts/p1", "/v1/services/", "/v1/a%0Ab"]
)
def test_paths_that_are_not_there(client, path):
    refused(client.get(f"/v1/{path}"), 404, "nothing at this path")


def test_no_page_and_no_document_outside_the_api(client):
    for path in ("/", "/docs", "/redoc", "/openapi.json"):
        answer = client.get(path)
        assert (answer.status_code, "error" in answer.json()) == (404, True)


def test_headers(client):
    answer = client.get("/v1/services", headers={"origin": "https://elsewhere.example"})
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = {"origin": "https://elsewhere.example", "access-control-request-method": "PUT"}
    refused(client.options("/v1/moderate/text/p1", headers=asked), 405)


# --------------------------------------------------------------------------------------------------- limits and faults


def test_bodies_over_the_limit(make_engine):
    client = TestClient(create_app(make_engine({"text": {"limits": {"body_mb": 0.01}}})))
    refused(put(client, {"text": "x" * 20_000}), 413, "10,485 bytes")

    def chunks():
        for _ in range(100):
            yield b" " * 1000

    answer = client.put("/v1/moderate/text/p1", content=chunks(), headers=JSON)  # no content-length
    refused(answer, 413, "10,485 bytes")
    assert put(client, {"text": "x" * 20_000}, "post").status_code == 200


def test_a_content_length_that_lies(client):
    answer = client.put("/v1/moderate/text/p1", content=b"{}", headers={**JSON, "content-length": "9" * 30})
    refused(answer, 413)


def test_many_large_bodies_at_once_are_put_off(engine):
    app = create_app(engine)
    client = TestClient(app)
    app.api.budget.limit = 1000
    refused(put(client, {"text": "x" * 2000}), 503, "too many large requests")
    for number in range(3):  # each gives back what it held
        assert put(client, {"text": "x" * 600}, post_id=str(number)).status_code == 200
    assert app.api.budget.held == 0


def test_a_flood_is_told_when_to_come_again(make_engine):
    client = TestClient(create_app(make_engine({"text": {"limits": {"author_burst": 1, "author_per_minute": 6}}})))
    put(client, {"text": "x", "author": {"id": "a"}}, post_id="p1")
    answer = put(client, {"text": "x", "author": {"id": "a"}}, post_id="p2")
    refused(answer, 429, "this author sends more new posts")
    assert 1 <= int(answer.headers["retry-after"]) <= 11


def test_a_model_that_breaks_is_a_plain_500(client, caplog):
    answer = put(client, {"text": "poison"})
    refused(answer, 500, "the server failed")
    assert answer.json()["id"] in caplog.text


def test_what_cannot_be_recorded_is_a_503_without_the_servers_paths(client, records, monkeypatch):
    def full(*_):
        raise WorkbenchError("/srv/records.sqlite cannot be written; make room")

    monkeypatch.setattr(records, "record", full)
    answer = put(client, {"text": "x"})
    refused(answer, 503, "the records cannot be used now")
    assert "/srv" not in answer.text


def test_a_slow_model_is_a_503_and_the_answer_comes_later(make_engine, stand_in):
    client = TestClient(create_app(make_engine({"text": {"limits": {"seconds": 0.1}}})))
    stand_in.gate.clear()
    refused(put(client, {"text": "harm"}), 503, "still being scored")
    stand_in.gate.set()
    until(lambda: client.get("/v1/moderate/text/p1").status_code == 200)
    assert stand_in.calls == [1]


def test_ready_while_it_is(engine, client):
    assert client.get("/readyz").json() == {"ready": True}
    engine.close(1)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False})
    refused(put(client, {"text": "x"}), 503)
    assert client.get("/healthz").json() == {"alive": True}


def test_an_engine_that_is_still_to_come():
    """The demo starts the API before there is an engine; whatever is asked of it raises Busy until then."""

    class Startup:
        ready = False

        def __getattr__(self, name):
            raise Busy("Loading the models.", 5)

    client = TestClient(create_app(Startup()), raise_server_exceptions=False)
    refused(put(client, {"text": "x"}), 503, "Loading the models.")
    refused(client.get("/v1/moderate/text/p1"), 503, "Loading the models.")
    refused(client.post("/v1/posts/p1/events", json={"kind": "report"}), 503, "Loading the models.")
    refused(client.get(f"/v1/features/{'0' * 64}"), 503, "Loading the models.")
    refused(client.get("/v1/services"), 503)
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert 'status="503"' in client.get("/metrics").text


# ----------------------------------------------------------------------------------------------- what it says of itself


def test_metrics_count(client, stand_in):
    for _ in range(2):
        put(client, {"text": "x"})
    put(client, {}, "text")
    text = client.get("/metrics").text
    model = stand_in.model_id
    assert 'workbench_requests_total{operation="put",service="text",status="200"} 2.0' in text
    assert 'workbench_requests_total{operation="put",service="text",status="422"} 1.0' in text
    assert f'workbench_scored_posts_total{{model="{model}"}} 1.0' in text
    assert 'workbench_stored_answers_total{service="text"} 1.0' in text
    assert 'workbench_request_seconds_count{operation="put",service="text"} 3.0' in text
    assert 'workbench_waiting_posts{lane="front"} 0.0' in text
    assert 'workbench_overdue_reviews{service="text"} 0.0' in text
    assert 'workbench_features_total{tier="memory"} 0.0' in text


def test_unknown_services_and_paths_make_no_new_series(client):
    client.get("/metrics")
    for number in range(5):
        client.put(f"/v1/moderate/made-up-{number}/p1")
        client.get(f"/v1/made-up-{number}")
    text = client.get("/metrics").text
    assert "made-up" not in text
