"""Addresses, routes, policy rules and neighbours."""

from __future__ import annotations

from multinet.core.desired.item import Item

SCOPE_UNIVERSE = 0
SCOPE_LINK = 253
SCOPE_HOST = 254
MAIN_TABLE = 254
MADE_BY_KERNEL, MADE_BY_PROGRAM, MADE_BY_MULTINET = 2, 3, 109
"""Origin of a route or rule as the kernel keeps it (``RTPROT_KERNEL``, ``RTPROT_BOOT``); the last is a number that
nobody else uses, and marks rules: those of an attachment of which nothing else is known are found by it.
"""


class Address(Item, frozen=True, kw_only=True, tag="address"):
    """An address (with prefix length, ``10.1.2.3/24``) on a link."""

    link: str
    cidr: str
    detect: bool = True
    """IPv6: another holder is looked for first (duplicate address detection)."""
    prefix_route: bool = True
    """The kernel makes a route to the address's subnet."""


class NoAddress(Item, frozen=True, kw_only=True, tag="no-address"):
    """An address that must go from a link, to make room for another (bridge's ``forceAddress``)."""

    link: str
    cidr: str


class RouteDescription(Item, frozen=True, kw_only=True):
    """All that a route is: by ``link``, via each of ``gateways`` (several: one multipath route), or on-link without
    any.

    ``onlink`` tells the kernel that the gateway is reachable on the link although no prefix covers it.
    """

    link: str
    dst: str
    gateways: tuple[str, ...] = ()
    metric: int = 0
    table: int = MAIN_TABLE
    scope: int = SCOPE_UNIVERSE
    mtu: int = 0
    advmss: int = 0
    onlink: bool = False
    source: str = ""
    """Preferred source address."""
    protocol: int = MADE_BY_PROGRAM
    """Who made it, in the kernel's numbers (``RTPROT_…``)."""


class Route(RouteDescription, frozen=True, kw_only=True, tag="route"):
    """A route that is to be there. An owned one in a sandbox goes with its link; a borrowed one is taken back from a
    link that stays.
    """

    replaces: bool = False
    """One to the same destination with the same metric is replaced, whoever made it."""


class NoRoute(RouteDescription, frozen=True, kw_only=True, tag="no-route"):
    """A route that must go (it stands elsewhere now), and all that it takes to put it back when the attachment goes
    before its link.
    """


class Rule(Item, frozen=True, kw_only=True, tag="rule"):
    """A policy rule: packets from ``source`` (``10.1.2.3/32``) look their route up in ``table``.

    ``priority`` 0: the kernel chooses (it counts down from 32765, so the newest comes first).
    """

    source: str
    table: int
    priority: int = 0


class Neighbour(Item, frozen=True, kw_only=True, tag="neighbour"):
    """A permanent neighbour entry: ``address`` has ``mac`` on ``link``."""

    link: str
    address: str
    mac: str
