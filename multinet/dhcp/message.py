"""A DHCP message and its bytes (RFC 2131, section 2; RFC 3396 for long options)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from ipaddress import IPv4Address
from struct import Struct

import msgspec

from multinet.dhcp import options as opt

__all__ = ["ANY", "Kind", "Malformed", "Message", "decode", "encode"]

ANY = IPv4Address(0)
_HEADER = Struct("!4B I HH 4s4s4s4s 16s64s128s 4s")
_COOKIE = bytes((99, 130, 83, 99))
_ETHERNET = 1
_BROADCAST = 0x8000
_SMALLEST = 300
"""Bytes of the smallest message (BOOTP's): some relays and servers drop shorter ones."""


class Kind(IntEnum):
    """DHCP message types (option 53)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Malformed(Exception):
    """The bytes are no DHCP message, or none that a client may believe; the text says why."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message. ``mac`` is the client's hardware address (``chaddr``), ``options`` raw values by code."""

    xid: int
    mac: bytes
    reply: bool = False
    secs: int = 0
    broadcast: bool = False
    ciaddr: IPv4Address = ANY
    yiaddr: IPv4Address = ANY
    siaddr: IPv4Address = ANY
    giaddr: IPv4Address = ANY
    options: Mapping[int, bytes] = {}

    @property
    def kind(self) -> Kind | None:
        """The message type; None without one, or for one that RFC 2131 doesn't know."""
        raw = self.options.get(opt.MESSAGE_TYPE, b"")
        return Kind(raw[0]) if len(raw) == 1 and raw[0] in Kind._value2member_map_ else None

    @property
    def server(self) -> IPv4Address | None:
        """The server identifier (option 54); None if it is missing or no address."""
        raw = self.options.get(opt.SERVER_ID, b"")
        return IPv4Address(raw) if len(raw) == 4 and any(raw) else None


def encode(message: Message) -> bytes:
    """The message as a UDP payload: options in ascending order, an End, zeros up to 300 bytes."""
    header = _HEADER.pack(
        2 if message.reply else 1,
        _ETHERNET,
        len(message.mac),
        0,
        message.xid,
        min(message.secs, 0xFFFF),
        _BROADCAST if message.broadcast else 0,
        message.ciaddr.packed,
        message.yiaddr.packed,
        message.siaddr.packed,
        message.giaddr.packed,
        message.mac,
        b"",
        b"",
        _COOKIE,
    )
    body = b"".join(_encoded(code, message.options[code]) for code in sorted(message.options))
    return (header + body + bytes((opt.END,))).ljust(_SMALLEST, b"\0")


def decode(data: bytes) -> Message:
    """The message in a UDP payload. Raises Malformed.

    Every options field must be closed by its End option: without one nobody can tell a message that was cut
    off from a whole one (RFC 2131, section 4.1, asks for it).
    """
    if len(data) < _HEADER.size:
        raise Malformed(f"{len(data)} bytes are too few")
    op, htype, hlen, _, xid, secs, flags, *rest = _HEADER.unpack_from(data)
    ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file, cookie = rest
    if op not in (1, 2):
        raise Malformed(f"op {op} is neither request nor reply")
    if htype != _ETHERNET or hlen != 6:
        raise Malformed(f"hardware address of type {htype} and length {hlen}, not Ethernet's")
    if cookie != _COOKIE:
        raise Malformed("no DHCP options (magic cookie missing)")
    found: dict[int, bytearray] = {}
    _read(data[_HEADER.size :], found, "options")
    overload = bytes(found.pop(opt.OVERLOAD, b""))
    if overload not in (b"", b"\1", b"\2", b"\3"):
        raise Malformed("option 52 (overload) is neither 1, 2 nor 3")
    if overload in (b"\1", b"\3"):
        _read(file, found, "file field")
    if overload in (b"\2", b"\3"):
        _read(sname, found, "sname field")
    return Message(
        xid=xid,
        mac=chaddr[:6],
        reply=op == 2,
        secs=secs,
        broadcast=bool(flags & _BROADCAST),
        ciaddr=IPv4Address(ciaddr),
        yiaddr=IPv4Address(yiaddr),
        siaddr=IPv4Address(siaddr),
        giaddr=IPv4Address(giaddr),
        options={code: bytes(value) for code, value in found.items()},
    )


def _encoded(code: int, value: bytes) -> bytes:
    pieces = [value[at : at + 255] for at in range(0, len(value), 255)] or [b""]
    return b"".join(bytes((code, len(piece))) + piece for piece in pieces)


def _read(field: bytes, found: dict[int, bytearray], where: str) -> None:
    """Add the options in ``field`` to ``found``; those that come in pieces are joined (RFC 3396)."""
    at = 0
    while at < len(field):
        code = field[at]
        at += 1
        if code == opt.END:
            return
        if code == opt.PAD:
            continue
        if at >= len(field) or at + 1 + field[at] > len(field):
            raise Malformed(f"option {code} reaches beyond the {where}")
        size = field[at]
        found.setdefault(code, bytearray()).extend(field[at + 1 : at + 1 + size])
        at += 1 + size
    raise Malformed(f"the {where} has no End option")
