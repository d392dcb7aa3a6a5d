"""Links: made, changed, moved, removed.

Each is created in its final namespace with its final name, MAC, MTU and group, since a move costs tens of
milliseconds under the kernel's global lock. New links are down. ``group`` is the interface group (``IFLA_GROUP``)
of all links of a container, ``sandbox_fd`` the namespace that the link is born in (-1: the sender's own).
"""

from __future__ import annotations

from multinet.adapters import netlink as nl
from multinet.adapters import rtnetlink as rt
from multinet.core.desired import (
    Bridge,
    BridgeLeg,
    Dummy,
    Ifb,
    Ipvlan,
    LinkAttributes,
    Macvlan,
    Veth,
    Vlan,
    Vrf,
)

_CREATE = nl.NLM_F_CREATE | nl.NLM_F_EXCL
_MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
_IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}


def create_bridge(bridge: Bridge, index: int) -> bytes:
    """A new bridge. A kernel built without VLAN filtering refuses the wish for it (EOPNOTSUPP)."""
    data = [nl.u8(rt.IFLA_BR_VLAN_FILTERING, 1)] if bridge.vlan_filtering else []
    return _create(
        "bridge",
        rt.ifinfo(index=index),
        nl.text(rt.IFLA_IFNAME, bridge.name),
        *_mac_and_mtu(bridge.mac, bridge.mtu),
        data=data,
    )


def create_veth(
    veth: Veth, host_index: int, sandbox_index: int, sandbox_fd: int, master: int, group: int
) -> bytes:
    """A new pair: the host end is made here, its peer is born in the sandbox."""
    peer = (
        rt.ifinfo(index=sandbox_index),
        nl.text(rt.IFLA_IFNAME, veth.name),
        nl.u32(rt.IFLA_GROUP, group),
        nl.u32(rt.IFLA_NET_NS_FD, sandbox_fd),
        *_mac_and_mtu(veth.mac, veth.mtu),
    )
    host = [
        rt.ifinfo(index=host_index),
        nl.text(rt.IFLA_IFNAME, veth.host_name),
        nl.u32(rt.IFLA_GROUP, group),
        *_mac_and_mtu(veth.host_mac, veth.mtu),
    ]
    if master:
        host.append(nl.u32(rt.IFLA_MASTER, master))
    return _create("veth", *host, data=[nl.nested(rt.VETH_INFO_PEER, *peer)])


def create_leg(leg: BridgeLeg, index: int, port_index: int, master: int, group: int) -> bytes:
    """A new pair with both ends here; ``port`` is in the bridge at once.

    So the port is what is created, and the leg its peer: the kernel gives a master to the former only. The
    port's MAC begins with ``fe``, so that the bridge, which takes the lowest of its ports', never has it.
    """
    peer = (
        rt.ifinfo(index=index),
        nl.text(rt.IFLA_IFNAME, leg.name),
        nl.u32(rt.IFLA_GROUP, group),
        *_mac_and_mtu(leg.mac, leg.mtu),
    )
    return _create(
        "veth",
        rt.ifinfo(index=port_index),
        nl.text(rt.IFLA_IFNAME, leg.port),
        nl.u32(rt.IFLA_GROUP, group),
        nl.u32(rt.IFLA_MASTER, master),
        *_mac_and_mtu("fe" + leg.mac[2:], leg.mtu),
        data=[nl.nested(rt.VETH_INFO_PEER, *peer)],
    )


def create_macvlan(macvlan: Macvlan, index: int, parent: int, sandbox_fd: int, group: int) -> bytes:
    """A new macvlan, sent in the parent's namespace. A passthru one takes its parent's MAC."""
    data = [nl.u32(rt.IFLA_MACVLAN_MODE, _MACVLAN_MODES[macvlan.mode])]
    if macvlan.bc_queue_len:
        data.append(nl.u32(rt.IFLA_MACVLAN_BC_QUEUE_LEN, macvlan.bc_queue_len))
    base = _child(macvlan, index, parent, sandbox_fd, group)
    return _create("macvlan", *base, *_mac_and_mtu(macvlan.mac, macvlan.mtu), data=data)


def create_ipvlan(ipvlan: Ipvlan, index: int, parent: int, sandbox_fd: int, group: int) -> bytes:
    """A new ipvlan, sent in the parent's namespace; its MAC is the parent's."""
    data = [nl.u16(rt.IFLA_IPVLAN_MODE, _IPVLAN_MODES[ipvlan.mode])]
    base = _child(ipvlan, index, parent, sandbox_fd, group)
    return _create("ipvlan", *base, *_mac_and_mtu("", ipvlan.mtu), data=data)


def create_vlan(vlan: Vlan, index: int, parent: int, sandbox_fd: int, group: int) -> bytes:
    """A new 802.1Q link, sent in the parent's namespace; its MAC is the parent's if none is wanted."""
    base = _child(vlan, index, parent, sandbox_fd, group)
    data = [nl.u16(rt.IFLA_VLAN_ID, vlan.vlan_id)]
    return _create("vlan", *base, *_mac_and_mtu(vlan.mac, vlan.mtu), data=data)


def create_dummy(dummy: Dummy, index: int, group: int) -> bytes:
    """A new dummy, sent in the sandbox."""
    return _create("dummy", *_alone(dummy, index, group), *_mac_and_mtu(dummy.mac, dummy.mtu))


