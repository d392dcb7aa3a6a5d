"""portmap: ports of the host's own addresses lead to the pod."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from multinet.cni.decode import convert
from multinet.cni.errors import InvalidConfig
from multinet.cni.result import Result
from multinet.core.desired import AnyItem, PortMapping, Sysctl
from multinet.sdk import DelegateConf, Desired, Facts, Sandbox, chained_delegate
from multinet.sdk.ipam import member
from multinet.sdk.iptables import require_iptables

_BACKENDS = ("iptables", "nftables")
_PROTOCOLS = ("tcp", "udp", "sctp")
_MARK_BIT = 13


class PortmapConf(DelegateConf, frozen=True, kw_only=True):
    """Options of portmap. The mappings come from the runtime: ``runtimeConfig.portMappings``."""

    backend: str = ""
    """``nftables`` or ``iptables``; default: as the options below demand, else as the host's other rules use."""
    snat: bool = True
    """The pod itself, and the host by 127.0.0.1, may use the mappings: their traffic is masqueraded."""
    masq_all: bool = False
    """With ``snat``: traffic from everywhere is masqueraded, so that replies pass the host (macvlan, ipvlan)."""
    mark_masq_bit: int | None = None
    """iptables: bit of the packet mark that asks for masquerading, 0 to 31; default 13."""
    external_set_mark_chain: str = ""
    """iptables: someone else's chain that marks what is to be masqueraded; not with ``markMasqBit``."""
    conditions_v4: list[str] | None = None
    """More that IPv4 packets must match, as words of the back end (iptables' begin with ``-`` or ``!``)."""
    conditions_v6: list[str] | None = None
    """As ``conditionsV4``, for IPv6."""


class _Mapping(msgspec.Struct, frozen=True, rename="camel"):
    """One entry of ``portMappings``."""

    host_port: int = 0
    container_port: int = 0
    protocol: str = "tcp"
    host_ip: str = msgspec.field(name="hostIP", default="")


class _Wanted(msgspec.Struct, frozen=True):
    """A mapping that is valid; ``family`` None: the pod's addresses of both."""

    protocol: Literal["tcp", "udp", "sctp"]
    host_port: int
    container_port: int
    host_ip: str
    family: int | None


@chained_delegate(PortmapConf, rules=(PortMapping,), missing_in_check="Required prevResult missing")
def portmap(conf: PortmapConf, pod: Sandbox, host: Facts) -> Desired:
    """One mapping for each entry and each of the pod's first two addresses, one a family."""
    _validate(conf)
    mappings = _mappings(conf)
    if not mappings or pod.previous is None:
        return Desired()
    backend = _backend(conf, host)
    addresses = dict(_addresses(pod.previous, pod.ifname))
    items: list[PortMapping] = []
    for family, cidr in addresses.items():
        for one in mappings:
            if one.family not in (None, family):
                continue
            items.append(
                PortMapping(
                    owner=pod.owner,
                    protocol=one.protocol,
                    host_port=one.host_port,
                    host_ip=one.host_ip,
                    container_cidr=cidr,
                    container_port=one.container_port,
                    snat=conf.snat,
                    masquerade_all=conf.snat and conf.masq_all,
                    mark_bit=_MARK_BIT if conf.mark_masq_bit is None else conf.mark_masq_bit,
                    set_mark_chain=conf.external_set_mark_chain,
                    conditions=tuple((conf.conditions_v4 if family == 4 else conf.conditions_v6) or ()),
                    backend=backend,
                )
            )
    if conf.snat and any(item.container_cidr == addresses.get(4) for item in items):
        return Desired((*items, *_localhost(addresses[4], host)))
    return Desired(tuple(items))


@portmap.ready
def _ready(conf: PortmapConf, host: Facts) -> None:
    """The options go together, and the back end's program is there."""
    _validate(conf)
    if _backend(conf, host) == "iptables":
        require_iptables(host)


def _validate(conf: PortmapConf) -> None:
    if conf.backend not in ("", *_BACKENDS):
        raise InvalidConfig("$.backend", f'unrecognized backend "{conf.backend}" (nftables or iptables)')
    if conf.mark_masq_bit is not None:
        if conf.external_set_mark_chain:
            words = "Cannot specify externalSetMarkChain and markMasqBit"
            raise InvalidConfig("$.markMasqBit", words)
        if not 0 <= conf.mark_masq_bit <= 31:
            raise InvalidConfig("$.markMasqBit", "MasqMarkBit must be between 0 and 31")
    for_iptables, for_nftables = _options_by_backend(conf)
    wanted = conf.backend or ("iptables" if for_iptables else "nftables")
    other, foreign = ("nftables", for_nftables) if wanted == "iptables" else ("iptables", for_iptables)
    if foreign:
        raise InvalidConfig(
            f"$.{foreign[0]}",
            f"{wanted} backend was requested but configuration contains "
            f"{other}-specific options [{' '.join(foreign)}]",
        )


