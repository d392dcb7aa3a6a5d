"""How much is measured: two sizes."""

from __future__ import annotations

import msgspec

__all__ = ["FULL", "QUICK", "Size"]


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of pods and repetitions. Times are limits in seconds: on a slow machine there is less of it."""

    quick: bool = False
    pods: int = 300
    """One at a time, of each contender."""
    block: int = 10
    """How many pods of each contender are alive together then."""
    turns_limit: float = 200.0
    concurrency: int = 50
    pods_at_once: int = 200
    """How many are alive together with ``concurrency``."""
    rounds: int = 6
    """How often the contenders alternate then."""
    load_limit: float = 240.0
    starts: int = 200
    """How often the shim is started for VERSION."""
    standalone: int = 40
    """Pods of one interface, without a daemon."""
    standalone_limit: float = 60.0
    api_pods: int = 20
    journal_rows: int = 1000
    daemon_starts: int = 7
    node_pods: int = 250
    """Of a full node."""
    growth_rounds: int = 60
    definitions: int = 10_000
    """NetworkAttachmentDefinitions of a big cluster."""
    addresses: int = 5_000
    """Taken of each network."""
    cached_definitions: int = 1_000
    """Of the node whose memory is measured."""
    churn: int = 20_000
    """Pods that come and go on it."""
    steps: tuple[int, ...] = (1, 25, 50, 75, 100, 125, 150, 175, 200, 225, 250)
    """Pods on the node at which the latency is told."""
    step_rounds: int = 3
    levels: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 50)
    """Pods at once at which the throughput is told."""
    level_pods: int = 60
    level_rounds: int = 3


FULL = Size()
QUICK = Size(
    quick=True,
    pods=60,
    turns_limit=10.0,
    pods_at_once=100,
    rounds=3,
    load_limit=11.0,
    standalone=8,
    standalone_limit=4.0,
    api_pods=5,
)
