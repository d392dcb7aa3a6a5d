"""A hierarchy of token buckets (tc-htb(8)) with filters by subnet: class and filter numbers of the reference's.

Source: reference bandwidth plugin 1.5 (``shapedSubnets``), include/uapi/linux/pkt_sched.h and pkt_cls.h.
"""

from __future__ import annotations

import socket
from struct import pack, unpack
from typing import NamedTuple

from multinet.adapters import netlink as nl
from multinet.adapters import rtnetlink as rt
from multinet.cni.addresses import prefix_of
from multinet.core.desired import SubnetBucket

ROOT = 0x0001_0000
"""1:0."""
LIMITED, UNLIMITED = 48, 1
"""Minor numbers of the two classes."""

_VERSION = 3
_RATE_TO_QUANTUM = 10
_NO_LIMIT = 100_000_000_000
"""Bytes per second."""
_QUANTUM = 60_000
"""Bytes that a class may send in its turn. Said, since the kernel warns of what it works out from such rates."""
_ROOM = 15_625
"""Ticks: a millisecond's burst where there is no limit."""
_LARGEST_RATE = 0xFFFF_FFFF
_ETHERNET = 1
"""TC_LINKLAYER_ETHERNET."""


class _Family(NamedTuple):
    """Where a packet has its addresses, and the filters' place in line: one protocol a priority."""

    protocol: int
    priority: int
    source: int
    destination: int


_FAMILIES = {4: _Family(0x0800, 16, 12, 16), 6: _Family(0x86DD, 15, 8, 24)}

Key = tuple[int, int, int]
"""Mask, value, offset from the network header."""


def subnet_bucket(item: SubnetBucket, index: int) -> list[bytes]:
    """Root discipline (in place of none other than the default), classes, filters."""
    inside = item.shaped == "inside"
    return [
        _root(index, UNLIMITED if inside else LIMITED),
        _class(index, LIMITED, item.rate, item.buffer),
        _class(index, UNLIMITED, _NO_LIMIT, _ROOM),
        *(_filter(index, item, subnet, LIMITED if inside else UNLIMITED) for subnet in item.subnets),
    ]


def subnet_keys(subnet: str, match: str) -> tuple[int, tuple[Key, ...]]:
    """Protocol and keys of the filter that finds a subnet in a packet's ``source`` or ``destination``: one key
    for each word of the mask that isn't zero, none for the whole family.
    """
    network = prefix_of(subnet)
    family = _FAMILIES[network.version]
    offset = family.source if match == "source" else family.destination
    count = 1 if network.version == 4 else 4
    masks = unpack(f"!{count}I", network.netmask.packed)
    values = unpack(f"!{count}I", network.network_address.packed)
    words = enumerate(zip(masks, values, strict=True))
    return family.protocol, tuple((mask, value, offset + 4 * at) for at, (mask, value) in words if mask)


def _root(index: int, default: int) -> bytes:
    # struct tc_htb_glob: version, rate2quantum, defcls, debug, direct_pkts
    settings = pack("=5I", _VERSION, _RATE_TO_QUANTUM, default, 0, 0)
    return nl.message(
        rt.RTM_NEWQDISC,
        nl.NLM_F_CREATE | nl.NLM_F_EXCL,
        rt.tcmsg(index, ROOT, rt.TC_H_ROOT),
        nl.text(rt.TCA_KIND, "htb"),
        nl.nested(rt.TCA_OPTIONS, nl.attribute(rt.TCA_HTB_INIT, settings)),
    )


def _class(index: int, minor: int, rate: int, buffer: int) -> bytes:
    speed = pack("=BBHhHI", 0, _ETHERNET, 0, 0, 0, min(rate, _LARGEST_RATE))
    # struct tc_htb_opt: rate, ceil, buffer, cbuffer, quantum, level, prio
    options = [nl.attribute(rt.TCA_HTB_PARMS, speed + speed + pack("=5I", buffer, buffer, _QUANTUM, 0, 0))]
    if rate > _LARGEST_RATE:
        wide = pack("=Q", rate)
        options += [nl.attribute(rt.TCA_HTB_RATE64, wide), nl.attribute(rt.TCA_HTB_CEIL64, wide)]
    return nl.message(
        rt.RTM_NEWTCLASS,
        nl.NLM_F_CREATE | nl.NLM_F_EXCL,
        rt.tcmsg(index, ROOT | minor, ROOT),
        nl.text(rt.TCA_KIND, "htb"),
        nl.nested(rt.TCA_OPTIONS, *options),
    )


def _filter(index: int, item: SubnetBucket, subnet: str, minor: int) -> bytes:
    protocol, keys = subnet_keys(subnet, item.match)
    priority = _FAMILIES[prefix_of(subnet).version].priority
    chosen = keys or ((0, 0, 0),)  # the kernel wants a key; one without a mask matches all
    # struct tc_u32_sel with as many struct tc_u32_key
    selector = pack("=BBBxHHhhI", rt.TC_U32_TERMINAL, 0, len(chosen), 0, 0, 0, 0, 0)
    selector += b"".join(pack("!II", mask, value) + pack("=ii", offset, 0) for mask, value, offset in chosen)
    info = priority << 16 | socket.htons(protocol)
    return nl.message(
        rt.RTM_NEWTFILTER,
        nl.NLM_F_CREATE | nl.NLM_F_EXCL,
        rt.tcmsg(index, 0, ROOT, info),
        nl.text(rt.TCA_KIND, "u32"),
        nl.nested(
            rt.TCA_OPTIONS,
            nl.u32(rt.TCA_U32_CLASSID, ROOT | minor),
            nl.attribute(rt.TCA_U32_SEL, selector),
        ),
    )
