"""A network namespace's links, routing, queueing and sysctls: read as values, changed by batches of messages."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address

from multinet.adapters import netlink as nl
from multinet.adapters import rtnetlink as rt
from multinet.adapters.kernel_values import (
    AddressInfo,
    ClassInfo,
    FilterInfo,
    LinkInfo,
    NeighbourInfo,
    PortVlanInfo,
    QdiscInfo,
    RouteInfo,
    RuleInfo,
    address_of,
    class_of,
    filter_of,
    link_of,
    neighbour_of,
    port_vlans_of,
    qdisc_of,
    route_of,
    rule_of,
)
from multinet.adapters.netns import Netns

_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)
"""What the kernel says of an address without a route, or with one that forbids it: unreachable, prohibit, blackhole."""
_NAME_ROOM = 16
"""IFNAMSIZ, the closing NUL counted in."""


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
                rt.RTM_GETLINK,
                0,
                rt.ifinfo(),
                nl.text(rt.IFLA_IFNAME, name),
                nl.u32(rt.IFLA_EXT_MASK, rt.RTEXT_FILTER_SKIP_STATS),
            )
        )
        return link_of(answer) if answer is not None else None

    def link_at(self, index: int) -> LinkInfo | None:
        """The link of that index, or None."""
        request = nl.message(
            rt.RTM_GETLINK,
            0,
            rt.ifinfo(index=index),
            nl.u32(rt.IFLA_EXT_MASK, rt.RTEXT_FILTER_SKIP_STATS),
        )
        answer = self._socket.get(request)
        return link_of(answer) if answer is not None else None

    def links(self) -> list[LinkInfo]:
        """All links."""
        mask = nl.u32(rt.IFLA_EXT_MASK, rt.RTEXT_FILTER_SKIP_STATS)
        return [link_of(answer) for answer in self._socket.dump(rt.RTM_GETLINK, rt.ifinfo(), mask)]

    def addresses(self, index: int = 0) -> list[AddressInfo]:
        """Addresses of both families, of one link or of all (0); none if there is no such link."""
        try:
            answers = self._socket.dump(rt.RTM_GETADDR, rt.ifaddr(socket.AF_UNSPEC, 0, 0, 0, index))
        except nl.NetlinkError as error:
            if error.errno != errno.ENODEV:
                raise
            return []
        found = [address_of(answer) for answer in answers]
        return [a for a in found if index in (0, a.index)]

    def routes(self) -> list[RouteInfo]:
        """Unicast routes of both families in all tables, without the kernel's own local ones."""
        answers: list[bytes] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            answers += self._socket.dump(rt.RTM_GETROUTE, rt.rtmsg(family, 0, 0, 0, 0, 0))
        return [route for answer in answers if (route := route_of(answer)) is not None]

    def link_towards(self, address: IPv4Address | IPv6Address) -> int:
        """Index of the link by which packets to an address leave; 0 when no route leads there."""
        route = self._route(address, 0)
        return route.hops[0][1] if route is not None else 0

    def route_to(self, address: IPv4Address | IPv6Address) -> RouteInfo | None:
        """The unicast route that a packet to ``address`` takes, as it stands in its table; None without one."""
        return self._route(address, rt.RTM_F_FIB_MATCH)

    def _route(self, address: IPv4Address | IPv6Address, flags: int) -> RouteInfo | None:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        header = rt.rtmsg(family, address.max_prefixlen, 0, 0, 0, 0, flags)
        try:
            answer = self._socket.get(
                nl.message(rt.RTM_GETROUTE, 0, header, nl.attribute(rt.RTA_DST, address.packed))
            )
        except nl.NetlinkError as error:
            if error.errno not in _UNREACHABLE:
                raise
            return None
        return route_of(answer) if answer is not None else None

    def rules(self) -> list[RuleInfo]:
        """Policy rules of both families that lead to a table."""
        answers: list[bytes] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            answers += self._socket.dump(rt.RTM_GETRULE, rt.rule_header(family))
        return [rule for answer in answers if (rule := rule_of(answer)) is not None]

    def neighbours(self, index: int) -> list[NeighbourInfo]:
        """Neighbour entries of both families on a link; none if there is no such link."""
        answers: list[bytes] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            answers += self._socket.dump(rt.RTM_GETNEIGH, rt.ndmsg(family), nl.u32(rt.NDA_IFINDEX, index))
        return [found for answer in answers if (found := neighbour_of(answer)).index == index]

    def port_vlans(self, index: int) -> PortVlanInfo:
        """VLANs of a bridge port; none if it isn't one, or if the kernel was built without VLAN filtering."""
        try:
            answers = self._socket.dump(rt.RTM_GETVLAN, rt.br_vlan_msg(socket.AF_BRIDGE, index))
        except nl.NetlinkError as error:
            if error.errno not in (errno.ENODEV, errno.EINVAL, errno.EOPNOTSUPP):
                raise
            answers = []
        return port_vlans_of(answers)

    def qdiscs(self, index: int) -> list[QdiscInfo]:
        """A link's root and ingress disciplines, without the kernel's defaults; none if there is no such link."""
        found: list[QdiscInfo] = []
        for parent in (rt.TC_H_ROOT, rt.TC_H_INGRESS):
            # Asked one by one, since a dump holds those of all links. The answer comes to the asker as an echo
            # only; none comes about a built-in discipline (noqueue), hence the acknowledgement.
            request = nl.message(
                rt.RTM_GETQDISC, nl.NLM_F_ECHO | nl.NLM_F_ACK, rt.tcmsg(index, parent=parent)
            )
            answer = self._socket.get(request)
            if answer is not None and (qdisc := qdisc_of(answer)).handle:  # a default one has no handle
                found.append(qdisc)
        return found

    def classes(self, index: int) -> list[ClassInfo]:
        """Classes of the hierarchies (htb) of a link."""
        answers = self._socket.dump(rt.RTM_GETTCLASS, rt.tcmsg(index))
        return [found for answer in answers if (found := class_of(answer)) is not None]

    def filters(self, index: int, parent: int) -> list[FilterInfo]:
        """Filters on one discipline (its handle) of a link, in the order in which they are asked."""
        answers = self._socket.dump(rt.RTM_GETTFILTER, rt.tcmsg(index, parent=parent))
        return [found for answer in answers if (found := filter_of(answer)) is not None]

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

    def leave(self) -> None:
        """Close the socket that this thread keeps of the host; for threads that end before the process does."""
        stack: NetworkStack | None = getattr(self._local, "stack", None)
        if stack is not None:
            del self._local.stack
            stack.close()

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
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        try:
            held = _read(key)
        except PermissionError:  # some can only be written (net/ipv4/route/flush)
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        else:
            if held == value:
                return
            raise
    try:
        if not _holds(fd, value):
            os.pwrite(fd, value.encode(), 0)
    finally:
        os.close(fd)


def _holds(fd: int, value: str) -> bool:
    try:
        return os.read(fd, 256).decode().strip() == value
    except OSError:  # it was opened for writing alone
        return False
