"""Forwarding for pods in iptables, as the reference plugin firewall lays it out. Pure: rules read in, lines out.

Table ``filter``::

    -A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD        (at the head)
    -A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN   (at the head)
    -A CNI-FORWARD -d 10.1.2.3/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    -A CNI-FORWARD -s 10.1.2.3/32 -j ACCEPT
    -A CNI-FORWARD -s 10.1.2.3/32 -m comment --comment "multinet:net/cid/eth0"

The accepting rules are word for word the reference's, so that either removes what the other made. The last one is
ours: it does nothing but say whose the address is. With it an attachment's rules are found without a record, and a
late removal leaves them to the address's new owner.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from multinet.adapters.firewall_tables import comment, network_prefix
from multinet.adapters.iptables_rules import Line, Ruleset, comment_match, ensured, line_of, value_of
from multinet.cni.addresses import interface_of
from multinet.core.desired import Difference, ForwardAccept, Owner

__all__ = ["CHAIN", "ForwardRules", "jump_rule"]

CHAIN = "CNI-FORWARD"
_ISOLATION = "CNI-ISOLATION-STAGE-1"


class ForwardRules:
    """The forwarding of pods; the same in both address families."""

    def apply(self, rules: Ruleset, items: Sequence[ForwardAccept]) -> list[str]:
        """Make what is missing; who had an address before has it no longer."""
        if not items:
            return []
        lines = ensured(rules, CHAIN)
        lines += [line for admin in _admins(items) for line in ensured(rules, admin)]
        if not rules.has(jump_rule()):
            lines.append(f"-I FORWARD {_place(rules)} {jump_rule().removeprefix('FORWARD ')}")
        for admin in _admins(items):
            if not rules.has(_admin_rule(admin)):
                lines.append(f"-I {CHAIN} 1 {_admin_rule(admin).removeprefix(f'{CHAIN} ')}")
        for item in dict.fromkeys(items):
            lines += [f"-D {line.text}" for line in _others(rules, item)]
            lines += [f"-A {rule}" for rule in _rules(item) if not rules.has(rule)]
        return lines

    def remove(self, rules: Ruleset, items: Sequence[ForwardAccept]) -> list[str]:
        """Remove the rules of addresses that are nobody else's by now; chains and jumps stay."""
        lines = []
        for item in dict.fromkeys(items):
            *accepting, mark = _rules(item)
            gone = [mark] if _others(rules, item) else [*accepting, mark]
            lines += [f"-D {rule}" for rule in gone if rules.has(rule)]
        return lines

    def compare(self, rules: Ruleset, items: Sequence[ForwardAccept], tool: str) -> list[Difference]:
        """Missing rules, and jumps that are missing or in the wrong place."""
        if not items:
            return []
        wanted = [jump_rule(), *map(_admin_rule, _admins(items))]
        wanted += [rule for item in dict.fromkeys(items) for rule in _rules(item)]
        differences = []
        for rule in wanted:
            if not rules.has(rule):
                chain, _, rest = rule.partition(" ")
                differences.append(Difference(f"{tool} filter chain {chain}", "rule", rest, ""))
        first = rules.rules(CHAIN)[:1]
        if first and value_of(first[0], "-j") not in _admins(items):
            said = " ".join(first[0].words[1:])
            differences.append(
                Difference(f"{tool} filter chain {CHAIN}", "first rule", f"-j {_admins(items)[0]}", said)
            )
        return differences

    def sweep(self, rules: Ruleset, owner: Owner) -> list[str]:
        """Remove the rules of the addresses that are marked as the owner's."""
        text = comment(owner)
        return self._drop(rules, lambda mark: mark == text)

    def collect(self, rules: Ruleset, network: str, valid: Collection[tuple[str, str]]) -> list[str]:
        """Remove the rules of the network's addresses whose owner isn't in ``valid``."""
        keep = {comment(Owner(network, container_id, ifname)) for container_id, ifname in valid}
        prefix = network_prefix(network)
        return self._drop(rules, lambda mark: mark.startswith(prefix) and mark not in keep)

    def _drop(self, rules: Ruleset, doomed: Callable[[str], bool]) -> list[str]:
        marks = [line for line in rules.rules(CHAIN) if doomed(value_of(line, "--comment"))]
        lines = []
        for mark in marks:
            address = value_of(mark, "-s")
            lines += [f"-D {rule}" for rule in _accepting(address) if rules.has(rule)]
            lines.append(f"-D {mark.text}")
        return list(dict.fromkeys(lines))


def jump_rule() -> str:
    """What leads to the forwarding rules."""
    return f"FORWARD {comment_match('CNI firewall plugin rules')} -j {CHAIN}"


def _rules(item: ForwardAccept) -> list[str]:
    interface = interface_of(item.cidr)
    address = f"{interface.ip}/{interface.max_prefixlen}"
    return [*_accepting(address), f"{CHAIN} -s {address} {comment_match(comment(item.owner))}"]


def _accepting(address: str) -> list[str]:
    return [
        f"{CHAIN} -d {address} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        f"{CHAIN} -s {address} -j ACCEPT",
    ]


def _others(rules: Ruleset, item: ForwardAccept) -> list[Line]:
    """Marks on the item's address that aren't its owner's."""
    *_, mark = _rules(item)
    address = value_of(line_of(mark), "-s")
    marks = [
        line
        for line in rules.rules(CHAIN)
        if value_of(line, "-s") == address and value_of(line, "--comment").startswith("multinet:")
    ]
    return [line for line in marks if line.words != line_of(mark).words]


def _admins(items: Iterable[ForwardAccept]) -> list[str]:
    return list(dict.fromkeys(item.admin_chain for item in items))


def _admin_rule(admin: str) -> str:
    return f"{CHAIN} {comment_match('CNI firewall plugin admin overrides')} -j {admin}"


def _place(rules: Ruleset) -> int:
    """First, but behind the isolation of bridges: an accept ahead of it would void it."""
    before = [i for i, line in enumerate(rules.rules("FORWARD"), 1) if value_of(line, "-j") == _ISOLATION]
    return before[0] + 1 if before else 1
