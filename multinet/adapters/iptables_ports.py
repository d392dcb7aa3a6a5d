"""Port mappings in iptables, as the reference plugin portmap lays them out. Pure: rules read in, lines out.

Table ``nat``, a chain for each attachment, entered by port from a shared one::

    -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT          (OUTPUT as well; at the end)
    -A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: …" -m multiport --dports 8080 -j CNI-DN-…
    -A CNI-DN-… -s 10.1.2.0/24 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK
    -A CNI-DN-… -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.1.2.3:80
    -A POSTROUTING -m comment --comment "…" -j CNI-HOSTPORT-MASQ             (at the head)

Unlike the reference's, the newest attachment's entries come first (the newest claim to a port wins), and those
for a host address of their own, which name it, before all others. Its chain names are kept, so that either
removes what the other made; only interfaces other than ``eth0`` have chains of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from multinet.adapters.firewall_holdings import TranslatedPort
from multinet.adapters.iptables_port_words import (
    DNAT,
    MASQ,
    SETMARK,
    chain_of,
    comment_of,
    entries,
    network_mark,
    port_of,
    rules_for,
    shared_rules,
    target_of,
)
from multinet.adapters.iptables_rules import (
    Line,
    Ruleset,
    ensured,
    line_of,
    reference_chain_name,
    rules_difference,
    value_of,
    words_of,
)
from multinet.core.desired import Difference, Owner, PortMapping

__all__ = ["PortRules"]


class PortRules:
    """The port mappings of one address family."""

    def __init__(self, version: int) -> None:
        self._version = version

    def apply(self, rules: Ruleset, items: Sequence[PortMapping]) -> list[str]:
        """Make chains, rules and entries; an owner's other ports stay, a former rule for the same port goes."""
        script = self._shared(rules, items) if items else []
        for owner, mappings in _by_owner(items).items():
            chain = chain_of(owner)
            wanted = [rule for item in _exact_first(mappings) for rule in rules_for(item)]
            ports = {_place(line_of(rule)) for rule in wanted}
            kept = [line.text for line in rules.rules(chain) if _place(line) not in ports]
            script += self._rebuilt(rules, owner, [*wanted, *kept], mappings[0].conditions)
        return script

    def remove(self, rules: Ruleset, items: Sequence[PortMapping]) -> list[str]:
        """Remove the items' rules and entries, and the chain with the owner's last one; shared chains stay."""
        script: list[str] = []
        for owner, mappings in _by_owner(items).items():
            chain = chain_of(owner)
            gone = {line_of(rule).words for item in mappings for rule in rules_for(item)}
            kept = [line.text for line in rules.rules(chain) if line.words not in gone]
            if any(" -j DNAT " in rule for rule in kept):
                script += self._rebuilt(rules, owner, kept, mappings[0].conditions)
            else:
                script += rules.without(chain, DNAT)
        return script

    def compare(self, rules: Ruleset, items: Sequence[PortMapping], tool: str) -> list[Difference]:
        """Shared rules, the attachment's rules, and what leads to them; ones with conditions are `conditional`'s."""
        differences = []
        for rule, _ in shared_rules(items) if items else []:
            if not rules.has(rule):
                differences.append(Difference(f"{tool} nat chain {line_of(rule).words[0]}", "rule", rule, ""))
        for owner, mappings in _by_owner(items).items():
            chain = chain_of(owner)
            wanted = words_of(rule for item in _exact_first(mappings) for rule in rules_for(item))
            have = [line.words for line in rules.rules(chain)]
            if wanted != have:
                differences.append(rules_difference(f"{tool} nat chain {chain}", wanted, have))
            if not mappings[0].conditions:
                leading = words_of(entries(owner, map(target_of, mappings), ()))
                to_chain = [line.words for line in rules.jumps(DNAT, chain)]
                if sorted(leading) != sorted(to_chain):
                    differences.append(rules_difference(f"{tool} nat chain {DNAT}", leading, to_chain))
        return differences

    def conditional(self, items: Sequence[PortMapping]) -> list[str]:
        """Entries whose words only iptables itself can compare with what it has."""
        return [
            entry
            for owner, mappings in _by_owner(items).items()
            if mappings[0].conditions
            for entry in entries(owner, map(target_of, mappings), mappings[0].conditions)
        ]

    def sweep(self, rules: Ruleset, owner: Owner) -> list[str]:
        """Remove the owner's chain, ours or the one that the reference plugin made."""
        return [line for chain in self._owners_chains(rules, owner) for line in rules.without(chain, DNAT)]

    def collect(self, rules: Ruleset, network: str, valid: Collection[tuple[str, str]]) -> list[str]:
        """Remove the network's chains that belong to no attachment in ``valid``."""
        stale = self._stale_chains(rules, network, valid)
        return [line for chain in stale for line in rules.without(chain, DNAT)]

    def swept(self, rules: Ruleset, owner: Owner) -> list[TranslatedPort]:
        """What `sweep` ends the translation of."""
        return self._translated(rules, self._owners_chains(rules, owner))

    def collected(
        self, rules: Ruleset, network: str, valid: Collection[tuple[str, str]]
    ) -> list[TranslatedPort]:
        """What `collect` ends the translation of."""
        return self._translated(rules, self._stale_chains(rules, network, valid))

    def _shared(self, rules: Ruleset, items: Sequence[PortMapping]) -> list[str]:
        """The shared chains and rules that are missing; each chain is there before what jumps to it."""
        shared = shared_rules(items)
        missing = [(rule, first) for rule, first in shared if not rules.has(rule)]
        named = dict.fromkeys(line_of(rule).words[0] for rule, _ in shared)
        chains = [name for name in (SETMARK, MASQ, DNAT) if name in named or name == DNAT]
        made = [line for chain in chains for line in ensured(rules, chain)]
        lines = []
        for rule, first in missing:
            chain, _, rest = rule.partition(" ")
            lines.append(f"-I {chain} 1 {rest}" if first else f"-A {rule}")
        return [*made, *lines]

    def _rebuilt(
        self, rules: Ruleset, owner: Owner, inside: Sequence[str], conditions: Sequence[str]
    ) -> list[str]:
        """Lines that give the owner exactly these rules, and entries for their ports; none if it has them."""
        chain = chain_of(owner)
        targets = [target for rule in inside if (target := port_of(line_of(rule))) is not None]
        leading = entries(owner, targets, conditions)
        have = [*rules.rules(chain), *rules.jumps(DNAT, chain)]
        if not conditions and [line.words for line in have] == words_of([*inside, *leading]):
            return []
        others = [line for line in rules.rules(DNAT) if value_of(line, "-j") != chain]
        # Those with a destination stand first: the rest follows the last of others' and our own.
        named = [entry for entry in leading if f"{DNAT} -d " in entry]
        ahead = max((i for i, line in enumerate(others, 1) if "-d" in line.words), default=0) + len(named)
        rest = [entry for entry in leading if entry not in named]
        return [
            f":{chain} - [0:0]",  # makes it, or empties it
            *(f"-A {rule}" for rule in inside),
            *(f"-D {line.text}" for line in rules.jumps(DNAT, chain)),
            *(_inserted(entry, 1) for entry in reversed(named)),
            *(_inserted(entry, ahead + 1) for entry in reversed(rest)),
        ]

    def _owners_chains(self, rules: Ruleset, owner: Owner) -> list[str]:
        reference = reference_chain_name(owner.network, owner.container_id, "DN-")
        ours = chain_of(owner)
        if reference == ours:
            return [ours]
        theirs = [value_of(line, "--comment") for line in rules.jumps(DNAT, reference)]
        by_reference = not any(comment == comment_of(owner, "eth0") for comment in theirs)
        return [ours, reference] if by_reference else [ours]

    def _stale_chains(self, rules: Ruleset, network: str, valid: Collection[tuple[str, str]]) -> list[str]:
        ours = {chain_of(Owner(network, cid, ifname)) for cid, ifname in valid}
        keep = ours | {reference_chain_name(network, cid, "DN-") for cid, _ in valid}
        mark = network_mark(network)
        named = (
            value_of(line, "-j") for line in rules.rules(DNAT) if value_of(line, "--comment").startswith(mark)
        )
        return [chain for chain in dict.fromkeys(named) if chain.startswith("CNI-DN-") and chain not in keep]

    def _translated(self, rules: Ruleset, chains: Iterable[str]) -> list[TranslatedPort]:
        targets = (port_of(line) for chain in chains for line in rules.rules(chain))
        return [target.translated(self._version) for target in targets if target is not None]


def _inserted(entry: str, position: int) -> str:
    chain, _, rest = entry.partition(" ")
    return f"-I {chain} {position} {rest}"


def _place(line: Line) -> tuple[str, ...]:
    """By what a rule in an attachment's chain picks its connections, the source aside."""
    return tuple(value_of(line, option) for option in ("-p", "--dport", "-d"))


def _exact_first(items: Iterable[PortMapping]) -> list[PortMapping]:
    return sorted(items, key=lambda item: not item.host_ip)


def _by_owner(items: Iterable[PortMapping]) -> dict[Owner, list[PortMapping]]:
    grouped: dict[Owner, list[PortMapping]] = {}
    for item in items:
        grouped.setdefault(item.owner, []).append(item)
    return grouped
