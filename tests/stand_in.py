"""A stand-in for a moderator that counts its calls, configurations and servers on it; for tests of serving."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from datetime import date
from types import SimpleNamespace

import uvicorn

from workbench.decisions.moderator import Moderator
from workbench.decisions.policy import Assessment, LabelRule, Policy
from workbench.preprocessing.image import decoding
from workbench.schema import MODALITIES, Taxonomy
from workbench.serving.config import SERVICES, ServingConfig

LABELS = ("abuse", "nudity", "violence", "misinformation")


def policy_of(review=0.5, remove=0.9, labels=LABELS, **more):
    rules = {label: LabelRule(review_at=review, remove_at=remove) for label in labels}
    return Policy(name="house", date=date(2026, 1, 1), labels=rules, **more)


class StandIn:
    """Scores 0.95 for `abuse` where the text says "harm", else 0.05; reads pictures with the real decoder."""

    def __init__(self, modalities=("text", "image"), labels=LABELS):
        about = {"modalities": modalities, "name": "stand-in", "opens": modalities}
        self.classifier = SimpleNamespace(**about, options=SimpleNamespace(encoder="tiny?frames=4"), parts=list)
        self.labels, self.modalities, self.model_id = labels, modalities, "stand-in-000000000000"
        self.taxonomy, self.policy = Taxonomy.load(), policy_of(labels=labels)
        self.reads = ("text", "image", "video")
        self.calls: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.seconds = 0.0

    able = Moderator.able
    detector = None

    def assess(self, posts):
        self.calls.append(len(posts))
        assert self.gate.wait(30)
        time.sleep(self.seconds)
        return [self._one(post) for post in posts]

    def _one(self, post):
        if post.text and "poison" in post.text:
            raise RuntimeError("the model broke")
        unread, read = {}, bool(post.text) and "text" in self.modalities
        if post.image is not None and "image" in self.modalities:
            picture = decoding.decode(post.image.bytes)
            read = read or picture.reason is None
            unread = {"image": picture.reason} if picture.reason else {}
        there = {"text": bool(post.text), "image": post.image is not None, "video": post.video is not None}
        score = 0.95 if post.text and "harm" in post.text else 0.05
        return Assessment(
            post_id=post.post_id,
            scores={label: score if label == "abuse" else 0.05 for label in self.labels} if read else {},
            missing=() if read else self.labels,
            unread=unread,
            unseen=tuple(name for name in MODALITIES if there[name] and name not in self.modalities),
            reports=post.engagement.reports if post.engagement else None,
            **{name: getattr(post, name) for name in ("community", "language", "region", "created_at")},
        )

    @property
    def scored(self):
        return sum(self.calls)


def until(holds: Callable[[], object], seconds: float = 120) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.001)


def configured(folder, changes=None, services=SERVICES, **top):
    """Return a configuration of all services whose one bundle is an empty folder, for a stand-in."""
    (folder / "bundle" / "0").mkdir(parents=True, exist_ok=True)
    base = {"bundle": folder / "bundle" / "0"}
    entries = {name: base | (changes or {}).get(name, {}) for name in services}
    return ServingConfig.parse(
        {"services": entries, "records": folder / "records", "features": folder / "features", **top}, "serving"
    )


class Server:
    """An application behind real HTTP, on a free port of this machine."""

    def __init__(self, app):
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_keep_alive=30))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        end = time.monotonic() + 120
        while not self._server.started and time.monotonic() < end:
            time.sleep(0.01)

    def stop(self):
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()
