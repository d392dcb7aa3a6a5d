"""How fast the slot is taken back from whoever takes it away: at once, but never in a hot loop. Pure."""

from __future__ import annotations

from collections import deque

__all__ = ["Pace"]


class Pace:
    """A few times at once; from a foe that goes on, after pauses that double, up to a limit.

    Times are in seconds, of any steady clock.
    """

    def __init__(
        self, at_once: int = 5, within: float = 60.0, first_pause: float = 1.0, longest: float = 60.0
    ) -> None:
        """``at_once`` times in ``within`` seconds without a pause; then ``first_pause`` and so on to ``longest``."""
        self._times: deque[float] = deque(maxlen=at_once)
        self._within = within
        self._first_pause = first_pause
        self._longest = longest
        self._pause = 0.0

    def delay(self, now: float) -> float:
        """Seconds until it may be taken back; 0: now."""
        return max(0.0, self._times[-1] + self._pause - now) if self._times else 0.0

    def taken(self, now: float) -> None:
        """It was taken back just now."""
        self._times.append(now)
        is_fight = len(self._times) == self._times.maxlen and now - self._times[0] < self._within
        if is_fight or self._pause:
            self._pause = min(max(self._first_pause, 2 * self._pause), self._longest)

    def kept(self, now: float) -> None:
        """It was still there just now: after a while of peace the fight is forgotten."""
        if self._times and now - self._times[-1] >= self._within + self._pause:
            self._times.clear()
            self._pause = 0.0
