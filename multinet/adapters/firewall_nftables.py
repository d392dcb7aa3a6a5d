"""Masquerade and MAC guard in nftables: read what is there, decide, send one transaction; again on a race."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from multinet.adapters.firewall_tables import (
    TABLE,
    Entry,
    Family,
    Frame,
    Holding,
    claim_of,
    comment,
    entry_from,
    frame_of,
    holding_of,
    is_claims,
    network_prefix,
)
from multinet.adapters.nftables import Command, Conflict, Nftables
from multinet.adapters.nftables_read import NftablesReader
from multinet.core.desired import Difference, MacGuard, Masquerade, Owner

__all__ = ["NftablesRules"]

_TRIES = 8
_FAMILIES: tuple[Family, ...] = ("inet", "bridge")


class NftablesRules:
    """The tables of `firewall_tables` in one namespace. Not for use by two threads at once."""

    def __init__(self, nft: Nftables, reader: NftablesReader) -> None:
        self._nft = nft
        self._reader = reader

    def apply(self, items: Sequence[Masquerade | MacGuard]) -> None:
        """Make the elements, and whatever of tables, sets and rules is missing, in one transaction."""
        holdings = list(dict.fromkeys(map(holding_of, items)))
        self._transact(lambda: [*self._missing_frames(holdings), *self._missing_elements(holdings)])

    def remove(self, items: Sequence[Masquerade | MacGuard]) -> None:
        """Remove the items' elements where they are their owners'; tables, sets and rules stay."""
        wanted = [(entry, h.comment) for h in dict.fromkeys(map(holding_of, items)) for entry in h.entries]
        self._transact(
            lambda: self._removal([(e, text) for e, text in wanted if self._comment_of(e) == text])
        )

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

    def _transact(self, decide: Callable[[], list[Command]]) -> None:
        """Send what is decided from what is there now; decided anew when someone else was faster."""
        for attempt in range(_TRIES):
            commands = decide()
            if not commands:
                return
            try:
                self._nft.run(commands)
                return
            except Conflict:
                if attempt == _TRIES - 1:
                    raise

    def _missing_frames(self, holdings: Iterable[Holding]) -> list[Command]:
        commands: list[Command] = []
        for name, claims in {holding.frame: holding.claim.set for holding in holdings}.items():
            frame = frame_of(name)
            # The claims' set is in no rule, so it can be gone alone: then the frame is made again as well.
            whole = self._rules_of(frame) == [frame.comment] and claims in self._reader.sets(
                frame.family, TABLE
            )
            if not whole:
                commands += frame.commands
        return commands

    def _missing_elements(self, holdings: Iterable[Holding]) -> list[Command]:
        commands: list[Command] = []
        for holding in holdings:
            present = [(e, text) for e in holding.entries if (text := self._comment_of(e)) is not None]
            surplus = self._surplus([holding]).get(holding, []) if present else []
            owned = [text for _, text in present] == [holding.comment] * len(holding.entries)
            claimed = self._present(holding.claim)
            if owned and claimed and not surplus:
                continue
            commands += self._removal([*present, *surplus])
            if claimed and not any(text == holding.comment for _, text in [*present, *surplus]):
                commands.append(holding.claim.command("delete"))
            commands += [entry.command("create", holding.comment) for entry in holding.entries]
            commands.append(holding.claim.command("create"))
        return commands

    def _surplus(self, holdings: Iterable[Holding]) -> dict[Holding, list[tuple[Entry, str]]]:
        """Other MACs that are allowed on guarded links, whoever allowed them: a link has one."""
        guards = {h.entries[-1].raw[0]: h for h in holdings if h.frame == "guard"}
        found: dict[Holding, list[tuple[Entry, str]]] = {}
        if guards:
            wanted = next(iter(guards.values())).entries[-1]
            for element in self._reader.elements(wanted.family, TABLE, wanted.set):
                entry = entry_from(wanted.family, wanted.set, element.key)
                guard = guards.get(entry.raw[0])
                if guard is not None and entry != guard.entries[-1]:
                    found.setdefault(guard, []).append((entry, element.comment))
        return found

    def _removal(self, elements: Iterable[tuple[Entry, str]]) -> list[Command]:
        """Deletes elements and, first, the claims of those they belong to."""
        elements = list(elements)
        claims = dict.fromkeys(claim_of(entry, text) for entry, text in elements)
        return [
            *(claim.command("delete") for claim in claims if self._present(claim)),
            *(entry.command("delete") for entry, _ in elements),
        ]

    def _found(self, mark: str, wanted: Callable[[str], bool]) -> list[tuple[Entry, str]]:
        """Elements in sets of ours whose comment contains ``mark`` and is ``wanted``."""
        return [
            (entry_from(family, name, element.key), element.comment)
            for family in _FAMILIES
            for name in self._reader.sets(family, TABLE)
            if not is_claims(name)
            for element in self._reader.elements(family, TABLE, name, mark)
            if wanted(element.comment)
        ]

    def _rules_of(self, frame: Frame) -> list[str]:
        return [rule.comment for rule in self._reader.rules(frame.family, TABLE, frame.chain)]

    def _comment_of(self, entry: Entry) -> str | None:
        """Whose the element is; None if it isn't there."""
        found = self._reader.element(entry.family, TABLE, entry.set, entry.key)
        return None if found is None else found.comment

    def _present(self, entry: Entry) -> bool:
        return self._comment_of(entry) is not None


def _difference(entry: Entry, want: str, have: str | None) -> Difference:
    """An element's owner against what it should be; equal ``want`` and ``have`` mean no difference."""
    subject = f"nftables set {entry.family} {TABLE} {entry.set}"
    return Difference(
        subject, f"owner of {' . '.join(entry.parts)}", want, "" if have is None else have or "nobody"
    )
