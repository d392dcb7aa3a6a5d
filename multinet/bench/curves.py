"""Points of curves: a number that grows on the node, and what ours and others took or did there."""

from __future__ import annotations

import msgspec

__all__ = ["Curve", "Curves"]


class Curve(msgspec.Struct, frozen=True):
    """One contender's."""

    x: list[int]
    y: list[float]


class Curves(msgspec.Struct, frozen=True, kw_only=True):
    """Of one verb; by the contender's name, in absolute units."""

    unit: str
    curves: dict[str, Curve]
    one: float
    """What counts as 1 in charts, so that they can be compared between machines."""
    one_is: str
    """What that is, in words."""

    def relative(self, name: str) -> list[float]:
        """A curve in multiples of ``one``."""
        return [value / self.one for value in self.curves[name].y]
