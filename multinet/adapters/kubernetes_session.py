"""Requests to the Kubernetes API: bounded, timed, counted, repeated where that helps."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

from multinet import __version__
from multinet.adapters.kubernetes_backoff import Backoff
from multinet.adapters.kubernetes_call import Call, Refused, Unreachable, refusal, transport_faults
from multinet.adapters.kubernetes_config import BadCredentials, Connection, KubernetesConfig, connect
from multinet.ports import ClusterUnavailable

__all__ = ["Session", "Stream"]

log = logging.getLogger(__name__)

_METHODS = {"get": "GET", "list": "GET", "watch": "GET", "patch": "PATCH", "update": "PUT", "create": "POST"}
_JSON = "application/json"
_CONTENT_TYPES = {"patch": "application/merge-patch+json", "update": _JSON, "create": _JSON}
_PIECE = 1 << 16


def _nothing() -> None:
    """There is nobody to tell."""


class Session:
    """The way to one apiserver. Safe for many threads; ``requests`` counts tries by verb and resource."""

    def __init__(self, config: KubernetesConfig) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self._config = config
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(config.connections)
        self._connection: Connection | None = None
        self._closing = threading.Event()
        self.unauthorized: Callable[[], None] = _nothing
        """Called when the apiserver doesn't know us, even by credentials that were just read."""

    def send(self, call: Call, timeout: float) -> bytes:
        """The answer's body, after one try (two after a 401, with credentials read afresh).

        Raises Refused, Unreachable. ``timeout`` in seconds.
        """
        deadline = time.monotonic() + timeout
        if not self._slots.acquire(timeout=timeout):
            raise Unreachable(
                f"{call}: all {self._config.connections} connections were busy for {timeout:.1f} s"
            )
        try:
            response = self._open(call, max(deadline - time.monotonic(), 0.001))
            return _body(call, response, deadline)
        finally:
            self._slots.release()

    def persist(self, call: Call, deadline: float, final: tuple[int, ...] = ()) -> bytes:
        """Like ``send``, repeated while the apiserver is overloaded, failing or away.

        Raises Refused for an answer that repeating won't change (statuses in ``final`` among them),
        ClusterUnavailable when ``deadline`` (monotonic time, seconds) is near.
        """
        backoff = Backoff(base=0.1, cap=1.0)
        began = time.monotonic()
        tries = 0
        while True:
            tries += 1
            remaining = max(deadline - time.monotonic(), 0.001)
            try:
                return self.send(call, min(remaining, self._config.request_timeout))
            except Refused as error:
                if not error.transient or error.status in final:
                    raise
                last: Refused | Unreachable = error
            except Unreachable as error:
                last = error
            wait = max(backoff.next(), last.retry_after)
            now = time.monotonic()
            if now + wait >= deadline or self._closing.wait(wait):
                spent = time.monotonic() - began
                counted = "1 try" if tries == 1 else f"{tries} tries"
                raise ClusterUnavailable(f"Kubernetes API: {last} ({counted} in {spent:.1f} s)") from last

    def stream(self, call: Call, idle: float) -> Stream:
        """The lines of a watch; ``idle`` is how long (seconds) none may come. Raises Refused, Unreachable."""
        return Stream(call, self._open(call, (self._config.request_timeout, idle)))

    def close(self) -> None:
        """Repeat nothing any more and drop the idle connections."""
        self._closing.set()
        with self._lock:
            if self._connection is not None:
                self._connection.rest.close()

    def _open(self, call: Call, timeout: float | tuple[float, float]) -> Any:
        """The open response of urllib3; ``timeout`` in all, or for connecting and for each read."""
        connection = self._current()
        try:
            return self._exchange(connection, call, timeout)
        except Refused as error:
            if error.status != 401:
                raise
        try:
            return self._exchange(self._renewed(connection), call, timeout)
        except Refused as error:
            if error.status == 401:
                self.unauthorized()
            raise

    def _exchange(self, connection: Connection, call: Call, timeout: float | tuple[float, float]) -> Any:
        headers = {"Accept": call.accept, "User-Agent": f"multinet/{__version__}"}
        authorization = connection.authorization()
        if authorization:
            headers["Authorization"] = authorization
        if call.verb in _CONTENT_TYPES:
            headers["Content-Type"] = _CONTENT_TYPES[call.verb]
        query = f"?{urlencode(call.query)}" if call.query else ""
        with self._lock:
            self.requests[call.verb, call.resource] += 1
        with transport_faults(call):
            rest: Any = connection.rest
            response = rest.request(
                _METHODS[call.verb],
                f"{connection.host}{call.path}{query}",
                headers=headers,
                body=call.body,
                _request_timeout=timeout,
            ).response
            if 200 <= response.status < 300:
                return response
            data = response.read(_PIECE)
        response.close()
        raise refusal(call, response, data)

    def _current(self) -> Connection:
        with self._lock:
            if self._closing.is_set():
                raise Unreachable("the connection to the Kubernetes API has been closed")
            if self._connection is None:
                self._connection = _connected(self._config)
            elif self._connection.outdated():
                try:
                    self._connection = _connected(self._config)
                except Unreachable as error:  # caught in the middle of a rotation: the old ones may still do
                    log.warning("going on with the credentials read before: %s", error)
            return self._connection

    def _renewed(self, refused: Connection) -> Connection:
        """A connection with credentials read after ``refused`` had been; another thread may have it made."""
        with self._lock:
            if self._connection is refused:
                self._connection = _connected(self._config)
            assert self._connection is not None
            return self._connection


class Stream:
    """The lines of an open watch, as they come."""

    def __init__(self, call: Call, response: Any) -> None:
        self._call = call
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        """Ends when the apiserver ends the watch. Raises Unreachable when the connection breaks."""
        rest = b""
        while True:
            with transport_faults(self._call):
                piece = self._response.read1(_PIECE)
            if not piece:
                return
            *lines, rest = (rest + piece).split(b"\n")
            yield from filter(None, lines)

    def interrupt(self) -> None:
        """Wake the thread that waits for the next line, from another thread: it sees the watch end."""
        try:
            self._response.shutdown()
        except (OSError, RuntimeError, ValueError):
            log.debug("%s had ended already", self._call)

    def close(self) -> None:
        """Give up the connection: it is in the middle of an answer and can't serve another request."""
        self._response.close()


def _connected(config: KubernetesConfig) -> Connection:
    try:
        return connect(config)
    except BadCredentials as error:
        raise Unreachable(str(error)) from error


def _body(call: Call, response: Any, deadline: float) -> bytes:
    pieces = []
    try:
        with transport_faults(call):
            while piece := response.read1(_PIECE):
                pieces.append(piece)
                if time.monotonic() > deadline:  # every read was in time, but there are too many of them
                    raise TimeoutError("the answer did not end in time")
    except BaseException:
        response.close()  # a connection in the middle of an answer can't serve another request
        raise
    response.release_conn()
    return b"".join(pieces)
