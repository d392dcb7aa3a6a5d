"""When something is to be done about a pod again: later and later, while it doesn't help. Pure."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["Agenda"]


class Agenda:
    """What is due, by container id. Times are in seconds, of any steady clock."""

    def __init__(self, first: float = 10.0, longest: float = 600.0) -> None:
        """After a failure comes the next try in ``first`` seconds, then in twice the time, up to ``longest``."""
        self._first = first
        self._longest = longest
        self._due: dict[str, float] = {}
        self._pause: dict[str, float] = {}

    def keep(self, present: Collection[str]) -> None:
        """Forget all but these."""
        self._due = {key: due for key, due in self._due.items() if key in present}
        self._pause = {key: pause for key, pause in self._pause.items() if key in present}

    def is_due(self, key: str, now: float) -> bool:
        """Whether it is time; for one that is new it is."""
        return self._due.get(key, now) <= now

    def next(self) -> float | None:
        """When something is due; None: never."""
        return min(self._due.values(), default=None)

    def done(self, key: str, until: float) -> None:
        """Nothing is due before ``until``."""
        self._due[key] = until
        self._pause.pop(key, None)

    def failed(self, key: str, now: float) -> float:
        """Try again later; in how many seconds."""
        self._pause[key] = min(2 * self._pause.get(key, self._first / 2), self._longest)
        self._due[key] = now + self._pause[key]
        return self._pause[key]
