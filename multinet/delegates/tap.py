"""tap: a device that a process in the pod opens, to give a virtual machine the pod's network."""

from __future__ import annotations

from multinet.cni.errors import InvalidConfig
from multinet.cni.result import Interface
from multinet.core.desired import Tap
from multinet.sdk import DelegateConf, Desired, Facts, Sandbox, interface_delegate
from multinet.sdk.addressing import addressed, announced
from multinet.sdk.delegate import chosen_dns, described
from multinet.sdk.mac import parse_mac

_DEFAULT_MTU = 1500
"""The kernel's; said, so that CHECK sees a change."""
_HIGHEST_ID = 2**32 - 2
"""The one above stands for "no id" in the kernel."""


class TapConf(DelegateConf, frozen=True, kw_only=True):
    """Options of tap."""

    multi_queue: bool = False
    """The device may be opened several times, each time for one more queue."""
    mtu: int = 0
    """0: 1500."""
    mac: str = ""
    """MAC of the interface, unless the runtime or an argument asks for another."""
    owner: int | None = None
    """User id that may open it, 0 included; default: only who has CAP_NET_ADMIN."""
    group: int | None = None
    """Group id that may open it."""
    selinux_context: str = ""
    """SELinux label of the device; default: that of who makes it."""
    bridge: str = ""
    """A bridge in the pod that it becomes a port of."""


@interface_delegate(TapConf)
def tap(conf: TapConf, pod: Sandbox, host: Facts) -> Desired:
    """One persistent tap device, with the addresses of its IPAM if it has one.

    It has no carrier until a process opens it; its IPv6 addresses are tentative so long.
    """
    own = _validate(conf)
    if conf.bridge and not pod.made:
        _require_bridge(conf.bridge, host)
    link = Tap(
        name=pod.ifname,
        mac=pod.mac_or(own or pod.mac),
        mtu=conf.mtu or _DEFAULT_MTU,
        uid=conf.owner,
        gid=conf.group,
        multi_queue=conf.multi_queue,
        selinux_context=conf.selinux_context,
        master=conf.bridge,
    )
    made = Interface(name=link.name, mac=link.mac, mtu=link.mtu, sandbox=pod.netns)
    result = described((made,), 0, pod.ipam, chosen_dns(conf, pod.ipam))
    return Desired((link, *announced(link.name, pod.ipam), *addressed(link.name, pod.ipam)), result)


def _validate(conf: TapConf) -> str:
    """The MAC of the configuration, or ""."""
    if not 0 <= conf.mtu <= 65521:  # the kernel's limit for an Ethernet tap: 65535 less the header
        raise InvalidConfig("$.mtu", f"invalid MTU {conf.mtu}, must be between 0 and 65521")
    for field, value in (("owner", conf.owner), ("group", conf.group)):
        if value is not None and not 0 <= value <= _HIGHEST_ID:
            raise InvalidConfig(f"$.{field}", f"{value} is outside 0..{_HIGHEST_ID}")
    return parse_mac(conf.mac, "$.mac") if conf.mac else ""


def _require_bridge(name: str, host: Facts) -> None:
    found = host.link(name, "sandbox")
    if found is None:
        raise InvalidConfig("$.bridge", f"failed to get bridge {name}: Link not found in the sandbox")
    if found.kind != "bridge":
        raise InvalidConfig(
            "$.bridge", f"failed to get bridge {name}: it is not a bridge ({found.kind or 'device'})"
        )
