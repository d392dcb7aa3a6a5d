"""What older results can't say: routes before version 1.0.0 have destination and gateway and nothing else,
interfaces before 1.1.0 no MTU.

What metric, table or scope they were made with can't be worked out from them, so any will do.
"""

from __future__ import annotations

import ipaddress

from multinet.cni.addresses import address_of
from multinet.cni.versions import at_least
from multinet.core.desired import Difference
from multinet.engine.scene import Scene
from multinet.sdk.delegate import Sandbox

__all__ = ["is_unsaid", "route_differences", "says_routes_in_full"]


def says_routes_in_full(version: str) -> bool:
    """Whether results of the version have all attributes of a route."""
    return at_least(version, "1.0.0")


def is_unsaid(difference: Difference, pod: Sandbox) -> bool:
    """Whether it is about an MTU that the result can't say (before version 1.1.0): a later plugin of the chain may
    have changed it.
    """
    link = pod.made_interface
    return link is not None and not link.mtu and (difference.subject, difference.field) == (link.name, "mtu")


def route_differences(pod: Sandbox, scene: Scene) -> list[Difference]:
    """Routes of the result that the pod's interface has in no table, or not by the gateway they name."""
    stack = scene.stack("sandbox")
    link = stack.link(pod.ifname)
    index = link.index if link else 0
    present = {(route.dst, gateway) for route in stack.routes() for gateway, at in route.hops if at == index}
    found = []
    for route in pod.ipam.routes if pod.ipam else ():
        dst = str(ipaddress.ip_network(route.dst, strict=False))
        hop = "" if route.gw and address_of(route.gw).is_unspecified else route.gw  # DHCP's "on the link"
        if (dst, hop) in present or (not route.gw and any(dst == one for one, _ in present)):
            continue
        via = f" via {route.gw}" if route.gw else ""
        have = ", ".join(gateway or "link" for one, gateway in sorted(present) if one == dst)
        words = f"Expected Route {dst}{via} dev {pod.ifname} not found in routing table"
        found.append(Difference(f"route {dst}", "route", f"{dst}{via} dev {pod.ifname}", have, words))
    return found
