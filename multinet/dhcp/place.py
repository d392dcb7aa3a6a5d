"""The interface that a lease is for: where it is, and whether it is still the same one."""

from __future__ import annotations

import os

import msgspec

from multinet.adapters.kernel import NetworkStack
from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError

__all__ = ["Gone", "Place", "Reach"]


class Gone(Exception):
    """The namespace or the interface is not there any more; the text says which."""


class Place(msgspec.Struct, frozen=True):
    """An interface in a namespace. A new one of the same name is another: index and MAC tell."""

    netns: str
    """Path of the namespace."""
    identity: tuple[int, int]
    """Device and inode of the namespace."""
    ifname: str
    index: int
    mac: str


class Reach:
    """The way to a place. The namespace is opened by its path when it is needed, so that a pod that ends is not
    kept alive; only if the path leads elsewhere from here (another mount namespace) is a descriptor kept.
    """

    def __init__(self, place: Place, netns: Netns | None = None) -> None:
        """``netns`` is the open namespace, the caller's, if there is one."""
        self.place = place
        self._kept: Netns | None = None
        if netns is not None and not self._is_found():
            self._kept = Netns(os.dup(netns.fd), place.netns)

    def open(self, holds: str = "") -> tuple[Netns, str]:
        """The namespace, the caller's to close, with the interface in it, and the interface's MAC. Raises Gone.

        The MAC may be another than before if the interface still ``holds`` this address: a chained plugin may
        change it when the lease is there.
        """
        place = self.place
        netns = Netns(os.dup(self._kept.fd), place.netns) if self._kept else _opened(place)
        try:
            with NetworkStack(netns) as stack:
                link = stack.link_at(place.index)
                if link is None or link.name != place.ifname:
                    raise Gone(f"{place.netns} has no interface {place.ifname} with index {place.index}")
                there = {info.cidr for info in stack.addresses(place.index)} if link.mac != place.mac else ()
        except BaseException:
            netns.close()
            raise
        if link.mac != place.mac and holds not in there:
            netns.close()
            raise Gone(
                f"{place.ifname} in {place.netns} is another one now: its MAC is {link.mac}, not {place.mac}"
            )
        return netns, link.mac

    def close(self) -> None:
        """Let go of the namespace; safe to repeat."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _is_found(self) -> bool:
        try:
            _opened(self.place).close()
        except Gone:
            return False
        return True


def _opened(place: Place) -> Netns:
    try:
        netns = Netns.open(place.netns)
    except CNIError as error:
        raise Gone(error.msg) from None
    if netns.identity != place.identity:
        netns.close()
        raise Gone(f"{place.netns} is another namespace now")
    return netns
