"""What the reference Go plugins leave in nftables: found by their names, comments and hashes, and removed.

Three places: their masquerade table, the chains that iptables keeps in nftables' ``ip nat`` and ``ip6 nat``
(ours of the iptables backend among them), and the MAC check in ``bridge nat``. No process is started.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable

from multinet.adapters.iptables_rules import chain_name, comment_prefix, kept_chains, reference_chain_name
from multinet.adapters.nftables import Command, Nftables
from multinet.adapters.nftables_netlink import NftablesSocket, Rule
from multinet.core.desired import Owner

__all__ = ["ReferenceRules", "masquerade_prefix"]

Tables = Collection[tuple[str, str]]

_MASQUERADE, _CHECKS = ("inet", "cni_plugins_masquerade"), "masq_checks"
_IPTABLES = (("ip", "nat"), ("ip6", "nat"))
_SPOOF = ("bridge", "nat")
_CHAIN = re.compile(rb"CNI-[0-9a-f]{24}(?=\0)")


def masquerade_prefix(network: str, ifname: str, container_id: str) -> str:
    """How the comment of an attachment's rule in their masquerade table begins: two hashes."""
    return f"{_hash(network)}-{_hash(f'{ifname}:{container_id}')}"


class ReferenceRules:
    """Removal of the reference plugins' rules in one namespace; ``tables``: those there are."""

    def __init__(self, nft: Nftables, socket: NftablesSocket) -> None:
        self._nft = nft
        self._socket = socket

    def sweep(self, owner: Owner, tables: Tables) -> None:
        """Remove what is an attachment's.

        Their iptables chain is one for all of a container's attachments to a network, so it goes with the
        first of them, as it does when they remove it themselves.
        """
        commands: list[Command] = []
        if _MASQUERADE in tables:
            prefix = masquerade_prefix(owner.network, owner.ifname, owner.container_id)
            commands += self._deletions(_MASQUERADE, _CHECKS, self._checks(prefix))
        for table in _IPTABLES:
            if table in tables:
                chains = (chain_name(owner), reference_chain_name(owner.network, owner.container_id))
                commands += self._iptables_chains(table, [chain.encode() for chain in chains])
        if _SPOOF in tables:
            commands += self._spoof_check(f"{owner.container_id}-{owner.ifname}")
        if commands:
            self._nft.run(commands)

    def collect(self, network: str, valid: Collection[tuple[str, str]], tables: Tables) -> None:
        """Remove the network's masquerade rules of attachments that aren't in ``valid``.

        Their MAC checks don't say of which network they are, and stay until their own attachment's removal.
        """
        commands: list[Command] = []
        if _MASQUERADE in tables:
            keep = tuple(masquerade_prefix(network, ifname, container_id) for container_id, ifname in valid)
            stale = [rule for rule in self._checks(f"{_hash(network)}-") if not rule.comment.startswith(keep)]
            commands += self._deletions(_MASQUERADE, _CHECKS, stale)
        keep_chains = kept_chains(network, valid)
        mark = comment_prefix(network).encode()
        for table in _IPTABLES:
            if table in tables:
                rules = self._socket.rules(*table, "POSTROUTING")
                named = (name for rule in rules if mark in rule.raw for name in _CHAIN.findall(rule.raw))
                stale_chains = [name for name in dict.fromkeys(named) if name.decode() not in keep_chains]
                commands += self._iptables_chains(table, stale_chains)
        if commands:
            self._nft.run(commands)

    def _checks(self, prefix: str) -> list[Rule]:
        return [rule for rule in self._socket.rules(*_MASQUERADE, _CHECKS) if rule.comment.startswith(prefix)]

    def _iptables_chains(self, table: tuple[str, str], chains: Iterable[bytes]) -> list[Command]:
        """Commands that remove these chains, as far as they are there, and the jumps to them."""
        rules = self._socket.rules(*table, "POSTROUTING")
        commands: list[Command] = []
        for chain in chains:
            commands += self._deletions(table, "POSTROUTING", [r for r in rules if chain + b"\0" in r.raw])
            if self._socket.has_chain(*table, chain.decode()):
                commands += _chain_removal(table, chain.decode())
        return commands

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


def _chain_removal(table: tuple[str, str], chain: str) -> list[Command]:
    place = {"family": table[0], "table": table[1], "name": chain}
    return [{"flush": {"chain": place}}, {"delete": {"chain": place}}]


def _hash(text: str) -> str:
    return hashlib.sha512(text.encode()).hexdigest()[:16]
