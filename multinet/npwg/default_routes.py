"""Which routes of a result are default routes of the main table, and of which address family."""

from __future__ import annotations

from typing import Literal

from multinet.cni.addresses import is_ipv6
from multinet.cni.result import Result, Route

__all__ = ["Family", "default_family", "default_gateways"]

Family = Literal[4, 6]

_MAIN_TABLES = (None, 0, 254)  # RT_TABLE_UNSPEC and RT_TABLE_MAIN, rtnetlink(7)


def default_family(route: Route) -> Family | None:
    """The family whose traffic to everywhere ``route`` takes, None for any other route.

    The prefix length decides, not the address: ``0.0.0.0/1`` is no default route. A route of another table
    than main isn't one either: policy rules decide when that is looked at.
    """
    if route.table not in _MAIN_TABLES or not route.dst.endswith("/0"):
        return None
    return 6 if is_ipv6(route.dst) else 4


def default_gateways(result: Result) -> tuple[str, ...]:
    """The gateways of the default routes, in the result's order, each once; routes without one have none."""
    gateways = (route.gw for route in result.routes if route.gw and default_family(route))
    return tuple(dict.fromkeys(gateways))
