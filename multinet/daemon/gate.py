"""Many at once, or one alone: additions, and the collection of what no attachment claims."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from multinet.cni.errors import CNIError, Code


class Gate:
    """Many pass at the same time, or one has it closed for all."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._passing = 0
        self._closed = False

    @contextmanager
    def passing(self, deadline: float) -> Iterator[None]:
        """Be one of many. Raises CNIError code 11 when it is still closed at ``deadline`` (monotonic)."""
        with self._changed:
            self._wait(lambda: not self._closed, deadline)
            self._passing += 1
        try:
            yield
        finally:
            with self._changed:
                self._passing -= 1
                self._changed.notify_all()

    @contextmanager
    def closed(self, deadline: float) -> Iterator[None]:
        """Be alone. Raises CNIError code 11 when somebody is always passing until ``deadline``.

        Who waits for this holds nobody up: it may be for long.
        """
        with self._changed:
            self._wait(lambda: not self._closed and not self._passing, deadline)
            self._closed = True
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()

    def _wait(self, condition: Callable[[], bool], deadline: float) -> None:
        if not self._changed.wait_for(condition, max(0.0, deadline - time.monotonic())):
            raise CNIError(Code.TRY_AGAIN, "attachments are being made or collected all the time: try again")
