"""Keys and data of nftables sets and maps: as text for nft, as bytes for the kernel. Pure.

Parts of a concatenation begin at multiples of four bytes. Source: nft(8) "DATA TYPES"; libnftables' datatype.c.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

__all__ = ["Part", "part_of", "parts_of"]

Part = tuple[str, bytes]
"""One part of a key, both ways."""

_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_PROTOCOL_NAMES = {number: name for name, number in _PROTOCOLS.items()}


def part_of(kind: str, text: str) -> Part:
    """A part of the type ``kind`` (nft's name) from its text. Raises ValueError for nonsense."""
    return text, _ENCODE[kind](text)


def parts_of(kinds: Sequence[str], raw: bytes) -> list[Part]:
    """A whole key taken apart again."""
    parts: list[Part] = []
    start = 0
    for kind in kinds:
        field = raw[start : start + _SIZES[kind]]
        parts.append((_DECODE[kind](field), field.ljust(_room(kind), b"\0")))
        start += _room(kind)
    return parts


def _room(kind: str) -> int:
    return (_SIZES[kind] + 3) & ~3


def _name(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")


def _protocol(data: bytes) -> str:
    return _PROTOCOL_NAMES.get(data[0], str(data[0]))


def _address(data: bytes) -> str:
    return str(ipaddress.ip_address(data))


def _port(data: bytes) -> str:
    return str(int.from_bytes(data, "big"))


_SIZES = {"ipv4_addr": 4, "ipv6_addr": 16, "inet_proto": 1, "inet_service": 2, "ifname": 16, "ether_addr": 6}
_ENCODE: dict[str, Callable[[str], bytes]] = {
    "ipv4_addr": lambda text: ipaddress.IPv4Address(text).packed,
    "ipv6_addr": lambda text: ipaddress.IPv6Address(text).packed,
    "inet_proto": lambda text: bytes((_PROTOCOLS[text], 0, 0, 0)),
    "inet_service": lambda text: int(text).to_bytes(2, "big") + b"\0\0",
    "ifname": lambda text: text.encode().ljust(16, b"\0"),
    "ether_addr": lambda text: bytes.fromhex(text.replace(":", "")) + b"\0\0",
}
_DECODE: dict[str, Callable[[bytes], str]] = {
    "ipv4_addr": _address,
    "ipv6_addr": _address,
    "inet_proto": _protocol,
    "inet_service": _port,
    "ifname": _name,
    "ether_addr": lambda data: data.hex(":"),
}
