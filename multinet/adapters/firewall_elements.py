"""Rules that are elements of sets and maps: read what is there, decide, send one transaction; again on a race."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from multinet.adapters.firewall_frame import Frame
from multinet.adapters.firewall_frames import frame_of
from multinet.adapters.firewall_tables import (
    TABLE,
    Change,
    Entry,
    Family,
    Holding,
    claim_of,
    comment,
    entry_from,
    layout_of,
    network_prefix,
)
from multinet.adapters.nftables import Conflict, Nftables
from multinet.adapters.nftables_netlink import Element, NftablesSocket
from multinet.core.desired import Difference, Owner, PacketRule

__all__ = ["ElementRules", "frame_differences", "frame_is_whole"]

_TRIES = 8
_FAMILIES: tuple[Family, ...] = ("inet", "bridge")

Kinds = Collection[type[PacketRule]]


class ElementRules:
    """The sets of `firewall_tables` in one namespace. Not for use by two threads at once."""

    def __init__(self, nft: Nftables, socket: NftablesSocket) -> None:
        self._nft = nft
        self._socket = socket

    def apply(self, holdings: Sequence[Holding], frames: Iterable[str] = ()) -> None:
        """Make what is missing of elements, and of the frames they need, in one transaction.

        ``frames``: further ones that are needed.
        """
        names = list(dict.fromkeys([*(holding.frame for holding in holdings), *frames]))
        self._transact(lambda: self._missing_elements(holdings), lambda: self._missing_frames(names))

    def remove(self, holdings: Sequence[Holding]) -> None:
        """Remove elements where they are their owners'; frames stay."""
        wanted = [(entry, holding.comment) for holding in holdings for entry in holding.entries]
        claims = [holding.claim for holding in holdings]
        self._transact(lambda: self._removal([w for w in wanted if self._comment_of(w[0]) == w[1]], claims))

    def sweep(self, owner: Owner, kinds: Kinds) -> list[Entry]:
        """Remove every element of these kinds with the owner's comment; what was removed."""
        text = comment(owner)
        return self._drop(lambda: self._found(text, kinds, lambda found: found == text))

    def collect(self, network: str, valid: Collection[tuple[str, str]], kinds: Kinds) -> list[Entry]:
        """Remove every element of these kinds of the network whose owner isn't in ``valid``; what was removed."""
        keep = {comment(Owner(network, container_id, ifname)) for container_id, ifname in valid}
        prefix = network_prefix(network)

        def stale(found: str) -> bool:
            return found.startswith(prefix) and found not in keep

        return self._drop(lambda: self._found(prefix, kinds, stale))

    def compare(self, holdings: Sequence[Holding], frames: Iterable[str] = ()) -> list[Difference]:
        """Missing rules and elements, elements of other owners or with other data, MACs beyond the right one."""
        names = dict.fromkeys([*(holding.frame for holding in holdings), *frames])
        differences = [found for name in names for found in frame_differences(self._socket, frame_of(name))]
        surplus = self._surplus(holdings)
        for holding in holdings:
            found = {entry: self._element(entry) for entry in holding.entries}
            for entry, element in found.items():
                differences += _differences(entry, holding.comment, element)
            differences += [_owner_difference(e, "nobody", text) for e, text in surplus.get(holding, [])]
            # Whose element it isn't has no claim either: said once.
            own = all(
                element is not None and element.comment == holding.comment for element in found.values()
            )
            if own and self._element(holding.claim) is None:
                differences.append(_owner_difference(holding.claim, holding.comment, None))
        return differences

    def _transact(
        self, decide: Callable[[], list[Change]], decide_frames: Callable[[], list[str]] = list
    ) -> None:
        """Send what is decided from what is there now; decided anew when someone else was faster."""
        for attempt in range(_TRIES):
            frames, changes = decide_frames(), decide()
            try:
                if frames:
                    self._nft.run_script([*frames, *(change.command() for change in changes)])
                elif changes:
                    self._socket.change([change.element() for change in changes])
                return
            except Conflict:
                if attempt == _TRIES - 1:
                    raise

    def _drop(self, find: Callable[[], list[tuple[Entry, str]]]) -> list[Entry]:
        removed: list[Entry] = []

        def decide() -> list[Change]:
            found = find()
            removed[:] = [entry for entry, _ in found]
            return self._removal(found)

        self._transact(decide)
        return removed

    def _missing_frames(self, names: Iterable[str]) -> list[str]:
        frames = map(frame_of, names)
        return [
            command
            for frame in frames
            if not frame_is_whole(self._socket, frame)
            for command in frame.commands
        ]

    def _missing_elements(self, holdings: Iterable[Holding]) -> list[Change]:
        changes: list[Change] = []
        for holding in holdings:
            found = [(entry, self._element(entry)) for entry in holding.entries]
            present = [(entry, element.comment) for entry, element in found if element is not None]
            surplus = self._surplus([holding]).get(holding, []) if present else []
            right = all(
                element is not None and (element.comment, element.data) == (holding.comment, entry.data)
                for entry, element in found
            )
            if right and not surplus and self._element(holding.claim) is not None:
                continue
            changes += self._removal([*present, *surplus], [holding.claim])
            changes += [entry.create(holding.comment) for entry in holding.entries]
            changes.append(holding.claim.create())
        return changes

    def _surplus(self, holdings: Iterable[Holding]) -> dict[Holding, list[tuple[Entry, str]]]:
        """Other MACs that are allowed on guarded links, whoever allowed them: a link has one."""
        guards = {h.entries[-1].raw[0]: h for h in holdings if h.frame == "guard"}
        found: dict[Holding, list[tuple[Entry, str]]] = {}
        if guards:
            wanted = next(iter(guards.values())).entries[-1]
            for element in self._socket.elements(wanted.family, TABLE, wanted.set):
                entry = entry_from(wanted.family, wanted.set, element.key)
                guard = guards.get(entry.raw[0])
                if guard is not None and entry != guard.entries[-1]:
                    found.setdefault(guard, []).append((entry, element.comment))
        return found

    def _removal(self, elements: Sequence[tuple[Entry, str]], claims: Iterable[Entry] = ()) -> list[Change]:
        """Deletes elements and the claims of those they belong to; further ``claims`` that may be left as well.

        An element without its claim has been taken over since it was read, or has lost it by damage: read
        again, it tells which.
        """
        held = {claim: self._present(claim) for claim in claims}
        doomed = []
        for entry, text in elements:
            claim = claim_of(entry, text)
            if claim not in held:
                held[claim] = self._present(claim)
            if held[claim] or self._comment_of(entry) == text:
                doomed.append(entry.delete())
        return [*(claim.delete() for claim, present in held.items() if present), *doomed]

    def _found(self, mark: str, kinds: Kinds, wanted: Callable[[str], bool]) -> list[tuple[Entry, str]]:
        """Elements of these kinds whose comment contains ``mark`` and is ``wanted``."""
        return [
            (entry_from(family, name, element.key, element.data), element.comment)
            for family in _FAMILIES
            for name in self._socket.sets(family, TABLE)
            if (layout := layout_of(family, name)) is not None and layout.holds in kinds
            for element in self._socket.elements(family, TABLE, name, mark)
            if wanted(element.comment)
        ]

    def _element(self, entry: Entry) -> Element | None:
        return self._socket.element(entry.family, TABLE, entry.set, entry.key)

    def _comment_of(self, entry: Entry) -> str | None:
        """Whose the element is; None if it isn't there."""
        found = self._element(entry)
        return None if found is None else found.comment

    def _present(self, entry: Entry) -> bool:
        return self._element(entry) is not None


