"""From an IPAM result to desired state: addresses, routes, announcement, on one link of the sandbox."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from msgspec.structs import replace

from multinet.cni.addresses import address_of, interface_of, prefix_of
from multinet.cni.result import Result
from multinet.cni.result import Route as ResultRoute
from multinet.core.desired import MAIN_TABLE, SCOPE_LINK, SCOPE_UNIVERSE, Address, AnyItem, Route, Sysctl
from multinet.npwg.default_routes import DESTINATIONS, Family


def addressed(link: str, ipam: Result | None) -> tuple[AnyItem, ...]:
    """Addresses and routes of ``ipam`` on ``link``; nothing without.

    IPv6 is switched on where it was off, and its addresses survive a link that goes down for a while.
    """
    if ipam is None:
        return ()
    items: list[AnyItem] = []
    if has_family(ipam, 6):
        for name in ("lo", link):
            items.append(Sysctl(key=f"net/ipv6/conf/{name}/disable_ipv6", value="0", tolerant=name == "lo"))
        items.append(Sysctl(key=f"net/ipv6/conf/{link}/keep_addr_on_down", value="1"))
    items += [Address(link=link, cidr=ip.address) for ip in ipam.ips]
    items += routes_of(link, ipam)
    return tuple(items)


def announced(link: str, ipam: Result | None) -> tuple[AnyItem, ...]:
    """The kernel tells the neighbours of the pod's addresses when the link goes up (gratuitous ARP, unsolicited
    NA); of a link-local one only beside others.
    """
    if ipam is None:
        return ()
    items = [Sysctl(key=f"net/ipv4/conf/{link}/arp_notify", value="1", tolerant=True)]
    if has_family(ipam, 6):
        items.append(Sysctl(key=f"net/ipv6/conf/{link}/ndisc_notify", value="1", tolerant=True))
    return tuple(items)


def has_family(ipam: Result, version: int) -> bool:
    """Whether one of the addresses is of IP ``version``."""
    return any((":" in ip.address) == (version == 6) for ip in ipam.ips)


def routes_of(link: str, ipam: Result) -> list[Route]:
    """The routes of a result in an order that the kernel can take: on-link ones before those by gateway.

    One destination with several gateways is one multipath route; an exact repetition is one route. A
    gateway that nothing covers is declared to be on the link.
    """
    gateways = _first_gateways(ipam)
    merged: dict[tuple[object, ...], Route] = {}
    for route in ipam.routes:
        one = _route(link, route, gateways)
        key = (one.dst, one.metric, one.table, one.scope)
        if key in merged:
            more = merged[key].gateways + tuple(g for g in one.gateways if g not in merged[key].gateways)
            one = replace(one, gateways=more)
        merged[key] = one
    reachable = [interface_of(ip.address).network for ip in ipam.ips]
    reachable += [prefix_of(r.dst) for r in merged.values() if not r.gateways]
    ordered = sorted(merged.values(), key=lambda route: bool(route.gateways))
    return [_placed(route, reachable) for route in ordered]


def with_gateways(ipam: Result) -> Result:
    """The result with the first address of its subnet as gateway, wherever none is given."""
    ips = tuple(
        ip if ip.gateway else replace(ip, gateway=str(interface_of(ip.address).network.network_address + 1))
        for ip in ipam.ips
    )
    return replace(ipam, ips=ips)


def with_default_routes(ipam: Result) -> Result:
    """The result with a default route by the first gateway of each family that has none yet."""
    present = {route.dst for route in ipam.routes}
    added = []
    for version, gateway in _first_gateways(ipam).items():
        if not any(_is_default(dst, version) for dst in present):
            added.append(ResultRoute(dst=DESTINATIONS[version], gw=gateway))
    return replace(ipam, routes=(*ipam.routes, *added))


def _is_default(dst: str, version: int) -> bool:
    network = prefix_of(dst)
    return network.version == version and network.prefixlen == 0


def _first_gateways(ipam: Result) -> dict[Family, str]:
    found: dict[Family, str] = {}
    for ip in ipam.ips:
        if ip.gateway:
            found.setdefault(address_of(ip.gateway).version, ip.gateway)
    return found


def _route(link: str, route: ResultRoute, gateways: dict[Family, str]) -> Route:
    network = prefix_of(route.dst)
    scope = SCOPE_UNIVERSE if route.scope is None else route.scope
    # A route of a scope no wider than the link has no next hop to inherit.
    gateway = route.gw or ("" if scope >= SCOPE_LINK else gateways.get(network.version, ""))
    if gateway and address_of(gateway).is_unspecified:  # how DHCP says "on the link"
        gateway = ""
    return Route(
        link=link,
        dst=str(network),
        gateways=(str(address_of(gateway)),) if gateway else (),
        metric=route.priority,
        table=MAIN_TABLE if route.table is None else route.table,
        scope=scope,
        mtu=route.mtu,
        advmss=route.advmss,
    )


def _placed(route: Route, reachable: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> Route:
    uncovered = [gateway for gateway in route.gateways if not _is_covered(gateway, reachable)]
    return replace(route, onlink=True) if uncovered else route


def _is_covered(gateway: str, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    """Whether one of the networks holds the gateway; IPv6 link-local ones are on every link."""
    address = address_of(gateway)
    return (address.version == 6 and address.is_link_local) or any(address in network for network in networks)
