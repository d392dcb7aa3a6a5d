"""A network namespace's links, addresses, routes and sysctls: read as values, changed by batches of messages."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import threading
from collections.abc import Iterable, Sequence
from struct import unpack_from

import msgspec

from multinet.adapters import netlink as nl
from multinet.adapters.netns import Netns

_MACVLAN_MODES = {1: "private", 2: "vepa", 4: "bridge", 8: "passthru"}
_IFLA_INFO_SLAVE_DATA = 5
_UNKNOWN, _UP = 0, 6
_NAME_ROOM = 16
"""IFNAMSIZ, the closing NUL counted in."""


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


class NetworkStack:
    """One namespace, read and changed through one socket. For one thread at a time."""

    def __init__(self, netns: Netns, home: Netns | None = None) -> None:
        """``home``: the namespace that the threads which use it are in, if it is known."""
        self.netns = netns
        self._home = home
        self._socket = nl.NetlinkSocket(netns, home)

    def close(self) -> None:
        """Close the socket (the namespace stays the caller's); safe to repeat."""
        self._socket.close()

    def __enter__(self) -> NetworkStack:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def send(self, batch: Sequence[bytes]) -> list[nl.NetlinkError | None]:
        """Send messages in one go; what became of each, in order."""
        return self._socket.send(batch)

    def link(self, name: str) -> LinkInfo | None:
        """The link of that name, or None."""
        if not 0 < len(name.encode()) < _NAME_ROOM:
            return None  # the kernel would refuse the question
        answer = self._socket.get(
            nl.message(
                nl.RTM_GETLINK,
                0,
                nl.ifinfo(),
                nl.text(nl.IFLA_IFNAME, name),
                nl.u32(nl.IFLA_EXT_MASK, nl.RTEXT_FILTER_SKIP_STATS),
            )
        )
        return _link(answer) if answer is not None else None

    def link_at(self, index: int) -> LinkInfo | None:
        """The link of that index, or None."""
        request = nl.message(
            nl.RTM_GETLINK,
            0,
            nl.ifinfo(index=index),
            nl.u32(nl.IFLA_EXT_MASK, nl.RTEXT_FILTER_SKIP_STATS),
        )
        answer = self._socket.get(request)
        return _link(answer) if answer is not None else None

    def links(self) -> list[LinkInfo]:
        """All links."""
        mask = nl.u32(nl.IFLA_EXT_MASK, nl.RTEXT_FILTER_SKIP_STATS)
        return [_link(answer) for answer in self._socket.dump(nl.RTM_GETLINK, nl.ifinfo(), mask)]

    def addresses(self, index: int = 0) -> list[AddressInfo]:
        """Addresses of both families, of one link or of all (0); none if there is no such link."""
        try:
            answers = self._socket.dump(nl.RTM_GETADDR, nl.ifaddr(socket.AF_UNSPEC, 0, 0, 0, index))
        except nl.NetlinkError as error:
            if error.errno != errno.ENODEV:
                raise
            return []
        found = [_address(answer) for answer in answers]
        return [a for a in found if index in (0, a.index)]

    def routes(self) -> list[RouteInfo]:
        """Unicast routes of both families in all tables, without the kernel's own local ones."""
        answers: list[bytes] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            answers += self._socket.dump(nl.RTM_GETROUTE, nl.rtmsg(family, 0, 0, 0, 0, 0))
        return [route for answer in answers if (route := _route(answer)) is not None]

    def read_sysctl(self, key: str) -> str | None:
        """The value of ``net/…`` in this namespace, None if the kernel doesn't have it."""
        with self.netns.entered(self._home):
            return _read(key)

    def write_sysctls(self, settings: Iterable[tuple[str, str, bool]]) -> None:
        """Write (key, value, tolerant) in order, each only if it differs (``/proc/sys`` may be read-only then).

        Raises OSError for the first that fails and isn't tolerant; its ``filename`` is the key.
        """
        with self.netns.entered(self._home):
            for key, value, tolerant in settings:
                try:
                    _write(key, value)
                except OSError as error:
                    if not tolerant:
                        raise OSError(error.errno, error.strerror, key) from None


class Kernel:
    """The host's namespace for every thread, and sandboxes as they come."""

    def __init__(self, host: Netns | None = None) -> None:
        """``host`` None: the calling thread's namespace, in which all threads of the process are then."""
        self.host_netns = host or Netns.current()
        self._home = None if host else self.host_netns
        self._local = threading.local()

    @property
    def host(self) -> NetworkStack:
        """The host's stack, through a socket that this thread keeps."""
        stack: NetworkStack | None = getattr(self._local, "stack", None)
        if stack is None:
            stack = self._local.stack = NetworkStack(self.host_netns, self._home)
        return stack

    def open(self, netns: Netns) -> NetworkStack:
        """A stack for a sandbox; the caller closes it."""
        return NetworkStack(netns, self._home)


def _read(key: str) -> str | None:
    try:
        fd = os.open("/proc/sys/" + key, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return os.read(fd, 256).decode().strip()
    finally:
        os.close(fd)


def _write(key: str, value: str) -> None:
    """Write a value unless it is there already; a read-only file that holds it is fine."""
    path = "/proc/sys/" + key
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) and _read(key) == value:
            return
        raise
    try:
        if os.read(fd, 256).decode().strip() != value:
            os.pwrite(fd, value.encode(), 0)
    finally:
        os.close(fd)


def _link(data: bytes) -> LinkInfo:
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


def _address(data: bytes) -> AddressInfo:
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


def _route(data: bytes) -> RouteInfo | None:
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
