"""The daemon's side of a connection: one request with its namespace descriptor.

For a connection with a thread of its own; a server that multiplexes feeds a ``Decoder`` itself.
"""

from __future__ import annotations

import array
import os
import socket
import time

from multinet.wire.frame import Decoder, Request, Response, WireError, encode_response

__all__ = ["receive", "respond"]

_CHUNK = 64 << 10
# room for more than the one descriptor that belongs there: those beyond are closed, not lost track of
_DESCRIPTORS = 4


def receive(connection: socket.socket, timeout: float) -> tuple[Request, int | None]:
    """The request, and the descriptor sent with it (the receiver's to close, and not yet known to be a
    netns).

    ``timeout`` in seconds, for the whole request; it also becomes the socket's. Raises WireError (no request
    of this protocol, or the caller hung up before its end), TimeoutError, OSError; no descriptor is left
    then.
    """
    deadline = time.monotonic() + timeout
    decoder = Decoder()
    descriptors: list[int] = []
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the request does not end")
            connection.settimeout(left)
            data = _receive_piece(connection, descriptors)
            if not data:
                raise WireError("the caller hung up before the request's end")
            request = decoder.feed(data)
            if request is not None:
                break
        if len(descriptors) > 1:
            raise WireError("request with more than one descriptor")
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return request, descriptors[0] if descriptors else None


def respond(connection: socket.socket, response: Response) -> None:
    """Send the answer within the socket's timeout. Raises WireError (too long), OSError (the caller is
    gone)."""
    connection.sendall(encode_response(response))


def _receive_piece(connection: socket.socket, descriptors: list[int]) -> bytes:
    size = array.array("i").itemsize
    data, ancillary, flags, _ = connection.recvmsg(
        _CHUNK, socket.CMSG_SPACE(_DESCRIPTORS * size), socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received = array.array("i")
            received.frombytes(value[: len(value) - len(value) % size])
            descriptors.extend(received)
    if flags & socket.MSG_CTRUNC:
        raise WireError("request with more than one descriptor")
    return data
