"""Waiting until something changes in folders, which may not exist yet, or be removed and made again.

It says that something changed, not what: whoever waits looks again at the whole folder, as he would after a
start. So nothing depends on the events being complete, and an overflow of the kernel's queue is one more event.
What inotify can't tell (another file behind a symbolic link, a parent that was renamed, a file that stays open
for writing) is found by the look after the time limit, which callers take anyway. Source: inotify(7).
"""

from __future__ import annotations

import ctypes
import os
import select
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["FolderWatch"]

_libc = ctypes.CDLL(None, use_errno=True)

# <sys/inotify.h>
_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x8, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _ONLYDIR, _MASK_ADD = 0x400, 0x800, 0x01000000, 0x20000000
_ARRIVAL = _MOVED_TO | _CREATE | _DELETE_SELF | _MOVE_SELF | _ONLYDIR | _MASK_ADD
_ANYTHING = _ARRIVAL | _CLOSE_WRITE | _MOVED_FROM | _DELETE
_ROOM = 65536
"""Bytes read at once; an event takes 16 and the file's name, 272 at most."""


class FolderWatch:
    """Some folders, watched by one descriptor. For one waiting thread; ``wake`` may be called by any."""

    def __init__(self, folders: Sequence[str]) -> None:
        """``folders`` are paths; a missing one is awaited by its nearest existing parent. Raises OSError."""
        self._folders = tuple(dict.fromkeys(os.path.abspath(folder) for folder in folders))
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._fd = int(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        if self._fd < 0:
            code = ctypes.get_errno()
            self.close()
            raise OSError(code, f"inotify: {os.strerror(code)}")
        self._poll = select.poll()
        for descriptor in (self._fd, self._wake):
            self._poll.register(descriptor, select.POLLIN)
        self._watched: set[int] = set()
        self._arm()

    def wait(self, timeout: float) -> bool:
        """Until something changes in the folders or ``wake`` is called; False after ``timeout`` seconds of neither.

        What changes between two calls ends the second at once.
        """
        self._arm()
        ready = {descriptor for descriptor, _ in self._poll.poll(max(0.0, timeout) * 1000)}
        if self._wake in ready:
            os.eventfd_read(self._wake)
        if self._fd in ready:
            self._drain()
        return bool(ready)

    def wake(self) -> None:
        """End the wait that is running, or the next one."""
        if self._wake >= 0:  # else it is closed: nobody waits any more
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Give the descriptors back; safe to repeat."""
        descriptors = (self._fd, self._wake)
        self._fd = self._wake = -1
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)

    def _arm(self) -> None:
        """Watch each folder as it is now; a watch of what no longer is at its path is dropped."""
        current = {descriptor for folder in self._folders for descriptor in self._watch(folder)}
        for stale in self._watched - current:
            _libc.inotify_rm_watch(self._fd, stale)  # fails if the kernel dropped it with its folder
        self._watched = current

    def _watch(self, folder: str) -> list[int]:
        """Watch the folder, or else its nearest parent; the same folder always has the same watch."""
        while True:
            descriptor = self._add(folder, _ANYTHING)
            if descriptor >= 0:
                return [descriptor]
            parent = folder
            while descriptor < 0 and parent != os.path.dirname(parent):
                parent = os.path.dirname(parent)
                descriptor = self._add(parent, _ARRIVAL)
            # It may have been made before the parent's watch was there to tell.
            if descriptor < 0 or not os.path.isdir(folder):
                return [descriptor] if descriptor >= 0 else []

    def _add(self, path: str, mask: int) -> int:
        """The watch, the same one for the same folder; negative: it can't be watched."""
        return int(_libc.inotify_add_watch(self._fd, os.fsencode(path), mask))

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._fd, _ROOM):
                pass
