"""What an item adds to multinet's own nftables: the elements, and in which frame. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from multinet.adapters.firewall_tables import Entry, Holding, comment, entry_of
from multinet.cni.addresses import address_of, interface_of
from multinet.core.desired import ForwardAccept, MacGuard, Masquerade, PortMapping

__all__ = [
    "PORTS",
    "Held",
    "TranslatedPort",
    "hairpin_holdings",
    "holdings_of",
    "translated",
    "translated_by",
]

Held = Masquerade | MacGuard | PortMapping | ForwardAccept
"""Items that are elements."""

PORTS = "ports"
"""The frame of port mappings."""

_ANY_HOST = {4: "0.0.0.0", 6: "::"}
_EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
_LOOPBACK = "127.0.0.0/8"


class TranslatedPort(msgspec.Struct, frozen=True):
    """What a mapping translates: connections to ``host`` (all zeros: any of the host's addresses) and port."""

    version: int
    protocol: str
    host: str
    host_port: str
    pod: str
    pod_port: str


def translated(item: PortMapping) -> TranslatedPort:
    """What an item translates, addresses in their usual spelling. Raises ValueError for addresses that are none."""
    pod = interface_of(item.container_cidr)
    host = str(address_of(item.host_ip)) if item.host_ip else _ANY_HOST[pod.version]
    return TranslatedPort(
        pod.version, item.protocol, host, str(item.host_port), str(pod.ip), str(item.container_port)
    )


def translated_by(entry: Entry) -> TranslatedPort:
    """What an element of the ports' maps translates."""
    host, protocol, host_port = entry.parts
    pod, pod_port = entry.data_parts
    return TranslatedPort(6 if ":" in host else 4, protocol, host, host_port, pod, pod_port)


def holdings_of(items: Iterable[Held]) -> list[Holding]:
    """The holdings of all items, each once, in order."""
    return list(dict.fromkeys(holding for item in items for holding in _holdings(item)))


def hairpin_holdings(item: PortMapping) -> list[Holding]:
    """Which sources are masqueraded when they come by this mapping.

    The pod's whole subnet: a neighbour's packets are routed here on their way in, but the pod would answer it
    directly, with an address that the neighbour didn't ask. The host by 127.0.0.1, to which no pod can answer;
    IPv6 has no way to route ``::1``.
    """
    if not item.snat:
        return []
    pod, port = interface_of(item.container_cidr), translated(item)
    version = port.version
    if item.masquerade_all:
        sources = [_EVERYWHERE[version]]
    else:
        sources = [str(pod.network), *([_LOOPBACK] if version == 4 else [])]
    holdings = []
    for source in dict.fromkeys(sources):
        network = interface_of(source)
        frame = f"hairpin{version}-{network.network.prefixlen}"
        parts = (port.host, port.protocol, port.host_port, port.pod, str(network.network.network_address))
        holdings.append(Holding(frame, comment(item.owner), (entry_of("inet", frame, *parts),)))
    return holdings


def _holdings(item: Held) -> list[Holding]:
    match item:
        case MacGuard():
            mac = item.mac.lower()
            entries = entry_of("bridge", "guarded", item.link), entry_of("bridge", "allowed", item.link, mac)
            return [Holding("guard", comment(item.owner), entries)]
        case Masquerade():
            interface = interface_of(item.cidr)
            frame = f"masquerade{interface.version}-{interface.network.prefixlen}"
            parts = str(interface.ip), str(interface.network.network_address)
            return [Holding(frame, comment(item.owner), (entry_of("inet", frame, *parts),))]
        case ForwardAccept():
            address = interface_of(item.cidr).ip
            entry = entry_of("inet", f"forward{address.version}", str(address))
            return [Holding("forward", comment(item.owner), (entry,))]
        case PortMapping():
            port = translated(item)
            key, data = (port.host, port.protocol, port.host_port), (port.pod, port.pod_port)
            entry = entry_of("inet", f"ports{port.version}", *key, data=data)
            return [Holding(PORTS, comment(item.owner), (entry,)), *hairpin_holdings(item)]
