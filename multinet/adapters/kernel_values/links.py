"""Links."""

from __future__ import annotations

from collections.abc import Callable
from struct import unpack_from
from typing import Any

import msgspec

from multinet.adapters import netlink as nl
from multinet.adapters import rtnetlink as rt
from multinet.adapters.kernel_values.fields import mac, number, words

_MACVLAN_MODES = {1: "private", 2: "vepa", 4: "bridge", 8: "passthru"}
_IPVLAN_MODES = {0: "l2", 1: "l3", 2: "l3s"}
_UNKNOWN, _UP = 0, 6
_IFF_TAP = 2


class TunInfo(msgspec.Struct, frozen=True):
    """How a tun or tap device was made (``TUNSETIFF`` and its like)."""

    tap: bool
    owner: int | None
    """User id that may open it besides root; None: any."""
    group: int | None
    persistent: bool
    multi_queue: bool
    vnet_header: bool
    packet_info: bool
    """Each frame comes with four bytes of flags and protocol (no IFF_NO_PI)."""


class LinkInfo(msgspec.Struct, frozen=True):
    """A link as the kernel has it. ``parent`` is IFLA_LINK: a macvlan's master, a veth's other end."""

    index: int
    name: str
    kind: str = ""
    mac: str = ""
    mtu: int = 0
    up: bool = False
    promisc: bool = False
    operstate: int = 0
    """RFC 2863 state as the kernel numbers it: 0 unknown (``lo``, a bridge that never had a port), 6 up."""
    master: int = 0
    parent: int = 0
    group: int = 0
    alias: str = ""
    mode: str = ""
    """Of a macvlan or ipvlan."""
    bc_queue_len: int = 0
    """Of a macvlan: how many broadcast frames may wait."""
    hairpin: bool = False
    isolated: bool = False
    port_state: int = -1
    """Bridge port state (3: forwarding), -1 when it is no bridge port."""
    allmulti: bool = False
    tx_queue_len: int = 0
    permanent_mac: str = ""
    """The MAC that a device was made with; empty for most virtual ones."""
    device: str = ""
    """Name of the device that it belongs to, on ``bus``: of a network card its PCI address."""
    bus: str = ""
    vlan_id: int = 0
    table: int = 0
    """Of a VRF: its routing table."""
    vlan_filtering: bool = False
    """Of a bridge."""
    tun: TunInfo | None = None
    parent_elsewhere: bool = False
    """``parent`` is an index of another namespace."""

    @property
    def running(self) -> bool:
        """Whether frames can pass, as far as the kernel can tell."""
        return self.operstate in (_UNKNOWN, _UP)

    @property
    def carries(self) -> bool:
        """Whether it has a carrier for certain; of a bridge: some port of it has."""
        return self.operstate == _UP

    @property
    def pci_id(self) -> str:
        """PCI address of the network card that it is, or empty."""
        return self.device if self.bus == "pci" else ""


