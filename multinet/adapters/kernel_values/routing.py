"""Addresses, routes, policy rules and neighbours."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from struct import unpack_from

import msgspec

from multinet.adapters import netlink as nl
from multinet.adapters import rtnetlink as rt
from multinet.adapters.kernel_values.fields import ip, mac, number


class AddressInfo(msgspec.Struct, frozen=True):
    """An address on a link; ``cidr`` keeps the host part."""

    index: int
    cidr: str
    scope: int
    tentative: bool
    dad_failed: bool
    permanent: bool
    nodad: bool = False
    prefix_route: bool = True
    """The kernel made a route to its subnet."""


class RouteInfo(msgspec.Struct, frozen=True):
    """A unicast route; ``hops`` are (gateway or "", link index), one unless it is a multipath route."""

    dst: str
    hops: tuple[tuple[str, int], ...]
    metric: int
    table: int
    scope: int
    mtu: int = 0
    advmss: int = 0
    source: str = ""
    """Preferred source address."""
    protocol: int = 0
    """Who made it (RTPROT_…): 2 the kernel, 3 most programs."""
    onlink: bool = False
    """The gateway counts as on the link, whatever prefixes cover it."""


class RuleInfo(msgspec.Struct, frozen=True):
    """A policy rule that leads to a table; ``source`` is ``10.1.2.3/32``, empty for one that holds for all."""

    source: str
    table: int
    priority: int
    family: int
    """4 or 6."""
    protocol: int = 0
    """Who made it, as of a route."""


class NeighbourInfo(msgspec.Struct, frozen=True):
    """A neighbour entry; ``mac`` is empty as long as the kernel doesn't know it."""

    index: int
    address: str
    mac: str
    permanent: bool


def address_of(data: bytes) -> AddressInfo:
    """The address in an RTM_NEWADDR message."""
    _, prefix, flags, scope, index = unpack_from("=BBBBi", data, 0)
    found = nl.attributes(data, 8, len(data))
    if rt.IFA_FLAGS in found:
        flags = number(found[rt.IFA_FLAGS])
    raw = found.get(rt.IFA_LOCAL) or found[rt.IFA_ADDRESS]
    return AddressInfo(
        index=index,
        cidr=f"{ip(raw)}/{prefix}",
        scope=scope,
        tentative=bool(flags & rt.IFA_F_TENTATIVE),
        dad_failed=bool(flags & rt.IFA_F_DADFAILED),
        permanent=bool(flags & rt.IFA_F_PERMANENT),
        nodad=bool(flags & rt.IFA_F_NODAD),
        prefix_route=not flags & rt.IFA_F_NOPREFIXROUTE,
    )


def route_of(data: bytes) -> RouteInfo | None:
    """The route in an RTM_NEWROUTE message; None for one that isn't unicast."""
    family, prefix, _, _, table, protocol, scope, kind, flags = unpack_from("=BBBBBBBBI", data, 0)
    if kind != rt.RTN_UNICAST:
        return None
    found = nl.attributes(data, 12, len(data))
    zero = b"\0" * (4 if family == socket.AF_INET else 16)
    if (multipath := found.get(rt.RTA_MULTIPATH)) is not None:
        hops = tuple(_hops(multipath))
    else:
        hops = ((ip(found.get(rt.RTA_GATEWAY)), number(found.get(rt.RTA_OIF))),)
    metrics = found.get(rt.RTA_METRICS, b"")
    inner = nl.attributes(metrics, 0, len(metrics))
    return RouteInfo(
        dst=f"{ip(found.get(rt.RTA_DST, zero))}/{prefix}",
        hops=hops,
        metric=number(found.get(rt.RTA_PRIORITY)),
        table=number(found[rt.RTA_TABLE]) if rt.RTA_TABLE in found else table,
        scope=scope,
        mtu=number(inner.get(rt.RTAX_MTU)),
        advmss=number(inner.get(rt.RTAX_ADVMSS)),
        source=ip(found.get(rt.RTA_PREFSRC)),
        protocol=protocol,
        onlink=bool(flags & rt.RTNH_F_ONLINK),
    )


def _hops(data: bytes) -> Iterable[tuple[str, int]]:
    """``struct rtnexthop`` records: length, flags, hops, interface index, attributes."""
    offset = 0
    while offset + 8 <= len(data):
        size, _, _, index = unpack_from("=HBBi", data, offset)
        if size < 8:
            return
        inner = nl.attributes(data, offset + 8, offset + size)
        yield ip(inner.get(rt.RTA_GATEWAY)), index
        offset += (size + 3) & ~3


def rule_of(data: bytes) -> RuleInfo | None:
    """The rule in an RTM_NEWRULE message; None for one that doesn't lead to a table (blackhole, goto …)."""
    family, _, prefix, _, table, _, _, action, _ = unpack_from("=BBBBBBBBI", data, 0)
    if action != rt.FR_ACT_TO_TBL:
        return None
    found = nl.attributes(data, 12, len(data))
    source = found.get(rt.FRA_SRC)
    return RuleInfo(
        source=f"{ip(source)}/{prefix}" if source else "",
        table=number(found[rt.FRA_TABLE]) if rt.FRA_TABLE in found else table,
        priority=number(found.get(rt.FRA_PRIORITY)),
        family=4 if family == socket.AF_INET else 6,
        protocol=found.get(rt.FRA_PROTOCOL, b"\0")[0],
    )


def neighbour_of(data: bytes) -> NeighbourInfo:
    """The entry in an RTM_NEWNEIGH message."""
    _, index, state, _, _ = unpack_from("=BxxxiHBB", data, 0)
    found = nl.attributes(data, 12, len(data))
    return NeighbourInfo(
        index=index,
        address=ip(found.get(rt.NDA_DST)),
        mac=mac(found.get(rt.NDA_LLADDR)),
        permanent=bool(state & rt.NUD_PERMANENT),
    )
