"""Throughput against concurrency: bursts at every level, ours and the reference plugins in turns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec

from multinet.bench.curves import Curve, Curves, curve_details, curve_lines
from multinet.bench.figure import Figure, Part, at_least
from multinet.bench.measure import VERBS, Series, Taken, burst, nothing_yet, ratio_of_rates
from multinet.bench.ours import Ours
from multinet.bench.parts.turns import warm
from multinet.bench.rows import LABELS
from multinet.bench.samples import Reading
from multinet.bench.size import Size
from multinet.bench.stage import Stage
from multinet.bench.tools import Tools

__all__ = ["CONCURRENCY", "Levels", "measure", "throughput"]

_WARM_SLOTS = 12


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """What came of each level, by the number of pods at once, ascending."""

    taken: dict[int, Taken]


def measure(size: Size, tools: Tools) -> Levels:
    """The levels take turns as well: each round goes through all of them. Raises BenchError."""
    pods = max(size.level_pods, *size.levels)
    with Stage(tools, max(pods, _WARM_SLOTS)) as stage:
        warm(stage)
        order = [stage.ours, *stage.rivals]
        levels = {level: nothing_yet(order) for level in size.levels}
        for _ in range(size.level_rounds):
            for level, taken in levels.items():
                for one in order:
                    at_once = [stage.pod(slot) for slot in range(pods)]
                    for verb in VERBS:
                        burst(stage, one, verb, at_once, level, taken[one.name][verb])
            order.reverse()
        return Levels(taken=levels)


def throughput(levels: Levels, verb: str) -> Curves:
    """Pods a second at each level; 1 is the slowest contender's at the first level."""
    names = next(iter(levels.taken.values()))
    curves = {
        name: Curve(list(levels.taken), [taken[name][verb].whole.rate for taken in levels.taken.values()])
        for name in names
    }
    slowest = min(curves, key=lambda name: curves[name].y[0])
    return Curves(
        unit="pods/s",
        curves=curves,
        one=curves[slowest].y[0],
        one_is=f"{LABELS[slowest]}, one at a time",
    )


def _gain(levels: Levels) -> Reading | None:
    """The most pods a second at any level over those one at a time."""
    return ratio_of_rates(_best(levels), levels.taken[min(levels.taken)][Ours.name]["ADD"])


def _kept(levels: Levels) -> Reading | None:
    """The last level's pods a second over the most at any level: it doesn't break down under more."""
    return ratio_of_rates(levels.taken[max(levels.taken)][Ours.name]["ADD"], _best(levels))


def _best(levels: Levels) -> Series:
    series = (taken[Ours.name]["ADD"] for taken in levels.taken.values())
    return max(series, key=lambda one: one.whole.rate)


def _failures(levels: Levels) -> Iterator[str]:
    series: Iterator[Series] = (
        one for taken in levels.taken.values() for verbs in taken.values() for one in verbs.values()
    )
    for one in series:
        yield from one.failures


def _details(levels: Levels) -> dict[str, Any]:
    return curve_details(partial(throughput, levels))


def _lines(levels: Levels) -> Iterator[str]:
    title = "{verb}s a second against pods at once"
    return curve_lines(partial(throughput, levels), title, "pods at once", list(levels.taken))


CONCURRENCY: Part[Levels] = Part(
    name="concurrency",
    title="throughput against pods at once",
    measure=measure,
    figures=(
        Figure(
            name="add_rate_gain",
            title="ADDs a second at the best level over one at a time",
            target=at_least(1.0),
            read=_gain,
        ),
        Figure(
            name="add_rate_kept",
            title="ADDs a second, 50 at once, over the best level's",
            target=at_least(0.8),
            read=_kept,
        ),
    ),
    details=_details,
    lines=_lines,
    failures=_failures,
)
