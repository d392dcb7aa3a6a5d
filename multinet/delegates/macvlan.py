"""macvlan: the pod joins the network of a host interface, with a MAC of its own."""

from __future__ import annotations

import msgspec

from multinet.cni.errors import InvalidConfig
from multinet.cni.result import Interface
from multinet.core.desired import Macvlan, MacvlanMode, Place
from multinet.sdk import DelegateConf, Desired, Facts, Sandbox, interface_delegate
from multinet.sdk.addressing import addressed, announced
from multinet.sdk.delegate import chosen_dns, described
from multinet.sdk.mac import parse_mac
from multinet.sdk.parent import parent_of

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
    master, mtu = parent_of(conf.master, conf.mtu, pod, host, place)
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


def _mode(text: str) -> MacvlanMode:
    for mode in _MODES:
        if text == mode:
            return mode  # type: ignore[return-value]
    raise InvalidConfig("$.mode", f'unknown macvlan mode: "{text}" (one of {", ".join(_MODES)})')
