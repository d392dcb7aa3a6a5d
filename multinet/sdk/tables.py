"""Routing tables beside the main one: which is free, and an interface's routes on their way there and back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from multinet.adapters.kernel_values import RouteInfo
from multinet.cni.addresses import interface_of, prefix_of
from multinet.cni.result import Result
from multinet.core.desired import MADE_BY_MULTINET, MADE_BY_PROGRAM, MAIN_TABLE, SCOPE_LINK, NoRoute, Route
from multinet.engine.facts import Facts

__all__ = [
    "KERNELS_TABLES",
    "first_free",
    "gateways_of",
    "in_table",
    "of_link",
    "out_of_main",
    "reported_routes",
    "tables_in_use",
    "with_tables",
]

KERNELS_TABLES = frozenset({0, 253, MAIN_TABLE, 255})
"""Unspecified, default, main, local."""


def tables_in_use(host: Facts) -> set[int]:
    """Tables of the sandbox that a rule leads to, a route stands in, or a VRF has."""
    used = {rule.table for rule in host.rules("sandbox")}
    used.update(route.table for route in host.routes("sandbox"))
    used.update(link.table for link in host.links("sandbox").values())
    return used


def first_free(used: Iterable[int], start: int) -> int:
    """The smallest id from ``start`` on that is neither used nor the kernel's."""
    taken = KERNELS_TABLES.union(used)
    table = start
    while table in taken:
        table += 1
    return table


def of_link(routes: Iterable[RouteInfo], index: int, tables: Iterable[int]) -> list[RouteInfo]:
    """The link's routes in ``tables`` that others made, each once; those by several links are nobody's."""
    wanted = frozenset(tables)
    found: dict[tuple[object, ...], RouteInfo] = {}
    for route in routes:
        ours = route.protocol == MADE_BY_MULTINET
        if route.table in wanted and not ours and all(at == index for _, at in route.hops):
            found.setdefault((route.dst, route.hops, route.metric, route.scope), route)
    return list(found.values())


def in_table(link: str, route: RouteInfo, table: int) -> Route:
    """A route as it stands in another table; borrowed, since its link stays."""
    return Route(link=link, whose="borrowed", table=table, **_as_found(route))


def out_of_main(link: str, routes: Iterable[RouteInfo]) -> list[NoRoute]:
    """Routes that go from the main table, those that others are reached by last, and come back first."""
    found = [NoRoute(link=link, whose="borrowed", **_as_found(route)) for route in routes]
    return sorted(found, key=lambda route: not route.gateways)


def _as_found(route: RouteInfo) -> dict[str, Any]:
    """What a description of the route takes over from the kernel: all but link and table."""
    names = ("dst", "metric", "scope", "mtu", "advmss", "onlink", "source", "protocol")
    return {"gateways": gateways_of(route), **{name: getattr(route, name) for name in names}}


def reported_routes(previous: Result, index: int, tables: Iterable[int]) -> list[RouteInfo]:
    """The routes by a gateway that a result reports in main or ``tables``, as link ``index`` has them. One without a
    gateway of its own has that of its family's first address (CNI specification, "Result").
    """
    counted = {None, MAIN_TABLE, *tables}
    inherited = {interface_of(ip.address).version: ip.gateway for ip in reversed(previous.ips) if ip.gateway}
    found = []
    for route in previous.routes:
        network, scope = prefix_of(route.dst), route.scope or 0
        gateway = route.gw or (inherited.get(network.version, "") if scope < SCOPE_LINK else "")
        if gateway and route.table in counted:
            hops = ((gateway, index),)
            found.append(
                RouteInfo(str(network), hops, route.priority, MAIN_TABLE, scope, protocol=MADE_BY_PROGRAM)
            )
    return found


def with_tables(previous: Result, made: Sequence[Route]) -> Result:
    """The result with the table in each route of main that was moved: the first one it stands in."""

    def table_of(dst: str, gateway: str) -> int | None:
        network = str(prefix_of(dst))
        fits = (one for one in made if one.dst == network and (not gateway or gateway in one.gateways))
        return next((one.table for one in fits), None)

    routes = tuple(
        replace(route, table=table_of(route.dst, route.gw) or route.table)
        if route.table in (None, MAIN_TABLE)
        else route
        for route in previous.routes
    )
    return replace(previous, routes=routes)


def gateways_of(route: RouteInfo) -> tuple[str, ...]:
    """All of a route's gateways; none if it is on-link."""
    return tuple(gateway for gateway, _ in route.hops if gateway)
