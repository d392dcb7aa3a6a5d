"""One route plan for the whole pod: which attachment holds the default route of each address family.

========================================  ==================================================================
what the pod asks for                     who holds the family's default route
========================================  ==================================================================
a gateway of the family, on one element   that element's interface, by that gateway and no other
no such gateway, ``[]`` on some element   the first of these that brings a default route, with its own routes
nothing                                   the first attachment that brings one, with its own routes
========================================  ==================================================================

So at most one interface holds default routes of a family, and a request for one family doesn't touch the
other. This is settled once all attachments are made, external plugins' routes included: what a later plugin
has replaced is put back. Only the main table counts. Source: NPWG multi-network specification 1.3, 4.1.2.1.9.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from multinet.cni.addresses import is_ipv6
from multinet.cni.errors import CNIError, Code
from multinet.cni.result import Result, Route
from multinet.core import desired
from multinet.npwg.default_routes import DESTINATIONS, Family, default_family, default_routes

__all__ = [
    "Attached",
    "DefaultRoutePlan",
    "Request",
    "effective_gateways",
    "installed_item",
    "plan_default_routes",
    "refuse_several_gateways",
]

Request = tuple[str, ...] | None
"""An element's ``default-route``: gateways; () for the attachment's own; None for no request."""

FAMILIES: tuple[Family, ...] = (4, 6)


class Attached(msgspec.Struct, frozen=True):
    """An attachment that has been made: its interface, what its plugins returned, what was asked for."""

    ifname: str
    result: Result
    default_route: Request = None


def installed_item(ifname: str, route: Route) -> desired.Route:
    """A default route of the plan as an item: the kernel gets it, and CHECK compares it."""
    return desired.Route(
        link=ifname,
        dst=route.dst,
        gateways=(route.gw,) if route.gw else (),
        metric=route.priority,
        mtu=route.mtu,
        advmss=route.advmss,
    )


class DefaultRoutePlan(msgspec.Struct, frozen=True):
    """What is to be done in the pod's namespace, removals first; repeating it changes nothing."""

    remove: tuple[tuple[str, Family], ...] = ()
    """Interfaces that lose every default route of the family in the main table, whoever made it."""
    install: tuple[tuple[str, Route], ...] = ()
    """Routes by an interface, replacing one of the same destination and priority."""

    def __bool__(self) -> bool:
        return bool(self.remove or self.install)


def refuse_several_gateways(requests: Sequence[tuple[str, Request]]) -> None:
    """At most one gateway a family over all elements, given as (name, request).

    Raises CNIError code 7 that names them.
    """
    for family in FAMILIES:
        asked = [(who, gateway) for who, gateways in requests for gateway in _of(family, gateways)]
        if len(asked) > 1:
            named = ", ".join(f"{gateway} on {who}" for who, gateway in asked)
            raise CNIError(
                Code.INVALID_CONFIG,
                "multus does not support ECMP for default-route",
                f"more than one IPv{family} gateway is asked for: {named}; keep one of them",
            )


def plan_default_routes(attached: Sequence[Attached]) -> DefaultRoutePlan:
    """What makes the pod's default routes those that were asked for, once all attachments are made.

    Empty when nothing was asked for and one attachment at most brings default routes. Raises CNIError
    code 7 when several gateways of a family are asked for.
    """
    refuse_several_gateways([(one.ifname, one.default_route) for one in attached])
    remove: list[tuple[str, Family]] = []
    install: list[tuple[str, Route]] = []
    for family in FAMILIES:
        holder, routes = _holder(attached, family)
        if holder is None:
            continue
        asked = _requested(attached, family)
        if asked or _keepers(attached):
            remove += [(one.ifname, family) for one in attached if asked or one is not holder]
            install += [(holder.ifname, route) for route in routes]
        else:
            others = [one for one in attached if one is not holder and _brings(one.result, family)]
            remove += [(one.ifname, family) for one in others]
            install += [(holder.ifname, route) for route in routes if others]
    return DefaultRoutePlan(tuple(remove), tuple(install))


def effective_gateways(attached: Sequence[Attached]) -> tuple[tuple[str, ...], ...]:
    """For each attachment the gateways of the default routes that it holds under the plan."""
    gateways: list[list[str]] = [[] for _ in attached]
    for family in FAMILIES:
        holder, routes = _holder(attached, family)
        for one, mine in zip(attached, gateways, strict=True):
            if one is holder:
                mine += dict.fromkeys(route.gw for route in routes if route.gw)
    return tuple(tuple(mine) for mine in gateways)


def _holder(attached: Sequence[Attached], family: Family) -> tuple[Attached | None, tuple[Route, ...]]:
    """Who holds the family's default routes, and which these are."""
    asked = _requested(attached, family)
    if asked:
        return asked[0]
    for one in (*_keepers(attached), *attached):
        own = _defaults(one.result, family)
        if own:
            return one, own
    return None, ()


def _requested(attached: Sequence[Attached], family: Family) -> list[tuple[Attached, tuple[Route, ...]]]:
    return [
        (one, (Route(DESTINATIONS[family], gw=gateway),))
        for one in attached
        for gateway in _of(family, one.default_route)
    ]


def _keepers(attached: Sequence[Attached]) -> list[Attached]:
    """The attachments whose own default routes are asked for (``[]``)."""
    return [one for one in attached if one.default_route == ()]


def _of(family: Family, request: Request) -> list[str]:
    return [gateway for gateway in request or () if is_ipv6(gateway) == (family == 6)]


def _brings(result: Result, family: Family) -> bool:
    return bool(_defaults(result, family))


def _defaults(result: Result, family: Family) -> tuple[Route, ...]:
    return tuple(route for route in default_routes(result) if default_family(route) == family)
