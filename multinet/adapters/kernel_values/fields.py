"""Raw attribute values as Python's; an absent one is zero or empty."""

from __future__ import annotations

import ipaddress
import socket
from struct import unpack_from


def number(raw: bytes | None) -> int:
    """Four bytes in the machine's order."""
    return int(unpack_from("=I", raw)[0]) if raw else 0


def words(raw: bytes | None) -> str:
    """A zero-terminated string."""
    return raw.rstrip(b"\0").decode(errors="replace") if raw else ""


def mac(raw: bytes | None) -> str:
    """A hardware address, ``02:00:…``."""
    return ":".join(f"{octet:02x}" for octet in raw) if raw else ""


def ip(raw: bytes | None) -> str:
    """An address as text: IPv4 by the C library, IPv6 in the one spelling that the rest of the code uses."""
    if not raw:
        return ""
    return socket.inet_ntoa(raw) if len(raw) == 4 else str(ipaddress.IPv6Address(raw))
