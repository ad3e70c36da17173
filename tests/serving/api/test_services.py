"""What the API says of itself: services with their limits, the OpenAPI document, and the demo beside them."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from stand_in import SERVICES

from workbench.preprocessing.limits import stated
from workbench.serving.api.app import create_app
from workbench.serving.api.samples import EXAMPLES
from workbench.serving.demo import page


@pytest.fixture
def client(engine):
    return TestClient(create_app(engine), raise_server_exceptions=False)


def test_services_say_what_they_take(client):
    found = {one["name"]: one for one in client.get("/v1/services").json()["services"]}
    assert tuple(found) == SERVICES
    text = found["text"]
    assert text["needs"] == ["text"]
    assert found["post"]["needs"] == ["text", "image", "video"]
    assert text["protocol"]["score"] == "PUT /v1/moderate/text/{post_id}"
    assert text["limits"]["body_bytes"] == 8 * 2**20
    assert text["expected_per_second"] > 0
    assert text["example"]["features"] == EXAMPLES["text"]
    read = {name: limits.model_dump(mode="json") for name, limits in stated().items()}
    assert text["contents"] == {"text": read["text"], "image": read["image"] | {"bytes": 6 * 2**20}}


def test_the_document_and_the_demo_say_what_is_read(client):
    fields = client.get("/v1/openapi.json").json()["components"]["schemas"]["Features"]["properties"]
    for name, limits in stated().items():
        assert str(limits) in fields[name]["description"]
    assert all(str(limits.within(2**20)) in page._limits(2**20) for limits in list(stated().values())[1:])


def test_a_clip_is_said_to_be_read_as_the_encoder_reads_it(make_engine, stand_in):
    """The stand-in's encoder is called tiny?frames=4."""
    stand_in.classifier.modalities = ("video",)
    client = TestClient(create_app(make_engine()))
    (video,) = (one for one in client.get("/v1/services").json()["services"] if one["name"] == "video")
    assert video["contents"]["video"]["frames"] == 4
    assert video["contents"]["video"]["bytes"] == 6 * 2**20


def test_the_document_names_every_path(client):
    document = client.get("/v1/openapi.json").json()
    assert set(document["paths"]) == {
        *(f"/v1/moderate/{service}/{{post_id}}" for service in SERVICES),
        *("/v1/posts/{post_id}/events", "/v1/features/{id}", "/v1/services", "/healthz", "/readyz", "/metrics"),
    }
    assert client.app.openapi() == document
