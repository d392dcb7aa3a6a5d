"""A kernel that refuses, or a process that dies, at a chosen message: for "whichever step fails"."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from multinet.adapters import netlink as nl
from multinet.adapters import rtnetlink as rt
from multinet.adapters.kernel import Kernel, NetworkStack
from multinet.adapters.netns import Netns

__all__ = ["Crash", "Refusal", "SpoiltKernel"]

_REFUSED = nl.message(
    rt.RTM_NEWLINK,
    nl.NLM_F_CREATE | nl.NLM_F_EXCL,
    rt.ifinfo(),
    nl.nested(rt.IFLA_LINKINFO, nl.text(rt.IFLA_INFO_KIND, "no-such-kind")),
)
"""What the kernel always refuses (EOPNOTSUPP)."""
DIED = 86
"""Exit code of a process that a ``Crash`` ended."""

Send = Callable[[Sequence[bytes]], object]
"""Sends a batch as it is."""


class Refusal:
    """Puts a message that the kernel refuses in the place of the n-th one that is sent."""

    def __init__(self, place: int) -> None:
        self._left = place
        self.happened = False

    def spoil(self, batch: Sequence[bytes], send: Send) -> Sequence[bytes]:
        """The batch to send instead."""
        spoilt = list(batch)
        if not self.happened and self._left < len(spoilt):
            spoilt[self._left] = _REFUSED
            self.happened = True
        self._left -= len(spoilt)
        return spoilt


class Crash:
    """Ends the process, undoing nothing, when the n-th message is about to be sent (those before it are)."""

    def __init__(self, place: int) -> None:
        self._left = place

    def spoil(self, batch: Sequence[bytes], send: Send) -> Sequence[bytes]:
        """The batch, if the process lives on."""
        if self._left < len(batch):
            if self._left:
                send(batch[: self._left])
            os._exit(DIED)
        self._left -= len(batch)
        return batch


class _SpoiltStack(NetworkStack):
    def __init__(self, netns: Netns, fault: Refusal | Crash) -> None:
        super().__init__(netns)
        self._fault = fault

    def send(self, batch: Sequence[bytes]) -> list[nl.NetlinkError | None]:
        return super().send(self._fault.spoil(batch, super().send))


class SpoiltKernel(Kernel):
    """The kernel, with one fault in what it is asked."""

    def __init__(self, host: Netns, fault: Refusal | Crash) -> None:
        super().__init__(host)
        self._stack = _SpoiltStack(host, fault)
        self._fault = fault

    @property
    def host(self) -> NetworkStack:
        """The host's stack."""
        return self._stack

    def open(self, netns: Netns) -> NetworkStack:
        """A sandbox's stack."""
        return _SpoiltStack(netns, self._fault)
