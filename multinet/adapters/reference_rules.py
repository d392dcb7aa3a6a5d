"""What the reference Go plugins leave in nftables: found by their names, comments and hashes, and removed.

Four places: their masquerade table, their port mappings' tables, the chains that iptables keeps in nftables'
``ip nat`` and ``ip6 nat`` (ours of the iptables backend among them), and the MAC check in ``bridge nat``. No
process is started.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable

from multinet.adapters.iptables_forward import CHAIN as FORWARD_CHAIN
from multinet.adapters.iptables_isolation import FIRST_CHAIN as ISOLATION_CHAIN
from multinet.adapters.iptables_port_words import DNAT, chain_of, network_mark
from multinet.adapters.iptables_rules import chain_name, comment_prefix, kept_chains, reference_chain_name
from multinet.adapters.nftables import Command, Nftables
from multinet.adapters.nftables_netlink import NftablesSocket, Rule
from multinet.core.desired import MacGuard, Masquerade, Owner, PacketRule, PortMapping

__all__ = ["ReferenceRules", "masquerade_prefix"]

Tables = Collection[tuple[str, str]]
Kinds = Collection[type[PacketRule]]

_MASQUERADE, _CHECKS = ("inet", "cni_plugins_masquerade"), "masq_checks"
_HOSTPORTS = (("ip", "cni_hostport"), ("ip6", "cni_hostport"))
_HOSTPORT_CHAINS = ("hostports", "hostip_hostports", "masquerading")
_IPTABLES = (("ip", "nat"), ("ip6", "nat"))
_FILTERS = {4: ("ip", "filter"), 6: ("ip6", "filter")}
_SPOOF = ("bridge", "nat")
_CHAIN = re.compile(rb"CNI-[0-9a-f]{24}(?=\0)")
_PORT_CHAIN = re.compile(rb"CNI-DN-[0-9a-f]{21}(?=\0)")


def masquerade_prefix(network: str, ifname: str, container_id: str) -> str:
    """How the comment of an attachment's rule in their masquerade table begins: two hashes."""
    return f"{_hash(network)}-{_hash(f'{ifname}:{container_id}')}"


