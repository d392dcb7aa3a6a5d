"""Settings of the kernel and of links that exist: what is changed remembers what was."""

from __future__ import annotations

import msgspec

from multinet.core.desired.item import Item


class Sysctl(Item, frozen=True, kw_only=True, tag="sysctl"):
    """A value below ``/proc/sys``, key with slashes (``net/ipv4/conf/eth0.1/arp_notify``).

    ``tolerant``: a kernel that lacks it or refuses it is no failure (most are optimisations).
    """

    key: str
    value: str
    tolerant: bool = False
    before: str | None = None
    """Borrowed: what to put back."""


class LinkAttributes(msgspec.Struct, frozen=True):
    """Attributes of a link that can be changed; None leaves one as it is."""

    mac: str | None = None
    mtu: int | None = None
    promisc: bool | None = None
    allmulti: bool | None = None
    tx_queue_len: int | None = None


class LinkSettings(Item, frozen=True, kw_only=True, tag="link-settings"):
    """Attributes of a link that another plugin made; ``before`` has each one's former value."""

    link: str
    want: LinkAttributes
    before: LinkAttributes = LinkAttributes()
