"""The layout of multinet's own nftables: what sets there are, whose an element is, and how it is written.

Pure. Sets and maps, not rules, grow with the pods: a packet costs the same few hash look-ups, and an ADD the
same time, with ten pods and with ten thousand (the rules are in `firewall_frames`)::

    table inet multinet {
        set masquerade4-24 { type ipv4_addr . ipv4_addr
            elements = { 10.1.2.3 . 10.1.2.0 comment "multinet:…" } }
        set claims4-24 { type ipv4_addr . ifname; elements = { 10.1.2.3 . "0f3a…" } }
        map ports4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
            elements = { 0.0.0.0 . tcp . 8080 comment "multinet:…" : 10.1.2.3 . 80 } }
        set hairpin4-24 { type ipv4_addr . inet_proto . inet_service . ipv4_addr . ipv4_addr
            elements = { 0.0.0.0 . tcp . 8080 . 10.1.2.3 . 10.1.2.0 comment "multinet:…" } }
        set forward4 { type ipv4_addr; elements = { 10.1.2.3 comment "multinet:…" } }
        set holders { type ifname . ifname; elements = { "9c21…" . "0f3a…" } }
        set bridges, bridge-pairs, bridge-users (and isolated of table bridge): see firewall_isolation
    }
    table bridge multinet {
        set guarded { type ifname; elements = { "veth0a…" comment "multinet:…" } }
        set allowed { type ifname . ether_addr; elements = { "veth0a…" . 02:… comment "multinet:…" } }
        set claims { type ifname . ifname; elements = { "veth0a…" . "0f3a…" } }
    }

The masquerade set holds (address, network of the address): the first look-up asks whether the source is one
of ours, the second whether the destination lies in the same network. ``hairpin`` is for connections that came
in by a port mapping: (host address, protocol, host port, pod, network of the sources to masquerade). There are
no intervals (adding to such a set copies all of it) and no verdict maps (adding to one makes the kernel
validate all of it).

A claim says whose a subject (address, link; for ports the element itself) is. Taking a subject over replaces
its claim; removing one's elements removes one's claim in the same transaction. So a late DEL of a former owner
fails as a whole, however the two interleave, instead of taking the rules from the present owner.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

import msgspec

from multinet.adapters.nftables_keys import Part, part_of, parts_of
from multinet.adapters.nftables_netlink import ElementChange
from multinet.core.desired import (
    ForwardAccept,
    MacGuard,
    Masquerade,
    Owner,
    PacketRule,
    PortMapping,
)

__all__ = [
    "COMMENT_LIMIT",
    "TABLE",
    "Change",
    "Entry",
    "Family",
    "Holding",
    "SetLayout",
    "bounded",
    "claim_of",
    "comment",
    "digest",
    "entry_from",
    "entry_of",
    "layout_of",
    "network_prefix",
]

Family = Literal["inet", "bridge"]

TABLE = "multinet"
COMMENT_LIMIT = 128
"""Bytes in a comment: what nft accepts as text, so that a saved ruleset can be loaded again."""

_NETWORK_LIMIT, _CONTAINER_LIMIT, _DIGEST = 38, 64, 12
_NAME_DIGITS = 15  # an interface name is the longest plain text that a set can be keyed by
_VERSIONED = re.compile(r"([a-z-]+)([46])(?:-\d+)?")


class SetLayout(msgspec.Struct, frozen=True):
    """What a set is keyed by, what a map gives, and which kind of item has its elements.

    None: claims, and what belongs to a bridge (`firewall_isolation`).
    """

    key: tuple[str, ...]
    data: tuple[str, ...] = ()
    holds: type[PacketRule] | None = None


_PORT = ("addr", "inet_proto", "inet_service")
_LAYOUTS: dict[tuple[str, str], SetLayout] = {
    ("inet", "masquerade"): SetLayout(("addr", "addr"), holds=Masquerade),
    ("inet", "claims"): SetLayout(("addr", "ifname")),
    ("inet", "ports"): SetLayout(_PORT, ("addr", "inet_service"), PortMapping),
    ("inet", "hairpin"): SetLayout((*_PORT, "addr", "addr"), holds=PortMapping),
    ("inet", "forward"): SetLayout(("addr",), holds=ForwardAccept),
    ("inet", "holders"): SetLayout(("ifname", "ifname")),
    ("inet", "bridges"): SetLayout(("ifname",)),
    ("inet", "bridge-pairs"): SetLayout(("ifname", "ifname")),
    ("inet", "bridge-users"): SetLayout(("ifname", "ifname")),
    ("bridge", "isolated"): SetLayout(("ifname",)),
    ("bridge", "guarded"): SetLayout(("ifname",), holds=MacGuard),
    ("bridge", "allowed"): SetLayout(("ifname", "ether_addr"), holds=MacGuard),
    ("bridge", "claims"): SetLayout(("ifname", "ifname")),
}


class Entry(msgspec.Struct, frozen=True):
    """One element: its set, its key both as nft writes it and as the kernel compares it, a map's data likewise."""

    family: Family
    set: str
    parts: tuple[str, ...]
    raw: tuple[bytes, ...]
    data_parts: tuple[str, ...] = ()
    data: bytes = b""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types of the key's parts."""
        return _known(self.family, self.set).key

    @property
    def key(self) -> bytes:
        """The whole key as the kernel compares it."""
        return b"".join(self.raw)

    def create(self, comment: str = "") -> Change:
        """Making it; fails if it is there."""
        return Change("create", self, comment)

    def delete(self) -> Change:
        """Removing what is under its key; fails if nothing is."""
        return Change("delete", self)


