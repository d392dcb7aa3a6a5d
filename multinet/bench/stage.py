"""A node where everybody is in place: multinet, and those it is compared with."""

from __future__ import annotations

from multinet.bench.contenders import Contender, GoPlugins
from multinet.bench.floor import Floor, GroupFloor
from multinet.bench.node import Node
from multinet.bench.tools import Tools

__all__ = ["Stage"]


class Stage(Node):
    """A context manager; what it set up is gone afterwards."""

    def _set_up(self, tools: Tools, pods: int) -> None:
        super()._set_up(tools, pods)
        self.go = GoPlugins(self.lab) if GoPlugins.present() else None
        self.floors = (Floor(self.lab), GroupFloor(self.lab))

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """All of them, those that are compared most closely next to one another."""
        return (self.floors[1], self.floors[0], self.ours, *self.rivals)

    @property
    def rivals(self) -> tuple[Contender, ...]:
        """The reference plugins, if they are installed."""
        return (self.go,) if self.go else ()
