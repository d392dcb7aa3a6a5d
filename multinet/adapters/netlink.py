"""Netlink: messages packed by hand and sent many at a time.

Why a codec of our own: encoding and start-up decide the cost of an ADD (docs/decisions/0003-netlink-codec.md).
Tests read every message back with an independent library. What rtnetlink puts into the messages is in
``rtnetlink``. Sources: linux/netlink.h, netlink(7).
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from struct import Struct, pack, unpack_from
from sys import byteorder

from multinet.adapters.netns import Netns

NLM_F_REQUEST, NLM_F_ACK, NLM_F_ECHO, NLM_F_DUMP, NLM_F_DUMP_INTR = 0x1, 0x4, 0x8, 0x300, 0x10
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800
NLMSG_ERROR, NLMSG_DONE = 2, 3
_NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x100, 0x200
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK = 270, 10, 11, 12

_HEADER = Struct("=IHHII")
_ATTRIBUTE = Struct("=HH")
_read_attribute = _ATTRIBUTE.unpack_from
_NESTED = 0x8000
_BUFFER = 1 << 16
_DUMP_TRIES = 5
_LARGEST_BATCH = 100
"""Messages; their failures, acknowledged in some 800 bytes each, fit a socket's default buffer (208 KiB)."""


class NetlinkError(OSError):
    """The kernel refused one message; ``index`` is its place in the batch, ``note`` the kernel's own words."""

    def __init__(self, code: int, note: str = "", index: int = 0) -> None:
        super().__init__(code, note or os.strerror(code))
        self.note = note
        self.index = index


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    size = len(data) + 4
    return _ATTRIBUTE.pack(size, kind) + data + b"\0" * (-size & 3)


def u8(kind: int, value: int) -> bytes:
    """An attribute of one byte."""
    return pack("=HHB3x", 5, kind, value)


def u16(kind: int, value: int) -> bytes:
    """An attribute of two bytes in the machine's order."""
    return pack("=HHH2x", 6, kind, value)


def u32(kind: int, value: int) -> bytes:
    """An attribute of four bytes in the machine's order."""
    return pack("=HHI", 8, kind, value)


def text(kind: int, value: str) -> bytes:
    """A zero-terminated string attribute."""
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, *attributes: bytes) -> bytes:
    """Attributes within an attribute."""
    return attribute(kind | _NESTED, b"".join(attributes))


def hardware_address(kind: int, mac: str) -> bytes:
    """A MAC (``02:00:…``) as an attribute."""
    return attribute(kind, bytes.fromhex(mac.replace(":", "")))


def message(kind: int, flags: int, *parts: bytes) -> bytes:
    """One request; its sequence number is filled in when it is sent."""
    body = b"".join(parts)
    return _HEADER.pack(16 + len(body), kind, flags | NLM_F_REQUEST, 0, 0) + body


def attributes(data: bytes, start: int, end: int) -> dict[int, bytes]:
    """Attribute kind (without the flags for nesting and byte order) → raw value; the last of a kind wins."""
    found: dict[int, bytes] = {}
    while start + 4 <= end:
        size, kind = _read_attribute(data, start)
        if size < 4:
            break
        found[kind & 0x3FFF] = data[start + 4 : start + size]
        start += (size + 3) & ~3
    return found


def first_attribute(data: bytes, wanted: int) -> bytes | None:
    """The value of one attribute out of many, found without the others; None if it isn't there."""
    start, end = 0, len(data)
    while start + 4 <= end:
        size, kind = _read_attribute(data, start)
        if size < 4:
            break
        if kind & 0x3FFF == wanted:
            return data[start + 4 : start + size]
        start += (size + 3) & ~3
    return None


