"""Queueing disciplines, and the filter that leads what a link receives to another link (tc(8))."""

from __future__ import annotations

import socket
from struct import pack

from multinet.adapters import netlink as nl
from multinet.adapters import rtnetlink as rt
from multinet.core.desired import TokenBucket

_SET = nl.NLM_F_CREATE | nl.NLM_F_REPLACE
_ROOT_HANDLE = 0x0001_0000
"""1:0."""
_INGRESS_HANDLE = 0xFFFF_0000
"""ffff:0."""
_REDIRECT_HANDLE = 0x8000_0800
"""800::800, what the kernel gives the first u32 filter. Named, so that a second request means the same one."""
_REDIRECT_CLASS = 0x0001_0001
_ETH_P_ALL = 3
_REDIRECT_INFO = 1 << 16 | socket.htons(_ETH_P_ALL)
"""Priority 1, all protocols."""
_LARGEST_RATE = 0xFFFF_FFFF


def token_bucket(item: TokenBucket, index: int) -> bytes:
    """A token bucket as root discipline, in place of what is there.

    The burst is told as ``buffer`` alone: with TCA_TBF_BURST the kernel works the ticks out itself, and what is
    read back is a little off what was asked for. Rates above 32 bits travel beside the old field, which is
    full then. No rate table: kernels since 3.8 compute.
    """
    rate = pack("=BBHhHI", 0, 0, 0, 0, 0, min(item.rate, _LARGEST_RATE))
    peak_rate = pack("=BBHhHI", 0, 0, 0, 0, 0, 0)
    options = [nl.attribute(rt.TCA_TBF_PARMS, rate + peak_rate + pack("=III", item.limit, item.buffer, 0))]
    if item.rate > _LARGEST_RATE:
        options.append(nl.attribute(rt.TCA_TBF_RATE64, pack("=Q", item.rate)))
    return nl.message(
        rt.RTM_NEWQDISC,
        _SET,
        rt.tcmsg(index, _ROOT_HANDLE, rt.TC_H_ROOT),
        nl.text(rt.TCA_KIND, "tbf"),
        nl.nested(rt.TCA_OPTIONS, *options),
    )


def delete_root_qdisc(index: int) -> bytes:
    """Give a link its default root discipline back (ENOENT: it has it)."""
    return nl.message(rt.RTM_DELQDISC, 0, rt.tcmsg(index, 0, rt.TC_H_ROOT))


def ingress_qdisc(index: int) -> bytes:
    """The discipline that filters of what a link receives hang on; there already is fine."""
    header = rt.tcmsg(index, _INGRESS_HANDLE, rt.TC_H_INGRESS)
    return nl.message(rt.RTM_NEWQDISC, nl.NLM_F_CREATE, header, nl.text(rt.TCA_KIND, "ingress"))


def delete_ingress_qdisc(index: int) -> bytes:
    """Remove the ingress discipline and all of its filters (EINVAL or ENOENT: there is none)."""
    return nl.message(rt.RTM_DELQDISC, 0, rt.tcmsg(index, _INGRESS_HANDLE, rt.TC_H_INGRESS))


def redirect_filter(index: int, to_index: int) -> bytes:
    """All that link ``index`` receives leaves by link ``to_index``; needs the ingress discipline."""
    # struct tc_u32_sel with one struct tc_u32_key, whose mask of 0 matches everything
    selector = pack("=BBBxHHhhI", rt.TC_U32_TERMINAL, 0, 1, 0, 0, 0, 0, 0) + pack("=IIii", 0, 0, 0, 0)
    # struct tc_mirred
    mirred = pack("=IIiiiiI", 0, 0, rt.TC_ACT_STOLEN, 0, 0, rt.TCA_EGRESS_REDIR, to_index)
    action = nl.nested(
        1,  # the first of a list of actions
        nl.text(rt.TCA_ACT_KIND, "mirred"),
        nl.nested(rt.TCA_ACT_OPTIONS, nl.attribute(rt.TCA_MIRRED_PARMS, mirred)),
    )
    options = nl.nested(
        rt.TCA_OPTIONS,
        nl.u32(rt.TCA_U32_CLASSID, _REDIRECT_CLASS),
        nl.attribute(rt.TCA_U32_SEL, selector),
        nl.nested(rt.TCA_U32_ACT, action),
    )
    header = rt.tcmsg(index, _REDIRECT_HANDLE, _INGRESS_HANDLE, _REDIRECT_INFO)
    return nl.message(rt.RTM_NEWTFILTER, _SET, header, nl.text(rt.TCA_KIND, "u32"), options)


def delete_redirect_filter(index: int) -> bytes:
    """Remove the filters of priority 1 at a link's ingress."""
    header = rt.tcmsg(index, 0, _INGRESS_HANDLE, _REDIRECT_INFO)
    return nl.message(rt.RTM_DELTFILTER, 0, header)
