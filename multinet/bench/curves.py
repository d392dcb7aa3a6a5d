"""Points of curves: a number that grows on the node, and what ours and others took or did there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from multinet.bench.measure import VERBS
from multinet.bench.rows import LABELS, row

__all__ = ["Curve", "Curves", "curve_details", "curve_lines"]


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


def curve_details(of: Callable[[str], Curves]) -> dict[str, Any]:
    """The curves of both verbs as the report's JSON has them."""
    return {verb: msgspec.to_builtins(of(verb)) for verb in VERBS}


def curve_lines(of: Callable[[str], Curves], title: str, head: str, steps: Sequence[int]) -> Iterator[str]:
    """The curves of both verbs as rows; ``title`` has ``{verb}``, ``head`` is what ``steps`` count."""
    for verb in VERBS:
        found = of(verb)
        yield ""
        yield f"{title.format(verb=verb)}; 1 is {found.one_is}"
        yield row(head, *(str(step) for step in steps))
        for name in found.curves:
            yield row(LABELS[name], *(f"{value:.2f}" for value in found.relative(name)))
