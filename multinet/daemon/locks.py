"""Who waits for whom: one container, one operation at a time; GC beside no ADD."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from multinet.cni.errors import CNIError, Code


class ContainerLocks:
    """A lock for each container that is being worked on; none is kept for those that aren't."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def held(self, container_id: str, deadline: float | None = None) -> Iterator[None]:
        """Hold the container's lock. Raises CNIError code 11 when it isn't free by ``deadline`` (monotonic)."""
        with self._guard:
            lock, users = self._locks.get(container_id, (threading.Lock(), 0))
            self._locks[container_id] = (lock, users + 1)
        try:
            wait = -1 if deadline is None else max(0.0, deadline - time.monotonic())
            if not lock.acquire(timeout=wait):
                raise CNIError(
                    Code.TRY_AGAIN, f"container {container_id}: another operation is still running"
                )
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._guard:
                lock, users = self._locks[container_id]
                if users == 1:
                    del self._locks[container_id]
                else:
                    self._locks[container_id] = (lock, users - 1)


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
