"""The socket that a server listens on, so that a taken port is told before anything else is begun."""

from __future__ import annotations

import socket

from workbench.errors import WorkbenchError

BACKLOG = 2048  # connections that wait to be taken up, as many as uvicorn lets wait


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address and a port (0: any free one), or raise WorkbenchError.

    Whoever connects before the server runs waits for it instead of being refused.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # with the protocol named, or asyncio leaves Nagle's algorithm on and every answer waits 40 ms for an ACK
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WorkbenchError(f"cannot listen on {host}, port {port}: {reason}; choose another with --port") from None
    return listening
