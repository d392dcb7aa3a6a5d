"""Links, addresses and routes as values, out of netlink messages."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from struct import unpack_from

import msgspec

from multinet.adapters import netlink as nl

_MACVLAN_MODES = {1: "private", 2: "vepa", 4: "bridge", 8: "passthru"}
_IFLA_INFO_SLAVE_DATA = 5
_UNKNOWN, _UP = 0, 6


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
    hairpin: bool = False
    isolated: bool = False
    port_state: int = -1
    """Bridge port state (3: forwarding), -1 when it is no bridge port."""

    @property
    def running(self) -> bool:
        """Whether frames can pass, as far as the kernel can tell."""
        return self.operstate in (_UNKNOWN, _UP)

    @property
    def carries(self) -> bool:
        """Whether it has a carrier for certain; of a bridge: some port of it has."""
        return self.operstate == _UP


class AddressInfo(msgspec.Struct, frozen=True):
    """An address on a link; ``cidr`` keeps the host part."""

    index: int
    cidr: str
    scope: int
    tentative: bool
    dad_failed: bool
    permanent: bool


class RouteInfo(msgspec.Struct, frozen=True):
    """A unicast route; ``hops`` are (gateway or "", link index), one unless it is a multipath route."""

    dst: str
    hops: tuple[tuple[str, int], ...]
    metric: int
    table: int
    scope: int
    mtu: int = 0
    advmss: int = 0


def link_of(data: bytes) -> LinkInfo:
    """The link in an RTM_NEWLINK message, its header taken off."""
    _, _, index, flags, _ = unpack_from("=BxHiII", data, 0)
    found = nl.attributes(data, 16, len(data))
    kind, mode, port = "", "", {}
    if (info := found.get(nl.IFLA_LINKINFO)) is not None:
        inner = nl.attributes(info, 0, len(info))
        kind = _text(inner.get(nl.IFLA_INFO_KIND))
        if kind == "macvlan" and (data_ := inner.get(nl.IFLA_INFO_DATA)) is not None:
            mode = _MACVLAN_MODES.get(_u32(nl.attributes(data_, 0, len(data_)).get(nl.IFLA_MACVLAN_MODE)), "")
        if (slave := inner.get(_IFLA_INFO_SLAVE_DATA)) is not None:
            port = nl.attributes(slave, 0, len(slave))
    return LinkInfo(
        index=index,
        name=_text(found.get(nl.IFLA_IFNAME)),
        kind=kind,
        mac=":".join(f"{octet:02x}" for octet in found.get(nl.IFLA_ADDRESS, b"")),
        mtu=_u32(found.get(nl.IFLA_MTU)),
        up=bool(flags & nl.IFF_UP),
        promisc=bool(flags & nl.IFF_PROMISC),
        operstate=found.get(nl.IFLA_OPERSTATE, b"\0")[0],
        master=_u32(found.get(nl.IFLA_MASTER)),
        parent=_u32(found.get(nl.IFLA_LINK)),
        group=_u32(found.get(nl.IFLA_GROUP)),
        alias=_text(found.get(nl.IFLA_IFALIAS)),
        mode=mode,
        hairpin=port.get(nl.IFLA_BRPORT_MODE, b"\0")[0] == 1,
        isolated=port.get(nl.IFLA_BRPORT_ISOLATED, b"\0")[0] == 1,
        port_state=port[nl.IFLA_BRPORT_STATE][0] if nl.IFLA_BRPORT_STATE in port else -1,
    )


def address_of(data: bytes) -> AddressInfo:
    """The address in an RTM_NEWADDR message."""
    _, prefix, flags, scope, index = unpack_from("=BBBBi", data, 0)
    found = nl.attributes(data, 8, len(data))
    if nl.IFA_FLAGS in found:
        flags = _u32(found[nl.IFA_FLAGS])
    raw = found.get(nl.IFA_LOCAL) or found[nl.IFA_ADDRESS]
    return AddressInfo(
        index=index,
        cidr=f"{_ip(raw)}/{prefix}",
        scope=scope,
        tentative=bool(flags & nl.IFA_F_TENTATIVE),
        dad_failed=bool(flags & nl.IFA_F_DADFAILED),
        permanent=bool(flags & nl.IFA_F_PERMANENT),
    )


def route_of(data: bytes) -> RouteInfo | None:
    """The route in an RTM_NEWROUTE message; None for one that isn't unicast."""
    family, prefix, _, _, table, _, scope, kind, _ = unpack_from("=BBBBBBBBI", data, 0)
    if kind != nl.RTN_UNICAST:
        return None
    found = nl.attributes(data, 12, len(data))
    zero = b"\0" * (4 if family == socket.AF_INET else 16)
    if (multipath := found.get(nl.RTA_MULTIPATH)) is not None:
        hops = tuple(_hops(multipath))
    else:
        hops = ((_ip(found.get(nl.RTA_GATEWAY)), _u32(found.get(nl.RTA_OIF))),)
    metrics = found.get(nl.RTA_METRICS, b"")
    inner = nl.attributes(metrics, 0, len(metrics))
    return RouteInfo(
        dst=f"{_ip(found.get(nl.RTA_DST, zero))}/{prefix}",
        hops=hops,
        metric=_u32(found.get(nl.RTA_PRIORITY)),
        table=_u32(found[nl.RTA_TABLE]) if nl.RTA_TABLE in found else table,
        scope=scope,
        mtu=_u32(inner.get(nl.RTAX_MTU)),
        advmss=_u32(inner.get(nl.RTAX_ADVMSS)),
    )


def _hops(data: bytes) -> Iterable[tuple[str, int]]:
    """``struct rtnexthop`` records: length, flags, hops, interface index, attributes."""
    offset = 0
    while offset + 8 <= len(data):
        size, _, _, index = unpack_from("=HBBi", data, offset)
        if size < 8:
            return
        inner = nl.attributes(data, offset + 8, offset + size)
        yield _ip(inner.get(nl.RTA_GATEWAY)), index
        offset += (size + 3) & ~3


def _ip(raw: bytes | None) -> str:
    """An address as text: IPv4 by the C library, IPv6 in the one spelling that the rest of the code uses."""
    if not raw:
        return ""
    return socket.inet_ntoa(raw) if len(raw) == 4 else str(ipaddress.IPv6Address(raw))


def _u32(raw: bytes | None) -> int:
    return int(unpack_from("=I", raw)[0]) if raw else 0


def _text(raw: bytes | None) -> str:
    return raw.rstrip(b"\0").decode(errors="replace") if raw else ""
