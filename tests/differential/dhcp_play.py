"""The story of a DHCP case: verbs and accidents, step by step, by both; what was said, seen and sent.

Recorded are, besides what play.py records: each message of the client by step, number and kind, and which
addresses the server has leased.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from multinet.adapters.netns import Netns
from tests.differential.calls import Answer, Json, Running, Theirs
from tests.differential.case import Case
from tests.differential.dhcp_network import Kept, Network, OurKeeper, TheirKeeper, Wire, spelled
from tests.differential.play import Played, Side
from tests.differential.world import World

STORY = ("ADD", "CHECK", "DEL", "DEL again")
_OTHER_MAC = "02:00:00:00:00:78"
_GIVEN_BACK = 1.5
"""Seconds in which a server has taken note of a RELEASE."""


@dataclass(frozen=True, kw_only=True)
class DhcpCase(Case):
    """One configuration, the network that it meets, and the steps of its story.

    Steps: a verb, and perhaps a word more: ``again``; ``alone`` (of the address manager, not the main plugin);
    ``net1`` (of another interface). ``restart`` is one of the keeper of leases, ``stop`` its end.
    """

    network: Network
    story: tuple[str, ...] = STORY
    hurried: bool = False
    """The clients don't wait long for a server."""


class DhcpSide(Side):
    """One of the two worlds, with its wire and its keeper of leases."""

    def __init__(
        self, player: type[Running], world: World, case: DhcpCase, wire: Wire, keeper: OurKeeper | TheirKeeper
    ) -> None:
        super().__init__(player, world, case)
        self.wire, self.keeper = wire, keeper
        self.record.update(wire={}, leases={})
        self._running: Running | None = None

    def begin(self, step: str) -> None:
        """A step, as far as it is a call."""
        verb, _, more = step.partition(" ")
        if verb in ("restart", "stop"):
            self.keeper.stop()
            if verb == "restart":
                self.keeper.start()
            return
        conf = self.made if verb in ("CHECK", "DEL") else self.conf
        if more == "alone":
            conf = {**conf, "type": "dhcp"}
        case = self.case
        if more == "net1":
            case, conf = replace(case, ifname="net1"), {**conf, "mac": _OTHER_MAC}
        self._running = self.world.start(self.player, verb, case, conf, case.cni_args)

    def end(self, step: str) -> None:
        """Wait for the call, and record what came of the step."""
        answer = self._running.answer() if self._running is not None else None
        self._running = None
        if step == "ADD" and answer is not None:
            self.added = answer
        self._await_release(step)
        heard = self.wire.heard()
        if step.startswith(("ADD", "DEL")):
            self.look(f"after {step}")
        if answer is not None:
            self.record[step] = self._said(step, answer)
        messages = {f"{number} {seen.kind}": spelled(seen) for number, seen in enumerate(heard)}
        if self._hurried:  # how often was asked is a matter of time
            messages = {seen.kind: spelled(seen) for seen in heard}
        self.record["wire"][step] = self.seen.normal(messages)
        self.record["leases"][step] = self.wire.leases()

    @property
    def _hurried(self) -> bool:
        return isinstance(self.case, DhcpCase) and self.case.hurried

    def _said(self, step: str, answer: Answer) -> Json | str:
        if step == "ADD":
            return self.added_as_said()
        if step.startswith("ADD") and not answer.refused:
            return {"result": self.seen.normal(answer.output)}
        return self.said(answer)

    def _await_release(self, step: str) -> None:
        end = time.monotonic() + _GIVEN_BACK
        while step.startswith("DEL") and self.wire.leases() and time.monotonic() < end:
            time.sleep(0.05)


@contextmanager
def _sides(case: DhcpCase, new_netns: Callable[[], Netns], directory: Path) -> Iterator[list[DhcpSide]]:
    with ExitStack() as ends:
        sides: list[DhcpSide] = []
        players: dict[str, type[Running]] = {"ours": Kept, "theirs": Theirs}
        for name, player in players.items():
            world = World(new_netns, directory / name, case.setup)
            wire = Wire(case.network, world.host, directory / f"{name}-wire")
            ends.callback(wire.stop)
            keeper: OurKeeper | TheirKeeper = (
                OurKeeper(directory / "leases", case.hurried)
                if player is Kept
                else TheirKeeper(world.host, world.directory, case.hurried)
            )
            ends.callback(keeper.stop)
            sides.append(DhcpSide(player, world, case, wire, keeper))
        yield sides


def play(case: DhcpCase, new_netns: Callable[[], Netns], directory: Path) -> Played:
    """Both plugins, each in a world of its own, step by step side by side."""
    with _sides(case, new_netns, directory) as (ours, theirs):
        for step in case.story:
            for side in (ours, theirs):
                side.begin(step)
            for side in (ours, theirs):
                side.end(step)
        return Played(ours, theirs)
