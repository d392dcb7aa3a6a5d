"""How soon the daemon serves again on a node with pods: exec to its first answer, with a full journal and none."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import msgspec

from multinet.bench.figure import Figure, Part, at_most
from multinet.bench.measure import require_success
from multinet.bench.networks import pod_networks
from multinet.bench.node import Node
from multinet.bench.parts.growth import fill
from multinet.bench.samples import Reading, percentile, ratio_of_medians, reading, spread
from multinet.bench.size import Size
from multinet.bench.tools import Tools

__all__ = ["START", "Started", "measure"]


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from exec to the answer of the first STATUS, in turns."""

    rows: int
    """Of the full journal: real pods' attachments."""
    full: list[float]
    empty: list[float]


def measure(size: Size, tools: Tools) -> Started:
    """Raises BenchError."""
    pods = -(-size.journal_rows // len(pod_networks(1)))
    with ExitStack() as held:
        full = held.enter_context(Node(tools, pods))
        empty = held.enter_context(Node(tools, 0))
        fill(full, full.ours, range(pods))
        times: dict[str, list[float]] = {"full": [], "empty": []}
        for _ in range(size.daemon_starts):
            for name, node in (("full", full), ("empty", empty)):
                times[name].append(_restarted(node))
        return Started(rows=pods * len(pod_networks(1)), **times)


def _restarted(node: Node) -> float:
    node.daemon.close()
    daemon = node.start_daemon()
    question = [node.ours.status()]
    require_success(question, node.driver.run(question))
    return time.monotonic() - daemon.started


def _seconds(started: Started) -> Reading:
    return Reading(percentile(started.full, 50), spread(started.full))


def _details(started: Started) -> dict[str, Any]:
    return {
        "rows": started.rows,
        "full_s": [round(value, 4) for value in started.full],
        "empty_s": [round(value, 4) for value in started.empty],
    }


START: Part[Started] = Part(
    name="start",
    title="a start of the daemon",
    measure=measure,
    figures=(
        Figure(
            name="start_s",
            title="exec to first answer, 1,000 rows in the journal",
            unit="s",
            target=at_most(2.0),
            grain=0.05,
            read=_seconds,
        ),
        Figure(
            name="start_vs_empty",
            title="the same, over an empty journal's",
            target=at_most(1.5),
            read=lambda started: reading(
                ratio_of_medians,
                started.full,
                started.empty,
            ),
        ),
    ),
    details=_details,
)
