"""A figure: one number that the benchmark promises, declared once for table, JSON and comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import msgspec

from multinet.bench.samples import Reading

if TYPE_CHECKING:
    from multinet.bench.size import Size
    from multinet.bench.tools import Tools

__all__ = ["FORMAT", "Figure", "Found", "Part", "Target", "Unit", "at_least", "at_most", "read"]

FORMAT = 2
"""Of the JSON that figures are written to; a comparison takes no other."""

F = TypeVar("F")
Unit = Literal["×", "MiB", "KB", "s", "KiB per 1,000 pods", "requests", "pods"]


class Target(msgspec.Struct, frozen=True):
    """What the figure should be."""

    bound: Literal["at most", "at least"]
    """Also says which way is better."""
    limit: float

    def met(self, value: float) -> bool:
        """Whether ``value`` is within it."""
        return value <= self.limit if self.bound == "at most" else value >= self.limit

    def loss(self, before: float, now: float) -> float:
        """By how much ``now`` is worse than ``before``; negative: better."""
        return now - before if self.bound == "at most" else before - now

    def __str__(self) -> str:
        return f"{'≤' if self.bound == 'at most' else '≥'} {self.limit:g}"


def at_most(limit: float) -> Target:
    """Less is better."""
    return Target("at most", limit)


def at_least(limit: float) -> Target:
    """More is better."""
    return Target("at least", limit)


class Figure(msgspec.Struct, Generic[F], frozen=True, kw_only=True):
    """How one number is found in what a part found out."""

    name: str
    """Its key in the JSON."""
    title: str
    """What it is, for people."""
    unit: Unit = "×"
    target: Target
    grain: float = 0.0
    """Differences between runs below this mean nothing, whatever the noise says; in the unit."""
    doubt: float = 0.2
    """Share of the value that is taken for noise where a run could not tell."""
    read: Callable[[F], Reading | None]
    """None: it could not be measured (no reference plugins)."""


class Part(msgspec.Struct, Generic[F], frozen=True, kw_only=True):
    """One thing that is measured, on a node of its own."""

    name: str
    """As ``--only`` takes it."""
    title: str
    measure: Callable[[Size, Tools], F]
    """Raises BenchError."""
    figures: tuple[Figure[F], ...]
    details: Callable[[F], Mapping[str, Any]]
    """What else goes into the JSON."""
    lines: Callable[[F], Iterable[str]] = lambda _: ()
    """Further tables for people."""
    failures: Callable[[F], Iterable[str]] = lambda _: ()
    """Why pods failed, one text each."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A figure as it was found."""

    name: str
    title: str
    unit: Unit
    target: Target
    grain: float
    doubt: float
    reading: Reading | None


def read(part: Part[F], findings: F) -> list[Found]:
    """All figures of a part."""
    return [
        Found(
            name=one.name,
            title=one.title,
            unit=one.unit,
            target=one.target,
            grain=one.grain,
            doubt=one.doubt,
            reading=one.read(findings),
        )
        for one in part.figures
    ]
