"""bridge: a veth pair from the pod to a bridge on the host, which may be the pod's gateway."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from multinet.cni.addresses import interface_of
from multinet.cni.errors import CNIError, InvalidConfig
from multinet.cni.names import validate_ifname
from multinet.cni.result import Interface, Result
from multinet.core.desired import Address, AnyItem, Bridge, BridgeLeg, MacGuard, NoAddress, Sysctl, Veth
from multinet.delegates.bridge_vlans import TrunkConf, leg_of, port_vlans
from multinet.sdk import DelegateConf, Desired, Facts, Sandbox, interface_delegate
from multinet.sdk.addressing import addressed, announced, has_family, with_default_routes, with_gateways
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


class BridgeConf(DelegateConf, frozen=True, kw_only=True):
    """Options of bridge."""

    bridge: str = "cni0"
    """The bridge on the host, made if absent."""
    is_gateway: bool = False
    """The bridge gets each subnet's gateway address, and the host forwards."""
    is_default_gateway: bool = False
    """As ``isGateway``, and the pod's default routes lead there."""
    force_address: bool = False
    """Replace gateway addresses that conflict instead of failing."""
    ip_masq: bool = False
    """Traffic that leaves the pod's subnet takes the host's address."""
    ip_masq_backend: str = ""
    """``nftables`` or ``iptables``; default: as the host's other rules use."""
    mtu: int = 0
    """MTU of both ends, and of the bridge when it is made; 0: the kernel's default."""
    hairpin_mode: bool = False
    """Frames may go out by the port they came in by."""
    promisc_mode: bool = False
    """The bridge takes all frames in."""
    mac_spoof_check: bool = msgspec.field(name="macspoofchk", default=False)
    """Frames from the pod with another source MAC are dropped."""
    enable_dad: bool = msgspec.field(name="enabledad", default=False)
    """IPv6 duplicate address detection in the pod."""
    disable_container_interface: bool = False
    """The pod's end stays down; not with IPAM."""
    port_isolation: bool = False
    """Isolated ports don't reach one another."""
    vlan: int = 0
    """The pod's VLAN on the bridge, untagged for the pod; 0: none. The bridge filters VLANs then."""
    vlan_trunk: list[TrunkConf] | None = None
    """VLANs that the pod sees tagged: each an ``id``, or ``minID`` and ``maxID``; an empty list only has the bridge
    filter. Untagged frames belong to ``vlan``, or else to VLAN 1.
    """
    preserve_default_vlan: bool = False
    """The VLAN that the bridge gives to new ports stays beside these."""


@interface_delegate(BridgeConf)
def bridge(conf: BridgeConf, pod: Sandbox, host: Facts) -> Desired:
    """Bridge, veth pair, and with IPAM: addresses, gateway, masquerading."""
    _validate(conf)
    vlans = port_vlans(conf.vlan, conf.vlan_trunk, conf.preserve_default_vlan)
    gateway = conf.is_gateway or conf.is_default_gateway
    ipam = with_gateways(pod.ipam) if pod.ipam and gateway else pod.ipam
    if ipam and conf.is_default_gateway:
        ipam = with_default_routes(ipam)
    switch = _switch(conf, pod, host)
    pair = Veth(
        name=pod.ifname,
        mac=pod.mac,
        host_name=pod.host_ifname,
        host_mac=pod.host_mac,
        mtu=conf.mtu or _DEFAULT_MTU,
        master=switch.name,
        hairpin=conf.hairpin_mode,
        isolated=conf.port_isolation,
        up=not conf.disable_container_interface,
        vlans=vlans,
    )
    leg = (
        leg_of(switch.name, conf.vlan, _mtu(switch, host), pod, host)
        if ipam and gateway and conf.vlan
        else None
    )
    links: list[Bridge | BridgeLeg | Veth] = [switch, leg, pair] if leg else [switch, pair]
    quiet = [switch.name, *([leg.name] if leg else []), pair.host_name]
    items: list[AnyItem] = [*links, *without_router_advertisements(*quiet)]
    if conf.mac_spoof_check:
        items.append(MacGuard(link=pair.host_name, mac=pair.mac, owner=pod.owner))
    if ipam:
        if has_family(ipam, 6):
            items += _detection(pair.name, conf.enable_dad)
        items += [*announced(pair.name, ipam), *addressed(pair.name, ipam)]
        if gateway:
            place = leg.name if leg else switch.name
            items += _gateway(conf, place, ipam, () if pod.made else _present(place, host))
        if conf.ip_masq:
            items += masqueraded(ipam, conf.ip_masq_backend, pod, host)
    return Desired(tuple(items), _result(conf, pod, host, switch, pair, leg, ipam))


