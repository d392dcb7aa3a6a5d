"""HTTPS for a webhook: bounded in what it reads, how long it waits and how much it does at once."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from multinet.cli.webhook.review import BadReview, Question, Verdict, answer, read_question

__all__ = ["Certificate", "WebhookServer"]

_LOG = logging.getLogger(__name__)
_BODY = 8 << 20
"""Bytes: a review holds an object twice, and an apiserver takes none beyond 3 MiB."""
_CONNECTIONS = 64
_PATIENCE = 10.0
"""Seconds that a peer may take for any step; an apiserver waits 10 for the whole."""

Judge = Callable[[Question], Verdict]


class Certificate:
    """A certificate and its key (PEM files), read again when they change; a pair that can't be used is passed over."""

    def __init__(self, certificate: str, key: str) -> None:
        """Raises OSError (ssl.SSLError is one) when the pair can't be used."""
        self._files = (certificate, key)
        self._seen = self._stamp()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """For the next connection."""
        try:
            seen = self._stamp()
            if seen != self._seen:
                self._context = self._load()
                self._seen = seen
                _LOG.info("the certificate in %s was read again", self._files[0])
        except OSError as error:  # half of it may be written yet: it is tried again at the next connection
            _LOG.warning(
                "the certificate in %s can't be used, the one before still is: %s", self._files[0], error
            )
        return self._context

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        stats = [os.stat(file) for file in self._files]  # through the symlinks that mounted Secrets are
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in stats)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*self._files)
        return context


class WebhookServer(ThreadingHTTPServer):
    """``POST`` of an AdmissionReview to each path of ``judges``; ``GET /healthz``."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, certificate: Certificate, judges: Mapping[str, Judge]) -> None:
        """Listens; ``port`` 0 is any. Raises OSError."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.judges = judges
        self.turn = threading.Lock()
        self._certificate = certificate
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        super().__init__((host, port), _Exchange)

    def server_bind(self) -> None:
        """Without looking up the name of the own address, which nobody needs and which may take long."""
        TCPServer.server_bind(self)

    def get_request(self) -> tuple[socket.socket, Any]:
        """A connection; its handshake is its thread's business."""
        plain, peer = super().get_request()
        plain.settimeout(_PATIENCE)
        context = self._certificate.context()
        return context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), peer

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, of which there are only so many: a peer that finds none is sent away."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """See process_request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Peers that speak no TLS, or leave: of no concern."""
        _LOG.debug("connection of %s", client_address, exc_info=True)


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "multinet", ""
    timeout = _PATIENCE
    server: WebhookServer

    def do_GET(self) -> None:
        """For probes."""
        found = self.path == "/healthz"
        self._reply(200 if found else 404, b"ok" if found else b"not found", "text/plain")

    def do_POST(self) -> None:
        """One review."""
        judge = self.server.judges.get(self.path.partition("?")[0])
        length = self.headers.get("Content-Length", "")
        if judge is None or not (length.isascii() and length.isdigit()) or int(length) > _BODY:
            self.close_connection = True  # the body is left where it is
            status = 404 if judge is None else 413 if length.isdigit() else 411
            self._reply(status, f"expected a review of at most {_BODY} bytes".encode(), "text/plain")
            return
        try:
            question = read_question(self.rfile.read(int(length)))
        except BadReview as error:
            self._reply(400, str(error).encode(), "text/plain")
            return
        # One after the other: a judgement takes milliseconds, and all of them are the interpreter's.
        with self.server.turn:
            verdict = judge(question) if question.object else Verdict()
        for text in verdict.errors:
            _LOG.info("denied: %s", text)
        self._reply(200, answer(question.uid, verdict), "application/json")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
        """An apiserver's own log has it."""
        _LOG.debug(format, *args)

    def _reply(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
