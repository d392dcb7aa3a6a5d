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

_ASIDE = ".bad"
_KEPT_ASIDE = 86400.0
"""Seconds for which a person can look at what was set aside."""
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
        moved_to = f"{path}{_ASIDE}"
        os.rename(path, moved_to)
        os.utime(moved_to)  # its age counts from now
        return moved_to

    def set_aside_entries(self) -> list[str]:
        """Paths of what was taken out of the way, oldest request first. Raises OSError."""
        try:
            names = sorted(os.listdir(self.directory))
        except FileNotFoundError:
            return []
        return [self._path(name) for name in names if name.endswith(f"{SUFFIX}{_ASIDE}")]

    def forget_set_aside(self) -> list[str]:
        """Remove what was taken out of the way more than a day ago; the paths. Raises OSError."""
        forgotten = []
        for path in self.set_aside_entries():
            with suppress(FileNotFoundError):
                if time.time() - os.stat(path).st_mtime > _KEPT_ASIDE:
                    os.unlink(path)
                    forgotten.append(path)
        return forgotten

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
