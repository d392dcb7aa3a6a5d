"""VLANs of bridges' ports."""

from __future__ import annotations

from collections.abc import Iterable
from struct import unpack_from

import msgspec

from multinet.adapters import netlink as nl
from multinet.adapters import rtnetlink as rt

_HEADER_SIZE = 8


class PortVlanInfo(msgspec.Struct, frozen=True):
    """The VLANs of a bridge port: ranges of first and last id, sorted, not touching one another."""

    pvid: int = 0
    """Where frames without a tag belong; 0: they are dropped."""
    untagged: tuple[tuple[int, int], ...] = ()
    """Those whose frames leave without a tag."""
    tagged: tuple[tuple[int, int], ...] = ()


def port_vlans_of(answers: Iterable[bytes]) -> PortVlanInfo:
    """The VLANs of one port in the RTM_NEWVLAN messages about it (linux/if_bridge.h, ``struct br_vlan_msg``)."""
    pvid = 0
    untagged: list[tuple[int, int]] = []
    tagged: list[tuple[int, int]] = []
    for entry in (entry for answer in answers for entry in _entries(answer)):
        flags, first = unpack_from("=HH", entry[rt.BRIDGE_VLANDB_ENTRY_INFO])
        last = first
        if (raw := entry.get(rt.BRIDGE_VLANDB_ENTRY_RANGE)) is not None:
            (last,) = unpack_from("=H", raw)
        if flags & rt.BRIDGE_VLAN_INFO_PVID:
            pvid = first
        (untagged if flags & rt.BRIDGE_VLAN_INFO_UNTAGGED else tagged).append((first, last))
    return PortVlanInfo(pvid, _joined(untagged), _joined(tagged))


def _entries(answer: bytes) -> Iterable[dict[int, bytes]]:
    """A message holds as many entries as fit, all under one number."""
    start = _HEADER_SIZE
    while start + 4 <= len(answer):
        size, kind = unpack_from("=HH", answer, start)
        if size < 4:
            return
        if kind & 0x3FFF == rt.BRIDGE_VLANDB_ENTRY:
            yield nl.attributes(answer, start + 4, start + size)
        start += (size + 3) & ~3


def _joined(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges that touch become one: the kernel splits them by settings which don't matter here."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return tuple(joined)