def frame_is_whole(socket: NftablesSocket, frame: Frame) -> bool:
    """Whether all of a frame is there as it was made."""
    return not frame_differences(socket, frame)


def frame_differences(socket: NftablesSocket, frame: Frame) -> list[Difference]:
    """Chains with other rules than their own, and sets that are gone (one that no rule looks into can be, alone)."""
    differences = []
    for chain in frame.chains:
        subject = f"nftables chain {frame.family} {TABLE} {chain.name}"
        if not chain.filled:
            if not socket.has_chain(frame.family, TABLE, chain.name):
                differences.append(Difference(subject, "chain", "there", ""))
            continue
        have = [rule.comment for rule in socket.rules(frame.family, TABLE, chain.name)]
        if have != chain.comments:
            differences.append(Difference(subject, "rules", ", ".join(chain.comments), ", ".join(have)))
    missing = set(frame.sets).difference(socket.sets(frame.family, TABLE))
    differences += [
        Difference(f"nftables set {frame.family} {TABLE} {name}", "set", "there", "")
        for name in sorted(missing)
    ]
    return differences


def _differences(entry: Entry, want: str, element: Element | None) -> list[Difference]:
    """An element's owner, and what a map gives, against what they should be."""
    if element is None or element.comment != want:
        return [_owner_difference(entry, want, None if element is None else element.comment)]
    if element.data != entry.data:
        have = entry_from(entry.family, entry.set, element.key, element.data).data_parts
        subject = f"nftables map {entry.family} {TABLE} {entry.set}"
        field = f"target of {' . '.join(entry.parts)}"
        return [Difference(subject, field, " . ".join(entry.data_parts), " . ".join(have))]
    return []


def _owner_difference(entry: Entry, want: str, have: str | None) -> Difference:
    subject = f"nftables set {entry.family} {TABLE} {entry.set}"
    return Difference(
        subject, f"owner of {' . '.join(entry.parts)}", want, "" if have is None else have or "nobody"
    )
