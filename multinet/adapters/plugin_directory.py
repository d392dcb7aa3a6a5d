"""Changes to a directory of executables that others start from meanwhile: every step is a rename.

A file is whole and on disk before it gets its name, and a running executable keeps its old file.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["InstallationError", "PluginDirectory", "read_source"]

# of link(2), on a file system without hard links, or for a file with too many
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)
_TEMPORARY = ".multinet-tmp"


class InstallationError(Exception):
    """The directory could not be changed as wanted; the text names the file and what to do."""


class PluginDirectory:
    """One directory, held against other installers. Names are of its direct entries. Raises OSError."""

    @classmethod
    @contextmanager
    def locked(cls, path: str | os.PathLike[str]) -> Iterator[PluginDirectory]:
        """The directory, made if it is missing, for one installer at a time.

        Raises InstallationError for every OSError, in the body too.
        """
        folder = os.path.abspath(path)
        try:
            os.makedirs(folder, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                directory = cls(folder, descriptor)
                directory._remove_temporaries()
                try:
                    yield directory
                finally:
                    directory._remove_temporaries()
            finally:
                os.close(descriptor)
        except OSError as error:
            where = error.filename2 or error.filename or folder
            raise InstallationError(f"cannot change {where}: {error.strerror}") from None

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def path(self, name: str) -> str:
        """The whole path of an entry, for messages."""
        return os.path.join(self._path, name)

    def read(self, name: str) -> bytes | None:
        """The content of a file; None: there is none."""
        try:
            with open(self.path(name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def fingerprint(self, name: str) -> str | None:
        """SHA-256 of a file, or where a symbolic link points; None: there is nothing.

        Raises InstallationError for what no plugin is (a directory).
        """
        path = self.path(name)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(status.st_mode):
            return f"link to {os.readlink(path)}"
        if not stat.S_ISREG(status.st_mode):
            raise InstallationError(f"{path} is neither a file nor a link: move it out of the way")
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def replace(self, name: str, content: bytes, mode: int) -> None:
        """Put a new file under ``name``."""
        self.stage(name, content, mode)
        self.switch(name)

    def stage(self, name: str, content: bytes, mode: int) -> str:
        """Have the file that is to get ``name`` on disk, beside it; its path until then."""
        temporary = self._temporary(name)
        with open(temporary, "xb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        return temporary

    def switch(self, name: str) -> None:
        """Give the staged file its name."""
        os.rename(self._temporary(name), self.path(name))

    def link(self, existing: str, name: str) -> None:
        """Make ``name`` one more name of ``existing``; a copy, where the file system has no links."""
        temporary = self._temporary(name)
        try:
            os.link(self.path(existing), temporary, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._copy(existing, name)
        else:
            os.rename(temporary, self.path(name))

    def rename(self, name: str, to: str) -> None:
        """Give an entry another name; what had that is gone."""
        os.rename(self.path(name), self.path(to))

    def remove(self, name: str) -> None:
        """Remove an entry; gone already is success."""
        with suppress(FileNotFoundError):
            os.unlink(self.path(name))

    def sync(self) -> None:
        """Have all changes of names on disk."""
        os.fsync(self._descriptor)

    def _copy(self, existing: str, name: str) -> None:
        source = self.path(existing)
        if os.path.islink(source):
            temporary = self._temporary(name)
            os.symlink(os.readlink(source), temporary)
            os.rename(temporary, self.path(name))
        else:
            self.replace(name, Path(source).read_bytes(), stat.S_IMODE(os.stat(source).st_mode))

    def _temporary(self, name: str) -> str:
        return self.path(f".{name}{_TEMPORARY}")

    def _remove_temporaries(self) -> None:
        """Those of an installation that crashed or failed: while the directory is locked, nobody else has any."""
        for name in os.listdir(self._path):
            if name.startswith(".") and name.endswith(_TEMPORARY):
                self.remove(name)


def read_source(path: Path) -> bytes:
    """The executable to install. Raises InstallationError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InstallationError(f"cannot read {path}: {error.strerror}") from None
