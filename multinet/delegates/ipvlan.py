"""ipvlan: the pod joins the network of a host interface with the interface's own MAC, known by its addresses."""

from __future__ import annotations

from msgspec.structs import replace

from multinet.cni.errors import Code, InvalidConfig
from multinet.cni.result import Interface, Result
from multinet.core.desired import Ipvlan, IpvlanMode, Place
from multinet.sdk import DelegateConf, Desired, Facts, Sandbox, interface_delegate
from multinet.sdk.addressing import addressed, announced
from multinet.sdk.delegate import appended, chosen_dns
from multinet.sdk.parent import parent_of
from multinet.sdk.previous import own_part

_MODES = ("l2", "l3", "l3s")


class IpvlanConf(DelegateConf, frozen=True, kw_only=True):
    """Options of ipvlan."""

    master: str = ""
    """The interface to build on; default: in a chain the only one of ``prevResult``, else the one of the first
    default route.
    """
    mode: str = "l2"
    """``l2``, ``l3`` or ``l3s`` (l3 with the host's packet rules). All pods of one master have the newest one's."""
    mtu: int = 0
    """0: the master's; at most the master's."""
    link_in_container: bool = False
    """The master is looked for in the sandbox."""


@interface_delegate(IpvlanConf)
def ipvlan(conf: IpvlanConf, pod: Sandbox, host: Facts) -> Desired:
    """One ipvlan link on the master, with the addresses of its IPAM, or those that the previous plugin has found."""
    mode = _mode(conf.mode)
    if pod.requested_mac:
        raise InvalidConfig(
            "$.runtimeConfig.mac",
            f"{pod.requested_mac} can't be had: an ipvlan interface has its master's MAC; use macvlan, or ask for none",
            Code.UNSUPPORTED_FIELD,
        )
    name, place = _master(conf, pod, host)
    master, mtu = parent_of(name, conf.mtu, pod, host, place)
    ipam = _own(pod) if conf.has_ipam else _found_before(pod)
    made = pod.made_interface
    link = Ipvlan(
        name=pod.ifname,
        parent=master.name,
        parent_place=place,
        mac=made.mac if made else master.mac,
        mode=mode,
        mtu=mtu,
    )
    interface = Interface(name=link.name, mac=link.mac, mtu=link.mtu, sandbox=pod.netns)
    result = appended(pod.previous, interface, ipam, chosen_dns(conf, ipam or pod.previous))
    routed = _without_gateways(ipam) if ipam and mode != "l2" else ipam
    return Desired((link, *announced(link.name, ipam), *addressed(link.name, routed)), result)


def _mode(text: str) -> IpvlanMode:
    for mode in _MODES:
        if text == mode:
            return mode  # type: ignore[return-value]
    raise InvalidConfig("$.mode", f'unknown ipvlan mode: "{text}" (one of {", ".join(_MODES)})')


def _master(conf: IpvlanConf, pod: Sandbox, host: Facts) -> tuple[str, Place]:
    """Name and place of the master; no name: the default route's, or in CHECK the one that the link has."""
    place: Place = "sandbox" if conf.link_in_container else "host"
    if conf.master:
        return conf.master, place
    if pod.made:
        link = host.link(pod.ifname, "sandbox")
        return "", "sandbox" if link and link.parent and not link.parent_elsewhere else place
    if pod.previous is None:
        return "", place
    named = [interface for interface in pod.previous.interfaces if interface.name]
    if len(named) != 1 or len(pod.previous.interfaces) != 1:
        raise InvalidConfig(
            "$.prevResult",
            'chained master failure. PrevResult lacks a single named interface: set "master"',
        )
    return named[0].name, "sandbox" if named[0].sandbox else place


def _own(pod: Sandbox) -> Result | None:
    """What the IPAM gave. A result doesn't say whose its routes are, when other interfaces have addresses, too."""
    others = pod.made is not None and pod.ipam is not None and len(pod.made.ips) > len(pod.ipam.ips)
    return replace(pod.ipam, routes=()) if pod.ipam and others else pod.ipam


def _found_before(pod: Sandbox) -> Result | None:
    """Addresses and routes of the previous plugin, which are for this interface when it has no IPAM."""
    if pod.made:
        own = own_part(pod.made, pod.ifname)
        return own if own.ips else None
    return pod.previous if pod.previous and pod.previous.ips else None


def _without_gateways(ipam: Result) -> Result:
    """In the l3 modes the host routes what leaves the link: a route needs a gateway only where it names one."""
    return replace(ipam, ips=tuple(replace(ip, gateway="") for ip in ipam.ips))
