"""The socket's own business: listening, authenticating, receiving, answering."""

from __future__ import annotations

import logging
import os
import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from multinet.cni.errors import CNIError, Code

_log = logging.getLogger(__name__)
_CHUNK = 1 << 16
_MOST_FDS = 4
SEND_LIMIT = 10.0
"""Seconds that a caller may take to read its answer."""


def listen(path: str) -> socket.socket:
    """The listening socket, 0600 from its first moment; a stale one is replaced, a live one refused."""
    os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(path)
        raise CNIError(Code.IO_FAILURE, f"another daemon is serving {path}")
    except (FileNotFoundError, ConnectionRefusedError):
        with suppress(FileNotFoundError):
            os.unlink(path)
    except OSError as error:
        raise CNIError(Code.IO_FAILURE, f"cannot listen on {path}: {error.strerror or error}") from None
    finally:
        probe.close()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    except OSError as error:
        raise CNIError(Code.IO_FAILURE, f"cannot listen on {path}: {error.strerror}") from None
    finally:
        os.umask(before)
    listener.listen(1024)
    listener.setblocking(False)
    return listener


def receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Bytes and descriptors; none of these is inherited by the plugins that we start.

    Not ``socket.recv_fds``: it drops the flag that says so.
    """
    room = socket.CMSG_SPACE(_MOST_FDS * 4)
    data, ancillary, _, _ = connection.recvmsg(_CHUNK, room, socket.MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            whole = len(content) - len(content) % 4
            fds += struct.unpack(f"{whole // 4}i", content[:whole])
    return data, fds


def peer_uid(connection: socket.socket) -> int:
    """User id of the process at the other end (SO_PEERCRED, unix(7))."""
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)


def hang_up_of(connection: socket.socket) -> Callable[[], bool]:
    """Whether the caller is gone: it sends nothing more, so anything to read is the end of the stream."""
    poll = select.poll()
    poll.register(connection, select.POLLIN | select.POLLHUP | select.POLLRDHUP)
    return lambda: bool(poll.poll(0))


def send(connection: socket.socket, answer: bytes, limit: float = SEND_LIMIT) -> None:
    """Send the answer; a caller that doesn't take it within ``limit`` seconds is no failure of ours."""
    try:
        connection.settimeout(limit)
        connection.sendall(answer)
    except OSError as error:
        _log.info("the caller did not take its answer: %s", error)
