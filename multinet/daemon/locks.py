"""One container, one operation at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
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
