"""How long to wait before asking the apiserver again."""

from __future__ import annotations

import random

__all__ = ["Backoff"]


class Backoff:
    """Exponential backoff with full jitter: waits are random below a ceiling that doubles up to ``cap``.

    Nodes that lost the apiserver at one moment so come back spread out, not in waves. Seconds throughout.
    """

    def __init__(self, base: float, cap: float) -> None:
        self._base = base
        self._cap = cap
        self._ceiling = base

    def next(self) -> float:
        """The wait before the next try."""
        wait = random.uniform(0, self._ceiling)
        self._ceiling = min(self._cap, self._ceiling * 2)
        return wait

    def reset(self) -> None:
        """Begin anew: the last try went well."""
        self._ceiling = self._base
