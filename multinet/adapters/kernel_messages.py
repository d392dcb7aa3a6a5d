"""Desired items as netlink messages. Pure: indexes come in, bytes go out.

Each link is created in its final namespace with its final name, MAC, MTU and group, since a move costs
tens of milliseconds under the kernel's global lock.
"""

from __future__ import annotations

import socket
from struct import pack

from multinet.adapters import netlink as nl
from multinet.cni.addresses import address_of, interface_of, prefix_of
from multinet.core.desired import Address, Bridge, Macvlan, NoAddress, Route, Veth

_CREATE = nl.NLM_F_CREATE | nl.NLM_F_EXCL
_MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}


def create_bridge(bridge: Bridge, index: int) -> bytes:
    """A new bridge, down."""
    parts = [nl.ifinfo(index=index), nl.text(nl.IFLA_IFNAME, bridge.name)]
    if bridge.mac:
        parts.append(nl.hardware_address(nl.IFLA_ADDRESS, bridge.mac))
    if bridge.mtu:
        parts.append(nl.u32(nl.IFLA_MTU, bridge.mtu))
    parts.append(nl.nested(nl.IFLA_LINKINFO, nl.text(nl.IFLA_INFO_KIND, "bridge")))
    return nl.message(nl.RTM_NEWLINK, _CREATE, *parts)


def create_veth(
    veth: Veth, host_index: int, sandbox_index: int, sandbox_fd: int, master: int, group: int
) -> bytes:
    """A new pair, both ends down: the host end is made here, its peer is born in the sandbox."""
    peer = [
        nl.ifinfo(index=sandbox_index),
        nl.text(nl.IFLA_IFNAME, veth.name),
        nl.hardware_address(nl.IFLA_ADDRESS, veth.mac),
        nl.u32(nl.IFLA_GROUP, group),
        nl.u32(nl.IFLA_NET_NS_FD, sandbox_fd),
    ]
    host = [
        nl.ifinfo(index=host_index),
        nl.text(nl.IFLA_IFNAME, veth.host_name),
        nl.hardware_address(nl.IFLA_ADDRESS, veth.host_mac),
        nl.u32(nl.IFLA_GROUP, group),
    ]
    if veth.mtu:
        peer.append(nl.u32(nl.IFLA_MTU, veth.mtu))
        host.append(nl.u32(nl.IFLA_MTU, veth.mtu))
    if master:
        host.append(nl.u32(nl.IFLA_MASTER, master))
    data = nl.nested(nl.IFLA_INFO_DATA, nl.nested(nl.VETH_INFO_PEER, *peer))
    host.append(nl.nested(nl.IFLA_LINKINFO, nl.text(nl.IFLA_INFO_KIND, "veth"), data))
    return nl.message(nl.RTM_NEWLINK, _CREATE, *host)


def create_macvlan(macvlan: Macvlan, index: int, parent: int, sandbox_fd: int, group: int) -> bytes:
    """A new macvlan, down, sent in the parent's namespace and born in the sandbox."""
    data = [nl.u32(nl.IFLA_MACVLAN_MODE, _MACVLAN_MODES[macvlan.mode])]
    if macvlan.bc_queue_len:
        data.append(nl.u32(nl.IFLA_MACVLAN_BC_QUEUE_LEN, macvlan.bc_queue_len))
    parts = [
        nl.ifinfo(index=index),
        nl.text(nl.IFLA_IFNAME, macvlan.name),
        nl.u32(nl.IFLA_LINK, parent),
        nl.u32(nl.IFLA_GROUP, group),
    ]
    if macvlan.mac:  # passthru takes its master's
        parts.append(nl.hardware_address(nl.IFLA_ADDRESS, macvlan.mac))
    if sandbox_fd >= 0:
        parts.append(nl.u32(nl.IFLA_NET_NS_FD, sandbox_fd))
    if macvlan.mtu:
        parts.append(nl.u32(nl.IFLA_MTU, macvlan.mtu))
    kind = nl.text(nl.IFLA_INFO_KIND, "macvlan")
    parts.append(nl.nested(nl.IFLA_LINKINFO, kind, nl.nested(nl.IFLA_INFO_DATA, *data)))
    return nl.message(nl.RTM_NEWLINK, _CREATE, *parts)


def set_link(index: int, flags: int = 0, change: int = 0, alias: str = "", mac: str = "") -> bytes:
    """Change flags (those in ``change``), alias and MAC of a link."""
    parts = [nl.ifinfo(index=index, flags=flags, change=change)]
    if alias:
        parts.append(nl.text(nl.IFLA_IFALIAS, alias))
    if mac:
        parts.append(nl.hardware_address(nl.IFLA_ADDRESS, mac))
    return nl.message(nl.RTM_SETLINK, 0, *parts)


