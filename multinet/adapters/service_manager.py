"""What a service manager (systemd) hands to a daemon, and what it is told: both by environment variables.

Source: sd_listen_fds(3), sd_notify(3).
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from multinet.cni.errors import CNIError, Code

__all__ = ["inherited_listeners", "notify"]

_FIRST = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def inherited_listeners() -> dict[str, socket.socket]:
    """The listening unix sockets that this process was started with, by path; to be asked for once.

    Callers may be waiting in them already: they need not know that the daemon was away. Processes that we start
    get neither sockets nor variables. Raises CNIError code 5 when one of them is something else.
    """
    pid, count = os.environ.get("LISTEN_PID", ""), os.environ.get("LISTEN_FDS", "")
    for name in _VARIABLES:
        os.environ.pop(name, None)
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    found: dict[str, socket.socket] = {}
    try:
        for descriptor in range(_FIRST, _FIRST + int(count)):
            os.set_inheritable(descriptor, False)
            listener = _listener(descriptor)
            found[listener.getsockname()] = listener
    except OSError as error:
        for listener in found.values():
            listener.close()
        raise CNIError(
            Code.IO_FAILURE,
            f"descriptor {descriptor} of the service manager is no listening unix socket: {error.strerror}",
        ) from None
    return found


def notify(*lines: str) -> None:
    """Tell the service manager, if there is one that wants to hear: ``READY=1``, ``STOPPING=1``, ``STATUS=…``.

    One that doesn't take it is no failure of ours.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
        teller.connect("\0" + path[1:] if path.startswith("@") else path)
        teller.send("\n".join(lines).encode())


def _listener(descriptor: int) -> socket.socket:
    """The socket of a descriptor. Raises OSError when it isn't one that takes our connections."""
    listener = socket.socket(fileno=descriptor)
    try:
        is_ours = listener.family == socket.AF_UNIX and listener.type == socket.SOCK_STREAM
        if not is_ours or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(0, "it is of another kind")
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
