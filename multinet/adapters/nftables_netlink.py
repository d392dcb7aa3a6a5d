"""nftables by netlink: questions, and changes of elements; some 20 µs each, whatever else there is.

libnftables works from a cache: for any question it first reads all elements of a table (90 ms for 10,000), and
for any change all tables, chains and interval sets of the host, whoever's (56 ms with 20,000 ranges and 2,000
chains of others). The kernel itself looks one element up by its key. So tables, sets and rules are made by
libnftables (`nftables`), which knows how to write a rule; everything that is done for each pod is done here.
Source: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h; libnftnl's udata.h for comments.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from struct import unpack
from typing import Literal

import msgspec

from multinet.adapters.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NetlinkError,
    attribute,
    attributes,
    message,
    nested,
    text,
)
from multinet.adapters.netns import Netns
from multinet.adapters.nfnetlink import SUBSYS_NFTABLES, NetfilterSocket, header
from multinet.adapters.nftables import Conflict
from multinet.cni.errors import CNIError, Code

__all__ = ["FAMILIES", "Element", "ElementChange", "NftablesSocket", "NoNftables", "Rule"]

FAMILIES = {"unspecified": 0, "inet": 1, "ip": 2, "bridge": 7, "ip6": 10}
"""nft's name of a family → NFPROTO_*."""

_GETTABLE, _GETCHAIN, _GETRULE, _GETSET, _GETSETELEM = 1, 4, 7, 10, 13
_NEWSETELEM, _DELSETELEM, _GETGEN = 12, 14, 16
_RACES = (errno.ENOENT, errno.EEXIST, errno.EBUSY, errno.EAGAIN, errno.EINTR, errno.ERESTART)
_GEN_ID = 1
_TABLE_NAME = 1
_CHAIN_TABLE, _CHAIN_NAME = 1, 3
_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE, _RULE_USERDATA = 1, 2, 3, 7
_SET_TABLE, _SET_NAME = 1, 2
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS, _LIST_ELEM = 1, 2, 3, 1
_ELEM_KEY, _ELEM_DATA, _ELEM_USERDATA, _DATA_VALUE = 1, 2, 6, 1
_UDATA_COMMENT = 0


class NoNftables(CNIError):
    """The kernel has no nf_tables."""


class Rule(msgspec.Struct, frozen=True):
    """A rule: its handle, its comment, and the whole of it as the kernel sent it (to look for names in)."""

    handle: int
    comment: str
    raw: bytes


class Element(msgspec.Struct, frozen=True):
    """An element of a set: its key as the kernel compares it, its comment, and what a map gives for the key."""

    key: bytes
    comment: str
    data: bytes = b""


class ElementChange(msgspec.Struct, frozen=True):
    """One element to make (``create`` fails if it is there) or to remove (``delete`` fails if it isn't)."""

    verb: Literal["create", "delete"]
    family: str
    table: str
    set: str
    key: bytes
    comment: str = ""
    data: bytes = b""
    """What a map gives for the key."""

    def __str__(self) -> str:
        comment = f' comment "{self.comment}"' if self.comment else ""
        return f"{self.verb} element {self.family} {self.table} {self.set} {{ 0x{self.key.hex()}{comment} }}"

    def message(self) -> bytes:
        """The request for it."""
        parts = [nested(_ELEM_KEY, attribute(_DATA_VALUE, self.key))]
        if self.data:
            parts.append(nested(_ELEM_DATA, attribute(_DATA_VALUE, self.data)))
        if self.comment:
            encoded = self.comment.encode() + b"\0"
            parts.append(attribute(_ELEM_USERDATA, bytes((_UDATA_COMMENT, len(encoded))) + encoded))
        kind, flags = (_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL) if self.verb == "create" else (_DELSETELEM, 0)
        return message(
            SUBSYS_NFTABLES << 8 | kind,
            flags,
            header(FAMILIES[self.family]),
            text(_LIST_TABLE, self.table),
            text(_LIST_SET, self.set),
            nested(_LIST_ELEMENTS, nested(_LIST_ELEM, *parts)),
        )


class NftablesSocket:
    """Questions about the tables of one namespace, and changes of elements. Not for use by two threads at once."""

    def __init__(self, netns: Netns) -> None:
        try:
            self._socket = NetfilterSocket(netns)
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

    def generation(self) -> int:
        """The number of the ruleset as it is now: every transaction in the namespace, whoever's, makes it a new one."""
        answer = self._get(_GETGEN, "unspecified")
        if answer is None:
            raise NoNftables(Code.FIREWALL, "nftables: netlink: no ruleset generation")
        (number,) = unpack(">I", attributes(answer, 4, len(answer))[_GEN_ID])
        return int(number)

    def change(self, changes: Sequence[ElementChange], generation: int = 0) -> None:
        """All changes, or none, in one transaction; with ``generation``, only on the ruleset of that number.

        Raises Conflict when a race is the likely reason, CNIError (FIREWALL) otherwise.
        """
        try:
            errors = self._socket.transact([change.message() for change in changes], generation)
        except OSError as error:
            raise _failure(error) from None
        if errors:
            place, code = next(iter(errors.items()))
            subject = str(changes[place]) if place >= 0 else f"transaction of {len(changes)} elements"
            kind = Conflict if all(code in _RACES for code in errors.values()) else CNIError
            raise kind(Code.FIREWALL, f"nftables: {subject}: {os.strerror(code)}")

    def _get(self, kind: int, family: str, *parts: bytes) -> bytes | None:
        try:
            return self._socket.get(message(SUBSYS_NFTABLES << 8 | kind, 0, header(FAMILIES[family]), *parts))
        except NetlinkError as error:
            raise _failure(error) from None

    def _dump(self, kind: int, family: int, *parts: bytes) -> list[bytes]:
        try:
            return self._socket.dump(SUBSYS_NFTABLES << 8 | kind, header(family), *parts)
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                return []
            raise _failure(error) from None


def _elements(answer: bytes) -> Iterator[Element]:
    body = attributes(answer, 4, len(answer)).get(_LIST_ELEMENTS, b"")
    start = 0
    while start + 4 <= len(body):
        (size,) = unpack("=H", body[start : start + 2])
        found = attributes(body, start + 4, start + size)
        key = attributes(found[_ELEM_KEY], 0, len(found[_ELEM_KEY]))[_DATA_VALUE]
        value = found.get(_ELEM_DATA, b"")
        data = attributes(value, 0, len(value)).get(_DATA_VALUE, b"")
        yield Element(key, _comment(found.get(_ELEM_USERDATA, b"")), data)
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
    problem = f"nftables: netlink: {error.strerror}"
    # EINVAL is nfnetlink's answer for a subsystem that the kernel lacks (and for a malformed question).
    if error.errno in (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
        return NoNftables(Code.FIREWALL, problem)
    return CNIError(Code.FIREWALL, problem)
