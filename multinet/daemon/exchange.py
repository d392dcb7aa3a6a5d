"""What a protocol has to be for the server to speak it: bytes in, a task or an answer out, no input or output.

One exchange a connection: a request, its answer, and the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from multinet.cni.errors import CNIError

Run = Callable[[int | None, Callable[[], bool], int], bytes]
"""(namespace descriptor or None, has the caller hung up, connection descriptor) → bytes to answer with.

It never raises. The descriptor of the namespace becomes the callee's.
"""


class Task(NamedTuple):
    """A whole request, ready to be served."""

    verb: str
    """``CNI_COMMAND``: by it tasks are put in order."""
    is_nested: bool
    """Whether another call may be waiting for this one."""
    run: Run
    refuse: Callable[[CNIError], bytes]
    """The bytes that tell the caller why it isn't run."""


class Exchange(Protocol):
    """Puts one request together."""

    def feed(self, data: bytes) -> Task | bytes | None:
        """What follows from the next bytes: a task; bytes to answer with at once, and then it is over; or None:
        more is needed. Never raises.
        """


class Door(NamedTuple):
    """A unix socket, and what is spoken there."""

    path: str
    exchange: Callable[[], Exchange]
