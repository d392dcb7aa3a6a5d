"""Netfilter's netlink: the routing socket's requests on another protocol, and batches that are all or nothing.

Source: linux/netfilter/nfnetlink.h; net/netfilter/nfnetlink.c (nfnetlink_rcv_batch) for what is acknowledged when.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from struct import pack, unpack_from

from multinet.adapters.netlink import NLM_F_ACK, NLMSG_ERROR, NetlinkSocket, attribute, message
from multinet.adapters.netns import Netns

__all__ = ["SUBSYS_NFTABLES", "NetfilterSocket", "header"]

SUBSYS_NFTABLES = 10

_NETLINK_NETFILTER = 12
_SOL_NETLINK, _NETLINK_CAP_ACK = 270, 10
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE, _ROOM = 32, 33, 8 << 20
_BATCH_BEGIN, _BATCH_END, _BATCH_GENID = 16, 17, 1
_BUFFER = 1 << 16


def header(family: int, resource: int = 0) -> bytes:
    """``struct nfgenmsg``."""
    return pack(">BBH", family, 0, resource)


class NetfilterSocket(NetlinkSocket):
    """One netfilter socket, bound to the namespace it was made in. Not for use by two threads at once."""

    def __init__(self, netns: Netns) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        with netns.entered():
            self._socket = socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        with suppress(OSError):  # limits, not allocations; the default ones hold a thousand changes
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _ROOM)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        self._sequence = 0

    def transact(self, batch: Sequence[bytes], generation: int = 0) -> dict[int, int]:
        """One transaction of nf_tables, on the ruleset of number ``generation`` alone unless that is 0.

        Empty when all was done; nothing was done otherwise.

        Then it holds errors (errno) by their message's place in the batch, -1 for the batch as a whole.
        """
        first = self._sequence + 1
        last = first + len(batch)  # the last of the batch's own, before its end
        self._sequence = last + 1
        edge = header(0, SUBSYS_NFTABLES)
        buffer = bytearray()
        only = [attribute(_BATCH_GENID, pack(">I", generation))] if generation else []
        begin, end = message(_BATCH_BEGIN, 0, edge, *only), message(_BATCH_END, 0, edge)
        for sequence, single in enumerate([begin, *batch, end], first):
            start = len(buffer)
            buffer += single
            buffer[start + 8 : start + 12] = pack("=I", sequence)
            if sequence == last:
                buffer[start + 6] |= NLM_F_ACK
        self._socket.send(buffer)
        return self._answers(first, last)

    def _answers(self, first: int, last: int) -> dict[int, int]:
        """What failed. The kernel answers after the commit, in order: to what failed, and to who asked (the last).

        When it gives up on the whole batch, the answer is to the first message, and none to the others.
        """
        errors: dict[int, int] = {}
        while True:
            data = self._socket.recv(_BUFFER)
            start = 0
            while start + 20 <= len(data):
                size, kind, _, sequence, _, code = unpack_from("=IHHIIi", data, start)
                start += (size + 3) & ~3
                if kind != NLMSG_ERROR or not first <= sequence <= last:
                    continue
                if code:
                    errors[sequence - first - 1] = -code
                if sequence in (first, last):
                    return errors