class NetlinkSocket:
    """One rtnetlink socket, bound to the namespace it was made in. Not for use by two threads at once."""

    def __init__(self, netns: Netns, home: Netns | None = None) -> None:
        """``home``: the calling thread's namespace, if it is known."""
        with netns.entered(home):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._sequence = 0

    def close(self) -> None:
        """Close it; safe to repeat."""
        self._socket.close()

    def send(self, batch: Sequence[bytes]) -> list[NetlinkError | None]:
        """Send all messages in one go and return what became of each, in order: None is success.

        The kernel works through the whole buffer whatever fails on the way, and reports failures always but
        success only when asked: so only the last message asks, and its answer ends the reading.
        """
        if len(batch) > _LARGEST_BATCH:
            return self._send_in_parts(batch)
        if not batch:
            return []
        first = self._sequence + 1
        self._sequence += len(batch)
        last = self._sequence
        buffer = bytearray(b"".join(batch))
        offset = 0
        for place, single in enumerate(batch):
            buffer[offset + 8 : offset + 12] = (first + place).to_bytes(4, byteorder)
            offset += len(single)
        tail = offset - len(batch[-1])
        buffer[tail + 6] |= NLM_F_ACK
        self._socket.send(buffer)
        outcome: list[NetlinkError | None] = [None] * len(batch)
        while True:
            data = self._socket.recv(_BUFFER)
            for kind, flags, sequence, start, end in _messages(data):
                if kind != NLMSG_ERROR or not first <= sequence <= last:
                    continue
                outcome[sequence - first] = _error_of(data, start, end, flags, sequence - first)
                if sequence == last:
                    return outcome

    def _send_in_parts(self, batch: Sequence[bytes]) -> list[NetlinkError | None]:
        """The kernel reports all failures before any is read; too many overflow the socket (ENOBUFS)."""
        outcome: list[NetlinkError | None] = []
        for start in range(0, len(batch), _LARGEST_BATCH):
            part = self.send(batch[start : start + _LARGEST_BATCH])
            for error in part:
                if error is not None:
                    error.index += start
            outcome += part
        return outcome

    def get(self, request: bytes) -> bytes | None:
        """The one message that answers a look-up (payload with its header struct), None if there is no such object.

        Raises NetlinkError for any other refusal.
        """
        self._sequence += 1
        buffer = bytearray(request)
        buffer[8:12] = self._sequence.to_bytes(4, byteorder)
        self._socket.send(buffer)
        while True:
            data = self._socket.recv(_BUFFER)
            for kind, flags, sequence, start, end in _messages(data):
                if sequence != self._sequence:
                    continue
                if kind != NLMSG_ERROR:
                    return data[start:end]
                error = _error_of(data, start, end, flags, 0)
                if error is None or error.errno in (errno.ENODEV, errno.ENOENT):
                    return None
                raise error

    def dump(self, kind: int, header: bytes, *parts: bytes) -> list[bytes]:
        """All answers of a dump. One that the kernel flags as interrupted is repeated (5 tries in all)."""
        request = message(kind, NLM_F_DUMP, header, *parts)
        answers: list[bytes] = []
        for _ in range(_DUMP_TRIES):
            answers, interrupted = self._dump_once(request)
            if not interrupted:
                break
        return answers

    def _dump_once(self, request: bytes) -> tuple[list[bytes], bool]:
        self._sequence += 1
        buffer = bytearray(request)
        buffer[8:12] = self._sequence.to_bytes(4, byteorder)
        self._socket.send(buffer)
        answers: list[bytes] = []
        interrupted = False
        while True:
            data = self._socket.recv(_BUFFER)
            for kind, flags, sequence, start, end in _messages(data):
                if sequence != self._sequence:
                    continue
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
                if kind == NLMSG_DONE:
                    return answers, interrupted
                if kind == NLMSG_ERROR:
                    error = _error_of(data, start, end, flags, 0)
                    if error is not None:
                        raise error
                    return answers, interrupted
                answers.append(data[start:end])


def _messages(data: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """(type, flags, sequence, start, end of the payload) of each message in a datagram."""
    offset, total = 0, len(data)
    while offset + 16 <= total:
        size, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if size < 16:
            return
        yield kind, flags, sequence, offset + 16, offset + size
        offset += (size + 3) & ~3


def _error_of(data: bytes, start: int, end: int, flags: int, index: int) -> NetlinkError | None:
    """The error in an acknowledgement, with the kernel's words (NLMSGERR_ATTR_MSG) if it said any."""
    code = -int(unpack_from("=i", data, start)[0])
    if code == 0:
        return None
    note = ""
    if flags & _NLM_F_ACK_TLVS:
        if flags & _NLM_F_CAPPED:
            tlvs = start + 20
        else:  # the whole request is echoed before the attributes
            tlvs = start + 4 + int(unpack_from("=I", data, start + 4)[0])
        note = attributes(data, (tlvs + 3) & ~3, end).get(1, b"").rstrip(b"\0").decode(errors="replace")
    return NetlinkError(code, note, index)
