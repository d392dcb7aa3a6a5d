"""HTTP/1.1 as the server speaks it: one request a connection, its size bounded, no input or output here.

Source: RFC 9112; what is parsed, is parsed by h11.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import h11

from multinet.cni.errors import CNIError
from multinet.daemon.exchange import Task

BODY_LIMIT = 8 << 20
"""Bytes of a request's body: 4 MiB of configuration as base64, and the environment."""
_HEAD_LIMIT = 64 << 10


class HttpRequest(NamedTuple):
    """A whole request."""

    method: str
    path: str
    """Without query."""
    body: bytes
    accept: str = ""
    """Header Accept: which forms of an answer the caller takes."""


class HttpReply(NamedTuple):
    """What goes back; the connection ends with it."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"


class Pending(NamedTuple):
    """A request that a worker has to serve."""

    verb: str
    run: Callable[[Callable[[], bool], int], HttpReply]
    """(has the caller hung up, connection descriptor) → reply; it never raises."""
    refuse: Callable[[CNIError], HttpReply]


Route = Callable[[HttpRequest], HttpReply | Pending]
"""What is done about a request: a reply at once, or work. It never raises."""


class HttpExchange:
    """One request in, one reply out."""

    def __init__(self, route: Route, body_limit: int = BODY_LIMIT) -> None:
        """``body_limit``: bytes of a request's body, at most."""
        self._route = route
        self._body_limit = body_limit
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_LIMIT)
        self._head: h11.Request | None = None
        self._body = bytearray()

    def feed(self, data: bytes) -> Task | bytes | None:
        """See ``Exchange``."""
        try:
            self._connection.receive_data(data)
            while True:
                event = self._connection.next_event()
                if event is h11.NEED_DATA:
                    return None
                if isinstance(event, h11.Request):
                    self._head = event
                    if _announced(event) > self._body_limit:
                        return self._too_large()
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > self._body_limit:
                        return self._too_large()
                else:  # the end of the message: nothing else comes before it
                    return self._routed()
        except h11.RemoteProtocolError as error:
            return self._encoded(HttpReply(error.error_status_hint, f"{error}\n".encode()))

    def _routed(self) -> Task | bytes:
        assert self._head is not None
        path = self._head.target.split(b"?", 1)[0].decode("ascii", "replace")
        accept = b",".join(value for name, value in self._head.headers if name == b"accept")
        method = self._head.method.decode()
        outcome = self._route(HttpRequest(method, path, bytes(self._body), accept.decode("latin-1")))
        if isinstance(outcome, HttpReply):
            return self._encoded(outcome)
        pending = outcome

        def run(netns_fd: int | None, hung_up: Callable[[], bool], connection_fd: int) -> bytes:
            if netns_fd is not None:
                os.close(netns_fd)  # HTTP has no use for descriptors
            return self._encoded(pending.run(hung_up, connection_fd))

        return Task(pending.verb, False, run, lambda error: self._encoded(pending.refuse(error)))

    def _too_large(self) -> bytes:
        return self._encoded(HttpReply(413, f"the body has more than {self._body_limit} bytes\n".encode()))

    def _encoded(self, reply: HttpReply) -> bytes:
        """The reply as bytes; it is the last thing on the connection (Multus keeps none alive)."""
        headers = [("Content-Length", str(len(reply.body))), ("Connection", "close")]
        if reply.body:
            headers.append(("Content-Type", reply.content_type))
        if self._connection.our_state is not h11.SEND_RESPONSE and self._connection.our_state is not h11.IDLE:
            return b""  # the head was so broken that no reply can be expected
        is_head = self._head is not None and self._head.method == b"HEAD"
        parts = [
            self._connection.send(h11.Response(status_code=reply.status, headers=headers)),
            b"" if is_head else self._connection.send(h11.Data(data=reply.body)),
        ]
        return b"".join(part or b"" for part in parts)


def _announced(head: h11.Request) -> int:
    """Bytes of the body as the head has them; 0 when it doesn't say. h11 has checked that it is a number."""
    return next((int(value) for name, value in head.headers if name == b"content-length"), 0)
