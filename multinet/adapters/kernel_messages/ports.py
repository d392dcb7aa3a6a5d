"""Bridges' ports: their flags, and their VLANs."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from struct import pack

from multinet.adapters import netlink as nl
from multinet.adapters import rtnetlink as rt
from multinet.core.desired import PortVlans

_UNTAGGED = rt.BRIDGE_VLAN_INFO_PVID | rt.BRIDGE_VLAN_INFO_UNTAGGED


def set_port(index: int, hairpin: bool, isolated: bool) -> bytes:
    """Flags of a bridge port."""
    flags = nl.nested(
        rt.IFLA_PROTINFO, nl.u8(rt.IFLA_BRPORT_MODE, hairpin), nl.u8(rt.IFLA_BRPORT_ISOLATED, isolated)
    )
    return nl.message(rt.RTM_SETLINK, 0, rt.ifinfo(family=socket.AF_BRIDGE, index=index), flags)


def set_vlan_filtering(index: int) -> bytes:
    """Switch VLAN filtering on, on a bridge that exists. A kernel built without it refuses (EOPNOTSUPP)."""
    # RTM_NEWLINK: the kernel looks into IFLA_LINKINFO of no RTM_SETLINK.
    data = nl.nested(rt.IFLA_INFO_DATA, nl.u8(rt.IFLA_BR_VLAN_FILTERING, 1))
    info = nl.nested(rt.IFLA_LINKINFO, nl.text(rt.IFLA_INFO_KIND, "bridge"), data)
    return nl.message(rt.RTM_NEWLINK, 0, rt.ifinfo(index=index), info)


def add_port_vlans(index: int, vlans: PortVlans) -> bytes:
    """Put a port into VLANs; the untagged one becomes its PVID, in place of another.

    The VLANs that it is in stay (the former PVID without being one): ``delete_port_vlans`` goes first.
    """
    entries = [_entry(_UNTAGGED, vlans.untagged)] if vlans.untagged else []
    return _change(rt.RTM_SETLINK, index, entries + _ranges(vlans.tagged))


def delete_port_vlans(index: int, ranges: Iterable[tuple[int, int]]) -> bytes:
    """Take a port out of VLANs, given as ranges of first and last id. Ids that it isn't in are passed over."""
    return _change(rt.RTM_DELLINK, index, _ranges(ranges))


def _change(kind: int, index: int, entries: list[bytes]) -> bytes:
    header = rt.ifinfo(family=socket.AF_BRIDGE, index=index)
    return nl.message(kind, 0, header, nl.nested(rt.IFLA_AF_SPEC, *entries))


def _ranges(ranges: Iterable[tuple[int, int]]) -> list[bytes]:
    entries: list[bytes] = []
    for first, last in ranges:
        if first == last:
            entries.append(_entry(0, first))
        else:
            entries.append(_entry(rt.BRIDGE_VLAN_INFO_RANGE_BEGIN, first))
            entries.append(_entry(rt.BRIDGE_VLAN_INFO_RANGE_END, last))
    return entries


def _entry(flags: int, vlan: int) -> bytes:
    """``struct bridge_vlan_info``."""
    return nl.attribute(rt.IFLA_BRIDGE_VLAN_INFO, pack("=HH", flags, vlan))