class Change(msgspec.Struct, frozen=True):
    """An element to be made or removed, for either of the two ways to nftables."""

    verb: Literal["create", "delete"]
    entry: Entry
    comment: str = ""

    def command(self) -> str:
        """For libnftables."""
        entry = self.entry
        comment = f' comment "{self.comment}"' if self.comment else ""
        data = f" : {' . '.join(entry.data_parts)}" if entry.data_parts else ""
        key = " . ".join(_quoted(kind, text) for kind, text in zip(entry.kinds, entry.parts, strict=True))
        return f"{self.verb} element {entry.family} {TABLE} {entry.set} {{ {key}{comment}{data} }}"

    def element(self) -> ElementChange:
        """For netlink."""
        entry = self.entry
        data = entry.data if self.verb == "create" else b""
        return ElementChange(self.verb, entry.family, TABLE, entry.set, entry.key, self.comment, data)


class Holding(msgspec.Struct, frozen=True):
    """What one item puts into a frame's sets: elements on one subject, with the owner's comment, and a claim."""

    frame: str
    comment: str
    entries: tuple[Entry, ...]

    @property
    def claim(self) -> Entry:
        """The claim of the owner to the subject."""
        return claim_of(self.entries[0], self.comment)


def comment(owner: Owner) -> str:
    """The owner as the comment of an element: the mark where that fits, else with digests for long parts."""
    return f"{network_prefix(owner.network)}{bounded(owner.container_id, _CONTAINER_LIMIT)}/{owner.ifname}"


def network_prefix(network: str) -> str:
    """What the comments of all attachments of a network begin with."""
    return f"multinet:{bounded(network, _NETWORK_LIMIT)}/"


def digest(text: str) -> str:
    """A text of any length as one that a set can be keyed by."""
    return hashlib.sha256(text.encode()).hexdigest()[:_NAME_DIGITS]


def layout_of(family: str, name: str) -> SetLayout | None:
    """The layout of a set of ours; None for one that isn't of a known layout."""
    versioned = _VERSIONED.fullmatch(name)
    stem, version = versioned.groups() if versioned else (name, "")
    layout = _LAYOUTS.get((family, stem))
    if layout is None or bool(version) is not ("addr" in layout.key):
        return None
    address = f"ipv{version}_addr"
    key, data = (
        tuple(address if kind == "addr" else kind for kind in kinds) for kinds in (layout.key, layout.data)
    )
    return SetLayout(key, data, layout.holds)


def entry_of(family: Family, name: str, *texts: str, data: tuple[str, ...] = ()) -> Entry:
    """An element by the texts of its parts. Raises ValueError for a set that isn't ours."""
    layout = _known(family, name)
    parts = [part_of(kind, text) for kind, text in zip(layout.key, texts, strict=True)]
    values = [part_of(kind, text) for kind, text in zip(layout.data, data, strict=True)] if data else []
    return _entry(family, name, parts, values)


def entry_from(family: Family, name: str, key: bytes, data: bytes = b"") -> Entry:
    """An element read from the kernel, taken apart again. Raises ValueError for a set that isn't ours."""
    layout = _known(family, name)
    return _entry(family, name, parts_of(layout.key, key), parts_of(layout.data, data) if data else [])


def claim_of(entry: Entry, comment: str) -> Entry:
    """The claim to an element's subject by the owner of ``comment``."""
    holder = digest(comment)
    if entry.family == "bridge":
        return entry_of("bridge", "claims", entry.parts[0], holder)
    if entry.set.startswith("masquerade"):
        return entry_of("inet", f"claims{entry.set.removeprefix('masquerade')}", entry.parts[0], holder)
    return entry_of("inet", "holders", digest(" ".join((entry.set, *entry.parts))), holder)


def _known(family: str, name: str) -> SetLayout:
    layout = layout_of(family, name)
    if layout is None:
        raise ValueError(f"set {family} {TABLE} {name} is not of a known layout")
    return layout


def _entry(family: Family, name: str, parts: list[Part], data: list[Part]) -> Entry:
    return Entry(
        family,
        name,
        tuple(text for text, _ in parts),
        tuple(raw for _, raw in parts),
        tuple(text for text, _ in data),
        b"".join(raw for _, raw in data),
    )


def _quoted(kind: str, text: str) -> str:
    return f'"{text}"' if kind == "ifname" else text


def bounded(name: str, limit: int) -> str:
    """``name`` in at most ``limit`` bytes: cut, with a digest of the whole, if it is longer."""
    encoded = name.encode()
    if len(encoded) <= limit:
        return name
    tail = hashlib.sha256(encoded).hexdigest()[:_DIGEST]
    return f"{encoded[: limit - _DIGEST - 1].decode(errors='ignore')}~{tail}"
