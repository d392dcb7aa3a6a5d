"""Tracked connections by netlink: those of one destination port, and forgetting them. No ``conntrack`` program.

Source: linux/netfilter/nfnetlink_conntrack.h; net/netfilter/nf_conntrack_netlink.c (dump filters from 5.8 on, an
older kernel sends everything; what it sends is looked at in any case).
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Collection, Iterable
from struct import pack

import msgspec

from multinet.adapters.netlink import NetlinkError, attribute, attributes, message, nested
from multinet.adapters.netns import Netns
from multinet.adapters.nfnetlink import NetfilterSocket, header

__all__ = ["UDP", "ConntrackSocket", "Flow"]

UDP = 17

_SUBSYSTEM = 1
_GET, _DELETE = 1, 2
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_SOURCE, _DESTINATION = {4: 1, 6: 3}, {4: 2, 6: 4}
_PROTO_NUM, _PROTO_SRC_PORT, _PROTO_DST_PORT = 1, 2, 3
_FILTER_ORIG_FLAGS = 1
_FLAG_PROTO_NUM, _FLAG_PROTO_DST_PORT = 1 << 3, 1 << 5
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class Flow(msgspec.Struct, frozen=True):
    """A tracked connection: where its first packet went, and who answers (or would)."""

    destination: str
    port: int
    answering: str
    answering_port: int
    key: bytes
    """The attributes that name it."""


class ConntrackSocket:
    """The connection tracking of one namespace. Not for use by two threads at once."""

    def __init__(self, netns: Netns) -> None:
        """Raises OSError when the kernel has no netfilter."""
        self._socket = NetfilterSocket(netns)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def flows(self, version: int, protocol: int, ports: Collection[int]) -> list[Flow]:
        """Connections of this protocol whose first packet went to one of ``ports``. Raises OSError.

        The kernel goes through its whole table for it, 10 ms or more: ask once for all ports.
        """
        wanted = [attribute(_PROTO_NUM, bytes((protocol,)))]
        flags = _FLAG_PROTO_NUM
        marks = [attribute(_PROTO_DST_PORT, pack(">H", port)) for port in ports]
        if len(marks) == 1:
            wanted += marks
            flags |= _FLAG_PROTO_DST_PORT
        answers = self._socket.dump(
            _SUBSYSTEM << 8 | _GET,
            header(_FAMILIES[version]),
            nested(_TUPLE_ORIG, nested(_TUPLE_PROTO, *wanted)),
            nested(_FILTER, attribute(_FILTER_ORIG_FLAGS, pack("=I", flags))),
        )
        near = (answer for answer in answers if any(mark in answer for mark in marks))
        found = (_flow(version, protocol, answer) for answer in near)
        return [flow for flow in found if flow is not None and flow.port in ports]

    def forget(self, version: int, flows: Iterable[Flow]) -> None:
        """Forget connections: the next packet of each begins anew. Gone already is no failure. Raises OSError."""
        kind = _SUBSYSTEM << 8 | _DELETE
        requests = [message(kind, 0, header(_FAMILIES[version]), flow.key) for flow in flows]
        for error in self._socket.send(requests):
            if error is not None and error.errno != errno.ENOENT:
                raise NetlinkError(error.errno or 0, f"conntrack: {error.strerror}")


def _flow(version: int, protocol: int, answer: bytes) -> Flow | None:
    found = attributes(answer, 4, len(answer))
    original, reply = (_tuple(found[kind]) for kind in (_TUPLE_ORIG, _TUPLE_REPLY))
    if original[1][_PROTO_NUM] != bytes((protocol,)) or _DESTINATION[version] not in original[0]:
        return None
    key = attribute(_TUPLE_ORIG | 0x8000, found[_TUPLE_ORIG]) + attribute(_ID, found[_ID])
    if _ZONE in found:
        key += attribute(_ZONE, found[_ZONE])
    return Flow(
        str(ipaddress.ip_address(original[0][_DESTINATION[version]])),
        int.from_bytes(original[1][_PROTO_DST_PORT], "big"),
        str(ipaddress.ip_address(reply[0][_SOURCE[version]])),
        int.from_bytes(reply[1][_PROTO_SRC_PORT], "big"),
        key,
    )


def _tuple(data: bytes) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """Addresses, and what is the protocol's."""
    parts = attributes(data, 0, len(data))
    addresses, protocol = parts[_TUPLE_IP], parts[_TUPLE_PROTO]
    return attributes(addresses, 0, len(addresses)), attributes(protocol, 0, len(protocol))
