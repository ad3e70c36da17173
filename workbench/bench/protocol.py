"""`workbench bench protocol`: bytes and seconds of a request to each service, and what PUT spares that POST would not.

Every service of a serving file is asked for real posts, one at a time, through the whole API but the network. The rate
that the file expects times the seconds of one request is how many are under way at once (Little's law).

PUT names the post, so a repeat is known as one. POST would have the server name it: here every request gets an id of
its own, which is what a server does that cannot tell a repeat from a new post. Both ways send the same bodies to the
same service, each with records of its own.

Sources: J. D. C. Little 1961, A proof for the queuing formula L = λW; RFC 9110, section 9.2.2 (idempotent methods).
Open doubt: the client is in the same process, so its seconds are among those measured.
"""

from __future__ import annotations

import base64
import csv
import json
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from workbench.bench import console, machine, write
from workbench.errors import WorkbenchError, unknown
from workbench.schema import ROOT, Options
from workbench.serving.api.samples import CLIP, EXAMPLES
from workbench.serving.config import DEFAULT, SERVICES, ServingConfig, needs

if TYPE_CHECKING:
    from rich.table import Table
    from starlette.testclient import TestClient

PICTURES, CLIPS = (".jpg", ".jpeg", ".png", ".webp"), (".mp4", ".mkv", ".webm")
LONG = 40  # characters from which a text counts as one that can be copied; shorter ones say little of size


class ProtocolBench(Options):
    """What `bench protocol` measures; the defaults take about a minute on one core."""

    config: Path = Field(DEFAULT, description="The serving file.")
    services: tuple[str, ...] = Field((), description="Services to measure; none named: all of the file.")
    posts: int = Field(60, ge=1, description="Posts of each measurement.")
    sends: int = Field(4, ge=2, description="How often a client that hears nothing sends each post.")


def protocol(options: ProtocolBench | None = None, out: Path | None = None) -> dict[str, Any]:
    """Measure, print two tables, write both to `out` as JSON, and return them; raises WorkbenchError for no bundle."""
    options = options or ProtocolBench()
    config = ServingConfig.load(options.config)
    for name in options.services:
        if name not in config.services:
            raise WorkbenchError(unknown(f"service of {options.config}", name, config.services))
    kept = {name: one for name, one in config.services.items() if name in (options.services or SERVICES)}
    config = config.model_copy(update={"services": kept})
    contents = real_contents()
    sizes = [_sizes(config, name, contents, options.posts) for name in kept]
    texts = list(islice(cycle(contents["text"]), options.posts))
    told = [] if "text" not in kept else _repeated(config, texts, options.sends)
    result = {"machine": machine(), "options": options.model_dump(mode="json"), "sizes": sizes, "repeats": told}
    console().print(_size_table(sizes))
    if told:
        console().print(_repeat_table(told))
    return write(result, out)


def real_contents() -> dict[str, list[Any]]:
    """Return texts, and pictures and clips as bytes: of $WORKBENCH_DATA where it is set, else the samples that ship."""
    folder = os.environ.get("WORKBENCH_DATA")
    if not folder:
        lines = (ROOT / "data" / "sample" / "posts.jsonl").read_text(encoding="utf-8").splitlines()
        texts = [text for text in (json.loads(line).get("text") for line in lines) if text and len(text) >= LONG]
        return {"text": texts, "image": _files(ROOT / "data" / "sample", PICTURES), "video": [base64.b64decode(CLIP)]}
    root = Path(folder)
    with open(root / "edos" / "edos_train_dev.csv", encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in islice(csv.DictReader(file), 2000) if len(row["text"]) >= LONG]
    pictures = [*_files(root / "photos", PICTURES), *_files(root / "harmeme", PICTURES)]
    return {"text": texts, "image": pictures, "video": _files(root / "video", CLIPS)}


def _files(folder: Path, endings: tuple[str, ...]) -> list[bytes]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings)
    return [path.read_bytes() for path in found[:200]]


@contextmanager
def _client(config: ServingConfig) -> Iterator[TestClient]:
    """Yield a client of the API on an engine with empty records, of all services loaded."""
    from starlette.testclient import TestClient

    from workbench.records import Records
    from workbench.serving.api.app import create_app
    from workbench.serving.engine import Engine

    with tempfile.TemporaryDirectory(prefix="protocol-") as place, Records(Path(place)) as records:
        engine = Engine(config, records, device="cpu")
        try:
            engine.load()
            with TestClient(create_app(engine)) as client:
                yield client
        finally:
            engine.close()


def features(service: str, row: int, contents: dict[str, list[Any]]) -> dict[str, Any]:
    """Return what a post of a service brings: what it needs, or a text and a picture, and the example's rest."""
    wanted = needs(service) if len(needs(service)) == 1 else tuple(EXAMPLES[service])
    made = {name: value for name, value in EXAMPLES[service].items() if name not in contents}
    for name in (name for name in contents if name in wanted):
        content = contents[name][row % len(contents[name])]
        made[name] = content if name == "text" else base64.b64encode(content).decode()
    if "author" in made:
        made["author"] = {**made["author"], "id": f"a-{row}"}
    return made