def _options_by_backend(conf: PortmapConf) -> tuple[list[str], list[str]]:
    """Names of the options that only iptables knows, and of those that only nftables does."""
    for_iptables = ["externalSetMarkChain"] if conf.external_set_mark_chain else []
    for_nftables: list[str] = []
    for name, words in (("conditionsV4", conf.conditions_v4), ("conditionsV6", conf.conditions_v6)):
        if words and words[0]:
            (for_iptables if words[0][0] in "-!" else for_nftables).append(name)
    return for_iptables, for_nftables


def _backend(conf: PortmapConf, host: Facts) -> Literal["nftables", "iptables"]:
    for_iptables, for_nftables = _options_by_backend(conf)
    chosen = conf.backend
    if not chosen:
        chosen = "iptables" if for_iptables else "nftables" if for_nftables else host.masquerade_backend()
    return "iptables" if chosen == "iptables" else "nftables"


def _mappings(conf: PortmapConf) -> list[_Wanted]:
    """The entries of ``portMappings``, each valid, none against another; repetitions are one."""
    raw = member(conf.runtime_config, "portMappings")
    path = "$.runtimeConfig.portMappings"
    if raw is None:
        return []
    if not isinstance(raw, list):
        raise InvalidConfig(path, f"expected a list, got {type(raw).__name__}")
    found: dict[tuple[str, int, str, int | None], tuple[int, _Wanted]] = {}
    for position, entry in enumerate(raw):
        one = _wanted(entry, f"{path}[{position}]")
        key = (one.protocol, one.host_port, one.host_ip, one.family)
        earlier, same = found.setdefault(key, (position, one))
        if same != one:
            raise InvalidConfig(
                f"{path}[{position}].hostPort",
                f"host port {one.host_port}/{one.protocol} leads to container port {same.container_port} "
                f"already (entry {earlier})",
            )
    return [one for _, one in found.values()]


def _wanted(entry: Any, path: str) -> _Wanted:
    one = convert(entry, _Mapping, path)
    for name, what, port in (
        ("containerPort", "container", one.container_port),
        ("hostPort", "host", one.host_port),
    ):
        if not 1 <= port <= 65535:
            raise InvalidConfig(f"{path}.{name}", f"Invalid {what} port number: {port} (1 to 65535)")
    protocol = _protocol(one.protocol, path)
    if not one.host_ip:
        return _Wanted(protocol, one.host_port, one.container_port, "", None)
    try:
        address = ipaddress.ip_address(one.host_ip)
    except ValueError:
        raise InvalidConfig(f"{path}.hostIP", f"invalid IP address: {one.host_ip}") from None
    # The unspecified address means any, of its own family alone.
    host_ip = "" if address.is_unspecified else str(address)
    return _Wanted(protocol, one.host_port, one.container_port, host_ip, address.version)


def _protocol(text: str, path: str) -> Literal["tcp", "udp", "sctp"]:
    for known in _PROTOCOLS:
        if text.lower() == known:
            return known  # type: ignore[return-value]
    raise InvalidConfig(f"{path}.protocol", f'unknown protocol "{text}" (one of {", ".join(_PROTOCOLS)})')


def _addresses(previous: Result, ifname: str) -> Iterator[tuple[int, str]]:
    """The first address of each family on the pod's interface; one that names no interface counts."""
    seen: set[int] = set()
    for ip in previous.ips:
        at = previous.interface_of(ip)
        version = 6 if ":" in ip.address else 4
        if version in seen or (at is not None and (at.name != ifname or not at.sandbox)):
            continue
        seen.add(version)
        yield version, ip.address


def _localhost(cidr: str, host: Facts) -> Sequence[AnyItem]:
    """127.0.0.1 may be routed to the pod's link on the host, where there is one; IPv6 has no such thing."""
    link = host.link_towards(cidr.partition("/")[0])
    if link is None:
        return ()
    key = f"net/ipv4/conf/{link}/route_localnet"
    return (Sysctl(place="host", whose="shared", key=key, value="1"),)
