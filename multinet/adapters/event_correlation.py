"""Which events are worth a write: repeated ones count up, similar ones are joined, too many are left out.

The rules are those of Kubernetes' own components (client-go's EventCorrelator), so that what ``kubectl describe``
shows reads as usual, and a pod that fails every few seconds costs the apiserver little.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

import msgspec

from multinet.ports import Event

__all__ = ["EventCorrelation", "EventLimits", "Note", "Subject"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_JOINED = "(combined from similar events): "


class Subject(msgspec.Struct, frozen=True):
    """What an event is about; ``uid`` may be unknown ("")."""

    api_version: str
    kind: str
    namespace: str
    """"" for what is in none."""
    name: str
    uid: str = ""


class EventLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How many events, and how they are joined. Times in seconds."""

    subject_burst: int = 25
    """Writes for one subject before ``subject_refill`` governs."""
    subject_refill: float = 300.0
    """For each further write for the subject."""
    burst: int = 100
    """Writes for all subjects before ``refill`` governs."""
    refill: float = 1.0
    similar: int = 10
    """Events of one subject and reason that differ in their text only, before they are joined …"""
    window: float = 600.0
    """… if no more than this lies between two of them."""
    remembered: int = 1024
    """Events, subjects and reasons kept in memory; the longest unheard ones are forgotten."""


class Note(msgspec.Struct):
    """One event object as it should now be in the cluster. Times are Unix times."""

    message: str
    count: int
    first: float
    last: float
    name: str = ""
    """Its object's name; "": it hasn't been written yet."""


class _Recent(Generic[K, V]):
    """A mapping that holds the most recently used entries."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: K, value: V) -> V:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return value


class _Bucket:
    """Tokens that come back one at a time."""

    def __init__(self, burst: int, refill: float, now: float) -> None:
        self._burst, self._refill = burst, refill
        self._tokens, self._at = float(burst), now

    def take(self, now: float) -> bool:
        gained = max(0.0, now - self._at) / self._refill
        self._tokens, self._at = min(self._burst, self._tokens + gained), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class EventCorrelation:
    """Decides event by event; used by one thread. It has no clock: ``now`` is a Unix time."""

    def __init__(self, limits: EventLimits, now: float) -> None:
        self._limits = limits
        self._notes: _Recent[tuple[Hashable, ...], Note] = _Recent(limits.remembered)
        self._similar: _Recent[tuple[Hashable, ...], tuple[set[str], float]] = _Recent(limits.remembered)
        self._subjects: _Recent[Subject, _Bucket] = _Recent(limits.remembered)
        self._all = _Bucket(limits.burst, limits.refill, now)

    def observe(self, subject: Subject, event: Event, now: float) -> Note | None:
        """What to write for it; None when there have been too many (the next write still counts it)."""
        kind = (subject, event.reason, event.warning)
        joined = self._is_joined(kind, event.message, now)
        message = f"{_JOINED}{event.message}" if joined else event.message
        key = kind if joined else (*kind, message)
        note = self._notes.get(key) or self._notes.put(key, Note(message, 0, now, now))
        note.message, note.count, note.last = message, note.count + 1, now
        bucket = self._subjects.get(subject)
        if bucket is None:
            fresh = _Bucket(self._limits.subject_burst, self._limits.subject_refill, now)
            bucket = self._subjects.put(subject, fresh)
        return note if bucket.take(now) and self._all.take(now) else None

    def _is_joined(self, kind: tuple[Hashable, ...], message: str, now: float) -> bool:
        texts, last = self._similar.get(kind) or (set(), now)
        if now - last > self._limits.window:
            texts = set()
        if len(texts) < self._limits.similar:
            texts.add(message)
        self._similar.put(kind, (texts, now))
        return message not in texts
