"""dummy: an interface that leads nowhere, to hold addresses."""

from __future__ import annotations

from multinet.cni.errors import InvalidConfig
from multinet.cni.result import Interface
from multinet.core.desired import Dummy
from multinet.sdk import DelegateConf, Desired, Facts, Sandbox, interface_delegate
from multinet.sdk.addressing import addressed
from multinet.sdk.delegate import chosen_dns, described
from multinet.sdk.mac import parse_mac

_DEFAULT_MTU = 1500
"""The kernel's; said, so that CHECK sees a change."""


class DummyConf(DelegateConf, frozen=True, kw_only=True):
    """Options of dummy."""

    mtu: int = 0
    """0: 1500."""
    mac: str = ""
    """MAC of the interface, unless the runtime or an argument asks for another."""


@interface_delegate(DummyConf)
def dummy(conf: DummyConf, pod: Sandbox, host: Facts) -> Desired:
    """One dummy link with the addresses of its IPAM."""
    if not conf.has_ipam:
        raise InvalidConfig("$.ipam", "dummy interface requires an IPAM configuration")
    if not 0 <= conf.mtu <= 65535:
        raise InvalidConfig("$.mtu", f"invalid MTU {conf.mtu}, must be between 0 and 65535")
    own = parse_mac(conf.mac, "$.mac") if conf.mac else ""
    link = Dummy(name=pod.ifname, mac=pod.mac_or(own or pod.mac), mtu=conf.mtu or _DEFAULT_MTU)
    made = Interface(name=link.name, mac=link.mac, mtu=link.mtu, sandbox=pod.netns)
    result = described((made,), 0, pod.ipam, chosen_dns(conf, pod.ipam))
    return Desired((link, *addressed(link.name, pod.ipam)), result)
