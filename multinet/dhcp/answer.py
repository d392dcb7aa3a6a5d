"""A lease that somebody waits for, in another thread than the one that gets it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from multinet.cni.errors import CNIError
from multinet.dhcp.lease import Lease

__all__ = ["Answer"]

_LOOK = 0.1
"""Seconds between two looks whether the caller is still there."""


class Answer:
    """A lease that somebody waits for."""

    def __init__(self) -> None:
        self._settled = threading.Event()
        self.lease: Lease | None = None
        self.error: CNIError | None = None

    def settle(self, outcome: Lease | CNIError) -> None:
        """Tell whoever waits."""
        if isinstance(outcome, CNIError):
            self.error = outcome
        else:
            self.lease = outcome
        self._settled.set()

    def wait(self, until: float, cancelled: Callable[[], bool]) -> bool:
        """Whether it was settled before ``until`` (monotonic) and before the caller hung up."""
        while not self._settled.wait(max(0.0, min(_LOOK, until - time.monotonic()))):
            if time.monotonic() >= until or cancelled():
                return False
        return True
