"""Who may work now: one operation at a time for a container, any number for different ones, GC alone.

Source: CNI specification 1.1.0, "Lifecycle & Ordering".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from multinet.cni.errors import CNIError, Code

__all__ = ["Turns"]


class Turns:
    """Turns within one process; a turn waits until those that exclude it are over.

    A ``deadline`` is monotonic time in seconds: whoever doesn't get a turn by then gets CNIError code 11.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy: set[str] = set()
        self._alone = False
        self._waiting_alone = 0

    @contextmanager
    def of(self, container_id: str, deadline: float | None = None) -> Iterator[None]:
        """A turn for one container. Those who want to be alone go first, so that they get to it at all."""
        with self._changed:
            self._wait(
                lambda: not self._alone and not self._waiting_alone and container_id not in self._busy,
                deadline,
                f'another operation on container "{container_id}", or a GC, is still running',
            )
            self._busy.add(container_id)
        try:
            yield
        finally:
            with self._changed:
                self._busy.discard(container_id)
                self._changed.notify_all()

    @contextmanager
    def alone(self, deadline: float | None = None) -> Iterator[None]:
        """A turn that excludes all others."""
        with self._changed:
            self._waiting_alone += 1
            try:
                self._wait(
                    lambda: not self._alone and not self._busy,
                    deadline,
                    "operations on containers are still running",
                )
                self._alone = True
            finally:
                self._waiting_alone -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()

    def _wait(self, free: Callable[[], bool], deadline: float | None, problem: str) -> None:
        patience = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not self._changed.wait_for(free, patience):
            raise CNIError(Code.TRY_AGAIN, problem)
