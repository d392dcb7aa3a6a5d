"""What a server granted, and the CNI result that it makes (plugins-ipam 3.6 and 3.7)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

import msgspec

from multinet.cni.result import DNS, IPConfig, Result, Route
from multinet.core.desired import SCOPE_LINK
from multinet.dhcp import options as opt
from multinet.dhcp.message import Message

__all__ = ["Lease", "Unusable", "lease_of", "result_of"]

DEFAULT_TIME = 3600
"""Seconds of a lease whose server doesn't say; the reference plugin's."""
INFINITE = 0xFFFFFFFF
_SHORTEST = 1.0
"""Seconds between two timers, at least: no server can make us spin."""
_SMALLEST_MTU = 68


class Unusable(Exception):
    """An ACK that nobody can use; the text says why."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """An address with what belongs to it. Times are seconds of the boot clock; None: never."""

    address: str
    """With prefix length."""
    server: str
    server_mac: str
    """Where its packets came from: the server itself, or a relay."""
    gateway: str = ""
    routes: tuple[Route, ...] = ()
    dns: DNS = DNS()
    mtu: int = 0
    """Of the network; 0: not said."""
    renew: float | None = None
    rebind: float | None = None
    expiry: float | None = None

    @property
    def ip(self) -> IPv4Address:
        """The address alone."""
        return IPv4Address(self.address.partition("/")[0])

    def configures_like(self, other: Lease) -> bool:
        """Whether an interface looks the same with either: address, routes, MTU."""
        return (self.address, self.gateway, self.routes, self.mtu) == (
            other.address,
            other.gateway,
            other.routes,
            other.mtu,
        )


def lease_of(ack: Message, server_mac: str, asked: float, fuzz: float = 0.0) -> Lease:
    """The lease of an ACK to a request sent at ``asked``; ``fuzz`` (0 to 1) brings T1 forward by up to a tenth.

    Raises Unusable.
    """
    prefix = opt.netmask(ack.options.get(opt.SUBNET_MASK, b""))
    if prefix is None:
        raise Unusable("DHCP option Subnet Mask not found in DHCPACK")
    if _is_no_host(ack.yiaddr):
        raise Unusable(f"{ack.yiaddr} is no address for an interface")
    length = opt.number(ack.options.get(opt.LEASE_TIME, b""), 4)
    length = DEFAULT_TIME if length is None else length
    renew, rebind = _timers(ack, length)
    routers = opt.addresses(ack.options.get(opt.ROUTERS, b""))
    gateway = str(routers[0]) if routers and any(routers[0].packed) else ""
    endless = length == INFINITE
    return Lease(
        address=f"{ack.yiaddr}/{prefix}",
        server=str(ack.server),
        server_mac=server_mac,
        gateway=gateway,
        routes=tuple(_routes(ack, gateway)),
        dns=_dns(ack),
        mtu=_mtu(ack),
        renew=None if endless else asked + max(renew * (1 - 0.1 * fuzz), _SHORTEST),
        rebind=None if endless else asked + max(rebind, _SHORTEST),
        expiry=None if endless else asked + max(length, _SHORTEST),
    )


def result_of(lease: Lease, priority: int = 0, link_mtu: int = 0) -> Result:
    """The result of an ADD: ``priority`` is every route's metric, 0 for none.

    The network's MTU goes into the routes, if it is smaller than the interface's: that is the main plugin's.
    """
    mtu = lease.mtu if lease.mtu < link_mtu else 0
    routes = tuple(msgspec.structs.replace(route, priority=priority, mtu=mtu) for route in lease.routes)
    return Result(ips=(IPConfig(lease.address, lease.gateway),), routes=routes, dns=lease.dns)


def _timers(ack: Message, length: int) -> tuple[float, float]:
    """T1 and T2 after the request, as far as the server's make sense beside each other and the lease."""
    rebind = opt.number(ack.options.get(opt.REBINDING_TIME, b""), 4)
    if rebind is None or not 0 < rebind < length:
        rebind = None
    renew = opt.number(ack.options.get(opt.RENEWAL_TIME, b""), 4)
    latest = length * 0.875 if rebind is None else rebind
    if renew is None or not 0 < renew <= latest:
        return min(length * 0.5, latest), latest
    return renew, latest


def _is_no_host(address: IPv4Address) -> bool:
    return (
        not any(address.packed) or address.is_multicast or address.is_loopback or (int(address) == 0xFFFFFFFF)
    )


def _routes(ack: Message, gateway: str) -> Iterator[Route]:
    """Classless routes if there are any, and only they (RFC 3442); else static ones and the default route."""
    for code in (opt.CLASSLESS_ROUTES, opt.MS_CLASSLESS_ROUTES):
        classless = opt.classless_routes(ack.options.get(code, b""))
        if classless:
            for network, router in classless:
                scope = None if any(router.packed) else SCOPE_LINK
                yield Route(dst=str(network), gw=str(router), scope=scope)
            return
    for network, router in opt.static_routes(ack.options.get(opt.STATIC_ROUTES, b"")):
        yield Route(dst=str(network), gw=str(router))
    if gateway:
        yield Route(dst="0.0.0.0/0", gw=gateway)


def _dns(ack: Message) -> DNS:
    servers = opt.addresses(ack.options.get(opt.DNS_SERVERS, b""))
    return DNS(
        nameservers=tuple(str(server) for server in servers if any(server.packed)),
        domain=opt.text(ack.options.get(opt.DOMAIN_NAME, b"")),
        search=opt.search_list(ack.options.get(opt.DOMAIN_SEARCH, b"")),
    )


def _mtu(ack: Message) -> int:
    mtu = opt.number(ack.options.get(opt.MTU, b""), 2) or 0
    return mtu if mtu >= _SMALLEST_MTU else 0
