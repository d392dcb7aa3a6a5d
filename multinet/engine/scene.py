"""Where an attachment happens: the host, the sandbox, and what the engine may use there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from multinet.adapters.kernel import NetworkStack
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Owner, Place
from multinet.engine.facts import Facts
from multinet.ports import Firewall


def _never() -> bool:
    return False


@dataclass(slots=True)
class Scene:
    """One attachment's stage. ``sandbox`` is None when the pod's namespace is gone (DEL, GC)."""

    owner: Owner
    host: NetworkStack
    sandbox: NetworkStack | None
    firewall: Firewall
    facts: Facts
    """What the decision at hand is based on; replaced when it has to be taken again."""
    deadline: float | None = None
    """Monotonic seconds; past it every step gives up."""
    cancelled: Callable[[], bool] = _never
    """True once the caller has hung up."""
    waits: list[Callable[[], None]] | None = None
    """Where to leave what is still to be waited for, so that several attachments wait together; None: wait at once."""

    def stack(self, place: Place) -> NetworkStack:
        """The stack of a place. Raises CNIError code 8 when the sandbox is gone."""
        if place == "host":
            return self.host
        if self.sandbox is None:
            raise CNIError(Code.INVALID_NETNS, "the sandbox's network namespace is gone")
        return self.sandbox

    def wait(self, until: Callable[[], None]) -> None:
        """Wait now, or leave it to whoever collects the waits."""
        if self.waits is None:
            until()
        else:
            self.waits.append(until)

    def proceed(self) -> None:
        """Raises CNIError when the caller has hung up (code 108) or the deadline has passed (code 11)."""
        if self.cancelled():
            raise CNIError(Code.CANCELLED, "the caller hung up; what was begun has been undone")
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise CNIError(
                Code.TRY_AGAIN, "the deadline of the request has passed; what was begun has been undone"
            )
