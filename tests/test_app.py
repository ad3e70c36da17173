"""`python app.py` from nothing: the page is there, a first study is run, staff and platform get the same answer."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from urllib.error import URLError

import pytest
import yaml
from browser import chromium, free_port, needs_chromium

from workbench.schema import ROOT

pytestmark = [pytest.mark.slow, needs_chromium]
STUDY = {
    "question": "Does it start?",
    "corpus": {"source": "synthetic", "posts": 700, "seed": 7, "oversample": {"paired": 0.3, "harm": 0.4}},
    "seeds": [0],
    "models": [{"name": "text-tfidf"}],
    "compare": {"metric": "average_precision", "label": "macro", "view": "all"},
}
TEXT = "let us break every window on that street"
PATIENCE = 240  # seconds


@pytest.fixture
def app(tmp_path):
    """`python app.py` with a configuration whose study has never been run; its address and its process."""
    study, config, port = tmp_path / "first.yaml", tmp_path / "serving.yaml", free_port()
    study.write_text(yaml.safe_dump(STUDY))
    services = {"text": {"model": "text-tfidf"}, "post": {"model": "text-tfidf"}}
    wanted = {"studies": [str(study)], "services": services, "records": str(tmp_path / "records")}
    config.write_text(yaml.safe_dump(wanted))
    (tmp_path / "temporary").mkdir()
    command = [sys.executable, "app.py", "--port", str(port), "--config", str(config), "--device", "cpu"]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "TMPDIR": str(tmp_path / "temporary")}
        )
    yield f"http://127.0.0.1:{port}", process
    process.kill()
    process.wait()


def asked(url, method="GET", body=None):
    """Return status and content of an answer; None while nothing listens."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
    except URLError:
        return None


def until(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)
    return found


def test_from_nothing_to_one_answer_for_staff_and_platform(app, tmp_path):
    url, process = app
    put = {"features": {"text": TEXT}}
    until(lambda: asked(f"{url}/healthz"))
    assert asked(f"{url}/readyz")[0] == 503
    assert asked(f"{url}/v1/moderate/post/p1", "PUT", put)[0] == 503
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(url)
        said = re.compile(
            r"A small study is run first: 0 of 1 models are done\. Training now: text-tfidf\. \d+ seconds"
        )
        page.get_by_text(said).wait_for()
        page.locator("button:enabled", has_text="Check the post").wait_for()
        page.get_by_text("The models come from the study first, trained on the synthetic world alone").wait_for()
        page.get_by_label("Text", exact=True).first.fill(TEXT)
        page.get_by_role("button", name="Check the post").click()
        page.locator("#answer table").wait_for()
        shown = page.locator("#answer .score").all_inner_texts()
        verdict, versions = page.locator("#verdict h2").inner_text(), page.locator(".versions").inner_text()

        status, answer = asked(f"{url}/v1/moderate/post/p1", "PUT", put)
        assert status == 200
        assert answer["stored"] is False  # what staff tried was not recorded
        confidence = {one["label"]: one["confidence"] for one in answer["results"]}
        order = ("abuse", "nudity", "violence", "misinformation")
        assert [float(score) for score in shown] == pytest.approx([confidence[name] for name in order], abs=0.005)
        assert verdict.split()[0].lower() == answer["decision"]["action"]
        assert answer["model"] in versions
        assert answer["policy"] in versions
        assert len(list((tmp_path / "temporary").iterdir())) == 1

        process.send_signal(signal.SIGTERM)  # with the page still open
        assert process.wait(60) == 0
    assert list((tmp_path / "temporary").iterdir()) == []
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "WARNING" not in log