class ReferenceRules:
    """Removal of the reference plugins' rules in one namespace; ``tables``: those there are."""

    def __init__(self, nft: Nftables, socket: NftablesSocket) -> None:
        self._nft = nft
        self._socket = socket

    def sweep(self, owner: Owner, tables: Tables, kinds: Kinds) -> None:
        """Remove what is an attachment's, of these kinds.

        Their iptables chains and their port mappings in nftables are a container's, for all its attachments to
        a network or to any: they go with the first of them, as they do when they remove them themselves.
        """
        commands: list[Command] = []
        if Masquerade in kinds and _MASQUERADE in tables:
            prefix = masquerade_prefix(owner.network, owner.ifname, owner.container_id)
            commands += self._deletions(_MASQUERADE, _CHECKS, self._checks(prefix))
        reference = reference_chain_name(owner.network, owner.container_id)
        for table in filter(tables.__contains__, _IPTABLES):
            if Masquerade in kinds:
                commands += self._chains(table, "POSTROUTING", [chain_name(owner), reference])
            if PortMapping in kinds:
                commands += self._chains(table, DNAT, self._port_chains(table, owner))
        for table in filter(tables.__contains__, _HOSTPORTS):
            if PortMapping in kinds:
                commands += self._host_ports(table, lambda comment: comment == owner.container_id)
        if MacGuard in kinds and _SPOOF in tables:
            commands += self._spoof_check(f"{owner.container_id}-{owner.ifname}")
        if commands:
            self._nft.run(commands)

    def collect(self, network: str, valid: Collection[tuple[str, str]], tables: Tables, kinds: Kinds) -> None:
        """Remove the network's rules of attachments that aren't in ``valid``.

        Their MAC checks and port mappings in nftables don't say of which network they are, and stay until their
        own attachment's removal.
        """
        commands: list[Command] = []
        if Masquerade in kinds and _MASQUERADE in tables:
            keep = tuple(masquerade_prefix(network, ifname, container_id) for container_id, ifname in valid)
            stale = [rule for rule in self._checks(f"{_hash(network)}-") if not rule.comment.startswith(keep)]
            commands += self._deletions(_MASQUERADE, _CHECKS, stale)
        for table in filter(tables.__contains__, _IPTABLES):
            if Masquerade in kinds:
                mark = comment_prefix(network)
                stale_chains = self._stale(table, "POSTROUTING", mark, _CHAIN, kept_chains(network, valid))
                commands += self._chains(table, "POSTROUTING", stale_chains)
            if PortMapping in kinds:
                keep_ports = {chain_of(Owner(network, cid, ifname)) for cid, ifname in valid}
                keep_ports |= {reference_chain_name(network, cid, "DN-") for cid, _ in valid}
                stale_chains = self._stale(table, DNAT, network_mark(network), _PORT_CHAIN, keep_ports)
                commands += self._chains(table, DNAT, stale_chains)
        if commands:
            self._nft.run(commands)

    def filters(self) -> list[int]:
        """Address families in which iptables keeps pods' forwarding, or the isolation of bridges, in nf_tables."""
        chains = (FORWARD_CHAIN, ISOLATION_CHAIN)
        return [
            version
            for version, table in _FILTERS.items()
            if any(self._socket.has_chain(*table, chain) for chain in chains)
        ]

    def _checks(self, prefix: str) -> list[Rule]:
        return [rule for rule in self._socket.rules(*_MASQUERADE, _CHECKS) if rule.comment.startswith(prefix)]

    def _port_chains(self, table: tuple[str, str], owner: Owner) -> list[str]:
        """An attachment's chain, and the reference's unless that is another attachment's of ours."""
        ours = chain_of(owner)
        reference = reference_chain_name(owner.network, owner.container_id, "DN-")
        rules = [rule for rule in self._socket.rules(*table, DNAT) if _names(rule, reference)]
        mark = f'{network_mark(owner.network)}{owner.container_id}" if: '.encode()
        return [ours] if any(mark in rule.raw for rule in rules) else list(dict.fromkeys((ours, reference)))

    def _stale(
        self,
        table: tuple[str, str],
        parent: str,
        mark: str,
        pattern: re.Pattern[bytes],
        keep: Collection[str],
    ) -> list[str]:
        """Chains that marked rules of ``parent`` lead to, other than those to keep."""
        rules = [rule for rule in self._socket.rules(*table, parent) if mark.encode() in rule.raw]
        named = dict.fromkeys(name.decode() for rule in rules for name in pattern.findall(rule.raw))
        return [name for name in named if name not in keep]

    def _chains(self, table: tuple[str, str], parent: str, chains: Iterable[str]) -> list[Command]:
        """Commands that remove these chains, as far as they are there, and the jumps to them."""
        rules = self._socket.rules(*table, parent)
        commands: list[Command] = []
        for chain in chains:
            commands += self._deletions(table, parent, [rule for rule in rules if _names(rule, chain)])
            if self._socket.has_chain(*table, chain):
                commands += _chain_removal(table, chain)
        return commands

    def _host_ports(self, table: tuple[str, str], doomed: Callable[[str], bool]) -> list[Command]:
        return [
            command
            for chain in _HOSTPORT_CHAINS
            for command in self._deletions(
                table, chain, [rule for rule in self._socket.rules(*table, chain) if doomed(rule.comment)]
            )
        ]

    def _spoof_check(self, reference: str) -> list[Command]:
        mark = f"macspoofchk-{reference}"
        rules = [rule for rule in self._socket.rules(*_SPOOF, "PREROUTING") if rule.comment == mark]
        commands = self._deletions(_SPOOF, "PREROUTING", rules)
        # The first jumps to the second, so it has to be empty before the second can go.
        for chain in (f"cni-br-iface-{reference}", f"cni-br-iface-{reference}-mac"):
            if self._socket.has_chain(*_SPOOF, chain):
                commands += _chain_removal(_SPOOF, chain)
        return commands

    def _deletions(self, table: tuple[str, str], chain: str, rules: Iterable[Rule]) -> list[Command]:
        place = {"family": table[0], "table": table[1], "chain": chain}
        return [{"delete": {"rule": {**place, "handle": rule.handle}}} for rule in rules]


def _names(rule: Rule, chain: str) -> bool:
    return chain.encode() + b"\0" in rule.raw


def _chain_removal(table: tuple[str, str], chain: str) -> list[Command]:
    place = {"family": table[0], "table": table[1], "name": chain}
    return [{"flush": {"chain": place}}, {"delete": {"chain": place}}]


def _hash(text: str) -> str:
    return hashlib.sha512(text.encode()).hexdigest()[:16]
