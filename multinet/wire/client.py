"""The client's side of a connection: send one request with its namespace, wait for the answer.

Uses ``_socket``, the C part of ``socket``: importing ``socket`` itself takes 10 ms (it builds its constants'
enums), as long as the interpreter's whole start, and each CNI call of the Python twin would pay it.
"""

from __future__ import annotations

import _socket
import errno
import os
import select
import struct
import time

from multinet.wire.frame import Request, Response, ResponseDecoder, encode_request

__all__ = ["Unreachable", "call"]

_CHUNK = 64 << 10


class Unreachable(ConnectionError):
    """No daemon took the request and answered it: it is not running, or it ended meanwhile.

    ``reason`` is the system's text for it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def call(socket_path: str, request: Request, netns_fd: int | None, timeout: float) -> Response:
    """Have the daemon at ``socket_path`` answer ``request``.

    ``netns_fd`` is the opened ``CNI_NETNS``, if there is one; it stays the caller's. ``timeout`` in seconds,
    for the whole call. Raises Unreachable, TimeoutError, WireError (the request exceeds a limit, or the
    answer is none).
    """
    deadline = time.monotonic() + timeout
    frame = encode_request(request)
    connection = _connect(socket_path, deadline)
    try:
        _send(connection, frame, netns_fd, deadline)
        return _receive(connection, deadline)
    except ConnectionError as error:
        raise Unreachable(os.strerror(error.errno or errno.ECONNRESET)) from None
    finally:
        connection.close()


def _connect(path: str, deadline: float) -> _socket.socket:
    try:
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    except OSError as error:
        raise Unreachable(os.strerror(error.errno or 0)) from None
    try:
        # connect(2) waits that long for room in the listener's queue; a non-blocking one would not wait at
        # all
        left = max(_left_ms(deadline), 1)
        patience = struct.pack("@ll", left // 1000, left % 1000 * 1000)
        connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, patience)
        connection.connect(path)
    except BlockingIOError:
        connection.close()
        raise TimeoutError("the daemon accepts no connection") from None
    except OSError as error:
        connection.close()
        # without an errno it is Python's own refusal of a path that doesn't fit into an address
        reason = os.strerror(error.errno) if error.errno else os.strerror(errno.ENAMETOOLONG)
        raise Unreachable(reason) from None
    return connection


def _send(connection: _socket.socket, frame: bytes, netns_fd: int | None, deadline: float) -> None:
    """Send until all is sent, or something comes back: the daemon refuses a request before its end."""
    ancillary = []
    if netns_fd is not None:
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("@i", netns_fd))]
    rest = memoryview(frame)
    while rest:
        if _wait(connection, select.POLLIN | select.POLLOUT, deadline) & select.POLLIN:
            return
        try:
            sent = connection.sendmsg([rest], ancillary, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
        except BlockingIOError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            return  # an answer sent before the end can still be read
        ancillary = []
        rest = rest[sent:]


def _receive(connection: _socket.socket, deadline: float) -> Response:
    decoder = ResponseDecoder()
    while True:
        _wait(connection, select.POLLIN, deadline)
        try:
            data = connection.recv(_CHUNK, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            continue
        if not data:
            raise Unreachable(os.strerror(errno.ECONNRESET))
        response = decoder.feed(data)
        if response is not None:
            return response


def _wait(connection: _socket.socket, events: int, deadline: float) -> int:
    poll = select.poll()
    poll.register(connection.fileno(), events)
    for _, happened in poll.poll(_left_ms(deadline)):
        return happened
    raise TimeoutError("the daemon does not answer in time")


def _left_ms(deadline: float) -> int:
    """Milliseconds to the deadline, rounded up, so that poll(2) doesn't spin through the last one."""
    return max(0, -int((time.monotonic() - deadline) * 1000 // 1))
