"""One container at a time, across processes: calls without a daemon have no memory in common.

Files in ``{state_dir}/turns``: every call of a container holds ``node`` shared and ``c-{container id}``
exclusively; GC, which concerns all containers, holds ``node`` exclusively. A process that dies gives its locks
back. Source: flock(2).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from multinet.cni.errors import CNIError, Code

__all__ = ["FOLDER", "container_turn", "node_turn"]

FOLDER = "turns"
_NODE = "node"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
"""Seconds between tries."""


@contextmanager
def container_turn(state_dir: str, container_id: str, deadline: float) -> Iterator[None]:
    """Hold the container; ``deadline`` is monotonic time, in seconds.

    ``container_id`` must have been validated: it becomes part of a file name. Raises CNIError code 11 when
    another call holds it till then, 5 when the file can't be made.
    """
    folder = _folder(state_dir)
    with _locked(os.path.join(folder, _NODE), fcntl.LOCK_SH, deadline, "a GC"):
        path = os.path.join(folder, f"c-{container_id[:200]}")
        with _locked(path, fcntl.LOCK_EX, deadline, f"another call for container {container_id}"):
            try:
                yield
            finally:
                with suppress(FileNotFoundError):  # whoever waits for it notices, and makes a new one
                    os.unlink(path)


@contextmanager
def node_turn(state_dir: str, deadline: float) -> Iterator[None]:
    """Hold all containers. Raises as ``container_turn``."""
    path = os.path.join(_folder(state_dir), _NODE)
    with _locked(path, fcntl.LOCK_EX, deadline, "another call"):
        yield


def _folder(state_dir: str) -> str:
    folder = os.path.join(state_dir, FOLDER)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise CNIError(Code.IO_FAILURE, f"cannot make {folder}: {error.strerror}") from None
    return folder


@contextmanager
def _locked(path: str, kind: int, deadline: float, holder: str) -> Iterator[None]:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CNIError(Code.IO_FAILURE, f"cannot open {path}: {error.strerror}") from None
        try:
            _wait(descriptor, kind, deadline, holder)
            if _is_current(descriptor, path):
                yield
                return
        finally:
            os.close(descriptor)


def _wait(descriptor: int, kind: int, deadline: float, holder: str) -> None:
    pause = _FIRST_PAUSE
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            left = deadline - time.monotonic()
        if left <= 0:
            raise CNIError(Code.TRY_AGAIN, f"{holder} is still running on this node; try again later")
        time.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE)


def _is_current(descriptor: int, path: str) -> bool:
    """False when the file was removed while we waited for it: others would lock a new one."""
    mine = os.fstat(descriptor)
    try:
        now = os.stat(path)
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (now.st_dev, now.st_ino)