def _sizes(config: ServingConfig, service: str, contents: dict[str, list[Any]], posts: int) -> dict[str, Any]:
    """Return medians over posts of one service: bytes of request and answer, seconds, and how many are under way.

    No content is sent twice, since a second time its vectors come from memory; so there may be fewer posts.
    """
    requests, raw, answers, seconds, reading = [], [], [], [], []
    bodies = [features(service, row, contents) for row in range(posts + 1)]
    bodies = list({json.dumps({name: given.get(name) for name in contents}): given for given in bodies}.values())
    with _client(_alone(config, service)) as client:
        for row, given in enumerate(bodies):
            body = json.dumps({"features": given}).encode()
            began = time.perf_counter()
            answer = _put(client, service, f"p{row}", body)
            took = time.perf_counter() - began
            if row == 0 and len(bodies) > 1:  # it also opens what is opened once
                continue
            media = sum(len(given.get(name, "")) for name in ("image", "video"))
            requests.append(len(body))
            raw.append(len(body) - media + media * 3 // 4)
            answers.append(len(answer.content))
            seconds.append(took)
            reading.append(_reading(body, service))
    rate, half = config.services[service].expected_per_second, statistics.median(seconds)
    return {
        "service": service,
        "posts": len(seconds),
        "request": statistics.median(requests),
        "raw": statistics.median(raw),
        "largest": max(requests),
        "answer": statistics.median(answers),
        "seconds": half,
        "reading": statistics.median(reading),
        "per_second": rate,
        "concurrent": rate * half,
    }


def _reading(body: bytes, service: str) -> float:
    """Return the seconds from a body to its post: JSON, its checks and base64."""
    from workbench.serving.api.payloads import Put, checked, to_post
    from workbench.serving.api.strict_json import parse

    began = time.perf_counter()
    to_post("p", checked(Put, parse(body)), needs(service), lambda *_: None)
    return time.perf_counter() - began


def _alone(config: ServingConfig, service: str) -> ServingConfig:
    """Return a configuration of one service, which looks at every post as if each had a signal."""
    asked = config.services[service].model_copy(update={"mode": "proactive"})
    return config.model_copy(update={"services": {service: asked}})


def _put(client: TestClient, service: str, post_id: str, body: bytes) -> Any:
    answer = client.put(f"/v1/moderate/{service}/{post_id}", content=body, headers={"content-type": "application/json"})
    if answer.status_code not in (200, 429):
        raise WorkbenchError(f"service {service!r} answered {answer.status_code}: {answer.text[:200]}")
    return answer


def _repeated(config: ServingConfig, texts: list[str], sends: int) -> list[dict[str, Any]]:
    """Return what the service `text` does with posts that are sent several times, named by the client or by the server.

    retries: of as many authors as posts; flood: all of one author, by whose limit posts are refused.
    """
    rows = []
    for case in ("retries", "flood"):
        for method in ("PUT", "POST"):
            with _client(_alone(config, "text")) as client:
                row = {"case": case, "method": method, "sent": 0, "scored": 0, "repeated": 0, "refused": 0}
                answered, began = set(), time.perf_counter()
                for number, text in enumerate(texts):
                    author = {"id": "one" if case == "flood" else f"a-{number}"}
                    body = json.dumps({"features": {"text": f"{text} {number}", "author": author}}).encode()
                    for _ in range(sends):
                        post_id = f"p{number}" if method == "PUT" else uuid.uuid4().hex
                        answer = _put(client, "text", post_id, body)
                        row["sent"] += 1
                        kind = "refused" if answer.status_code == 429 else _kind(answer)
                        row[kind] += 1
                        if kind != "refused":
                            answered.add(number)
                row |= {"posts": len(texts), "answered": len(answered), "seconds": time.perf_counter() - began}
                rows.append(row)
    return rows


def _kind(answer: Any) -> str:
    return "repeated" if answer.json()["stored"] else "scored"


def _size_table(rows: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(title="A request to each service: medians, bytes; under way = rate times seconds")
    for head in ("service", "posts", "request", "raw", "largest", "answer", "ms", "JSON ms", "a second", "under way"):
        table.add_column(head, justify="left" if head == "service" else "right")
    for row in rows:
        sizes = [f"{row[name]:,.0f}" for name in ("posts", "request", "raw", "largest", "answer")]
        times = [f"{1000 * row['seconds']:.1f}", f"{1000 * row['reading']:.2f}"]
        table.add_row(row["service"], *sizes, *times, f"{row['per_second']:g}", f"{row['concurrent']:.1f}")
    return table


def _repeat_table(rows: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(title="The same posts sent again and again to the service text")
    heads = ("case", "method", "posts", "sent", "scored", "repeated", "refused", "answered", "seconds")
    for head in heads:
        table.add_column(head, justify="left" if head in heads[:2] else "right")
    for row in rows:
        table.add_row(*(f"{row[head]:.2f}" if head == "seconds" else str(row[head]) for head in heads))
    return table
