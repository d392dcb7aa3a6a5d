"""Unary gRPC calls over a unix socket, as kubelet and container runtimes serve them.

Each call has a connection of its own: calls are rare, connecting costs microseconds, and there is nothing that
could be stale after the server has been restarted. (decision 0011)
"""

from __future__ import annotations

import socket
import time

from multinet.adapters.grpc_status import RpcError, Status

__all__ = ["ANSWER_LIMIT", "Channel", "RpcError", "Status"]

ANSWER_LIMIT = 16 << 20
"""Bytes: what kubelet's and the runtimes' own clients take."""

_PIECE = 1 << 16
_CROWDED_WAIT = 0.02
"""Seconds between tries while more clients wait for the server than its queue holds."""


class Channel:
    """The way to the server at ``path``. Safe for many threads, and needs no closing."""

    def __init__(self, path: str, limit: int = ANSWER_LIMIT) -> None:
        """``limit`` is the longest answer, in bytes."""
        self.path = path
        self._limit = limit

    def call(self, method: str, request: bytes, timeout: float) -> bytes:
        """The answer to ``request``; both are encoded messages.

        ``method`` is ``/package.Service/Method``, ``timeout`` the seconds for everything. Raises RpcError;
        UNAVAILABLE when nobody (or nobody who speaks gRPC) serves the socket, DEADLINE_EXCEEDED for silence.
        """
        deadline = time.monotonic() + timeout
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                self._connect(connection, deadline)
                return self._converse(connection, method, request, deadline)
        except TimeoutError:
            problem = RpcError(Status.DEADLINE_EXCEEDED, f"no answer within {timeout:g} s")
        except OSError as error:
            problem = RpcError(Status.UNAVAILABLE, (error.strerror or str(error)).lower())
        except RpcError as error:
            problem = error
        raise RpcError(problem.code, f"{self.path}: {method}: {problem.message}")

    def _connect(self, connection: socket.socket, deadline: float) -> None:
        while True:
            connection.settimeout(_left(deadline))
            try:
                connection.connect(self.path)
                return
            except BlockingIOError:  # the server's queue is full: unix sockets don't wait for that
                time.sleep(min(_CROWDED_WAIT, _left(deadline)))

    def _converse(self, connection: socket.socket, method: str, request: bytes, deadline: float) -> bytes:
        # 6 MB that only a process which has something to ask should pay for
        from multinet.adapters.grpc_exchange import Exchange

        exchange = Exchange(method, request, _left(deadline), self._limit)
        while True:
            connection.settimeout(_left(deadline))
            outgoing = exchange.outgoing()
            if outgoing:
                connection.sendall(outgoing)
            data = connection.recv(_PIECE)
            if not data:
                raise exchange.closed()
            exchange.received(data)
            if exchange.answer is not None:
                return exchange.answer


def _left(deadline: float) -> float:
    """Seconds until ``deadline``. Raises TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
