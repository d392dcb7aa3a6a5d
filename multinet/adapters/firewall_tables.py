"""The layout of multinet's own nftables: what tables, sets and rules there are, and what an item adds.

Pure. Sets, not rules, grow with the pods: one element an address and one rule a prefix length, so that a
packet costs the same few hash look-ups, and an ADD the same time, with ten pods and with ten thousand::

    table inet multinet {
        set masquerade4-24 { type ipv4_addr . ipv4_addr
            elements = { 10.1.2.3 . 10.1.2.0 comment "multinet:…" } }
        set claims4-24 { type ipv4_addr . ifname; elements = { 10.1.2.3 . "0f3a…" } }
        chain postrouting4-24 { type nat hook postrouting priority srcnat
            ip daddr != 224.0.0.0/4 ip saddr . ip saddr & 255.255.255.0 @masquerade4-24
                ip saddr . ip daddr & 255.255.255.0 != @masquerade4-24 masquerade } }
    table bridge multinet {
        set guarded { type ifname; elements = { "veth0a…" comment "multinet:…" } }
        set allowed { type ifname . ether_addr; elements = { "veth0a…" . 02:… comment "multinet:…" } }
        set claims { type ifname . ifname; elements = { "veth0a…" . "0f3a…" } }
        chain mac-guard { type filter hook prerouting priority -300
            iifname @guarded iifname . ether saddr != @allowed counter drop } }

The masquerade set holds (address, network of the address): the first look-up asks whether the source is one
of ours, the second whether the destination lies in the same network. There are no intervals (adding to such
a set copies all of it) and no verdict maps (adding to one makes the kernel validate all of it).

A claim says whose a subject (address, link) is. Taking a subject over replaces its claim; removing one's
elements removes one's claim in the same transaction. So a late DEL of a former owner fails as a whole,
however the two interleave, instead of taking the rules from the present owner.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any, Literal

import msgspec

from multinet.adapters.nftables import Command
from multinet.adapters.nftables_netlink import ElementChange
from multinet.cni.addresses import interface_of
from multinet.core.desired import MacGuard, Masquerade, Owner

__all__ = [
    "COMMENT_LIMIT",
    "TABLE",
    "Change",
    "Entry",
    "Family",
    "Holding",
    "claim_of",
    "comment",
    "entry_from",
    "holding_of",
    "is_claims",
    "network_prefix",
]

Family = Literal["inet", "bridge"]

TABLE = "multinet"
COMMENT_LIMIT = 128
"""Bytes in a comment: what nft accepts as text, so that a saved ruleset can be loaded again."""

_NETWORK_LIMIT, _CONTAINER_LIMIT, _DIGEST = 38, 64, 12
_CLAIM_DIGITS = 15  # an interface name is the longest plain text that a set can be keyed by


class Entry(msgspec.Struct, frozen=True):
    """One element: its set, and its key both as nft writes it and as the kernel compares it, part by part."""

    family: Family
    set: str
    parts: tuple[str, ...]
    raw: tuple[bytes, ...]

    @property
    def key(self) -> bytes:
        """The whole key as the kernel compares it."""
        return b"".join(self.raw)

    def create(self, comment: str = "") -> Change:
        """Making it; fails if it is there."""
        return Change("create", self, comment)

    def delete(self) -> Change:
        """Removing it; fails if it isn't there."""
        return Change("delete", self)


class Change(msgspec.Struct, frozen=True):
    """An element to be made or removed, for either of the two ways to nftables."""

    verb: Literal["create", "delete"]
    entry: Entry
    comment: str = ""

    def command(self) -> Command:
        """For libnftables."""
        parts = list(self.entry.parts)
        value: Any = parts[0] if len(parts) == 1 else {"concat": parts}
        if self.comment:
            value = {"elem": {"val": value, "comment": self.comment}}
        place = {"family": self.entry.family, "table": TABLE, "name": self.entry.set}
        return {self.verb: {"element": {**place, "elem": [value]}}}

    def element(self) -> ElementChange:
        """For netlink."""
        return ElementChange(
            self.verb, self.entry.family, TABLE, self.entry.set, self.entry.key, self.comment
        )


