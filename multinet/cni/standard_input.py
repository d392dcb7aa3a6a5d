"""Standard input as a plugin reads it."""

from __future__ import annotations

import errno
import os
import sys

__all__ = ["read_standard_input"]


def read_standard_input() -> bytes:
    """All of it. Raises OSError, also when the caller has closed it (Python then has no ``sys.stdin``)."""
    if sys.stdin is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return sys.stdin.buffer.read()
