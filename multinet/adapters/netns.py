"""Network namespaces by descriptor: open, identify, enter for a moment.

Entering is per thread (``setns``); no process is started and no mount is needed. Source: setns(2),
ioctl_ns(2).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from multinet.cni.errors import CNIError, Code

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_NS_GET_NSTYPE = 0xB703
_NSFS_MAGIC = 0x6E736673
_PROC_MAGIC = 0x9FA0


class _Statfs(ctypes.Structure):
    # struct statfs starts with f_type as a long on every 64-bit Linux; the rest is room.
    _fields_ = (("f_type", ctypes.c_long), ("room", ctypes.c_byte * 248))


class Netns:
    """An open network namespace. ``path`` is what the caller called it, for messages and results."""

    __slots__ = ("fd", "identity", "path")

    def __init__(self, fd: int, path: str = "") -> None:
        self.fd = fd
        self.path = path
        status = os.fstat(fd)
        self.identity = (status.st_dev, status.st_ino)
        """Equal for equal namespaces, whatever paths they were opened by."""

    @classmethod
    def current(cls) -> Netns:
        """The namespace of the calling thread."""
        return cls(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC), "")

    @classmethod
    def open(cls, path: str) -> Netns:
        """The namespace at ``path`` (``CNI_NETNS``). Raises CNIError code 8 when there is none."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            reason = os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else str(error)
            raise CNIError(
                Code.INVALID_NETNS, f'failed to open netns "{path}": failed to Statfs "{path}": {reason}'
            ) from None
        return cls.adopt(fd, path)

    @classmethod
    def adopt(cls, fd: int, path: str) -> Netns:
        """Take over a descriptor that should be a network namespace; closed if it isn't.

        Raises CNIError code 8.
        """
        problem = _why_not_netns(fd)
        if problem:
            os.close(fd)
            raise CNIError(Code.INVALID_NETNS, f'failed to open netns "{path}": {problem.format(path=path)}')
        return cls(fd, path)

    def reopened(self) -> Netns:
        """The same namespace by an open file of its own: a lock on one isn't held by the other."""
        return Netns(os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC), self.path)

    def close(self) -> None:
        """Give up the descriptor; safe to repeat."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Netns:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Netns) and other.identity == self.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    @contextmanager
    def entered(self, home: Netns | None = None) -> Iterator[None]:
        """Be in this namespace, this thread alone, for the body.

        ``home`` is where the thread is now, if the caller knows: then it needn't be looked up.
        """
        if home is not None:
            if home is self:
                yield
                return
            _setns(self.fd)
            try:
                yield
            finally:
                _setns(home.fd)
            return
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(self.fd)
            try:
                yield
            finally:
                _setns(before)
        finally:
            os.close(before)


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")


def _why_not_netns(fd: int) -> str:
    """Empty for a network namespace; else what is wrong, with ``{path}`` to fill in."""
    room = _Statfs()
    if _libc.fstatfs(fd, ctypes.byref(room)) != 0:
        return f'failed to Statfs "{{path}}": {os.strerror(ctypes.get_errno()).lower()}'
    magic = room.f_type & 0xFFFFFFFF
    if magic not in (_NSFS_MAGIC, _PROC_MAGIC):
        return f'unknown FS magic on "{{path}}": {magic:x}'
    try:
        if fcntl.ioctl(fd, _NS_GET_NSTYPE) == _CLONE_NEWNET:
            return ""
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EINVAL):
            raise
    return '"{path}" is no network namespace'