def _validate(conf: BridgeConf) -> None:
    if conf.hairpin_mode and conf.promisc_mode:
        raise InvalidConfig("$.hairpinMode", "cannot set hairpin mode and promiscuous mode at the same time")
    if conf.disable_container_interface and conf.has_ipam:
        raise InvalidConfig("$.ipam", "cannot use IPAM when DisableContainerInterface flag is set")
    require_backend(conf.ip_masq_backend)
    try:
        validate_ifname(conf.bridge)
    except CNIError as error:
        raise InvalidConfig("$.bridge", f'"{conf.bridge}": {error.msg}') from None
    if not 0 <= conf.mtu <= 65535:
        raise InvalidConfig("$.mtu", f"invalid MTU {conf.mtu}, must be between 0 and 65535")


def _switch(conf: BridgeConf, pod: Sandbox, host: Facts) -> Bridge:
    """The bridge with the MAC it has, or was reported with, or will be born with: it never changes again."""
    found = host.link(conf.bridge)
    made = next((i for i in pod.made.interfaces if i.name == conf.bridge), None) if pod.made else None
    mac = made.mac if made else found.mac if found else host.fresh_mac(conf.bridge)
    return Bridge(
        place="host",
        whose="shared",
        name=conf.bridge,
        mac=mac,
        mtu=conf.mtu,
        promisc=conf.promisc_mode,
        vlan_filtering=conf.vlan != 0 or conf.vlan_trunk is not None,
    )


def _detection(link: str, enabled: bool) -> list[Sysctl]:
    keys = ("enhanced_dad", "accept_dad") if enabled else ("accept_dad",)
    value = "1" if enabled else "0"
    return [Sysctl(key=f"net/ipv6/conf/{link}/{key}", value=value, tolerant=True) for key in keys]


def _mtu(switch: Bridge, host: Facts) -> int:
    """The bridge's, which is left as it is when it was there before."""
    found = host.link(switch.name)
    return found.mtu if found else switch.mtu or _DEFAULT_MTU


def _present(name: str, host: Facts) -> tuple[str, ...]:
    found = host.link(name)
    return host.addresses(found) if found else ()


def _gateway(conf: BridgeConf, name: str, ipam: Result, addresses: Iterable[str]) -> list[AnyItem]:
    """Gateway addresses on the bridge or its leg ``name``, those of ``addresses`` that conflict away (or refused);
    forwarding on.
    """
    require_gateways_of_others(ipam)
    wanted = list(
        dict.fromkeys(f"{ip.gateway}/{interface_of(ip.address).network.prefixlen}" for ip in ipam.ips)
    )
    items: list[AnyItem] = []
    for present in addresses:
        conflict = next(
            (cidr for cidr in wanted if present not in wanted and _conflicts(present, cidr)), None
        )
        if conflict and not conf.force_address:
            raise InvalidConfig(
                "$.isGateway",
                f'failed to set bridge addr: "{name}" already has an IP address different from {conflict} '
                f'({present}): remove it, choose another bridge, or set "forceAddress"',
            )
        if conflict:
            items.append(NoAddress(place="host", link=name, cidr=present))
    items += [Address(place="host", whose="shared", link=name, cidr=cidr) for cidr in wanted]
    return items + forwarding([interface_of(cidr).version for cidr in wanted])


def _conflicts(present: str, wanted: str) -> bool:
    """IPv4: any other address; IPv6: one whose prefix overlaps."""
    one, other = interface_of(present), interface_of(wanted)
    if one.version != other.version:
        return False
    return one.version == 4 or one.network.overlaps(other.network)


def _result(
    conf: BridgeConf,
    pod: Sandbox,
    host: Facts,
    switch: Bridge,
    pair: Veth,
    leg: BridgeLeg | None,
    ipam: Result | None,
) -> Result:
    interfaces = (
        Interface(name=switch.name, mac=switch.mac, mtu=_mtu(switch, host)),
        Interface(name=pair.host_name, mac=pair.host_mac, mtu=pair.mtu),
        Interface(name=pair.name, mac=pair.mac, mtu=pair.mtu, sandbox=pod.netns),
        *([Interface(name=leg.name, mac=leg.mac, mtu=leg.mtu)] if leg else []),
    )
    return described(interfaces, 2, ipam, chosen_dns(conf, ipam))
