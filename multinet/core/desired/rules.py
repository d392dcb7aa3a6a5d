"""Packet rules on the host, each with the attachment it belongs to."""

from __future__ import annotations

from typing import Final, Literal

from multinet.core.desired.identity import Owner
from multinet.core.desired.item import Item, Place

Backend = Literal["nftables", "iptables"]


class PacketRule(Item, frozen=True, kw_only=True):
    """A rule, or a set of rules, that the firewall keeps for one attachment."""

    owner: Owner
    place: Place = "host"


class Masquerade(PacketRule, frozen=True, kw_only=True, tag="masquerade"):
    """Traffic from the address ``cidr`` that leaves its own subnet takes the host's address."""

    cidr: str
    backend: Backend = "nftables"


class MacGuard(PacketRule, frozen=True, kw_only=True, tag="mac-guard"):
    """Frames that enter the host by ``link`` with another source MAC than ``mac`` are dropped."""

    link: str
    mac: str


class PortMapping(PacketRule, frozen=True, kw_only=True, tag="port-mapping"):
    """Connections to ``host_port`` of the host's own addresses (of ``host_ip`` alone if set) reach the pod.

    Only what is addressed to the host itself is translated: traffic that passes through is left alone.
    """

    protocol: Literal["tcp", "udp", "sctp"]
    host_port: int
    container_cidr: str
    """The pod's address with the prefix length of its subnet; its family is the mapping's."""
    container_port: int
    host_ip: str = ""
    """Empty: any of the host's addresses of the family."""
    snat: bool = True
    """The pod itself (hairpin) and the host by 127.0.0.1 may use the mapping: their traffic is masqueraded."""
    masquerade_all: bool = False
    """Traffic from everywhere is masqueraded, so that replies pass the host."""
    mark_bit: int = 13
    """iptables only."""
    set_mark_chain: str = ""
    """iptables only: someone else's chain that sets the mark."""
    conditions: tuple[str, ...] = ()
    """Further match tokens in the words of the back end."""
    backend: Backend = "nftables"


class ForwardAccept(PacketRule, frozen=True, kw_only=True, tag="forward-accept"):
    """The host forwards what the address ``cidr`` (a host's: ``/32`` or ``/128``) sends, and answers to it."""

    cidr: str
    backend: Literal["nftables", "iptables", "firewalld"] = "nftables"
    admin_chain: str = "CNI-ADMIN"
    """iptables: the administrator's chain, asked first."""
    zone: str = "trusted"
    """firewalld: the zone that the address joins."""


class BridgeIsolation(PacketRule, frozen=True, kw_only=True, tag="bridge-isolation"):
    """Pods of ``bridge`` aren't reached from other bridges (``same-bridge``), nor from one another (``isolated``).

    Shared by all attachments of the bridge.
    """

    bridge: str
    policy: Literal["same-bridge", "isolated"]
    family: Literal[4, 6] = 4
    backend: Backend = "iptables"


RULE_KINDS: Final[frozenset[type[PacketRule]]] = frozenset(
    (Masquerade, MacGuard, PortMapping, ForwardAccept, BridgeIsolation)
)
"""All kinds of packet rules."""
