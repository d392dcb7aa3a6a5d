"""One benchmark from beginning to end, at one of two sizes."""

from __future__ import annotations

import time

import msgspec

from multinet.bench.figures import Findings
from multinet.bench.lab import filesystem_of
from multinet.bench.measure import bursts, start_costs, take_turns
from multinet.bench.stage import Stage

__all__ = ["FULL", "QUICK", "Size", "measure"]


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured."""

    quick: bool
    pods: int
    """One at a time, of each contender."""
    block: int = 10
    """How many pods of each contender are alive together then."""
    concurrency: int = 50
    pods_at_once: int
    """How many are alive together with ``concurrency``."""
    rounds: int
    """How often the contenders alternate then."""
    turns_limit: float
    """Seconds from the start at which the pods one at a time should be done; then there are fewer."""
    load_limit: float
    """Seconds from the start at which the last round should be done."""
    starts: int = 200
    """How often the shim is started for VERSION."""


QUICK = Size(quick=True, pods=60, pods_at_once=100, rounds=3, turns_limit=13.0, load_limit=30.0)
FULL = Size(quick=False, pods=300, pods_at_once=200, rounds=6, turns_limit=240.0, load_limit=480.0)
_WARM_UP = 3
_CONTENDERS = 4


def measure(size: Size) -> Findings:
    """Run it. Raises BenchError."""
    started = time.monotonic()
    slots = max(_CONTENDERS * min(size.block, size.pods), size.pods_at_once, _CONTENDERS * _WARM_UP)
    with Stage(slots) as stage:
        before = stage.daemon.memory()
        # Bridges are made, caches filled and modules loaded by pods that don't count.
        take_turns(stage, _WARM_UP, _WARM_UP, started)
        turns = take_turns(stage, size.pods, size.block, started + size.turns_limit)
        shim, true = start_costs(stage, size.starts)
        load = bursts(stage, size.pods_at_once, size.concurrency, size.rounds, started + size.load_limit)
        return Findings(
            quick=size.quick,
            filesystems={
                "files": filesystem_of(stage.lab.memory),
                "journal": filesystem_of(stage.lab.directory),
            },
            seconds=time.monotonic() - started,
            concurrency=size.concurrency,
            turns=turns,
            load=load,
            memory_before=before,
            memory_after=stage.daemon.memory(),
            shim_bytes=stage.shim.stat().st_size,
            shim_times=shim,
            true_times=true,
        )
