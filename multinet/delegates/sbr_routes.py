"""Which routes of an interface go into the table of which of its addresses. Pure.

Source: specification of the chained plugins, 5.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from multinet.cni.addresses import address_of, interface_of, prefix_of
from multinet.core.desired import MADE_BY_MULTINET, SCOPE_LINK, NoRoute, Route
from multinet.npwg.default_routes import DESTINATIONS, Family
from multinet.sdk import RouteInfo
from multinet.sdk.tables import gateways_of, in_table, out_of_main


class Source(NamedTuple):
    """An address of the interface, and where what it sends finds its way."""

    cidr: str
    table: int
    gateway: str = ""
    """Of the table's default route; empty: only what the interface has already."""
    is_configured: bool = False
    """The gateway stands in the configuration: no other default route of the interface counts."""

    @property
    def family(self) -> Family:
        """4 or 6."""
        return interface_of(self.cidr).version

    @property
    def rule_source(self) -> str:
        """The address alone, as a prefix."""
        interface = interface_of(self.cidr)
        return f"{interface.ip}/{interface.max_prefixlen}"

    @property
    def subnet(self) -> str:
        """The subnet that the address is in."""
        return str(interface_of(self.cidr).network)

    def covers(self, address: str) -> bool:
        """Whether an address lies in the subnet."""
        return address_of(address) in interface_of(self.cidr).network


def table_routes(
    link: str, source: Source, sources: Sequence[Source], routes: Iterable[RouteInfo]
) -> list[Route]:
    """The routes of an address's table: those of ``routes`` that are its, on-link ones first, and the default."""
    default = DESTINATIONS[source.family]
    copied = [
        in_table(link, route, source.table)
        for route in routes
        if _belongs(route, source, sources) and not (source.is_configured and route.dst == default)
    ]
    if source.gateway and not any(source.gateway in one.gateways for one in copied if one.dst == default):
        copied.append(_default_route(link, source))
    return sorted(copied, key=lambda route: bool(route.gateways))


def leaving(link: str, routes: Iterable[RouteInfo], keeps_subnets: bool) -> list[NoRoute]:
    """The routes that go from the main table, those that others are reached by last; IPv6's link-local prefix stays,
    and with ``keeps_subnets`` all of IPv4 that is on the link.
    """
    return out_of_main(
        link,
        [
            route
            for route in routes
            if not _is_link_local(route) and not (keeps_subnets and route.scope == SCOPE_LINK)
        ],
    )


def source_hints(link: str, sources: Iterable[Source], routes: Sequence[RouteInfo]) -> list[Route]:
    """A route to each address's subnet in the main table, from which the kernel learns the address to send by."""
    hints: dict[str, Route] = {}
    for source in sources:
        subnet = source.subnet
        there = next((r for r in routes if r.dst == subnet and r.scope == SCOPE_LINK and r.source), None)
        hints[subnet] = Route(
            link=link,
            whose="shared" if there else "borrowed",
            dst=subnet,
            scope=SCOPE_LINK,
            source=there.source if there else str(interface_of(source.cidr).ip),
            protocol=there.protocol if there else MADE_BY_MULTINET,
        )
    return list(hints.values())


def _belongs(route: RouteInfo, source: Source, sources: Sequence[Source]) -> bool:
    """By its source or gateway; a route that has neither belongs to all, and so does one whose gateway is in none of
    the subnets.
    """
    if prefix_of(route.dst).version != source.family:
        return False
    marks = [*gateways_of(route), *([route.source] if route.source else [])]
    if any(source.covers(mark) for mark in marks):
        return True
    siblings = [one for one in sources if one.family == source.family]
    return not any(one.covers(mark) for one in siblings for mark in marks)


def _default_route(link: str, source: Source) -> Route:
    gateway = address_of(source.gateway)
    reachable = source.covers(source.gateway) or (gateway.version == 6 and gateway.is_link_local)
    return Route(
        link=link,
        whose="borrowed",
        dst=DESTINATIONS[source.family],
        gateways=(source.gateway,),
        table=source.table,
        onlink=not reachable,
        protocol=MADE_BY_MULTINET,
    )


def _is_link_local(route: RouteInfo) -> bool:
    network = prefix_of(route.dst)
    return network.version == 6 and network.is_link_local and not gateways_of(route)
