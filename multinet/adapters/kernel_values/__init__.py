"""What the kernel has, as values, by subject: out of netlink messages whose header is taken off."""

from __future__ import annotations

from multinet.adapters.kernel_values.links import LinkInfo, TunInfo, link_of
from multinet.adapters.kernel_values.ports import PortVlanInfo, port_vlans_of
from multinet.adapters.kernel_values.queueing import (
    ClassInfo,
    FilterInfo,
    QdiscInfo,
    class_of,
    filter_of,
    qdisc_of,
)
from multinet.adapters.kernel_values.routing import (
    AddressInfo,
    NeighbourInfo,
    RouteInfo,
    RuleInfo,
    address_of,
    neighbour_of,
    route_of,
    rule_of,
)

__all__ = [
    "AddressInfo",
    "ClassInfo",
    "FilterInfo",
    "LinkInfo",
    "NeighbourInfo",
    "PortVlanInfo",
    "QdiscInfo",
    "RouteInfo",
    "RuleInfo",
    "TunInfo",
    "address_of",
    "class_of",
    "filter_of",
    "link_of",
    "neighbour_of",
    "port_vlans_of",
    "qdisc_of",
    "route_of",
    "rule_of",
]