class Holding(msgspec.Struct, frozen=True):
    """What one item puts into the tables: elements on one subject, with the owner's comment, and a claim."""

    frame: str
    comment: str
    entries: tuple[Entry, ...]

    @property
    def claim(self) -> Entry:
        """The claim of the owner to the subject."""
        return claim_of(self.entries[0], self.comment)


def comment(owner: Owner) -> str:
    """The owner as the comment of an element: the mark where that fits, else with digests for long parts."""
    return f"{network_prefix(owner.network)}{_bounded(owner.container_id, _CONTAINER_LIMIT)}/{owner.ifname}"


def network_prefix(network: str) -> str:
    """What the comments of all attachments of a network begin with."""
    return f"multinet:{_bounded(network, _NETWORK_LIMIT)}/"


def holding_of(item: Masquerade | MacGuard) -> Holding:
    """The elements for an item."""
    if isinstance(item, MacGuard):
        link = (item.link, _ifname(item.link))
        mac = (item.mac.lower(), _padded(bytes.fromhex(item.mac.replace(":", ""))))
        guarded = _entry("bridge", "guarded", link)
        return Holding("guard", comment(item.owner), (guarded, _entry("bridge", "allowed", link, mac)))
    interface = interface_of(item.cidr)
    frame = f"{interface.version}-{interface.network.prefixlen}"
    parts = [(str(ip), ip.packed) for ip in (interface.ip, interface.network.network_address)]
    return Holding(frame, comment(item.owner), (_entry("inet", f"masquerade{frame}", *parts),))


def claim_of(entry: Entry, comment: str) -> Entry:
    """The claim to an element's subject (the first part of its key) by the owner of ``comment``."""
    holder = hashlib.sha256(comment.encode()).hexdigest()[:_CLAIM_DIGITS]
    name = "claims" + entry.set.removeprefix("masquerade") if entry.family == "inet" else "claims"
    return _entry(entry.family, name, (entry.parts[0], entry.raw[0]), (holder, _ifname(holder)))


def is_claims(name: str) -> bool:
    """Whether a set of ours holds claims, not elements with comments."""
    return name.startswith("claims")


def entry_from(family: Family, name: str, key: bytes) -> Entry:
    """An element read from the kernel, its key taken apart again. ValueError for a set that isn't ours."""
    if family == "inet" and name.startswith("masquerade"):
        half = len(key) // 2
        parts = [(str(ipaddress.ip_address(raw)), raw) for raw in (key[:half], key[half:])]
    elif family == "bridge" and name in ("guarded", "allowed"):
        parts = [(key[:16].rstrip(b"\0").decode(), key[:16])]
        if name == "allowed":
            parts.append((key[16:22].hex(":"), key[16:]))
    else:
        raise ValueError(f"set {family} {TABLE} {name} is not of a known layout")
    return _entry(family, name, *parts)


def _entry(family: Family, name: str, *parts: tuple[str, bytes]) -> Entry:
    return Entry(family, name, tuple(part for part, _ in parts), tuple(raw for _, raw in parts))


def _ifname(name: str) -> bytes:
    return name.encode().ljust(16, b"\0")


def _padded(data: bytes) -> bytes:
    """Parts of a key begin at multiples of four bytes."""
    return data + b"\0" * (-len(data) & 3)


def _bounded(name: str, limit: int) -> str:
    """``name`` in at most ``limit`` bytes: cut, with a digest of the whole, if it is longer."""
    encoded = name.encode()
    if len(encoded) <= limit:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:_DIGEST]
    return f"{encoded[: limit - _DIGEST - 1].decode(errors='ignore')}~{digest}"
