"""The process that decodes clips: it reads requests from its standard input, a socket, and answers there.

It runs with the standard library and PyAV alone, and what a hostile file does to the decoder stays in here: the limits
on memory, time and files are the process's own. `take` and `give` are also the other end's side of the talk.
"""

from __future__ import annotations

import json
import resource
import signal
import socket
import struct
import time
from contextlib import suppress
from typing import Any

from workbench.preprocessing.video import decoder

_HEAD = struct.Struct("<IQ")  # the lengths of a message's header, which is JSON, and of its content
MAX_HEADER = 2**20


def take(link: socket.socket, most: int, deadline: float | None = None) -> tuple[dict[str, Any], bytearray] | None:
    """Receive one message, its header and its content of at most so many bytes; None where the other end is gone.

    Raises TimeoutError after the deadline (of time.monotonic), and ValueError for what is no message.
    """
    head = _receive(link, _HEAD.size, deadline)
    if head is None:
        return None
    lengths = _HEAD.unpack(head)
    if lengths[0] > MAX_HEADER or lengths[1] > most:
        raise ValueError("the message is too long")
    header = _receive(link, lengths[0], deadline)
    content = _receive(link, lengths[1], deadline)
    return None if header is None or content is None else (json.loads(header), content)


def _receive(link: socket.socket, length: int, deadline: float | None) -> bytearray | None:
    content = bytearray(length)
    rest = memoryview(content)
    while rest.nbytes:
        if deadline is not None:
            link.settimeout(max(1e-3, deadline - time.monotonic()))
        count = link.recv_into(rest)
        if not count:
            return None
        rest = rest[count:]
    return content


def give(link: socket.socket, header: dict[str, Any], contents: list[bytes]) -> None:
    packed = json.dumps(header).encode()
    link.sendall(_HEAD.pack(len(packed), sum(map(len, contents))) + packed)
    for content in contents:
        link.sendall(content)


# ---------------------------------------------------------------------------------------------------------- the process


def _limit(kind: int, value: float) -> None:
    """Set a limit of this process, where the system has it; the hard limit stays, so that it can be set again."""
    hard = resource.getrlimit(kind)[1]
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard), hard))


def _answer(limits: dict[str, Any], data: bytearray) -> tuple[dict[str, Any], list[bytes]]:
    """Read one clip within its limits; the timer and the limit on time end the process, whatever it is doing."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, used.ru_utime + used.ru_stime + limits["threads"] * (limits["seconds"] + 1) + 1)
    signal.setitimer(signal.ITIMER_REAL, limits["seconds"] + 1)
    _limit(resource.RLIMIT_AS, limits["memory_mb"] * 2**20)
    try:
        return decoder.read(data, limits)
    except decoder.Unread as unread:
        return {"reason": str(unread)}, []
    except MemoryError:
        return {"memory": True}, []
    except Exception:  # a parser of hostile bytes raises anything
        return {"reason": decoder.DAMAGED}, []
    finally:
        _limit(resource.RLIMIT_AS, resource.getrlimit(resource.RLIMIT_AS)[1])
        signal.setitimer(signal.ITIMER_REAL, 0)


def main() -> None:
    import av  # noqa: F401, loaded before any limit is set

    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        _limit(kind, 0)
    link = socket.socket(fileno=0)
    give(link, {"ready": True}, [])
    with suppress(OSError):  # the other end is gone
        while (asked := take(link, 2**40)) is not None:
            give(link, *_answer(*asked))
