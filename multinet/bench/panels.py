"""What of a run can be drawn."""

from __future__ import annotations

from collections.abc import Sequence

from multinet.bench.charts import Panel
from multinet.bench.measure import VERBS
from multinet.bench.parts.concurrency import CONCURRENCY, throughput
from multinet.bench.parts.node_pods import NODE_PODS, latency
from multinet.bench.run import Measured

__all__ = ["DRAWN", "panels"]

DRAWN = (NODE_PODS.name, CONCURRENCY.name)
"""The parts that have curves."""


def panels(measured: Sequence[Measured]) -> list[list[Panel]]:
    """A row for each part that has curves: ADD, DEL."""
    rows = []
    for one in measured:
        if one.part.name == NODE_PODS.name:
            rows.append(
                [Panel(f"{verb}: latency", "pods on the node", latency(one.findings, verb)) for verb in VERBS]
            )
        elif one.part.name == CONCURRENCY.name:
            rows.append(
                [
                    Panel(f"{verb}: pods a second", "pods at once", throughput(one.findings, verb))
                    for verb in VERBS
                ]
            )
    return rows
