"""IPv4 and UDP around a DHCP message, as a raw socket sends and receives it (RFC 791, RFC 768)."""

from __future__ import annotations

from ipaddress import IPv4Address
from struct import Struct

__all__ = ["CLIENT_PORT", "SERVER_PORT", "unwrap", "wrap"]

CLIENT_PORT, SERVER_PORT = 68, 67
_IP = Struct("!BBHHHBBH4s4s")
_UDP = Struct("!HHHH")
_UDP_PROTOCOL = 17
_DONT_FRAGMENT = 0x4000
_LATER_FRAGMENT = 0x3FFF  # more-fragments bit and offset
_HOPS = 64


def wrap(payload: bytes, source: IPv4Address, destination: IPv4Address) -> bytes:
    """The packet from a client's port to a server's, checksums set."""
    size = _UDP.size + len(payload)
    pseudo = source.packed + destination.packed + bytes((0, _UDP_PROTOCOL)) + size.to_bytes(2, "big")
    ports = _UDP.pack(CLIENT_PORT, SERVER_PORT, size, 0)
    udp = _UDP.pack(CLIENT_PORT, SERVER_PORT, size, _checksum(pseudo + ports + payload) or 0xFFFF)
    fields = (0x45, 0, _IP.size + size, 0, _DONT_FRAGMENT, _HOPS, _UDP_PROTOCOL)
    check = _checksum(_IP.pack(*fields, 0, source.packed, destination.packed))
    return _IP.pack(*fields, check, source.packed, destination.packed) + udp + payload


def unwrap(packet: bytes) -> bytes | None:
    """The UDP payload of a whole, undamaged packet to a client's port; None for anything else.

    UDP's checksum is not verified: between interfaces of one machine it has often not been computed yet.
    """
    if len(packet) < _IP.size or packet[0] >> 4 != 4:
        return None
    start = (packet[0] & 15) * 4
    _, _, total, _, fragment, _, protocol, _, _, _ = _IP.unpack_from(packet)
    if (
        protocol != _UDP_PROTOCOL
        or fragment & _LATER_FRAGMENT
        or not start + _UDP.size <= total <= len(packet)
    ):
        return None
    if start < _IP.size or _checksum(packet[:start]):
        return None
    _, port, size, _ = _UDP.unpack_from(packet, start)
    if port != CLIENT_PORT or not _UDP.size <= size <= total - start:
        return None
    return packet[start + _UDP.size : start + size]


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
