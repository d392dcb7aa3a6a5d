"""Desired state that isn't true: each field of each item changed in turn, for "does CHECK report it?"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from multinet.core.desired import (
    Address,
    AnyItem,
    Bridge,
    BridgeLeg,
    Device,
    ForwardAccept,
    NoAddress,
    NoRoute,
    PacketRule,
    PortMapping,
    Route,
    StateFile,
    Sysctl,
)

__all__ = ["untrue"]

_MEMORY = frozenset({"place", "whose", "before", "tolerant", "owner", "was_up", "alias", "addresses"})
"""Fields that say whose an item is, or what was before: not how the kernel should be."""
_WAYS: dict[type[Any], frozenset[str]] = {
    Bridge: frozenset({"mtu"}),  # one that is there keeps its own
    BridgeLeg: frozenset({"port"}),
    Device: frozenset({"group", "index", "master"}),
    # How it is made, or goes home; the kernel doesn't keep it.
    Address: frozenset({"detect", "prefix_route"}),
    Route: frozenset({"onlink", "replaces", "protocol"}),
    StateFile: frozenset({"content", "mode", "replaces"}),
    # Of one back end only.
    PortMapping: frozenset({"mark_bit"}),
    ForwardAccept: frozenset({"admin_chain", "zone"}),
}
_PASSING = (NoAddress, NoRoute)
"""Steps on the way, nothing that lasts."""


def untrue(items: Sequence[AnyItem]) -> Iterator[tuple[AnyItem, str]]:
    """Each item with one field changed, and the field's name; fields that aren't state are left out."""
    for item in items:
        if isinstance(item, _PASSING):
            continue
        for field in msgspec.structs.fields(type(item)):
            if field.name in _MEMORY or field.name in _WAYS.get(type(item), frozenset()):
                continue
            if field.name == "key" and isinstance(item, Sysctl) and item.tolerant:
                continue  # a kernel may lack it
            if field.name == "scope" and isinstance(item, Route) and ":" in item.dst:
                continue  # IPv6 routes have none
            if field.name == "family" and getattr(item, "backend", "") == "nftables":
                continue  # one rule there serves both
            for other in _others(item, field.name, getattr(item, field.name)):
                yield msgspec.structs.replace(item, **{field.name: other}), field.name


def _others(item: AnyItem, name: str, value: Any) -> Iterator[Any]:
    """Another value of the field that says something else about the kernel, if there is one."""
    if isinstance(value, bool):
        # A flag that is wanted and missing is a difference; one that is there and not asked for may be another's.
        if not value and not isinstance(item, PacketRule):
            yield True
    elif isinstance(value, int):
        yield {4: 6, 6: 4}[value] if name == "family" else value + 1
    elif isinstance(value, str) and value:
        yield _other_text(name, value)


def _other_text(name: str, value: str) -> str:
    """Text of the same form."""
    parts = value.split(":")
    if len(parts) == 6 and all(len(part) == 2 for part in parts):
        return ":".join([*parts[:5], "00" if parts[5] != "00" else "01"])
    if name in ("address", "cidr", "container_cidr", "dst", "host_ip", "source"):
        address, slash, prefix = value.partition("/")
        return f"{'2001:db8:ffff::77' if ':' in address else '198.51.100.77'}{slash}{prefix}"
    return _ALTERNATIVES.get((name, value), f"{value[:-1]}{'x' if value[-1] != 'x' else 'y'}")


_ALTERNATIVES = {
    ("mode", "bridge"): "private",
    ("mode", "private"): "bridge",
    ("mode", "vepa"): "bridge",
    ("mode", "passthru"): "bridge",
    ("mode", "l2"): "l3",
    ("mode", "l3"): "l2",
    ("mode", "l3s"): "l2",
    ("protocol", "tcp"): "udp",
    ("protocol", "udp"): "tcp",
    ("protocol", "sctp"): "tcp",
    ("shaped", "inside"): "outside",
    ("shaped", "outside"): "inside",
    ("match", "source"): "destination",
    ("match", "destination"): "source",
    ("backend", "nftables"): "iptables",
    ("backend", "iptables"): "nftables",
    ("policy", "same-bridge"): "isolated",
    ("policy", "isolated"): "same-bridge",
}
