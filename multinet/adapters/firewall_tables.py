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
from functools import cache
from typing import Any, Literal

import msgspec

from multinet.adapters.nftables import Command
from multinet.core.desired import MacGuard, Masquerade, Owner

__all__ = [
    "COMMENT_LIMIT",
    "TABLE",
    "Entry",
    "Family",
    "Frame",
    "Holding",
    "claim_of",
    "comment",
    "entry_from",
    "frame_of",
    "holding_of",
    "is_claims",
    "network_prefix",
]

Family = Literal["inet", "bridge"]

TABLE = "multinet"
COMMENT_LIMIT = 128
"""Bytes in a comment: what nft accepts as text, so that a saved ruleset can be loaded again."""

_LAYOUT = "multinet layout 1"
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

    def command(self, verb: Literal["create", "delete"], comment: str = "") -> Command:
        """The command that makes it (``create`` fails if it is there) or removes it."""
        value: Any = self.parts[0] if len(self.parts) == 1 else {"concat": list(self.parts)}
        if comment:
            value = {"elem": {"val": value, "comment": comment}}
        return {verb: {"element": {"family": self.family, "table": TABLE, "name": self.set, "elem": [value]}}}


class Holding(msgspec.Struct, frozen=True):
    """What one item puts into the tables: elements on one subject, with the owner's comment, and a claim."""

    frame: str
    comment: str
    entries: tuple[Entry, ...]

    @property
    def claim(self) -> Entry:
        """The claim of the owner to the subject."""
        return claim_of(self.entries[0], self.comment)


class Frame(msgspec.Struct, frozen=True):
    """The fixed part that elements of one kind need: sets, a base chain, its rule known by its comment."""

    family: Family
    chain: str
    comment: str
    commands: tuple[Command, ...]
    """Makes all of it; repeating it, from several processes too, changes nothing."""


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
    interface = ipaddress.ip_interface(item.cidr)
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


@cache
def frame_of(name: str) -> Frame:
    """The frame of a holding."""
    if name == "guard":
        return _guard_frame()
    version, length = (int(part) for part in name.split("-"))
    return _masquerade_frame(version, length)


def _masquerade_frame(version: int, length: int) -> Frame:
    protocol, address, everyone, multicast = {
        4: ("ip", "ipv4_addr", "0.0.0.0", {"addr": "224.0.0.0", "len": 4}),
        6: ("ip6", "ipv6_addr", "::", {"addr": "ff00::", "len": 8}),
    }[version]
    mask = str(ipaddress.ip_network(f"{everyone}/{length}").netmask)
    source, destination = ({"payload": {"protocol": protocol, "field": f}} for f in ("saddr", "daddr"))
    members = f"masquerade{version}-{length}"
    rule = [
        _match("!=", destination, {"prefix": multicast}),
        _match("==", {"concat": [source, {"&": [source, mask]}]}, f"@{members}"),
        _match("!=", {"concat": [source, {"&": [destination, mask]}]}, f"@{members}"),
        {"masquerade": None},
    ]
    sets = {members: [address, address], f"claims{version}-{length}": [address, "ifname"]}
    # 100 is srcnat, spelt out because the name isn't known in all versions.
    hook = {"type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"}
    text = f"{_LAYOUT}: addresses of /{length} networks, leaving them"
    return _frame("inet", f"postrouting{version}-{length}", hook, sets, rule, text)


def _guard_frame() -> Frame:
    link = {"meta": {"key": "iifname"}}
    source = {"payload": {"protocol": "ether", "field": "saddr"}}
    rule = [
        _match("==", link, "@guarded"),
        _match("!=", {"concat": [link, source]}, "@allowed"),
        {"counter": None},
        {"drop": None},
    ]
    sets = {"guarded": ["ifname"], "allowed": ["ifname", "ether_addr"], "claims": ["ifname", "ifname"]}
    hook = {"type": "filter", "hook": "prerouting", "prio": -300, "policy": "accept"}
    return _frame(
        "bridge", "mac-guard", hook, sets, rule, f"{_LAYOUT}: frames with a MAC that isn't the link's"
    )


def _frame(
    family: Family,
    chain: str,
    hook: dict[str, Any],
    sets: dict[str, list[str]],
    rule: list[dict[str, Any]],
    text: str,
) -> Frame:
    here = {"family": family, "table": TABLE}
    commands: list[Command] = [{"add": {"table": {"family": family, "name": TABLE}}}]
    for name, types in sets.items():
        kind: Any = types[0] if len(types) == 1 else types
        commands.append({"add": {"set": {**here, "name": name, "type": kind}}})
    commands += [
        {"add": {"chain": {**here, "name": chain, **hook}}},
        {"flush": {"chain": {**here, "name": chain}}},
        {"add": {"rule": {**here, "chain": chain, "comment": text, "expr": rule}}},
    ]
    return Frame(family, chain, text, tuple(commands))


def _match(operator: str, left: Any, right: Any) -> dict[str, Any]:
    return {"match": {"op": operator, "left": left, "right": right}}


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
