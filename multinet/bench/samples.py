"""Series of measurements put into few numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

__all__ = ["Summary", "percentile", "ratio", "summary"]


class Summary(msgspec.Struct, frozen=True):
    """A series of times; all but ``count`` in milliseconds."""

    count: int
    min: float
    p50: float
    p90: float
    p99: float
    max: float


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
