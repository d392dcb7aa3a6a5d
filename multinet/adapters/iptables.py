"""All kinds of packet rules in iptables: a table read, what is to change decided, and written in one transaction.

Between reading and writing someone else may change the table. Processes of ours wait for one another (a lock on
the namespace itself); when the reference plugins or others were faster and the transaction fails, it is decided
anew.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from multinet.adapters.firewall_holdings import TranslatedPort
from multinet.adapters.iptables_forward import ForwardRules
from multinet.adapters.iptables_isolation import IsolationRules
from multinet.adapters.iptables_masquerade import MasqueradeRules
from multinet.adapters.iptables_ports import PortRules
from multinet.adapters.iptables_rules import Ruleset
from multinet.adapters.iptables_tool import IptablesTool
from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError
from multinet.core.desired import (
    BridgeIsolation,
    Difference,
    ForwardAccept,
    Masquerade,
    Owner,
    PacketRule,
    PortMapping,
    select,
)

__all__ = ["Iptables"]

_TRIES = 4

Kinds = Collection[type[PacketRule]]
Decide = Callable[[Ruleset], Sequence[str]]


class Iptables:
    """One address family in one namespace. ``legacy``: the kernel's tables of old, where there is a choice."""

    def __init__(self, netns: Netns, version: int, legacy: bool = False) -> None:
        self._netns = netns
        self._tool = IptablesTool(netns, version, legacy)
        self._masquerade = MasqueradeRules(version)
        self._ports = PortRules(version)
        self._forward = ForwardRules()

    def apply(self, items: Sequence[PacketRule]) -> None:
        """Make the rules for the items. Raises CNIError (FIREWALL)."""
        masquerades, mappings, accepts, isolations = _by_kind(items)
        if masquerades or mappings:
            self._change(
                "nat",
                lambda rules: [
                    *self._masquerade.apply(rules, masquerades),
                    *self._ports.apply(rules, mappings),
                ],
            )
        if accepts or isolations:
            # Isolation last: of two jumps put first, the later one stands first.
            self._change(
                "filter",
                lambda rules: [
                    *self._forward.apply(rules, accepts),
                    *self._isolation().apply(rules, isolations),
                ],
            )

    def remove(self, items: Sequence[PacketRule]) -> None:
        """Remove the items' rules; ones that are gone are no failure. Raises CNIError (FIREWALL)."""
        masquerades, mappings, accepts, isolations = _by_kind(items)
        if masquerades or mappings:
            self._change(
                "nat",
                lambda rules: [
                    *self._masquerade.remove(rules, masquerades),
                    *self._ports.remove(rules, mappings),
                ],
            )
        if accepts or isolations:
            self._change(
                "filter",
                lambda rules: [
                    *self._forward.remove(rules, accepts),
                    *self._isolation().remove(rules, isolations),
                ],
            )

    def compare(self, items: Sequence[PacketRule]) -> list[Difference]:
        """Whatever isn't as it should be. Raises CNIError (FIREWALL)."""
        differences: list[Difference] = []
        masquerades, mappings, accepts, isolations = _by_kind(items)
        name = self._tool.name
        if masquerades or mappings:
            rules = self._tool.read("nat")
            differences += self._masquerade.compare(rules, masquerades, name)
            differences += self._ports.compare(rules, mappings, name)
            for entry in self._ports.conditional(mappings):
                if not self._tool.has("nat", entry):
                    chain, _, rest = entry.partition(" ")
                    differences.append(Difference(f"{name} nat chain {chain}", "rule", rest, ""))
        if accepts or isolations:
            rules = self._tool.read("filter")
            differences += self._forward.compare(rules, accepts, name)
            differences += self._isolation().compare(rules, isolations, name)
        return differences

    def sweep(self, owner: Owner, kinds: Kinds) -> list[TranslatedPort]:
        """Remove what is the owner's, of these kinds; what was translated until now. Raises CNIError (FIREWALL)."""
        former: list[TranslatedPort] = []

        def nat(rules: Ruleset) -> list[str]:
            lines = self._masquerade.sweep(rules, owner) if Masquerade in kinds else []
            if PortMapping in kinds:
                former[:] = self._ports.swept(rules, owner)
                lines += self._ports.sweep(rules, owner)
            return lines

        self._clean(kinds, nat, lambda rules: self._forward.sweep(rules, owner))
        return former

    def collect(self, network: str, valid: Collection[tuple[str, str]], kinds: Kinds) -> list[TranslatedPort]:
        """Remove what is of the network, of these kinds, and nobody's in ``valid``; what was translated until now.

        Raises CNIError (FIREWALL).
        """
        former: list[TranslatedPort] = []

        def nat(rules: Ruleset) -> list[str]:
            lines = self._masquerade.collect(rules, network, valid) if Masquerade in kinds else []
            if PortMapping in kinds:
                former[:] = self._ports.collected(rules, network, valid)
                lines += self._ports.collect(rules, network, valid)
            return lines

        self._clean(kinds, nat, lambda rules: self._forward.collect(rules, network, valid))
        return former

    def _clean(self, kinds: Kinds, nat: Decide, forward: Decide) -> None:
        if not {Masquerade, PortMapping}.isdisjoint(kinds):
            self._change("nat", nat)
        if ForwardAccept in kinds:
            self._change("filter", forward)
        if BridgeIsolation in kinds:
            self._change("filter", lambda rules: self._isolation().sweep(rules))

    def _change(self, table: str, decide: Decide) -> None:
        with self._alone():
            for attempt in range(_TRIES):
                try:
                    self._tool.restore(table, decide(self._tool.read(table)))
                    return
                except CNIError:
                    if attempt == _TRIES - 1:
                        raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # Opened anew: the lock belongs to the open file, and others may share the namespace's descriptor.
        lock = os.open(f"/proc/self/fd/{self._netns.fd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _isolation(self) -> IsolationRules:
        with self._netns.entered():
            return IsolationRules(frozenset(name for _, name in socket.if_nameindex()))


def _by_kind(
    items: Sequence[PacketRule],
) -> tuple[list[Masquerade], list[PortMapping], list[ForwardAccept], list[BridgeIsolation]]:
    return (
        select(items, Masquerade),
        select(items, PortMapping),
        select(items, ForwardAccept),
        select(items, BridgeIsolation),
    )
