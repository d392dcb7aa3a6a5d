"""Queueing: how fast a link may send, and where what it receives is queued."""

from __future__ import annotations

from multinet.core.desired.item import Item


class TokenBucket(Item, frozen=True, kw_only=True, tag="token-bucket"):
    """A token bucket filter as root queueing discipline of a link (tc-tbf(8)), handle 1:0."""

    link: str
    rate: int
    """Bytes per second."""
    burst: int
    """Bytes."""
    limit: int
    """Bytes that may wait for tokens."""
    buffer: int
    """The burst as time at ``rate``, in ticks of the kernel's packet scheduler clock."""


class Redirect(Item, frozen=True, kw_only=True, tag="redirect"):
    """Everything that ``link`` receives goes through the link ``to`` (ingress discipline, u32, mirred)."""

    link: str
    to: str
