"""Series of measurements put into few numbers, and how far such a number can be trusted."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Sequence

import msgspec

__all__ = ["Reading", "Summary", "percentile", "ratio", "ratio_of_medians", "reading", "slope", "spread"]
__all__ += ["summary"]

_PIECES = 8
_SHORTEST_PIECE = 4


class Summary(msgspec.Struct, frozen=True):
    """A series of times; all but ``count`` in milliseconds."""

    count: int
    min: float
    p50: float
    p90: float
    p99: float
    max: float


class Reading(msgspec.Struct, frozen=True):
    """What one figure was in one run."""

    value: float
    noise: float | None = None
    """How far from ``value`` a repetition may lie, 19 times out of 20, as far as this run alone can tell; in
    the value's unit. None: it was measured too few times to tell.
    """


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of the values are, interpolated between neighbours.

    With 0 the smallest, with 100 the largest (type 7 of Hyndman and Fan, 1996, as NumPy and R by default).
    Raises ValueError for no values, or a percentage outside 0 to 100.
    """
    if not values or not 0 <= percent <= 100:
        raise ValueError(f"no percentile {percent} of {len(values)} values")
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below, above = math.floor(place), math.ceil(place)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def summary(values: Sequence[float]) -> Summary:
    """Raises ValueError for no values."""
    p50, p90, p99 = (percentile(values, percent) for percent in (50, 90, 99))
    return Summary(len(values), min(values), p50, p90, p99, max(values))


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """Ours over theirs; None when one of them wasn't measured, or theirs is nothing."""
    if ours is None or theirs is None or theirs == 0:
        return None
    return ours / theirs


def ratio_of_medians(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Ours over theirs; None when theirs weren't measured."""
    return ratio(percentile(ours, 50), percentile(theirs, 50)) if theirs else None


def spread(repeats: Sequence[float]) -> float | None:
    """Half the width of the interval that holds the mean of ``repeats`` 19 times out of 20; None for fewer than 3."""
    if len(repeats) < 3:
        return None
    return 2 * statistics.stdev(repeats) / math.sqrt(len(repeats))


def reading(statistic: Callable[..., float | None], *series: Sequence[float]) -> Reading | None:
    """``statistic`` of the series, all as long and measured side by side.

    The noise comes from the same statistic of up to eight pieces of consecutive measurements: what the machine
    did meanwhile differs from piece to piece. None when there is nothing to tell it of.
    """
    value = statistic(*series)
    if value is None:
        return None
    length = min(map(len, series))
    pieces = min(_PIECES, length // _SHORTEST_PIECE)
    cuts = [length * number // pieces for number in range(pieces + 1)] if pieces else []
    repeats = [
        repeat
        for start, end in itertools.pairwise(cuts)
        if (repeat := statistic(*(one[start:end] for one in series))) is not None
    ]
    return Reading(value, spread(repeats))


def slope(points: Sequence[tuple[float, float]]) -> Reading | None:
    """How much y grows with x (least squares), twice its standard error as noise; None for fewer than 3 points."""
    if len(points) < 3:
        return None
    xs, ys = [x for x, _ in points], [y for _, y in points]
    line = statistics.linear_regression(xs, ys)
    rest = sum((y - line.intercept - line.slope * x) ** 2 for x, y in points) / (len(points) - 2)
    middle = statistics.fmean(xs)
    width = sum((x - middle) ** 2 for x in xs)
    return Reading(line.slope, 2 * math.sqrt(rest / width))
