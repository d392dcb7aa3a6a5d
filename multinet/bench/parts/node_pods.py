"""Latency against the number of pods on the node: all contenders fill the same node in turns, then empty it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from multinet.bench.contenders import Contender, GoPlugins
from multinet.bench.curves import Curve, Curves, curve_details, curve_lines
from multinet.bench.figure import Part
from multinet.bench.floor import Floor
from multinet.bench.measure import Taken, nothing_yet, one_by_one
from multinet.bench.ours import Ours
from multinet.bench.parts.turns import warm
from multinet.bench.samples import percentile
from multinet.bench.size import Size
from multinet.bench.stage import Stage
from multinet.bench.tools import Tools

__all__ = ["NODE_PODS", "Filling", "latency", "measure"]

_CONTENDERS = (Floor.name, Ours.name, GoPlugins.name)
_WARM_SLOTS = 12
_NEIGHBOURS = 5
"""A step's latency is the median of the pods up to so many before and after it."""


class Filling(msgspec.Struct, frozen=True, kw_only=True):
    """A node that is filled and emptied, some times."""

    steps: tuple[int, ...]
    rounds: list[Taken]
    """Of each round: times in the order of the pods, the first pod's first, for both verbs."""


def measure(size: Size, tools: Tools) -> Filling:
    """Raises BenchError."""
    count = max(size.steps)
    with Stage(tools, max(count * len(_CONTENDERS), _WARM_SLOTS)) as stage:
        warm(stage)
        contenders = [one for one in stage.contenders if one.name in _CONTENDERS]
        rounds = []
        for _ in range(size.step_rounds):
            rounds.append(_filled(stage, contenders, count, size.block))
            contenders.reverse()
        return Filling(steps=size.steps, rounds=rounds)


def _filled(stage: Stage, contenders: Sequence[Contender], count: int, block: int) -> Taken:
    pods = [
        [(one, stage.pod(number * len(contenders) + place)) for place, one in enumerate(contenders)]
        for number in range(count)
    ]
    taken = nothing_yet(contenders)
    blocks = [pods[first : first + block] for first in range(0, count, block)]
    for some in blocks:
        one_by_one(stage, "ADD", [turn for turns in some for turn in turns], taken)
    for some in reversed(blocks):
        one_by_one(stage, "DEL", [turn for turns in reversed(some) for turn in turns], taken)
    for verbs in taken.values():
        verbs["DEL"].times.reverse()
    return taken


def latency(filling: Filling, verb: str) -> Curves:
    """Median ms at each step; 1 is the bare kernel's median."""
    curves = {
        name: Curve(list(filling.steps), [_at(filling, name, verb, step) for step in filling.steps])
        for name in filling.rounds[0]
    }
    floor = [time for taken in filling.rounds for time in taken[Floor.name][verb].times]
    return Curves(unit="ms", curves=curves, one=percentile(floor, 50), one_is="the bare kernel's median")


def _at(filling: Filling, name: str, verb: str, step: int) -> float:
    around = slice(max(step - 1 - _NEIGHBOURS, 0), step + _NEIGHBOURS)
    return percentile([time for taken in filling.rounds for time in taken[name][verb].times[around]], 50)


def _details(filling: Filling) -> dict[str, Any]:
    return curve_details(partial(latency, filling))


def _lines(filling: Filling) -> Iterator[str]:
    title = "{verb} against the pods on the node"
    return curve_lines(partial(latency, filling), title, "pods of each", filling.steps)


NODE_PODS: Part[Filling] = Part(
    name="pods",
    title="latency against pods on the node",
    measure=measure,
    figures=(),
    details=_details,
    lines=_lines,
)
