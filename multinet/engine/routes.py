"""The pod's default routes, once all its attachments are made."""

from __future__ import annotations

from collections.abc import Sequence

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel import NetworkStack
from multinet.adapters.kernel_values import RouteInfo
from multinet.cni.result import Route as ResultRoute
from multinet.core.desired import MAIN_TABLE, Route
from multinet.core.routes import DefaultRoutePlan, installed_item
from multinet.engine.steps import GONE, Step, perform
from multinet.engine.undo import Undo
from multinet.npwg.default_routes import DESTINATIONS


def settle_default_routes(plan: DefaultRoutePlan, stack: NetworkStack) -> None:
    """Remove and install default routes in a sandbox as planned; repeating it changes nothing.

    Raises CNIError code 100, as when a gateway isn't on the interface's link.
    """
    if not plan:
        return
    indexes = {link.name: link.index for link in stack.links()}
    wanted = {(name, route.dst, route.gw) for name, route in plan.install}
    present = stack.routes()
    steps = []
    for ifname, family in plan.remove:
        index = indexes.get(ifname, 0)
        for found in _defaults(present, DESTINATIONS[family], index):
            if (ifname, found.dst, found.hops[0][0]) not in wanted:
                steps.append(_removal(ifname, found, index))
    for ifname, route in plan.install:
        if ifname in indexes and not _is_there(route, indexes[ifname], present):
            steps.append(_installation(ifname, route, indexes[ifname]))
    perform(steps, stack, Undo())


def _defaults(routes: Sequence[RouteInfo], dst: str, index: int) -> list[RouteInfo]:
    return [
        route
        for route in routes
        if route.dst == dst and route.table == MAIN_TABLE and any(hop == index for _, hop in route.hops)
    ]


def _is_there(route: ResultRoute, index: int, routes: Sequence[RouteInfo]) -> bool:
    """Left alone as it is: whoever made it may have said more of it than the result does."""
    return any(
        (route.gw, index) in found.hops and found.metric == route.priority
        for found in _defaults(routes, route.dst, index)
    )


def _removal(ifname: str, route: RouteInfo, index: int) -> Step:
    item = Route(
        link=ifname,
        dst=route.dst,
        gateways=tuple(gateway for gateway, hop in route.hops if gateway and hop == index),
        metric=route.metric,
        scope=route.scope,
    )
    return Step(messages.delete_route(item, index), f"error deleting default gateway of {ifname}", GONE)


def _installation(ifname: str, route: ResultRoute, index: int) -> Step:
    item = installed_item(ifname, route)
    via = f" via {route.gw}" if route.gw else ""
    return Step(
        messages.replace_route(item, index), f"error setting default gateway: {route.dst}{via} dev {ifname}"
    )
