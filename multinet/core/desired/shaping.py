"""Queueing: how fast a link may send, and where what it receives is queued."""

from __future__ import annotations

from typing import Literal

from multinet.core.desired.item import Item


class TokenBucket(Item, frozen=True, kw_only=True, tag="token-bucket"):
    """A token bucket filter as root queueing discipline of a link (tc-tbf(8)), handle 1:0."""

    link: str
    rate: int
    """Bytes per second."""
    limit: int
    """Bytes that may wait for tokens."""
    buffer: int
    """The burst as time at ``rate``, in ticks of the kernel's packet scheduler clock."""


class Redirect(Item, frozen=True, kw_only=True, tag="redirect"):
    """Everything that ``link`` receives goes through the link ``to`` (ingress discipline, u32, mirred)."""

    link: str
    to: str


class SubnetBucket(Item, frozen=True, kw_only=True, tag="subnet-bucket"):
    """A token bucket that only part of what a link sends must pass: a hierarchy (tc-htb(8), handle 1:0) of the
    class 1:48 with the limit and the class 1:1 without, and one u32 filter for each subnet.
    """

    link: str
    rate: int
    """Bytes per second."""
    buffer: int
    """The burst as time at ``rate``, in ticks of the kernel's packet scheduler clock."""
    subnets: tuple[str, ...]
    shaped: Literal["inside", "outside"]
    """Whether the limit is for traffic of the subnets, or for all other."""
    match: Literal["source", "destination"]
    """Which address of a packet is looked at: the one that isn't the pod's."""
