"""What chained plugins' tests stand on: a pod that an earlier plugin of the list has given an interface."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
FAR = ({"dst": "10.50.0.0/16"}, {"dst": "2001:db8:50::/48"})
"""Routes of an IPAM, by its gateways."""


def attached(
    bench: Any, make: Any, *subnets: str, name: str = "c1", ifname: str = "eth0", **more: Any
) -> Any:
    """A pod with ``ifname`` on bridge ``br0``, which is its gateway; ``more`` are options of bridge."""
    bench.lab.allowed.add(more.get("bridge", "br0"))
    pod = bench.pod(name, ifname, netns=more.pop("netns", None))
    ipam = more.pop("ipam", None) or bench.host_local(*subnets or ("10.1.2.0/24",))
    pod.add(make("bridge", **{"bridge": "br0", "isGateway": True, "ipam": ipam, **more}))
    return pod


def after(pod: Any, conf: Json, previous: Json | None = None) -> tuple[Any, Json]:
    """A further plugin of the list for the same interface: the pod as that plugin sees it, and its configuration."""
    chained = pod.bench.pod(pod.container_id, pod.ifname, netns=pod.netns)
    return chained, {**conf, "prevResult": previous or pod.result}


def routes(pod: Any, table: str, ifname: str = "net1") -> set[str]:
    """Destinations, with gateways, of an interface's routes in a table."""
    shown = [
        route
        for family in ("-4", "-6")
        for route in pod.ip(family, "route", "show", "table", "all", "dev", ifname)
    ]
    return {
        route["dst"] + (f" via {route['gateway']}" if "gateway" in route else "")
        for route in shown
        if route.get("table", "main") == table and route.get("type", "unicast") == "unicast"
    }
