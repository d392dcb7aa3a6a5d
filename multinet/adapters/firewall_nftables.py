"""All kinds of packet rules in nftables: elements of sets, rules for conditions, bridges kept apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from multinet.adapters.firewall_conditions import ConditionalPorts
from multinet.adapters.firewall_elements import ElementRules
from multinet.adapters.firewall_holdings import (
    PORTS,
    Held,
    TranslatedPort,
    hairpin_holdings,
    holdings_of,
    translated_by,
)
from multinet.adapters.firewall_isolation import BridgeIsolations
from multinet.adapters.firewall_tables import Entry, Holding
from multinet.adapters.nftables import Nftables
from multinet.adapters.nftables_netlink import NftablesSocket
from multinet.core.desired import BridgeIsolation, Difference, Owner, PacketRule, PortMapping

__all__ = ["NftablesRules"]

Kinds = Collection[type[PacketRule]]


class NftablesRules:
    """The tables ``inet multinet`` and ``bridge multinet`` of one namespace. Not for use by two threads at once."""

    def __init__(self, nft: Nftables, socket: NftablesSocket) -> None:
        self._elements = ElementRules(nft, socket)
        self._conditions = ConditionalPorts(nft, socket)
        self._bridges = BridgeIsolations(nft, socket)

    def apply(self, items: Sequence[PacketRule]) -> None:
        """Make what is missing: all that are elements in one transaction, and whatever they need."""
        conditional, bridges = _conditional(items), _bridges(items)
        self._elements.apply(_holdings(items), [PORTS] if conditional else [])
        if conditional:
            self._conditions.apply(conditional)
        if bridges:
            self._bridges.apply(bridges)

    def remove(self, items: Sequence[PacketRule]) -> None:
        """Remove the items where they are their owners'; fixed rules stay."""
        conditional, bridges = _conditional(items), _bridges(items)
        if conditional:
            self._conditions.remove(conditional)
        self._elements.remove(_holdings(items))
        if bridges:
            self._bridges.remove(bridges)

    def compare(self, items: Sequence[PacketRule]) -> list[Difference]:
        """Whatever of the items, and of the fixed rules they need, isn't as it should be."""
        conditional = _conditional(items)
        differences = self._elements.compare(_holdings(items), [PORTS] if conditional else [])
        return differences + self._conditions.compare(conditional) + self._bridges.compare(_bridges(items))

    def sweep(self, owner: Owner, kinds: Kinds) -> list[TranslatedPort]:
        """Remove what is the owner's, of these kinds; what was translated until now."""
        removed = self._elements.sweep(owner, kinds)
        if PortMapping in kinds:
            self._conditions.sweep(owner)
        if BridgeIsolation in kinds:
            self._bridges.sweep(owner)
        return _translated(removed)

    def collect(self, network: str, valid: Collection[tuple[str, str]], kinds: Kinds) -> list[TranslatedPort]:
        """Remove what is of the network, of these kinds, and nobody's in ``valid``; what was translated until now."""
        removed = self._elements.collect(network, valid, kinds)
        if PortMapping in kinds:
            self._conditions.collect(network, valid)
        if BridgeIsolation in kinds:
            self._bridges.collect(network, valid)
        return _translated(removed)


def _holdings(items: Iterable[PacketRule]) -> list[Holding]:
    """The elements; a mapping with conditions has a rule of its own, but the masquerade of any other."""
    held: list[Held] = []
    holdings: list[Holding] = []
    for item in items:
        if isinstance(item, PortMapping) and item.conditions:
            holdings += hairpin_holdings(item)
        elif isinstance(item, Held):
            held.append(item)
    return [*holdings_of(held), *dict.fromkeys(holdings)]


def _conditional(items: Iterable[PacketRule]) -> list[PortMapping]:
    return [item for item in items if isinstance(item, PortMapping) and item.conditions]


def _bridges(items: Iterable[PacketRule]) -> list[BridgeIsolation]:
    return [item for item in items if isinstance(item, BridgeIsolation)]


def _translated(entries: Iterable[Entry]) -> list[TranslatedPort]:
    return [translated_by(entry) for entry in entries if entry.data]
