"""Reading nftables straight from the kernel: 20 µs a question, whatever the size of the tables.

libnftables answers any question from a cache, for which it first reads all elements of a table (90 ms for
10,000); the kernel itself looks one element up by its key. Writing stays with libnftables.
Source: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h; libnftnl's udata.h for comments.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from struct import pack, unpack

import msgspec

from multinet.adapters.netlink import (
    NetlinkError,
    NetlinkSocket,
    attribute,
    attributes,
    message,
    nested,
    text,
)
from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError, Code

__all__ = ["FAMILIES", "Element", "NftablesReader", "NoNftables", "Rule"]

FAMILIES = {"inet": 1, "ip": 2, "bridge": 7, "ip6": 10}
"""nft's name of a family → NFPROTO_*."""

_NFNETLINK, _SUBSYS_NFTABLES = 12, 10
_GETTABLE, _GETCHAIN, _GETRULE, _GETSET, _GETSETELEM = 1, 4, 7, 10, 13
_TABLE_NAME = 1
_CHAIN_TABLE, _CHAIN_NAME = 1, 3
_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE, _RULE_USERDATA = 1, 2, 3, 7
_SET_TABLE, _SET_NAME = 1, 2
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS, _LIST_ELEM = 1, 2, 3, 1
_ELEM_KEY, _ELEM_USERDATA, _DATA_VALUE = 1, 6, 1
_UDATA_COMMENT = 0


class NoNftables(CNIError):
    """The kernel has no nf_tables."""


class Rule(msgspec.Struct, frozen=True):
    """A rule: its handle, its comment, and the whole of it as the kernel sent it (to look for names in)."""

    handle: int
    comment: str
    raw: bytes


class Element(msgspec.Struct, frozen=True):
    """An element of a set: its key as the kernel compares it, and its comment."""

    key: bytes
    comment: str


class _Socket(NetlinkSocket):
    """As the routing one, on the netfilter protocol."""

    def __init__(self, netns: Netns) -> None:
        with netns.entered():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NFNETLINK)
        self._sequence = 0


class NftablesReader:
    """Questions about the tables of one namespace. Not for use by two threads at once."""

    def __init__(self, netns: Netns) -> None:
        try:
            self._socket = _Socket(netns)
        except OSError as error:
            raise _failure(error) from None

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def tables(self) -> frozenset[tuple[str, str]]:
        """(family, name) of every table. Raises NoNftables where the kernel has none of it."""
        names = {number: name for name, number in FAMILIES.items()}
        found = self._dump(_GETTABLE, 0)
        return frozenset(
            (names.get(a[0], "?"), _string(attributes(a, 4, len(a))[_TABLE_NAME])) for a in found
        )

    def has_chain(self, family: str, table: str, chain: str) -> bool:
        """Whether the chain is there."""
        return self._get(_GETCHAIN, family, text(_CHAIN_TABLE, table), text(_CHAIN_NAME, chain)) is not None

    def sets(self, family: str, table: str) -> list[str]:
        """Names of a table's sets; none when there is no such table."""
        answers = self._dump(_GETSET, FAMILIES[family], text(_SET_TABLE, table))
        return [_string(attributes(answer, 4, len(answer))[_SET_NAME]) for answer in answers]

    def rules(self, family: str, table: str, chain: str) -> list[Rule]:
        """The rules of a chain in their order; none when there is no such chain."""
        answers = self._dump(_GETRULE, FAMILIES[family], text(_RULE_TABLE, table), text(_RULE_CHAIN, chain))
        rules = []
        for answer in answers:
            found = attributes(answer, 4, len(answer))
            if _RULE_HANDLE in found:
                (handle,) = unpack(">Q", found[_RULE_HANDLE])
                rules.append(Rule(handle, _comment(found.get(_RULE_USERDATA, b"")), answer))
        return rules

    def element(self, family: str, table: str, name: str, key: bytes) -> Element | None:
        """The element with exactly this key, None when it, its set or its table is absent."""
        wanted = nested(_LIST_ELEMENTS, nested(_LIST_ELEM, nested(_ELEM_KEY, attribute(_DATA_VALUE, key))))
        answer = self._get(_GETSETELEM, family, text(_LIST_TABLE, table), text(_LIST_SET, name), wanted)
        return None if answer is None else next(_elements(answer), None)

    def elements(self, family: str, table: str, name: str, mark: str = "") -> list[Element]:
        """The elements of a set whose comment contains ``mark``; none when there is no such set."""
        answers = self._dump(_GETSETELEM, FAMILIES[family], text(_LIST_TABLE, table), text(_LIST_SET, name))
        sought = mark.encode()
        # A datagram holds dozens of elements: most are passed over whole, undecoded.
        near = (answer for answer in answers if sought in answer)
        return [element for answer in near for element in _elements(answer) if mark in element.comment]

    def _get(self, kind: int, family: str, *parts: bytes) -> bytes | None:
        try:
            return self._socket.get(
                message(_SUBSYS_NFTABLES << 8 | kind, 0, _header(FAMILIES[family]), *parts)
            )
        except NetlinkError as error:
            raise _failure(error) from None

    def _dump(self, kind: int, family: int, *parts: bytes) -> list[bytes]:
        try:
            return self._socket.dump(_SUBSYS_NFTABLES << 8 | kind, _header(family), *parts)
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                return []
            raise _failure(error) from None


def _header(family: int) -> bytes:
    """``struct nfgenmsg``: family, version 0, no resource."""
    return pack(">BBH", family, 0, 0)


def _elements(answer: bytes) -> Iterator[Element]:
    body = attributes(answer, 4, len(answer)).get(_LIST_ELEMENTS, b"")
    start = 0
    while start + 4 <= len(body):
        (size,) = unpack("=H", body[start : start + 2])
        found = attributes(body, start + 4, start + size)
        key = attributes(found[_ELEM_KEY], 0, len(found[_ELEM_KEY]))[_DATA_VALUE]
        yield Element(key, _comment(found.get(_ELEM_USERDATA, b"")))
        start += (size + 3) & ~3


def _comment(userdata: bytes) -> str:
    """The comment in a rule's or an element's user data: entries of type, length (a byte each), value."""
    start = 0
    while start + 2 <= len(userdata):
        kind, size = userdata[start], userdata[start + 1]
        if kind == _UDATA_COMMENT:
            return _string(userdata[start + 2 : start + 2 + size])
        start += 2 + size
    return ""


def _string(data: bytes) -> str:
    return data.partition(b"\0")[0].decode(errors="replace")


def _failure(error: OSError) -> CNIError:
    problem = f"nftables: reading failed: {error.strerror}"
    # EINVAL is nfnetlink's answer for a subsystem that the kernel lacks (and for a malformed question).
    if error.errno in (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
        return NoNftables(Code.FIREWALL, problem)
    return CNIError(Code.FIREWALL, problem)
