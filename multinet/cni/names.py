"""Names that come from outside, checked before any path, rule or link is built from them.

Source: CNI specification 1.1.0, "Network configuration format" and "Parameters"; interface names: the
kernel's ``dev_valid_name``.
"""

from __future__ import annotations

import os
import re

from multinet.cni.errors import CNIError, Code

__all__ = ["validate_container_id", "validate_ifname", "validate_network_name"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_LONGEST = 255
"""The specification sets no limit; a longer name couldn't be part of a file name (NAME_MAX)."""
_IFNAME_ROOM = 16
"""IFNAMSIZ, the closing NUL counted in."""


def validate_network_name(name: str) -> None:
    """Raises CNIError code 7 unless the name is alphanumeric, then ``[a-zA-Z0-9_.-]*``."""
    if not name:
        raise CNIError(Code.INVALID_CONFIG, "missing network name")
    if not _NAME.fullmatch(name):
        raise CNIError(Code.INVALID_CONFIG, "invalid characters found in network name", _quoted(name))
    if len(name) > _LONGEST:
        raise CNIError(Code.INVALID_CONFIG, f"network name is longer than {_LONGEST} bytes", _quoted(name))


def validate_container_id(container_id: str) -> None:
    """Raises CNIError code 3 when the id is empty, code 4 when it isn't shaped like a network name."""
    if not container_id:
        raise CNIError(Code.UNKNOWN_CONTAINER, "missing containerID")
    if not _NAME.fullmatch(container_id):
        raise CNIError(Code.INVALID_ENVIRONMENT, "invalid characters in containerID", _quoted(container_id))
    if len(container_id) > _LONGEST:
        raise CNIError(
            Code.INVALID_ENVIRONMENT, f"containerID is longer than {_LONGEST} bytes", _quoted(container_id)
        )


def validate_ifname(name: str) -> None:
    """Raises CNIError code 4 unless the kernel would take the name for a link."""
    if not name:
        raise CNIError(Code.INVALID_ENVIRONMENT, "interface name is empty")
    if len(os.fsencode(name)) >= _IFNAME_ROOM:
        raise CNIError(
            Code.INVALID_ENVIRONMENT,
            "interface name is too long",
            f"interface name should be less than {_IFNAME_ROOM} characters",
        )
    if name in (".", ".."):
        raise CNIError(Code.INVALID_ENVIRONMENT, "interface name is . or ..")
    if any(char in "/:\0" or char.isspace() for char in name):
        raise CNIError(
            Code.INVALID_ENVIRONMENT,
            "interface name contains / or : or whitespace characters",
            _quoted(name),
        )


def _quoted(name: str) -> str:
    """The name for a message: no control characters, and no more of it than fits a line."""
    return ascii(name if len(name) <= 80 else name[:80] + "…")
