"""The server as a process: it starts, is killed at any moment, is told to stop, and loses nothing it has answered."""

from __future__ import annotations

import contextlib
import json
import random
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from stand_in import policy_of, until

from workbench.records import Records

RUN = (
    "from workbench.serving.api.app import serve; import sys; serve('127.0.0.1', int(sys.argv[2]), sys.argv[1], 'cpu')"
)


IN_TIME = 60  # seconds; 10 on a machine that has nothing else to do


def read_all(port):
    """Say whether the server has read what was sent to it: nothing waits in a socket of its port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return not any(int(row[1].split(":")[1], 16) == port and int(row[4].split(":")[1], 16) for row in rows)


def refused(address):
    """Say whether nobody listens there any more; who connects while the socket closes is reset instead of refused."""
    with contextlib.suppress(ConnectionError), socket.create_connection((address.hostname, address.port), 10):
        return False
    return True


def command(config, port=0):
    """Return what starts a server."""
    return [sys.executable, "-c", RUN, str(config), str(port)]


class Process:
    """`serve` in a process of its own."""

    def __init__(self, config, log):
        self.log = log
        with open(log, "ab") as out:
            self.popen = subprocess.Popen(command(config), stdout=out, stderr=out)
        until(lambda: self._said() or self.popen.poll() is not None, 240)
        assert self._said(), log.read_text()
        self.url = self._said()[-1]

    def _said(self):
        return re.findall(r"API: (http://[\d.:]+)/", self.log.read_text()) if self.log.exists() else []

    def ready(self):
        def up():
            assert self.popen.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"{self.url}/readyz", timeout=60).status_code == 200
            return False

        until(up, 240)
        return self

    def kill(self):
        self.popen.kill()
        self.popen.wait(20)


@pytest.fixture
def place(tmp_path, bundle):
    """A folder with a configuration of one service on a real bundle."""
    text = {"bundle": str(bundle("text-tfidf")), "policy": str(tmp_path / "policy.yaml")}
    config = {"services": {"text": text}, "records": str(tmp_path / "records")}
    policy_of(review=0.05, remove=0.5).dump(tmp_path / "policy.yaml")
    (tmp_path / "serving.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


@pytest.fixture
def start(place):
    """The function that starts the server, which is killed in the end."""
    started = []

    def begin():
        started.append(Process(place / "serving.yaml", place / f"server-{len(started)}.log"))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


def put(client, url, post_id):
    body = {"features": {"text": f"you are a word of post {post_id}"}}
    answer = client.put(f"{url}/v1/moderate/text/{post_id}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_killed_server_loses_no_decision_that_it_gave(start, place):
    given, lost, chance, rounds = {}, [], random.Random(2), 3
    for number in range(rounds):
        server = start().ready()
        with httpx.Client(timeout=60) as client:
            for post_id, decision in given.items():  # everything of the rounds before
                found = client.get(f"{server.url}/v1/moderate/text/{post_id}")
                if found.status_code != 200 or found.json()["decision"] != decision:
                    lost.append(post_id)
            for post_id in list(given)[-3:]:
                assert put(client, server.url, post_id)["stored"]
        some = len(given) + chance.randint(1, 60)

        def kill(some=some, server=server):
            until(lambda: len(given) >= some, 240)
            time.sleep(chance.uniform(0, 0.02))
            server.popen.kill()

        def burst(worker, number=number, server=server):
            with httpx.Client(timeout=60) as client, contextlib.suppress(httpx.HTTPError):
                for count in range(10_000):
                    post_id = f"r{number}-{worker}-{count}"
                    given[post_id] = put(client, server.url, post_id)["decision"]

        with ThreadPoolExecutor(9) as pool:
            killed = pool.submit(kill)
            list(pool.map(burst, range(8)))
            killed.result()
        server.popen.wait(20)
    with Records(place / "records") as records:
        kept = {entry.post_id: entry.decision for entry in records.entries()}
    assert lost == []
    assert [post_id for post_id, decision in given.items() if kept[post_id] != decision] == []


def test_sigterm_lets_what_is_under_way_end(start, place):
    server = start().ready()
    address = urlsplit(server.url)
    body = json.dumps({"features": {"text": "half of this comes after the signal"}}).encode()
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        head = f"PUT /v1/moderate/text/p1 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body[:10])
        until(lambda: read_all(address.port))
        server.popen.send_signal(signal.SIGTERM)
        began = time.monotonic()
        until(lambda: refused(address))  # no new ones
        connection.sendall(body[10:])
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200")
    assert server.popen.wait(IN_TIME) == 0
    assert time.monotonic() - began < IN_TIME
    with Records(place / "records") as records:
        assert records.latest("text", "p1") is not None


def test_sigterm_ends_it_in_time_whoever_holds_on(start):
    """A connection that never finishes its request cannot keep the server."""
    server = start().ready()
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(b"PUT /v1/moderate/text/p1 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n")
        connection.sendall(b"Content-Type: application/json\r\n\r\n{")
        until(lambda: read_all(address.port))
        server.popen.send_signal(signal.SIGTERM)
        assert server.popen.wait(IN_TIME) == 0


def test_a_policy_edited_while_it_was_down_is_applied_to_stored_scores(start, place):
    server = start().ready()
    first = put(httpx, server.url, "p1")
    server.kill()
    policy_of(review=None, remove=None).dump(place / "policy.yaml")
    server = start().ready()
    assert httpx.get(f"{server.url}/v1/moderate/text/p1").json()["decision"] == first["decision"]
    second = put(httpx, server.url, "p1")
    assert second["stored"]
    assert second["results"] == first["results"]
    assert second["policy"] != first["policy"]
    assert second["decision"]["action"] == "review"  # a policy without a threshold allows nothing


def test_it_answers_before_it_is_ready(start):
    server = start()
    assert httpx.get(f"{server.url}/healthz", timeout=30).status_code == 200
    early = httpx.put(f"{server.url}/v1/moderate/text/p1", json={"features": {"text": "x"}}, timeout=30)
    assert early.status_code in (200, 503)
    server.ready()
    assert put(httpx, server.url, "p1")["decision"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda place: (place / "serving.yaml").write_text("services: {txt: {}}"), "serving file"),
        (lambda place: (place / "policy.yaml").unlink(), "cannot read"),
        (lambda place: (place / "policy.yaml").write_text("name: x"), "policy"),
    ],
    ids=["config", "no-policy", "policy"],
)
def test_what_cannot_be_served_is_one_sentence(place, spoil, said):
    spoil(place)
    started = command(place / "serving.yaml")
    run = subprocess.run(started, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode != 0
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("workbench.errors.WorkbenchError: ")
    assert said in last


def test_a_taken_port_is_said(place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        started = command(place / "serving.yaml", port)
        run = subprocess.run(started, capture_output=True, text=True, timeout=300, check=False)
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use" in run.stderr
