"""Masquerade in iptables, as the reference plugins lay it out. Pure: rules read in, lines to restore out.

Table ``nat``, a chain for each attachment, one jump from POSTROUTING for each address::

    -A POSTROUTING -s 10.1.2.3/32 -j CNI-374f33fe84ab0ed84dcdebe3
    -A CNI-374f33fe84ab0ed84dcdebe3 -d 10.1.2.0/24 -j ACCEPT
    -A CNI-374f33fe84ab0ed84dcdebe3 ! -d 224.0.0.0/4 -j MASQUERADE

each with the comment ``name: "{network}" id: "{containerID}"``. Unlike the reference, all ACCEPT rules come
before MASQUERADE, and the chain's name has the interface's in it, so that two attachments of one container to
one network don't share it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from multinet.adapters.iptables_rules import (
    Ruleset,
    chain_name,
    comment_match,
    comment_prefix,
    kept_chains,
    reference_chain_name,
    rules_difference,
    value_of,
    words_of,
)
from multinet.cni.addresses import interface_of, prefix_of
from multinet.core.desired import Difference, Masquerade, Owner

__all__ = ["MasqueradeRules"]

_MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}
_PARENT = "POSTROUTING"


class MasqueradeRules:
    """The masquerade chains of one address family."""

    def __init__(self, version: int) -> None:
        self._version = version

    def apply(self, rules: Ruleset, items: Sequence[Masquerade]) -> list[str]:
        """Make the chains and jumps for the items; what an owner has already stays."""
        script: list[str] = []
        for owner, cidrs in _by_owner(items).items():
            chain, jumps = chain_name(owner), rules.jumps(_PARENT, chain_name(owner))
            addresses = dict.fromkeys([*(value_of(line, "-s") for line in jumps), *map(_host, cidrs)])
            networks = dict.fromkeys([*_accepted(rules, chain), *map(_network, cidrs)])
            script += self._rebuilt(owner, rules, addresses, networks)
        return script

    def remove(self, rules: Ruleset, items: Sequence[Masquerade]) -> list[str]:
        """Remove the items' jumps, and the chain with the owner's last one."""
        script: list[str] = []
        for owner, cidrs in _by_owner(items).items():
            chain = chain_name(owner)
            gone = set(map(_host, cidrs))
            jumps = rules.jumps(_PARENT, chain)
            kept = dict.fromkeys(a for line in jumps if (a := value_of(line, "-s")) not in gone)
            if kept:
                hosts = [interface_of(address).ip for address in kept]
                nets = [n for n in _accepted(rules, chain) if any(h in prefix_of(n) for h in hosts)]
                script += self._rebuilt(owner, rules, kept, nets)
            else:
                script += rules.without(chain, _PARENT)
        return script

    def compare(self, rules: Ruleset, items: Sequence[Masquerade], tool: str) -> list[Difference]:
        """Missing, surplus or misplaced rules."""
        differences = []
        for owner, cidrs in _by_owner(items).items():
            chain = chain_name(owner)
            subject = f"{tool} nat chain {chain}"
            wanted = words_of(self._chain_rules(owner, dict.fromkeys(map(_network, cidrs))))
            have = [line.words for line in rules.rules(chain)]
            if sorted(wanted[:-1]) + wanted[-1:] != sorted(have[:-1]) + have[-1:]:
                differences.append(rules_difference(subject, wanted, have))
            jumps = [value_of(line, "-s") for line in rules.jumps(_PARENT, chain)]
            for address in dict.fromkeys(map(_host, cidrs)):
                if jumps.count(address) != 1:
                    count = jumps.count(address)
                    have_text = f"{count} times" if count else ""
                    differences.append(Difference(subject, f"jump for {address}", "once", have_text))
        return differences

    def sweep(self, rules: Ruleset, owner: Owner) -> list[str]:
        """Remove the owner's chains, ours and the one that the reference plugins made."""
        chains = (chain_name(owner), reference_chain_name(owner.network, owner.container_id))
        return [line for chain in chains for line in rules.without(chain, _PARENT)]

    def collect(self, rules: Ruleset, network: str, valid: Collection[tuple[str, str]]) -> list[str]:
        """Remove the network's chains that belong to no attachment in ``valid``."""
        keep = kept_chains(network, valid)
        prefix = comment_prefix(network)
        found = dict.fromkeys(
            chain
            for lines in rules.chains.values()
            for line in lines
            if value_of(line, "--comment").startswith(prefix)
            and (chain := value_of(line, "-j") if line.words[0] == _PARENT else line.words[0]) not in keep
            and chain.startswith("CNI-")
        )
        return [line for chain in found for line in rules.without(chain, _PARENT)]

    def _rebuilt(
        self, owner: Owner, rules: Ruleset, addresses: Iterable[str], networks: Iterable[str]
    ) -> list[str]:
        """Lines that give the owner exactly these rules; none if it has them."""
        chain, comment = chain_name(owner), _comment(owner)
        inside = self._chain_rules(owner, networks)
        jumps = [f"{_PARENT} -s {address} {comment} -j {chain}" for address in addresses]
        have = [*rules.rules(chain), *rules.jumps(_PARENT, chain)]
        if [line.words for line in have] == words_of([*inside, *jumps]):
            return []
        return [
            f":{chain} - [0:0]",  # makes it, or empties it
            *(f"-A {rule}" for rule in inside),
            *(f"-D {line.text}" for line in rules.jumps(_PARENT, chain)),
            *(f"-A {rule}" for rule in jumps),
        ]

    def _chain_rules(self, owner: Owner, networks: Iterable[str]) -> list[str]:
        chain, comment = chain_name(owner), _comment(owner)
        accept = [f"{chain} -d {network} {comment} -j ACCEPT" for network in networks]
        return [*accept, f"{chain} ! -d {_MULTICAST[self._version]} {comment} -j MASQUERADE"]


def _accepted(rules: Ruleset, chain: str) -> list[str]:
    """The networks that a chain lets through unchanged."""
    return [value_of(line, "-d") for line in rules.rules(chain) if value_of(line, "-j") == "ACCEPT"]


def _by_owner(items: Iterable[Masquerade]) -> dict[Owner, list[str]]:
    grouped: dict[Owner, list[str]] = {}
    for item in items:
        grouped.setdefault(item.owner, []).append(item.cidr)
    return grouped


def _comment(owner: Owner) -> str:
    return comment_match(f'{comment_prefix(owner.network)}{owner.container_id}"')


def _host(cidr: str) -> str:
    """The address alone, as ``-S`` prints it."""
    address = interface_of(cidr).ip
    return f"{address}/{address.max_prefixlen}"


def _network(cidr: str) -> str:
    return str(interface_of(cidr).network)
