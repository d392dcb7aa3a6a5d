"""The spool's files: how a DEL is kept while no daemon is there to take it (see ``multinet.wire``)."""

from __future__ import annotations

import os
import time

__all__ = ["SUFFIX", "entry_name", "write_entry"]

SUFFIX = ".del"


def entry_name(now_ns: int, pid: int) -> str:
    """The file name for a DEL spooled at ``now_ns`` (nanoseconds of the wall clock) by process ``pid``."""
    seconds, nanoseconds = divmod(now_ns, 1_000_000_000)
    return f"{seconds:010}-{nanoseconds:09}-{pid}{SUFFIX}"


def write_entry(directory: str, frame: bytes) -> str:
    """Keep a request frame so that a crash or a power cut right afterwards doesn't lose it; return its path.

    Makes the directory (0700, missing parents 0755). Raises OSError; then nothing is left, unless the last step
    failed, the directory's sync (a DEL carried out once more does no harm).
    """
    folder = _open_directory(directory)
    try:
        name = entry_name(time.time_ns(), os.getpid())
        temporary = f".{name}.tmp"
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            try:
                rest = memoryview(frame)
                while rest:
                    rest = rest[os.write(file, rest) :]
                os.fsync(file)
            finally:
                os.close(file)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)
    finally:
        os.close(folder)
    return os.path.join(directory, name)


def _open_directory(path: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        _make_directory(path.rstrip("/") or "/", 0o700)
        return os.open(path, flags)


def _make_directory(path: str, mode: int) -> None:
    """Make a directory and its missing parents, each synced into the one above."""
    parent = os.path.dirname(path) or "."
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    except FileNotFoundError:
        if parent == path:
            raise
        _make_directory(parent, 0o755)
        os.mkdir(path, mode)
    above = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(above)
    finally:
        os.close(above)
