"""Addresses, routes, policy rules and neighbours."""

from __future__ import annotations

import socket
from struct import pack

from msgspec.structs import replace

from multinet.adapters import netlink as nl
from multinet.adapters import rtnetlink as rt
from multinet.cni.addresses import address_of, interface_of, prefix_of
from multinet.core.desired import (
    MADE_BY_MULTINET,
    Address,
    Neighbour,
    NoAddress,
    NoRoute,
    Route,
    RouteDescription,
    Rule,
)

_CREATE = nl.NLM_F_CREATE | nl.NLM_F_EXCL


def address(item: Address | NoAddress, index: int) -> bytes:
    """Add an address, exclusively. IPv4 below /31 gets its broadcast address."""
    interface = interface_of(item.cidr)
    parts = []
    flags = 0
    if interface.version == 4 and interface.network.prefixlen < 31:
        parts.append(nl.attribute(rt.IFA_BROADCAST, interface.network.broadcast_address.packed))
    if isinstance(item, Address):
        if interface.version == 6 and not item.detect:
            flags = rt.IFA_F_NODAD
        if not item.prefix_route:
            flags |= rt.IFA_F_NOPREFIXROUTE
    if flags:  # the header's field has eight bits only
        parts.append(nl.u32(rt.IFA_FLAGS, flags))
    return _address(rt.RTM_NEWADDR, _CREATE, item.cidr, index, *parts)


def delete_address(item: Address | NoAddress, index: int) -> bytes:
    """Remove an address."""
    return _address(rt.RTM_DELADDR, 0, item.cidr, index)


def _address(kind: int, flags: int, cidr: str, index: int, *parts: bytes) -> bytes:
    interface = interface_of(cidr)
    raw = interface.ip.packed
    return nl.message(
        kind,
        flags,
        rt.ifaddr(_family(interface.version), interface.network.prefixlen, 0, 0, index),
        nl.attribute(rt.IFA_LOCAL, raw),
        nl.attribute(rt.IFA_ADDRESS, raw),
        *parts,
    )


def route(item: Route | NoRoute, index: int) -> bytes:
    """Add a route, or put back one that had to go.

    It neither replaces nor excludes another of the same destination, unless it is one that ``replaces``.
    """
    if isinstance(item, Route) and item.replaces:
        return replace_route(item, index)
    return _route(item, index, rt.RTM_NEWROUTE, nl.NLM_F_CREATE | nl.NLM_F_APPEND)


def replace_route(item: Route, index: int) -> bytes:
    """Add a route in place of one with the same destination, metric and table."""
    return _route(item, index, rt.RTM_NEWROUTE, nl.NLM_F_CREATE | nl.NLM_F_REPLACE)


def delete_route(item: Route | NoRoute, index: int) -> bytes:
    """Remove a route; one that must go (``NoRoute``) goes whoever made it, the kernel included."""
    if isinstance(item, NoRoute):
        return _route(replace(item, protocol=rt.RTPROT_UNSPEC), index, rt.RTM_DELROUTE, 0)
    return _route(item, index, rt.RTM_DELROUTE, 0)


def _route(item: RouteDescription, index: int, kind: int, flags: int) -> bytes:
    network = prefix_of(item.dst)
    hop_flags = rt.RTNH_F_ONLINK if item.onlink else 0
    header = (
        _family(network.version),
        network.prefixlen,
        item.table,
        item.protocol,
        item.scope,
        rt.RTN_UNICAST,
    )
    parts = [rt.rtmsg(*header, hop_flags)]
    if network.prefixlen:
        parts.append(nl.attribute(rt.RTA_DST, network.network_address.packed))
    gateways = [address_of(gateway).packed for gateway in item.gateways]
    if len(gateways) > 1:
        hops = b"".join(_hop(gateway, index, hop_flags) for gateway in gateways)
        parts.append(nl.attribute(rt.RTA_MULTIPATH, hops))
    else:
        parts += [nl.attribute(rt.RTA_GATEWAY, gateway) for gateway in gateways]
        parts.append(nl.u32(rt.RTA_OIF, index))
    if item.source:
        parts.append(nl.attribute(rt.RTA_PREFSRC, address_of(item.source).packed))
    if item.metric:
        parts.append(nl.u32(rt.RTA_PRIORITY, item.metric))
    if item.table > 255:
        parts.append(nl.u32(rt.RTA_TABLE, item.table))
    if item.mtu or item.advmss:
        metrics = [nl.u32(rt.RTAX_MTU, item.mtu)] if item.mtu else []
        metrics += [nl.u32(rt.RTAX_ADVMSS, item.advmss)] if item.advmss else []
        parts.append(nl.nested(rt.RTA_METRICS, *metrics))
    return nl.message(kind, flags, *parts)


def _hop(gateway: bytes, index: int, flags: int) -> bytes:
    body = nl.attribute(rt.RTA_GATEWAY, gateway)
    return pack("=HBBi", 8 + len(body), flags, 0, index) + body


def rule(item: Rule) -> bytes:
    """Add a policy rule, exclusively: the kernel refuses (EEXIST) one that is there with the same priority.

    Without a priority it finds a new one each time, so that a second equal rule is made.
    """
    return _rule(item, rt.RTM_NEWRULE, _CREATE, nl.u8(rt.FRA_PROTOCOL, MADE_BY_MULTINET))


def delete_rule(item: Rule) -> bytes:
    """Remove a policy rule, whoever made it; without a priority: the first of that source and table."""
    return _rule(item, rt.RTM_DELRULE, 0)


def _rule(item: Rule, kind: int, flags: int, *parts: bytes) -> bytes:
    source = prefix_of(item.source)
    header = rt.rule_header(_family(source.version), source.prefixlen, item.table, rt.FR_ACT_TO_TBL)
    found = [nl.attribute(rt.FRA_SRC, source.network_address.packed), *parts]
    if item.priority:
        found.append(nl.u32(rt.FRA_PRIORITY, item.priority))
    if item.table > 255:
        found.append(nl.u32(rt.FRA_TABLE, item.table))
    return nl.message(kind, flags, header, *found)


def neighbour(item: Neighbour, index: int) -> bytes:
    """Add a permanent neighbour entry, in place of what the kernel has learnt of that address."""
    found = address_of(item.address)
    return nl.message(
        rt.RTM_NEWNEIGH,
        nl.NLM_F_CREATE | nl.NLM_F_REPLACE,
        rt.ndmsg(_family(found.version), index, rt.NUD_PERMANENT),
        nl.attribute(rt.NDA_DST, found.packed),
        nl.hardware_address(rt.NDA_LLADDR, item.mac),
    )


def delete_neighbour(item: Neighbour, index: int) -> bytes:
    """Remove a neighbour entry, whatever MAC it has."""
    found = address_of(item.address)
    header = rt.ndmsg(_family(found.version), index)
    return nl.message(rt.RTM_DELNEIGH, 0, header, nl.attribute(rt.NDA_DST, found.packed))


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6
