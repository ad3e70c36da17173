"""Posts by content id, scored from what the job stored: the same answer as by content, or a refusal in a sentence."""

from __future__ import annotations

import base64
import hashlib
import time

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from workbench.corpora import log
from workbench.features.encoders.open_clip import Encoder
from workbench.features.store import FeatureStore, job
from workbench.records import Records
from workbench.schema import MODALITIES, Taxonomy
from workbench.serving.api.app import create_app
from workbench.serving.config import ServingConfig
from workbench.serving.engine import Engine

TEXTS = (
    "You are an 1d1ot, see https://bit.ly/x and https://user@evil.example:8080/a",
    "Das ist ein Satz in einer anderen Sprache, den der Starter nicht liest.",
    "i d i o t, go away",
)


def by_value(post: dict) -> dict:
    features = {"text": post["text"]} if post["text"] else {}
    media = {name: post[name]["bytes"] for name in ("image", "video") if post[name]}
    return features | {name: base64.b64encode(data).decode() for name, data in media.items()}


def by_id(post: dict) -> dict:
    raw = {"text": post["text"].encode()} if post["text"] else {}
    raw |= {name: post[name]["bytes"] for name in ("image", "video") if post[name]}
    return {name: {"id": hashlib.sha256(data).hexdigest()} for name, data in raw.items()}


def cut(posts: list[dict]) -> list[dict]:
    """Every fourth picture and third clip loses its end, so that it cannot be read."""
    for name, every in (("image", 4), ("video", 3)):
        for post in [post for post in posts if post[name]][::every]:
            post[name] = {**post[name], "bytes": post[name]["bytes"][:40]}
    return posts


@pytest.fixture(scope="module")
def posts(material):
    rows = material.sets["test"].select(MODALITIES).to_pylist()
    some = [next(row for row in rows if row["video"] and row["text"]), *rows[:40]]
    return cut(some) + [{"text": text, "image": None, "video": None} for text in TEXTS]


@pytest.fixture(scope="module")
def features(posts, material, tmp_path_factory):
    """The folder that the job filled."""
    folder = tmp_path_factory.mktemp("job") / "features"
    schema = pa.schema([material.sets["test"].schema.field(name) for name in MODALITIES])
    job.build(FeatureStore(folder, "cpu"), [pa.Table.from_pylist(posts, schema)], ["tiny"])
    return folder


@pytest.fixture
def start(bundle, features, tmp_path):
    """The function that starts a server on the job's folder; its client. Each has records of its own unless named."""
    running = []

    def started(name="clip-cross", records="records", folder=features):
        services = {"post": {"bundle": str(bundle(name))}, "text": {"bundle": str(bundle("text-tfidf"))}}
        config = {"services": services, "records": str(tmp_path / records), "features": str(folder)}
        engine = Engine(ServingConfig.parse(config, "serving"), Records(tmp_path / records), device="cpu")
        engine.load()
        running.append(engine)
        return TestClient(create_app(engine), raise_server_exceptions=False)

    yield started
    for engine in running:
        engine.close(5)
        engine.records.close()


@pytest.fixture
def blind(monkeypatch):
    """Encoders that fail on every content."""

    def fails(*_, **__):
        raise AssertionError("a content was read")

    for modality in MODALITIES:
        monkeypatch.setattr(Encoder, f"encode_{modality}", fails)


def put(client, features, number, service="post"):
    return client.put(f"/v1/moderate/{service}/{number}", json={"features": features})


def answered(response) -> dict:
    """The whole answer but the time by which it is due."""
    assert response.status_code == 200, response.text
    answer = response.json()
    return answer | {"decision": answer["decision"] | {"due_at": None}}


def alike(found, expected) -> None:
    """Hold answers to each other: all of them the same, scores within 1e-4 (a vector's last bit is its batch's)."""
    assert type(found) is type(expected)
    if isinstance(found, float):
        assert found == pytest.approx(expected, abs=1e-4)
    elif isinstance(found, dict | list):
        assert len(found) == len(expected)
        keys = expected if isinstance(expected, dict) else range(len(expected))
        for key in keys:
            alike(found[key], expected[key])
    else:
        assert found == expected or (isinstance(found, str) and " 0." in found)  # a sentence with a score


@pytest.mark.parametrize("service", ["post", "text"])
def test_a_put_by_id_is_the_put_by_content_and_reads_nothing(start, posts, service, request):
    """Text by text, links, variants and what cannot be read too; `text` is a model of words."""
    sent = [(number, post) for number, post in enumerate(posts) if service == "post" or post["text"]]
    other = start(records="others")
    expected = [answered(put(other, by_value(post), number, service)) for number, post in sent]
    request.getfixturevalue("blind")
    client = start()
    found = [answered(put(client, by_id(post), number, service)) for number, post in sent]
    alike(found, expected)
    assert len(found[-3]["links"]) == 2
    if service == "post":
        reasons = [reason for one in found for reason in one["decision"]["reasons"]]
        assert {"unread", "link", "label"} <= {reason["kind"] for reason in reasons}
        assert {one["decision"]["action"] for one in found if one["decision"]["unread"]} == {"review"}
        assert sum(bool(one["decision"]["unread"]) for one in found) > 3
        hits = client.get("/metrics").text
        assert 'workbench_features_total{tier="computed"} 0.0' in hits
        assert 'workbench_features_total{tier="disk"} 0.0' not in hits
        again = put(client, by_value(posts[0]), 0).json()
        assert again["stored"] is True  # the same post, however its contents were named


