"""One benchmark: the chosen parts one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from multinet.bench.figure import Found, Part, read
from multinet.bench.size import Size
from multinet.bench.tools import Tools

__all__ = ["Measured", "measure"]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One part, and what was found."""

    part: Part[Any]
    findings: Any
    found: list[Found]
    seconds: float
    """What measuring it took."""

    @property
    def failures(self) -> list[str]:
        """Why pods failed, one text each."""
        return list(self.part.failures(self.findings))


def measure(parts: Sequence[Part[Any]], size: Size) -> Iterator[Measured]:
    """Each as soon as it is done. Raises BenchError."""
    with Tools() as tools:
        for part in parts:
            started = time.monotonic()
            findings = part.measure(size, tools)
            seconds = time.monotonic() - started
            yield Measured(part=part, findings=findings, found=read(part, findings), seconds=seconds)
