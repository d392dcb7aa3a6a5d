"""The IPAM ``dhcp``: an address from the network's own DHCP server, renewed as long as the pod lives.

DHCPv4. Somebody has to renew the lease when the call is over: the node daemon does (``serve`` makes this process
the one), and a call outside it hands its work on to the daemon. Source: plugins-ipam 3.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel import NetworkStack
from multinet.adapters.kernel_values import LinkInfo
from multinet.adapters.netns import Netns
from multinet.adapters.rtnetlink import IFF_UP
from multinet.cni.errors import CNIError, Code
from multinet.cni.result import Result
from multinet.core.desired import Difference
from multinet.delegates.dhcp_conf import DhcpConf, Plan, load
from multinet.dhcp.lease import result_of
from multinet.dhcp.place import Place
from multinet.dhcp.record import Record
from multinet.ports import Ipam, IpamRequest

if TYPE_CHECKING:
    from multinet.dhcp.keeper import Keeper  # the daemon's: a plain executable needs none of it

__all__ = ["Dhcp", "dhcp"]

_CARRIER_LOOKS = 0.05
"""Seconds between looks at a link that has no carrier yet."""
_CARRIER = 10.0
"""Seconds in which it should have one."""


class Dhcp:
    """Implements ``ports.Ipam``."""

    conf = DhcpConf
    needs_link = True

    def __init__(self) -> None:
        self._keeper: Keeper | None = None

    def serve(self, keeper: Keeper | None) -> None:
        """Leases are kept here, by ``keeper``; None: by the node daemon, which is another process."""
        self._keeper = keeper

    def allocate(self, request: IpamRequest) -> Result:
        """A lease for the interface: the one it has, or a new one.

        Raises CNIError; then nothing is held. Code 11: no server gave an address in time, or no daemon runs;
        101: what a server gave is of no use; 7: a fault in the configuration; 8: no namespace; 108: the caller
        hung up, or a DEL came meanwhile.
        """
        plan = load(request)
        if self._keeper is None:
            return _elsewhere().allocate(request)
        with _namespace(request) as netns:
            link = _usable_link(netns, request)
            record = _record(plan, request, netns, link)
            lease = self._keeper.acquire(record, netns, request.deadline, request.cancelled)
        return result_of(lease, plan.conf.priority, link.mtu)

    def release(self, request: IpamRequest) -> None:
        """Give the lease back, or stop asking for one. What a server can't be told any more is logged."""
        if self._keeper is None:
            _elsewhere().release(request)
        else:
            self._keeper.release(request.owner)

    def check(self, request: IpamRequest, previous: Result | None) -> list[Difference]:
        """Whether a lease is held, and is the one of ``previous``. Nothing is ever asked of a server."""
        plan = load(request)
        if self._keeper is None:
            return _elsewhere().check(request, previous)
        held = self._keeper.held(request.owner)
        subject = f"dhcp: {request.owner.ifname} of container {request.owner.container_id}"
        if held is None:
            return [Difference(subject, "lease", "one that is renewed", "")]
        if held.lease is None:
            return [
                Difference(
                    subject, "lease", "one that is renewed", "an ended one: another is being asked for"
                )
            ]
        now = result_of(held.lease, plan.conf.priority, held.link_mtu)
        given = [ip.address for ip in previous.ips] if previous else []
        if previous is None or now.ips[0].address in given:
            return []
        return [Difference(subject, "address", ", ".join(given) or "none", now.ips[0].address)]

    def collect(self, request: IpamRequest, valid: Collection[tuple[str, str]]) -> None:
        """Give back leases of the network whose attachments aren't in ``valid``."""
        if self._keeper is None:
            _elsewhere().collect(request, valid)
        else:
            self._keeper.collect(request.owner.network, valid)

    def status(self, request: IpamRequest) -> None:
        """Raises InvalidConfig, or CNIError code 50 when nobody would keep a lease."""
        load(request)
        if self._keeper is None:
            _elsewhere().status(request)
        elif not self._keeper.running:
            raise CNIError(Code.NOT_AVAILABLE, "dhcp: the keeper of leases is not running")


def _elsewhere() -> Ipam:
    from multinet.delegates.dhcp_elsewhere import in_daemon  # needed outside the daemon only

    return in_daemon


def _namespace(request: IpamRequest) -> Netns:
    """The sandbox's namespace, the caller's to close. Raises CNIError code 8."""
    if request.netns_fd is not None:
        return Netns(os.dup(request.netns_fd), request.netns)
    if not request.netns:
        raise CNIError(Code.INVALID_NETNS, "dhcp needs the pod's namespace, but CNI_NETNS is empty")
    return Netns.open(request.netns)


def _usable_link(netns: Netns, request: IpamRequest) -> LinkInfo:
    """The interface, up and with a carrier. Raises CNIError."""
    name = request.owner.ifname
    patience = time.monotonic() + _CARRIER
    if request.deadline is not None:
        patience = min(patience, request.deadline)
    with NetworkStack(netns) as stack:
        link = stack.link(name)
        if link is not None and not link.up:
            stack.send([messages.set_link(link.index, IFF_UP, IFF_UP)])
            link = stack.link(name)
        while link is not None and not link.running and time.monotonic() < patience:
            if request.cancelled():
                raise CNIError(Code.CANCELLED, "the caller hung up")
            time.sleep(_CARRIER_LOOKS)
            link = stack.link(name)
    if link is None:
        raise CNIError(Code.KERNEL, f'dhcp: interface "{name}" not found in {request.netns}: Link not found')
    if len(link.mac) != 17:
        raise CNIError(Code.KERNEL, f'dhcp: interface "{name}" has no Ethernet address')
    return link


def _record(plan: Plan, request: IpamRequest, netns: Netns, link: LinkInfo) -> Record:
    return Record(
        owner=request.owner,
        place=Place(request.netns, netns.identity, link.name, link.index, link.mac),
        identity=plan.identity(link.mac, link.kind, link.mtu),
        priority=plan.conf.priority,
        link_mtu=link.mtu,
    )


dhcp = Dhcp()
