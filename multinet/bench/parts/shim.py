"""The executable that the runtime starts: its size, and what starting it costs."""

from __future__ import annotations

from typing import Any

import msgspec

from multinet.bench.driver import Job, Step
from multinet.bench.figure import Figure, Part, at_most
from multinet.bench.ground import Ground
from multinet.bench.measure import require_success
from multinet.bench.rows import summed
from multinet.bench.samples import Reading, ratio_of_medians, reading
from multinet.bench.size import Size
from multinet.bench.tools import Tools

__all__ = ["SHIM", "Starts", "measure"]


class Starts(msgspec.Struct, frozen=True, kw_only=True):
    """ms from exec to exit, in turns."""

    size: int
    """Bytes."""
    shim: list[float]
    """Answering VERSION, for which it needs no daemon."""
    true: list[float]
    """A static program that does nothing."""


def measure(size: Size, tools: Tools) -> Starts:
    """Raises BenchError."""
    with Ground(tools, 0) as ground:
        version = Job("shim VERSION", (Step((str(tools.shim),), {"CNI_COMMAND": "VERSION"}),))
        nothing = Job("true", (Step((str(tools.true),)),))
        jobs = [version, nothing] * size.starts
        run = ground.driver.run(jobs)
        require_success(jobs, run)
        times = [outcome.wall_ms for outcome in run.outcomes]
        return Starts(size=tools.shim.stat().st_size, shim=times[0::2], true=times[1::2])


def _details(starts: Starts) -> dict[str, Any]:
    return {
        "size_bytes": starts.size,
        "version": summed(starts.shim),
        "true": summed(starts.true),
    }


SHIM: Part[Starts] = Part(
    name="shim",
    title="the shim",
    measure=measure,
    figures=(
        Figure(
            name="shim_kb",
            title="size of the shim",
            unit="KB",
            target=at_most(64),
            grain=0.5,
            read=lambda starts: Reading(starts.size / 1000, 0.0),
        ),
        Figure(
            name="shim_vs_true",
            title="shim, exec to exit, over a static program that does nothing",
            target=at_most(2.0),
            read=lambda starts: reading(ratio_of_medians, starts.shim, starts.true),
        ),
    ),
    details=_details,
)
