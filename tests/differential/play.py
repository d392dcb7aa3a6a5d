"""The story of a case: ADD, CHECK of the own and of the other's, DEL, DEL again, by both; what was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multinet.adapters.netns import Netns
from tests.differential.calls import Answer, Json, Ours, Running, Theirs
from tests.differential.case import ABSENT, Case, Difference
from tests.differential.observe import Observation
from tests.differential.world import World

_SIDES: dict[str, type[Running]] = {"ours": Ours, "theirs": Theirs}


class Side:
    """One of the two worlds, the plugin that acts in it, and what was seen of it."""

    def __init__(self, player: type[Running], world: World, case: Case) -> None:
        self.player, self.world, self.case = player, world, case
        self.conf: Json = {"cniVersion": case.version, "name": "net", "type": case.plugin, **case.conf}
        for conf in case.chain:
            first = {"cniVersion": case.version, "name": "net", **conf} | self._previous
            added = world.call(Theirs, "ADD", case, first)
            assert not added.refused, f"{conf['type']}, before the plugin: {added.text}"
            self.conf["prevResult"] = added.output
        self.seen = Observation(world, case.reads)
        self.before = self.seen.state
        self.record: Json = {}
        self.added = Answer(1, {})

    @property
    def _previous(self) -> Json:
        found = getattr(self, "conf", {}).get("prevResult")
        return {"prevResult": found} if found else {}

    @property
    def made(self) -> Json:
        """The configuration for CHECK and DEL: with the result of the ADD."""
        if self.added.refused or not self.case.checked:
            return self.conf
        return {**self.conf, "prevResult": self.added.output}

    def start(self, verb: str, conf: Json) -> Running:
        """A verb of the side's plugin, begun."""
        return self.world.start(self.player, verb, self.case, conf, self.case.cni_args)

    def look(self, when: str) -> None:
        """See the world, once it has settled."""
        self.seen = Observation(self.world, self.case.reads, self.seen)
        self.record[when] = self.seen.state

    def added_as_said(self) -> Json:
        """The answer to the ADD as a value that compares."""
        if not self.added.refused:
            return {"result": self.seen.normal(self.added.output)}
        return {"refused": {"code": self.added.output.get("code"), "text": self._refusal(self.added)}}

    def said(self, answer: Answer) -> str:
        """Another answer as a value that compares."""
        return f"refused: {self._refusal(answer)}" if answer.refused else "fine"

    def _refusal(self, answer: Answer) -> str:
        """What an error says: the phrase that matters, if that is in it."""
        phrase = self.case.refused
        return phrase if phrase and phrase in answer.text else str(self.seen.normal(answer.text))


@dataclass(frozen=True)
class Played:
    """What came of a case in both worlds."""

    ours: Side
    theirs: Side

    def differences(self) -> list[Difference]:
        """Leaf by leaf."""
        ours, theirs = dict(_leaves(self.ours.record)), dict(_leaves(self.theirs.record))
        before = dict(_leaves(self.ours.before))
        found = []
        for path in sorted({*ours, *theirs}):
            mine, other = ours.get(path, ABSENT), theirs.get(path, ABSENT)
            if mine != other:
                found.append(Difference(path, mine, other, before.get(path[1:], ABSENT)))
        return found


def play(case: Case, new_netns: Callable[[], Netns], directory: Path) -> Played:
    """Both plugins, each in a world of its own, verb by verb side by side."""
    ours, theirs = (
        Side(player, World(new_netns, directory / name, case.setup), case) for name, player in _SIDES.items()
    )
    before = [
        Difference(path, one.get(path, ABSENT), other.get(path, ABSENT), ABSENT)
        for one, other in [(dict(_leaves(ours.before)), dict(_leaves(theirs.before)))]
        for path in sorted({*one, *other})
        if one.get(path, ABSENT) != other.get(path, ABSENT)
    ]
    assert not before, "the worlds aren't alike to begin with:\n" + "\n".join(map(str, before))
    _together(ours, theirs, "ADD", "conf")
    ours.look("after ADD")
    theirs.look("after ADD")
    for side in (ours, theirs):
        side.record["ADD"] = side.added_as_said()
    if case.checked and not (ours.added.refused or theirs.added.refused):
        _checks(ours, theirs)
    _together(ours, theirs, "DEL", "made")
    ours.look("after DEL")
    theirs.look("after DEL")
    _together(ours, theirs, "DEL again", "made")
    return Played(ours, theirs)


def _together(ours: Side, theirs: Side, when: str, conf: str) -> None:
    """One verb on both sides at once."""
    verb = when.partition(" ")[0]
    running = [side.start(verb, getattr(side, conf)) for side in (ours, theirs)]
    for side, answer in zip((ours, theirs), [one.answer() for one in running], strict=True):
        if verb == "ADD":
            side.added = answer
        else:
            side.record[when] = side.said(answer)


def _checks(ours: Side, theirs: Side) -> None:
    """Each of its own, and of what the other made."""
    for side, other in ((ours, theirs), (theirs, ours)):
        own = side.world.call(side.player, "CHECK", side.case, side.made, side.case.cni_args)
        crossed = other.world.call(side.player, "CHECK", side.case, other.made, side.case.cni_args)
        side.record["CHECK"] = {"own": side.said(own), "the other's": other.said(crossed)}


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, (*path, str(key)))
    elif isinstance(value, list) and all(isinstance(one, dict) for one in value):
        yield from _leaves({str(number): one for number, one in enumerate(value)}, path)
    else:
        yield path, value
