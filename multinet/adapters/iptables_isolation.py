"""Bridges kept apart in iptables, as the reference plugin firewall lays it out. Pure: rules read in, lines out.

Table ``filter``, for a bridge B (comments left out)::

    -A FORWARD -j CNI-ISOLATION-STAGE-1                                 (ahead of CNI-FORWARD)
    -A CNI-ISOLATION-STAGE-1 -i B -o B -j DROP                          (isolated only)
    -A CNI-ISOLATION-STAGE-1 -i B ! -o B -j CNI-ISOLATION-STAGE-2
    -A CNI-ISOLATION-STAGE-1 -j RETURN
    -A CNI-ISOLATION-STAGE-2 -o B -j DROP
    -A CNI-ISOLATION-STAGE-2 -j RETURN

Inside one bridge it works where br_netfilter shows bridged packets to iptables. The rules are a bridge's, not an
attachment's: they go when the bridge has gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from multinet.adapters.iptables_forward import CHAIN as FORWARD_CHAIN
from multinet.adapters.iptables_rules import Line, Ruleset, comment_match, ensured, line_of, value_of
from multinet.core.desired import BridgeIsolation, Difference

__all__ = ["FIRST_CHAIN", "IsolationRules"]

FIRST_CHAIN = "CNI-ISOLATION-STAGE-1"
_FIRST, _SECOND = FIRST_CHAIN, "CNI-ISOLATION-STAGE-2"
_SHARED = comment_match("CNI firewall plugin rules (ingressPolicy: same-bridge|isolated)")
_JUMP = f"FORWARD {_SHARED} -j {_FIRST}"


class IsolationRules:
    """The isolation of bridges for one address family. ``links``: the host's, to know which bridges are there."""

    def __init__(self, links: Collection[str]) -> None:
        self._links = links

    def apply(self, rules: Ruleset, items: Sequence[BridgeIsolation]) -> list[str]:
        """Make what is missing, in its order; a bridge's former policy goes."""
        if not items:
            return []
        lines = [line for chain in (_FIRST, _SECOND) for line in ensured(rules, chain)]
        if not _jumps_first(rules):
            lines += [f"-D {line.text}" for line in rules.jumps("FORWARD", _FIRST)]
            lines.append(f"-I FORWARD 1 {_JUMP.removeprefix('FORWARD ')}")
        for bridge, policy in _policies(items).items():
            wanted = _rules(bridge, policy)
            if _of_bridge(rules, bridge) == [line_of(rule).words for rule in wanted]:
                continue
            lines += self._without(rules, bridge)
            lines += [_at_head(rule) for rule in reversed(wanted)]
        lines += [f"-A {rule}" for rule in _returns() if not rules.has(rule)]
        return lines

    def remove(self, rules: Ruleset, items: Sequence[BridgeIsolation]) -> list[str]:
        """Remove the rules of bridges that are gone; others still have pods."""
        gone = [bridge for bridge in _policies(items) if bridge not in self._links]
        return [line for bridge in gone for line in self._without(rules, bridge)]

    def compare(self, rules: Ruleset, items: Sequence[BridgeIsolation], tool: str) -> list[Difference]:
        """Rules that are missing, surplus or in the wrong order."""
        if not items:
            return []
        differences = []
        if not _jumps_first(rules):
            have = "; ".join(value_of(line, "-j") for line in rules.rules("FORWARD"))
            subject = f"{tool} filter chain FORWARD"
            differences.append(Difference(subject, "jumps", f"{_FIRST} ahead of {FORWARD_CHAIN}", have))
        for bridge, policy in _policies(items).items():
            wanted = [line_of(rule).words for rule in _rules(bridge, policy)]
            found = _of_bridge(rules, bridge)
            if wanted != found:
                subject = f"{tool} filter chains {_FIRST}, {_SECOND}"
                words = ("; ".join(" ".join(rule) for rule in some) for some in (wanted, found))
                differences.append(Difference(subject, f'rules of bridge "{bridge}"', *words))
        for rule in _returns():
            if not rules.has(rule):
                chain = rule.partition(" ")[0]
                differences.append(Difference(f"{tool} filter chain {chain}", "rule", "-j RETURN", ""))
        return differences

    def sweep(self, rules: Ruleset) -> list[str]:
        """Remove the rules of all bridges that are gone."""
        named = dict.fromkeys(
            value_of(line, "-i") for line in rules.rules(_FIRST) if value_of(line, "-j") == _SECOND
        )
        gone = [bridge for bridge in named if bridge and bridge not in self._links]
        return [line for bridge in gone for line in self._without(rules, bridge)]

    def _without(self, rules: Ruleset, bridge: str) -> list[str]:
        return [f"-D {line.text}" for line in _lines_of(rules, bridge)]


def _rules(bridge: str, policy: str) -> list[str]:
    comment = comment_match(f"CNI firewall plugin rules (ingressPolicy: {policy})")
    inside = [f"{_FIRST} -i {bridge} -o {bridge} {comment} -j DROP"] if policy == "isolated" else []
    return [
        *inside,
        f"{_FIRST} -i {bridge} ! -o {bridge} {comment} -j {_SECOND}",
        f"{_SECOND} -o {bridge} {_SHARED} -j DROP",
    ]


def _returns() -> list[str]:
    return [f"{chain} {_SHARED} -j RETURN" for chain in (_FIRST, _SECOND)]


def _of_bridge(rules: Ruleset, bridge: str) -> list[tuple[str, ...]]:
    return [line.words for line in _lines_of(rules, bridge)]


def _lines_of(rules: Ruleset, bridge: str) -> list[Line]:
    first = [line for line in rules.rules(_FIRST) if value_of(line, "-i") == bridge]
    return [*first, *(line for line in rules.rules(_SECOND) if value_of(line, "-o") == bridge)]


def _jumps_first(rules: Ruleset) -> bool:
    """Whether the isolation is asked, once, and before pods' forwarding is accepted."""
    targets = [value_of(line, "-j") for line in rules.rules("FORWARD")]
    if targets.count(_FIRST) != 1:
        return False
    return FORWARD_CHAIN not in targets or targets.index(_FIRST) < targets.index(FORWARD_CHAIN)


def _policies(items: Iterable[BridgeIsolation]) -> dict[str, str]:
    return {item.bridge: item.policy for item in items}


def _at_head(rule: str) -> str:
    chain, _, rest = rule.partition(" ")
    return f"-I {chain} 1 {rest}"
