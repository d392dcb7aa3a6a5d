"""The firewall of one network namespace: nftables, and iptables where the host is kept in that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Literal

from multinet.adapters.firewall_flows import forget_former, forget_stale
from multinet.adapters.firewall_holdings import TranslatedPort, translated
from multinet.adapters.firewall_nftables import NftablesRules
from multinet.adapters.firewall_tables import TABLE
from multinet.adapters.firewalld import Firewalld
from multinet.adapters.iptables import Iptables
from multinet.adapters.netns import Netns
from multinet.adapters.nftables import Nftables
from multinet.adapters.nftables_netlink import NftablesSocket, NoNftables
from multinet.adapters.reference_rules import ReferenceRules
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import (
    RULE_KINDS,
    BridgeIsolation,
    Difference,
    ForwardAccept,
    Masquerade,
    Owner,
    PacketRule,
    PortMapping,
    select,
)

__all__ = ["Backend", "HostFirewall", "choose_backend"]

Backend = Literal["nftables", "iptables"]
Kinds = Collection[type[PacketRule]]

_OURS = frozenset({("inet", TABLE), ("bridge", TABLE)})
_LEGACY_NAMES = {4: "ip_tables_names", 6: "ip6_tables_names"}
_TABLES: tuple[tuple[str, frozenset[type[PacketRule]]], ...] = (
    ("nat", frozenset((Masquerade, PortMapping))),
    ("filter", frozenset((ForwardAccept, BridgeIsolation))),
)


def choose_backend(netns: Netns) -> Backend:
    """Where masquerade rules belong in a namespace when the configuration's ``ipMasqBackend`` doesn't say.

    nftables, unless the namespace has the kernel's legacy iptables ``nat`` table in use, where whoever reads
    the host's NAT rules expects to find them all, or nf_tables can't be used (no library, no kernel support).
    iptables programs built on nf_tables are no reason for iptables: their rules and ours are hooks of one
    kind and work side by side. No process is started.
    """
    if _legacy(netns, "nat"):
        return "iptables"
    nft = Nftables(netns)
    try:
        return "iptables" if nft.usable() else "nftables"
    finally:
        nft.close()


class HostFirewall:
    """`multinet.ports.Firewall` for one namespace. Any thread may call; one call works at a time."""

    def __init__(self, netns: Netns) -> None:
        self._netns = netns
        self._lock = threading.Lock()
        self._nft = Nftables(netns)
        self._socket: NftablesSocket | None = None

    def close(self) -> None:
        """Give up sockets and the library's context; safe to repeat."""
        with self._lock:
            self._nft.close()
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def apply(self, items: Sequence[PacketRule]) -> None:
        """Make the rules, in one transaction a backend and table; what is there already stays.

        UDP flows to mapped ports that go elsewhere are forgotten, so that their next packet reaches the pod.
        Raises CNIError (FIREWALL).
        """
        nftables, iptables, zones = _by_backend(items)
        with self._lock:
            if nftables:
                self._rules().apply(nftables)
            for version, rules in iptables.items():
                Iptables(self._netns, version).apply(rules)
            if zones:
                Firewalld().apply(zones)
            forget_stale(self._netns, _ports(items))

    def remove(self, items: Sequence[PacketRule]) -> None:
        """Remove the rules; ones that are gone, or another owner's by now, are no failure.

        UDP flows that they led to the pod are forgotten. Every backend is tried before the failures are raised
        (CNIError, FIREWALL).
        """
        nftables, iptables, zones = _by_backend(items)
        steps: list[Callable[[], object]] = []
        with self._lock:
            if nftables:
                steps.append(partial(self._remove_nftables, nftables))
            for version, rules in iptables.items():
                steps.append(partial(Iptables(self._netns, version).remove, rules))
            if zones:
                steps.append(partial(Firewalld().remove, zones))
            steps.append(partial(forget_former, self._netns, _ports(items)))
            _run_all(steps)

    def compare(self, items: Sequence[PacketRule]) -> list[Difference]:
        """Every rule that is missing, another's, or not as it should be; fixed rules and chains included."""
        nftables, iptables, zones = _by_backend(items)
        with self._lock:
            differences = self._rules().compare(nftables) if nftables else []
            for version, rules in iptables.items():
                differences += Iptables(self._netns, version).compare(rules)
            differences += Firewalld().compare(zones) if zones else []
        return differences

    def sweep(self, owner: Owner, kinds: Kinds = RULE_KINDS) -> None:
        """Remove every rule of an attachment of these kinds, in all backends in use, the reference plugins' included.

        Where there are no such rules it costs one netlink question and a few files. firewalld's zones don't say
        whose an address is, and keep it.
        Raises CNIError with all failures.
        """
        self._clean(
            kinds,
            lambda rules: rules.sweep(owner, kinds),
            lambda reference, tables: reference.sweep(owner, tables, kinds),
            lambda iptables, some: iptables.sweep(owner, some),
        )

    def collect(self, network: str, valid: Collection[tuple[str, str]], kinds: Kinds = RULE_KINDS) -> None:
        """Remove the rules, of these kinds, of all of the network's attachments that aren't in ``valid``.

        ``valid`` holds (container id, ifname). Raises CNIError with all failures.
        """
        self._clean(
            kinds,
            lambda rules: rules.collect(network, valid, kinds),
            lambda reference, tables: reference.collect(network, valid, tables, kinds),
            lambda iptables, some: iptables.collect(network, valid, some),
        )

    def _clean(
        self,
        kinds: Kinds,
        ours: Callable[[NftablesRules], list[TranslatedPort]],
        theirs: Callable[[ReferenceRules, frozenset[tuple[str, str]]], None],
        iptables: Callable[[Iptables, Kinds], list[TranslatedPort]],
    ) -> None:
        former: list[TranslatedPort] = []

        def clean(step: Callable[[], list[TranslatedPort]]) -> None:
            former.extend(step())

        with self._lock:
            tables = self._tables()
            steps: list[Callable[[], object]] = []
            if _OURS & tables:
                steps.append(partial(clean, lambda: ours(self._rules())))
            if tables - _OURS:
                steps.append(lambda: theirs(self._reference(), tables))
            for version, legacy, some in self._kept_by_iptables(kinds):
                found = Iptables(self._netns, version, legacy)
                steps.append(partial(clean, partial(iptables, found, some)))
            steps.append(lambda: forget_former(self._netns, former))
            _run_all(steps)

    def _kept_by_iptables(self, kinds: Kinds) -> list[tuple[int, bool, Kinds]]:
        """Where only iptables itself can clean: (address family, whether in legacy tables, what to look for).

        What iptables keeps of NAT in nf_tables is removed there (`ReferenceRules`) without its programs.
        """
        found: list[tuple[int, bool, Kinds]] = []
        for table, holds in _TABLES:
            some = holds.intersection(kinds)
            if some:
                found += [(version, True, some) for version in _legacy(self._netns, table)]
        filters = _TABLES[1][1].intersection(kinds)
        if filters:
            found += [(version, False, filters) for version in self._reference_filters()]
        return found

    def _reference_filters(self) -> list[int]:
        try:
            return self._reference().filters()
        except NoNftables:
            return []

    def _remove_nftables(self, items: Sequence[PacketRule]) -> None:
        self._rules().remove(items)

    def _tables(self) -> frozenset[tuple[str, str]]:
        """The nftables tables there are; none on a kernel without nf_tables."""
        try:
            return self._opened().tables()
        except NoNftables:
            return frozenset()

    def _rules(self) -> NftablesRules:
        return NftablesRules(self._nft, self._opened())

    def _reference(self) -> ReferenceRules:
        return ReferenceRules(self._nft, self._opened())

    def _opened(self) -> NftablesSocket:
        if self._socket is None:
            self._socket = NftablesSocket(self._netns)
        return self._socket