def set_port(index: int, hairpin: bool, isolated: bool) -> bytes:
    """Flags of a bridge port."""
    flags = nl.nested(
        nl.IFLA_PROTINFO, nl.u8(nl.IFLA_BRPORT_MODE, hairpin), nl.u8(nl.IFLA_BRPORT_ISOLATED, isolated)
    )
    return nl.message(nl.RTM_SETLINK, 0, nl.ifinfo(family=socket.AF_BRIDGE, index=index), flags)


def delete_link(index: int = 0, name: str = "") -> bytes:
    """Remove a link, by index or name."""
    return nl.message(
        nl.RTM_DELLINK, 0, nl.ifinfo(index=index), *([nl.text(nl.IFLA_IFNAME, name)] if name else [])
    )


def delete_group(group: int) -> bytes:
    """Remove every link of an interface group at once."""
    return nl.message(nl.RTM_DELLINK, 0, nl.ifinfo(), nl.u32(nl.IFLA_GROUP, group))


def address(item: Address | NoAddress, index: int) -> bytes:
    """Add an address, exclusively. IPv4 below /31 gets its broadcast address."""
    interface = interface_of(item.cidr)
    parts = []
    if interface.version == 4 and interface.network.prefixlen < 31:
        parts.append(nl.attribute(nl.IFA_BROADCAST, interface.network.broadcast_address.packed))
    return _address(nl.RTM_NEWADDR, _CREATE, item.cidr, index, *parts)


def delete_address(item: Address | NoAddress, index: int) -> bytes:
    """Remove an address."""
    return _address(nl.RTM_DELADDR, 0, item.cidr, index)


def _address(kind: int, flags: int, cidr: str, index: int, *parts: bytes) -> bytes:
    interface = interface_of(cidr)
    family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
    raw = interface.ip.packed
    return nl.message(
        kind,
        flags,
        nl.ifaddr(family, interface.network.prefixlen, 0, 0, index),
        nl.attribute(nl.IFA_LOCAL, raw),
        nl.attribute(nl.IFA_ADDRESS, raw),
        *parts,
    )


def route(item: Route, index: int) -> bytes:
    """Add a route, neither replacing nor excluding another of the same destination."""
    return _route(item, index, nl.RTM_NEWROUTE, nl.NLM_F_CREATE | nl.NLM_F_APPEND)


def delete_route(item: Route, index: int) -> bytes:
    """Remove a route."""
    return _route(item, index, nl.RTM_DELROUTE, 0)


def replace_route(item: Route, index: int) -> bytes:
    """Add a route in place of one with the same destination, metric and table."""
    return _route(item, index, nl.RTM_NEWROUTE, nl.NLM_F_CREATE | nl.NLM_F_REPLACE)


def _route(item: Route, index: int, kind: int, flags: int) -> bytes:
    network = prefix_of(item.dst)
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    hop_flags = nl.RTNH_F_ONLINK if item.onlink else 0
    parts = [
        nl.rtmsg(family, network.prefixlen, item.table, nl.RTPROT_BOOT, item.scope, nl.RTN_UNICAST, hop_flags)
    ]
    if network.prefixlen:
        parts.append(nl.attribute(nl.RTA_DST, network.network_address.packed))
    gateways = [address_of(gateway).packed for gateway in item.gateways]
    if len(gateways) > 1:
        hops = b"".join(_hop(gateway, index, hop_flags) for gateway in gateways)
        parts.append(nl.attribute(nl.RTA_MULTIPATH, hops))
    else:
        parts += [nl.attribute(nl.RTA_GATEWAY, gateway) for gateway in gateways]
        parts.append(nl.u32(nl.RTA_OIF, index))
    if item.metric:
        parts.append(nl.u32(nl.RTA_PRIORITY, item.metric))
    if item.table > 255:
        parts.append(nl.u32(nl.RTA_TABLE, item.table))
    if item.mtu or item.advmss:
        metrics = [nl.u32(nl.RTAX_MTU, item.mtu)] if item.mtu else []
        metrics += [nl.u32(nl.RTAX_ADVMSS, item.advmss)] if item.advmss else []
        parts.append(nl.nested(nl.RTA_METRICS, *metrics))
    return nl.message(kind, flags, *parts)


def _hop(gateway: bytes, index: int, flags: int) -> bytes:
    body = nl.attribute(nl.RTA_GATEWAY, gateway)
    return pack("=HBBi", 8 + len(body), flags, 0, index) + body
