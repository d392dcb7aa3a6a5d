"""A lock on a folder that other programs share: flock(2) on a file in it, with a deadline.

Source: flock(2); file name, flags and mode are those of the reference host-local (plugins-ipam 1.4).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from multinet.cni.errors import CNIError, Code

__all__ = ["folder_locked"]

_NAME = "lock"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
"""Seconds. Holders need well below a millisecond, so the first retries come soon."""


@contextmanager
def folder_locked(folder: str, deadline: float | None) -> Iterator[int]:
    """Hold ``<folder>/lock`` exclusively; yields a descriptor of the folder, for calls relative to it.

    ``deadline`` is monotonic time in seconds; None waits as long as it takes.
    Raises CNIError code 11 when the deadline passes first, OSError when the folder or its lock can't be
    opened (FileNotFoundError: there is no such folder).
    """
    while True:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        lock = -1
        try:
            lock = os.open(_NAME, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o750, dir_fd=directory)
            _wait(lock, folder, deadline)
            # Whoever wiped the folder while we waited took the lock file along: others now lock a new one.
            if _is_current(lock, directory):
                yield directory
                return
        finally:
            if lock >= 0:
                os.close(lock)
            os.close(directory)


def _wait(lock: int, folder: str, deadline: float | None) -> None:
    pause = _FIRST_PAUSE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if deadline is None else fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            left = (deadline or 0.0) - time.monotonic()
        if left <= 0:
            raise busy(folder)
        time.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE)


def busy(folder: str) -> CNIError:
    """The error for a lock that wasn't to be had in time."""
    return CNIError(
        Code.TRY_AGAIN, f"{folder}/{_NAME} is held by another process (see fuser(1)); try again later"
    )


def _is_current(lock: int, directory: int) -> bool:
    try:
        now = os.stat(_NAME, dir_fd=directory)
    except FileNotFoundError:
        return False
    mine = os.fstat(lock)
    return (now.st_dev, now.st_ino) == (mine.st_dev, mine.st_ino)