def create_ifb(ifb: Ifb, index: int, group: int) -> bytes:
    """A new ifb; with ``tx_queue_len`` 0 it has no queue of its own, and the token bucket on it is the only one."""
    base = (*_alone(ifb, index, group), nl.u32(rt.IFLA_TXQLEN, ifb.tx_queue_len))
    return _create("ifb", *base, *_mac_and_mtu(ifb.mac, ifb.mtu))


def create_vrf(vrf: Vrf, index: int, group: int) -> bytes:
    """A new VRF, sent in the sandbox."""
    return _create("vrf", *_alone(vrf, index, group), data=[nl.u32(rt.IFLA_VRF_TABLE, vrf.table)])


def set_link(
    index: int,
    flags: int = 0,
    change: int = 0,
    *,
    alias: str | None = None,
    mac: str = "",
    mtu: int = 0,
    promisc: bool | None = None,
    allmulti: bool | None = None,
    tx_queue_len: int | None = None,
    master: int | None = None,
    name: str = "",
    group: int | None = None,
) -> bytes:
    """Change a link: its flags (those in ``change``) and whatever else is given.

    ``alias`` "" takes the alias off, ``master`` 0 releases a port; ``mac`` "", ``mtu`` 0 and ``name`` ""
    leave what is there.
    """
    for bit, wanted in ((rt.IFF_PROMISC, promisc), (rt.IFF_ALLMULTI, allmulti)):
        if wanted is not None:
            change |= bit
            flags = flags | bit if wanted else flags & ~bit
    parts = [rt.ifinfo(index=index, flags=flags, change=change)]
    if alias is not None:  # an alias of length 0 is what the kernel takes for none: no closing NUL then
        parts.append(nl.text(rt.IFLA_IFALIAS, alias) if alias else nl.attribute(rt.IFLA_IFALIAS, b""))
    if name:
        parts.append(nl.text(rt.IFLA_IFNAME, name))
    parts += _mac_and_mtu(mac, mtu)
    if tx_queue_len is not None:
        parts.append(nl.u32(rt.IFLA_TXQLEN, tx_queue_len))
    if master is not None:
        parts.append(nl.u32(rt.IFLA_MASTER, master))
    if group is not None:
        parts.append(nl.u32(rt.IFLA_GROUP, group))
    return nl.message(rt.RTM_SETLINK, 0, *parts)


def set_attributes(index: int, want: LinkAttributes) -> bytes:
    """Change those attributes of a link that are not None, all in one request."""
    return set_link(
        index,
        mac=want.mac or "",
        mtu=want.mtu or 0,
        promisc=want.promisc,
        allmulti=want.allmulti,
        tx_queue_len=want.tx_queue_len,
    )


def move_link(index: int, netns_fd: int, name: str, new_index: int = 0) -> bytes:
    """Move a link into another namespace and give it ``name`` there, in one request; it is down afterwards.

    ``new_index`` 0: the kernel keeps the index if it is free there, and else chooses. A link of the host's name
    in the sandbox is no obstacle. EEXIST when ``name`` is taken there: the link has moved all the same, under
    the host's name, unless that is taken too; so look before, or look again after a failure.
    """
    # do_setlink() moves first and renames then; the new name goes along only as a way out of a clash with the
    # old one. Seen so on 6.1 and 6.18.
    parts = [rt.ifinfo(index=index), nl.u32(rt.IFLA_NET_NS_FD, netns_fd), nl.text(rt.IFLA_IFNAME, name)]
    if new_index:
        parts.append(nl.u32(rt.IFLA_NEW_IFINDEX, new_index))
    return nl.message(rt.RTM_SETLINK, 0, *parts)


def delete_link(index: int = 0, name: str = "") -> bytes:
    """Remove a link, by index or name."""
    return nl.message(
        rt.RTM_DELLINK, 0, rt.ifinfo(index=index), *([nl.text(rt.IFLA_IFNAME, name)] if name else [])
    )


def delete_group(group: int) -> bytes:
    """Remove every link of an interface group at once."""
    return nl.message(rt.RTM_DELLINK, 0, rt.ifinfo(), nl.u32(rt.IFLA_GROUP, group))


def _create(kind: str, *parts: bytes, data: list[bytes] | None = None) -> bytes:
    info = [nl.text(rt.IFLA_INFO_KIND, kind)]
    if data:
        info.append(nl.nested(rt.IFLA_INFO_DATA, *data))
    return nl.message(rt.RTM_NEWLINK, _CREATE, *parts, nl.nested(rt.IFLA_LINKINFO, *info))


def _alone(item: Dummy | Ifb | Vrf, index: int, group: int) -> tuple[bytes, ...]:
    return rt.ifinfo(index=index), nl.text(rt.IFLA_IFNAME, item.name), nl.u32(rt.IFLA_GROUP, group)


def _child(
    item: Macvlan | Ipvlan | Vlan, index: int, parent: int, sandbox_fd: int, group: int
) -> tuple[bytes, ...]:
    born = (nl.u32(rt.IFLA_NET_NS_FD, sandbox_fd),) if sandbox_fd >= 0 else ()
    return (
        rt.ifinfo(index=index),
        nl.text(rt.IFLA_IFNAME, item.name),
        nl.u32(rt.IFLA_LINK, parent),
        nl.u32(rt.IFLA_GROUP, group),
        *born,
    )


def _mac_and_mtu(mac: str, mtu: int) -> list[bytes]:
    parts = [nl.hardware_address(rt.IFLA_ADDRESS, mac)] if mac else []
    return [*parts, nl.u32(rt.IFLA_MTU, mtu)] if mtu else parts
