"""Queueing disciplines and filters."""

from __future__ import annotations

import socket
from struct import unpack_from

import msgspec

from multinet.adapters import netlink as nl
from multinet.adapters import rtnetlink as rt
from multinet.adapters.kernel_values.fields import number, words


class QdiscInfo(msgspec.Struct, frozen=True):
    """A queueing discipline. Handles are 16 bits of major and 16 of minor number: ``1:0`` is 0x10000."""

    index: int
    kind: str
    handle: int
    parent: int
    rate: int = 0
    """Of a token bucket, as the fields below: bytes per second."""
    limit: int = 0
    """Bytes that may wait."""
    buffer: int = 0
    """The burst as time at ``rate``, in ticks of the packet scheduler's clock."""
    peak_rate: int = 0
    """Bytes per second; 0: none."""
    default_class: int = 0
    """Of a hierarchy (htb): minor number of the class for what no filter takes."""


class ClassInfo(msgspec.Struct, frozen=True):
    """A class of a hierarchy (htb)."""

    index: int
    handle: int
    rate: int
    """Bytes per second, as ``ceiling``."""
    ceiling: int
    buffer: int
    """The burst as time at ``rate``, in ticks of the packet scheduler's clock."""


class FilterInfo(msgspec.Struct, frozen=True):
    """A filter on a discipline."""

    index: int
    kind: str
    handle: int
    parent: int
    priority: int
    protocol: int
    """Ethernet protocol number, 3: all."""
    match_all: bool = False
    """Of a u32 filter: it takes whatever comes."""
    redirect_to: int = 0
    """Index of the link by which packets leave instead; 0: they don't."""
    class_handle: int = 0
    """The class that it leads to; 0: none."""
    keys: tuple[tuple[int, int, int], ...] = ()
    """Of a u32 filter: (mask, value, offset in bytes from the network header) of each word that must fit."""


def qdisc_of(data: bytes) -> QdiscInfo:
    """The discipline in an RTM_NEWQDISC message."""
    _, index, handle, parent, _ = unpack_from("=BxxxiIII", data, 0)
    found = nl.attributes(data, 20, len(data))
    kind = words(found.get(rt.TCA_KIND))
    options = found.get(rt.TCA_OPTIONS)
    if options is None:
        return QdiscInfo(index, kind, handle, parent)
    inner = nl.attributes(options, 0, len(options))
    if kind == "htb" and rt.TCA_HTB_INIT in inner:  # struct tc_htb_glob: version, rate2quantum, defcls, …
        (default,) = unpack_from("=8xI", inner[rt.TCA_HTB_INIT])
        return QdiscInfo(index, kind, handle, parent, default_class=default)
    if kind != "tbf":
        return QdiscInfo(index, kind, handle, parent)
    # struct tc_tbf_qopt: two tc_ratespec, whose last field is the rate; limit, buffer, mtu
    rate, peak_rate, limit, buffer = unpack_from("=8xI8xIII", inner[rt.TCA_TBF_PARMS])
    if (wide := inner.get(rt.TCA_TBF_RATE64)) is not None:
        (rate,) = unpack_from("=Q", wide)
    return QdiscInfo(index, kind, handle, parent, rate, limit, buffer, peak_rate)


def class_of(data: bytes) -> ClassInfo | None:
    """The class in an RTM_NEWTCLASS message; None for one that isn't htb's."""
    _, index, handle, _, _ = unpack_from("=BxxxiIII", data, 0)
    found = nl.attributes(data, 20, len(data))
    options = found.get(rt.TCA_OPTIONS)
    if words(found.get(rt.TCA_KIND)) != "htb" or options is None:
        return None
    inner = nl.attributes(options, 0, len(options))
    # struct tc_htb_opt: two tc_ratespec, whose last field is the rate; buffer, cbuffer, …
    rate, ceiling, buffer = unpack_from("=8xI8xII", inner[rt.TCA_HTB_PARMS])
    if (wide := inner.get(rt.TCA_HTB_RATE64)) is not None:
        (rate,) = unpack_from("=Q", wide)
    if (wide := inner.get(rt.TCA_HTB_CEIL64)) is not None:
        (ceiling,) = unpack_from("=Q", wide)
    return ClassInfo(index, handle, rate, ceiling, buffer)


def filter_of(data: bytes) -> FilterInfo | None:
    """The filter in an RTM_NEWTFILTER message; None for what u32 keeps beside its filters (hash tables)."""
    _, index, handle, parent, info = unpack_from("=BxxxiIII", data, 0)
    found = nl.attributes(data, 20, len(data))
    kind = words(found.get(rt.TCA_KIND))
    options = found.get(rt.TCA_OPTIONS, b"")
    inner = nl.attributes(options, 0, len(options))
    if kind == "u32" and rt.TCA_U32_SEL not in inner:
        return None
    keys = _keys(inner[rt.TCA_U32_SEL]) if kind == "u32" else ()
    return FilterInfo(
        index=index,
        kind=kind,
        handle=handle,
        parent=parent,
        priority=info >> 16,
        protocol=socket.ntohs(info & 0xFFFF),
        match_all=kind == "u32" and not any(mask for mask, _, _ in keys),
        redirect_to=_redirection(inner.get(rt.TCA_U32_ACT)) if kind == "u32" else 0,
        class_handle=number(inner.get(rt.TCA_U32_CLASSID)) if kind == "u32" else 0,
        keys=keys,
    )


def _keys(selector: bytes) -> tuple[tuple[int, int, int], ...]:
    """``struct tc_u32_sel``: the number of keys is its third byte; a ``struct tc_u32_key`` is mask and value in
    network order, then two numbers, of which the first is the offset.
    """
    found = []
    for key in range(selector[2]):
        mask, value = unpack_from("!II", selector, 16 + 16 * key)
        (offset,) = unpack_from("=i", selector, 24 + 16 * key)
        found.append((mask, value, offset))
    return tuple(found)


def _redirection(actions: bytes | None) -> int:
    """Where the first mirred action that redirects leads to."""
    for action in nl.attributes(actions or b"", 0, len(actions or b"")).values():
        inner = nl.attributes(action, 0, len(action))
        if words(inner.get(rt.TCA_ACT_KIND)) != "mirred":
            continue
        options = inner.get(rt.TCA_ACT_OPTIONS, b"")
        parameters = nl.first_attribute(options, rt.TCA_MIRRED_PARMS)
        if parameters is not None:
            # struct tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex
            effect, index = unpack_from("=20xiI", parameters)
            if effect == rt.TCA_EGRESS_REDIR:
                return int(index)
    return 0
