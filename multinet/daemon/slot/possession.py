"""Holding the slot's file against whoever takes it away."""

from __future__ import annotations

import logging

from multinet.daemon.slot import folder
from multinet.daemon.slot.pace import Pace

__all__ = ["Possession"]

_log = logging.getLogger(__name__)


class Possession:
    """Has the file at ``path`` be what it is to be."""

    def __init__(self, path: str, pace: Pace) -> None:
        self.path = path
        self._pace = pace
        self._placed: bytes | None = None
        """What we last had there; None: we haven't had it yet."""
        self.lost = 0
        """How often somebody took it away or wrote over it."""
        self.fate = ""
        """What somebody did to it last; it is over once it is held again."""
        self._is_told = False
        self.is_held = False
        """It was there, and as it should be, at the last look."""

    def hold(self, wanted: bytes, now: float) -> float | None:
        """Put the content in place; seconds until that may be done, None: it is done.

        Raises OSError, InstallationError.
        """
        self.is_held = False
        present = folder.read(self.path)
        if present == wanted:
            self._pace.kept(now)
        else:
            if self._placed not in (None, present):
                self._lose(present)
                delay = self._pace.delay(now)
                if delay > 0:
                    return delay
                self._pace.taken(now)
            folder.write(self.path, wanted)
            _log.info("wrote %s", self.path)
        self._placed, self.is_held, self._is_told = wanted, True, False
        return None

    def _lose(self, present: bytes | None) -> None:
        if not self._is_told:
            self._is_told = True
            self.lost += 1
            self.fate = self._what_happened(present)
            _log.warning("%s was %s (%d times by now)", self.path, self.fate, self.lost)

    def _what_happened(self, present: bytes | None) -> str:
        if present is not None:
            return "written over by somebody else"
        other = folder.renamed_to(self.path, self._placed or b"")
        if not other:
            return "removed by somebody else"
        hint = " (Cilium does that unless cni-exclusive is false)" if other.endswith(".cilium_bak") else ""
        return f"renamed to {other} by somebody else{hint}"
