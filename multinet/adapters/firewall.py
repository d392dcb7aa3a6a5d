"""The firewall of one network namespace: nftables, and iptables where the host is kept in that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Literal

from multinet.adapters.firewall_nftables import NftablesRules
from multinet.adapters.firewall_tables import TABLE
from multinet.adapters.iptables import Iptables
from multinet.adapters.netns import Netns
from multinet.adapters.nftables import Nftables
from multinet.adapters.nftables_netlink import NftablesSocket, NoNftables
from multinet.adapters.reference_rules import ReferenceRules
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Difference, MacGuard, Masquerade, Owner, PacketRule

__all__ = ["Backend", "HostFirewall", "choose_backend"]

Backend = Literal["nftables", "iptables"]
_OURS = frozenset({("inet", TABLE), ("bridge", TABLE)})
_LEGACY_NAMES = {4: "ip_tables_names", 6: "ip6_tables_names"}


def choose_backend(netns: Netns) -> Backend:
    """Where masquerade rules belong in a namespace when the configuration's ``ipMasqBackend`` doesn't say.

    nftables, unless the namespace has the kernel's legacy iptables ``nat`` table in use, where whoever reads
    the host's NAT rules expects to find them all, or nf_tables can't be used (no library, no kernel support).
    iptables programs built on nf_tables are no reason for iptables: their rules and ours are hooks of one
    kind and work side by side. No process is started.
    """
    if _legacy_nat(netns):
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

    def apply(self, items: Sequence[Masquerade | MacGuard]) -> None:
        """Make the rules, in one transaction a backend; what is there already stays.

        Raises CNIError (FIREWALL).
        """
        nftables, iptables = _by_backend(items)
        with self._lock:
            if nftables:
                self._rules().apply(nftables)
            for version, masquerades in iptables.items():
                Iptables(self._netns, version).apply(masquerades)

    def remove(self, items: Sequence[Masquerade | MacGuard]) -> None:
        """Remove the rules; ones that are gone, or another owner's by now, are no failure.

        Every backend is tried before the failures are raised (CNIError, FIREWALL).
        """
        nftables, iptables = _by_backend(items)
        steps: list[Callable[[], None]] = []
        with self._lock:
            if nftables:
                steps.append(partial(self._rules().remove, nftables))
            for version, masquerades in iptables.items():
                steps.append(partial(Iptables(self._netns, version).remove, masquerades))
            _run_all(steps)

    def compare(self, items: Sequence[Masquerade | MacGuard]) -> list[Difference]:
        """Every rule that is missing, another's, or not as it should be; fixed rules and chains included."""
        nftables, iptables = _by_backend(items)
        with self._lock:
            differences = self._rules().compare(nftables) if nftables else []
            for version, masquerades in iptables.items():
                differences += Iptables(self._netns, version).compare(masquerades)
        return differences

    def sweep(self, owner: Owner, kinds: Collection[type[PacketRule]] = ()) -> None:
        """Remove every rule of an attachment, in all backends in use, the reference plugins' included.

        Where there are no such rules it costs one netlink question and two files.
        Raises CNIError with all failures.
        """
        with self._lock:
            tables = self._tables()
            steps: list[Callable[[], None]] = []
            if _OURS & tables:
                steps.append(partial(self._rules().sweep, owner))
            if tables - _OURS:
                steps.append(partial(self._reference().sweep, owner, tables))
            steps += [partial(legacy.sweep, owner) for legacy in self._legacy()]
            _run_all(steps)

    def collect(
        self, network: str, valid: Collection[tuple[str, str]], kinds: Collection[type[PacketRule]] = ()
    ) -> None:
        """Remove the rules of all attachments of ``network`` that aren't in ``valid`` (container id, ifname).

        Raises CNIError with all failures.
        """
        with self._lock:
            tables = self._tables()
            steps: list[Callable[[], None]] = []
            if _OURS & tables:
                steps.append(partial(self._rules().collect, network, valid))
            if tables - _OURS:
                steps.append(partial(self._reference().collect, network, valid, tables))
            steps += [partial(legacy.collect, network, valid) for legacy in self._legacy()]
            _run_all(steps)

    def _tables(self) -> frozenset[tuple[str, str]]:
        """The nftables tables there are; none on a kernel without nf_tables."""
        try:
            return self._opened().tables()
        except NoNftables:
            return frozenset()

    def _legacy(self) -> list[Iptables]:
        return [Iptables(self._netns, version, legacy=True) for version in _legacy_nat(self._netns)]

    def _rules(self) -> NftablesRules:
        return NftablesRules(self._nft, self._opened())

    def _reference(self) -> ReferenceRules:
        return ReferenceRules(self._nft, self._opened())

    def _opened(self) -> NftablesSocket:
        if self._socket is None:
            self._socket = NftablesSocket(self._netns)
        return self._socket


def _by_backend(
    items: Iterable[Masquerade | MacGuard],
) -> tuple[list[Masquerade | MacGuard], dict[int, list[Masquerade]]]:
    """The items for nftables, and those for iptables by address family."""
    nftables: list[Masquerade | MacGuard] = []
    iptables: dict[int, list[Masquerade]] = {}
    for item in items:
        if isinstance(item, Masquerade) and item.backend == "iptables":
            iptables.setdefault(6 if ":" in item.cidr else 4, []).append(item)
        else:
            nftables.append(item)
    return nftables, iptables


def _legacy_nat(netns: Netns) -> list[int]:
    """The address families whose legacy ``nat`` table is in use (asking iptables-legacy would make it)."""
    found = []
    with netns.entered():
        for version, name in _LEGACY_NAMES.items():
            try:
                with open(f"/proc/thread-self/net/{name}") as names:
                    if "nat" in names.read().split():
                        found.append(version)
            except OSError:  # the kernel has none of it
                continue
    return found


def _run_all(steps: Iterable[Callable[[], None]]) -> None:
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
