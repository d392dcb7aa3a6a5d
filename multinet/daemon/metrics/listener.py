"""``GET /metrics`` over plain HTTP, and nothing else, in one thread: few connections at a time, none for long.

Whoever reaches the port may ask; so nothing that is asked there costs more than a scrape, in memory or in time.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
import time
from contextlib import suppress
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from multinet.cni.errors import CNIError, Code
from multinet.core.listening import listening_address
from multinet.daemon.connection import send
from multinet.daemon.http_exchange import HttpExchange, HttpReply, HttpRequest

__all__ = ["MetricsListener"]

_log = logging.getLogger(__name__)
_MOST = 16
"""Connections at a time; further ones wait in the kernel."""
_LIMIT = 5.0
"""Seconds in which a request has to be whole."""
_SEND_LIMIT = 2.0
"""Seconds in which the answer has to be taken: it mostly fits into the kernel's buffer."""
_CHUNK = 1 << 14
_BREATH = 0.05


class _Peer(NamedTuple):
    exchange: HttpExchange
    since: float


class MetricsListener:
    """Answers with what a registry has."""

    def __init__(self, where: str, registry: CollectorRegistry) -> None:
        """``where``: see ``listening_address``. Raises CNIError code 5 when it can't listen there."""
        self._registry = registry
        address, port = listening_address(where)
        try:
            self._socket = _listen(address, port)
        except OSError as error:
            text = os.strerror(error.errno).lower() if error.errno else str(error)
            raise CNIError(Code.IO_FAILURE, f"--metrics {where}: cannot listen there: {text}") from None
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._stopping = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Begin to answer; returns at once."""
        self._thread.start()
        _log.info("metrics on port %d", self.port)

    def stop(self, timeout: float = 10.0) -> None:
        """End, and give the port back."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._socket.close()
        os.close(self._wake)

    def reply(self, request: HttpRequest) -> HttpReply:
        """The answer to one request."""
        if request.path != "/metrics":
            return HttpReply(404, b"404 page not found: metrics are at /metrics\n")
        if request.method != "GET":
            return HttpReply(405, b"Method not allowed\n")
        try:
            encode, content_type = choose_encoder(request.accept)
            return HttpReply(200, encode(self._registry), content_type)
        except Exception:  # a fault of ours must not end the answering unseen
            _log.exception("metrics")
            return HttpReply(500, b"internal fault, see the log\n")

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            selector.register(self._socket, selectors.EVENT_READ)
            peers: dict[socket.socket, _Peer] = {}
            while not self._stopping:
                for key, _ in selector.select(_LIMIT if not peers else 1.0):
                    if key.fileobj is self._socket:
                        self._admit(selector, peers)
                    elif isinstance(key.fileobj, socket.socket):
                        self._read(key.fileobj, selector, peers)
                for one in [one for one, peer in peers.items() if peer.since < time.monotonic() - _LIMIT]:
                    self._drop(one, selector, peers)
            for one in list(peers):
                self._drop(one, selector, peers)

    def _admit(self, selector: selectors.BaseSelector, peers: dict[socket.socket, _Peer]) -> None:
        if len(peers) >= _MOST:
            # The oldest makes room: who only keeps connections open keeps nobody else out.
            self._drop(next(iter(peers)), selector, peers)
        try:
            connection, _ = self._socket.accept()
        except OSError as error:  # the peer is gone, or we are out of descriptors
            _log.debug("metrics: accept: %s", error)
            time.sleep(_BREATH)
            return
        connection.setblocking(False)
        peers[connection] = _Peer(HttpExchange(self.reply, body_limit=0), time.monotonic())
        selector.register(connection, selectors.EVENT_READ)

    def _read(
        self, one: socket.socket, selector: selectors.BaseSelector, peers: dict[socket.socket, _Peer]
    ) -> None:
        if one not in peers:  # it made room for another in this very round
            return
        try:
            data = one.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        answer = peers[one].exchange.feed(data) if data else b""
        if answer is None:
            return
        if isinstance(answer, bytes) and answer:
            send(one, answer, _SEND_LIMIT)
        self._drop(one, selector, peers)

    def _drop(
        self, one: socket.socket, selector: selectors.BaseSelector, peers: dict[socket.socket, _Peer]
    ) -> None:
        del peers[one]
        selector.unregister(one)
        with suppress(OSError):
            one.shutdown(socket.SHUT_WR)
        one.close()


def _listen(address: str, port: int) -> socket.socket:
    """The listening socket; without an address one for all of both families, where the kernel has both."""
    if address:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return socket.create_server((address, port), family=family)
    if socket.has_dualstack_ipv6():
        with suppress(OSError):  # IPv6 is compiled in and switched off
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))
