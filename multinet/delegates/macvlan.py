"""macvlan: the pod joins the network of a host interface, with a MAC of its own."""

from __future__ import annotations

import msgspec

from multinet.adapters.kernel_values import LinkInfo
from multinet.cni.errors import InvalidConfig
from multinet.cni.result import Interface
from multinet.core.desired import Macvlan, MacvlanMode, Place
from multinet.sdk import DelegateConf, Desired, Facts, Sandbox, interface_delegate
from multinet.sdk.addressing import addressed, announced
from multinet.sdk.delegate import chosen_dns, described
from multinet.sdk.mac import parse_mac

_MODES = ("bridge", "private", "vepa", "passthru")


class MacvlanConf(DelegateConf, frozen=True, kw_only=True):
    """Options of macvlan."""

    master: str = ""
    """The interface to build on; default: the one of the first default route."""
    mode: str = "bridge"
    """``bridge``, ``private``, ``vepa`` or ``passthru`` (one pod alone on the master, with the master's MAC)."""
    mtu: int = 0
    """0: the master's; at most the master's."""
    mac: str = ""
    """MAC of the interface, unless the runtime or an argument asks for another."""
    link_in_container: bool = False
    """The master is looked for in the sandbox."""
    bc_queue_len: int = msgspec.field(name="bcqueuelen", default=0)
    """Length of the broadcast queue; 0: the kernel's default."""


@interface_delegate(MacvlanConf)
def macvlan(conf: MacvlanConf, pod: Sandbox, host: Facts) -> Desired:
    """One macvlan link on the master, with the addresses of its IPAM."""
    mode = _mode(conf.mode)
    place: Place = "sandbox" if conf.link_in_container else "host"
    if not 0 <= conf.bc_queue_len < 1 << 32:
        raise InvalidConfig("$.bcqueuelen", f"{conf.bc_queue_len} is outside 0..4294967295")
    master, mtu = _as_made(conf, pod, host, place) if pod.made else _to_make(conf, host, place)
    own = parse_mac(conf.mac, "$.mac") if conf.mac else ""
    mac = pod.mac_or(own or (master.mac if mode == "passthru" else pod.mac))
    link = Macvlan(
        name=pod.ifname,
        mac=mac,
        parent=master.name,
        parent_place=place,
        mode=mode,
        mtu=mtu,
        bc_queue_len=conf.bc_queue_len,
    )
    made = Interface(name=link.name, mac=mac, mtu=link.mtu, sandbox=pod.netns)
    result = described((made,), 0, pod.ipam, chosen_dns(conf, pod.ipam))
    return Desired((link, *announced(link.name, pod.ipam), *addressed(link.name, pod.ipam)), result)


def _to_make(conf: MacvlanConf, host: Facts, place: Place) -> tuple[LinkInfo, int]:
    """The master to build on, and the MTU that the link is to have."""
    master = host.master(conf.master, place)
    if not 0 <= conf.mtu <= master.mtu:
        raise InvalidConfig("$.mtu", f"invalid MTU {conf.mtu}, must be [0, master MTU({master.mtu})]")
    return master, conf.mtu or master.mtu


def _as_made(conf: MacvlanConf, pod: Sandbox, host: Facts, place: Place) -> tuple[LinkInfo, int]:
    """For CHECK: the master that was named, or else the one that the link has, wherever the default route
    leads by now. One that is gone is for the comparison to report.
    """
    made = pod.made_interface
    mtu = (made.mtu if made else 0) or conf.mtu
    if conf.master:
        return host.link(conf.master, place) or LinkInfo(index=0, name=conf.master), mtu
    link = host.link(pod.ifname, "sandbox")
    above = [one for one in host.links(place).values() if link and one.index == link.parent]
    return (above[0] if above else LinkInfo(index=0, name="")), mtu


def _mode(text: str) -> MacvlanMode:
    for mode in _MODES:
        if text == mode:
            return mode  # type: ignore[return-value]
    raise InvalidConfig("$.mode", f'unknown macvlan mode: "{text}" (one of {", ".join(_MODES)})')
