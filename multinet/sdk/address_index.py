"""What a folder of address files holds, in memory, and how to tell that it still does.

Reading thousands of files at each call is avoided by an index in memory. It is believed only as long as the
folder is exactly as this process left it: at the end of each locked section the folder's mtime is set to a
value of our own, an instant in the past, which no other change to the folder can bring about (the kernel
writes the present there). Comparing the kernel's own timestamps would not do: up to Linux 6.12 they advance
once a tick, so two changes may carry the same one.
"""

from __future__ import annotations

import os
import socket
import time

from multinet.sdk.ipam import Address

__all__ = ["UNNAMED", "Index", "identity", "read", "sign"]

UNNAMED = ".multinet-new"
"""An address file before it gets its name. One name is enough, since it is made under the lock only."""

_BLANK = b" \t\r\n\v\f\0"
"""Filesystems may show NULs for blocks that never reached the disk."""

_PAST = 1_000_000_000
"""Nanoseconds; larger than any filesystem tick."""


class Index:
    """What the folder holds, in memory. Names are kept as they are on disk."""

    def __init__(self) -> None:
        self.files: dict[int, dict[int, tuple[str, bytes]]] = {4: {}, 6: {}}
        """Family → number of the address → name and content of its file."""
        self.held: dict[bytes, set[tuple[int, int]]] = {}
        """Content → family and number."""

    def add(self, name: str, content: bytes) -> None:
        """Note a file; of two names for one address the first stays."""
        version, number = _number(name)
        if number not in self.files[version]:
            self.files[version][number] = (name, content)
            self.held.setdefault(content, set()).add((version, number))

    def name_of(self, address: Address) -> str:
        """The file's name on disk, or the usual one if there is no file."""
        name, _ = self.files[address.version].get(int(address), (str(address), b""))
        return name

    def discard(self, address: Address) -> None:
        """Forget a file, if it is known."""
        version, number = address.version, int(address)
        _, content = self.files[version].pop(number, ("", b""))
        mine = self.held.get(content, set())
        mine.discard((version, number))
        if not mine:
            self.held.pop(content, None)


def read(directory: int) -> Index:
    """Read all address files.

    Empty ones are removed: a writer holds the lock till its file is whole, so they are what a crash of the
    reference plugin, or of the machine, left behind (there they hold an address for ever). So is a file
    that was about to get its name; it may be the second name of a live one by now.
    """
    index = Index()
    for name in os.listdir(directory):
        if name == UNNAMED:
            os.unlink(name, dir_fd=directory)
        if not _is_address(name):
            continue
        try:
            content = _content(directory, name).strip(_BLANK)
            if content:
                index.add(name, content)
            else:
                os.unlink(name, dir_fd=directory)
        except (FileNotFoundError, IsADirectoryError):
            continue
    return index


def _content(directory: int, name: str) -> bytes:
    file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.read(file, 4096)
    finally:
        os.close(file)


def _is_address(name: str) -> bool:
    try:
        _number(name)
    except (OSError, ValueError):  # ValueError: a name that is no valid Unicode
        return False
    return True


def _number(name: str) -> tuple[int, int]:
    """Family and number of an address; a tenth of what the ``ipaddress`` module takes. Raises OSError."""
    if ":" in name:
        return 6, int.from_bytes(socket.inet_pton(socket.AF_INET6, name), "big")
    return 4, int.from_bytes(socket.inet_pton(socket.AF_INET, name), "big")


def identity(directory: int) -> tuple[int, int, int]:
    """Which folder it is and in which state: device, inode, mtime in nanoseconds."""
    status = os.fstat(directory)
    return status.st_dev, status.st_ino, status.st_mtime_ns


def sign(directory: int) -> tuple[int, int, int] | None:
    """Set the folder's mtime to a value that is ours alone; None when the filesystem can't keep it."""
    past = time.time_ns() - _PAST
    try:
        os.utime(directory, ns=(past, past))
    except OSError:  # a read-only filesystem, or a folder of somebody else
        return None
    signed = identity(directory)
    return signed if signed[2] == past else None
