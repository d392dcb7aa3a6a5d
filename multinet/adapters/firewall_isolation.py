"""Bridges kept apart, in nftables: shared by a bridge's attachments, and gone with the last of them.

The sets ``bridges`` and ``bridge-pairs`` of ``inet multinet`` say which bridges are kept apart, and which of them
let their own pods' packets through; ``isolated`` of ``bridge multinet`` holds the bridges whose ports don't reach
one another. ``bridge-users`` says who asked. Whether one is the last is decided on the ruleset's generation: a
transaction that removes what is shared is refused if anything has changed since it was looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from multinet.adapters.firewall_elements import frame_differences
from multinet.adapters.firewall_frames import frame_of
from multinet.adapters.firewall_tables import (
    TABLE,
    Change,
    Entry,
    comment,
    digest,
    entry_from,
    entry_of,
    network_prefix,
)
from multinet.adapters.nftables import Conflict, Nftables
from multinet.adapters.nftables_netlink import NftablesSocket
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import BridgeIsolation, Difference, Owner

__all__ = ["BridgeIsolations"]

_TRIES = 64
"""Anyone's transaction on the node is a reason to look again; one look takes a fraction of a millisecond."""


class BridgeIsolations:
    """The isolation of bridges in one namespace. Not for use by two threads at once."""

    def __init__(self, nft: Nftables, socket: NftablesSocket) -> None:
        self._nft = nft
        self._socket = socket

    def apply(self, items: Sequence[BridgeIsolation]) -> None:
        """Keep the bridges apart; the newest item's policy is the bridge's. Raises CNIError (FIREWALL)."""

        def decide() -> list[Change]:
            for name in _frames(items):
                if frame_differences(self._socket, frame_of(name)):
                    self._make(name)
            return [change for item in items for change in self._becoming(item)]

        self._transact(decide)

    def remove(self, items: Iterable[BridgeIsolation]) -> None:
        """Remove the owners' interest, and the isolation of bridges that nobody is left for."""
        users = {_user(item.bridge, comment(item.owner)): item.bridge for item in items}
        self._leave(lambda: [entry for entry in users if self._present(entry)])

    def sweep(self, owner: Owner) -> None:
        """Remove the owner's interest in all bridges."""
        text = comment(owner)
        self._leave(lambda: [entry for entry, mark in self._users(text) if mark == text])

    def collect(self, network: str, valid: Collection[tuple[str, str]]) -> None:
        """Remove the interest of the network's attachments that aren't in ``valid``."""
        keep = {comment(Owner(network, container_id, ifname)) for container_id, ifname in valid}
        prefix = network_prefix(network)
        self._leave(
            lambda: [e for e, mark in self._users(prefix) if mark.startswith(prefix) and mark not in keep]
        )

    def compare(self, items: Sequence[BridgeIsolation]) -> list[Difference]:
        """Missing rules, bridges that aren't kept apart, and ones that are more or less so than they should be."""
        differences = [
            found for name in _frames(items) for found in frame_differences(self._socket, frame_of(name))
        ]
        for item in dict.fromkeys(items):
            wanted = _elements(item.bridge, item.policy)
            wanted[_user(item.bridge, comment(item.owner))] = True
            for entry, there in wanted.items():
                if self._present(entry) is not there:
                    words = ("there", "") if there else ("absent", "there")
                    subject = f"nftables set {entry.family} {TABLE} {entry.set}"
                    differences.append(Difference(subject, " . ".join(entry.parts), *words))
        return differences

    def _make(self, name: str) -> None:
        try:
            self._nft.run_script(frame_of(name).commands)
        except CNIError as error:
            if name == "isolation-inside" and "not supported" in error.msg:
                problem = (
                    "this kernel can't tell bridges apart in nftables (CONFIG_NFT_BRIDGE_META), which"
                    ' "ingressPolicy": "isolated" needs: set "backend" to "iptables"'
                )
                raise CNIError(Code.FIREWALL, problem, error.msg) from None
            raise

    def _becoming(self, item: BridgeIsolation) -> list[Change]:
        text = comment(item.owner)
        user = _user(item.bridge, text)
        changes = [] if self._present(user) else [user.create(text)]
        for entry, there in _elements(item.bridge, item.policy).items():
            if self._present(entry) is not there:
                changes.append(entry.create() if there else entry.delete())
        return changes

    def _leave(self, leaving: Callable[[], Sequence[Entry]]) -> None:
        def decide() -> list[Change]:
            gone = leaving()
            left = {entry.parts[0] for entry, _ in self._users() if entry not in gone} if gone else set()
            freed = dict.fromkeys(e.parts[0] for e in gone if e.parts[0] not in left)
            shared = [e for bridge in freed for e in _elements(bridge, "isolated") if self._present(e)]
            return [*(entry.delete() for entry in gone), *(entry.delete() for entry in shared)]

        self._transact(decide)

    def _transact(self, decide: Callable[[], list[Change]]) -> None:
        for attempt in range(_TRIES):
            generation = self._socket.generation()
            changes = list(dict.fromkeys(decide()))
            try:
                if changes:
                    self._socket.change([change.element() for change in changes], generation)
                return
            except Conflict:
                if attempt == _TRIES - 1:
                    raise

    def _users(self, mark: str = "") -> list[tuple[Entry, str]]:
        found = self._socket.elements("inet", TABLE, "bridge-users", mark)
        return [(entry_from("inet", "bridge-users", element.key), element.comment) for element in found]

    def _present(self, entry: Entry) -> bool:
        return self._socket.element(entry.family, TABLE, entry.set, entry.key) is not None


def _frames(items: Sequence[BridgeIsolation]) -> list[str]:
    isolated = any(item.policy == "isolated" for item in items)
    return ["isolation", "isolation-inside"] if isolated else ["isolation"] if items else []


def _elements(bridge: str, policy: str) -> dict[Entry, bool]:
    """What a policy is made of: elements, and whether they are there."""
    open_inside = policy == "same-bridge"
    return {
        entry_of("inet", "bridges", bridge): True,
        entry_of("inet", "bridge-pairs", bridge, bridge): open_inside,
        entry_of("bridge", "isolated", bridge): not open_inside,
    }


def _user(bridge: str, text: str) -> Entry:
    return entry_of("inet", "bridge-users", bridge, digest(text))
