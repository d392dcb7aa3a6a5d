"""ptp: a veth pair from the pod to the host, which routes: no bridge, no network shared with other pods."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from multinet.cni.addresses import address_of, interface_of
from multinet.cni.errors import InvalidConfig
from multinet.cni.result import Interface, IPConfig, Result
from multinet.core.desired import (
    SCOPE_HOST,
    SCOPE_LINK,
    SCOPE_UNIVERSE,
    Address,
    AnyItem,
    Neighbour,
    Route,
    Veth,
)
from multinet.sdk import DelegateConf, Desired, Facts, Sandbox, interface_delegate
from multinet.sdk.addressing import addressed
from multinet.sdk.delegate import chosen_dns, described
from multinet.sdk.host_side import (
    forwarding,
    masqueraded,
    require_backend,
    require_gateways_of_others,
    without_router_advertisements,
)

_DEFAULT_MTU = 1500
"""The kernel's for a veth pair; said, so that CHECK sees a change."""
_LINK_LOCAL = {4: "169.254.1.1", 6: "fe80::1"}
"""The host's address on the pair when the IPAM names no gateway: link-local, so each pair may have the same."""


class PtpConf(DelegateConf, frozen=True, kw_only=True):
    """Options of ptp."""

    ip_masq: bool = False
    """Traffic that leaves the pod's subnet takes the host's address."""
    ip_masq_backend: str = ""
    """``nftables`` or ``iptables``; default: as the host's other rules use."""
    mtu: int = 0
    """MTU of both ends; 0: 1500."""


@interface_delegate(PtpConf)
def ptp(conf: PtpConf, pod: Sandbox, host: Facts) -> Desired:
    """A veth pair, and with IPAM: everything the pod sends goes to the host, which knows a route to each address."""
    require_backend(conf.ip_masq_backend)
    if not 0 <= conf.mtu <= 65535:
        raise InvalidConfig("$.mtu", f"invalid MTU {conf.mtu}, must be between 0 and 65535")
    ipam = _with_gateways(pod.ipam) if pod.ipam else None
    pair = Veth(
        name=pod.ifname,
        mac=pod.mac,
        host_name=pod.host_ifname,
        host_mac=pod.host_mac,
        mtu=conf.mtu or _DEFAULT_MTU,
    )
    items: list[AnyItem] = [pair, *without_router_advertisements(pair.host_name)]
    if ipam:
        require_gateways_of_others(ipam)
        items += [*_inside(pair, ipam), *_outside(pair, ipam)]
        items += forwarding([interface_of(ip.address).version for ip in ipam.ips])
        if conf.ip_masq:
            items += masqueraded(ipam, conf.ip_masq_backend, pod, host)
    ends = (
        Interface(name=pair.host_name, mac=pair.host_mac, mtu=pair.mtu),
        Interface(name=pair.name, mac=pair.mac, mtu=pair.mtu, sandbox=pod.netns),
    )
    return Desired(tuple(items), described(ends, 1, ipam, chosen_dns(conf, ipam)))


def _with_gateways(ipam: Result) -> Result:
    def complete(ip: IPConfig) -> IPConfig:
        gateway = str(address_of(ip.gateway)) if ip.gateway else _LINK_LOCAL[interface_of(ip.address).version]
        return replace(ip, gateway=gateway)

    return replace(ipam, ips=tuple(complete(ip) for ip in ipam.ips))


def _inside(pair: Veth, ipam: Result) -> Iterator[AnyItem]:
    """The pod's end: nobody but the host is on the link, so its own subnet, too, is behind the gateway.

    No duplicate can be found there either, so addresses are usable at once. The gateway's MAC is known, and
    needn't be asked for.
    """
    own = _own_routes(pair.name, ipam)
    yield from own.values()
    for gateway in dict.fromkeys(ip.gateway for ip in ipam.ips):
        yield Neighbour(link=pair.name, address=gateway, mac=pair.host_mac)
    for item in addressed(pair.name, ipam):
        if isinstance(item, Address):
            yield replace(item, detect=False, prefix_route=False)
        elif not isinstance(item, Route) or item.dst not in own:
            yield item


def _own_routes(link: str, ipam: Result) -> dict[str, Route]:
    """By destination: to each gateway, and to each subnet by its gateway."""
    to_gateways: dict[str, Route] = {}
    to_subnets: dict[str, Route] = {}
    for ip in ipam.ips:
        interface = interface_of(ip.address)
        # IPv6 takes a source address only once it is ready for use, and chooses the right one by itself
        source = str(interface.ip) if interface.version == 4 else ""
        gateway, subnet = _host(ip.gateway), str(interface.network)
        scope = _scope(interface.version, SCOPE_LINK)
        to_gateways.setdefault(gateway, Route(link=link, dst=gateway, scope=scope, source=source))
        if interface.network.num_addresses > 1:
            via = Route(link=link, dst=subnet, gateways=(ip.gateway,), source=source)
            to_subnets.setdefault(subnet, via)
    return to_gateways | to_subnets


def _outside(pair: Veth, ipam: Result) -> Iterator[AnyItem]:
    """The host's end: the gateways' addresses, and a route to each of the pod's, in place of one to a former pod."""
    for cidr in dict.fromkeys(_host(ip.gateway) for ip in ipam.ips):
        yield Address(place="host", link=pair.host_name, cidr=cidr, detect=False)
    for ip in ipam.ips:
        interface = interface_of(ip.address)
        scope = _scope(interface.version, SCOPE_HOST)
        yield Route(
            place="host", link=pair.host_name, dst=_host(str(interface.ip)), scope=scope, replaces=True
        )


def _scope(version: int, scope: int) -> int:
    """IPv6 routes have none."""
    return scope if version == 4 else SCOPE_UNIVERSE


def _host(address: str) -> str:
    """A single address as a prefix."""
    return f"{address}/{128 if ':' in address else 32}"