def _by_backend(
    items: Iterable[PacketRule],
) -> tuple[list[PacketRule], dict[int, list[PacketRule]], list[ForwardAccept]]:
    """The items for nftables, those for iptables by address family, and those for firewalld."""
    nftables: list[PacketRule] = []
    iptables: dict[int, list[PacketRule]] = {}
    zones: list[ForwardAccept] = []
    for item in items:
        backend = getattr(item, "backend", "nftables")  # a MAC guard has no choice
        if backend == "iptables":
            iptables.setdefault(_version(item), []).append(item)
        elif backend == "firewalld" and isinstance(item, ForwardAccept):
            zones.append(item)
        else:
            nftables.append(item)
    return nftables, iptables, zones


def _version(item: PacketRule) -> int:
    match item:
        case PortMapping():
            return 6 if ":" in item.container_cidr else 4
        case BridgeIsolation():
            return item.family
        case Masquerade() | ForwardAccept():
            return 6 if ":" in item.cidr else 4
        case _:
            raise CNIError(Code.FIREWALL, f"iptables has no rules for a {type(item).__name__}")


def _ports(items: Sequence[PacketRule]) -> list[TranslatedPort]:
    return [translated(item) for item in select(items, PortMapping)]


def _legacy(netns: Netns, table: str) -> list[int]:
    """The address families whose legacy table is in use (asking iptables-legacy would make it)."""
    found = []
    with netns.entered():
        for version, name in _LEGACY_NAMES.items():
            try:
                with open(f"/proc/thread-self/net/{name}") as names:
                    if table in names.read().split():
                        found.append(version)
            except OSError:  # the kernel has none of it
                continue
    return found


def _run_all(steps: Iterable[Callable[[], object]]) -> None:
    """All steps, whichever fail; then one CNIError for what failed."""
    failures: list[CNIError] = []
    for step in steps:
        try:
            step()
        except CNIError as error:
            failures.append(error)
    if failures:
        details = "\n".join(error.details for error in failures if error.details)
        raise CNIError(Code.FIREWALL, "\n".join(error.msg for error in failures), details)
