"""Which routes of a result are default routes of the main table, and of which address family."""

from __future__ import annotations

from typing import Literal

import msgspec

from multinet.cni.addresses import is_ipv6
from multinet.cni.result import Result, Route

__all__ = ["DESTINATIONS", "Family", "default_family", "default_gateways", "default_routes"]

Family = Literal[4, 6]

DESTINATIONS: dict[Family, str] = {4: "0.0.0.0/0", 6: "::/0"}
"""What a default route leads to, by family."""
_MAIN_TABLES = (None, 0, 254)  # RT_TABLE_UNSPEC and RT_TABLE_MAIN, rtnetlink(7)


def default_family(route: Route) -> Family | None:
    """The family whose traffic to everywhere ``route`` takes, None for any other route.

    The prefix length decides, not the address: ``0.0.0.0/1`` is no default route. A route of another table
    than main isn't one either: policy rules decide when that is looked at.
    """
    if route.table not in _MAIN_TABLES or not route.dst.endswith("/0"):
        return None
    return 6 if is_ipv6(route.dst) else 4


def default_routes(result: Result) -> tuple[Route, ...]:
    """The result's default routes, in its order.

    One without a gateway has that of the first address of its family that names one, as plugins install
    it (CNI specification, "Result": a route without ``gw``); if none does, it is on-link.
    """
    return tuple(
        route if route.gw else msgspec.structs.replace(route, gw=_gateway(result, family))
        for route in result.routes
        if (family := default_family(route))
    )


def default_gateways(result: Result) -> tuple[str, ...]:
    """The gateways of the default routes, in the result's order, each once; on-link routes have none."""
    return tuple(dict.fromkeys(route.gw for route in default_routes(result) if route.gw))


def _gateway(result: Result, family: Family) -> str:
    ipv6 = family == 6
    return next((ip.gateway for ip in result.ips if ip.gateway and is_ipv6(ip.gateway) == ipv6), "")