def test_a_stored_vector_is_served_by_id_at_once_and_after_a_restart(start, posts, features):
    picture = next(post["image"]["bytes"] for post in posts[4:] if post["image"] and len(post["image"]["bytes"]) > 40)
    expected = FeatureStore(None, "cpu").image("tiny", pa.table({"image": [{"bytes": picture, "path": None}]}))
    address = f"/v1/features/{hashlib.sha256(picture).hexdigest()}"
    for records in ("first", "restarted"):
        client, seconds = start(records=records), []
        for _ in range(20):
            began = time.perf_counter()
            answer = client.get(address, params={"values": "true"})
            seconds.append(time.perf_counter() - began)
        assert min(seconds) < 0.01
        body = answer.json()
        assert (body["kinds"], body["bytes"], answer.status_code) == (["image"], len(picture), 200)
        (vector,) = body["vectors"]
        assert (vector["encoder"], vector["tier"], vector["shape"]) == ("tiny", "disk", list(expected.values.shape))
        assert np.array_equal(np.array(vector["values"], np.float32), expected.values)
        assert body["hits"]["disk"] == 20
    assert client.get(address).json()["vectors"][0]["values"] is None
    assert client.get(address, params={"encoder": "other"}).status_code == 404
    assert client.get(address, params={"values": "perhaps"}).status_code == 422
    cut_off = next(post["image"]["bytes"] for post in posts if post["image"] and len(post["image"]["bytes"]) == 40)
    (vector,) = client.get(f"/v1/features/{hashlib.sha256(cut_off).hexdigest()}?values=true").json()["vectors"]
    assert (vector["shape"][0], vector["values"]) == (0, [])
    assert vector["unread"]


def test_what_is_not_stored_is_refused_and_what_is_kept_is_read_instead(start, posts, tmp_path):
    """By an encoder that the bundle does not read; then the same id, its content on record from an earlier PUT."""
    post = next(post for post in posts[2:] if post["image"] and post["text"])
    other = FeatureStore(tmp_path / "other", "cpu")
    job.build(other, [pa.table({"image": [post["image"]]})], ["tiny?fit=pad"])
    client = start(folder=tmp_path / "other")
    named = {"text": post["text"], "image": by_id(post)["image"]}
    refused = put(client, named, "p")
    assert refused.status_code == 404
    assert "no vector of this image by encoder 'tiny' is stored; send it by value" in refused.json()["error"]
    assert client.get("/v1/moderate/post/p").status_code == 404
    assert put(client, {"image": {"id": "0" * 64}}, "p").status_code == 404
    expected = answered(put(client, by_value(post), "q"))
    whole = answered(put(client, named, "r"))
    assert whole | {"post_id": "q"} == expected | {"decision": expected["decision"] | {"post_id": "r"}}


def test_a_model_that_reads_files_itself_is_never_given_vectors(start, posts, monkeypatch):
    post = next(post for post in posts[2:] if post["image"])
    client = start()
    engine = client.app.api.engine
    monkeypatch.setattr(type(engine._service("post").moderator.classifier), "opens", ("image",))
    refused = put(client, {"image": by_id(post)["image"]}, "p")
    assert (refused.status_code, "reads the image itself" in refused.json()["error"]) == (404, True)
    expected = answered(put(client, {"image": by_value(post)["image"]}, "q"))
    found = answered(put(client, {"image": by_id(post)["image"]}, "r"))
    assert found["results"] == expected["results"]


def test_deleting_a_post_takes_what_the_job_made_of_it(bundle, posts, start, tmp_path, material):
    post = next(post for post in posts[2:] if post["text"] and post["image"] and len(post["image"]["bytes"]) > 40)
    folder = tmp_path / "features"
    schema = pa.schema([material.sets["test"].schema.field(name) for name in MODALITIES])
    job.build(FeatureStore(folder, "cpu"), [pa.Table.from_pylist([*posts[-3:], post], schema)], ["tiny"])
    client = start(folder=folder)
    ids = by_id(post)
    assert put(client, ids, "p").status_code == put(client, {"image": ids["image"]}, "q").status_code == 200
    rows = log.build(log.SourceOptions(folder=str(tmp_path / "records")), Taxonomy.load())
    trained_on = FeatureStore(folder, "cpu").image("tiny", rows)
    assert trained_on.readable.all()  # a training set of the log has what was scored, though nobody has the file
    assert client.delete("/v1/moderate/post/p").status_code == 204
    assert client.get(f"/v1/features/{ids['text']['id']}").status_code == 404
    assert client.get(f"/v1/features/{ids['image']['id']}").json()["kinds"] == ["image"]  # another post has it
    assert client.delete("/v1/moderate/post/q").status_code == 204
    assert client.get(f"/v1/features/{ids['image']['id']}").status_code == 404
    assert put(client, ids, "p").status_code == 404
    assert post["text"].encode() not in b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    fresh = FeatureStore(folder, "cpu", writes=False)
    fresh.image("tiny", pa.table({"image": [post["image"]]}))
    assert fresh.hits["computed"] == 1
