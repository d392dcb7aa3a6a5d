"""Masquerade and MAC guard in nftables: read what is there, decide, send one transaction; again on a race."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from multinet.adapters.firewall_frames import Frame, frame_of
from multinet.adapters.firewall_tables import (
    TABLE,
    Change,
    Entry,
    Family,
    Holding,
    claim_of,
    comment,
    entry_from,
    holding_of,
    is_claims,
    network_prefix,
)
from multinet.adapters.nftables import Command, Conflict, Nftables
from multinet.adapters.nftables_netlink import NftablesSocket
from multinet.core.desired import Difference, MacGuard, Masquerade, Owner

__all__ = ["NftablesRules"]

_TRIES = 8
_FAMILIES: tuple[Family, ...] = ("inet", "bridge")


class NftablesRules:
    """The tables of `firewall_tables` in one namespace. Not for use by two threads at once."""

    def __init__(self, nft: Nftables, socket: NftablesSocket) -> None:
        self._nft = nft
        self._socket = socket

    def apply(self, items: Sequence[Masquerade | MacGuard]) -> None:
        """Make what is missing of elements, and of the tables, sets and rules they need, in one transaction."""
        holdings = list(dict.fromkeys(map(holding_of, items)))
        self._transact(lambda: self._missing_elements(holdings), lambda: self._missing_frames(holdings))

    def remove(self, items: Sequence[Masquerade | MacGuard]) -> None:
        """Remove the items' elements where they are their owners'; tables, sets and rules stay."""
        holdings = list(dict.fromkeys(map(holding_of, items)))
        wanted = [(entry, holding.comment) for holding in holdings for entry in holding.entries]
        claims = [holding.claim for holding in holdings]
        self._transact(lambda: self._removal([w for w in wanted if self._comment_of(w[0]) == w[1]], claims))

    def sweep(self, owner: Owner) -> None:
        """Remove every element with the owner's comment."""
        text = comment(owner)
        self._transact(lambda: self._removal(self._found(text, lambda found: found == text)))

    def collect(self, network: str, valid: Collection[tuple[str, str]]) -> None:
        """Remove every element of the network whose owner isn't in ``valid``."""
        keep = {comment(Owner(network, container_id, ifname)) for container_id, ifname in valid}
        prefix = network_prefix(network)

        def stale(found: str) -> bool:
            return found.startswith(prefix) and found not in keep

        self._transact(lambda: self._removal(self._found(prefix, stale)))

    def compare(self, items: Sequence[Masquerade | MacGuard]) -> list[Difference]:
        """Missing rules and elements, elements of other owners, and MACs allowed beyond the right one."""
        holdings = list(dict.fromkeys(map(holding_of, items)))
        differences = []
        for frame in map(frame_of, dict.fromkeys(h.frame for h in holdings)):
            have = self._rules_of(frame)
            if have != [frame.comment]:
                subject = f"nftables chain {frame.family} {TABLE} {frame.chain}"
                differences.append(Difference(subject, "rules", frame.comment, ", ".join(have)))
        surplus = self._surplus(holdings)
        for holding in holdings:
            found = {entry: self._comment_of(entry) for entry in holding.entries}
            differences += [_difference(e, holding.comment, text) for e, text in found.items()]
            differences += [_difference(e, "nobody", text) for e, text in surplus.get(holding, [])]
            # Whose element it isn't has no claim either: said once.
            if set(found.values()) == {holding.comment} and not self._present(holding.claim):
                differences.append(_difference(holding.claim, holding.comment, None))
        return [difference for difference in differences if difference.want != difference.have]

    def _transact(
        self, decide: Callable[[], list[Change]], decide_frames: Callable[[], list[Command]] = list
    ) -> None:
        """Send what is decided from what is there now; decided anew when someone else was faster."""
        for attempt in range(_TRIES):
            frames, changes = decide_frames(), decide()
            try:
                if frames:
                    self._nft.run([*frames, *(change.command() for change in changes)])
                elif changes:
                    self._socket.change([change.element() for change in changes])
                return
            except Conflict:
                if attempt == _TRIES - 1:
                    raise

    def _missing_frames(self, holdings: Iterable[Holding]) -> list[Command]:
        commands: list[Command] = []
        for name, claims in {holding.frame: holding.claim.set for holding in holdings}.items():
            frame = frame_of(name)
            # The claims' set is in no rule, so it can be gone alone: then the frame is made again as well.
            whole = self._rules_of(frame) == [frame.comment] and claims in self._socket.sets(
                frame.family, TABLE
            )
            if not whole:
                commands += frame.commands
        return commands

    def _missing_elements(self, holdings: Iterable[Holding]) -> list[Change]:
        changes: list[Change] = []
        for holding in holdings:
            present = [(e, text) for e in holding.entries if (text := self._comment_of(e)) is not None]
            surplus = self._surplus([holding]).get(holding, []) if present else []
            owned = [text for _, text in present] == [holding.comment] * len(holding.entries)
            claimed = self._present(holding.claim)
            if owned and claimed and not surplus:
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

    def _found(self, mark: str, wanted: Callable[[str], bool]) -> list[tuple[Entry, str]]:
        """Elements in sets of ours whose comment contains ``mark`` and is ``wanted``."""
        return [
            (entry_from(family, name, element.key), element.comment)
            for family in _FAMILIES
            for name in self._socket.sets(family, TABLE)
            if not is_claims(name)
            for element in self._socket.elements(family, TABLE, name, mark)
            if wanted(element.comment)
        ]

    def _rules_of(self, frame: Frame) -> list[str]:
        return [rule.comment for rule in self._socket.rules(frame.family, TABLE, frame.chain)]

    def _comment_of(self, entry: Entry) -> str | None:
        """Whose the element is; None if it isn't there."""
        found = self._socket.element(entry.family, TABLE, entry.set, entry.key)
        return None if found is None else found.comment

    def _present(self, entry: Entry) -> bool:
        return self._comment_of(entry) is not None


def _difference(entry: Entry, want: str, have: str | None) -> Difference:
    """An element's owner against what it should be; equal ``want`` and ``have`` mean no difference."""
    subject = f"nftables set {entry.family} {TABLE} {entry.set}"
    return Difference(
        subject, f"owner of {' . '.join(entry.parts)}", want, "" if have is None else have or "nobody"
    )
