"""`bench protocol`: bytes by hand, and posts that are sent again, named by the client or by the server."""

from __future__ import annotations

import base64
import json

import pytest

from workbench.bench import protocol as bench
from workbench.bench.protocol import ProtocolBench
from workbench.errors import WorkbenchError
from workbench.schema import ROOT


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "serving.yaml"
    limits = "limits: {author_burst: 6, author_per_minute: 0.001}"
    path.write_text(f"services: {{text: {{bundle: {ROOT / 'data' / 'starter'}, labels: [abuse], {limits}}}}}\n")
    return path


def test_put_scores_a_post_once_and_post_spends_the_author_s_tokens_on_repeats(config, monkeypatch):
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    made = bench.protocol(ProtocolBench(config=config, posts=6, sends=3))
    counts = ("sent", "scored", "repeated", "refused", "answered")
    assert {(row["case"], row["method"]): tuple(row[name] for name in counts) for row in made["repeats"]} == {
        ("retries", "PUT"): (18, 6, 12, 0, 6),
        ("retries", "POST"): (18, 18, 0, 0, 6),
        ("flood", "PUT"): (18, 6, 12, 0, 6),
        ("flood", "POST"): (18, 6, 0, 12, 2),
    }
    (sizes,) = made["sizes"]
    assert sizes["posts"] == 6
    assert sizes["request"] == sizes["raw"] > len('{"features": {"text": ""}}')
    assert sizes["concurrent"] == sizes["per_second"] * sizes["seconds"]
    assert 0 < sizes["reading"] < sizes["seconds"]


def test_a_request_brings_what_its_service_needs(monkeypatch):
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    contents = bench.real_contents()
    picture = contents["image"][1]
    assert bench.features("image", 1, contents) == {"image": base64.b64encode(picture).decode()}
    post = bench.features("post", 1, contents)
    assert (post["text"], "video" in post) == (contents["text"][1], False)
    assert bench.features("misinformation", 3, contents)["author"]["id"] == "a-3"
    assert json.dumps(bench.features("video", 5, contents))  # there is one, which comes again


def test_an_unknown_service_is_named(config):
    with pytest.raises(WorkbenchError, match=r"image.*text"):
        bench.protocol(ProtocolBench(config=config, services=("image",)))
