"""Connections that outlive a change of port mappings: UDP has no end, so conntrack keeps them going the old way.

On ADD those go that reach the mapped port but not the pod; on DEL those that the mapping led to the pod. A flow
through the node to the same port of another machine has nothing to do with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import cache

from multinet.adapters.conntrack import UDP, ConntrackSocket, Flow
from multinet.adapters.firewall_holdings import TranslatedPort
from multinet.adapters.netlink import NetlinkSocket, attribute, message
from multinet.adapters.netns import Netns
from multinet.adapters.rtnetlink import RTM_GETROUTE, rtmsg
from multinet.cni.addresses import address_of

__all__ = ["forget_former", "forget_stale"]

log = logging.getLogger(__name__)

_RTA_DST, _RTN_LOCAL = 1, 2
_TYPE_OFFSET = 7  # rtm_type in struct rtmsg
_FAMILIES = {4: 2, 6: 10}


def forget_stale(netns: Netns, ports: Iterable[TranslatedPort]) -> None:
    """After ADD: forget UDP flows to these host ports that don't reach their pods. A failure is logged."""
    _forget(netns, ports, lambda port, flow: not _reaches(port, flow))


def forget_former(netns: Netns, ports: Iterable[TranslatedPort]) -> None:
    """After DEL: forget UDP flows by these host ports to their pods. A failure is logged."""
    _forget(netns, ports, _reaches)


def _forget(
    netns: Netns, ports: Iterable[TranslatedPort], doomed: Callable[[TranslatedPort, Flow], bool]
) -> None:
    by_version: dict[int, list[TranslatedPort]] = {}
    for port in ports:
        if port.protocol == "udp":
            by_version.setdefault(port.version, []).append(port)
    if not by_version:
        return
    try:
        conntrack = ConntrackSocket(netns)
        try:
            for version, some in by_version.items():
                _forget_family(netns, conntrack, version, some, doomed)
        finally:
            conntrack.close()
    except OSError as error:
        log.warning("UDP connections to mapped ports may go on the old way: %s", error)


def _forget_family(
    netns: Netns,
    conntrack: ConntrackSocket,
    version: int,
    ports: Sequence[TranslatedPort],
    doomed: Callable[[TranslatedPort, Flow], bool],
) -> None:
    flows = conntrack.flows(version, UDP, {int(port.host_port) for port in ports})
    gone: list[Flow] = []
    for port in ports:
        stale = [flow for flow in flows if flow.port == int(port.host_port) and doomed(port, flow)]
        if stale:
            here = _by_host(netns, port)
            gone += [flow for flow in stale if here(flow.destination)]
    conntrack.forget(version, gone)


def _reaches(port: TranslatedPort, flow: Flow) -> bool:
    return (flow.answering, str(flow.answering_port)) == (port.pod, port.pod_port)


def _by_host(netns: Netns, port: TranslatedPort) -> Callable[[str], bool]:
    """Whether an address is one that the mapping is for."""
    if int(address_of(port.host)):
        return lambda address: address == port.host

    @cache
    def is_local(address: str) -> bool:
        packed = address_of(address).packed
        header = rtmsg(_FAMILIES[port.version], 8 * len(packed), 0, 0, 0, 0)
        routing = NetlinkSocket(netns)
        try:
            answer = routing.get(message(RTM_GETROUTE, 0, header, attribute(_RTA_DST, packed)))
        except OSError:  # no route at all, so none of the host's own
            return False
        finally:
            routing.close()
        return answer is not None and answer[_TYPE_OFFSET] == _RTN_LOCAL

    return is_local
