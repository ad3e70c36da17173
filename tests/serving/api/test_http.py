"""The API behind real HTTP: a hundred at once, bodies without a length or without an end, connections that go away."""

from __future__ import annotations

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
from stand_in import until

BODY = json.dumps({"features": {"text": "harm"}}).encode()
JSON = {"content-type": "application/json"}


def raw(server, data, wait=60.0):
    """Send bytes over a connection of its own and return all that comes back until it ends or nothing more comes."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=wait) as connection:
        connection.settimeout(wait)
        for part in data if isinstance(data, list | tuple) or hasattr(data, "__next__") else [data]:
            connection.sendall(part)
        found = b""
        while not (b"\r\n\r\n" in found and len(found.partition(b"\r\n\r\n")[2]) >= _length(found)):
            piece = connection.recv(65536)
            if not piece:
                break
            found += piece
        return found


def _length(answer):
    found = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
    return int(found[1]) if found else 0


def head(path="/v1/moderate/text/p1", **headers):
    lines = {"Host": "here", "Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return f"PUT {path} HTTP/1.1\r\n{''.join(f'{k}: {v}{chr(13)}{chr(10)}' for k, v in lines.items())}\r\n".encode()


def counted(server, name):
    text = httpx.get(f"{server.url}/metrics").text
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


def test_a_hundred_identical_puts_at_once_run_the_model_once(engine, serve, stand_in):
    server = serve(engine)
    stand_in.gate.clear()
    url, limits = f"{server.url}/v1/moderate/text/p1", httpx.Limits(max_connections=100)
    with httpx.Client(limits=limits, timeout=120) as client, ThreadPoolExecutor(100) as pool:
        asked = [pool.submit(client.put, url, content=BODY, headers=JSON) for _ in range(100)]
        until(lambda: counted(server, "workbench_shared_answers_total") >= 99)  # all of them are waiting
        stand_in.gate.set()
        answers = [one.result(30) for one in asked]
    assert {answer.status_code for answer in answers} == {200}
    assert len({json.dumps(answer.json()["decision"]) for answer in answers}) == 1
    assert counted(server, "workbench_scored_posts_total") == 1
    assert stand_in.calls == [1]


def test_many_different_puts_at_once_are_all_answered(engine, serve, stand_in):
    server = serve(engine)

    def send(number):
        body = json.dumps({"features": {"text": f"harm {number}"}})
        return client.put(f"{server.url}/v1/moderate/text/p{number}", content=body, headers=JSON)

    with httpx.Client(timeout=120) as client, ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(send, range(300)))
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.json()["post_id"] for answer in answers] == [f"p{number}" for number in range(300)]
    assert stand_in.scored == 300
    assert len(stand_in.calls) < 300  # some were scored together


def test_a_body_without_a_length_is_counted_as_it_comes(make_engine, serve):
    server = serve(make_engine({"text": {"limits": {"body_mb": 0.1}}}))

    def endless():
        yield head(Transfer_Encoding="chunked")
        for _ in range(200):
            yield b"10000\r\n" + b" " * 0x10000 + b"\r\n"  # 13 MB in all, 130 times what is taken
        yield b"0\r\n\r\n"

    answer = raw(server, endless())
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"is larger than the 104,857 bytes" in answer
    whole = [head(Transfer_Encoding="chunked"), *(b"%x\r\n%b\r\n" % (1, bytes([c])) for c in BODY), b"0\r\n\r\n"]
    assert raw(server, whole).startswith(b"HTTP/1.1 200")


def test_a_large_body_with_a_length_gets_to_read_why(make_engine, serve):
    server = serve(make_engine({"text": {"limits": {"body_mb": 0.1}}}))
    answer = httpx.put(f"{server.url}/v1/moderate/text/p1", content=b" " * 5_000_000, headers=JSON)
    assert answer.status_code == 413


def test_a_body_that_never_ends_is_given_up(make_engine, serve):
    server = serve(make_engine({"text": {"limits": {"seconds": 0.5}}}))
    began = time.monotonic()
    answer = raw(server, [head(Content_Length=str(len(BODY))), BODY[:5]])
    assert answer.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < 30


def test_a_client_that_goes_away_takes_nothing_with_it(engine, serve, stand_in):
    server = serve(engine)
    stand_in.gate.clear()
    address = urlsplit(server.url)
    for part in (head(Content_Length="1000") + b"{", head(Content_Length=str(len(BODY))) + BODY):
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(part)
            if part.endswith(BODY):
                until(lambda: stand_in.calls)
    stand_in.gate.set()
    until(lambda: httpx.get(f"{server.url}/v1/moderate/text/p1").status_code == 200)  # scored and recorded all the same
    assert stand_in.calls == [1]


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the start of TLS
        b"PUT /v1/moderate/text/" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"PUT /v1/moderate/text/p1 HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"PUT /v1/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PUT /v1/moderate/text/p1 HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
    ],
    ids=["tls", "long-path", "negative-length", "two-lengths", "many-headers"],
)
def test_what_is_no_http_ends_the_connection_and_not_the_server(engine, serve, data):
    server = serve(engine)
    try:
        answer = raw(server, data, wait=3)
    except OSError:
        answer = b""
    assert not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5"))
    assert httpx.get(f"{server.url}/healthz").status_code == 200
