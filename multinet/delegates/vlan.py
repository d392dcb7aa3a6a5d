"""vlan: the pod is in one 802.1Q VLAN of a host interface, tagged on the wire."""

from __future__ import annotations

from multinet.cni.errors import InvalidConfig
from multinet.cni.result import Interface
from multinet.core.desired import Place, Vlan
from multinet.sdk import DelegateConf, Desired, Facts, Sandbox, interface_delegate
from multinet.sdk.addressing import addressed, announced
from multinet.sdk.delegate import chosen_dns, described
from multinet.sdk.parent import parent_of


class VlanConf(DelegateConf, frozen=True, kw_only=True):
    """Options of vlan."""

    master: str = ""
    """The interface to build on; required. It can have one link a VLAN id, so one pod."""
    vlan_id: int = 0
    """The VLAN, 0 to 4094; 0 only gives frames a priority tag."""
    mtu: int = 0
    """0: the master's; at most the master's."""
    link_in_container: bool = False
    """The master is looked for in the sandbox."""


@interface_delegate(VlanConf)
def vlan(conf: VlanConf, pod: Sandbox, host: Facts) -> Desired:
    """One VLAN link on the master, with the addresses of its IPAM if it has one."""
    _validate(conf)
    place: Place = "sandbox" if conf.link_in_container else "host"
    master, mtu = parent_of(conf.master, conf.mtu, pod, host, place)
    link = Vlan(
        name=pod.ifname,
        vlan_id=conf.vlan_id,
        parent=master.name,
        parent_place=place,
        mac=pod.mac_or(master.mac),
        mtu=mtu,
    )
    made = Interface(name=link.name, mac=link.mac, mtu=link.mtu, sandbox=pod.netns)
    result = described((made,), 0, pod.ipam, chosen_dns(conf, pod.ipam))
    return Desired((link, *announced(link.name, pod.ipam), *addressed(link.name, pod.ipam)), result)


def _validate(conf: VlanConf) -> None:
    if not conf.master:
        raise InvalidConfig(
            "$.master",
            '"master" field is required. It specifies the host interface name to create the VLAN for',
        )
    if not 0 <= conf.vlan_id <= 4094:
        raise InvalidConfig(
            "$.vlanId", f"invalid VLAN ID {conf.vlan_id} (must be between 0 and 4094 inclusive)"
        )
