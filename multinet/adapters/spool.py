"""The daemon's side of the DEL spool: what shims kept while the daemon was away, oldest first.

The format is described in ``multinet.wire``. A shim may spool at any time (a connection that broke while the
daemon was restarting), so the directory is looked at again from time to time, not only at start.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from multinet.wire.frame import Request, WireError, decode_request
from multinet.wire.spool import SUFFIX, write_entry

__all__ = ["CorruptEntry", "Spool"]

_ABANDONED_AFTER = 3600.0
"""Seconds after which a temporary file is taken for one whose writer has died."""


class CorruptEntry(Exception):
    """A file of the spool holds no request; it has been moved to ``moved_to``, for a person to look at."""

    def __init__(self, path: str, moved_to: str, problem: str) -> None:
        super().__init__(f"spooled request {path} cannot be read ({problem}); moved to {moved_to}")
        self.path = path
        self.moved_to = moved_to


class Spool:
    """The requests in one directory, which need not exist."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = os.fspath(directory)

    def put(self, frame: bytes) -> str:
        """Keep a request frame as a shim does, safe from crashes; its path. Raises OSError."""
        return write_entry(self.directory, frame)

    def pending(self) -> list[str]:
        """Paths of the spooled requests, oldest first. Removes temporary files that a crash left. Raises
        OSError."""
        try:
            names = sorted(os.listdir(self.directory))
        except FileNotFoundError:
            return []
        for name in names:
            if name.startswith(".") and name.endswith(f"{SUFFIX}.tmp"):
                self._remove_if_abandoned(name)
        return [self._path(name) for name in names if name.endswith(SUFFIX) and not name.startswith(".")]

    def read(self, path: str) -> Request:
        """The request kept at ``path``. Raises CorruptEntry (the file is out of the way then), OSError."""
        with open(path, "rb") as file:
            frame = file.read()
        try:
            return decode_request(frame)
        except WireError as error:
            raise CorruptEntry(path, self.set_aside(path), str(error)) from None

    def set_aside(self, path: str) -> str:
        """Take the request at ``path`` out of the way, for a person to look at; where it is now. Raises OSError."""
        moved_to = f"{path}.bad"
        os.rename(path, moved_to)
        return moved_to

    def done(self, path: str) -> None:
        """Forget the request at ``path``, for good even after a power cut; gone already is success."""
        with suppress(FileNotFoundError):
            os.unlink(path)
            folder = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _remove_if_abandoned(self, name: str) -> None:
        with suppress(FileNotFoundError):
            # mtime is of the wall clock, so it is compared with that
            if time.time() - os.stat(self._path(name)).st_mtime > _ABANDONED_AFTER:
                os.unlink(self._path(name))
