"""Desired items as netlink messages, by subject. Pure: indexes come in, bytes go out."""

from __future__ import annotations

from multinet.adapters.kernel_messages.hierarchy import subnet_bucket
from multinet.adapters.kernel_messages.links import (
    create_bridge,
    create_dummy,
    create_ifb,
    create_ipvlan,
    create_leg,
    create_macvlan,
    create_veth,
    create_vlan,
    create_vrf,
    delete_group,
    delete_link,
    move_link,
    set_attributes,
    set_link,
)
from multinet.adapters.kernel_messages.ports import (
    add_port_vlans,
    delete_port_vlans,
    set_port,
    set_vlan_filtering,
)
from multinet.adapters.kernel_messages.queueing import (
    delete_ingress_qdisc,
    delete_redirect_filter,
    delete_root_qdisc,
    ingress_qdisc,
    redirect_filter,
    token_bucket,
)
from multinet.adapters.kernel_messages.routing import (
    address,
    delete_address,
    delete_neighbour,
    delete_route,
    delete_rule,
    neighbour,
    replace_route,
    route,
    rule,
)

__all__ = [
    "add_port_vlans",
    "address",
    "create_bridge",
    "create_dummy",
    "create_ifb",
    "create_ipvlan",
    "create_leg",
    "create_macvlan",
    "create_veth",
    "create_vlan",
    "create_vrf",
    "delete_address",
    "delete_group",
    "delete_ingress_qdisc",
    "delete_link",
    "delete_neighbour",
    "delete_port_vlans",
    "delete_redirect_filter",
    "delete_root_qdisc",
    "delete_route",
    "delete_rule",
    "ingress_qdisc",
    "move_link",
    "neighbour",
    "redirect_filter",
    "replace_route",
    "route",
    "rule",
    "set_attributes",
    "set_link",
    "set_port",
    "set_vlan_filtering",
    "subnet_bucket",
    "token_bucket",
]