def link_of(data: bytes) -> LinkInfo:
    """The link in an RTM_NEWLINK message."""
    _, _, index, flags, _ = unpack_from("=BxHiII", data, 0)
    found = nl.attributes(data, 16, len(data))
    kind, port = "", {}
    special: dict[str, Any] = {}
    if (info := found.get(rt.IFLA_LINKINFO)) is not None:
        inner = nl.attributes(info, 0, len(info))
        kind = words(inner.get(rt.IFLA_INFO_KIND))
        decode = _SPECIAL.get(kind)
        if decode is not None and (own := inner.get(rt.IFLA_INFO_DATA)) is not None:
            special = decode(own)
        # other masters than bridges number their ports' attributes in their own way
        slave = inner.get(rt.IFLA_INFO_SLAVE_DATA)
        if slave is not None and inner.get(rt.IFLA_INFO_SLAVE_KIND) == b"bridge\0":
            port = nl.attributes(slave, 0, len(slave))
    return LinkInfo(
        index=index,
        name=words(found.get(rt.IFLA_IFNAME)),
        kind=kind,
        mac=mac(found.get(rt.IFLA_ADDRESS)),
        mtu=number(found.get(rt.IFLA_MTU)),
        up=bool(flags & rt.IFF_UP),
        promisc=bool(flags & rt.IFF_PROMISC),
        operstate=found.get(rt.IFLA_OPERSTATE, b"\0")[0],
        master=number(found.get(rt.IFLA_MASTER)),
        parent=number(found.get(rt.IFLA_LINK)),
        group=number(found.get(rt.IFLA_GROUP)),
        alias=words(found.get(rt.IFLA_IFALIAS)),
        hairpin=port.get(rt.IFLA_BRPORT_MODE, b"\0")[0] == 1,
        isolated=port.get(rt.IFLA_BRPORT_ISOLATED, b"\0")[0] == 1,
        port_state=port[rt.IFLA_BRPORT_STATE][0] if rt.IFLA_BRPORT_STATE in port else -1,
        allmulti=bool(flags & rt.IFF_ALLMULTI),
        tx_queue_len=number(found.get(rt.IFLA_TXQLEN)),
        permanent_mac=mac(found.get(rt.IFLA_PERM_ADDRESS)),
        device=words(found.get(rt.IFLA_PARENT_DEV_NAME)),
        bus=words(found.get(rt.IFLA_PARENT_DEV_BUS_NAME)),
        parent_elsewhere=rt.IFLA_LINK_NETNSID in found,
        **special,
    )


def _macvlan(data: bytes) -> dict[str, Any]:
    found = nl.attributes(data, 0, len(data))
    return {
        "mode": _MACVLAN_MODES.get(number(found.get(rt.IFLA_MACVLAN_MODE)), ""),
        "bc_queue_len": number(found.get(rt.IFLA_MACVLAN_BC_QUEUE_LEN)),
    }


def _ipvlan(data: bytes) -> dict[str, Any]:
    raw = nl.first_attribute(data, rt.IFLA_IPVLAN_MODE)
    return {"mode": _IPVLAN_MODES.get(unpack_from("=H", raw)[0], "") if raw else ""}


def _vlan(data: bytes) -> dict[str, Any]:
    raw = nl.first_attribute(data, rt.IFLA_VLAN_ID)
    return {"vlan_id": unpack_from("=H", raw)[0] if raw else 0}


def _vrf(data: bytes) -> dict[str, Any]:
    return {"table": number(nl.first_attribute(data, rt.IFLA_VRF_TABLE))}


def _bridge(data: bytes) -> dict[str, Any]:
    return {"vlan_filtering": nl.first_attribute(data, rt.IFLA_BR_VLAN_FILTERING) == b"\1"}


def _tun(data: bytes) -> dict[str, Any]:
    found = nl.attributes(data, 0, len(data))

    def flag(kind: int) -> bool:
        return found.get(kind, b"\0")[0] != 0

    tun = TunInfo(
        tap=found.get(rt.IFLA_TUN_TYPE, b"\0")[0] == _IFF_TAP,
        owner=number(found[rt.IFLA_TUN_OWNER]) if rt.IFLA_TUN_OWNER in found else None,
        group=number(found[rt.IFLA_TUN_GROUP]) if rt.IFLA_TUN_GROUP in found else None,
        persistent=flag(rt.IFLA_TUN_PERSIST),
        multi_queue=flag(rt.IFLA_TUN_MULTI_QUEUE),
        vnet_header=flag(rt.IFLA_TUN_VNET_HDR),
        packet_info=flag(rt.IFLA_TUN_PI),
    )
    return {"tun": tun}


_SPECIAL: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "macvlan": _macvlan,
    "ipvlan": _ipvlan,
    "vlan": _vlan,
    "vrf": _vrf,
    "bridge": _bridge,
    "tun": _tun,
}
"""What each kind has besides what all links have; only a link of that kind pays for it."""
