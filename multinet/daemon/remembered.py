"""A fact of the host that changes rarely and costs time to find out: asked again after a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Call it for the fact, which is at most ``seconds`` old."""

    def __init__(self, find_out: Callable[[], T], seconds: float) -> None:
        self._find_out = find_out
        self._seconds = seconds
        self._known: tuple[T, float] | None = None

    def __call__(self) -> T:
        """The fact; raises what finding it out raises."""
        known = self._known  # one read: another thread may replace it meanwhile
        if known is None or time.monotonic() > known[1]:
            known = (self._find_out(), time.monotonic() + self._seconds)
            self._known = known
        return known[0]
