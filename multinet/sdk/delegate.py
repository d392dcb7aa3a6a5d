"""The three values a delegate deals in: its configuration, the pod's sandbox, and the state it desires."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from multinet.cni.result import DNS, Interface, IPConfig, Result
from multinet.core.desired import AnyItem, Owner
from multinet.sdk.ipam import member


class DNSConf(msgspec.Struct, frozen=True):
    """``dns`` of a configuration: a list that is there but empty says something, an absent one doesn't."""

    nameservers: tuple[str, ...] | None = None
    """Addresses of name servers."""
    domain: str = ""
    """The local domain."""
    search: tuple[str, ...] | None = None
    """Domains to look short names up in."""
    options: tuple[str, ...] | None = None
    """Options of the resolver."""


class DelegateConf(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Configuration that every interface delegate understands; each adds its own fields.

    ``ipam`` stays raw: it belongs to the address manager it names.
    """

    cni_version: str = "0.1.0"
    name: str = ""
    type: str = ""
    ipam: dict[str, Any] = {}
    """The address manager, by its ``type``, and its own options; without ``type`` there are no addresses (L2)."""
    dns: DNSConf = DNSConf()
    """For the result; said as a whole, it takes the place of the address manager's."""
    capabilities: dict[str, bool] = {}
    """What the runtime may hand over in ``runtimeConfig``: ``ips``, ``mac``, ``portMappings``, ``bandwidth``, …"""
    runtime_config: dict[str, Any] = {}
    """What the runtime hands over; it goes before all other sources of the same thing."""
    args: dict[str, Any] = {}
    """``args.cni`` has what a pod asks for: ``ips``, ``mac``, and the like."""
    prev_result: dict[str, Any] | None = None
    """The result so far; chained plugins need it, CHECK always."""

    @property
    def has_ipam(self) -> bool:
        """True when addresses are to be given (L3); an ``ipam`` without ``type`` means L2."""
        return bool(member(self.ipam, "type"))


class Sandbox(msgspec.Struct, frozen=True, kw_only=True):
    """What a delegate knows of the pod: whose attachment it is and what was asked for it."""

    owner: Owner
    netns: str = ""
    """``CNI_NETNS`` as the caller wrote it; results repeat it."""
    requested_mac: str = ""
    """By ``runtimeConfig.mac``, else ``args.cni.mac``, else ``CNI_ARGS`` ``MAC``; empty: none."""
    ipam: Result | None = None
    """Addresses, routes and DNS; None for L2."""
    previous: Result | None = None
    """ADD: the result of the previous plugin of the chain."""
    made: Result | None = None
    """CHECK: the result of the ADD."""

    @property
    def so_far(self) -> Result:
        """Chained delegates: the result of the plugins before; empty without any."""
        return self.previous or Result()

    @property
    def ifname(self) -> str:
        """The interface to make."""
        return self.owner.ifname

    @property
    def mac(self) -> str:
        """MAC of the sandbox end: as it was made, as asked for, or one derived from the attachment."""
        return self.mac_or(self.owner.mac("sandbox"))

    def mac_or(self, otherwise: str) -> str:
        """MAC of the sandbox end: as it was made, as asked for, or else ``otherwise``."""
        made = self.made_interface
        return (made.mac if made else "") or self.requested_mac or otherwise

    @property
    def made_interface(self) -> Interface | None:
        """The interface in the sandbox as the ADD reported it; None before and in ADD."""
        for interface in self.made.interfaces if self.made else ():
            if interface.sandbox and interface.name == self.ifname:
                return interface
        return None

    @property
    def host_ifname(self) -> str:
        """Name of the host end of a pair: as it was made, or the one derived from the attachment."""
        made = self._made_host_end()
        return made.name if made else self.owner.host_ifname

    @property
    def host_mac(self) -> str:
        """MAC of the host end of a pair: as it was made, or one derived from the attachment."""
        made = self._made_host_end()
        return made.mac if made else self.owner.host_mac

    def _made_host_end(self) -> Interface | None:
        """The second interface on the host, after the bridge, or else the only one; ours is known by its name."""
        ends = [i for i in self.made.interfaces if not i.sandbox] if self.made else []
        ours = [i for i in ends if i.name == self.owner.host_ifname]
        return next(iter([*ours, *ends[1:2], *ends]), None)


class Desired(msgspec.Struct, frozen=True):
    """What a delegate wants: items for the kernel, and the CNI result that describes them."""

    items: tuple[AnyItem, ...] = ()
    result: Result = Result()


def described(interfaces: tuple[Interface, ...], sandbox_index: int, ipam: Result | None, dns: DNS) -> Result:
    """The result of an interface delegate: all addresses stand on the interface at ``sandbox_index``."""
    if ipam is None:
        return Result(interfaces=interfaces, dns=dns)
    ips = tuple(IPConfig(address=ip.address, gateway=ip.gateway, interface=sandbox_index) for ip in ipam.ips)
    return Result(interfaces=interfaces, ips=ips, routes=ipam.routes, dns=dns)


def appended(previous: Result | None, interface: Interface, ipam: Result | None, dns: DNS) -> Result:
    """The result of a delegate that may come after others: theirs, and its own interface with ``ipam``'s
    addresses. Addresses that are ``previous``' own are this interface's then.
    """
    if previous is None:
        return described((interface,), 0, ipam, dns)
    result = described((*previous.interfaces, interface), len(previous.interfaces), ipam, dns)
    if ipam is previous:
        return result
    return replace(result, ips=(*previous.ips, *result.ips), routes=(*previous.routes, *result.routes))


def chosen_dns(conf: DelegateConf, ipam: Result | None) -> DNS:
    """The configuration's ``dns`` as a whole if it says anything (an empty list counts), else the IPAM's."""
    own = conf.dns
    if own.domain or any(said is not None for said in (own.nameservers, own.search, own.options)):
        return DNS(own.nameservers or (), own.domain, own.search or (), own.options or ())
    return ipam.dns if ipam else DNS()
